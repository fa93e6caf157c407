//! A person answers an approval.

use limelight_protocol::{NodeId, execution::NodeError};
use serde_json::{Map, Value, json};

use super::{Rejection, decide::Deciding};

impl Deciding<'_> {
    pub(super) fn approve(
        &mut self,
        node: &NodeId,
        by: &str,
        comment: Option<String>,
    ) -> Result<(), Rejection> {
        let node = self.expect_approval(node)?;
        let comment = comment.map_or(Value::Null, Value::String);
        let outputs = Map::from_iter([
            ("approved_by".to_owned(), json!(by)),
            ("comment".to_owned(), comment),
        ]);
        self.complete(node, outputs, Vec::new(), None);
        Ok(())
    }

    pub(super) fn reject(
        &mut self,
        node: &NodeId,
        by: &str,
        comment: Option<String>,
    ) -> Result<(), Rejection> {
        let node = self.expect_approval(node)?;
        let message = match comment {
            Some(comment) => format!("rejected by {by}: {comment}"),
            None => format!("rejected by {by}"),
        };
        let code = "rejected".to_owned();
        let duration_s = self.duration_s(node);
        self.give_up(node, NodeError { code, message }, duration_s);
        Ok(())
    }
}
