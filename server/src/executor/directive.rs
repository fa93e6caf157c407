//! What a program tells the server: `::…` lines on standard output, JSON lines in the report file.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{MAX_MESSAGE_BYTES, MAX_PATH_BYTES, output::shortened};

/// One thing a program tells.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Directive {
    /// `::progress 40 message`, `{"progress": 40, "message": "…"}`.
    Progress {
        progress: f64,
        message: Option<String>,
    },
    /// `::output {"key": "value"}`, `{"output": {…}}`.
    Output(Map<String, Value>),
    /// `::quality 0.93`, `{"quality": 0.93}`.
    Quality(f64),
    /// `::artifact path`, `{"artifact": "path"}`.
    Artifact(String),
}

/// Reads a line of standard output: `None` when it is ordinary output, an error when it begins like
/// a command but is not one.
pub(super) fn parse_command(line: &str) -> Option<Result<Directive, String>> {
    let command = line.strip_prefix("::")?;
    let (name, rest) = command
        .split_once(char::is_whitespace)
        .unwrap_or((command, ""));
    let rest = rest.trim();
    Some(match name {
        "progress" => {
            let (number, message) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
            let message = message.trim();
            number
                .parse()
                .map_err(|_| format!("::progress wants a number, not {number:?}"))
                .and_then(|number| progress(number, (!message.is_empty()).then(|| message.into())))
        }
        "output" => serde_json::from_str(rest)
            .map(Directive::Output)
            .map_err(|error| format!("::output wants a JSON object: {error}")),
        "quality" => rest
            .parse()
            .map_err(|_| format!("::quality wants a number, not {rest:?}"))
            .and_then(quality),
        "artifact" => artifact(rest.to_owned()),
        // `::warning file=…::` and the like are meant for others.
        _ => return None,
    })
}

/// A JSON line of the report file. One line may tell several things.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReportLine {
    progress: Option<f64>,
    message: Option<String>,
    output: Option<Map<String, Value>>,
    quality: Option<f64>,
    artifact: Option<String>,
}

/// Reads a line of the report file.
pub(super) fn parse_report(line: &str) -> Result<Vec<Directive>, String> {
    let line: ReportLine = serde_json::from_str(line).map_err(|error| error.to_string())?;
    if line.message.is_some() && line.progress.is_none() {
        return Err("a message needs a progress beside it".into());
    }
    let told = [
        line.progress.map(|number| progress(number, line.message)),
        line.output.map(|output| Ok(Directive::Output(output))),
        line.quality.map(quality),
        line.artifact.map(artifact),
    ];
    told.into_iter().flatten().collect()
}

fn progress(progress: f64, message: Option<String>) -> Result<Directive, String> {
    if (0.0..=100.0).contains(&progress) {
        Ok(Directive::Progress {
            // Without the sign of a zero.
            progress: progress.abs(),
            message: message.map(|message| shortened(&message, MAX_MESSAGE_BYTES)),
        })
    } else {
        Err(format!("progress goes from 0 to 100, not {progress}"))
    }
}

fn quality(quality: f64) -> Result<Directive, String> {
    if (0.0..=1.0).contains(&quality) {
        Ok(Directive::Quality(quality.abs()))
    } else {
        Err(format!("quality goes from 0 to 1, not {quality}"))
    }
}

fn artifact(path: String) -> Result<Directive, String> {
    if path.is_empty() {
        Err("an artifact needs a path".into())
    } else if path.len() > MAX_PATH_BYTES {
        Err(format!(
            "the path of an artifact is longer than {MAX_PATH_BYTES} bytes"
        ))
    } else {
        Ok(Directive::Artifact(path))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn check(directive: &Directive, line: &str) {
        match directive {
            Directive::Progress { progress, message } => {
                assert!((0.0..=100.0).contains(progress) && progress.is_sign_positive());
                let message = message.as_deref().unwrap_or_default();
                assert!(message.len() <= MAX_MESSAGE_BYTES + '…'.len_utf8());
            }
            Directive::Quality(quality) => assert!((0.0..=1.0).contains(quality)),
            Directive::Artifact(path) => assert!((1..=MAX_PATH_BYTES).contains(&path.len())),
            // A number may be written shorter than it is given back: `1e9`.
            Directive::Output(output) => {
                let json = serde_json::to_string(output).unwrap();
                assert!(json.len() <= 16 * line.len(), "{line}");
            }
        }
    }

    proptest! {
        #[test]
        fn fuzz_a_command_is_taken_whole_or_refused(
            line in "::(progress|output|quality|artifact|[a-z]{0,3})[ \t]{0,2}(\\PC{0,40}|[-+.0-9eNaInf]{1,12}( \\PC{0,2000})?|[\\[\\]{}:,\"\\\\u0-9a ]{0,60})",
        ) {
            if let Some(Ok(directive)) = parse_command(&line) {
                check(&directive, &line);
            }
        }

        #[test]
        fn fuzz_a_line_of_the_report_file_is_taken_whole_or_refused(
            line in prop_oneof![
                "\\{(\"(progress|message|output|quality|artifact|x)\":([-+.0-9eNaInf]{1,8}|\"\\PC{0,9}\"|null|\\{\\}|\\[\\]),?){0,4}\\}",
                "[\\[\\]{}:,\"\\\\u0-9a ]{0,60}",
                "\\PC{0,40}",
            ],
        ) {
            for directive in parse_report(&line).unwrap_or_default() {
                check(&directive, &line);
            }
        }

        #[test]
        fn fuzz_nests_of_any_depth_are_refused(
            piece in prop::sample::select(vec!["[", "{\"a\":", "[[],", "{\"a\":[", "[{\"\":", "\"\\\\"]),
            depth in 200_usize..20_000,
        ) {
            let nest = piece.repeat(depth);
            let command = parse_command(&format!("::output {{\"a\": {nest}")).unwrap();
            prop_assert!(command.is_err());
            let report = parse_report(&format!("{{\"output\": {{\"a\": {nest}"));
            prop_assert!(report.is_err());
        }
    }

    #[test]
    fn what_is_too_long_is_cut_or_refused() {
        let long = "é".repeat(10_000);
        let Some(Ok(Directive::Progress { message, .. })) =
            parse_command(&format!("::progress 1 {long}"))
        else {
            panic!("it was not taken")
        };
        assert_eq!(message.unwrap(), "é".repeat(512) + "…");
        assert!(
            parse_command(&format!("::artifact {long}"))
                .unwrap()
                .is_err()
        );
    }

    fn object(value: &Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap()
    }

    fn halfway(message: Option<&str>) -> Directive {
        Directive::Progress {
            progress: 50.0,
            message: message.map(str::to_owned),
        }
    }

    #[test]
    fn every_command_is_read() {
        let read = |line| parse_command(line).unwrap().unwrap();
        assert_eq!(read("::progress 50"), halfway(None));
        assert_eq!(read("::progress 50  half way "), halfway(Some("half way")));
        assert_eq!(
            read(r#"::output {"a": 1}"#),
            Directive::Output(object(&json!({"a": 1})))
        );
        assert_eq!(read("::quality 0.93"), Directive::Quality(0.93));
        assert_eq!(
            read("::artifact a b.txt"),
            Directive::Artifact("a b.txt".into())
        );
    }

    #[test]
    fn a_malformed_command_is_an_error() {
        for line in [
            "::progress",
            "::progress x",
            "::progress 101",
            "::progress NaN",
            "::progress -1",
            "::output",
            "::output [1]",
            "::output {",
            "::quality",
            "::quality 2",
            "::quality nan",
            "::artifact",
            "::artifact  ",
        ] {
            assert!(parse_command(line).unwrap().is_err(), "{line:?} was taken");
        }
    }

    #[test]
    fn other_lines_are_ordinary_output() {
        for line in [
            "",
            "text",
            " ::progress 5",
            "::group::x",
            "::progressing 5",
            ":: progress 5",
        ] {
            assert_eq!(
                parse_command(line),
                None,
                "{line:?} was taken for a command"
            );
        }
    }

    #[test]
    fn a_line_of_the_report_file_may_tell_several_things() {
        let line = r#"{"progress": 50, "message": "half", "output": {"a": 1}, "quality": 1, "artifact": "x"}"#;
        let told = [
            halfway(Some("half")),
            Directive::Output(object(&json!({"a": 1}))),
            Directive::Quality(1.0),
            Directive::Artifact("x".into()),
        ];
        assert_eq!(parse_report(line).unwrap(), told);
    }

    #[test]
    fn a_malformed_line_of_the_report_file_is_an_error() {
        for line in [
            "",
            "{",
            "[]",
            r#"{"progres": 5}"#,
            r#"{"progress": 500}"#,
            r#"{"message": "x"}"#,
        ] {
            assert!(parse_report(line).is_err(), "{line:?} was taken");
        }
    }
}
