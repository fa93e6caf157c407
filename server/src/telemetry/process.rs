//! The standard `process_*` metrics, read when Prometheus asks.

use parking_lot::Mutex;
use prometheus::{Counter, Gauge, Registry};
use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};

use super::register::{counter, gauge};

/// Numbers of the server's own process, under the names every Prometheus client uses.
#[derive(Debug)]
pub(super) struct ProcessMetrics {
    reader: Option<Mutex<(System, Pid)>>,
    cpu_seconds: Counter,
    resident_bytes: Gauge,
    virtual_bytes: Gauge,
    start_time: Gauge,
    open_fds: Gauge,
    max_fds: Gauge,
}

impl ProcessMetrics {
    pub(super) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let reader = System::new().ok().zip(sysinfo::get_current_pid().ok());
        Ok(Self {
            reader: reader.map(Mutex::new),
            cpu_seconds: counter(
                registry,
                "process_cpu_seconds_total",
                "Processor time used.",
            )?,
            resident_bytes: gauge(
                registry,
                "process_resident_memory_bytes",
                "Resident memory.",
            )?,
            virtual_bytes: gauge(registry, "process_virtual_memory_bytes", "Virtual memory.")?,
            start_time: gauge(
                registry,
                "process_start_time_seconds",
                "When it started, Unix time.",
            )?,
            open_fds: gauge(registry, "process_open_fds", "Open file descriptors.")?,
            max_fds: gauge(registry, "process_max_fds", "Most file descriptors.")?,
        })
    }

    /// Reads them anew.
    pub(super) fn refresh(&self) {
        let Some(reader) = &self.reader else { return };
        let (system, id) = &mut *reader.lock();
        let kind = ProcessRefreshKind::nothing()
            .with_cpu()
            .with_memory()
            .without_tasks();
        system.refresh_processes_specifics(ProcessesToUpdate::Some(&[*id]), false, kind);
        let Some(process) = system.process(*id) else {
            return;
        };
        let cpu_seconds = process.accumulated_cpu_time() as f64 / 1000.0;
        self.cpu_seconds
            .inc_by((cpu_seconds - self.cpu_seconds.get()).max(0.0));
        self.resident_bytes.set(process.memory() as f64);
        self.virtual_bytes.set(process.virtual_memory() as f64);
        self.start_time.set(process.start_time() as f64);
        self.open_fds
            .set(process.open_files().unwrap_or_default() as f64);
        self.max_fds
            .set(process.open_files_limit().unwrap_or_default() as f64);
    }
}
