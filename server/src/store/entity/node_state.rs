//! Nodes of executions; written by the journal.

use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "node_state")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub execution_id: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub node_id: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub item: String,
    pub ordinal: i32,
    pub status: String,
    pub attempt_count: i32,
    pub progress: Option<f64>,
    pub message: Option<String>,
    pub started_at: Option<i64>,
    pub completed_at: Option<i64>,
    pub duration_s: Option<f64>,
    #[sea_orm(column_type = "JsonBinary")]
    pub outputs: Json,
    #[sea_orm(column_type = "JsonBinary")]
    pub artifacts: Json,
    pub quality: Option<f64>,
    pub error_code: Option<String>,
    pub error_message: Option<String>,
    pub waiting_for: Option<String>,
    pub due_at: Option<i64>,
    pub skip_reason: Option<String>,
}

impl ActiveModelBehavior for ActiveModel {}
