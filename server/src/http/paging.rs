//! `limit` and `cursor` of lists.

use serde::Deserialize;
use utoipa::IntoParams;

use crate::error::ApiError;

const DEFAULT_LIMIT: u64 = 50;
const MOST: u64 = 500;

/// Query of a list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Paging {
    /// Rows on a page: 1 to 500, 50 when absent.
    #[param(minimum = 1, maximum = 500)]
    pub limit: Option<u64>,
    /// `next_cursor` of the page before.
    #[param(pattern = "^[A-Za-z0-9_-]*$")]
    pub cursor: Option<String>,
}

/// Checks a `limit`.
///
/// # Errors
/// 400 when it is not within 1 to 500.
pub fn limit(limit: Option<u64>) -> Result<u64, ApiError> {
    match limit.unwrap_or(DEFAULT_LIMIT) {
        limit @ 1..=MOST => Ok(limit),
        other => {
            let detail = format!("limit is {other}, and must be within 1 and {MOST}");
            Err(ApiError::bad_request("invalid_limit", detail))
        }
    }
}
