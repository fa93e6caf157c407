//! What a reader remembers of the script so far.

use super::TOO_CLEVER;
use crate::shell::command::{Command, Word, is_evaluated_variable};

/// What has begun and not ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Frame {
    /// Commands: the script itself, `$(...)`, `(...)`.
    List(List),
    /// `"..."`.
    Double,
    /// `'...'`.
    Single,
    /// `#...`.
    Comment,
    /// `${...}`.
    Braces,
    /// `$((...))`, `((...))`, `name=(...)`, with the brackets that are open.
    Brackets { open: usize, array: bool },
    /// `` `...` ``.
    Backquotes,
    /// The body of a here-document.
    Here(Here),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct List {
    /// Whether `)` ends it.
    pub(super) in_brackets: bool,
    pub(super) stage: Stage,
    pub(super) command: Option<Command>,
    pub(super) word: Word,
    /// The next word is where input comes from or output goes to.
    pub(super) redirected: bool,
    /// Why no value may be in it.
    pub(super) redirection_refuses: Option<&'static str>,
    /// Compound commands that are open.
    pub(super) open: Vec<Compound>,
    /// Here-documents whose bodies come after this line.
    pub(super) here: Vec<Here>,
    /// Within `[[ ]]`.
    pub(super) in_test: bool,
    /// Whether a value goes into what may be piped into the next command.
    pub(super) flow: bool,
    /// Whether one went into any command so far.
    pub(super) flowed: bool,
    /// Commands read from a pipe, begun with so many compound commands open.
    pub(super) piped: Option<usize>,
    /// Whether a command within a compound one takes its input for a script.
    pub(super) script_inside: bool,
    /// Whether the current command has a word.
    pub(super) begun: bool,
    /// Whether the last character was `;`, or `|`.
    pub(super) semicolon: bool,
    pub(super) bar: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Stage {
    /// A command may begin.
    Start,
    Arguments,
    /// After the end of a compound command.
    Closed,
    ForName,
    ForIn,
    ForWords,
    CaseWord,
    CaseIn,
    CasePattern,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Compound {
    Braces,
    If,
    Loop,
    Case,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Here {
    pub(super) delimiter: String,
    pub(super) strip_tabs: bool,
    pub(super) raw: bool,
    pub(super) line: String,
    pub(super) line_has_more: bool,
    pub(super) dollar: bool,
    pub(super) refusal: Option<&'static str>,
}

/// Characters that mean more with the next one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Pending {
    None,
    Dollar,
    /// Within `$name`.
    Name,
    DollarBracket,
    Bracket,
    FunctionBracket,
    Less,
    LessLess,
    Greater,
    Delimiter {
        strip_tabs: bool,
        text: String,
        raw: bool,
        begun: bool,
        quote: Option<char>,
    },
}

impl List {
    pub(super) const fn new(in_brackets: bool, piped: Option<usize>) -> Self {
        Self {
            in_brackets,
            stage: Stage::Start,
            command: None,
            word: Word::EMPTY,
            redirected: false,
            redirection_refuses: None,
            open: Vec::new(),
            here: Vec::new(),
            in_test: false,
            flow: false,
            flowed: false,
            piped,
            script_inside: false,
            begun: false,
            semicolon: false,
            bar: false,
        }
    }

    /// Whether what is read within this list is no part of its own words: a command in brackets, or
    /// the body of a here-document.
    pub(super) fn is_passed_by(&self, within: Option<&Frame>) -> bool {
        match within {
            Some(Frame::Here(_)) => true,
            Some(Frame::List(_)) => self.stage == Stage::Closed,
            _ => false,
        }
    }

    /// Why no value may stand here; where it may be `split`, it is not quoted as a whole.
    pub(super) fn refuses(&self, split: bool) -> Option<&'static str> {
        if self.in_test {
            return Some("within [[ ]]");
        }
        if self.redirected {
            return self.redirection_refuses;
        }
        match self.stage {
            Stage::Start => match self.word.assigns() {
                Some(name) if is_evaluated_variable(name) => {
                    Some("in a variable that shells evaluate")
                }
                Some(_) => None,
                None => Some("where it would name a command"),
            },
            Stage::Arguments => {
                let command = self.command.as_ref();
                command.and_then(|command| command.refuses(&self.word, split))
            }
            Stage::ForWords | Stage::CaseWord | Stage::CasePattern => None,
            Stage::ForName => Some("where it would name a variable"),
            Stage::Closed | Stage::ForIn | Stage::CaseIn => Some(TOO_CLEVER),
        }
    }
}
