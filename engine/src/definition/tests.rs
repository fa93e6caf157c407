use limelight_protocol::workflow::ParamType;
use serde_json::json;

use super::*;

const RELEASE: &str = r#"
name: release
description: Build, test in parallel, ask, publish
params:
  version: {type: string, required: true}
nodes:
  build:   {kind: command, run: "make build VERSION={{ params.version }}", timeout_s: 600}
  unit:    {kind: command, run: "make unit",  needs: [build], retry: {max_attempts: 3, backoff_s: 1, factor: 2, max_backoff_s: 60}}
  lint:    {kind: command, run: "make lint",  needs: [build], on_failure: continue}
  approve: {kind: approval, needs: [unit, lint], message: "Publish {{ params.version }}?"}
  publish: {kind: http, needs: [approve], request: {method: POST, url: "https://example.org/publish"}, when: "params.version != 'dry'"}
"#;

/// The faults of a definition as `path: code`.
fn faults(text: &str) -> Vec<String> {
    let faults = Definition::parse(text).expect_err("it has no fault");
    let brief = |fault: &Fault| format!("{}: {}", fault.path, fault.code);
    faults.iter().map(brief).collect()
}

fn node_faults(node: &str) -> Vec<String> {
    faults(&format!("name: w\nnodes:\n  a: {node}\n"))
}

#[test]
fn the_documented_example_is_read_as_it_is_meant() {
    let definition = Definition::parse(RELEASE).unwrap();
    assert_eq!(definition.name(), "release");
    assert!(definition.runs_commands());
    let ids: Vec<_> = definition.nodes().iter().map(|n| n.id.as_str()).collect();
    assert_eq!(ids, ["build", "unit", "lint", "approve", "publish"]);
    assert_eq!(definition.nodes()[3].needs, [1, 2]);
    assert_eq!(definition.dependents(0), [1, 2]);
    assert_eq!(definition.nodes()[0].timeout_s, Some(600.0));
    assert_eq!(definition.nodes()[1].retry.max_attempts(), 3);
    assert_eq!(definition.nodes()[2].on_failure, OnFailure::Continue);
    let summary = &definition.summaries()[4];
    assert_eq!(summary.kind, NodeKind::Http);
    assert_eq!(summary.needs, [NodeId::new("approve").unwrap()]);
    assert_eq!(definition.params()["version"].kind, ParamType::String);
}

#[test]
fn json_and_yaml_are_the_same_model() {
    let json = json!({"name": "w", "nodes": {
        "b": {"kind": "sleep", "duration_s": 1.5},
        "a": {"kind": "command", "args": ["echo", 1, true], "needs": ["b"], "env": {"PORT": 80}},
    }});
    let yaml = "name: w\nnodes:\n  a: {kind: command, args: [echo, 1, true], needs: [b], env: {PORT: 80}}\n  \
                b: {kind: sleep, duration_s: 1.5}\n";
    let pretty = serde_json::to_string_pretty(&json).unwrap();
    assert_eq!(
        Definition::parse(&pretty).unwrap(),
        Definition::parse(yaml).unwrap()
    );
}

#[test]
fn every_fault_is_reported_at_once_with_its_place() {
    let text = "
name: ''
nmae: x
nodes:
  a: {kind: comand, needs: [b, b, nowhere, a]}
  b: {kind: noop, run: ls, timeout_s: -1, on_failure: ignore}
  c: {kind: command, run: ls, args: [ls]}
  'd e': {kind: noop}
  f: {kind: sleep, duration_s: .nan, retry: {max_attempts: 0, factor: 0.5, backof_s: 1}}
  f: {kind: noop}
  g: {kind: worker, for_each: [1]}
  h: {kind: http, request: {url: 'ftp://x', method: FETCH, expect_status: [42]}}
  i: {kind: approval, message: '{{ params.x }} {{ nodes.z.outputs }} {{ secrets.k }} {{ foo }}', when: 'a =='}
";
    assert_eq!(
        faults(text),
        [
            "name: bad_name",
            "nmae: unknown_field",
            "nodes.a.kind: unknown_kind",
            "nodes.a.needs[1]: duplicate_need",
            "nodes.a.needs[2]: unknown_node",
            "nodes.a.needs[3]: self_need",
            "nodes.b.on_failure: bad_value",
            "nodes.b.run: misplaced_field",
            "nodes.b.timeout_s: bad_number",
            "nodes.c.args: run_and_args",
            "nodes.f: duplicate_node",
            "nodes.f.duration_s: bad_number",
            "nodes.f.retry.backof_s: unknown_field",
            "nodes.f.retry.factor: bad_number",
            "nodes.f.retry.max_attempts: bad_number",
            "nodes.g.for_each: unsupported",
            "nodes.g.kind: unsupported",
            "nodes.h.request.expect_status[0]: bad_number",
            "nodes.h.request.method: bad_value",
            "nodes.h.request.url: bad_value",
            "nodes.i.message: unknown_name",
            "nodes.i.message: unknown_node",
            "nodes.i.message: unknown_param",
            "nodes.i.message: unsupported",
            "nodes.i.when: bad_condition",
            "nodes[\"d e\"]: bad_name",
        ]
    );
}

#[test]
fn a_misspelling_is_answered_with_the_likely_word() {
    let faults = Definition::parse("name: w\nnodes: {a: {kind: noop, need: []}}").unwrap_err();
    assert!(
        faults[0].message.contains("did you mean needs?"),
        "{faults:?}"
    );
}

#[test]
fn a_cycle_is_reported_with_its_path() {
    let text = "
name: w
nodes:
  a: {kind: noop, needs: [c]}
  b: {kind: noop, needs: [a]}
  c: {kind: noop, needs: [b]}
  d: {kind: noop, needs: [c]}
";
    let faults = Definition::parse(text).unwrap_err();
    assert_eq!(faults.len(), 1);
    assert_eq!(
        (&*faults[0].path, &*faults[0].code),
        ("nodes.a.needs", "cycle")
    );
    assert!(faults[0].message.contains("a -> b -> c -> a"), "{faults:?}");
}

#[test]
fn a_long_chain_is_no_trouble_and_a_long_cycle_is_found() {
    let mut text = "name: w\nnodes:\n  n0: {kind: noop}\n".to_owned();
    for n in 1..Definition::MAX_NODES {
        text.push_str(&format!("  n{n}: {{kind: noop, needs: [n{}]}}\n", n - 1));
    }
    assert!(Definition::parse(&text).is_ok());
    let last = Definition::MAX_NODES - 1;
    let cyclic = text.replace(
        "n0: {kind: noop}",
        &format!("n0: {{kind: noop, needs: [n{last}]}}"),
    );
    assert_eq!(faults(&cyclic), ["nodes.n0.needs: cycle"]);
    text.push_str("  more: {kind: noop}\n");
    assert_eq!(faults(&text), ["nodes: too_many_nodes"]);
}

#[test]
fn what_is_no_workflow_at_all_is_one_fault() {
    assert_eq!(faults(""), [": wrong_type"]);
    assert_eq!(faults("[1, 2]"), [": wrong_type"]);
    assert_eq!(faults("a: [b"), [": syntax"]);
    assert_eq!(faults("{\"a\": 1"), [": syntax"]);
    assert_eq!(
        faults(&" ".repeat(Definition::MAX_BYTES + 1)),
        [": too_large"]
    );
    assert_eq!(faults("name: w"), ["nodes: missing_field"]);
    assert_eq!(faults("name: w\nnodes: {}"), ["nodes: no_nodes"]);
    assert_eq!(faults("nodes: {a: {kind: noop}}"), ["name: missing_field"]);
    let long = "x".repeat(129);
    assert_eq!(
        faults(&format!("name: {long}\nnodes: {{a: {{kind: noop}}}}")),
        ["name: bad_name"]
    );
}

#[test]
fn what_a_kind_cannot_do_without_is_asked_for() {
    assert_eq!(node_faults("{}"), ["nodes.a.kind: missing_field"]);
    assert_eq!(
        node_faults("{kind: command}"),
        ["nodes.a.run: missing_field"]
    );
    assert_eq!(
        node_faults("{kind: http}"),
        ["nodes.a.request: missing_field"]
    );
    assert_eq!(
        node_faults("{kind: http, request: {}}"),
        ["nodes.a.request.url: missing_field"]
    );
    assert_eq!(
        node_faults("{kind: sleep}"),
        ["nodes.a.duration_s: missing_field"]
    );
    assert_eq!(
        node_faults("{kind: noop, retry: {}}"),
        ["nodes.a.retry.max_attempts: missing_field"]
    );
    assert_eq!(
        node_faults("{kind: command, args: []}"),
        ["nodes.a.args: bad_value"]
    );
    assert_eq!(node_faults("5"), ["nodes.a: wrong_type"]);
    assert_eq!(
        node_faults("{kind: noop, needs: x}"),
        ["nodes.a.needs: wrong_type"]
    );
}

#[test]
fn a_value_that_a_shell_would_not_take_for_text_is_refused() {
    let text = r#"
name: w
params: {x: {}}
nodes:
  a: {kind: command, run: "echo '{{ params.x }}'"}
  b: {kind: command, args: [sh, -c, "echo {{ params.x }}"]}
  c: {kind: command, run: make, env: {BASH_ENV: "{{ params.x }}", LIMELIGHT_V0: x}}
"#;
    assert_eq!(
        faults(text),
        [
            "nodes.a.run: misplaced_value",
            "nodes.b.args: misplaced_value",
            "nodes.c.env.BASH_ENV: misplaced_value",
            "nodes.c.env.LIMELIGHT_V0: bad_name",
        ]
    );
}

#[test]
fn a_template_may_read_only_what_its_node_waits_for() {
    let text = |needs: &str| {
        format!(
            "name: w\nnodes:\n  a: {{kind: noop}}\n  b: {{kind: noop, needs: [a]}}\n  \
             c: {{kind: approval, message: '{{{{ nodes.a.status }}}}', needs: [{needs}]}}\n"
        )
    };
    assert!(Definition::parse(&text("b")).is_ok());
    assert_eq!(faults(&text("")), ["nodes.c.message: not_needed"]);
}

#[test]
fn parameters_are_checked_all_at_once() {
    let text = "
name: w
params:
  version: {type: string, required: true}
  count: {type: integer, default: 3}
  ratio: {type: number}
  tags: {type: array}
nodes: {a: {kind: noop}}
";
    let definition = Definition::parse(text).unwrap();
    let resolve = |given: &Value| definition.resolve_params(given.as_object().unwrap());
    let faults = resolve(&json!({"count": 1.5, "ratio": "x", "vresion": "1"})).unwrap_err();
    let brief: Vec<_> = faults
        .iter()
        .map(|f| format!("{}: {}", f.path, f.code))
        .collect();
    assert_eq!(
        brief,
        [
            "params.count: wrong_type",
            "params.ratio: wrong_type",
            "params.version: missing_param",
            "params.vresion: unknown_param",
        ]
    );
    assert!(faults[3].message.contains("version"));
    let resolved = resolve(&json!({"version": "1", "tags": [1], "ratio": null})).unwrap();
    assert_eq!(
        Value::Object(resolved),
        json!({"version": "1", "count": 3, "tags": [1]})
    );
}

#[test]
fn a_parameter_with_a_default_of_another_type_is_a_fault() {
    let text = "
name: w
params: {a: {type: integer, default: x}, b: {type: strnig}, 9c: {}, d: {requird: true}}
nodes: {a: {kind: noop}}
";
    assert_eq!(
        faults(text),
        [
            "params.9c: bad_name",
            "params.a.default: wrong_type",
            "params.b.type: unknown_type",
            "params.d.requird: unknown_field",
        ]
    );
}

#[test]
fn a_flood_of_faults_is_cut_short() {
    let fields: String = (0..5000).map(|n| format!("x{n}: 1\n")).collect();
    let faults = Definition::parse(&fields).unwrap_err();
    assert_eq!(faults.len(), 101);
    assert_eq!(faults[100].code, "too_many_faults");
}

#[test]
fn the_examples_have_no_fault() {
    for source in [
        include_str!("../../../examples/demo.yaml"),
        include_str!("../../../examples/hello.yaml"),
        include_str!("../../../examples/release.yaml"),
    ] {
        assert_eq!(Definition::parse(source).map(drop), Ok(()));
    }
}
