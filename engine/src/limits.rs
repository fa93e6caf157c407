//! Every limit of a definition and of what an execution is given, in one place.
//!
//! They bound what one author can make the server hold or compute, and leave room for thousands of
//! nodes. What is beyond is a fault of the definition, or fails the attempt where only a value shows
//! it.

/// Longest text of a definition, bytes.
pub const MAX_DEFINITION_BYTES: usize = 1024 * 1024;

/// Most bytes of text in a definition with every alias written out.
pub(crate) const MAX_EXPANDED_BYTES: usize = 2 * MAX_DEFINITION_BYTES;

/// Most values in a definition with every alias written out.
pub(crate) const MAX_VALUES: usize = 300_000;

/// Deepest nesting of a definition, and of the parameters of an execution.
pub const MAX_DEPTH: usize = 64;

/// Most nodes.
pub const MAX_NODES: usize = 10_000;

/// Most parameters.
pub const MAX_PARAMS: usize = 1000;

/// Longest name of a workflow, a node (for people), a phase or an execution, characters.
pub const MAX_NAME_CHARS: usize = 128;

/// Longest description of a workflow or a parameter, characters.
pub const MAX_DESCRIPTION_CHARS: usize = 4096;

/// Longest list of environment variables, headers or statuses.
pub const MAX_ENTRIES: usize = 1000;

/// Most labels of an execution.
pub const MAX_LABELS: usize = 64;

/// Longest name or value of a label, characters.
pub const MAX_LABEL_CHARS: usize = 256;

/// Most bytes of all parameters of an execution as JSON, defaults included.
pub const MAX_PARAMS_BYTES: usize = 256 * 1024;

/// Most faults that are reported: beyond, nobody reads on.
pub const MAX_FAULTS: usize = 100;

/// Longest message of a fault, characters.
pub(crate) const MAX_MESSAGE_CHARS: usize = 500;

/// Most names that are compared to find what a misspelled one was meant to be.
pub(crate) const MAX_COMPARISONS: usize = 2 * MAX_NODES;

/// Longest condition, bytes.
pub const MAX_CONDITION_BYTES: usize = 8 * 1024;

/// Longest text with something to fill in, bytes.
pub const MAX_TEMPLATE_BYTES: usize = 64 * 1024;

/// Deepest expression: operators that are applied to each other's results.
pub(crate) const MAX_EXPRESSION_DEPTH: usize = 64;

/// Most brackets within each other in an expression.
pub(crate) const MAX_BRACKETS: usize = 12;

/// Most `if`, `elif` and `for` within each other.
pub(crate) const MAX_BLOCKS: usize = 16;

/// Most instructions in one rendering.
pub(crate) const FUEL: u64 = 50_000;

/// Most bytes that one rendering may give.
pub const MAX_OUTPUT_BYTES: usize = 1024 * 1024;

/// Most bytes that expressions may make while one text is rendered, interim results counted each.
pub(crate) const MAX_WORK_BYTES: usize = 8 * 1024 * 1024;

/// Longest value that a program can be handed as an argument or a variable, bytes. The kernel takes
/// 128 KiB with the variable's name.
pub const MAX_ARGUMENT_BYTES: usize = 128 * 1024 - 256;

/// Most bytes of all arguments and variables of a program: well under what the kernel takes.
pub const MAX_ARGUMENTS_BYTES: usize = 1024 * 1024;
