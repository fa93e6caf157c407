//! Which arguments of a command are text and nothing more.
//!
//! A quoted expansion arrives as one word, whatever it holds. But some commands read their arguments
//! as program text (`eval`, `sh -c`, `trap`), as names with subscripts that are evaluated (`read`,
//! `unset`, `printf -v`), or as another command (`env`, `exec`): there no value may stand.

/// Shells, by the name of the program.
const SHELLS: &[&str] = &[
    "sh", "bash", "dash", "ash", "ksh", "ksh93", "mksh", "zsh", "rbash", "csh", "tcsh", "fish",
];

/// Commands that run the command which their arguments name.
const WRAPPERS: &[&str] = &[
    "busybox", "chroot", "chrt", "docker", "doas", "env", "gosu", "ionice", "kubectl", "nice",
    "nohup", "nsenter", "podman", "setpriv", "setsid", "stdbuf", "strace", "sudo", "timeout",
    "xargs",
];

/// Commands that take some argument as text of a shell, the name of a variable or a place to read
/// commands from.
const EVALUATING: &[&str] = &[
    "alias",
    "bind",
    "compgen",
    "complete",
    "coproc",
    "declare",
    "enable",
    "eval",
    "fc",
    "function",
    "getopts",
    "jobs",
    "let",
    "mapfile",
    "read",
    "readarray",
    "trap",
    "typeset",
    "unalias",
    "unset",
    "wait",
];

/// Programs that hand their arguments, or their input, to a shell somewhere.
const REMOTE: &[&str] = &[
    "at",
    "batch",
    "crontab",
    "flock",
    "parallel",
    "rsh",
    "runuser",
    "script",
    "sg",
    "ssh",
    "su",
    "systemd-run",
    "unshare",
    "watch",
];

/// Interpreters of other languages, with the letters of the options that take program text.
const INTERPRETERS: [(&str, &str); 8] = [
    ("python", "c"),
    ("pypy", "c"),
    ("perl", "eE"),
    ("ruby", "e"),
    ("node", "ep"),
    ("php", "rBRE"),
    ("lua", "e"),
    ("Rscript", "e"),
];

/// Commands whose first operand is a program.
const PROGRAM_FIRST: &[&str] = &["awk", "gawk", "mawk", "nawk", "sed", "jq"];

/// Variables that a shell evaluates when it uses them.
const EVALUATED_VARIABLES: &[&str] = &[
    "BASHOPTS",
    "BASHPID",
    "BASH_ARGV0",
    "BASH_ENV",
    "BASH_XTRACEFD",
    "ENV",
    "EPOCHSECONDS",
    "HISTCMD",
    "LD_AUDIT",
    "LD_PRELOAD",
    "LINENO",
    "OPTIND",
    "PROMPT_COMMAND",
    "PS0",
    "PS1",
    "PS2",
    "PS4",
    "RANDOM",
    "SECONDS",
    "SHELLOPTS",
];

/// Whether a shell or the loader evaluates what this environment variable holds.
pub(crate) fn is_evaluated_variable(name: &str) -> bool {
    EVALUATED_VARIABLES.contains(&name) || name == "SRANDOM" || name.starts_with("BASH_FUNC_")
}

/// How much of a word is remembered: names that mean something are shorter.
const MAX_LITERAL: usize = 80;

/// A word that is being read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Word {
    /// Whether there is one: an empty quoted text is a word, nothing is none.
    pub(super) begun: bool,
    /// Its text without quotes, as far as it is literal and its begin is remembered: what it is when
    /// all that is expanded in it is empty.
    pub(super) literal: String,
    /// Whether any of it is quoted.
    pub(super) quoted: bool,
    /// Whether any of it only shows when the script runs.
    pub(super) expansion: bool,
    /// Whether that may come to no word at all, or to several.
    pub(super) splits: bool,
    /// Whether a template value is in it.
    pub(super) value: bool,
    /// Where `=` stands when what is before it is an unquoted literal name.
    assigned: bool,
}

impl Word {
    /// None yet.
    pub(super) const EMPTY: Self = Self {
        begun: false,
        literal: String::new(),
        quoted: false,
        expansion: false,
        splits: false,
        value: false,
        assigned: false,
    };

    pub(super) fn push(&mut self, c: char, quoted: bool) {
        self.begun = true;
        if c == '=' && !self.quoted && !quoted && !self.expansion && !self.value {
            let name = self.literal.strip_suffix('+').unwrap_or(&self.literal);
            self.assigned |= is_name(name);
        }
        self.quoted |= quoted;
        // A word with a value in it is no name of anything.
        if self.value {
            return;
        }
        if self.literal.len() < MAX_LITERAL {
            self.literal.push(c);
        } else {
            // What is longer than any name that means something might as well be anything.
            self.expansion = true;
        }
    }

    /// The name before `=` of an assignment.
    pub(super) fn assigns(&self) -> Option<&str> {
        let (name, _) = self.assigned.then(|| self.literal.split_once('='))??;
        Some(name.strip_suffix('+').unwrap_or(name))
    }

    /// What it says, when it says it literally.
    fn is_literal(&self) -> bool {
        !self.expansion && !self.value
    }

    fn program(&self) -> &str {
        let name = &self.literal;
        name.rsplit_once('/').map_or(name, |(_, name)| name)
    }

    /// A pattern that may match a shell, or a name that the system gives to whatever runs.
    fn may_be_any_program(&self) -> bool {
        let bracket = self.literal == "[" || self.literal == "[[";
        !bracket && self.literal.contains(['*', '?', '[']) || self.literal.starts_with("/proc/")
    }

    /// Whether a file of this name may be the input of the program.
    fn is_input(&self) -> bool {
        self.literal == "-"
            || ["/dev/", "/proc/"]
                .iter()
                .any(|at| self.literal.starts_with(at))
    }

    fn is_option(&self) -> bool {
        self.literal.starts_with(['-', '+']) && self.literal.len() > 1
    }

    /// Whether it is a cluster of one-letter options that has one of these.
    fn has_option(&self, letters: &str) -> bool {
        self.is_option()
            && !self.literal.starts_with("--")
            && self.literal.chars().skip(1).any(|c| letters.contains(c))
    }
}

fn is_name(text: &str) -> bool {
    let mut chars = text.chars();
    chars
        .next()
        .is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Rule {
    /// Arguments are data.
    Data,
    /// No argument may hold a value.
    Never(&'static str),
    /// The same, and it takes a script from a file, which may be its input.
    Source,
    /// Nor may its input.
    Remote,
    /// Only what is assigned: `export NAME=...`.
    Assigned,
    /// Runs another command.
    Wrapper,
    /// What is built into shells and runs others that are; `command` may also look one up.
    Command,
    /// `find`, which runs commands after `-exec` and the like.
    Find,
    /// A shell.
    Shell(Script),
    /// An interpreter; the letters of options that take program text.
    Interpreter(&'static str),
    /// Its first operand is a program.
    ProgramFirst,
    /// `[` and `test`.
    Test,
    /// `printf`, whose options name variables.
    Format,
}

/// Where a shell's script comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Script {
    /// Not told yet; from its input if never.
    Unknown,
    /// The next operand.
    Next,
    /// It has been given: what follows are its parameters.
    Given,
    /// The same, but it begins another shell, which may take its script from the input.
    Begins,
}

const ARGUMENT: &str = "in an argument that the command evaluates";
const NAMES_COMMAND: &str = "where it would name a command";

/// A command of which the words are being read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Command {
    rule: Rule,
    /// Whether an operand has been passed that is literal and no option.
    operand: bool,
    /// The last word, if literal.
    last: String,
    last_value: bool,
    /// A shell's name was an argument; the next may be its `-c`.
    after_shell: bool,
    /// Which command it is shows only when the script runs: it may be a shell.
    opaque: bool,
}

impl Command {
    /// The command that `name` names. In a program's own arguments (`in_script` is false) what is
    /// built into shells has no meaning.
    pub(super) fn named(name: &Word, in_script: bool) -> Self {
        let rule = match rule(name.program(), in_script) {
            Some(rule) => rule,
            // Without it, the next word names the command.
            None if name.splits && name.literal.is_empty() => Rule::Command,
            None if name.is_literal() && !name.may_be_any_program() => Rule::Data,
            // It may be anything: what could be a script to a shell is refused below.
            None => Rule::Shell(Script::Given),
        };
        Self {
            rule,
            operand: false,
            last: String::new(),
            last_value: false,
            after_shell: false,
            opaque: !name.is_literal() || name.may_be_any_program(),
        }
    }

    /// Why a value must not stand in `word`, of which what is read so far is literal; where it may be
    /// `split`, it can become several words.
    pub(super) fn refuses(&self, word: &Word, split: bool) -> Option<&'static str> {
        let takes_words = matches!(
            self.rule,
            Rule::Assigned | Rule::Wrapper | Rule::Command | Rule::Test | Rule::Format
        );
        if split && takes_words {
            return Some("in a substitution without quotes");
        }
        let evaluated = |when: bool| when.then_some(ARGUMENT);
        if self.after_shell && self.last.starts_with('-') && self.last.contains('c') {
            return Some(ARGUMENT);
        }
        match self.rule {
            Rule::Data => None,
            Rule::Never(reason) => Some(reason),
            Rule::Remote | Rule::Source => Some(ARGUMENT),
            Rule::Assigned => match word.assigns() {
                Some(name) => evaluated(is_evaluated_variable(name)),
                None => Some("where it would name a variable"),
            },
            Rule::Wrapper | Rule::Command => {
                if self.operand {
                    return None;
                }
                match word.assigns() {
                    Some(name) if !is_evaluated_variable(name) => None,
                    _ => Some(NAMES_COMMAND),
                }
            }
            Rule::Find => (self.last.starts_with("-exec") || self.last.starts_with("-ok"))
                .then_some(NAMES_COMMAND),
            Rule::Shell(script) => evaluated(
                matches!(script, Script::Unknown | Script::Next) || self.last_is_option_with("c"),
            ),
            Rule::Interpreter(letters) => {
                let attached = word.is_option();
                evaluated(attached || self.last_is_option_with(letters) || self.last == "--eval")
            }
            Rule::ProgramFirst => {
                let variable = self.last == "-v" || word.literal.starts_with("-v");
                let named = self.last == "--arg";
                let program = ["-e", "--expression", "--source"].contains(&&*self.last);
                evaluated(program || (!self.operand && !variable && !named))
            }
            Rule::Test => evaluated(self.last_value || ["-v", "-R"].contains(&&*self.last)),
            Rule::Format => evaluated(!self.operand),
        }
    }

    fn last_is_option_with(&self, letters: &str) -> bool {
        let last = Word {
            literal: self.last.clone(),
            ..Word::default()
        };
        last.has_option(letters)
    }

    /// Takes the next word. The answer is why the command must be refused because of it.
    pub(super) fn argument(&mut self, word: &Word, in_script: bool) -> Option<&'static str> {
        let mut refusal = None;
        let literal = word.is_literal();
        let operand = literal && !word.is_option() && word.assigns().is_none();
        match &mut self.rule {
            Rule::Test if self.last_value && !literal => refusal = Some(ARGUMENT),
            // One that comes to nothing leaves it to the next.
            _ if word.splits && word.literal.is_empty() => return None,
            Rule::Find if self.last.starts_with("-exec") || self.last.starts_with("-ok") => {
                self.adopt(rule(word.program(), false).unwrap_or(Rule::Find));
                return None;
            }
            // `command -v NAME` only looks it up.
            Rule::Command if ["-v", "-V"].contains(&&*word.literal) => {
                self.rule = Rule::Data;
            }
            Rule::Wrapper | Rule::Command if !word.is_option() && !word.value => {
                let of_the_shell = in_script && self.rule == Rule::Command;
                if let Some(rule) = rule(word.program(), of_the_shell) {
                    self.adopt(rule);
                    return None;
                }
            }
            Rule::Shell(Script::Begins) => {}
            Rule::Shell(script) => {
                if word.has_option("c") {
                    *script = Script::Next;
                    // `-o` takes an operand, which could be mistaken for the script.
                    if word.has_option("oO") {
                        self.rule = Rule::Never(ARGUMENT);
                    }
                } else if matches!(script, Script::Unknown | Script::Next) && word.has_option("oO")
                {
                    self.rule = Rule::Never(ARGUMENT);
                } else if *script == Script::Unknown && word.is_input() {
                    // Its script still comes from the input.
                } else if !word.is_option() && !word.splits {
                    let mut words = word.literal.split(|c: char| !c.is_ascii_alphanumeric());
                    let begins = *script == Script::Next && words.any(|w| SHELLS.contains(&w));
                    *script = if begins {
                        Script::Begins
                    } else {
                        Script::Given
                    };
                }
            }
            Rule::Assigned if word.is_option() => {
                self.rule = Rule::Never("in a declaration with options");
            }
            Rule::Format if word.literal.starts_with("-v") => {
                self.rule = Rule::Never(ARGUMENT);
            }
            _ => {}
        }
        let from_input = matches!(self.rule, Rule::Interpreter(_)) && word.is_input();
        self.operand |= operand && !from_input;
        self.after_shell = SHELLS.contains(&word.program())
            || (self.after_shell && (word.is_option() || word.splits));
        self.last_value = word.value;
        self.last.clear();
        self.last.push_str(&word.literal);
        refusal
    }

    /// An argument names the command that is really run.
    fn adopt(&mut self, rule: Rule) {
        self.rule = rule;
        self.operand = false;
        self.last.clear();
    }

    /// Whether what is on its input is taken for a script.
    pub(super) fn reads_script(&self) -> bool {
        let from_input = match self.rule {
            Rule::Shell(script) => script != Script::Given,
            Rule::Remote | Rule::Source => true,
            Rule::Interpreter(_) => !self.operand,
            _ => false,
        };
        from_input || self.opaque
    }
}

fn rule(name: &str, in_script: bool) -> Option<Rule> {
    if SHELLS.contains(&name) {
        return Some(Rule::Shell(Script::Unknown));
    }
    if WRAPPERS.contains(&name) {
        return Some(Rule::Wrapper);
    }
    if let Some((_, letters)) = INTERPRETERS.iter().find(|(interpreter, _)| {
        let version = name.strip_prefix(interpreter);
        version.is_some_and(|v| v.bytes().all(|b| b.is_ascii_digit() || b == b'.'))
    }) {
        return Some(Rule::Interpreter(letters));
    }
    if PROGRAM_FIRST.contains(&name) {
        return Some(Rule::ProgramFirst);
    }
    if REMOTE.contains(&name) {
        return Some(Rule::Remote);
    }
    if EVALUATING.contains(&name) && in_script {
        return Some(Rule::Never(ARGUMENT));
    }
    match name {
        "." | "source" if in_script => Some(Rule::Source),
        "find" => Some(Rule::Find),
        "export" | "readonly" | "local" if in_script => Some(Rule::Assigned),
        "test" | "[" if in_script => Some(Rule::Test),
        "printf" if in_script => Some(Rule::Format),
        "builtin" | "command" | "exec" | "time" if in_script => Some(Rule::Command),
        _ => None,
    }
}
