//! Words and commands.

use super::{
    MAX_OPEN, Reader,
    state::{Compound, Frame, List, Pending, Stage},
};
use crate::shell::command::{Command, Word};

pub(super) const READ_BY_SHELL: &str = "in a here-document that is read by a shell";

impl Reader {
    pub(super) fn in_list(&mut self, c: char) {
        let Some(list) = self.list() else { return };
        let again = std::mem::take(&mut list.semicolon);
        list.bar &= c == '|';
        match c {
            ' ' | '\t' => self.end_word(),
            '\n' => {
                self.end_command(false);
                self.begin_here();
            }
            ';' => {
                let in_case = list.open.last() == Some(&Compound::Case);
                self.end_command(false);
                if let Some(list) = self.list() {
                    list.semicolon = true;
                    if again && in_case {
                        list.stage = Stage::CasePattern;
                    }
                }
            }
            '&' => {
                let in_case = list.open.last() == Some(&Compound::Case);
                self.end_command(false);
                if again
                    && in_case
                    && let Some(list) = self.list()
                {
                    list.stage = Stage::CasePattern;
                }
            }
            '|' if list.stage == Stage::CasePattern => self.end_word(),
            '|' => {
                // The second one of `||` makes it no pipe.
                let or = std::mem::replace(&mut list.bar, true);
                let (flow, piped) = (list.flow, list.piped);
                self.end_command(!or);
                if let Some(list) = self.list() {
                    let open = list.open.len();
                    if or {
                        list.bar = false;
                        list.flow = flow && open > 0;
                        list.piped = piped.filter(|&depth| open > depth);
                    } else {
                        list.piped = Some(piped.unwrap_or(open));
                    }
                }
            }
            '(' => self.open_bracket(),
            ')' => self.close_bracket(),
            '<' | '>' => {
                let number =
                    !list.word.quoted && list.word.literal.bytes().all(|b| b.is_ascii_digit());
                if number && !list.word.expansion && !list.word.value {
                    list.word = Word::default();
                } else {
                    if list.word.literal.starts_with('{') {
                        self.lose();
                    }
                    self.end_word();
                }
                self.pending = if c == '<' {
                    Pending::Less
                } else {
                    Pending::Greater
                };
            }
            '#' if !list.word.begun => self.push(Frame::Comment),
            '\'' => {
                list.word.begun = true;
                list.word.quoted = true;
                self.push(Frame::Single);
            }
            '"' => {
                list.word.begun = true;
                list.word.quoted = true;
                self.push(Frame::Double);
            }
            '`' => {
                self.expansion(false);
                self.push(Frame::Backquotes);
            }
            '$' => self.pending = Pending::Dollar,
            _ => list.word.push(c, false),
        }
    }

    fn open_bracket(&mut self) {
        let Some(list) = self.list() else { return };
        if !list.word.begun {
            match list.stage {
                Stage::Start | Stage::ForName => self.pending = Pending::Bracket,
                // `(pattern)` of a case.
                Stage::CasePattern => {}
                _ => self.lose(),
            }
        } else if list.stage == Stage::Start && list.word.assigns().is_some() {
            let last = list.word.literal.ends_with('=');
            list.word.expansion = true;
            self.push(Frame::Brackets {
                open: 1,
                array: true,
            });
            if !last {
                self.lose();
            }
        } else if list.stage == Stage::Start && !list.word.quoted && !list.word.expansion {
            self.pending = Pending::FunctionBracket;
        } else {
            self.lose();
        }
    }

    fn close_bracket(&mut self) {
        let Some(list) = self.list() else { return };
        if list.stage == Stage::CasePattern {
            self.end_word();
            if let Some(list) = self.list() {
                list.stage = Stage::Start;
            }
            return;
        }
        let flow = list.flow || list.flowed;
        self.end_command(false);
        let Some(list) = self.list() else { return };
        let closed = list.in_brackets && list.open.is_empty() && list.here.is_empty();
        let script_inside = list.script_inside;
        if self.frames.len() == 1 || !closed {
            self.lose();
            return;
        }
        self.frames.pop();
        if let Some(list) = self.list() {
            list.flow |= flow;
            list.script_inside |= script_inside;
        }
    }

    pub(super) fn end_word(&mut self) {
        let Some(list) = self.list() else { return };
        if !list.word.begun {
            return;
        }
        let word = std::mem::take(&mut list.word);
        list.begun = true;
        if std::mem::take(&mut list.redirected) {
            list.redirection_refuses = None;
            return;
        }
        let literal = !word.quoted && !word.expansion && !word.value;
        match list.stage {
            Stage::Start => self.first_word(&word, literal),
            Stage::Arguments => {
                if literal && word.literal == "]]" {
                    list.in_test = false;
                }
                let refusal = list.command.as_mut().and_then(|c| c.argument(&word, true));
                self.fault = self.fault.or(refusal);
            }
            Stage::ForName => list.stage = Stage::ForIn,
            Stage::ForIn => {
                list.stage = if literal && word.literal == "do" {
                    Stage::Start
                } else {
                    Stage::ForWords
                };
            }
            Stage::ForWords => {}
            Stage::CaseWord => list.stage = Stage::CaseIn,
            Stage::CaseIn => list.stage = Stage::CasePattern,
            Stage::CasePattern => {
                if literal && word.literal == "esac" {
                    self.close(Compound::Case);
                }
            }
            Stage::Closed => self.lose(),
        }
    }

    /// The first word of a command: a word of the language, an assignment or a name.
    fn first_word(&mut self, word: &Word, literal: bool) {
        if word.assigns().is_some() {
            return;
        }
        let keyword = if literal { word.literal.as_str() } else { "" };
        match keyword {
            "if" => self.open(Compound::If, Stage::Start),
            "while" | "until" => self.open(Compound::Loop, Stage::Start),
            "for" | "select" => self.open(Compound::Loop, Stage::ForName),
            "case" => self.open(Compound::Case, Stage::CaseWord),
            "{" => self.open(Compound::Braces, Stage::Start),
            "then" | "do" | "else" | "elif" | "!" => {}
            "fi" => self.close(Compound::If),
            "done" => self.close(Compound::Loop),
            "esac" => self.close(Compound::Case),
            "}" => self.close(Compound::Braces),
            _ => {
                let Some(list) = self.list() else { return };
                list.stage = Stage::Arguments;
                list.command = Some(Command::named(word, true));
                list.in_test = keyword == "[[";
                if ["function", "coproc"].contains(&keyword) {
                    self.lose();
                }
            }
        }
    }

    fn open(&mut self, compound: Compound, next: Stage) {
        let Some(list) = self.list() else { return };
        list.open.push(compound);
        list.stage = next;
        if list.open.len() > MAX_OPEN {
            self.lose();
        }
    }

    fn close(&mut self, compound: Compound) {
        let Some(list) = self.list() else { return };
        list.stage = Stage::Closed;
        if list.open.pop() != Some(compound) {
            self.lose();
        }
    }

    /// A command has ended, in a way that lets its output go on to the next one or not.
    pub(super) fn end_command(&mut self, into_pipe: bool) {
        self.end_word();
        let Some(list) = self.list() else { return };
        list.redirected = false;
        list.redirection_refuses = None;
        if !std::mem::take(&mut list.begun) && list.stage != Stage::Closed {
            return;
        }
        if matches!(
            list.stage,
            Stage::CaseWord | Stage::CaseIn | Stage::CasePattern | Stage::ForName
        ) {
            return;
        }
        list.stage = Stage::Start;
        let reads_script = list.command.take().is_some_and(|c| c.reads_script());
        if reads_script {
            for here in &mut list.here {
                here.refusal = Some(READ_BY_SHELL);
            }
        }
        list.script_inside |= reads_script;
        list.script_inside &= list.in_brackets || !list.open.is_empty();
        let fault = reads_script && list.piped.is_some() && list.flow;
        if !into_pipe {
            let open = list.open.len();
            list.flow &= open > 0;
            list.piped = list.piped.filter(|&depth| open > depth);
        }
        if fault {
            self.fault = self.fault.or(Some("in what is piped into a shell"));
        }
    }

    pub(super) fn close_stage(&mut self) {
        if let Some(list) = self.list() {
            list.stage = match list.stage {
                Stage::ForName => Stage::ForWords,
                _ => Stage::Closed,
            };
        }
    }

    /// A command whose output becomes part of a word.
    pub(super) fn open_list(&mut self) {
        // Shells do not agree on whose here-document the next line begins.
        let waiting = self.frames.iter().any(|frame| match frame {
            Frame::List(list) => !list.here.is_empty(),
            _ => false,
        });
        if waiting {
            self.lose();
        }
        self.push(Frame::List(List::new(true, None)));
    }

    /// The next word is where input comes from or output goes to; why no value may be in it.
    pub(super) fn redirect(&mut self, refuses: Option<&'static str>) {
        if let Some(list) = self.list() {
            list.redirected = true;
            list.redirection_refuses = refuses;
        } else {
            self.lose();
        }
    }
}
