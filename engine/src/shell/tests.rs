use std::{collections::BTreeMap, process::Command as Process, sync::LazyLock};

use minijinja::{Value, context};
use proptest::prelude::*;

use crate::template::{check_script, render_script};

/// What a script gives when a shell runs it, or why it is not run.
fn run(shell: &str, script: &str, values: &BTreeMap<String, String>) -> (Vec<u8>, bool) {
    let folder = tempfile::tempdir().unwrap();
    let output = Process::new(shell)
        .args(["-c", script])
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .envs(values)
        .current_dir(folder.path())
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    let executed = folder.path().join("CANARY").exists();
    (output.stdout, executed)
}

/// The shells there are; `sh` is often one of the others.
fn shells() -> Vec<&'static str> {
    static SHELLS: LazyLock<Vec<&str>> = LazyLock::new(|| {
        let there = |shell: &&str| Process::new(shell).args(["-c", ":"]).output().is_ok();
        let sh = std::fs::canonicalize("/bin/sh").unwrap();
        let others = ["bash", "dash"]
            .into_iter()
            .filter(|shell| !sh.ends_with(shell));
        std::iter::once("sh").chain(others).filter(there).collect()
    });
    SHELLS.clone()
}

/// Values that would leave a file if any part of them was ever run.
const HOSTILE: [&str; 22] = [
    "$(touch CANARY)",
    "`touch CANARY`",
    "; touch CANARY #",
    "\n touch CANARY\n",
    "' ; touch CANARY ; '",
    "\" ; touch CANARY ; \"",
    "'$(touch CANARY)'",
    "\"$(touch CANARY)\"",
    "${x:-$(touch CANARY)}",
    "a[$(touch CANARY)]",
    "a[$(touch CANARY)]=1",
    "$((a[$(touch CANARY)]))",
    "}; touch CANARY; {",
    "); touch CANARY; (",
    ")) ; touch CANARY ; ((",
    "*/ touch CANARY",
    "\\\n; touch CANARY",
    "\nEND\ntouch CANARY\n",
    "-c touch CANARY",
    "eval",
    "touch CANARY",
    "| touch CANARY &",
];

/// Places that take a value as it is: `V` stands for it, and the script prints it between brackets.
const GOOD: [&str; 29] = [
    "printf '<%s>' V",
    "printf '<%s>' \"V\"",
    "x=V; printf '<%s>' \"$x\"",
    "export X=V; printf '<%s>' \"$X\"",
    "printf '<%s>' \"$(printf '%s.' \"V\")\" | sed 's/\\.>$/>/'",
    "set -- V; printf '<%s>' \"$1\"",
    "f() { printf '<%s>' \"$1\"; }; f V",
    "sh -c 'printf \"<%s>\" \"$1\"' _ V",
    "for x in V; do printf '<%s>' \"$x\"; done",
    "case V in *) printf '<%s>' V ;; esac",
    "if [ V = V ]; then printf '<%s>' V; fi",
    "{ printf '<%s>' V; }",
    "( printf '<%s>' V )",
    "printf '<%s>' V | cat",
    "p=printf; \"$p\" '<%s>' V",
    "p=printf; $p '<%s>' V",
    "find . -maxdepth 0 -exec printf '<%s>' V \\;",
    "d=/usr/bin; $d/printf '<%s>' V",
    "printf '<%s>' V 2>&1 >&1",
    "true && printf '<%s>' V || true",
    "env X=V sh -c 'printf \"<%s>\" \"$X\"'",
    "printf '<%s>' \\\n  V",
    "# don't\nprintf '<%s>' V",
    "printf '<%s' V\"\"'>'",
    "echo \"it's\" >/dev/null; printf '<%s>' V",
    "echo $((1 + 2)) ${HOME:-x} >/dev/null; printf '<%s>' V",
    "cat <<'E' >/dev/null\nit's \"$(\nE\nprintf '<%s>' V",
    "if true; then { printf '<%s>' V; }; fi 2>&1",
    "while read x; do printf '<%s>' V; done <<E\nline\nE\n",
];

/// Places where a value would be run, evaluated or lost.
const BAD: [&str; 98] = [
    "echo 'V'",
    "echo `echo V`",
    "echo \"`echo V`\"",
    "true # V",
    "echo \\V",
    "echo \"\\V\"",
    "echo $V",
    "echo \"$V\"",
    "echo $((V))",
    "echo \"$((V + 1))\"",
    "echo $[V]",
    "((V)); true",
    "for ((i=V; i<1; i++)); do :; done",
    "echo ${x:-V}",
    "echo \"${x:V}\"",
    "cat <<'END'\nV\nEND\n",
    "cat <<\\END\nV\nEND\n",
    "cat <<END\n$(echo V)\nEND\n",
    "cat <<V\nEND\n",
    "sh <<END\nV\nEND\n",
    "cat <<END | sh\nV\nEND\n",
    "( cat <<E\nV\nE\n) | sh",
    "{ cat <<E\nV\nE\n} | sh",
    "cat <<E |\nV\nE\nsh",
    "sh -c sh <<E\nV\nE\n",
    "sh -c sh -c cat <<E\nV\nE\n",
    "echo V | sh -c 'exec bash'",
    "bash <<< V",
    ". /dev/stdin <<E\nV\nE\n",
    "command . /dev/stdin <<E\nV\nE\n",
    "bash /dev/stdin <<E\nV\nE\n",
    "sh -e - <<E\nV\nE\n",
    "{ sh; } <<E\nV\nE\n",
    "( sh ) <<E\nV\nE\n",
    "if true; then sh; fi <<E\nV\nE\n",
    "while true; do sh; break; done <<E\nV\nE\n",
    "\"$SHELL\" <<E\nV\nE\n",
    "S=sh; $S <<E\nV\nE\n",
    "python3 <<E\nV\nE\n",
    "perl - <<E\nV\nE\n",
    "/bin/[d]ash -c V",
    "/proc/self/exe -c V",
    "echo V | $SHELL",
    "``eval V",
    "$x eval V",
    "${x}eval V",
    "ev${x}al V",
    "\"$x\"eval V",
    "\"$@\" eval V",
    "$SUDO V V",
    "$SUDO sh -c V",
    "sh -c $x V",
    "sh $x V V",
    "timeout 5 sh -c V",
    "sudo ${x}sh -c V",
    "echo x >&V",
    "cat <&V",
    "echo x 2>& V",
    "eval V",
    "eval \"echo V\"",
    "e\\\nval V",
    "'ev'al V",
    "sh -c V",
    "sh -c \"echo V\"",
    "sh -ec V",
    "sh V V",
    "bash -o errexit -c V",
    "sudo sh -c V",
    "env sh -c V",
    "env V",
    "find . -exec sh -c V \\;",
    "find . -exec V \\;",
    "xargs sh -c V",
    "echo V | sh",
    "{ echo V; } | sh",
    "( echo V ) | bash -s",
    "if true; then echo V; fi | sh",
    "eval \"$(echo V)\"",
    "$(echo V)",
    "V",
    "V=1",
    "command V",
    "exec V",
    "time eval V",
    "let V",
    "let x=V",
    "trap V EXIT",
    "alias x=V",
    ". V",
    "unset V",
    "read V",
    "printf -v V x",
    "declare -a 'x'=V",
    "[[ V -eq 1 ]]",
    "[ -v V ]",
    "[ V V ]",
    "x[V]=1",
    "PS4=V; set -x; true",
];

fn template(shape: &str) -> String {
    shape.replace('V', "{{ v }}")
}

fn with(value: &str) -> Value {
    context! { v => value }
}

#[test]
fn a_value_arrives_as_it_is_wherever_it_may_stand() {
    for shape in GOOD {
        let source = template(shape);
        assert_eq!(check_script(&source), Ok(()), "{source}");
        for value in HOSTILE
            .into_iter()
            .chain(["", "a  b", "*", "~", "-n", "\\", "é\u{1f600}"])
        {
            let (script, values) = render_script(&source, &with(value)).unwrap();
            assert!(!script.contains("CANARY"), "{script}");
            for shell in shells() {
                let (said, executed) = run(shell, &script, &values);
                assert!(!executed, "{shell} ran {value:?} in {script}");
                let said = String::from_utf8_lossy(&said).into_owned();
                // `$(...)` and files of lines end where their lines do.
                assert_eq!(said, format!("<{value}>"), "{shell}: {script}");
            }
        }
    }
}

#[test]
fn a_value_is_refused_where_it_would_be_evaluated_or_lost() {
    for shape in BAD {
        let source = template(shape);
        assert!(check_script(&source).is_err(), "{source}");
        assert!(render_script(&source, &with("x")).is_err(), "{source}");
    }
}

#[test]
fn a_here_document_takes_a_value() {
    for (shell, value) in shells().into_iter().flat_map(|s| HOSTILE.map(|v| (s, v))) {
        let source = "cat <<END\n[{{ v }}]\nEND\n";
        let (script, values) = render_script(source, &with(value)).unwrap();
        let (said, executed) = run(shell, &script, &values);
        assert!(!executed);
        assert_eq!(String::from_utf8_lossy(&said), format!("[{value}]\n"));
    }
}

#[test]
fn branches_loops_and_trimming_tags_are_followed_as_they_run() {
    let context = context! { v => "a b", yes => true, l => vec!["$(touch CANARY)", "c d"] };
    let good = [
        (
            "printf '<%s>' {% if yes %}\"{{ v }}\"{% else %}{{ v }}{% endif %}",
            "<a b>",
        ),
        (
            "printf '<%s>' {% for x in l %}{{ x }} {% endfor %}",
            "<$(touch CANARY)><c d>",
        ),
        (
            "printf '<%s>' \"{% for x in l %}{{ x }},{% endfor %}\"",
            "<$(touch CANARY),c d,>",
        ),
        ("printf '<%s>' x{{- v -}} .", "<xa b.>"),
        ("printf '%s' '{{ '{{' }}'", ""),
        (
            "printf '<%s>' {% raw %}'{{ v }}'{% endraw %} {# it's #}{{ v }}",
            "<{{ v }}><a b>",
        ),
    ];
    for (source, wanted) in good {
        if wanted.is_empty() {
            assert!(check_script(source).is_err(), "{source}");
            continue;
        }
        assert_eq!(check_script(source), Ok(()), "{source}");
        let (script, values) = render_script(source, &context).unwrap();
        for shell in shells() {
            let (said, executed) = run(shell, &script, &values);
            assert!(!executed);
            assert_eq!(String::from_utf8_lossy(&said), wanted, "{shell}: {script}");
        }
    }
    // One branch leaves a quote open.
    for source in [
        "echo {% if yes %}'{% endif %} {{ v }} {% if yes %}'{% endif %}",
        "{% for x in l %}echo {{ x }}'\n{% endfor %}",
        "{% if yes %}eval{% endif %} {{ v }}",
    ] {
        assert!(check_script(source).is_err(), "{source}");
    }
}

#[test]
fn what_no_variable_can_hold_fails_in_words() {
    let long = "x".repeat(crate::limits::MAX_ARGUMENT_BYTES + 1);
    for value in ["a\0b", &long] {
        let error = render_script("echo {{ v }}", &with(value)).unwrap_err();
        assert!(error.contains("NUL") || error.contains("bytes"), "{error}");
    }
}

#[test]
fn arguments_of_a_program_are_refused_where_it_evaluates_them() {
    let check = |args: &[(&str, bool)]| super::check_arguments(args.iter().copied());
    assert!(check(&[("sh", false), ("-c", false), ("echo ", true)]).is_err());
    assert!(check(&[("/bin/bash", false), ("", true), ("", true)]).is_err());
    assert!(check(&[("env", false), ("sh", false), ("-c", false), ("", true)]).is_err());
    assert!(check(&[("python3", false), ("-c", false), ("", true)]).is_err());
    assert!(check(&[("ssh", false), ("host", false), ("", true)]).is_err());
    let given = [
        ("sh", false),
        ("-c", false),
        ("echo $1", false),
        ("_", false),
        ("", true),
    ];
    assert_eq!(check(&given), Ok(()));
    assert_eq!(check(&[("make", false), ("V=", true)]), Ok(()));
    assert_eq!(
        check(&[("./bin/", true), ("--flag", false), ("", true)]),
        Ok(())
    );
}

/// Ways to wrap a piece of script: `W` stands for what is inside.
const WRAPS: [&str; 32] = [
    "$x W",
    "``W",
    "$x eval W",
    "\"$@\" W",
    "echo x > W",
    "env x=W",
    "W",
    "\"W\"",
    "'W'",
    "`W`",
    "$(W)",
    "\"$(W)\"",
    "$((W))",
    "((W))",
    "${x:-W}",
    "\"${x:-W}\"",
    "( W )",
    "{ W; }",
    "eval W",
    "sh -c W",
    "sh -c \"W\"",
    "bash -c 'W'",
    "echo W",
    "x=W; test \"$x\" = y",
    "if W; then W; fi",
    "for i in W; do W; done",
    "case W in W) W;; esac",
    "cat <<E\nW\nE\n",
    "cat <<'E'\nW\nE\n",
    "W | sh",
    "[ W = W ]",
    "printf %s W",
];

fn nest() -> impl Strategy<Value = String> {
    let wraps = proptest::collection::vec(0..WRAPS.len(), 1..6);
    wraps.prop_map(|wraps| {
        let mut script = "V".to_owned();
        for wrap in wraps {
            // Doubling at each level would never end.
            let (first, rest) = WRAPS[wrap].split_once('W').unwrap();
            script = format!("{first}{script}{}", rest.replace('W', "x"));
        }
        script
    })
}

fn nasty() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        proptest::sample::select(HOSTILE.to_vec()).prop_map(str::to_owned),
        "[\"'`$(){};&|<>*?~#\\\\\\[\\]\n !=-]{1,6}",
    ];
    proptest::collection::vec(piece, 1..4).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn fuzz_no_value_is_ever_run(shape in nest(), value in nasty()) {
        let source = template(&shape);
        if check_script(&source).is_ok() {
            let (script, values) = render_script(&source, &with(&value)).unwrap();
            prop_assert!(!script.contains("CANARY"));
            for shell in shells() {
                let (_, executed) = run(shell, &script, &values);
                prop_assert!(!executed, "{shell} ran {value:?} in {script}");
            }
        }
    }

    #[test]
    fn fuzz_any_text_around_a_value_is_followed_or_refused(
        before in "[\"'`$(){};&|<>*?#\\\\\\[\\]\n a-e!=-]{0,12}",
        after in "[\"'`$(){};&|<>*?#\\\\\\[\\]\n a-e!=-]{0,12}",
        value in nasty(),
    ) {
        let source = format!("{before}{{{{ v }}}}{after}");
        if check_script(&source).is_ok() {
            let (script, values) = render_script(&source, &with(&value)).unwrap();
            for shell in shells() {
                let (_, executed) = run(shell, &script, &values);
                prop_assert!(!executed, "{shell} ran {value:?} in {script}");
            }
        }
    }
}
