//! A bar for the execution and one for each node at work; everything else scrolls by above them.

use std::{collections::BTreeMap, io, time::Duration};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use limelight_protocol::{Event, EventBody, Execution, NodeId, NodeStatus, event::LogLine};

use super::{View, prefixed, printable, sentence, summary};

/// Most bars of nodes, so that they stay on the screen.
const MAX_BARS: usize = 16;
const TICK: Duration = Duration::from_millis(120);

/// For a terminal.
pub(in super::super) struct Bars {
    all: MultiProgress,
    whole: ProgressBar,
    nodes: BTreeMap<NodeId, ProgressBar>,
}

impl Bars {
    pub(in super::super) fn new() -> Self {
        let all = MultiProgress::new();
        let whole = all.add(ProgressBar::new(0).with_style(style(
            "{spinner} {prefix} [{wide_bar}] {pos}/{len} {elapsed}",
        )));
        Self {
            all,
            whole,
            nodes: BTreeMap::new(),
        }
    }

    fn update(&mut self, node: &NodeId, execution: &Execution) {
        let state = execution
            .node_states
            .iter()
            .find(|state| state.node_id == *node);
        let Some(state) = state else { return };
        if !matches!(state.status, NodeStatus::Running | NodeStatus::Waiting) {
            if let Some(bar) = self.nodes.remove(node) {
                bar.finish_and_clear();
                self.all.remove(&bar);
            }
            return;
        }
        if !self.nodes.contains_key(node) {
            if self.nodes.len() == MAX_BARS {
                return;
            }
            let bar = self.all.insert_before(&self.whole, ProgressBar::new(100));
            bar.set_style(style("  {spinner} {prefix} {elapsed} {wide_msg}"));
            bar.set_prefix(node.to_string());
            bar.enable_steady_tick(TICK);
            self.nodes.insert(node.clone(), bar);
        }
        let Some(bar) = self.nodes.get(node) else {
            return;
        };
        if let Some(progress) = state.progress {
            bar.set_style(style(
                "  {spinner} {prefix} [{bar:24}] {percent:>3}% {wide_msg}",
            ));
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            bar.set_position(progress.clamp(0.0, 100.0) as u64);
        }
        let message = state.message.as_deref().map(printable);
        bar.set_message(match (message, state.status) {
            (Some(message), _) => message,
            (None, NodeStatus::Waiting) => "waits".into(),
            (None, _) => String::new(),
        });
    }

    fn count(&self, execution: &Execution) {
        self.whole.set_length(execution.total_nodes.into());
        self.whole.set_position(execution.completed_nodes.into());
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
}

impl View for Bars {
    fn begin(&mut self, execution: &Execution) -> io::Result<()> {
        self.whole.set_prefix(execution.workflow_name.clone());
        self.whole.enable_steady_tick(TICK);
        self.count(execution);
        self.all.println(format!("execution {}", execution.id))
    }

    fn event(&mut self, event: &Event, body: &EventBody, execution: &Execution) -> io::Result<()> {
        if let Some(text) = sentence(event, body) {
            self.all.println(text)?;
        }
        if let Some(node) = &event.node_id {
            self.update(node, execution);
        }
        self.count(execution);
        Ok(())
    }

    fn line(&mut self, _: &Event, node: &NodeId, line: &LogLine) -> io::Result<()> {
        self.all.println(prefixed(node, line))
    }

    fn jumped(&mut self, execution: &Execution) -> io::Result<()> {
        for state in &execution.node_states {
            self.update(&state.node_id, execution);
        }
        self.count(execution);
        self.all.println(summary(execution))
    }

    fn note(&mut self, text: &str) -> io::Result<()> {
        self.all.println(printable(text))
    }

    fn end(&mut self, execution: &Execution) -> io::Result<()> {
        for bar in self.nodes.values() {
            bar.finish_and_clear();
        }
        self.whole.finish_and_clear();
        self.all.println(summary(execution))
    }
}
