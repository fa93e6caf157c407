//! Identifiers as newtypes, so that a workflow cannot be taken for an execution.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        #[cfg_attr(feature = "openapi", schema(value_type = String, format = "uuid"))]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::parse_str(text).map(Self)
            }
        }
    };
}

uuid_id!(
    /// A workflow, whatever its version (UUIDv7).
    WorkflowId
);
uuid_id!(
    /// One performance of a workflow version (UUIDv7).
    ExecutionId
);
uuid_id!(
    /// One run of a test suite (UUIDv7).
    TestRunId
);
uuid_id!(
    /// A user (UUIDv7).
    UserId
);

/// The name of a node, chosen by the workflow's author: 1 to 64 of `A-Z a-z 0-9 _ -`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(value_type = String, pattern = "^[A-Za-z0-9_-]{1,64}$"))]
#[serde(transparent)]
pub struct NodeId(String);

impl NodeId {
    /// Longest name, in bytes.
    pub const MAX_LEN: usize = 64;

    /// Takes a name that keeps the rules above; `None` for any other.
    #[must_use]
    pub fn new(name: &str) -> Option<Self> {
        let lawful = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        let fits = (1..=Self::MAX_LEN).contains(&name.len());
        (fits && name.bytes().all(lawful)).then(|| Self(name.to_owned()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::NodeId;

    #[test]
    fn a_node_name_has_letters_digits_dash_and_underscore_only() {
        assert!(NodeId::new("unit-tests_2").is_some());
        for bad in ["", "a b", "a/b", "é", "a.b", &"x".repeat(65)] {
            assert!(NodeId::new(bad).is_none(), "{bad:?} was taken");
        }
    }
}
