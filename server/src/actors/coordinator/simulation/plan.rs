//! What is performed: random graphs of every kind of node and policy.

use rand::{Rng as _, rngs::StdRng};
use serde_json::{Value, json};

/// A definition of up to seven nodes.
pub fn definition(rng: &mut StdRng, name: &str) -> Value {
    let mut nodes = serde_json::Map::new();
    for place in 0..rng.random_range(1..=7_usize) {
        let mut node = match rng.random_range(0..10) {
            0..=1 => json!({"kind": "noop"}),
            2 => json!({"kind": "sleep", "duration_s": rng.random_range(0..20)}),
            3 => json!({"kind": "approval"}),
            4 => json!({"kind": "http", "request": {"method": "GET", "url": "http://[::1]/"}}),
            _ => json!({"kind": "command", "run": "true"}),
        };
        let needs: Vec<_> = (0..place)
            .filter(|_| rng.random_bool(0.3))
            .map(|need| format!("n{need}"))
            .collect();
        node["needs"] = json!(needs);
        match rng.random_range(0..4) {
            0 => node["retry"] = json!("never"),
            1 => node["retry"] = json!({"max_attempts": 3, "backoff_s": 2}),
            2 => node["retry"] = json!({"max_attempts": 2, "backoff_s": 0}),
            _ => {}
        }
        if rng.random_bool(0.3) {
            node["timeout_s"] = json!(rng.random_range(1..10));
        }
        if rng.random_bool(0.3) {
            node["on_failure"] = json!("continue");
        }
        nodes.insert(format!("n{place}"), node);
    }
    json!({"name": name, "nodes": nodes})
}
