//! Here-documents.

use super::{
    IN_HERE, MAX_DELIMITER, MAX_OPEN, Reader,
    list::READ_BY_SHELL,
    state::{Frame, Here, Pending, Stage},
};

impl Reader {
    pub(super) fn begin_here(&mut self) {
        let next = match self.list() {
            Some(list) if !list.here.is_empty() => list.here.remove(0),
            _ => return,
        };
        self.push(Frame::Here(next));
    }

    /// A character of the delimiter of a here-document.
    pub(super) fn delimiter(&mut self, c: char) {
        let Pending::Delimiter {
            strip_tabs,
            mut text,
            mut raw,
            mut begun,
            mut quote,
        } = std::mem::replace(&mut self.pending, Pending::None)
        else {
            return;
        };
        let mut ends = false;
        match (quote, c) {
            (Some('\\'), _) => {
                text.push(c);
                quote = None;
            }
            (Some(open), _) if open == c => quote = None,
            (Some(_), '\\' | '\n') => self.lose(),
            (Some(_), _) => text.push(c),
            (None, ' ' | '\t') if !begun => {}
            (None, ' ' | '\t' | '\n' | ';' | '&' | '|' | '<' | '>' | '(' | ')') => ends = true,
            (None, '\'' | '"' | '\\') => {
                quote = Some(c);
                raw = true;
            }
            (None, '$' | '`') => self.lose(),
            (None, _) => text.push(c),
        }
        begun |= raw || !text.is_empty();
        if !ends {
            if text.len() > MAX_DELIMITER {
                self.lose();
                text.clear();
            }
            self.pending = Pending::Delimiter {
                strip_tabs,
                text,
                raw,
                begun,
                quote,
            };
            return;
        }
        // That of a compound command is the input of every command within.
        let refusal = match self.list() {
            Some(list) if list.stage == Stage::Closed && list.script_inside => Some(READ_BY_SHELL),
            _ => None,
        };
        let here = Here {
            delimiter: text,
            strip_tabs,
            raw,
            line: String::new(),
            line_has_more: false,
            dollar: false,
            refusal,
        };
        match self.list() {
            Some(list) if begun && list.here.len() < MAX_OPEN => list.here.push(here),
            _ => self.lose(),
        }
        self.plain(c);
    }

    /// A character in the body of a here-document.
    pub(super) fn here(&mut self, c: char) {
        let escaped = std::mem::take(&mut self.backslash);
        let Some(Frame::Here(here)) = self.frames.last_mut() else {
            return;
        };
        let dollar = std::mem::take(&mut here.dollar);
        if c == '\n' {
            if here.line == here.delimiter && !here.line_has_more {
                self.frames.pop();
                self.begin_here();
                return;
            }
            here.line.clear();
            here.line_has_more = false;
            if escaped {
                self.lose();
            }
            return;
        }
        if !(here.strip_tabs && c == '\t' && here.line.is_empty() && !here.line_has_more) {
            if here.line.len() <= MAX_DELIMITER {
                here.line.push(c);
            } else {
                here.line_has_more = true;
            }
        }
        if here.raw || escaped {
            return;
        }
        match c {
            '\\' => self.backslash = true,
            '$' => here.dollar = !dollar,
            '`' => here.refusal = here.refusal.or(Some(IN_HERE)),
            '(' | '{' | '[' if dollar => here.refusal = here.refusal.or(Some(IN_HERE)),
            _ => {}
        }
    }
}
