//! Readings of the host.

use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "metric_sample")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub seq: i64,
    pub at: i64,
    pub cpu_percent: f64,
    #[sea_orm(column_type = "JsonBinary")]
    pub cores_percent: Json,
    pub memory_used_bytes: i64,
    pub memory_total_bytes: i64,
    pub swap_used_bytes: i64,
    pub swap_total_bytes: i64,
    pub load_1m: f64,
    pub load_5m: f64,
    pub load_15m: f64,
    #[sea_orm(column_type = "JsonBinary")]
    pub disks: Json,
    pub network_received_bytes_per_s: f64,
    pub network_sent_bytes_per_s: f64,
    pub process_cpu_percent: f64,
    pub process_resident_bytes: i64,
}

impl ActiveModelBehavior for ActiveModel {}
