//! The dashboard's session cookie: a token of ours that scripts cannot read.

use std::time::Duration;

use actix_web::{
    HttpRequest,
    cookie::{Cookie, SameSite, time},
};

/// Name of the cookie.
pub const NAME: &str = "limelight_session";

/// How long a session lasts.
pub const SESSION: Duration = Duration::from_secs(7 * 24 * 3600);

/// The token of the request's session.
#[must_use]
pub fn session(request: &HttpRequest) -> Option<String> {
    request
        .cookie(NAME)
        .map(|cookie| cookie.value().to_owned())
        .filter(|token| !token.is_empty())
}

/// The cookie that begins a session. `Secure` where the request came by https.
#[must_use]
pub fn begin(request: &HttpRequest, token: String) -> Cookie<'static> {
    let seconds = i64::try_from(SESSION.as_secs()).unwrap_or(i64::MAX);
    cookie(request, token, time::Duration::seconds(seconds))
}

/// The cookie that ends it.
#[must_use]
pub fn end(request: &HttpRequest) -> Cookie<'static> {
    cookie(request, String::new(), time::Duration::ZERO)
}

fn cookie(request: &HttpRequest, value: String, max_age: time::Duration) -> Cookie<'static> {
    // A proxy tells the scheme by a header. Whoever forges it only loses their own cookie.
    let https = request.connection_info().scheme() == "https";
    Cookie::build(NAME, value)
        .path("/")
        .http_only(true)
        .same_site(SameSite::Strict)
        .secure(https)
        .max_age(max_age)
        .finish()
}
