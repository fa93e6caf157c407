//! What `run` is pointed at.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use limelight_protocol::{ExecutionId, workflow::WorkflowDetail};
use serde::Deserialize;

use super::{client::Client, say};

/// What `run` is pointed at.
#[derive(Debug)]
pub(super) enum Target {
    /// An execution to follow.
    Execution(ExecutionId),
    /// A workflow to start.
    Workflow(Workflow),
}

/// A workflow to start.
#[derive(Debug)]
pub(super) enum Workflow {
    /// One that the server has.
    Named(String),
    /// One from a file, whose definition the server shall have.
    File {
        path: PathBuf,
        name: String,
        source: String,
    },
}

impl Target {
    /// An identifier is an execution; what looks like a file is one; all else is a name.
    pub(super) fn read(text: &str) -> anyhow::Result<Self> {
        if let Ok(id) = text.parse() {
            return Ok(Self::Execution(id));
        }
        let path = Path::new(text);
        let extension = path.extension().and_then(|extension| extension.to_str());
        let looks_like_a_file = matches!(extension, Some("yaml" | "yml" | "json"))
            || text.contains(std::path::MAIN_SEPARATOR)
            || path.is_file();
        if !looks_like_a_file {
            return Ok(Self::Workflow(Workflow::Named(text.to_owned())));
        }
        #[derive(Deserialize)]
        struct Named {
            name: String,
        }
        let source =
            std::fs::read_to_string(path).with_context(|| format!("cannot read {text}"))?;
        let Named { name } = serde_yaml_ng::from_str(&source)
            .with_context(|| format!("{text} is no workflow with a name"))?;
        Ok(Self::Workflow(Workflow::File {
            path: path.to_owned(),
            name,
            source,
        }))
    }
}

impl Workflow {
    /// The workflow on the server; from a file, made or given a new version where its definition
    /// differs.
    pub(super) async fn ensure(self, client: &Client) -> anyhow::Result<WorkflowDetail> {
        let (path, name, source) = match self {
            Self::Named(name) => {
                return match client.workflow_named(&name).await? {
                    Some(workflow) => Ok(workflow),
                    None => bail!("the server has no workflow called {name:?}"),
                };
            }
            Self::File { path, name, source } => (path, name, source),
        };
        let workflow = match client.workflow_named(&name).await? {
            Some(workflow) if same_definition(&workflow.source, &source) => return Ok(workflow),
            Some(workflow) => client.replace_workflow(workflow.workflow.id, source).await,
            None => client.create_workflow(source).await,
        }
        .with_context(|| path.display().to_string())?;
        say(&format!(
            "{name}: version {} is on the server",
            workflow.workflow.version
        ));
        Ok(workflow)
    }
}

/// Whether two texts define the same, whatever their comments and layout.
fn same_definition(left: &str, right: &str) -> bool {
    let value = |text: &str| serde_yaml_ng::from_str::<serde_yaml_ng::Value>(text).ok();
    left == right || value(left).is_some_and(|left| value(right) == Some(left))
}

#[cfg(test)]
mod tests;
