//! Reads a script as a shell does, character by character, to know where in it one stands.
//!
//! It is fed the script in pieces, and between pieces it is asked whether a value may stand there. Its
//! state is plain data that can be compared: a script with branches is followed along all of them.
//! Where shells differ from each other or a script is too clever, it says that it cannot follow, and
//! no value may come after.

mod here;
mod list;
mod state;

use self::state::{Frame, List, Pending, Stage};
use super::command::Word;

/// Deepest nesting that is followed.
const MAX_FRAMES: usize = 32;

/// Most here-documents of one line, and most compound commands within each other.
const MAX_OPEN: usize = 32;

/// Longest delimiter of a here-document.
const MAX_DELIMITER: usize = 64;

/// How a value must be written at some place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Where a word may stand: with quotes of its own.
    Bare,
    /// Where quotes are open, or have no meaning.
    Quoted,
}

/// Some shells expand it a second time.
const DESCRIPTOR: &str = "where it would name a file descriptor";

const IN_HERE: &str = "in a here-document after a substitution";

const TOO_CLEVER: &str = "where this script cannot be followed";

/// A reader of a script.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Reader {
    frames: Vec<Frame>,
    pending: Pending,
    backslash: bool,
    /// From here on no value may stand.
    lost: Option<&'static str>,
    /// A value stands where it must not, as has turned out later.
    fault: Option<&'static str>,
}

impl Reader {
    pub(super) fn new() -> Self {
        Self {
            frames: vec![Frame::List(List::new(false, None))],
            pending: Pending::None,
            backslash: false,
            lost: None,
            fault: None,
        }
    }

    /// Reads literal text.
    pub(super) fn text(&mut self, text: &str) {
        for c in text.chars() {
            self.feed(c);
        }
    }

    /// Reads a value: how it must be written, or why it must not stand here.
    pub(super) fn value(&mut self) -> Result<Place, &'static str> {
        if self.backslash {
            return Err("after a backslash");
        }
        match self.pending {
            Pending::None => {}
            Pending::Dollar => return Err("after $"),
            Pending::LessLess | Pending::Delimiter { .. } => return Err("after <<"),
            _ => self.settle(),
        }
        if let Some(reason) = self.lost {
            return Err(reason);
        }
        for (depth, frame) in self.frames.iter().enumerate() {
            let within = self.frames.get(depth + 1);
            let refusal = match frame {
                Frame::List(list) if list.is_passed_by(within) => None,
                Frame::List(list) => list.refuses(matches!(within, Some(Frame::List(_)))),
                Frame::Double => None,
                Frame::Single => Some("within single quotes"),
                Frame::Comment => Some("in a comment"),
                Frame::Braces => Some("within ${ }"),
                Frame::Brackets { array: true, .. } => Some("in an array"),
                Frame::Brackets { .. } => Some("within (( ))"),
                Frame::Backquotes => Some("within backquotes"),
                Frame::Here(here) if here.raw => Some("in a here-document that is quoted"),
                Frame::Here(here) if here.dollar => Some("after $"),
                Frame::Here(here) => here.refusal,
            };
            if let Some(reason) = refusal {
                return Err(reason);
            }
        }
        let mut within: Option<&Frame> = None;
        for frame in self.frames.iter_mut().rev() {
            match frame {
                Frame::List(list) if list.is_passed_by(within) => {
                    list.flow |= list.piped.is_some() || !list.open.is_empty();
                    list.flowed = true;
                }
                Frame::List(list) => {
                    list.word.begun = true;
                    list.word.value = true;
                    list.flow = true;
                    list.flowed = true;
                    list.semicolon = false;
                }
                Frame::Here(here) => here.line_has_more = true,
                _ => {}
            }
            within = Some(frame);
        }
        let mut place = Place::Quoted;
        if let Some(Frame::List(_)) = self.frames.last() {
            place = Place::Bare;
        }
        Ok(place)
    }

    /// A value that has turned out to stand where it must not.
    pub(super) fn fault(&self) -> Option<&'static str> {
        self.fault
    }

    /// Reads the end of the script.
    pub(super) fn finish(&mut self) -> Result<(), &'static str> {
        self.settle();
        if let Some(Frame::Comment) = self.frames.last() {
            self.frames.pop();
        }
        if let Some(Frame::Here(here)) = self.frames.last()
            && here.line == here.delimiter
            && !here.line_has_more
        {
            self.frames.pop();
        }
        self.end_command(false);
        if let Some(reason) = self.fault {
            return Err(reason);
        }
        let closed = match &self.frames[..] {
            [Frame::List(list)] => list.open.is_empty() && list.here.is_empty() && !list.in_test,
            _ => false,
        };
        if self.backslash || !closed {
            return Err("in a script that does not close what it opens");
        }
        Ok(())
    }

    fn lose(&mut self) {
        self.lost.get_or_insert(TOO_CLEVER);
    }

    fn push(&mut self, frame: Frame) {
        if self.frames.len() >= MAX_FRAMES {
            self.lose();
            return;
        }
        self.frames.push(frame);
    }

    fn list(&mut self) -> Option<&mut List> {
        match self.frames.last_mut() {
            Some(Frame::List(list)) => Some(list),
            _ => None,
        }
    }

    /// The word that what is read now belongs to has something in it that is not literal, and that
    /// may come to several words even where it is quoted.
    fn expansion(&mut self, splits: bool) {
        let mut quoted = false;
        for frame in self.frames.iter_mut().rev() {
            match frame {
                Frame::Double => quoted = true,
                Frame::List(list) => {
                    list.word.begun = true;
                    list.word.expansion = true;
                    list.word.splits |= splits || !quoted;
                    list.semicolon = false;
                    return;
                }
                _ => {}
            }
        }
    }

    fn literal(&mut self, c: char, quoted: bool) {
        for frame in self.frames.iter_mut().rev() {
            if let Frame::List(list) = frame {
                list.word.push(c, quoted);
                list.semicolon = false;
                return;
            }
        }
    }

    fn feed(&mut self, c: char) {
        match self.frames.last_mut() {
            Some(Frame::Single) => {
                if c == '\'' {
                    self.frames.pop();
                } else {
                    self.literal(c, true);
                }
                return;
            }
            Some(Frame::Comment) => {
                if c == '\n' {
                    self.frames.pop();
                    self.plain(c);
                }
                return;
            }
            Some(Frame::Here(_)) => return self.here(c),
            _ => {}
        }
        if let Pending::Delimiter { .. } = self.pending {
            return self.delimiter(c);
        }
        if std::mem::take(&mut self.backslash) {
            if c != '\n' {
                self.settle();
                self.literal(c, true);
            }
            return;
        }
        if c == '\\' {
            self.backslash = true;
            return;
        }
        match std::mem::replace(&mut self.pending, Pending::None) {
            Pending::Dollar => self.after_dollar(c),
            Pending::Name if c.is_ascii_alphanumeric() || c == '_' => self.pending = Pending::Name,
            Pending::DollarBracket if c == '(' => {
                self.expansion(false);
                self.push(Frame::Brackets {
                    open: 2,
                    array: false,
                });
            }
            Pending::Bracket if c == '(' => {
                self.close_stage();
                self.push(Frame::Brackets {
                    open: 2,
                    array: false,
                });
            }
            pending @ (Pending::DollarBracket | Pending::Bracket) => {
                self.pending = pending;
                self.settle();
                self.plain(c);
            }
            Pending::FunctionBracket => match c {
                ')' => {
                    if let Some(list) = self.list() {
                        list.word = Word::default();
                        list.stage = Stage::Start;
                    }
                }
                ' ' | '\t' => self.pending = Pending::FunctionBracket,
                _ => self.lose(),
            },
            Pending::Less => match c {
                '<' => self.pending = Pending::LessLess,
                '(' => {
                    self.expansion(false);
                    self.open_list();
                }
                '&' => self.redirect(Some(DESCRIPTOR)),
                '>' => self.redirect(None),
                _ => {
                    self.redirect(None);
                    self.plain(c);
                }
            },
            Pending::LessLess => {
                let strip_tabs = c == '-';
                if c == '<' {
                    self.redirect(Some("after <<<"));
                    return;
                }
                self.pending = Pending::Delimiter {
                    strip_tabs,
                    text: String::new(),
                    raw: false,
                    begun: false,
                    quote: None,
                };
                if !strip_tabs {
                    self.delimiter(c);
                }
            }
            Pending::Greater => match c {
                '(' => {
                    self.expansion(false);
                    self.open_list();
                }
                '&' => self.redirect(Some(DESCRIPTOR)),
                '>' | '|' => self.redirect(None),
                _ => {
                    self.redirect(None);
                    self.plain(c);
                }
            },
            Pending::None | Pending::Name | Pending::Delimiter { .. } => self.plain(c),
        }
    }

    /// What was pending means what it means by itself.
    fn settle(&mut self) {
        match std::mem::replace(&mut self.pending, Pending::None) {
            Pending::None | Pending::Name => {}
            Pending::Dollar => self.literal('$', false),
            Pending::DollarBracket => {
                self.expansion(false);
                self.open_list();
            }
            Pending::Bracket => {
                self.close_stage();
                let piped = self.list().and_then(|l| l.piped.filter(|_| l.flow));
                self.push(Frame::List(List::new(true, piped.map(|_| 0))));
                if piped.is_some()
                    && let Some(list) = self.list()
                {
                    list.flow = true;
                }
            }
            Pending::FunctionBracket | Pending::LessLess | Pending::Delimiter { .. } => self.lose(),
            Pending::Less | Pending::Greater => self.redirect(None),
        }
    }

    fn after_dollar(&mut self, c: char) {
        match c {
            '(' => self.pending = Pending::DollarBracket,
            '{' => {
                self.expansion(false);
                self.push(Frame::Braces);
            }
            '[' => {
                self.expansion(false);
                self.lose();
            }
            '\'' | '"' if !matches!(self.frames.last(), Some(Frame::Double)) => {
                self.lose();
                self.plain(c);
            }
            '@' => self.expansion(true),
            // The rest of a name is no literal text.
            _ if c.is_ascii_alphabetic() || c == '_' => {
                self.expansion(false);
                self.pending = Pending::Name;
            }
            _ if c.is_ascii_digit() || "?#!*-$".contains(c) => self.expansion(false),
            _ => {
                self.literal('$', false);
                self.plain(c);
            }
        }
    }

    /// A character that no earlier one has given another meaning.
    fn plain(&mut self, c: char) {
        match self.frames.last_mut() {
            Some(Frame::List(_)) => self.in_list(c),
            Some(Frame::Double) => match c {
                '"' => {
                    self.frames.pop();
                }
                '$' => self.pending = Pending::Dollar,
                '`' => {
                    self.expansion(false);
                    self.push(Frame::Backquotes);
                }
                _ => self.literal(c, true),
            },
            Some(Frame::Braces) => self.in_braces(c),
            Some(Frame::Brackets { .. }) => self.in_round_brackets(c),
            Some(Frame::Backquotes) => {
                if c == '`' {
                    self.frames.pop();
                }
            }
            Some(Frame::Single | Frame::Comment | Frame::Here(_)) | None => self.feed(c),
        }
    }

    fn in_braces(&mut self, c: char) {
        let quoted = self
            .frames
            .iter()
            .rev()
            .skip(1)
            .any(|f| *f == Frame::Double);
        match c {
            '}' => {
                self.frames.pop();
            }
            '\'' | '"' if quoted => self.lose(),
            '\'' => self.push(Frame::Single),
            '"' => self.push(Frame::Double),
            '`' => self.push(Frame::Backquotes),
            '$' => self.pending = Pending::Dollar,
            // `"${@}"` and `"${list[@]}"`.
            '@' => self.expansion(true),
            // `${ command; }` of newer shells.
            ' ' | '\t' | '\n' | '|' => self.lose(),
            _ => {}
        }
    }

    fn in_round_brackets(&mut self, c: char) {
        let Some(Frame::Brackets { open, array }) = self.frames.last_mut() else {
            return;
        };
        match c {
            '(' => *open += 1,
            ')' => {
                *open -= 1;
                if *open == 0 {
                    self.frames.pop();
                }
            }
            '$' => self.pending = Pending::Dollar,
            '\'' if *array => self.push(Frame::Single),
            '"' if *array => self.push(Frame::Double),
            '`' => self.push(Frame::Backquotes),
            '\'' | '"' | '#' => self.lose(),
            _ => {}
        }
    }
}
