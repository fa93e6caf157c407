//! What is written to (streams), what is subscribed to (topics), and how to go on (cursors).

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::{ExecutionId, NodeId, TestRunId, WorkflowId};

/// The ordered events of one thing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stream {
    /// `execution:{id}`
    Execution(ExecutionId),
    /// `test-run:{id}`
    TestRun(TestRunId),
    /// `log:{execution}/{node}`, outside the journal
    Log(ExecutionId, NodeId),
    /// `metrics`, outside the journal
    Metrics,
}

/// What a client can subscribe to: a stream, or a filtered view of the journal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Topic {
    /// `execution:{id}`: one execution's stream.
    Execution(ExecutionId),
    /// `workflow:{id}`: every execution of one workflow.
    Workflow(WorkflowId),
    /// `executions`: every execution.
    Executions,
    /// `test-run:{id}`: one test run's stream.
    TestRun(TestRunId),
    /// `tests`: every test run.
    Tests,
    /// `log:{execution}/{node}`: the output of one node.
    Log(ExecutionId, NodeId),
    /// `metrics`: the host, once a second.
    Metrics,
    /// `actors`: the supervision tree, once a second. Snapshots only.
    Actors,
}

/// A text that names no topic or stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownTopic(pub String);

impl fmt::Display for UnknownTopic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no topic is called {:?}", self.0)
    }
}

impl std::error::Error for UnknownTopic {}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Execution(id) => write!(f, "execution:{id}"),
            Self::Workflow(id) => write!(f, "workflow:{id}"),
            Self::Executions => f.write_str("executions"),
            Self::TestRun(id) => write!(f, "test-run:{id}"),
            Self::Tests => f.write_str("tests"),
            Self::Log(execution, node) => write!(f, "log:{execution}/{node}"),
            Self::Metrics => f.write_str("metrics"),
            Self::Actors => f.write_str("actors"),
        }
    }
}

impl FromStr for Topic {
    type Err = UnknownTopic;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let topic = match text.split_once(':') {
            None => match text {
                "executions" => Some(Self::Executions),
                "tests" => Some(Self::Tests),
                "metrics" => Some(Self::Metrics),
                "actors" => Some(Self::Actors),
                _ => None,
            },
            Some(("execution", id)) => id.parse().ok().map(Self::Execution),
            Some(("workflow", id)) => id.parse().ok().map(Self::Workflow),
            Some(("test-run", id)) => id.parse().ok().map(Self::TestRun),
            Some(("log", rest)) => rest.split_once('/').and_then(|(execution, node)| {
                Some(Self::Log(execution.parse().ok()?, NodeId::new(node)?))
            }),
            Some(_) => None,
        };
        topic.ok_or_else(|| UnknownTopic(text.to_owned()))
    }
}

impl From<Stream> for Topic {
    fn from(stream: Stream) -> Self {
        match stream {
            Stream::Execution(id) => Self::Execution(id),
            Stream::TestRun(id) => Self::TestRun(id),
            Stream::Log(execution, node) => Self::Log(execution, node),
            Stream::Metrics => Self::Metrics,
        }
    }
}

impl fmt::Display for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Topic::from(self.clone()).fmt(f)
    }
}

impl FromStr for Stream {
    type Err = UnknownTopic;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse()? {
            Topic::Execution(id) => Ok(Self::Execution(id)),
            Topic::TestRun(id) => Ok(Self::TestRun(id)),
            Topic::Log(execution, node) => Ok(Self::Log(execution, node)),
            Topic::Metrics => Ok(Self::Metrics),
            Topic::Workflow(_) | Topic::Executions | Topic::Tests | Topic::Actors => {
                Err(UnknownTopic(text.to_owned()))
            }
        }
    }
}

macro_rules! as_text {
    ($name:ident) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(D::Error::custom)
            }
        }
    };
}

as_text!(Topic);
as_text!(Stream);

/// A place in a journal, to go on from: events after it are wanted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Cursor {
    /// Which journal.
    pub epoch: String,
    /// The last event already had; 0 for none. A `seq` in topics outside the journal.
    pub position: u64,
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.epoch, self.position)
    }
}

impl FromStr for Cursor {
    type Err = InvalidCursor;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (epoch, position) = text.rsplit_once(':').ok_or(InvalidCursor)?;
        if epoch.is_empty() || !position.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(InvalidCursor);
        }
        let position = position.parse().map_err(|_| InvalidCursor)?;
        Ok(Self {
            epoch: epoch.to_owned(),
            position,
        })
    }
}

/// A text that is not `epoch:position`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidCursor;

impl fmt::Display for InvalidCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a cursor is written epoch:position")
    }
}

impl std::error::Error for InvalidCursor {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_topic_is_read_as_it_is_written() {
        let id = "0199c0a0-0000-7000-8000-000000000001";
        for text in [
            format!("execution:{id}"),
            format!("workflow:{id}"),
            format!("test-run:{id}"),
            format!("log:{id}/build"),
            "executions".into(),
            "tests".into(),
            "metrics".into(),
            "actors".into(),
        ] {
            assert_eq!(text.parse::<Topic>().unwrap().to_string(), text);
        }
        for text in ["", "execution:", "execution:7", "log:x/y", "dreams"] {
            assert!(text.parse::<Topic>().is_err(), "{text:?} was taken");
        }
        assert!("executions".parse::<Stream>().is_err());
    }
}
