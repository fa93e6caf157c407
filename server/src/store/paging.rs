//! Cursors of lists: the last key of a page, opaque to clients.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use limelight_protocol::rest::Page;
use sea_orm::prelude::Uuid;

use super::error::{Result, StoreError};

/// Most items of a page, whatever is asked for.
pub const MAX_LIMIT: u64 = 500;

pub(super) fn encode(key: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(key)
}

/// Longest cursor that is looked at, in characters: no list orders by a longer key.
const LONGEST: usize = 2048;

pub(super) fn decode(cursor: &str) -> Result<Vec<u8>> {
    if cursor.len() > LONGEST {
        return Err(StoreError::InvalidCursor);
    }
    URL_SAFE_NO_PAD
        .decode(cursor)
        .map_err(|_| StoreError::InvalidCursor)
}

pub(super) fn decode_id(cursor: &str) -> Result<Uuid> {
    Uuid::from_slice(&decode(cursor)?).map_err(|_| StoreError::InvalidCursor)
}

pub(super) fn decode_name(cursor: &str) -> Result<String> {
    let name = String::from_utf8(decode(cursor)?).map_err(|_| StoreError::InvalidCursor)?;
    // No stored text holds NUL, and PostgreSQL takes none.
    if name.contains('\0') {
        return Err(StoreError::InvalidCursor);
    }
    Ok(name)
}

/// How many rows to read for a page: one more than it holds tells whether another follows.
pub(super) fn rows_for(limit: u64) -> (usize, u64) {
    let limit = limit.clamp(1, MAX_LIMIT);
    (limit as usize, limit + 1)
}

/// Makes a page of `rows`, of which there may be one more than `limit`.
pub(super) fn page<T>(
    mut rows: Vec<T>,
    limit: usize,
    total: Option<u64>,
    key: impl Fn(&T) -> Vec<u8>,
) -> Page<T> {
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next_cursor = rows.last().filter(|_| more).map(|last| encode(&key(last)));
    Page {
        items: rows,
        next_cursor,
        total,
    }
}
