//! The journal. `data` is read as text, so that it is passed on unparsed.

use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "event")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub position: i64,
    pub stream_kind: i16,
    pub stream_id: Uuid,
    pub seq: i64,
    pub kind: String,
    pub timestamp: i64,
    pub workflow_id: Option<Uuid>,
    pub execution_id: Option<Uuid>,
    pub node_id: Option<String>,
    #[sea_orm(column_type = "JsonBinary", select_as = "text")]
    pub data: String,
}

impl ActiveModelBehavior for ActiveModel {}
