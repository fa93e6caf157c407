//! Tokens that were ended before their time. Rows are added and taken away, never changed, so that
//! [`Store::revoked_mark`] shows every change that another program makes.

use limelight_protocol::{Timestamp, UserId};
use sea_orm::{
    ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect, prelude::Uuid,
};

use super::{Store, entity::revoked_token, error::Result, new_id, text};

/// What has been ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Revoked {
    /// One token, by its fingerprint.
    Token(String),
    /// Every session of a user that was begun until then.
    SessionsOf(UserId, Timestamp),
}

/// Differs when the revoked tokens do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RevokedMark {
    rows: u64,
    newest: Option<Uuid>,
}

impl Store {
    /// Keeps that `revoked` has ended, until after `expires`, when it would have ended by itself.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn revoke(&self, revoked: &Revoked, expires: Timestamp) -> Result<()> {
        let (fingerprint, user_id, issued_before) = match revoked {
            Revoked::Token(fingerprint) => {
                (Some(text::clean(fingerprint).into_owned()), None, None)
            }
            Revoked::SessionsOf(user, until) => (None, Some(user.0), Some(until.0)),
        };
        let row = revoked_token::Model {
            id: new_id(),
            fingerprint,
            user_id,
            issued_before,
            expires_at: expires.0,
        };
        let writer = self.write().await;
        let transaction = writer.begin().await?;
        if let Some(user) = user_id {
            // The later instant says all that the earlier one did.
            revoked_token::Entity::delete_many()
                .filter(revoked_token::Column::UserId.eq(user))
                .filter(revoked_token::Column::IssuedBefore.lte(issued_before))
                .exec(&transaction)
                .await?;
        }
        revoked_token::Entity::insert(revoked_token::ActiveModel::from(row))
            .exec_without_returning(&transaction)
            .await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Everything that has been ended and is kept.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn revoked(&self) -> Result<Vec<(Revoked, Timestamp)>> {
        let rows = revoked_token::Entity::find().all(self.read()).await?;
        let read = |row: revoked_token::Model| {
            let revoked = match (row.fingerprint, row.user_id, row.issued_before) {
                (Some(fingerprint), ..) => Revoked::Token(fingerprint),
                (None, Some(user), Some(until)) => {
                    Revoked::SessionsOf(UserId(user), Timestamp(until))
                }
                _ => return None,
            };
            Some((revoked, Timestamp(row.expires_at)))
        };
        Ok(rows.into_iter().filter_map(read).collect())
    }

    /// Whether [`Store::revoked`] is worth another look.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn revoked_mark(&self) -> Result<RevokedMark> {
        let newest = revoked_token::Entity::find()
            .select_only()
            .column(revoked_token::Column::Id)
            .order_by_desc(revoked_token::Column::Id)
            .into_tuple::<Uuid>()
            .one(self.read())
            .await?;
        let rows = revoked_token::Entity::find().count(self.read()).await?;
        Ok(RevokedMark { rows, newest })
    }

    /// Forgets what would have ended by itself before `instant`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn forget_revoked(&self, instant: Timestamp) -> Result<()> {
        let writer = self.write().await;
        revoked_token::Entity::delete_many()
            .filter(revoked_token::Column::ExpiresAt.lt(instant.0))
            .exec(&*writer)
            .await?;
        Ok(())
    }
}
