//! What an attempt has given so far.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::{Failure, Success};

/// Gathers outputs, artifacts and quality within a limit.
#[derive(Debug)]
pub(super) struct Gathered {
    success: Success,
    /// Its artifacts, to know one again.
    artifacts: HashSet<String>,
    bytes: usize,
    max_bytes: usize,
    overflowed: bool,
}

impl Gathered {
    /// Takes at most `max_bytes` of JSON.
    pub(super) fn new(max_bytes: usize) -> Self {
        Self {
            success: Success::default(),
            artifacts: HashSet::new(),
            bytes: 0,
            max_bytes,
            overflowed: false,
        }
    }

    /// Adds outputs; a later value replaces an earlier one of the same name.
    pub(super) fn output(&mut self, output: Map<String, Value>) {
        for (key, value) in output {
            let old = self.success.outputs.get(&key);
            let old_bytes = old.map_or(0, |old| entry_bytes(&key, old));
            if self.make_room(old_bytes, entry_bytes(&key, &value)) {
                self.success.outputs.insert(key, value);
            }
        }
    }

    /// Adds an artifact, once.
    pub(super) fn artifact(&mut self, path: String) {
        if !self.artifacts.contains(&path) && self.make_room(0, path.len() + 3) {
            self.success.artifacts.push(path.clone());
            self.artifacts.insert(path);
        }
    }

    /// Sets the quality; the last one counts.
    pub(super) fn quality(&mut self, quality: f64) {
        self.success.quality = Some(quality);
    }

    /// All of it. Outputs that were too large fail the attempt: a successor must not run on a part.
    pub(super) fn finish(self) -> Result<Success, Failure> {
        if !self.overflowed {
            return Ok(self.success);
        }
        let message = format!("its outputs are larger than {} bytes", self.max_bytes);
        Err(Failure::lasting("outputs_too_large", message))
    }

    fn make_room(&mut self, old_bytes: usize, new_bytes: usize) -> bool {
        let bytes = self.bytes - old_bytes + new_bytes;
        let fits = bytes <= self.max_bytes;
        if fits {
            self.bytes = bytes;
        }
        self.overflowed |= !fits;
        fits
    }
}

/// Size of `"key":value,`.
fn entry_bytes(key: &str, value: &Value) -> usize {
    key.len() + 4 + value.to_string().len()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: &Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap()
    }

    #[test]
    fn a_later_output_replaces_an_earlier_one() {
        let mut gathered = Gathered::new(100);
        for n in 0..100 {
            gathered.output(object(&json!({"n": n, "fixed": true})));
            gathered.artifact("report.html".into());
        }
        let success = gathered.finish().unwrap();
        assert_eq!(success.outputs, object(&json!({"n": 99, "fixed": true})));
        assert_eq!(success.artifacts, ["report.html"]);
    }

    #[test]
    fn outputs_beyond_the_limit_fail_the_attempt() {
        let mut gathered = Gathered::new(10);
        gathered.output(object(&json!({"n": "0123456789"})));
        gathered.output(object(&json!({"m": 1})));
        let failure = gathered.finish().unwrap_err();
        assert_eq!(failure.error.code, "outputs_too_large");
        assert!(!failure.retryable);
    }
}
