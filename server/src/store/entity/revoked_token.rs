//! Tokens that were ended before their time.

use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "revoked_token")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// The token's, in hexadecimal; none where a user's sessions are meant.
    pub fingerprint: Option<String>,
    pub user_id: Option<Uuid>,
    /// Sessions of the user that were begun until then are ended, milliseconds.
    pub issued_before: Option<i64>,
    /// When the last token that this ends expires by itself, milliseconds.
    pub expires_at: i64,
}

impl ActiveModelBehavior for ActiveModel {}
