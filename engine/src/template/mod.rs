//! Templates and conditions: minijinja, fenced in.
//!
//! Anyone who may define a workflow may write a template, so a template must not be able to hold up
//! the server: it is measured before it is parsed; only expressions, `if` and `for` are there (no
//! assignment, no macro), a short list of filters, bounded instructions ("fuel"), bounded output and
//! bounded work on the way. Undefined names are errors.

mod bounded;
mod check;
mod measure;

use std::{collections::BTreeMap, fmt::Write as _, io, sync::LazyLock};

use minijinja::{
    AutoEscape, Environment, Error, ErrorKind, Output, State, Value,
    machinery::{
        CodeGenerator, ast, eval, make_string_output, parse as parse_template, parse_expr,
    },
    syntax::SyntaxConfig,
    value::ValueKind,
};

use self::bounded::{Purse, environment, replace_operators};
use crate::{
    limits::{
        MAX_ARGUMENT_BYTES, MAX_CONDITION_BYTES, MAX_MESSAGE_CHARS, MAX_OUTPUT_BYTES,
        MAX_TEMPLATE_BYTES, MAX_WORK_BYTES,
    },
    shell::{self, MARK},
};

/// Only to be asked what names a text reads.
static ASKED: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut environment = environment(&Purse::new(0), 0);
    environment.set_syntax(syntax());
    environment
});

fn syntax() -> SyntaxConfig {
    let mut syntax = SyntaxConfig::builder();
    let syntax = syntax.keep_trailing_newline(true).build();
    syntax.unwrap_or_default()
}

/// Writes a value as text.
fn to_text(value: &Value, most: usize) -> Result<String, Error> {
    if value.is_undefined() {
        return Err(Error::from(ErrorKind::UndefinedError));
    }
    if value.is_none() {
        return Ok(String::new());
    }
    let too_long = || {
        let message = format!("gives more than {most} bytes");
        Error::new(ErrorKind::InvalidOperation, message)
    };
    if let Some(text) = value.as_str() {
        return (text.len() <= most)
            .then(|| text.to_owned())
            .ok_or_else(too_long);
    }
    if value.kind() == ValueKind::Number {
        return Ok(value.to_string());
    }
    let mut capped = Capped {
        bytes: Vec::new(),
        most,
    };
    serde_json::to_writer(&mut capped, value).map_err(|error| {
        if error.is_io() {
            return too_long();
        }
        Error::new(ErrorKind::BadSerialization, error.to_string())
    })?;
    String::from_utf8(capped.bytes).map_err(|_| Error::new(ErrorKind::WriteFailure, "not UTF-8"))
}

/// A buffer that refuses to grow beyond `most` bytes.
struct Capped {
    bytes: Vec<u8>,
    most: usize,
}

impl io::Write for Capped {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > self.most {
            return Err(io::Error::other("too long"));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whether there is anything to fill in.
pub(crate) fn is_literal(source: &str) -> bool {
    !["{{", "{%", "{#"].iter().any(|mark| source.contains(mark))
}

/// Fills in a template.
///
/// # Errors
/// A message for people: an undefined name, a wrong type, too much work or output.
pub(crate) fn render(source: &str, context: &Value) -> Result<String, String> {
    if is_literal(source) {
        return Ok(source.to_owned());
    }
    let output = Purse::new(MAX_OUTPUT_BYTES);
    fill_in(source, context, move |out, value| {
        let text = to_text(value, output.left())?;
        output.spend(text.len())?;
        Ok(out.write_str(&text)?)
    })
}

/// Fills in a template of a script: the script, and the variables that hold its values.
///
/// # Errors
/// As [`render`], and when a value cannot be handed over in a variable.
pub(crate) fn render_script(
    source: &str,
    context: &Value,
) -> Result<(String, BTreeMap<String, String>), String> {
    if is_literal(source) {
        return Ok((source.to_owned(), BTreeMap::new()));
    }
    let output = Purse::new(MAX_OUTPUT_BYTES);
    let marked = fill_in(source, context, move |out, value| {
        let text = to_text(value, MAX_ARGUMENT_BYTES)?;
        if text.contains(MARK) {
            let message = "a value holds NUL, which no variable can";
            return Err(Error::new(ErrorKind::InvalidOperation, message));
        }
        output.spend(text.len())?;
        Ok(write!(out, "{MARK}{text}{MARK}")?)
    })?;
    shell::script(&marked)
}

/// Fills in a template whose values `write` writes.
fn fill_in(
    source: &str,
    context: &Value,
    write: impl Fn(&mut Output<'_>, &Value) -> Result<(), Error> + Send + Sync + 'static,
) -> Result<String, String> {
    let (template, longest_repeated) = parse(source)?;
    let mut environment = environment(&Purse::new(MAX_WORK_BYTES), longest_repeated);
    environment
        .set_formatter(move |out: &mut Output<'_>, _: &mut State<'_, '_>, value| write(out, value));
    let mut generator = CodeGenerator::new(NAME, source);
    generator.compile_stmt(&template);
    let (mut instructions, blocks) = generator.finish();
    replace_operators(&mut instructions);
    let mut text = String::new();
    let mut out = make_string_output(&mut text);
    let rendered = eval(
        &environment,
        &instructions,
        context.clone(),
        &blocks,
        &mut out,
        AutoEscape::None,
    )
    .map(drop);
    rendered.map_err(|error| explain(&error))?;
    if text.len() > MAX_OUTPUT_BYTES {
        return Err(format!("gives more than {MAX_OUTPUT_BYTES} bytes"));
    }
    Ok(text)
}

const NAME: &str = "template";

/// Evaluates a condition.
///
/// # Errors
/// As [`render`].
pub(crate) fn holds(condition: &str, context: &Value) -> Result<bool, String> {
    let expression = parse_condition(condition)?;
    let environment = environment(&Purse::new(MAX_WORK_BYTES), 0);
    let mut generator = CodeGenerator::new(NAME, condition);
    generator.compile_expr(&expression);
    let (mut instructions, blocks) = generator.finish();
    replace_operators(&mut instructions);
    let mut nothing = String::new();
    let mut out = make_string_output(&mut nothing);
    let value = eval(
        &environment,
        &instructions,
        context.clone(),
        &blocks,
        &mut out,
        AutoEscape::None,
    )
    .map(|(value, _)| value.unwrap_or_default());
    let value = value.map_err(|error| explain(&error))?;
    if value.is_undefined() {
        return Err(explain(&Error::from(ErrorKind::UndefinedError)));
    }
    Ok(value.is_true())
}

/// A template that can do no harm when it is compiled, and the longest literal text that its loops
/// repeat, in bytes.
fn parse(source: &str) -> Result<(ast::Stmt<'_>, usize), String> {
    if source.len() > MAX_TEMPLATE_BYTES {
        return Err(format!(
            "a template is longer than {MAX_TEMPLATE_BYTES} bytes"
        ));
    }
    measure::measure(source, false, syntax())?;
    let template = parse_template(source, NAME, syntax()).map_err(|error| explain(&error))?;
    let longest = check::statements(std::slice::from_ref(&template), false)?;
    Ok((template, longest))
}

fn parse_condition(source: &str) -> Result<ast::Expr<'_>, String> {
    if source.len() > MAX_CONDITION_BYTES {
        return Err(format!(
            "a condition is longer than {MAX_CONDITION_BYTES} bytes"
        ));
    }
    measure::measure(source, true, SyntaxConfig::default())?;
    let expression = parse_expr(source).map_err(|error| explain(&error))?;
    check::expression(&expression)?;
    Ok(expression)
}

/// The dotted names that a template reads from outside, such as `nodes.build.outputs`.
///
/// # Errors
/// A message for people: its syntax, its depth, or a statement that is not permitted.
pub(crate) fn names_in_template(source: &str) -> Result<Vec<String>, String> {
    if is_literal(source) {
        return Ok(Vec::new());
    }
    parse(source)?;
    let template = ASKED
        .template_from_str(source)
        .map_err(|error| explain(&error))?;
    let mut names: Vec<_> = template.undeclared_variables(true).into_iter().collect();
    names.sort_unstable();
    Ok(names)
}

/// Checks where the values of a script stand; the script is known to be a good template.
///
/// # Errors
/// A message for people.
pub(crate) fn check_script(source: &str) -> Result<(), String> {
    if is_literal(source) {
        return Ok(());
    }
    match parse(source)?.0 {
        ast::Stmt::Template(template) => shell::check(&template.children),
        other => shell::check(&[other]),
    }
}

/// What is literal of a template from its begin, and whether there is more.
pub(crate) fn literal_begin(source: &str) -> (&str, bool) {
    let marks = ["{{", "{%", "{#"];
    match marks.iter().filter_map(|mark| source.find(mark)).min() {
        Some(at) => (&source[..at], true),
        None => (source, false),
    }
}

/// The dotted names that a condition reads.
///
/// # Errors
/// A message for people: its syntax or its depth.
pub(crate) fn names_in_condition(source: &str) -> Result<Vec<String>, String> {
    parse_condition(source)?;
    let expression = ASKED
        .compile_expression(source)
        .map_err(|error| explain(&error))?;
    let mut names: Vec<_> = expression.undeclared_variables(true).into_iter().collect();
    names.sort_unstable();
    Ok(names)
}

fn explain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        let _ = write!(text, ": {inner}");
        source = inner.source();
    }
    // It may quote a value, which may be long.
    if let Some((end, _)) = text.char_indices().nth(MAX_MESSAGE_CHARS) {
        text.truncate(end);
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests;
