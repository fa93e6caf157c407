//! Lines of a log that share a row.

use std::borrow::Cow;

use limelight_protocol::{
    ExecutionId, NodeId, Timestamp,
    event::{LogLine, LogSource},
};

use crate::store::{
    entity::node_log::Model,
    error::{Result, StoreError},
    text,
};

/// What a row holds at most: lines, and bytes of text beside its last line.
const BLOCK_LINES: usize = 512;
const BLOCK_BYTES: usize = 64 << 10;

/// `[milliseconds after the block's timestamp, source, text]`.
type Stored<'a> = (i64, u8, Cow<'a, str>);

/// Cuts lines into rows; the same lines always into the same.
pub fn cut(
    execution: ExecutionId,
    node: &NodeId,
    mut first_seq: i64,
    mut lines: &[(Timestamp, LogLine)],
) -> Result<Vec<Model>> {
    let mut blocks = Vec::new();
    while let Some((begin, first)) = lines.first() {
        let mut bytes = 0;
        let fits = |(_, line): &&(Timestamp, LogLine)| {
            let fits = bytes < BLOCK_BYTES && line.attempt == first.attempt;
            bytes += line.line.len();
            fits
        };
        let count = lines.iter().take(BLOCK_LINES).take_while(fits).count();
        let (block, rest) = lines.split_at(count);
        let stored: Vec<Stored<'_>> = block.iter().map(|line| stored(*begin, line)).collect();
        let next_seq = first_seq.saturating_add(count as i64);
        blocks.push(Model {
            execution_id: execution.0,
            node_id: node.as_str().to_owned(),
            first_seq,
            last_seq: next_seq - 1,
            attempt: first.attempt as i32,
            timestamp: begin.0,
            lines: serde_json::to_string(&stored).map_err(StoreError::corrupt)?,
        });
        (first_seq, lines) = (next_seq, rest);
    }
    Ok(blocks)
}

fn stored(begin: Timestamp, (timestamp, line): &(Timestamp, LogLine)) -> Stored<'_> {
    let source = match line.source {
        LogSource::Stdout => 1,
        LogSource::Stderr => 2,
        LogSource::System => 3,
    };
    let after_ms = timestamp.0.saturating_sub(begin.0);
    (after_ms, source, text::clean(&line.line))
}

/// The lines of a row with their numbers.
pub fn lines(block: &Model) -> Result<Vec<(u64, Timestamp, LogLine)>> {
    let stored: Vec<Stored<'_>> = serde_json::from_str(&block.lines)?;
    let number = stored.len() as i64;
    if block.first_seq.checked_add(number - 1) != Some(block.last_seq) {
        return Err(StoreError::corrupt(format!(
            "a block of {number} lines from {} to {}",
            block.first_seq, block.last_seq
        )));
    }
    (block.first_seq..)
        .zip(stored)
        .map(|(seq, (after_ms, source, text))| {
            let source = match source {
                1 => LogSource::Stdout,
                2 => LogSource::Stderr,
                3 => LogSource::System,
                other => return Err(StoreError::corrupt(format!("log source {other}"))),
            };
            let line = LogLine {
                attempt: block.attempt as u32,
                source,
                line: text.into_owned(),
            };
            let timestamp = Timestamp(block.timestamp.saturating_add(after_ms));
            Ok((seq as u64, timestamp, line))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use limelight_protocol::event::LogSource::{Stderr, Stdout, System};
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    proptest! {
        #[test]
        fn what_is_cut_into_blocks_comes_back(
            lines in prop::collection::vec(
                (any::<i32>(), 1_u32..3, prop::sample::select(vec![Stdout, Stderr, System]), "\\PC{0,9}|[\\n\"\\\\\u{1b}]{3}"),
                0..1200,
            ),
            first_seq in 1_i64..1_000_000,
        ) {
            let lines: Vec<_> = lines
                .into_iter()
                .map(|(at, attempt, source, line)| (Timestamp(at.into()), LogLine { attempt, source, line }))
                .collect();
            let execution = ExecutionId(Uuid::nil());
            let blocks = cut(execution, &NodeId::new("a").unwrap(), first_seq, &lines).unwrap();
            let mut found = Vec::new();
            for block in &blocks {
                prop_assert_eq!(block.first_seq, first_seq + found.len() as i64);
                let lines = super::lines(block).unwrap();
                prop_assert!(lines.len() <= BLOCK_LINES);
                found.extend(lines.into_iter().map(|(_, timestamp, line)| (timestamp, line)));
                prop_assert_eq!(block.last_seq, first_seq - 1 + found.len() as i64);
            }
            prop_assert_eq!(found, lines);
        }
    }

    #[test]
    fn a_block_is_bounded_whatever_the_length_of_its_lines() {
        let line = LogLine {
            attempt: 1,
            source: Stdout,
            line: "x".repeat(16 << 10),
        };
        let lines = vec![(Timestamp(0), line); 100];
        let execution = ExecutionId(Uuid::nil());
        let blocks = cut(execution, &NodeId::new("a").unwrap(), 1, &lines).unwrap();
        assert_eq!(blocks.len(), 25);
        assert!(
            blocks
                .iter()
                .all(|block| block.lines.len() < 2 * BLOCK_BYTES)
        );
    }
}
