//! What pages are made of.

pub mod dialog;
pub mod executions_table;
pub mod graph;
pub mod icon;
pub mod input;
pub mod json;
pub mod pager;
pub mod panel;
pub mod progress;
pub mod run_dialog;
pub mod shell;
pub mod source_dialog;
pub mod status;
pub mod theme;
pub mod time;
pub mod virtual_list;
