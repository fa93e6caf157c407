//! Templates and conditions: minijinja, fenced in.
//!
//! Anyone who may define a workflow may write a template, so a template must not be able to hold up
//! the server: only expressions, `if` and `for` are there (no assignment, no macro), a short list of
//! filters, bounded instructions ("fuel") and bounded output. Undefined names are errors.

use std::{fmt::Write as _, io, sync::LazyLock};

use minijinja::{
    Environment, Error, ErrorKind, Output, State, UndefinedBehavior, Value, filters,
    syntax::SyntaxConfig, tests as jinja, value::ValueKind,
};

/// Most instructions in one rendering.
const FUEL: u64 = 50_000;

/// Most bytes that one rendering may give.
pub(crate) const MAX_OUTPUT_BYTES: usize = 1024 * 1024;

/// Statements that a template may use.
const STATEMENTS: [&str; 8] = [
    "if", "elif", "else", "endif", "for", "endfor", "raw", "endraw",
];

/// How values enter the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Quoting {
    /// As they are.
    Plain,
    /// Each as one word of a POSIX shell.
    Shell,
}

static PLAIN: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut environment = environment();
    environment.set_formatter(|out, _, value| Ok(out.write_str(&to_text(value)?)?));
    environment
});

static SHELL: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut environment = environment();
    environment.set_formatter(|out: &mut Output<'_>, _: &mut State<'_, '_>, value| {
        Ok(out.write_str(&shell_word(&to_text(value)?))?)
    });
    environment
});

fn environment() -> Environment<'static> {
    let mut environment = Environment::empty();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(FUEL));
    let mut syntax = SyntaxConfig::builder();
    if let Ok(syntax) = syntax.keep_trailing_newline(true).build() {
        environment.set_syntax(syntax);
    }
    environment.add_filter("abs", filters::abs);
    environment.add_filter("default", filters::default);
    environment.add_filter("d", filters::default);
    environment.add_filter("first", filters::first);
    environment.add_filter("float", filters::float);
    environment.add_filter("int", filters::int);
    environment.add_filter("join", filters::join);
    environment.add_filter("last", filters::last);
    environment.add_filter("length", filters::length);
    environment.add_filter("lower", filters::lower);
    environment.add_filter("max", filters::max);
    environment.add_filter("min", filters::min);
    environment.add_filter("round", filters::round);
    environment.add_filter("sort", filters::sort);
    environment.add_filter("tojson", filters::tojson);
    environment.add_filter("trim", filters::trim);
    environment.add_filter("unique", filters::unique);
    environment.add_filter("upper", filters::upper);
    environment.add_test("defined", jinja::is_defined);
    environment.add_test("undefined", jinja::is_undefined);
    environment.add_test("none", jinja::is_none);
    environment.add_test("in", jinja::is_in);
    environment.add_test("string", jinja::is_string);
    environment.add_test("number", jinja::is_number);
    environment.add_test("startingwith", jinja::is_startingwith);
    environment.add_test("endingwith", jinja::is_endingwith);
    environment
}

fn to_text(value: &Value) -> Result<String, Error> {
    if value.is_undefined() {
        return Err(Error::from(ErrorKind::UndefinedError));
    }
    if value.is_none() {
        return Ok(String::new());
    }
    if let Some(text) = value.as_str() {
        return Ok(text.to_owned());
    }
    if value.kind() == ValueKind::Number {
        return Ok(value.to_string());
    }
    let mut capped = Capped::default();
    serde_json::to_writer(&mut capped, value)
        .map_err(|error| Error::new(ErrorKind::BadSerialization, error.to_string()))?;
    capped.text()
}

/// `text` as one word of a POSIX shell: in single quotes, within which nothing is special but the
/// single quote itself (POSIX.1-2017, Shell Command Language, 2.2.2).
#[must_use]
pub fn shell_word(text: &str) -> String {
    let mut word = String::with_capacity(text.len() + 2);
    word.push('\'');
    word.push_str(&text.replace('\'', r"'\''"));
    word.push('\'');
    word
}

/// Whether there is anything to fill in.
pub(crate) fn is_literal(source: &str) -> bool {
    !["{{", "{%", "{#"].iter().any(|mark| source.contains(mark))
}

/// Fills in a template.
///
/// # Errors
/// A message for people: an undefined name, a wrong type, too much work or output.
pub(crate) fn render(source: &str, quoting: Quoting, context: &Value) -> Result<String, String> {
    if is_literal(source) {
        return Ok(source.to_owned());
    }
    let environment = match quoting {
        Quoting::Plain => &*PLAIN,
        Quoting::Shell => &*SHELL,
    };
    let mut capped = Capped::default();
    let rendered = environment
        .template_from_str(source)
        .and_then(|template| {
            template
                .render_captured_to(context.clone(), &mut capped)
                .map(drop)
        })
        .and_then(|()| capped.text());
    rendered.map_err(|error| explain(&error))
}

/// Evaluates a condition.
///
/// # Errors
/// As [`render`].
pub(crate) fn holds(condition: &str, context: &Value) -> Result<bool, String> {
    PLAIN
        .compile_expression(condition)
        .and_then(|expression| expression.eval(context.clone()))
        .and_then(|value| {
            if value.is_undefined() {
                return Err(Error::from(ErrorKind::UndefinedError));
            }
            Ok(value.is_true())
        })
        .map_err(|error| explain(&error))
}

/// The dotted names that a template reads from outside, such as `nodes.build.outputs`.
///
/// # Errors
/// A message for people: its syntax, or a statement that is not permitted.
pub(crate) fn names_in_template(source: &str) -> Result<Vec<String>, String> {
    if is_literal(source) {
        return Ok(Vec::new());
    }
    let template = PLAIN
        .template_from_str(source)
        .map_err(|error| explain(&error))?;
    if let Some(word) = statements(source).find(|word| !STATEMENTS.contains(word)) {
        return Err(format!(
            "`{{% {word} %}}` is not available: use expressions, `if` and `for`"
        ));
    }
    let mut names: Vec<_> = template.undeclared_variables(true).into_iter().collect();
    names.sort_unstable();
    Ok(names)
}

/// The dotted names that a condition reads.
///
/// # Errors
/// A message for people: its syntax.
pub(crate) fn names_in_condition(source: &str) -> Result<Vec<String>, String> {
    let expression = PLAIN
        .compile_expression(source)
        .map_err(|error| explain(&error))?;
    let mut names: Vec<_> = expression.undeclared_variables(true).into_iter().collect();
    names.sort_unstable();
    Ok(names)
}

/// First words of all `{% ... %}`.
fn statements(source: &str) -> impl Iterator<Item = &str> {
    source.split("{%").skip(1).map(|rest| {
        let rest = rest.trim_start_matches(['-', '+']).trim_start();
        let end = rest
            .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .unwrap_or(rest.len());
        &rest[..end]
    })
}

fn explain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        let _ = write!(text, ": {inner}");
        source = inner.source();
    }
    text
}

/// A buffer that refuses to grow beyond [`MAX_OUTPUT_BYTES`].
#[derive(Default)]
struct Capped(Vec<u8>);

impl Capped {
    fn text(&mut self) -> Result<String, Error> {
        String::from_utf8(std::mem::take(&mut self.0))
            .map_err(|_| Error::new(ErrorKind::WriteFailure, "not UTF-8"))
    }
}

impl io::Write for Capped {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > MAX_OUTPUT_BYTES {
            return Err(io::Error::other(format!(
                "gives more than {MAX_OUTPUT_BYTES} bytes"
            )));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use minijinja::context;

    use super::*;

    #[test]
    fn a_value_in_a_shell_template_stays_one_word_whatever_it_holds() {
        let context = context! { x => "a'; rm -rf / #$(id)`id`\n", n => 5, l => vec!["a b", "c"] };
        let render = |source| render(source, Quoting::Shell, &context).unwrap();
        assert_eq!(
            render("echo {{ x }}"),
            "echo 'a'\\''; rm -rf / #$(id)`id`\n'"
        );
        assert_eq!(render("echo {{ n }} {{ l }}"), r#"echo '5' '["a b","c"]'"#);
        assert_eq!(render("echo {{ none }}"), "echo ''");
    }

    #[test]
    fn a_plain_template_writes_values_as_they_are() {
        let context = context! { x => "a'b", y => true, m => context! { k => 1.5 } };
        let text = render("{{ x }} {{ y }} {{ m }}", Quoting::Plain, &context);
        assert_eq!(text.unwrap(), r#"a'b true {"k":1.5}"#);
    }

    #[test]
    fn an_undefined_name_is_an_error_in_templates_and_conditions() {
        let context = context! { x => context! {} };
        assert!(render("{{ x.y }}", Quoting::Plain, &context).is_err());
        assert!(render("{{ x.y }}", Quoting::Shell, &context).is_err());
        assert!(holds("x.y", &context).is_err());
        assert!(holds("x.y.z == 1", &context).is_err());
        assert_eq!(holds("x.y is defined", &context), Ok(false));
    }

    #[test]
    fn endless_work_and_output_are_cut_short() {
        let context = context! { l => vec![0; 10_000] };
        let endless = "{% for a in l %}{% for b in l %}{{ a }}{% endfor %}{% endfor %}";
        assert!(render(endless, Quoting::Plain, &context).is_err());
        let huge = "{{ 'x' * 2000000 }}";
        assert!(
            render(huge, Quoting::Plain, &context)
                .unwrap_err()
                .contains("bytes")
        );
    }

    #[test]
    fn assignments_are_refused_because_they_could_double_without_end() {
        let error = names_in_template("{% set x = 'a' %}{{ x }}").unwrap_err();
        assert!(error.contains("set"), "{error}");
    }

    #[test]
    fn the_names_that_a_template_reads_are_known() {
        let names =
            names_in_template("{{ params.a }}{% for x in nodes.b.outputs.l %}{{ x }}{% endfor %}");
        assert_eq!(names.unwrap(), ["nodes.b.outputs.l", "params.a"]);
        assert!(names_in_template("{{ a").is_err());
        assert!(names_in_condition("a ==").is_err());
    }
}
