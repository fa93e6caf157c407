//! `/api/auth`: sign in, sign out, who am I.

use std::time::Instant;

use actix_web::{HttpRequest, HttpResponse, http::header, web};
use limelight_protocol::{
    Problem,
    auth::{Login, Me},
};

use super::{Auth, Caller, UserRecord, cookie, password, throttle::Key};
use crate::{
    clock,
    error::ApiError,
    http::body::{Anybody, Json, Sent},
};

/// Registers the routes.
pub fn configure(config: &mut web::ServiceConfig) {
    config
        .service(web::resource("/api/auth/login").route(web::post().to(login)))
        .service(web::resource("/api/auth/logout").route(web::post().to(logout)))
        .service(web::resource("/api/auth/me").route(web::get().to(me)));
}

/// Sign in with the code of a sign-in link, or with a name and a password.
#[utoipa::path(
    post,
    path = "/api/auth/login",
    tag = "auth",
    request_body = Login,
    responses(
        (status = 200, description = "Signed in; the session is in the cookie", body = Me),
        (status = 401, description = "The code or the password is wrong", body = Problem),
        (status = 403, description = "Sent by another site's page", body = Problem),
        (status = 429, description = "Too many attempts; see Retry-After", body = Problem),
    )
)]
pub async fn login(
    request: HttpRequest,
    auth: web::Data<Auth>,
    sent: Sent<Anybody, Json<Login>>,
) -> Result<HttpResponse, ApiError> {
    auth.origins.check_when_present(&request)?;
    let now = Instant::now();
    let mut keys = Vec::new();
    if let Some(peer) = request.peer_addr() {
        keys.push(Key::peer(peer.ip()));
    }
    let Json(login) = sent.body;
    if let Login::Password { username, .. } = &login {
        // A long name is another one under its beginning, so that the map stays small.
        keys.push(Key::User(username.chars().take(128).collect()));
    }
    for key in &keys {
        auth.throttle
            .take(key.clone(), now)
            .map_err(ApiError::too_many)?;
    }
    let user = match login {
        Login::Code { code } => by_code(&auth, &code).await?,
        Login::Password { username, password } => by_password(&auth, &username, password).await?,
    };
    for key in &keys {
        auth.throttle.give_back(key);
    }
    let token = auth
        .tokens
        .issue_for(
            &user,
            auth.revocations.begin_session(user.id, clock::now()),
            cookie::SESSION,
        )
        .map_err(ApiError::internal)?;
    tracing::info!(user = user.name, "signed in");
    Ok(HttpResponse::Ok()
        .cookie(cookie::begin(&request, token))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .json(Me {
            username: user.name,
            role: user.role,
            teams: user.teams,
            auth_required: auth.required(),
        }))
}

async fn by_code(auth: &Auth, code: &str) -> Result<UserRecord, ApiError> {
    let refused = || {
        ApiError::unauthorized(
            "invalid_code",
            "this sign-in link was used or has expired; restart the server for another",
        )
    };
    let name = auth.sign_in.redeem(code).ok_or_else(refused)?;
    auth.users.find(&name).await?.ok_or_else(refused)
}

async fn by_password(auth: &Auth, name: &str, password: String) -> Result<UserRecord, ApiError> {
    let user = auth.users.find(name).await?;
    let hash = user.as_ref().and_then(|user| user.password_hash.clone());
    let right = password::verify(password, hash).await?;
    user.filter(|_| right).ok_or_else(|| {
        ApiError::unauthorized("wrong_credentials", "the name or the password is wrong")
    })
}

/// End the session of this browser, or the bearer token: neither is taken again, and WebSocket
/// sessions and event streams that were opened with it end.
#[utoipa::path(
    post,
    path = "/api/auth/logout",
    tag = "auth",
    responses(
        (status = 204, description = "Signed out"),
        (status = 403, description = "Sent by another site's page", body = Problem),
        (status = 429, description = "Too many tokens were signed out lately; see Retry-After", body = Problem),
    )
)]
pub async fn logout(request: HttpRequest, auth: web::Data<Auth>) -> Result<HttpResponse, ApiError> {
    auth.origins.check_when_present(&request)?;
    if auth.required() {
        auth.sign_out(&request).await?;
    }
    Ok(HttpResponse::NoContent()
        .cookie(cookie::end(&request))
        .finish())
}

/// Who is signed in.
#[utoipa::path(
    get,
    path = "/api/auth/me",
    tag = "auth",
    responses(
        (status = 200, description = "The caller", body = Me),
        (status = 401, description = "Nobody", body = Problem),
    )
)]
pub async fn me(auth: web::Data<Auth>, caller: Caller) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .json(Me {
            username: caller.name,
            role: caller.role,
            teams: caller.teams,
            auth_required: auth.required(),
        })
}
