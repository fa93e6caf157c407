//! `application/problem+json` (RFC 9457) with a stable `code`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What a refused request is answered with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Problem {
    /// Always `about:blank`: the code, not a URI, tells problems apart.
    #[serde(rename = "type")]
    pub kind: String,
    /// Short text that belongs to the status.
    pub title: String,
    /// HTTP status.
    pub status: u16,
    /// Stable name of the problem, such as `execution_not_found`.
    pub code: String,
    /// What is wrong with this very request.
    pub detail: String,
    /// The title again, for clients that look there.
    pub error: String,
    /// Every fault of a definition, when the code is `invalid_workflow`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<Fault>,
    /// Further members of some codes, such as `execution_id`.
    #[serde(flatten)]
    pub members: BTreeMap<String, serde_json::Value>,
}

/// One fault of a workflow definition.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Fault {
    /// Where: `nodes.build.needs[0]`. Empty for the document as a whole.
    pub path: String,
    /// Stable name of the fault, such as `unknown_node` or `cycle`.
    pub code: String,
    /// What is wrong, and what would be right.
    pub message: String,
}
