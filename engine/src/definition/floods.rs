//! Definitions, templates and conditions made to break the server: each is read on a small stack,
//! where reading too deep would end the process.

use std::{sync::mpsc, thread, time::Duration};

use minijinja::{Value, context};
use proptest::prelude::*;
use serde_json::json;

use super::Definition;
use crate::{
    limits::MAX_FAULTS,
    template::{holds, names_in_condition, names_in_template, render},
};

/// A quarter of what the threads of the server have.
const STACK_BYTES: usize = 512 * 1024;

/// Nothing here takes so long but what hangs.
const HANGS: Duration = Duration::from_secs(60);

fn on_a_small_stack<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, result) = mpsc::channel();
    thread::Builder::new()
        .stack_size(STACK_BYTES)
        .spawn(move || done.send(work()))
        .unwrap();
    result.recv_timeout(HANGS).expect("it panics or hangs")
}

/// Reads a definition; a fault list stays short whatever is read.
fn parse(text: String) -> bool {
    on_a_small_stack(move || match Definition::parse(&text) {
        Ok(_) => true,
        Err(faults) => {
            assert!(faults.len() <= MAX_FAULTS + 1);
            let bytes: usize = faults.iter().map(|f| f.path.len() + f.message.len()).sum();
            assert!(bytes < 1024 * 1024, "{bytes} bytes of faults");
            false
        }
    })
}

/// Everything that is done with a condition or the inside of a `{{ }}`.
fn evaluate(expression: String) {
    on_a_small_stack(move || {
        let context = context! { a => 1, s => "x".repeat(100_000), l => vec![1; 10_000] };
        let _ = names_in_condition(&expression);
        let _ = holds(&expression, &context);
        fill_in(&format!("{{{{ {expression} }}}}"), &context);
        fill_in(&format!("{{% if {expression} %}}x{{% endif %}}"), &context);
        fill_in(
            &format!("{{% for i in {expression} %}}x{{% endfor %}}"),
            &context,
        );
    });
}

fn fill_in(template: &str, context: &Value) {
    let names = names_in_template(template);
    let text = render(template, context);
    // What cannot be rendered may be found so only then, but not the other way round.
    assert!(names.is_ok() || text.is_err(), "{template}");
}

/// What may be said again and again, before and after something.
const REPEATED: [(&str, &str); 34] = [
    ("1+", ""),
    ("1-", ""),
    ("a*", ""),
    ("a**", ""),
    ("a//", ""),
    ("a~", ""),
    ("s~", ""),
    ("a<", ""),
    ("a==", ""),
    ("a in ", ""),
    ("a not in ", ""),
    ("not ", ""),
    ("- ", ""),
    ("-", ""),
    ("a and ", ""),
    ("a or ", ""),
    ("a if a else ", ""),
    ("(", ")"),
    ("[", "]"),
    ("[a,", "]"),
    ("{'k':", "}"),
    ("a[", "]"),
    ("a(", ")"),
    ("(not ", ")"),
    ("(a+", ")|abs"),
    ("", "|abs"),
    ("", "|default(1)"),
    ("", ".a"),
    ("", "[0]"),
    ("", "[1:]"),
    ("", "()"),
    ("", " is defined"),
    ("", " if a"),
    ("s|join(", ")"),
];

#[test]
fn no_chain_or_nest_of_operators_overflows_the_stack() {
    for (before, after) in REPEATED {
        for times in [10, 50, 62, 500, 5000] {
            evaluate(format!("{}a{}", before.repeat(times), after.repeat(times)));
        }
    }
    for times in [10, 15, 17, 1000] {
        for (open, close) in [
            ("{% if a %}", "{% endif %}"),
            ("{% for i in [1] %}", "{% endfor %}"),
            ("{% if a %}{% elif a %}", "{% endif %}"),
            ("{% if a %}{% else %}{% if a %}", "{% endif %}{% endif %}"),
            ("{% with %}", "{% endwith %}"),
            ("{% filter upper %}", "{% endfilter %}"),
            ("{% set x %}", "{% endset %}"),
            ("{% autoescape true %}", "{% endautoescape %}"),
        ] {
            let template = format!("{}x{}", open.repeat(times), close.repeat(times));
            on_a_small_stack(move || fill_in(&template, &context! { a => 1 }));
        }
        let chain = format!("{{% if a %}}{}{{% endif %}}", "{% elif a %}x".repeat(times));
        on_a_small_stack(move || fill_in(&chain, &context! { a => 0 }));
    }
}

#[test]
fn what_people_write_is_not_too_deep() {
    for expression in [
        "params.a == 'x' and (params.b > 3 or not params.c) and nodes.x.outputs.list[0].name is defined",
        "(nodes.a.outputs.n|int + nodes.b.outputs.n|int) * 2 >= params.least|default(10)",
        "((((((((1))))))))",
        "1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1",
    ] {
        assert!(names_in_condition(expression).is_ok(), "{expression}");
    }
}

#[test]
fn no_expression_makes_much_of_little() {
    let long = "x".repeat(1_000_000);
    let list: Vec<u8> = vec![1; 100_000];
    for template in [
        "{{ 'x' * 100000000 }}",
        "{{ ('x' ~ 'y') * 100000000 }}",
        "{{ s * 100 }}",
        "{{ (l * 1000)|length }}",
        "{{ [1] * 100000000 }}",
        "{{ [s~s, s~s, s~s, s~s, s~s, s~s, s~s, s~s]|length }}",
        "{{ [s[:], s[:], s[:], s[:], s[:], s[:], s[:], s[:], s[:], s[:]]|length }}",
        "{{ [s|upper, s|upper, s|upper, s|upper, s|upper, s|upper, s|upper, s|upper, s|upper]|length }}",
        "{{ l|join(s) }}",
        "{{ [l+l, l+l, l+l, l+l]|length }}",
        "{{ [l|tojson, l|tojson, l|tojson, l|tojson, l|tojson, l|tojson, l|tojson, l|tojson, l|tojson, l|tojson, l|tojson, l|tojson, l|tojson, l|tojson, l|tojson, l|tojson, l|tojson, l|tojson, l|tojson, l|tojson, l|tojson, l|tojson, l|tojson]|length }}",
        "{{ [l|sort, l|sort, l|sort, l|sort]|length }}",
        "{% for a in l %}{{ s }}{% endfor %}",
        "{% for a in l %}xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx{% endfor %}",
    ] {
        let context = context! { s => long.as_str(), l => list.clone() };
        let error = render(template, &context).unwrap_err();
        assert!(error.len() < 1000, "{error}");
    }
}

#[test]
fn operators_do_what_they_did() {
    let context = context! { s => "abcdef", l => vec![1, 2, 3, 4], n => 7, f => 1.5 };
    for (template, wanted) in [
        (
            "{{ n + 1 }} {{ n * f }} {{ n + f }} {{ n * 3 }} {{ true + 1 }}",
            "8 10.5 8.5 21 2",
        ),
        (
            "{{ s + 'x' }} {{ s ~ n }} {{ l + [5] }}",
            "abcdefx abcdef7 [1,2,3,4,5]",
        ),
        (
            "{{ s[1:3] }} {{ s[-2:] }} {{ s[::-1] }} {{ l[:2] }} {{ l[::2] }}",
            "bc ef fedcba [1,2] [1,3]",
        ),
        (
            "{{ l|join('-') }} {{ s|upper }} {{ ' x '|trim }} {{ l|length }}",
            "1-2-3-4 ABCDEF x 4",
        ),
        (
            "{{ l|sort(reverse=true) }} {{ s|tojson }} {{ '12'|int + 1 }}",
            "[4,3,2,1] \"abcdef\" 13",
        ),
    ] {
        assert_eq!(render(template, &context).unwrap(), wanted);
    }
    assert!(render("{{ x + 1 }}", &context).is_err());
}

#[test]
fn no_flood_of_yaml_or_json_overflows_the_stack_or_hangs() {
    let many = 100_000;
    let mut floods: Vec<String> = Vec::new();
    for piece in [
        "[",
        "{",
        "{a: ",
        "- ",
        "? ",
        "a: ",
        "[a, ",
        "!!str ",
        "&a ",
        "*a ",
        "<<: ",
        "{\"a\":",
        "[{",
        "'",
        "\"",
        "|\n",
        ">\n ",
        "# ",
        "---\n",
        "...\n",
        "%YAML 1.2\n",
        "- - ",
        "-\n",
        "?\n",
        ":\n",
        ",",
        "]",
        "}",
        "\t",
        "\\",
        "!a ",
        "!<a> ",
        "[[],",
        "\u{feff}",
        "\u{0}",
        "a\n",
        "a:\n",
        "&a [",
        "{&a a: *a, ",
    ] {
        let times = many.min(1024 * 1024 / piece.len());
        floods.push(piece.repeat(times));
        floods.push(format!("name: w\nnodes: {}", piece.repeat(times - 20)));
        floods.push(format!("{{\"name\": {}", piece.repeat(times - 20)));
    }
    for depth in [10, 60, 70, 5000] {
        let open: String = (0..depth.min(700))
            .map(|n| format!("{}- a:\n", "  ".repeat(n)))
            .collect();
        floods.push(open);
        floods.push(format!(
            "{}1{}",
            "{\"a\":[".repeat(depth),
            "]}".repeat(depth)
        ));
    }
    floods.push(format!(
        "a: &a {}\nb: [{}]",
        "x".repeat(100_000),
        "*a,".repeat(5000)
    ));
    floods.push(format!("a: &a [1]\nb:\n{}", "  <<: *a\n".repeat(50_000)));
    floods.push((0..50_000).map(|n| format!("a{n}: &a{n} x\n")).collect());
    for flood in floods {
        assert!(!parse(flood));
    }
}

#[test]
fn no_flood_of_mistakes_takes_long_to_tell() {
    let names = |n: usize| {
        (0..n)
            .map(|i| format!("missing_{i:06}"))
            .collect::<Vec<_>>()
    };
    let nodes: serde_json::Map<_, _> = (0..8000)
        .map(|n| {
            (
                format!("a_node_with_a_name_{n:05}"),
                json!({"kind": "noop", "needs": [format!("nobody_{n}")]}),
            )
        })
        .collect();
    let mut fields: serde_json::Map<_, _> =
        names(40_000).into_iter().map(|n| (n, json!(1))).collect();
    for flood in [
        json!({"name": "w", "nodes": {"a": {"kind": "noop", "needs": names(60_000)}}}),
        json!({"name": "w", "nodes": nodes}),
        json!({"name": "w", "nodes": {"a": {"kind": "noop", "unknown": fields.clone()}}}),
        json!({"name": "w", "params": fields.clone(), "nodes": {"a": {"kind": "noop"}}}),
        json!({"name": "w", "nodes": {"a": {"kind": "http", "request": {"url": "http://x", "headers": fields.clone()}}}}),
    ] {
        assert!(!parse(flood.to_string()));
    }
    fields.insert("name".to_owned(), json!("w"));
    assert!(!parse(
        serde_json::Value::Object(fields.clone()).to_string()
    ));
    on_a_small_stack(move || {
        let definition =
            Definition::parse("name: w\nparams: {missing: {}}\nnodes: {a: {kind: noop}}");
        let faults = definition.unwrap().resolve_params(&fields).unwrap_err();
        assert!(faults.len() <= MAX_FAULTS + 1);
    });
}

#[test]
fn ten_thousand_nodes_that_read_each_other_are_fine() {
    let mut text = "name: w\nnodes:\n  n0: {kind: noop}\n".to_owned();
    for n in 1..10_000 {
        let before = n - 1;
        text.push_str(&format!(
            "  n{n}: {{kind: approval, needs: [n{before}], message: '{{{{nodes.n0.status}}}}'}}\n"
        ));
    }
    assert!(parse(text));
}

#[test]
fn what_an_execution_is_given_has_limits() {
    let definition =
        Definition::parse("name: w\nparams: {p: {type: array}}\nnodes: {a: {kind: noop}}").unwrap();
    let refused = |value: serde_json::Value| {
        let given = json!({"p": value});
        let faults = definition
            .resolve_params(given.as_object().unwrap())
            .unwrap_err();
        faults[0].code.clone()
    };
    assert_eq!(refused(json!(vec!["x".repeat(1000); 300])), "too_large");
    let mut deep = json!([]);
    for _ in 0..100 {
        deep = json!([deep]);
    }
    assert_eq!(refused(deep), "too_deep");
}

fn soup(pieces: &'static [&'static str]) -> impl Strategy<Value = String> {
    let run = (
        proptest::sample::select(pieces),
        prop_oneof![4 => 1..4_usize, 1 => 1..3000_usize],
    );
    proptest::collection::vec(run, 1..12).prop_map(|runs| {
        runs.into_iter()
            .map(|(piece, times)| piece.repeat(times))
            .collect()
    })
}

const YAML: &[&str] = &[
    "[",
    "]",
    "{",
    "}",
    "- ",
    "? ",
    ": ",
    ", ",
    "\n",
    "  ",
    "a",
    "name: w\n",
    "nodes:\n",
    "&a ",
    "*a ",
    "!!str ",
    "!x ",
    "<<: ",
    "'",
    "\"",
    "|",
    ">",
    "#",
    "---\n",
    "...\n",
    "%",
    "@",
    "`",
    "\t",
    "1",
    ".inf",
    "~",
    "\\",
    "\u{feff}",
    "é",
    "kind: noop",
    "needs: ",
    "\r\n",
    "\u{85}",
    "\u{2028}",
];

const EXPRESSION: &[&str] = &[
    "a",
    "s",
    "l",
    "1",
    "1.5",
    "'x'",
    "\"",
    " + ",
    " - ",
    " * ",
    " ** ",
    " / ",
    " // ",
    " % ",
    " ~ ",
    " == ",
    " < ",
    " in ",
    " not ",
    " and ",
    " or ",
    " if ",
    " else ",
    " is ",
    "defined",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    ":",
    ",",
    ".",
    "|",
    "abs",
    "join",
    "sort",
    "upper",
    "tojson",
    "length",
    "default",
    "loop",
    "true",
    "none",
    "-",
    "=",
    "range",
    "\\",
    "\n",
    "100000000000",
];

const TEMPLATE: &[&str] = &[
    "{{",
    "}}",
    "{%",
    "%}",
    "{#",
    "#}",
    "{{ a }}",
    "{{- s -}}",
    "{{ l|join(s) }}",
    "{% if a %}",
    "{% elif a %}",
    "{% else %}",
    "{% endif %}",
    "{% for x in l %}",
    "{% endfor %}",
    "{% raw %}",
    "{% endraw %}",
    "{% set x = 1 %}",
    "{% for x in l recursive %}",
    "{{ loop(l) }}",
    "{{ loop.index }}",
    "{{ x }}",
    "text",
    "'",
    "\n",
    "{% macro m() %}",
    "{% with %}",
    "{% filter upper %}",
];

proptest! {
    #[test]
    fn fuzz_definitions(text in soup(YAML)) {
        parse(text);
    }

    #[test]
    fn fuzz_definitions_that_look_like_json(text in soup(&["{", "}", "[", "]", "\"a\"", ":", ",", "1", "null", "\\u0000", " ", "\"", "tru", "-", "e9"])) {
        parse(format!("{{{text}"));
    }

    #[test]
    fn fuzz_conditions(text in soup(EXPRESSION)) {
        evaluate(text);
    }

    #[test]
    fn fuzz_templates(text in soup(TEMPLATE)) {
        on_a_small_stack(move || {
            fill_in(&text, &context! { a => 1, s => "x".repeat(10_000), l => vec![1, 2, 3] });
        });
    }
}
