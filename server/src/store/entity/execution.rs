//! Executions; written by the journal.

use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "execution")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub workflow_id: Uuid,
    pub workflow_name: String,
    pub workflow_version: i32,
    pub name: Option<String>,
    #[sea_orm(column_type = "JsonBinary")]
    pub labels: Json,
    pub status: String,
    #[sea_orm(column_type = "JsonBinary")]
    pub params: Json,
    pub completed_nodes: i32,
    pub total_nodes: i32,
    pub current_phase: Option<String>,
    pub started_at: Option<i64>,
    pub completed_at: Option<i64>,
    pub duration_s: Option<f64>,
    pub started_by: String,
    pub seq: i64,
    pub owner: String,
    pub fence: i64,
    pub idempotency_key: Option<String>,
    pub idempotency_fingerprint: Option<String>,
}

impl ActiveModelBehavior for ActiveModel {}
