//! The workflow that a new installation begins with.

use limelight_engine::Definition;
use limelight_protocol::WorkflowId;
use uuid::Uuid;

use crate::{
    auth::Caller,
    clock,
    store::{NewWorkflow, Store},
};

const SOURCE: &str = include_str!("../../examples/demo.yaml");

/// Makes it.
///
/// # Errors
/// When the store fails.
pub async fn install(store: &Store) -> anyhow::Result<()> {
    let definition = Definition::parse(SOURCE)
        .map_err(|faults| anyhow::anyhow!("the demonstration is not valid: {faults:?}"))?;
    let workflow = NewWorkflow {
        id: WorkflowId(Uuid::now_v7()),
        name: definition.name().to_owned(),
        description: definition.description().to_owned(),
        source: SOURCE.to_owned(),
        node_count: definition.nodes().len() as u32,
        now: clock::now(),
    };
    store.create_workflow(&Caller::system(), workflow).await?;
    Ok(())
}
