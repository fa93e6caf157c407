//! Measures expressions before they are parsed: the parser, the compiler and the destructors of
//! syntax trees call themselves for every level, and a stack has an end.

use minijinja::{
    machinery::{Token, tokenize},
    syntax::SyntaxConfig,
};

use crate::limits::{MAX_BLOCKS, MAX_BRACKETS, MAX_EXPRESSION_DEPTH};

/// What stands between two brackets, or in a tag.
#[derive(Default)]
struct Level {
    /// Operators applied to each other's results since the last comma.
    operators: usize,
    /// The deepest of what is in brackets since the last comma.
    inner: usize,
    /// The deepest before the last comma.
    before: usize,
}

impl Level {
    fn depth(&self) -> usize {
        self.before.max(self.operators + self.inner)
    }

    fn comma(&mut self) {
        self.before = self.depth();
        self.operators = 0;
        self.inner = 0;
    }
}

/// Refuses a template, or an expression, that is nested too deep to be parsed, or has other statements
/// than `if` and `for`.
///
/// # Errors
/// A message for people.
pub(super) fn measure(
    source: &str,
    is_expression: bool,
    syntax: SyntaxConfig,
) -> Result<(), String> {
    let mut levels = vec![Level::default()];
    // `if` and `for` that are open, with their `elif`s.
    let mut blocks: Vec<usize> = Vec::new();
    let mut statement = false;
    for token in tokenize(source, is_expression, syntax) {
        // The parser reports this better.
        let Ok((token, _)) = token else { return Ok(()) };
        let word = std::mem::take(&mut statement);
        let Some(level) = levels.last_mut() else {
            return Ok(());
        };
        match token {
            Token::BlockStart => {
                statement = true;
                levels = vec![Level::default()];
            }
            Token::TemplateData(_)
            | Token::VariableStart
            | Token::VariableEnd
            | Token::BlockEnd => levels = vec![Level::default()],
            Token::Ident("if" | "for") if word => blocks.push(1),
            Token::Ident("elif") if word => {
                if let Some(open) = blocks.last_mut() {
                    *open += 1;
                }
            }
            Token::Ident("endif" | "endfor") if word => {
                blocks.pop();
            }
            Token::Ident("else") if word => {}
            // Others may be nested too, and are not counted.
            Token::Ident(other) if word => {
                return Err(format!(
                    "`{{% {other} %}}` is not available: use expressions, `if` and `for`"
                ));
            }
            Token::Ident("not" | "and" | "or" | "in" | "is" | "if" | "else") => {
                level.operators += 1;
            }
            Token::BracketOpen | Token::ParenOpen | Token::BraceOpen => {
                level.operators += 1;
                levels.push(Level::default());
            }
            Token::BracketClose | Token::ParenClose | Token::BraceClose => {
                let closed = level.depth() + 1;
                levels.pop();
                if let Some(level) = levels.last_mut() {
                    level.inner = level.inner.max(closed);
                }
            }
            Token::Comma => level.comma(),
            Token::Ident(_)
            | Token::Str(_)
            | Token::String(_)
            | Token::Int(_)
            | Token::Int128(_)
            | Token::Float(_)
            | Token::Colon
            | Token::Assign => {}
            _ => level.operators += 1,
        }
        if levels.len() > MAX_BRACKETS + 1 {
            return Err(format!(
                "more than {MAX_BRACKETS} brackets within each other"
            ));
        }
        let deepest = levels.last().map_or(0, Level::depth);
        if deepest > MAX_EXPRESSION_DEPTH {
            return Err(format!(
                "more than {MAX_EXPRESSION_DEPTH} operators in a row: give parts of it names, as \
                 outputs of nodes"
            ));
        }
        if blocks.iter().sum::<usize>() > MAX_BLOCKS {
            return Err(format!(
                "more than {MAX_BLOCKS} `if`, `elif` and `for` within each other"
            ));
        }
    }
    Ok(())
}
