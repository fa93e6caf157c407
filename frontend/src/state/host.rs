//! The host over the last quarter of an hour: history that was fetched, then readings as they come.

use limelight_protocol::{
    Timestamp,
    host::{HostHistory, HostSample},
};

/// How far back is shown, seconds.
pub const SPAN_S: f64 = 900.0;
/// Width of a fetched interval, seconds.
pub const STEP_S: u32 = 5;
const MEASURES: usize = 5;

/// What is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// All cores, percent.
    Cpu,
    /// Memory in use, bytes.
    Memory,
    /// Received, bytes a second.
    Received,
    /// Sent, bytes a second.
    Sent,
    /// Load average over 1 minute.
    Load,
}

/// Times in seconds since the Unix epoch, and a value of each measure at each time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HostSeries {
    times: Vec<f64>,
    values: [Vec<f64>; MEASURES],
    latest: Option<HostSample>,
}

fn seconds(at: Timestamp) -> f64 {
    at.millis() as f64 / 1000.0
}

impl HostSeries {
    /// Takes history in front of the readings that have come in since.
    pub fn load(&mut self, history: HostHistory) {
        let mut fresh = Self::default();
        for point in &history.points {
            fresh.push(
                seconds(point.at),
                [
                    point.cpu_percent.avg,
                    point.memory_used_bytes.avg,
                    point.network_received_bytes_per_s.avg,
                    point.network_sent_bytes_per_s.avg,
                    point.load_1m.avg,
                ],
            );
        }
        let known_to = fresh.times.last().copied().unwrap_or(f64::MIN);
        for (index, &time) in self.times.iter().enumerate() {
            if time > known_to {
                fresh.push(
                    time,
                    std::array::from_fn(|measure| self.values[measure][index]),
                );
            }
        }
        fresh.latest = self.latest.take();
        *self = fresh;
        if let Some(sample) = history.latest {
            self.take(sample);
        }
    }

    /// Takes a reading.
    pub fn take(&mut self, sample: HostSample) {
        if self
            .latest
            .as_ref()
            .is_some_and(|latest| latest.at >= sample.at)
        {
            return;
        }
        self.push(
            seconds(sample.at),
            [
                sample.cpu_percent,
                sample.memory_used_bytes as f64,
                sample.network_received_bytes_per_s,
                sample.network_sent_bytes_per_s,
                sample.load_average[0],
            ],
        );
        let horizon = seconds(sample.at) - SPAN_S;
        let old = self.times.partition_point(|time| *time < horizon);
        self.times.drain(..old);
        for values in &mut self.values {
            values.drain(..old);
        }
        self.latest = Some(sample);
    }

    fn push(&mut self, time: f64, values: [f64; MEASURES]) {
        if self.times.last().is_some_and(|last| *last >= time) {
            return;
        }
        self.times.push(time);
        for (series, value) in self.values.iter_mut().zip(values) {
            series.push(value);
        }
    }

    /// When each value was.
    pub fn times(&self) -> &[f64] {
        &self.times
    }

    /// The values of a measure.
    pub fn values(&self, measure: Measure) -> &[f64] {
        &self.values[measure as usize]
    }

    /// The newest reading in full.
    pub fn latest(&self) -> Option<&HostSample> {
        self.latest.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use limelight_protocol::host::{HostPoint, ProcessSample, Range};

    use super::*;

    fn sample(second: i64, cpu: f64) -> HostSample {
        HostSample {
            at: Timestamp(second * 1000),
            cpu_percent: cpu,
            cores_percent: vec![cpu],
            memory_used_bytes: 1,
            memory_total_bytes: 2,
            swap_used_bytes: 0,
            swap_total_bytes: 0,
            load_average: [0.5, 0.0, 0.0],
            disks: vec![],
            network_received_bytes_per_s: 0.0,
            network_sent_bytes_per_s: 0.0,
            process: ProcessSample {
                cpu_percent: 0.0,
                resident_bytes: 0,
            },
        }
    }

    fn point(second: i64, cpu: f64) -> HostPoint {
        let zero = Range::default();
        HostPoint {
            at: Timestamp(second * 1000),
            samples: 5,
            cpu_percent: Range { avg: cpu, ..zero },
            memory_used_bytes: zero,
            swap_used_bytes: zero,
            load_1m: zero,
            network_received_bytes_per_s: zero,
            network_sent_bytes_per_s: zero,
            process_cpu_percent: zero,
            process_resident_bytes: zero,
        }
    }

    #[test]
    fn history_that_arrives_late_goes_in_front_of_the_live_readings() {
        let mut series = HostSeries::default();
        series.take(sample(100, 50.0));
        series.take(sample(101, 51.0));
        series.load(HostHistory {
            from: Timestamp(0),
            to: Timestamp(101_000),
            step_s: 5,
            points: vec![point(90, 1.0), point(95, 2.0)],
            latest: Some(sample(99, 9.0)),
        });
        assert_eq!(series.times(), [90.0, 95.0, 100.0, 101.0]);
        assert_eq!(series.values(Measure::Cpu), [1.0, 2.0, 50.0, 51.0]);
        assert_eq!(series.latest().unwrap().at, Timestamp(101_000));
    }

    #[test]
    fn what_is_older_than_the_span_is_let_go_and_doubles_are_dropped() {
        let mut series = HostSeries::default();
        series.take(sample(0, 1.0));
        series.take(sample(1, 2.0));
        series.take(sample(1, 3.0));
        assert_eq!(series.times().len(), 2);
        series.take(sample(901, 4.0));
        assert_eq!(series.times(), [1.0, 901.0]);
    }
}
