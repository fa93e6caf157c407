//! Users.

use limelight_protocol::{Timestamp, UserId, auth::Role};
use sea_orm::{
    ColumnTrait, EntityTrait, QueryFilter,
    sea_query::{Expr, OnConflict},
};

use super::{
    Store,
    entity::user,
    error::{Result, StoreError},
    new_id, text,
};

/// Name of the user whom the first start makes.
pub const ADMIN: &str = "admin";

/// Somebody who may sign in.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    /// Their identifier.
    pub id: UserId,
    /// Their name, unique.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// The argon2 hash of their password, where they have one.
    pub password_hash: Option<String>,
    /// When they were made.
    pub created_at: Timestamp,
}

impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("User")
            .field("id", &self.id)
            .field("name", &self.name)
            .field("role", &self.role)
            .finish_non_exhaustive()
    }
}

impl Store {
    /// The user `admin`, made if missing.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn ensure_admin(&self, now: Timestamp) -> Result<User> {
        let writer = self.write().await;
        let row = user::Model {
            id: new_id(),
            name: ADMIN.into(),
            role: Role::Admin.as_str().into(),
            password_hash: None,
            created_at: now.0,
        };
        user::Entity::insert(user::ActiveModel::from(row))
            .on_conflict(
                OnConflict::column(user::Column::Name)
                    .do_nothing()
                    .to_owned(),
            )
            .exec_without_returning(&*writer)
            .await?;
        drop(writer);
        let admin = self.find_user_by_name(ADMIN).await?;
        admin.ok_or_else(|| StoreError::corrupt("the admin is gone"))
    }

    /// The user of this name.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn find_user_by_name(&self, name: &str) -> Result<Option<User>> {
        let row = user::Entity::find()
            .filter(user::Column::Name.eq(text::clean(name).as_ref()))
            .one(self.read())
            .await?;
        row.map(from_row).transpose()
    }

    /// Makes a user without a password.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the name is taken; and when the database fails.
    pub async fn create_user(&self, name: &str, role: Role, now: Timestamp) -> Result<User> {
        let writer = self.write().await;
        let row = user::Model {
            id: new_id(),
            name: text::clean(name).into_owned(),
            role: role.as_str().into(),
            password_hash: None,
            created_at: now.0,
        };
        user::Entity::insert(user::ActiveModel::from(row.clone()))
            .exec_without_returning(&*writer)
            .await
            .map_err(|error| match error.into() {
                StoreError::Conflict(_) => {
                    StoreError::Conflict(format!("a user named {name:?} exists already"))
                }
                other => other,
            })?;
        from_row(row)
    }

    /// Sets or takes away a password. False when there is no such user.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn set_password_hash(&self, id: UserId, hash: Option<&str>) -> Result<bool> {
        let writer = self.write().await;
        let changed = user::Entity::update_many()
            .col_expr(
                user::Column::PasswordHash,
                Expr::value(hash.map(str::to_owned)),
            )
            .filter(user::Column::Id.eq(id.0))
            .exec(&*writer)
            .await?;
        Ok(changed.rows_affected > 0)
    }
}

fn from_row(row: user::Model) -> Result<User> {
    Ok(User {
        id: UserId(row.id),
        name: row.name,
        role: row.role.parse().map_err(StoreError::Corrupt)?,
        password_hash: row.password_hash,
        created_at: Timestamp(row.created_at),
    })
}
