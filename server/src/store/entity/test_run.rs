//! Test runs; written by the journal.

use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "test_run")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub suite: String,
    pub status: String,
    pub passed: i32,
    pub failed: i32,
    pub skipped: i32,
    pub started_at: i64,
    pub completed_at: Option<i64>,
    pub duration_s: Option<f64>,
    pub error: Option<String>,
    pub started_by: String,
    pub seq: i64,
}

impl ActiveModelBehavior for ActiveModel {}
