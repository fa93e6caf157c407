//! Reads a script as a shell does, character by character, to know where in it one stands.
//!
//! It is fed the script in pieces, and between pieces it is asked whether a value may stand there. Its
//! state is plain data that can be compared: a script with branches is followed along all of them.
//! Where shells differ from each other or a script is too clever, it says that it cannot follow, and
//! no value may come after.

use super::command::{Command, Word, is_evaluated_variable};

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

/// What has begun and not ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Frame {
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
struct List {
    /// Whether `)` ends it.
    in_brackets: bool,
    stage: Stage,
    command: Option<Command>,
    word: Word,
    /// The next word is where input comes from or output goes to.
    redirected: bool,
    /// The same, but of `<<<`.
    here_string: bool,
    /// Compound commands that are open.
    open: Vec<Compound>,
    /// Here-documents whose bodies come after this line.
    here: Vec<Here>,
    /// Within `[[ ]]`.
    in_test: bool,
    /// Whether a value goes into what may be piped into the next command.
    flow: bool,
    /// Whether one went into any command so far.
    flowed: bool,
    /// Commands read from a pipe, begun with so many compound commands open.
    piped: Option<usize>,
    /// Whether the current command has a word.
    begun: bool,
    /// Whether the last character was `;`, or `|`.
    semicolon: bool,
    bar: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Stage {
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
enum Compound {
    Braces,
    If,
    Loop,
    Case,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Here {
    delimiter: String,
    strip_tabs: bool,
    raw: bool,
    line: String,
    line_has_more: bool,
    dollar: bool,
    refusal: Option<&'static str>,
}

/// Characters that mean more with the next one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Pending {
    None,
    Dollar,
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
    const fn new(in_brackets: bool, piped: Option<usize>) -> Self {
        Self {
            in_brackets,
            stage: Stage::Start,
            command: None,
            word: Word::EMPTY,
            redirected: false,
            here_string: false,
            open: Vec::new(),
            here: Vec::new(),
            in_test: false,
            flow: false,
            flowed: false,
            piped,
            begun: false,
            semicolon: false,
            bar: false,
        }
    }

    /// Whether what is read within this list is no part of its own words: a command in brackets, or
    /// the body of a here-document.
    fn is_passed_by(&self, within: Option<&Frame>) -> bool {
        match within {
            Some(Frame::Here(_)) => true,
            Some(Frame::List(_)) => self.stage == Stage::Closed,
            _ => false,
        }
    }

    /// Why no value may stand here; where it may be `split`, it is not quoted as a whole.
    fn refuses(&self, split: bool) -> Option<&'static str> {
        if self.in_test {
            return Some("within [[ ]]");
        }
        if self.here_string {
            return Some("after <<<");
        }
        if self.redirected {
            return None;
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
                    let flows = list.piped.is_some();
                    list.flow |= flows;
                    list.flowed |= flows;
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

    /// The word that what is read now belongs to has something in it that is not literal.
    fn expansion(&mut self) {
        for frame in self.frames.iter_mut().rev() {
            if let Frame::List(list) = frame {
                list.word.begun = true;
                list.word.expansion = true;
                list.semicolon = false;
                return;
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
            Pending::DollarBracket if c == '(' => {
                self.expansion();
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
                    self.expansion();
                    self.open_list();
                }
                '&' | '>' => self.redirect(),
                _ => {
                    self.redirect();
                    self.plain(c);
                }
            },
            Pending::LessLess => {
                let strip_tabs = c == '-';
                if c == '<' {
                    self.redirect();
                    if let Some(list) = self.list() {
                        list.here_string = true;
                    }
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
                    self.expansion();
                    self.open_list();
                }
                '>' | '|' | '&' => self.redirect(),
                _ => {
                    self.redirect();
                    self.plain(c);
                }
            },
            Pending::None | Pending::Delimiter { .. } => self.plain(c),
        }
    }

    /// What was pending means what it means by itself.
    fn settle(&mut self) {
        match std::mem::replace(&mut self.pending, Pending::None) {
            Pending::None => {}
            Pending::Dollar => self.literal('$', false),
            Pending::DollarBracket => {
                self.expansion();
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
            Pending::Less | Pending::Greater => self.redirect(),
        }
    }

    fn close_stage(&mut self) {
        if let Some(list) = self.list() {
            list.stage = match list.stage {
                Stage::ForName => Stage::ForWords,
                _ => Stage::Closed,
            };
        }
    }

    /// A command whose output becomes part of a word.
    fn open_list(&mut self) {
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

    fn redirect(&mut self) {
        if let Some(list) = self.list() {
            list.redirected = true;
        } else {
            self.lose();
        }
    }

    fn after_dollar(&mut self, c: char) {
        match c {
            '(' => self.pending = Pending::DollarBracket,
            '{' => {
                self.expansion();
                self.push(Frame::Braces);
            }
            '[' => {
                self.expansion();
                self.lose();
            }
            '\'' | '"' if !matches!(self.frames.last(), Some(Frame::Double)) => {
                self.lose();
                self.plain(c);
            }
            _ if c.is_ascii_alphanumeric() || c == '_' || "?#!@*-$".contains(c) => self.expansion(),
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
                    self.expansion();
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

    fn in_list(&mut self, c: char) {
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
                self.expansion();
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
        if self.frames.len() == 1 || !closed {
            self.lose();
            return;
        }
        self.frames.pop();
        if let Some(list) = self.list() {
            list.flow |= flow;
        }
    }

    fn end_word(&mut self) {
        let Some(list) = self.list() else { return };
        if !list.word.begun {
            return;
        }
        let word = std::mem::take(&mut list.word);
        list.begun = true;
        if std::mem::take(&mut list.redirected) {
            list.here_string = false;
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
    fn end_command(&mut self, into_pipe: bool) {
        self.end_word();
        let Some(list) = self.list() else { return };
        list.redirected = false;
        list.here_string = false;
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
                here.refusal = Some("in a here-document that is read by a shell");
            }
        }
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

    fn begin_here(&mut self) {
        let next = match self.list() {
            Some(list) if !list.here.is_empty() => list.here.remove(0),
            _ => return,
        };
        self.push(Frame::Here(next));
    }

    /// A character of the delimiter of a here-document.
    fn delimiter(&mut self, c: char) {
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
        let here = Here {
            delimiter: text,
            strip_tabs,
            raw,
            line: String::new(),
            line_has_more: false,
            dollar: false,
            refusal: None,
        };
        match self.list() {
            Some(list) if begun && list.here.len() < MAX_OPEN => list.here.push(here),
            _ => self.lose(),
        }
        self.plain(c);
    }

    /// A character in the body of a here-document.
    fn here(&mut self, c: char) {
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
