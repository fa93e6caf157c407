//! Readings rolled up over a minute or an hour.

use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "metric_rollup")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub step_s: i32,
    #[sea_orm(primary_key, auto_increment = false)]
    pub at: i64,
    pub samples: i32,
    pub cpu_percent_min: f64,
    pub cpu_percent_avg: f64,
    pub cpu_percent_max: f64,
    pub memory_used_bytes_min: f64,
    pub memory_used_bytes_avg: f64,
    pub memory_used_bytes_max: f64,
    pub swap_used_bytes_min: f64,
    pub swap_used_bytes_avg: f64,
    pub swap_used_bytes_max: f64,
    pub load_1m_min: f64,
    pub load_1m_avg: f64,
    pub load_1m_max: f64,
    pub network_received_bytes_per_s_min: f64,
    pub network_received_bytes_per_s_avg: f64,
    pub network_received_bytes_per_s_max: f64,
    pub network_sent_bytes_per_s_min: f64,
    pub network_sent_bytes_per_s_avg: f64,
    pub network_sent_bytes_per_s_max: f64,
    pub process_cpu_percent_min: f64,
    pub process_cpu_percent_avg: f64,
    pub process_cpu_percent_max: f64,
    pub process_resident_bytes_min: f64,
    pub process_resident_bytes_avg: f64,
    pub process_resident_bytes_max: f64,
}

impl ActiveModelBehavior for ActiveModel {}
