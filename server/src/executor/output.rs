//! Turns what a program writes into reports and results, within the limits.

use limelight_protocol::event::LogSource;
use tokio::sync::mpsc;

use super::{
    Failure, OutputLimits, Report, Success,
    directive::{Directive, parse_command, parse_report},
    gathered::Gathered,
    lines::Line,
};

/// Where all that a program says comes together.
#[derive(Debug)]
pub(super) struct Output {
    reports: mpsc::Sender<Report>,
    limits: OutputLimits,
    read_commands: bool,
    gathered: Gathered,
    logged_bytes: usize,
    dropping: bool,
}

impl Output {
    /// Reports go to `reports`.
    pub(super) fn new(
        reports: mpsc::Sender<Report>,
        limits: OutputLimits,
        read_commands: bool,
    ) -> Self {
        let gathered = Gathered::new(limits.max_outputs_bytes);
        Self {
            reports,
            limits,
            read_commands,
            gathered,
            logged_bytes: 0,
            dropping: false,
        }
    }

    /// A line of standard output or standard error.
    pub(super) async fn line(&mut self, source: LogSource, mut line: Line) {
        if self.read_commands && source == LogSource::Stdout {
            match parse_command(&line.text) {
                Some(Ok(directive)) => return self.obey(directive).await,
                Some(Err(fault)) => self.complain(&fault, line.cut).await,
                None => {}
            }
        }
        if line.cut {
            line.text
                .push_str(&format!(" … [cut at {} bytes]", self.limits.max_line_bytes));
        }
        self.log(source, line.text).await;
    }

    /// A line of the report file.
    pub(super) async fn report_line(&mut self, line: Line) {
        if line.text.trim().is_empty() {
            return;
        }
        match parse_report(&line.text) {
            Ok(directives) => {
                for directive in directives {
                    self.obey(directive).await;
                }
            }
            Err(fault) => {
                self.complain(&format!("report file: {fault}"), line.cut)
                    .await;
            }
        }
    }

    /// Something Limelight itself has to say about the attempt.
    pub(super) async fn system(&mut self, text: String) {
        self.log(LogSource::System, text).await;
    }

    /// What the attempt gave.
    pub(super) fn finish(self) -> Result<Success, Failure> {
        self.gathered.finish()
    }

    async fn obey(&mut self, directive: Directive) {
        match directive {
            Directive::Progress { progress, message } => {
                self.send(Report::Progress { progress, message }).await;
            }
            Directive::Output(output) => self.gathered.output(output),
            Directive::Quality(quality) => self.gathered.quality(quality),
            Directive::Artifact(path) => self.gathered.artifact(path),
        }
    }

    async fn complain(&mut self, fault: &str, cut: bool) {
        let cut = if cut { " (the line is too long)" } else { "" };
        self.system(format!("ignored: {fault}{cut}")).await;
    }

    async fn log(&mut self, source: LogSource, line: String) {
        if self.dropping {
            return;
        }
        self.logged_bytes += line.len() + 1;
        if self.logged_bytes > self.limits.max_log_bytes {
            self.dropping = true;
            let limit = self.limits.max_log_bytes;
            let line = format!("output beyond {limit} bytes is not kept");
            self.send(Report::Log {
                source: LogSource::System,
                line,
            })
            .await;
        } else {
            self.send(Report::Log { source, line }).await;
        }
    }

    async fn send(&self, report: Report) {
        // Nobody listens any more: the program is still drained, what it says is lost.
        let _ = self.reports.send(report).await;
    }
}
