use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use limelight_protocol::{
    ExecutionId, ExecutionStatus, NodeId, NodeStatus, Timestamp,
    actor::ActorState,
    host::{DiskSample, ProcessSample},
    workflow::NodeKind,
};
use serde_json::Value;

use super::*;
use crate::telemetry::events::{
    ActorRestarted, CommitFailed, ExecutionEnded, NodeEnded, SubscriberLagged,
};

fn actor(kind: &str, mailbox: u64) -> ActorSnapshot {
    ActorSnapshot {
        path: format!("system/{kind}"),
        kind: kind.to_owned(),
        state: ActorState::Running,
        mailbox,
        handled: 0,
        restarts: 0,
        panics: 0,
        started_at: Timestamp(0),
        last_beat: Timestamp(0),
        last_error: None,
    }
}

fn sample(mounts: &[&str]) -> HostSample {
    let disk = |mount: &&str| DiskSample {
        mount: (*mount).to_owned(),
        used_bytes: 5,
        total_bytes: 10,
    };
    HostSample {
        at: Timestamp(0),
        cpu_percent: 50.0,
        cores_percent: vec![50.0, 50.0],
        memory_used_bytes: 1,
        memory_total_bytes: 2,
        swap_used_bytes: 3,
        swap_total_bytes: 4,
        load_average: [0.1, 0.2, 0.3],
        disks: mounts.iter().map(disk).collect(),
        network_received_bytes_per_s: 6.0,
        network_sent_bytes_per_s: 7.0,
        process: ProcessSample {
            cpu_percent: 1.0,
            resident_bytes: 8,
        },
    }
}

/// Metrics to each of which something happened.
fn touched() -> Metrics {
    let metrics = Metrics::new().unwrap();
    let millisecond = Duration::from_millis(1);
    let execution_id = ExecutionId(uuid::Uuid::nil());
    metrics.observe_http("GET", "/api/executions/{id}", 200, millisecond);
    metrics.set_executions_running(2);
    metrics.set_slots(1, 4);
    metrics.observe_commit(3, millisecond);
    metrics.observe_delivery(millisecond);
    metrics.set_subscribers(1, 2);
    metrics.set_actors(&[actor("journal", 3), actor("hub", 1), actor("hub", 2)]);
    metrics.observe_case(CaseStatus::Passed);
    metrics.set_store_up(true);
    metrics.set_host(&sample(&["/"]));
    metrics.emit(ExecutionEnded {
        execution_id,
        workflow: "release",
        status: ExecutionStatus::Completed,
        duration_s: 1.0,
    });
    metrics.emit(NodeEnded {
        execution_id,
        node_id: &NodeId::new("build").unwrap(),
        kind: NodeKind::Command,
        status: NodeStatus::Failed,
        duration_s: 1.0,
    });
    metrics.emit(ActorRestarted {
        path: "system/journal",
        kind: "journal",
        panicked: true,
        error: "lost",
        backoff_s: 0.1,
    });
    metrics.emit(CommitFailed {
        events: 3,
        error: "disk full",
    });
    metrics.emit(SubscriberLagged {
        topic: "executions",
        from: 1,
        to: 9,
    });
    metrics
}

/// Names of all series in a text of metrics, with their values.
fn series(text: &str) -> Vec<(&str, &str)> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.rsplit_once(' ').unwrap()).collect()
}

fn value<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let found = series(text).into_iter().find(|(series, _)| *series == name);
    found.map(|(_, value)| value)
}

#[test]
fn what_happens_is_counted_and_measured() {
    let text = touched().render();
    for (name, expected) in [
        (
            "limelight_http_requests_total{method=\"GET\",route=\"/api/executions/{id}\",status=\"200\"}",
            "1",
        ),
        ("limelight_executions_total{status=\"completed\"}", "1"),
        ("limelight_executions_total{status=\"failed\"}", "0"),
        ("limelight_executions_running", "2"),
        (
            "limelight_node_duration_seconds_count{kind=\"command\",status=\"failed\"}",
            "1",
        ),
        ("limelight_journal_events_total", "3"),
        ("limelight_journal_batch_events_sum", "3"),
        ("limelight_journal_commit_failures_total", "1"),
        ("limelight_event_delivery_lag_seconds_count", "1"),
        ("limelight_ws_subscriptions", "2"),
        ("limelight_ws_lagged_total", "1"),
        ("limelight_actors{kind=\"hub\"}", "2"),
        ("limelight_actor_mailbox_depth{kind=\"hub\"}", "2"),
        ("limelight_actor_panics_total{kind=\"journal\"}", "1"),
        ("limelight_actor_restarts_total{kind=\"hub\"}", "0"),
        ("limelight_test_cases_total{status=\"passed\"}", "1"),
        ("limelight_store_up", "1"),
        ("limelight_host_cpu_usage_ratio", "0.5"),
        ("limelight_host_load_average{window=\"15m\"}", "0.3"),
        ("limelight_host_disk_used_bytes{mount=\"/\"}", "5"),
    ] {
        assert_eq!(value(&text, name), Some(expected), "{name}");
    }
}

#[test]
fn the_process_is_measured_when_asked() {
    let text = Metrics::new().unwrap().render();
    let number = |name| value(&text, name).unwrap().parse::<f64>().unwrap();
    assert!(number("process_resident_memory_bytes") > 1e6);
    assert!(number("process_open_fds") >= 3.0);
    assert!(number("process_max_fds") >= number("process_open_fds"));
    assert!(number("process_start_time_seconds") > 1.6e9);
}

#[test]
fn a_mount_that_is_gone_is_forgotten() {
    let metrics = Metrics::new().unwrap();
    metrics.set_host(&sample(&["/", "/mnt"]));
    metrics.set_host(&sample(&["/"]));
    let text = metrics.render();
    assert!(
        text.contains("{mount=\"/\"}") && !text.contains("/mnt"),
        "{text}"
    );
}

#[test]
fn a_kind_of_actor_that_is_gone_counts_none() {
    let metrics = touched();
    metrics.set_actors(&[actor("journal", 0)]);
    let text = metrics.render();
    assert_eq!(value(&text, "limelight_actors{kind=\"hub\"}"), Some("0"));
    assert_eq!(
        value(&text, "limelight_actor_mailbox_depth{kind=\"hub\"}"),
        Some("0")
    );
}

#[test]
fn a_client_cannot_make_up_methods() {
    let metrics = Metrics::new().unwrap();
    metrics.observe_http("BREW", "/api", 405, Duration::ZERO);
    let text = metrics.render();
    assert!(
        text.contains("method=\"other\"") && !text.contains("BREW"),
        "{text}"
    );
}

#[test]
fn names_follow_the_rules() {
    for family in touched().registry.gather() {
        let name = family.name();
        assert!(
            name.starts_with("limelight_") || name.starts_with("process_"),
            "{name}"
        );
        let is_counter = family.get_field_type() == prometheus::proto::MetricType::COUNTER;
        assert_eq!(is_counter, name.ends_with("_total"), "{name}");
        assert!(family.help().ends_with('.'), "{name}: {}", family.help());
        for unit in ["_ms", "_milliseconds", "_kb", "_percent", "_minutes"] {
            assert!(!name.contains(unit), "{name}");
        }
    }
}

#[test]
fn every_metric_that_grafana_and_the_alerts_use_is_exposed() {
    let text = touched().render();
    let exposed: BTreeSet<_> = series(&text)
        .into_iter()
        .map(|(name, _)| name.split('{').next().unwrap())
        .collect();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../grafana");
    let mut used = 0;
    for path in files(&folder) {
        let text = fs::read_to_string(&path).unwrap();
        // JSON is YAML.
        let document: Value = serde_yaml_ng::from_str(&text).unwrap();
        let mut expressions = Vec::new();
        collect(&document, &mut expressions);
        for name in expressions
            .iter()
            .flat_map(|expression| metric_names(expression))
        {
            used += 1;
            // Prometheus makes this one itself.
            let known = name == "up" || exposed.contains(name.as_str());
            assert!(
                known,
                "{} uses {name}, which is not exposed",
                path.display()
            );
        }
    }
    assert!(used > 50, "only {used} uses were found");
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let inside = |path: PathBuf| {
        if path.is_dir() {
            files(&path)
        } else {
            vec![path]
        }
    };
    entries.flat_map(inside).collect()
}

/// Everything that is asked of Prometheus in a document.
fn collect(document: &Value, expressions: &mut Vec<String>) {
    match document {
        Value::Object(fields) => {
            for (key, value) in fields {
                match value.as_str() {
                    Some(text) if key == "expr" || key == "definition" => {
                        expressions.push(text.to_owned());
                    }
                    _ => collect(value, expressions),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| collect(value, expressions)),
        _ => {}
    }
}

/// Names of metrics in a PromQL expression (or in Grafana's `label_values(metric, label)`).
fn metric_names(expression: &str) -> Vec<String> {
    const GROUPING: [&str; 6] = [
        "by",
        "without",
        "on",
        "ignoring",
        "group_left",
        "group_right",
    ];
    const WORDS: [&str; 10] = [
        "and", "or", "unless", "bool", "offset", "sum", "min", "max", "avg", "count",
    ];
    let mut names = Vec::new();
    let mut rest = expression;
    while let Some(first) = rest.chars().next() {
        let skip_past = |end: char| rest[1..].find(end).map_or(rest.len(), |at| at + 2);
        let word = rest.len()
            - rest
                .trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':')
                .len();
        rest = match first {
            '"' => &rest[skip_past('"')..],
            '{' => after_selector(rest),
            '[' => &rest[skip_past(']')..],
            _ if word == 0 => &rest[first.len_utf8()..],
            _ => {
                let (name, after) = rest.split_at(word);
                let after = after.trim_start();
                let labels = after
                    .strip_prefix('(')
                    .and_then(|inside| inside.split_once(')'));
                match labels {
                    Some((_, after)) if GROUPING.contains(&name) => after,
                    Some((arguments, after)) if name == "label_values" => {
                        names.push(arguments.split(',').next().unwrap().trim().to_owned());
                        after
                    }
                    _ => {
                        let is_function = after.starts_with('(');
                        let is_number = first.is_ascii_digit();
                        let is_word = WORDS.contains(&name) || GROUPING.contains(&name);
                        if !(is_function || is_number || is_word) {
                            names.push(name.to_owned());
                        }
                        after
                    }
                }
            }
        };
    }
    names
}

/// What follows `{label="value", …}`; a value may hold anything.
fn after_selector(text: &str) -> &str {
    let (mut quoted, mut escaped) = (false, false);
    for (at, character) in text.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = quoted,
            '"' => quoted = !quoted,
            '}' if !quoted => return &text[at + 1..],
            _ => {}
        }
    }
    ""
}

#[test]
fn metric_names_are_found_in_expressions() {
    let expression = r#"histogram_quantile(0.99, sum by (le, kind) (rate(a_bucket{x="}b\"", y=~"c"}[5m])))
        / on (instance) group_left sum(d) > 1e3 and max without(e) (f offset 1) or g == 2"#;
    assert_eq!(metric_names(expression), ["a_bucket", "d", "f", "g"]);
    assert_eq!(
        metric_names("label_values(build_info, instance)"),
        ["build_info"]
    );
}
