//! Readings of the host and of the server's own process.

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// One reading.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HostSample {
    /// When it was taken.
    pub at: Timestamp,
    /// All cores together, percent from 0 to 100.
    pub cpu_percent: f64,
    /// Each core, percent from 0 to 100.
    pub cores_percent: Vec<f64>,
    /// Memory in use, bytes.
    pub memory_used_bytes: u64,
    /// Memory there is, bytes.
    pub memory_total_bytes: u64,
    /// Swap in use, bytes.
    pub swap_used_bytes: u64,
    /// Swap there is, bytes.
    pub swap_total_bytes: u64,
    /// Load averages over 1, 5 and 15 minutes.
    pub load_average: [f64; 3],
    /// Real file systems.
    pub disks: Vec<DiskSample>,
    /// Received by all interfaces but loopback, bytes a second.
    pub network_received_bytes_per_s: f64,
    /// Sent by all interfaces but loopback, bytes a second.
    pub network_sent_bytes_per_s: f64,
    /// The server itself.
    pub process: ProcessSample,
}

/// A file system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DiskSample {
    /// Where it is mounted.
    pub mount: String,
    /// In use, bytes.
    pub used_bytes: u64,
    /// In all, bytes.
    pub total_bytes: u64,
}

/// The server's own process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ProcessSample {
    /// Percent of one core.
    pub cpu_percent: f64,
    /// Resident memory, bytes.
    pub resident_bytes: u64,
}

/// Minimum, mean and maximum of a number over an interval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Range {
    /// Smallest.
    pub min: f64,
    /// Mean.
    pub avg: f64,
    /// Largest.
    pub max: f64,
}

/// The chief numbers of a reading over an interval.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HostPoint {
    /// Begin of the interval.
    pub at: Timestamp,
    /// How many readings it sums up.
    pub samples: u32,
    /// All cores together, percent.
    pub cpu_percent: Range,
    /// Memory in use, bytes.
    pub memory_used_bytes: Range,
    /// Swap in use, bytes.
    pub swap_used_bytes: Range,
    /// Load average over 1 minute.
    pub load_1m: Range,
    /// Received, bytes a second.
    pub network_received_bytes_per_s: Range,
    /// Sent, bytes a second.
    pub network_sent_bytes_per_s: Range,
    /// The server, percent of one core.
    pub process_cpu_percent: Range,
    /// The server's resident memory, bytes.
    pub process_resident_bytes: Range,
}

/// Answer of `GET /api/metrics/system`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HostHistory {
    /// From when.
    pub from: Timestamp,
    /// To when.
    pub to: Timestamp,
    /// Width of an interval, seconds.
    pub step_s: u32,
    /// Intervals that hold readings, oldest first.
    pub points: Vec<HostPoint>,
    /// The newest reading in full.
    pub latest: Option<HostSample>,
}
