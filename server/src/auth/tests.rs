use std::future::ready;

use actix_web::{
    App, HttpResponse,
    dev::ServiceResponse,
    http::{Method, StatusCode},
    middleware::from_fn,
    test::{self, TestRequest},
    web,
};
use limelight_protocol::{Problem, Timestamp, UserId, auth::Role};
use parking_lot::Mutex;
use serde_json::json;

use super::{revocation::Ended, users::Answer, *};
use crate::{
    error::routing_problems,
    http::body::Intake,
    store::revoked::{Revoked, RevokedMark},
};

/// Says RS256, and that ada is an admin until 2096. Nobody has signed it.
pub const FORGED: &str = "eyJhbGciOiJSUzI1NiJ9.\
    eyJzdWIiOiJhZGEiLCJyb2xlIjoiYWRtaW4iLCJleHAiOjQwMDAwMDAwMDB9.AAAA";

pub const SECRET: &str = "0123456789abcdef0123456789abcdef";
const HOST: (&str, &str) = ("Host", "127.0.0.1:8080");
const OURS: (&str, &str) = ("Origin", "http://127.0.0.1:8080");
const FRIEND: (&str, &str) = ("Origin", "http://friend.example");
const FOREIGN: (&str, &str) = ("Origin", "http://evil.example");
const SAME_SITE: (&str, &str) = ("Sec-Fetch-Site", "same-origin");
const CROSS_SITE: (&str, &str) = ("Sec-Fetch-Site", "cross-site");
const UPGRADE: (&str, &str) = ("Upgrade", "websocket");

/// A user base of one: `ada`, an operator whose password is `engine`.
struct OnlyAda {
    password_hash: String,
    revoked: Mutex<Vec<(Revoked, Timestamp)>>,
}

impl Users for OnlyAda {
    fn find<'a>(&'a self, name: &'a str) -> Answer<'a, Option<UserRecord>> {
        let ada = UserRecord {
            id: UserId(uuid::Uuid::from_u128(1)),
            name: "ada".into(),
            role: Role::Operator,
            teams: vec!["analysts".into()],
            password_hash: Some(self.password_hash.clone()),
        };
        Box::pin(async move { Ok((name == "ada").then_some(ada)) })
    }

    fn revoke<'a>(&'a self, revoked: &'a Revoked, expires: Timestamp) -> Answer<'a, ()> {
        self.revoked.lock().push((revoked.clone(), expires));
        Box::pin(ready(Ok(())))
    }

    fn revoked(&self) -> Answer<'_, Vec<(Revoked, Timestamp)>> {
        Box::pin(ready(Ok(self.revoked.lock().clone())))
    }

    fn revoked_mark(&self) -> Answer<'_, RevokedMark> {
        Box::pin(ready(Ok(RevokedMark::default())))
    }

    fn forget_revoked(&self, instant: Timestamp) -> Answer<'_, ()> {
        self.revoked
            .lock()
            .retain(|(_, expires)| *expires >= instant);
        Box::pin(ready(Ok(())))
    }
}

pub fn config() -> Config {
    Config {
        jwt_secret: Some(crate::config::Secret::new(SECRET)),
        cors_origins: vec![FRIEND.1.into()],
        ..Config::default()
    }
}

async fn auth(config: &Config) -> web::Data<Auth> {
    auth_with(config, password::hash("engine".into()).await.unwrap()).await
}

pub async fn auth_with(config: &Config, password_hash: String) -> web::Data<Auth> {
    let ada = OnlyAda {
        password_hash,
        revoked: Mutex::default(),
    };
    web::Data::new(Auth::open(config, Arc::new(ada)).await.unwrap())
}

async fn call(auth: &web::Data<Auth>, request: TestRequest) -> ServiceResponse {
    let echo = |caller: Caller| async move { HttpResponse::Ok().body(caller.name) };
    let admin_only = |caller: Caller| async move {
        caller.require(Role::Admin)?;
        Ok::<_, ApiError>(HttpResponse::Ok().finish())
    };
    let app = test::init_service(
        App::new()
            .app_data(auth.clone())
            .app_data(web::Data::new(Intake::new(std::time::Duration::from_secs(
                5,
            ))))
            .configure(endpoints::configure)
            .route("/api/things", web::route().to(echo))
            .route("/api/admin", web::get().to(admin_only))
            .route("/ws", web::get().to(echo))
            .route("/metrics", web::get().to(HttpResponse::Ok))
            .route("/health", web::get().to(HttpResponse::Ok))
            .route("/api/health", web::get().to(HttpResponse::Ok))
            .route("/", web::get().to(HttpResponse::Ok))
            .wrap(from_fn(protect))
            .wrap(from_fn(guard_host))
            .wrap(cors(&[FRIEND.1.to_owned()]))
            .wrap(from_fn(routing_problems)),
    )
    .await;
    let request = request
        .peer_addr(([192, 0, 2, 1], 4000).into())
        .to_request();
    test::call_service(&app, request).await
}

/// Status, and the problem's code where it is one.
async fn outcome(auth: &web::Data<Auth>, request: TestRequest) -> (u16, String) {
    let response = call(auth, request).await;
    let status = response.status();
    if status.is_success() {
        return (status.as_u16(), String::new());
    }
    let problem: Problem = test::read_body_json(response).await;
    (status.as_u16(), problem.code)
}

fn request(method: Method, path: &str, headers: &[(&'static str, &str)]) -> TestRequest {
    let mut request = TestRequest::default()
        .method(method)
        .uri(path)
        .insert_header(HOST);
    for header in headers {
        request = request.insert_header(*header);
    }
    request
}

fn get(path: &str, headers: &[(&'static str, &str)]) -> TestRequest {
    request(Method::GET, path, headers)
}

fn token(auth: &Auth, role: Role) -> String {
    let minute = std::time::Duration::from_secs(60);
    auth.tokens.issue("ada", role, minute).unwrap()
}

fn login(auth_body: &serde_json::Value) -> TestRequest {
    request(Method::POST, "/api/auth/login", &[OURS]).set_json(auth_body)
}

#[actix_web::test]
async fn only_open_paths_are_reached_without_a_token() {
    let auth = auth(&config()).await;
    for path in ["/", "/health", "/api/health", "/metrics"] {
        assert_eq!(outcome(&auth, get(path, &[])).await.0, 200, "{path}");
    }
    for path in [
        "/api/things",
        "/ws",
        "/api/auth/me",
        "/%61pi/things",
        "/api/nothing",
    ] {
        let response = call(&auth, get(path, &[])).await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{path}");
        assert!(
            response.headers().contains_key(header::WWW_AUTHENTICATE),
            "{path}"
        );
    }
}

#[actix_web::test]
async fn metrics_need_a_token_away_from_loopback() {
    let everywhere = Config {
        listen: ([0, 0, 0, 0], 8080).into(),
        ..config()
    };
    let auth = auth(&everywhere).await;
    assert_eq!(outcome(&auth, get("/metrics", &[])).await.0, 401);
    let bearer = format!("Bearer {}", token(&auth, Role::Viewer));
    assert_eq!(
        outcome(&auth, get("/metrics", &[("Authorization", &bearer)]))
            .await
            .0,
        200
    );
    // Any name will do for a server that is meant to be reached.
    assert_eq!(
        outcome(&auth, get("/health", &[("Host", "lime.example")]))
            .await
            .0,
        200
    );
}

#[actix_web::test]
async fn a_bearer_token_names_the_caller_and_needs_no_origin() {
    let auth = auth(&config()).await;
    let bearer = format!("bearer {}", token(&auth, Role::Operator));
    let header = ("Authorization", bearer.as_str());
    let response = call(&auth, request(Method::POST, "/api/things", &[header])).await;
    assert_eq!(test::read_body(response).await, "ada");
    assert_eq!(
        outcome(&auth, get("/api/admin", &[header])).await,
        (403, "role_too_low".into())
    );
    for wrong in ["Bearer", "Bearer ", "Basic YTpi", "Bearer nonsense"] {
        let (status, code) = outcome(&auth, get("/api/things", &[("Authorization", wrong)])).await;
        assert_eq!((status, code.as_str()), (401, "invalid_token"), "{wrong:?}");
    }
}

#[actix_web::test]
async fn a_cookie_changes_things_only_from_our_own_pages() {
    let auth = auth(&config()).await;
    let cookie = format!("{}={}", cookie::NAME, token(&auth, Role::Operator));
    let cookie = ("Cookie", cookie.as_str());
    let refused = (403, "origin_refused".to_owned());
    let fine = (200, String::new());
    assert_eq!(outcome(&auth, get("/api/things", &[cookie])).await, fine);
    for (headers, expected) in [
        (vec![OURS], &fine),
        (vec![FRIEND], &fine),
        (vec![SAME_SITE], &fine),
        (vec![], &refused),
        (vec![FOREIGN], &refused),
        (vec![FOREIGN, SAME_SITE], &refused),
        (vec![CROSS_SITE], &refused),
        (vec![("Origin", "null")], &refused),
        (vec![("Origin", "http://127.0.0.1:9999")], &refused),
    ] {
        let all: Vec<_> = headers.iter().copied().chain([cookie]).collect();
        for (method, path, more) in [
            (Method::POST, "/api/things", None),
            (Method::DELETE, "/api/things", None),
            (Method::GET, "/ws", Some(UPGRADE)),
        ] {
            let all: Vec<_> = all.iter().copied().chain(more).collect();
            let got = outcome(&auth, request(method.clone(), path, &all)).await;
            assert_eq!(got, *expected, "{method} {path} {headers:?}");
        }
    }
}

#[actix_web::test]
async fn a_websocket_takes_its_token_from_the_subprotocol_pair() {
    let auth = auth(&config()).await;
    let token = token(&auth, Role::Viewer);
    let pair = format!("limelight.v1, bearer.{token}");
    let alone = format!("bearer.{token}");
    let protocol = |value| ("Sec-WebSocket-Protocol", value);
    for (headers, status) in [
        (vec![UPGRADE, protocol(pair.as_str())], 200),
        (vec![UPGRADE, protocol(pair.as_str()), OURS], 200),
        (vec![UPGRADE, protocol(pair.as_str()), FOREIGN], 403),
        (vec![UPGRADE, protocol(alone.as_str())], 401),
        (vec![UPGRADE, protocol("limelight.v1")], 401),
    ] {
        assert_eq!(
            outcome(&auth, get("/ws", &headers)).await.0,
            status,
            "{headers:?}"
        );
    }
}

#[actix_web::test]
async fn without_identity_programs_are_admins_and_foreign_pages_are_nobody() {
    let off = Config {
        auth: AuthMode::Off,
        ..config()
    };
    let auth = auth(&off).await;
    let response = call(&auth, get("/api/auth/me", &[])).await;
    let me: limelight_protocol::auth::Me = test::read_body_json(response).await;
    assert_eq!((me.role, me.auth_required), (Role::Admin, false));
    for (headers, status) in [
        (vec![], 200),
        (vec![OURS], 200),
        (vec![SAME_SITE], 200),
        (vec![FOREIGN], 403),
        (vec![CROSS_SITE], 403),
    ] {
        let post = request(Method::POST, "/api/things", &headers);
        assert_eq!(outcome(&auth, post).await.0, status, "{headers:?}");
        let all: Vec<_> = headers.iter().copied().chain([UPGRADE]).collect();
        assert_eq!(
            outcome(&auth, get("/ws", &all)).await.0,
            status,
            "{headers:?}"
        );
    }
}

#[actix_web::test]
async fn a_server_on_loopback_answers_to_loopback_names_only() {
    let named = Config {
        allowed_hosts: vec!["lime.test".into()],
        ..config()
    };
    let auth = auth(&named).await;
    for (host, status) in [
        ("localhost:8080", 200),
        ("[::1]:8080", 200),
        ("Lime.test:8080", 200),
        ("evil.example:8080", 403),
        ("127.0.0.1.evil.example", 403),
        ("", 403),
    ] {
        let got = outcome(&auth, get("/health", &[("Host", host)])).await;
        assert_eq!(got.0, status, "{host:?}");
        if status == 403 {
            assert_eq!(got.1, "host_refused");
        }
    }
    // What a proxy is told to forward proves nothing.
    let forged = [("Host", "evil.example"), ("X-Forwarded-Host", "localhost")];
    assert_eq!(outcome(&auth, get("/health", &forged)).await.0, 403);
}

#[actix_web::test]
async fn a_sign_in_link_begins_a_session_once() {
    let auth = auth(&config()).await;
    let body = json!({"code": auth.sign_in.issue("ada")});
    let response = call(&auth, login(&body)).await;
    assert_eq!(response.status(), StatusCode::OK);
    let set = response
        .headers()
        .get(header::SET_COOKIE)
        .unwrap()
        .to_str()
        .unwrap()
        .to_owned();
    for part in ["HttpOnly", "SameSite=Strict", "Path=/", "Max-Age="] {
        assert!(set.contains(part), "{set}");
    }
    assert!(!set.contains("Secure"), "{set}");
    let cookie = set.split(';').next().unwrap();
    let response = call(&auth, get("/api/auth/me", &[("Cookie", cookie)])).await;
    let me: limelight_protocol::auth::Me = test::read_body_json(response).await;
    assert_eq!((me.username.as_str(), me.role), ("ada", Role::Operator));
    assert_eq!(me.teams, ["analysts"]);
    assert_eq!(
        outcome(&auth, login(&body)).await,
        (401, "invalid_code".into())
    );
}

#[actix_web::test]
async fn behind_tls_the_cookie_is_for_tls_only() {
    let auth = auth(&config()).await;
    let body = json!({"code": auth.sign_in.issue("ada")});
    let response = call(
        &auth,
        login(&body).insert_header(("X-Forwarded-Proto", "https")),
    )
    .await;
    let set = response
        .headers()
        .get(header::SET_COOKIE)
        .unwrap()
        .to_str()
        .unwrap();
    assert!(set.contains("Secure"), "{set}");
}

#[actix_web::test]
async fn a_password_signs_in_its_user_and_nobody_else() {
    let auth = auth(&config()).await;
    let body = |name, password| login(&json!({"username": name, "password": password}));
    assert_eq!(outcome(&auth, body("ada", "engine")).await.0, 200);
    let wrong = (401, "wrong_credentials".to_owned());
    assert_eq!(outcome(&auth, body("ada", "motor")).await, wrong);
    assert_eq!(outcome(&auth, body("bob", "engine")).await, wrong);
    let foreign = request(Method::POST, "/api/auth/login", &[FOREIGN])
        .set_json(json!({"username": "ada", "password": "engine"}));
    assert_eq!(outcome(&auth, foreign).await.1, "origin_refused");
}

#[actix_web::test]
async fn signing_in_is_limited_but_only_for_those_who_fail() {
    let auth = auth(&config()).await;
    for _ in 0..10 {
        let guess = login(&json!({"code": "guess"}));
        assert_eq!(outcome(&auth, guess).await.0, 401);
    }
    let response = call(&auth, login(&json!({"code": "guess"}))).await;
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(response.headers().contains_key(header::RETRY_AFTER));
}

#[actix_web::test]
async fn signing_out_ends_the_cookie_even_of_an_expired_session() {
    let auth = auth(&config()).await;
    let response = call(&auth, request(Method::POST, "/api/auth/logout", &[OURS])).await;
    assert_eq!(response.status(), StatusCode::NO_CONTENT);
    let set = response
        .headers()
        .get(header::SET_COOKIE)
        .unwrap()
        .to_str()
        .unwrap();
    assert!(set.contains("Max-Age=0"), "{set}");
    let expired = format!("{}=expired", cookie::NAME);
    let out = request(
        Method::POST,
        "/api/auth/logout",
        &[OURS, ("Cookie", &expired)],
    );
    assert_eq!(outcome(&auth, out).await.0, 204);
}

#[actix_web::test]
async fn a_configured_front_end_may_ask_and_another_may_not() {
    let auth = auth(&config()).await;
    let preflight = |origin| {
        let headers = [origin, ("Access-Control-Request-Method", "POST")];
        request(Method::OPTIONS, "/api/things", &headers)
    };
    let allowed = call(&auth, preflight(FRIEND)).await;
    let name = "access-control-allow-origin";
    assert_eq!(allowed.headers().get(name).unwrap(), FRIEND.1);
    let refused = call(&auth, preflight(FOREIGN)).await;
    assert!(!refused.headers().contains_key(name));
    let refusal = call(&auth, get("/api/things", &[FRIEND])).await;
    assert_eq!(refusal.status(), StatusCode::UNAUTHORIZED);
    assert!(refusal.headers().contains_key(name));
}

/// A sign-in's cookie.
async fn signed_in(auth: &web::Data<Auth>) -> String {
    let body = json!({"code": auth.sign_in.issue("ada")});
    let response = call(auth, login(&body)).await;
    let set = response.headers().get(header::SET_COOKIE).unwrap();
    set.to_str().unwrap().split(';').next().unwrap().to_owned()
}

async fn sign_out(auth: &web::Data<Auth>, headers: &[(&'static str, &str)]) -> u16 {
    let headers: Vec<_> = headers.iter().copied().chain([OURS]).collect();
    outcome(auth, request(Method::POST, "/api/auth/logout", &headers))
        .await
        .0
}

#[actix_web::test]
async fn signing_out_ends_the_token_itself_and_no_other() {
    let auth = auth(&config()).await;
    let (cookie, other) = (signed_in(&auth).await, signed_in(&auth).await);
    assert_ne!(cookie, other, "two sessions of one second are one");
    let bearer = format!("Bearer {}", token(&auth, Role::Viewer));
    let signed_out = (401, "signed_out".to_owned());
    for header in [
        ("Cookie", cookie.as_str()),
        ("Authorization", bearer.as_str()),
    ] {
        assert_eq!(outcome(&auth, get("/api/things", &[header])).await.0, 200);
        assert_eq!(sign_out(&auth, &[header]).await, 204);
        assert_eq!(
            outcome(&auth, get("/api/things", &[header])).await,
            signed_out
        );
        // As a bearer or a cookie, it is the same token.
        assert_eq!(sign_out(&auth, &[header]).await, 204);
    }
    let other = [("Cookie", other.as_str())];
    assert_eq!(outcome(&auth, get("/api/things", &other)).await.0, 200);
    // What is kept is enough for the next start.
    let again = Revocations::open(Arc::clone(&auth.users)).await.unwrap();
    let token = cookie.split_once('=').unwrap().1;
    assert!(again.contains(&auth.tokens.verify(token).await.unwrap().token));
}

#[actix_web::test]
async fn whoever_waits_for_the_end_of_a_token_is_told_of_its_sign_out_and_of_its_expiry() {
    let auth = auth(&config()).await;
    let minute = std::time::Duration::from_secs(60);
    let token = auth.tokens.issue("ada", Role::Viewer, minute).unwrap();
    let (_, validity) = auth.verify(&token).await.unwrap();
    let several = futures_util::future::join(validity.clone().ended(), validity.ended());
    let bearer = format!("Bearer {token}");
    let waited = futures_util::future::join(several, async {
        assert_eq!(sign_out(&auth, &[("Authorization", &bearer)]).await, 204);
    });
    let (ends, ()) = waited.await;
    assert_eq!(ends, (Ended::SignedOut, Ended::SignedOut));

    let second = std::time::Duration::from_secs(1);
    let token = auth.tokens.issue("ada", Role::Viewer, second).unwrap();
    let (_, validity) = auth.verify(&token).await.unwrap();
    assert_eq!(validity.ended().await, Ended::Expired);
    assert_eq!(
        auth.verify(&token).await.err().unwrap().code(),
        "token_expired"
    );
}

#[actix_web::test]
async fn without_room_for_another_token_signing_out_ends_all_sessions_of_the_user() {
    let auth = auth(&config()).await;
    let revocations = Revocations::with_room(Arc::clone(&auth.users), 1)
        .await
        .unwrap();
    let ada = auth.users.find("ada").await.unwrap().unwrap();
    let session = async |now| {
        let token = auth.tokens.issue_for(&ada, now, cookie::SESSION).unwrap();
        auth.tokens.verify(&token).await.unwrap().token
    };
    let now = crate::clock::now();
    let sessions = [session(now).await, session(now).await, session(now).await];
    revocations.end(&sessions[0]).await.unwrap();
    assert!(!revocations.contains(&sessions[1]));
    revocations.end(&sessions[1]).await.unwrap();
    assert!(sessions.iter().all(|session| revocations.contains(session)));
    // A session that begins now is not ended with them, though the clock has been set back.
    let back = Timestamp(now.0 - 3_600_000);
    let next = session(revocations.begin_session(ada.id, back)).await;
    assert!(!revocations.contains(&next));
    // Nor can a token that is no session take room that there is not.
    let token = token(&auth, Role::Viewer);
    let bare = auth.tokens.verify(&token).await.unwrap().token;
    assert_eq!(
        revocations.end(&bare).await.unwrap_err().code(),
        "too_many_requests"
    );
}
