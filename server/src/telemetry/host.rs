//! The newest [`HostSample`] as gauges.

use std::collections::HashSet;

use limelight_protocol::host::HostSample;
use parking_lot::Mutex;
use prometheus::{Gauge, GaugeVec, Registry};

use super::register::{gauge, gauge_vec};

#[derive(Debug)]
pub(super) struct HostMetrics {
    cpu: Gauge,
    cores: Gauge,
    memory_used: Gauge,
    memory_total: Gauge,
    swap_used: Gauge,
    swap_total: Gauge,
    load: GaugeVec,
    disk_used: GaugeVec,
    disk_total: GaugeVec,
    received: Gauge,
    sent: Gauge,
    mounts: Mutex<HashSet<String>>,
}

impl HostMetrics {
    pub(super) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let gauge =
            |name: &str, help: &str| gauge(registry, &format!("limelight_host_{name}"), help);
        let vec = |name: &str, help: &str, label: &str| {
            gauge_vec(registry, &format!("limelight_host_{name}"), help, &[label])
        };
        Ok(Self {
            cpu: gauge(
                "cpu_usage_ratio",
                "Processor use of all cores together, 0 to 1.",
            )?,
            cores: gauge("cpu_cores", "Number of cores.")?,
            memory_used: gauge("memory_used_bytes", "Memory in use.")?,
            memory_total: gauge("memory_total_bytes", "Memory there is.")?,
            swap_used: gauge("swap_used_bytes", "Swap in use.")?,
            swap_total: gauge("swap_total_bytes", "Swap there is.")?,
            load: vec(
                "load_average",
                "Load average by window of minutes.",
                "window",
            )?,
            disk_used: vec("disk_used_bytes", "Used of a file system.", "mount")?,
            disk_total: vec("disk_total_bytes", "Size of a file system.", "mount")?,
            received: gauge(
                "network_received_bytes_per_second",
                "Received by all interfaces but loopback.",
            )?,
            sent: gauge(
                "network_sent_bytes_per_second",
                "Sent by all interfaces but loopback.",
            )?,
            mounts: Mutex::default(),
        })
    }

    pub(super) fn set(&self, sample: &HostSample) {
        self.cpu.set(sample.cpu_percent / 100.0);
        self.cores.set(sample.cores_percent.len() as f64);
        self.memory_used.set(sample.memory_used_bytes as f64);
        self.memory_total.set(sample.memory_total_bytes as f64);
        self.swap_used.set(sample.swap_used_bytes as f64);
        self.swap_total.set(sample.swap_total_bytes as f64);
        for (window, load) in ["1m", "5m", "15m"].iter().zip(sample.load_average) {
            self.load.with_label_values(&[window]).set(load);
        }
        self.received.set(sample.network_received_bytes_per_s);
        self.sent.set(sample.network_sent_bytes_per_s);
        for disk in &sample.disks {
            self.disk_used
                .with_label_values(&[&disk.mount])
                .set(disk.used_bytes as f64);
            self.disk_total
                .with_label_values(&[&disk.mount])
                .set(disk.total_bytes as f64);
        }
        let mounts = sample.disks.iter().map(|disk| disk.mount.clone()).collect();
        let before = std::mem::replace(&mut *self.mounts.lock(), mounts);
        for gone in before
            .iter()
            .filter(|mount| sample.disks.iter().all(|disk| disk.mount != **mount))
        {
            // They were set with the mount, so they are there.
            let _ = self.disk_used.remove_label_values(&[gone]);
            let _ = self.disk_total.remove_label_values(&[gone]);
        }
    }
}
