//! How an execution is shown: bars on a terminal, lines elsewhere, JSON for programs.

mod bars;

use std::io::{self, Write};

use limelight_protocol::{
    Event, EventBody, Execution, NodeId,
    event::{LogLine, SkipReason},
};

pub(super) use bars::Bars;

/// Shows what happens. An error means that nobody looks any more.
pub(super) trait View {
    /// Before the first event.
    fn begin(&mut self, execution: &Execution) -> io::Result<()>;
    /// An event of the execution, which has been applied to it.
    fn event(&mut self, event: &Event, body: &EventBody, execution: &Execution) -> io::Result<()>;
    /// A line of a node's log.
    fn line(&mut self, event: &Event, node: &NodeId, line: &LogLine) -> io::Result<()>;
    /// Events were missed; this is how it stands now.
    fn jumped(&mut self, execution: &Execution) -> io::Result<()>;
    /// Something about the following itself.
    fn note(&mut self, text: &str) -> io::Result<()>;
    /// It has ended.
    fn end(&mut self, execution: &Execution) -> io::Result<()>;
}

/// A line for each event.
pub(super) struct Plain<W>(pub(super) W);

impl<W: Write> View for Plain<W> {
    fn begin(&mut self, execution: &Execution) -> io::Result<()> {
        writeln!(
            self.0,
            "{} version {}, execution {}",
            execution.workflow_name, execution.workflow_version, execution.id
        )
    }

    fn event(&mut self, event: &Event, body: &EventBody, _: &Execution) -> io::Result<()> {
        match sentence(event, body) {
            Some(text) => writeln!(self.0, "{} {text}", event.timestamp),
            None => Ok(()),
        }
    }

    fn line(&mut self, _: &Event, node: &NodeId, line: &LogLine) -> io::Result<()> {
        writeln!(self.0, "{}", prefixed(node, line))
    }

    fn jumped(&mut self, execution: &Execution) -> io::Result<()> {
        writeln!(self.0, "{}", summary(execution))
    }

    fn note(&mut self, text: &str) -> io::Result<()> {
        super::say(text);
        Ok(())
    }

    fn end(&mut self, execution: &Execution) -> io::Result<()> {
        writeln!(self.0, "{}", summary(execution))?;
        self.0.flush()
    }
}

/// Every event and every log line as a JSON object of its own.
pub(super) struct Json<W>(pub(super) W);

impl<W: Write> Json<W> {
    fn write(&mut self, event: &Event) -> io::Result<()> {
        serde_json::to_writer(&mut self.0, event)?;
        self.0.write_all(b"\n")
    }
}

impl<W: Write> View for Json<W> {
    fn begin(&mut self, _: &Execution) -> io::Result<()> {
        Ok(())
    }

    fn event(&mut self, event: &Event, _: &EventBody, _: &Execution) -> io::Result<()> {
        self.write(event)
    }

    fn line(&mut self, event: &Event, _: &NodeId, _: &LogLine) -> io::Result<()> {
        self.write(event)
    }

    fn jumped(&mut self, _: &Execution) -> io::Result<()> {
        Ok(())
    }

    fn note(&mut self, text: &str) -> io::Result<()> {
        super::say(text);
        Ok(())
    }

    fn end(&mut self, _: &Execution) -> io::Result<()> {
        self.0.flush()
    }
}

/// An event in words; none for those that are too many to tell.
fn sentence(event: &Event, body: &EventBody) -> Option<String> {
    let node = event.node_id.as_ref().map_or("", NodeId::as_str);
    let text = match body {
        EventBody::WorkflowStarted(started) => format!("started by {}", started.by),
        EventBody::WorkflowPaused(steered) => format!("paused by {}", steered.by),
        EventBody::WorkflowResumed(steered) => format!("resumed by {}", steered.by),
        EventBody::WorkflowCancelled(steered) => format!("cancelled by {}", steered.by),
        EventBody::WorkflowCompleted(_) | EventBody::WorkflowFailed(_) => return None,
        EventBody::NodeStarted(attempted) if attempted.attempt > 1 => {
            format!("{node} started, attempt {}", attempted.attempt)
        }
        EventBody::NodeStarted(_) => format!("{node} started"),
        EventBody::NodeWaiting(waiting) => match (&waiting.message, waiting.until) {
            (Some(message), _) => format!("{node} waits: {message}"),
            (None, Some(until)) => format!("{node} waits until {until}"),
            (None, None) => format!("{node} waits"),
        },
        EventBody::NodeRetrying(retrying) => {
            let why = match (&retrying.error, &retrying.by) {
                (Some(error), _) => error.message.clone(),
                (None, Some(by)) => format!("asked for by {by}"),
                (None, None) => String::new(),
            };
            format!("{node} will be tried again at {}: {why}", retrying.at)
        }
        EventBody::NodeCompleted(done) => format!("{node} completed in {:.3} s", done.duration_s),
        EventBody::NodeFailed(failed) => {
            format!(
                "{node} failed: {} ({})",
                failed.error.message, failed.error.code
            )
        }
        EventBody::NodeSkipped(skipped) => match skipped.reason {
            SkipReason::Condition => format!("{node} skipped by its condition"),
            SkipReason::Upstream => format!("{node} skipped because of what it needs"),
        },
        EventBody::NodeCancelled(_) => format!("{node} cancelled"),
        EventBody::NodeQueued(_)
        | EventBody::NodeProgress(_)
        | EventBody::NodeLog(_)
        | EventBody::TestStarted(_)
        | EventBody::TestCase(_)
        | EventBody::TestFinished(_)
        | EventBody::MetricsSample(_) => return None,
    };
    Some(printable(&text))
}

/// How the execution stands, in a line.
fn summary(execution: &Execution) -> String {
    let took = execution
        .duration_s
        .map_or_else(String::new, |seconds| format!(" in {seconds:.3} s"));
    format!(
        "{} {}{took}, {} of {} nodes",
        execution.workflow_name,
        execution.status.as_str(),
        execution.completed_nodes,
        execution.total_nodes
    )
}

fn prefixed(node: &NodeId, line: &LogLine) -> String {
    format!("{node} | {}", printable(&line.line))
}

/// Without control characters: a log must not steer the terminal it is shown on.
fn printable(text: &str) -> String {
    text.chars()
        .filter(|c| *c == '\t' || !c.is_control())
        .collect()
}
