//! Turns what a program writes into reports and results, within the limits.

use std::time::{Duration, Instant};

use limelight_protocol::event::LogSource;
use tokio::sync::mpsc;

use super::{
    Failure, OutputLimits, Report, Success,
    directive::{Directive, parse_command, parse_report},
    gathered::Gathered,
    lines::{Line, LineSplitter},
};

/// Progress is reported ten times a second at most; what comes between is passed over.
const PROGRESS_EVERY: Duration = Duration::from_millis(100);

/// Longest remark on something that is wrong, in bytes: it may quote what it is about.
const MAX_FAULT_BYTES: usize = 500;

/// Where all that a program says comes together.
#[derive(Debug)]
pub(super) struct Output {
    reports: mpsc::Sender<Report>,
    limits: OutputLimits,
    read_commands: bool,
    gathered: Gathered,
    logged_lines: usize,
    logged_bytes: usize,
    /// What did not fit into the log: since the first such line nothing does.
    dropped: Option<Dropped>,
    progress: Option<Report>,
    progress_due: Instant,
}

#[derive(Debug, Default)]
struct Dropped {
    lines: u64,
    bytes: u64,
}

impl Output {
    /// Reports go to `reports`.
    pub(super) fn new(
        reports: mpsc::Sender<Report>,
        limits: OutputLimits,
        read_commands: bool,
    ) -> Self {
        Self {
            reports,
            limits,
            read_commands,
            gathered: Gathered::new(limits.max_outputs_bytes),
            logged_lines: 0,
            logged_bytes: 0,
            dropped: None,
            progress: None,
            progress_due: Instant::now(),
        }
    }

    /// A piece of standard output or standard error, which `lines` cuts. Once the log is full, pieces
    /// are searched for commands and counted, which takes next to no time.
    pub(super) async fn chunk(
        &mut self,
        source: LogSource,
        lines: &mut LineSplitter,
        mut chunk: &[u8],
    ) {
        while !chunk.is_empty() && self.dropped.is_none() {
            let (line, rest) = lines.next(chunk);
            chunk = rest;
            if let Some(line) = line {
                self.line(source, line).await;
            }
        }
        if let Some(dropped) = &mut self.dropped {
            let found = lines.skim(chunk, self.read_commands && source == LogSource::Stdout);
            let commands: usize = found.commands.iter().map(|line| line.text.len() + 1).sum();
            dropped.lines += found.lines;
            dropped.bytes += chunk.len().saturating_sub(commands) as u64;
            for line in found.commands {
                self.line(source, line).await;
            }
        }
    }

    /// What is left in `lines` when a stream has ended.
    pub(super) async fn last_line(&mut self, source: LogSource, lines: &mut LineSplitter) {
        if let Some(line) = lines.finish() {
            self.line(source, line).await;
        }
        if let Some(dropped) = &mut self.dropped {
            dropped.lines += u64::from(lines.is_skipping());
        }
    }

    async fn line(&mut self, source: LogSource, mut line: Line) {
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

    /// Something Limelight itself has to say about the attempt, which is kept in any case.
    pub(super) async fn note(&mut self, line: String) {
        let source = LogSource::System;
        self.send(Report::Log { source, line }).await;
    }

    /// Reports progress that was held back.
    pub(super) async fn flush(&mut self) {
        if let Some(report) = self.progress.take() {
            self.progress_due = Instant::now() + PROGRESS_EVERY;
            self.send(report).await;
        }
    }

    /// Says what was held back: the last progress, and how much was dropped.
    pub(super) async fn close(&mut self) {
        self.flush().await;
        if let Some(Dropped { lines, bytes }) = self.dropped {
            self.send(Report::Dropped { lines, bytes }).await;
            self.note(format!(
                "dropped after the log was full: {lines} lines, {bytes} bytes"
            ))
            .await;
        }
    }

    /// What the attempt gave.
    pub(super) fn finish(self) -> Result<Success, Failure> {
        self.gathered.finish()
    }

    async fn obey(&mut self, directive: Directive) {
        match directive {
            Directive::Progress { progress, message } => {
                self.progress = Some(Report::Progress { progress, message });
                if self.progress_due <= Instant::now() {
                    self.flush().await;
                }
            }
            Directive::Output(output) => self.gathered.output(output),
            Directive::Quality(quality) => self.gathered.quality(quality),
            Directive::Artifact(path) => self.gathered.artifact(path),
        }
    }

    async fn complain(&mut self, fault: &str, cut: bool) {
        if self.dropped.is_some() {
            return;
        }
        let fault = shortened(fault, MAX_FAULT_BYTES);
        let cut = if cut { " (the line is too long)" } else { "" };
        self.log(LogSource::System, format!("ignored: {fault}{cut}"))
            .await;
    }

    async fn log(&mut self, source: LogSource, line: String) {
        let bytes = line.len() + 1;
        if let Some(dropped) = &mut self.dropped {
            dropped.lines += 1;
            dropped.bytes += bytes as u64;
            return;
        }
        let OutputLimits {
            max_log_lines,
            max_log_bytes,
            ..
        } = self.limits;
        if self.logged_lines == max_log_lines || self.logged_bytes + bytes > max_log_bytes {
            self.dropped = Some(Dropped {
                lines: 1,
                bytes: bytes as u64,
            });
            self.note(format!(
                "the log is full: an attempt's holds {max_log_lines} lines and {max_log_bytes} bytes"
            ))
            .await;
            return;
        }
        self.logged_lines += 1;
        self.logged_bytes += bytes;
        self.send(Report::Log { source, line }).await;
    }

    async fn send(&self, report: Report) {
        // Nobody listens any more: the program is still drained, what it says is lost.
        let _ = self.reports.send(report).await;
    }
}

/// The text, or its beginning and a mark when it is longer than `max_bytes`.
pub(super) fn shortened(text: &str, max_bytes: usize) -> String {
    if text.len() <= max_bytes {
        return text.to_owned();
    }
    format!("{}…", &text[..text.floor_char_boundary(max_bytes)])
}
