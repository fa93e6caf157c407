//! Readings of the host: raw for a day, by the minute for two weeks, by the hour for a year.

use std::sync::Arc;

use limelight_protocol::{
    EventType, Stream, Timestamp,
    host::{HostHistory, HostPoint, HostSample, ProcessSample, Range},
};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QueryResult,
    QuerySelect, Statement, sea_query::Expr,
};

use super::{
    Store, bigint,
    entity::{metric_rollup, metric_sample},
    error::{Result, StoreError},
    health,
    journal::{CommittedEvent, wire::Parts},
};
use crate::auth::Caller;

const MINUTE_S: i64 = 60;
const HOUR_S: i64 = 3600;
const DAY_S: i64 = 24 * HOUR_S;
/// How long raw readings are kept.
pub const RAW_RETENTION_S: i64 = DAY_S;
/// How long roll-ups over a minute are kept.
pub const MINUTE_RETENTION_S: i64 = 14 * DAY_S;
/// How long roll-ups over an hour are kept.
pub const HOUR_RETENTION_S: i64 = 400 * DAY_S;
/// Most points of a history.
pub const MAX_POINTS: u64 = 2000;

/// The numbers that are rolled up, in the order of [`HostPoint`]'s fields: columns of `metric_sample`,
/// and with `_min`, `_avg`, `_max` of `metric_rollup`.
const NUMBERS: [&str; 8] = [
    "cpu_percent",
    "memory_used_bytes",
    "swap_used_bytes",
    "load_1m",
    "network_received_bytes_per_s",
    "network_sent_bytes_per_s",
    "process_cpu_percent",
    "process_resident_bytes",
];

impl Store {
    /// Keeps a reading. Its `seq` is one more than the newest, also after a restart.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn insert_sample(&self, sample: &HostSample) -> Result<Arc<CommittedEvent>> {
        let inserted = self.try_insert_sample(sample).await;
        // Written every second, it is how a server at rest knows whether it could write.
        self.0.health.note(health::Path::Rest, &inserted);
        inserted
    }

    async fn try_insert_sample(&self, sample: &HostSample) -> Result<Arc<CommittedEvent>> {
        let writer = self.write().await;
        let transaction = writer.begin().await?;
        let newest: Option<i64> = metric_sample::Entity::find()
            .select_only()
            .column(metric_sample::Column::Seq)
            .order_by_desc(metric_sample::Column::Seq)
            .limit(1)
            .into_tuple()
            .one(&transaction)
            .await?;
        let seq = newest.unwrap_or(0) + 1;
        let row = to_row(sample, seq)?;
        metric_sample::Entity::insert(metric_sample::ActiveModel::from(row))
            .exec_without_returning(&transaction)
            .await?;
        transaction.commit().await?;
        committed(sample, seq)
    }

    /// The newest reading.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn latest_sample(&self, _caller: &Caller) -> Result<Option<HostSample>> {
        let newest = self.newest_sample().await?;
        Ok(newest.map(|(_, sample)| sample))
    }

    /// The newest reading with its `seq`.
    pub(super) async fn newest_sample(&self) -> Result<Option<(u64, HostSample)>> {
        let row = metric_sample::Entity::find()
            .order_by_desc(metric_sample::Column::Seq)
            .limit(1)
            .one(self.read())
            .await?;
        row.map(|row| Ok((row.seq as u64, from_row(row)?)))
            .transpose()
    }

    /// `seq` of the newest reading; 0 when there is none.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn last_sample_seq(&self) -> Result<u64> {
        let newest: Option<i64> = metric_sample::Entity::find()
            .select_only()
            .column_as(metric_sample::Column::Seq.max(), "newest")
            .into_tuple::<Option<i64>>()
            .one(self.read())
            .await?
            .flatten();
        Ok(newest.unwrap_or(0) as u64)
    }

    /// Readings with `seq` above `after_seq`, oldest first, as events.
    pub(super) async fn samples_after(
        &self,
        after_seq: u64,
        limit: u64,
    ) -> Result<Vec<Arc<CommittedEvent>>> {
        let rows = metric_sample::Entity::find()
            .filter(metric_sample::Column::Seq.gt(bigint(after_seq)))
            .order_by_asc(metric_sample::Column::Seq)
            .limit(limit)
            .all(self.read())
            .await?;
        rows.into_iter()
            .map(|row| {
                let seq = row.seq;
                committed(&from_row(row)?, seq)
            })
            .collect()
    }

    /// Rolls up every minute and hour that has ended since the last time. Doing it again changes
    /// nothing.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn roll_up(&self, now: Timestamp) -> Result<()> {
        let writer = self.write().await;
        for step_s in [MINUTE_S, HOUR_S] {
            let from = rolled_up_to(&*writer, step_s).await?;
            let to = floor(now.0, step_s);
            let rows = if step_s == MINUTE_S {
                raw_rows(from, to)
            } else {
                rollup_rows(MINUTE_S, from, to)
            };
            let columns: Vec<String> = NUMBERS
                .iter()
                .flat_map(|name| ["min", "avg", "max"].map(|kind| format!("{name}_{kind}")))
                .collect();
            let sql = format!(
                "INSERT INTO metric_rollup (step_s, at, samples, {}) SELECT {step_s}, {} \
                 ON CONFLICT DO NOTHING",
                columns.join(", "),
                grouped(step_s, &rows)
            );
            writer.execute_unprepared(&sql).await?;
        }
        Ok(())
    }

    /// Deletes what is past its retention; the newest reading always stays, for its `seq`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn prune_samples(&self, now: Timestamp) -> Result<()> {
        let writer = self.write().await;
        metric_sample::Entity::delete_many()
            .filter(metric_sample::Column::At.lt(now.0 - RAW_RETENTION_S * 1000))
            .filter(Expr::cust("seq < (SELECT max(seq) FROM metric_sample)"))
            .exec(&*writer)
            .await?;
        for (step_s, kept_s) in [(MINUTE_S, MINUTE_RETENTION_S), (HOUR_S, HOUR_RETENTION_S)] {
            metric_rollup::Entity::delete_many()
                .filter(metric_rollup::Column::StepS.eq(step_s as i32))
                .filter(metric_rollup::Column::At.lt(now.0 - kept_s * 1000))
                .exec(&*writer)
                .await?;
        }
        Ok(())
    }

    /// The chief numbers from `from` up to but not including `to`, by intervals of `step_s`, which is
    /// made wider where there would be more than [`MAX_POINTS`]. Intervals without readings are left
    /// out.
    ///
    /// Narrow intervals come from raw readings, wide ones from roll-ups; where one source ends the
    /// other takes over, so that neither the latest minute nor last week is missing.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn history(
        &self,
        caller: &Caller,
        from: Timestamp,
        to: Timestamp,
        step_s: u32,
    ) -> Result<HostHistory> {
        let span_s = (to.0.saturating_sub(from.0).max(0) / 1000 + 1) as u64;
        // One interval more than fits, since the first and the last may be cut.
        let narrowest = span_s.div_ceil(MAX_POINTS - 1).min(u64::from(u32::MAX));
        let step_s = i64::from(step_s.max(1)).max(narrowest as i64);
        let (rollup_s, boundary) = if step_s < MINUTE_S {
            (MINUTE_S, self.oldest_sample_at().await?)
        } else {
            let rollup_s = if step_s < HOUR_S { MINUTE_S } else { HOUR_S };
            (rollup_s, rolled_up_to(self.read(), rollup_s).await?)
        };
        let rolled_to = to.0.min(boundary.saturating_sub(rollup_s * 1000 - 1));
        let rows = format!(
            "{} UNION ALL {}",
            rollup_rows(rollup_s, from.0, rolled_to),
            raw_rows(from.0.max(boundary), to.0)
        );
        let sql = format!("SELECT {} ORDER BY 1", grouped(step_s, &rows));
        let statement = Statement::from_string(self.read().get_database_backend(), sql);
        let found = self.read().query_all_raw(statement).await?;
        let points = found
            .iter()
            .map(point)
            .collect::<std::result::Result<_, _>>()?;
        Ok(HostHistory {
            from,
            to,
            step_s: step_s as u32,
            points,
            latest: self.latest_sample(caller).await?,
        })
    }

    async fn oldest_sample_at(&self) -> Result<i64> {
        let oldest: Option<i64> = metric_sample::Entity::find()
            .select_only()
            .column(metric_sample::Column::At)
            .order_by_asc(metric_sample::Column::At)
            .limit(1)
            .into_tuple()
            .one(self.read())
            .await?;
        Ok(oldest.unwrap_or(i64::MAX))
    }
}

/// Begin of the interval that an instant is in, milliseconds.
const fn floor(at: i64, step_s: i64) -> i64 {
    at - at.rem_euclid(step_s * 1000)
}

/// End of the newest roll-up; 0 when there is none.
async fn rolled_up_to(connection: &impl ConnectionTrait, step_s: i64) -> Result<i64> {
    let newest: Option<i64> = metric_rollup::Entity::find()
        .select_only()
        .column(metric_rollup::Column::At)
        .filter(metric_rollup::Column::StepS.eq(step_s as i32))
        .order_by_desc(metric_rollup::Column::At)
        .limit(1)
        .into_tuple()
        .one(connection)
        .await?;
    Ok(newest.map_or(0, |at| at + step_s * 1000))
}

/// Raw readings as roll-ups of one.
fn raw_rows(from: i64, to: i64) -> String {
    let numbers: Vec<String> = NUMBERS
        .iter()
        .flat_map(|name| {
            ["min", "avg", "max"]
                .map(|kind| format!("CAST({name} AS double precision) AS {name}_{kind}"))
        })
        .collect();
    format!(
        "SELECT at, 1 AS samples, {} FROM metric_sample WHERE at >= {from} AND at < {to}",
        numbers.join(", ")
    )
}

fn rollup_rows(step_s: i64, from: i64, to: i64) -> String {
    let numbers: Vec<String> = NUMBERS
        .iter()
        .flat_map(|name| ["min", "avg", "max"].map(|kind| format!("{name}_{kind}")))
        .collect();
    format!(
        "SELECT at, samples, {} FROM metric_rollup \
         WHERE step_s = {step_s} AND at >= {from} AND at < {to}",
        numbers.join(", ")
    )
}

/// Rows grouped by interval; the begin of the interval is the first column.
fn grouped(step_s: i64, rows: &str) -> String {
    let step_ms = step_s * 1000;
    let numbers: Vec<String> = NUMBERS
        .iter()
        .map(|name| {
            format!("min({name}_min), sum({name}_avg * samples) / sum(samples), max({name}_max)")
        })
        .collect();
    format!(
        "at / {step_ms} * {step_ms}, CAST(sum(samples) AS bigint), {} \
         FROM ({rows}) AS rows WHERE true GROUP BY at / {step_ms} * {step_ms}",
        numbers.join(", ")
    )
}

fn point(row: &QueryResult) -> std::result::Result<HostPoint, DbErr> {
    let range = |number: usize| {
        let first = 2 + 3 * number;
        Ok::<_, DbErr>(Range {
            min: row.try_get_by_index(first)?,
            avg: row.try_get_by_index(first + 1)?,
            max: row.try_get_by_index(first + 2)?,
        })
    };
    Ok(HostPoint {
        at: Timestamp(row.try_get_by_index(0)?),
        samples: row.try_get_by_index::<i64>(1)? as u32,
        cpu_percent: range(0)?,
        memory_used_bytes: range(1)?,
        swap_used_bytes: range(2)?,
        load_1m: range(3)?,
        network_received_bytes_per_s: range(4)?,
        network_sent_bytes_per_s: range(5)?,
        process_cpu_percent: range(6)?,
        process_resident_bytes: range(7)?,
    })
}

fn committed(sample: &HostSample, seq: i64) -> Result<Arc<CommittedEvent>> {
    let data = serde_json::to_string(sample).map_err(StoreError::corrupt)?;
    Ok(Arc::new(CommittedEvent::new(&Parts {
        position: seq as u64,
        stream: &Stream::Metrics,
        seq: seq as u64,
        kind: EventType::MetricsSample,
        timestamp: sample.at,
        workflow_id: None,
        execution_id: None,
        node_id: None,
        data: &data,
    })))
}

fn to_row(sample: &HostSample, seq: i64) -> Result<metric_sample::Model> {
    let [load_1m, load_5m, load_15m] = sample.load_average;
    Ok(metric_sample::Model {
        seq,
        at: sample.at.0,
        cpu_percent: sample.cpu_percent,
        cores_percent: serde_json::to_value(&sample.cores_percent).map_err(StoreError::corrupt)?,
        memory_used_bytes: sample.memory_used_bytes as i64,
        memory_total_bytes: sample.memory_total_bytes as i64,
        swap_used_bytes: sample.swap_used_bytes as i64,
        swap_total_bytes: sample.swap_total_bytes as i64,
        load_1m,
        load_5m,
        load_15m,
        disks: serde_json::to_value(&sample.disks).map_err(StoreError::corrupt)?,
        network_received_bytes_per_s: sample.network_received_bytes_per_s,
        network_sent_bytes_per_s: sample.network_sent_bytes_per_s,
        process_cpu_percent: sample.process.cpu_percent,
        process_resident_bytes: sample.process.resident_bytes as i64,
    })
}

fn from_row(row: metric_sample::Model) -> Result<HostSample> {
    Ok(HostSample {
        at: Timestamp(row.at),
        cpu_percent: row.cpu_percent,
        cores_percent: serde_json::from_value(row.cores_percent).map_err(StoreError::corrupt)?,
        memory_used_bytes: row.memory_used_bytes as u64,
        memory_total_bytes: row.memory_total_bytes as u64,
        swap_used_bytes: row.swap_used_bytes as u64,
        swap_total_bytes: row.swap_total_bytes as u64,
        load_average: [row.load_1m, row.load_5m, row.load_15m],
        disks: serde_json::from_value(row.disks).map_err(StoreError::corrupt)?,
        network_received_bytes_per_s: row.network_received_bytes_per_s,
        network_sent_bytes_per_s: row.network_sent_bytes_per_s,
        process: ProcessSample {
            cpu_percent: row.process_cpu_percent,
            resident_bytes: row.process_resident_bytes as u64,
        },
    })
}
