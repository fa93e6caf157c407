//! Reads the host: processors, memory, file systems, network, and the server's own process.
//!
//! Reads only what a [`HostSample`] holds, since it is asked once a second for ever; never lists
//! other processes, and never reads a clock. Readings may block, so a [`HostReader`] takes them on a
//! thread that nobody else needs.

use std::{collections::HashMap, ffi::OsString, io, sync::mpsc, thread, time::Duration};

use limelight_protocol::{
    Timestamp,
    host::{HostSample, ProcessSample},
};
use sysinfo::{Networks, Pid, ProcessRefreshKind, ProcessesToUpdate, System};
use tokio::sync::oneshot;

mod disks;

use disks::DiskReader;

/// Takes readings on a thread of its own.
#[derive(Debug)]
pub struct HostReader {
    ask: mpsc::Sender<Question>,
    deadline: Duration,
    /// The reading that has been asked for and has not come.
    outstanding: Option<oneshot::Receiver<HostSample>>,
}

/// When it is, and where to answer.
type Question = (Timestamp, oneshot::Sender<HostSample>);

impl HostReader {
    /// Starts the thread; `sample` takes a reading, and may block. It is waited for up to `deadline`.
    /// The thread ends with the reader.
    ///
    /// # Errors
    /// When there can be no more threads.
    pub fn start(
        deadline: Duration,
        mut sample: impl FnMut(Timestamp) -> HostSample + Send + 'static,
    ) -> io::Result<Self> {
        let (ask, asked) = mpsc::channel::<Question>();
        let work = move || {
            for (now, answer) in asked {
                // Nobody listens when the collector has gone.
                let _ = answer.send(sample(now));
            }
        };
        thread::Builder::new().name("host".into()).spawn(work)?;
        Ok(Self {
            ask,
            deadline,
            outstanding: None,
        })
    }

    /// A reading; none when it takes too long. Then the next call waits for the same one, so that there
    /// is never more than one outstanding.
    ///
    /// # Errors
    /// When the thread has ended.
    pub async fn read(&mut self, now: Timestamp) -> Result<Option<HostSample>, Ended> {
        let mut answered = match self.outstanding.take() {
            Some(outstanding) => outstanding,
            None => {
                let (answer, answered) = oneshot::channel();
                self.ask.send((now, answer)).map_err(|_| Ended)?;
                answered
            }
        };
        match tokio::time::timeout(self.deadline, &mut answered).await {
            Ok(sample) => sample.map(Some).map_err(|_| Ended),
            Err(_) => {
                self.outstanding = Some(answered);
                Ok(None)
            }
        }
    }
}

/// The thread that takes readings has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the thread that reads the host has ended")]
pub struct Ended;

/// Takes readings; rates are those since the reading before, and zero in the first.
#[derive(Debug)]
pub struct HostSampler {
    system: System,
    disks: DiskReader,
    networks: Networks,
    process: Pid,
    previous: Option<Previous>,
}

/// What rates are reckoned from.
#[derive(Debug)]
struct Previous {
    at: Timestamp,
    /// Received and sent since boot, by interface.
    network_bytes: HashMap<OsString, (u64, u64)>,
    process_cpu_ms: u64,
}

impl HostSampler {
    /// A sampler that has read nothing yet.
    ///
    /// # Errors
    /// On a system whose readings cannot be taken.
    pub fn new() -> Result<Self, sysinfo::Error> {
        Ok(Self {
            system: System::new()?,
            disks: DiskReader::default(),
            networks: Networks::new()?,
            process: sysinfo::get_current_pid()?,
            previous: None,
        })
    }

    /// Takes a reading. Call it at most once in 200 ms: processor usage is not read more often.
    pub fn sample(&mut self, now: Timestamp) -> HostSample {
        let system = &mut self.system;
        system.refresh_cpu_usage();
        system.refresh_memory();
        let (resident_bytes, process_cpu_ms) = self.refresh_process();
        let network_bytes = self.refresh_networks();
        let (cpu_percent, cores_percent, rates) = match &self.previous {
            None => (0.0, vec![0.0; self.system.cpus().len()], Rates::default()),
            Some(previous) => (
                percent(self.system.global_cpu_usage()),
                self.system
                    .cpus()
                    .iter()
                    .map(|cpu| percent(cpu.usage()))
                    .collect(),
                Rates::between(previous, now, &network_bytes, process_cpu_ms),
            ),
        };
        self.previous = Some(Previous {
            at: now,
            network_bytes,
            process_cpu_ms,
        });
        let load = System::load_average().map(|load| [load.one, load.five, load.fifteen]);
        HostSample {
            at: now,
            cpu_percent,
            cores_percent,
            memory_used_bytes: self.system.used_memory(),
            memory_total_bytes: self.system.total_memory(),
            swap_used_bytes: self.system.used_swap(),
            swap_total_bytes: self.system.total_swap(),
            load_average: load.unwrap_or_default(),
            disks: self.disks.read(),
            network_received_bytes_per_s: rates.received,
            network_sent_bytes_per_s: rates.sent,
            process: ProcessSample {
                cpu_percent: rates.process_cpu_percent,
                resident_bytes,
            },
        }
    }

    /// Resident bytes and milliseconds of processor time of this process.
    fn refresh_process(&mut self) -> (u64, u64) {
        let id = self.process;
        let kind = ProcessRefreshKind::nothing()
            .with_cpu()
            .with_memory()
            .without_tasks();
        self.system
            .refresh_processes_specifics(ProcessesToUpdate::Some(&[id]), false, kind);
        let process = self.system.process(id);
        process.map_or((0, 0), |process| {
            (process.memory(), process.accumulated_cpu_time())
        })
    }

    fn refresh_networks(&mut self) -> HashMap<OsString, (u64, u64)> {
        self.networks.refresh(true);
        self.networks
            .iter()
            .filter(|(name, _)| *name != "lo")
            .map(|(name, data)| {
                (
                    name.clone(),
                    (data.total_received(), data.total_transmitted()),
                )
            })
            .collect()
    }
}

#[derive(Debug, Default)]
struct Rates {
    received: f64,
    sent: f64,
    process_cpu_percent: f64,
}

impl Rates {
    fn between(
        previous: &Previous,
        now: Timestamp,
        network_bytes: &HashMap<OsString, (u64, u64)>,
        process_cpu_ms: u64,
    ) -> Self {
        let elapsed_s = now.since_s(previous.at);
        if elapsed_s <= 0.0 {
            return Self::default();
        }
        // An interface that is new, or whose counter began anew, counts from the next reading on.
        let (mut received, mut sent) = (0, 0);
        for (name, (now_received, now_sent)) in network_bytes {
            if let Some((was_received, was_sent)) = previous.network_bytes.get(name) {
                received += now_received.saturating_sub(*was_received);
                sent += now_sent.saturating_sub(*was_sent);
            }
        }
        let cpu_ms = process_cpu_ms.saturating_sub(previous.process_cpu_ms);
        Self {
            received: received as f64 / elapsed_s,
            sent: sent as f64 / elapsed_s,
            process_cpu_percent: cpu_ms as f64 / elapsed_s / 10.0,
        }
    }
}

fn percent(usage: f32) -> f64 {
    f64::from(usage).clamp(0.0, 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_reading_has_no_rates_and_all_amounts() {
        let sample = HostSampler::new().unwrap().sample(Timestamp(1000));
        assert_eq!((sample.at, sample.cpu_percent), (Timestamp(1000), 0.0));
        assert_eq!(
            (
                sample.network_received_bytes_per_s,
                sample.process.cpu_percent
            ),
            (0.0, 0.0)
        );
        assert!(!sample.cores_percent.is_empty());
        assert!(
            0 < sample.memory_used_bytes && sample.memory_used_bytes <= sample.memory_total_bytes
        );
        assert!(sample.swap_used_bytes <= sample.swap_total_bytes);
        assert!(sample.process.resident_bytes > 1 << 20);
    }

    #[test]
    fn a_mount_is_listed_once() {
        let mut sampler = HostSampler::new().unwrap();
        let mounts = |sample: HostSample| -> Vec<String> {
            sample.disks.into_iter().map(|disk| disk.mount).collect()
        };
        let first = mounts(sampler.sample(Timestamp(0)));
        let mut unique = first.clone();
        unique.dedup();
        assert_eq!(first, unique);
        assert_eq!(mounts(sampler.sample(Timestamp(1000))), first);
    }

    #[test]
    fn rates_are_reckoned_from_counters_and_the_time_that_passed() {
        let counters = |pairs: &[(&str, u64, u64)]| {
            pairs
                .iter()
                .map(|&(name, received, sent)| (name.into(), (received, sent)))
                .collect()
        };
        let previous = Previous {
            at: Timestamp(1000),
            network_bytes: counters(&[("a", 1000, 100), ("reset", 5000, 5000), ("gone", 1, 1)]),
            process_cpu_ms: 100,
        };
        let now = counters(&[("a", 3000, 200), ("reset", 10, 5100), ("new", 7000, 7000)]);
        let rates = Rates::between(&previous, Timestamp(3000), &now, 200);
        assert_eq!(
            (rates.received, rates.sent, rates.process_cpu_percent),
            (1000.0, 100.0, 5.0)
        );
    }

    #[test]
    fn a_clock_that_stands_or_goes_back_gives_no_rates() {
        let previous = Previous {
            at: Timestamp(1000),
            network_bytes: HashMap::new(),
            process_cpu_ms: 0,
        };
        for now in [1000, 500] {
            let rates = Rates::between(&previous, Timestamp(now), &HashMap::new(), 1000);
            assert_eq!(rates.process_cpu_percent, 0.0);
        }
    }

    #[actix_rt::test]
    async fn a_reading_that_hangs_is_the_only_one_and_comes_when_it_comes() {
        let (let_go, gate) = mpsc::channel::<()>();
        let mut sampler = HostSampler::new().unwrap();
        let mut reader = HostReader::start(Duration::from_millis(1), move |now| {
            gate.recv().unwrap();
            sampler.sample(now)
        })
        .unwrap();
        for at in [1000, 2000, 3000] {
            assert_eq!(reader.read(Timestamp(at)).await, Ok(None));
        }
        for (at, taken_at) in [(4000, 1000), (5000, 5000)] {
            let_go.send(()).unwrap();
            let came = loop {
                if let Some(sample) = reader.read(Timestamp(at)).await.unwrap() {
                    break sample;
                }
            };
            assert_eq!(came.at, Timestamp(taken_at));
        }
    }
}
