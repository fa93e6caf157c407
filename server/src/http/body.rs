//! Bodies that may be absent.

use actix_web::web::Bytes;
use serde::de::DeserializeOwned;

use crate::error::ApiError;

/// Reads a JSON body; an empty one is the default.
///
/// # Errors
/// 400 when there is a body that is no JSON, 422 when it is not the JSON that is called for.
pub fn optional_json<T: DeserializeOwned + Default>(body: &Bytes) -> Result<T, ApiError> {
    if body.is_empty() {
        return Ok(T::default());
    }
    serde_json::from_slice(body).map_err(|error| ApiError::from_json(&error))
}
