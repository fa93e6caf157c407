use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use actix_web::{App, HttpResponse, HttpServer, web};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ed25519_dalek::pkcs8::EncodePrivateKey as _;
use jsonwebtoken::{EncodingKey, Header, encode};
use limelight_protocol::auth::Role;
use p256::{elliptic_curve::rand_core::OsRng, pkcs8::LineEnding};
use rsa::pkcs1::EncodeRsaPrivateKey;
use serde_json::{Value, json};

use super::*;
use crate::{
    auth::Tokens,
    config::{Config, Secret},
};

const SECRET: &str = "0123456789abcdef0123456789abcdef";

fn rsa() -> EncodingKey {
    let key = rsa::RsaPrivateKey::new(&mut OsRng, 2048).unwrap();
    let pem = key.to_pkcs1_pem(LineEnding::LF).unwrap();
    EncodingKey::from_rsa_pem(pem.as_bytes()).unwrap()
}

fn p256() -> EncodingKey {
    let key = p256::SecretKey::random(&mut OsRng);
    let pem = key.to_pkcs8_pem(LineEnding::LF).unwrap();
    EncodingKey::from_ec_pem(pem.as_bytes()).unwrap()
}

/// The key and its public half as a JWK named `d`.
fn ed25519() -> (EncodingKey, Value) {
    let key = ed25519_dalek::SigningKey::generate(&mut OsRng);
    let x = URL_SAFE_NO_PAD.encode(key.verifying_key().as_bytes());
    let pem = key.to_pkcs8_pem(LineEnding::LF).unwrap();
    (
        EncodingKey::from_ed_pem(pem.as_bytes()).unwrap(),
        json!({"kty": "OKP", "crv": "Ed25519", "kid": "d", "x": x}),
    )
}

fn jwk(key: &EncodingKey, algorithm: Algorithm, kid: Option<&str>) -> Value {
    let mut jwk = Jwk::from_encoding_key(key, algorithm).unwrap();
    jwk.common.key_id = kid.map(str::to_owned);
    serde_json::to_value(jwk).unwrap()
}

fn token(key: &EncodingKey, algorithm: Algorithm, kid: Option<&str>) -> String {
    let header = Header {
        kid: kid.map(str::to_owned),
        ..Header::new(algorithm)
    };
    let claims = json!({
        "sub": "ada", "role": "operator", "teams": ["analysts"], "exp": 4_000_000_000_u64,
        "uid": "0199c0a0-0000-7000-8000-000000000001",
    });
    encode(&header, &claims, key).unwrap()
}

async fn tokens(source: &str) -> anyhow::Result<Tokens> {
    Tokens::open(&Config {
        jwt_secret: Some(Secret::new(SECRET)),
        jwks_url: Some(source.to_owned()),
        ..Config::default()
    })
    .await
}

fn file(keys: &[Value]) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), json!({"keys": keys}).to_string()).unwrap();
    file
}

#[actix_web::test]
async fn tokens_of_every_asymmetric_kind_are_taken_by_name_of_key_and_without() {
    let (rsa, p256, (ed25519, ed25519_jwk)) = (rsa(), p256(), ed25519());
    let set = [
        jwk(&rsa, Algorithm::RS256, Some("r")),
        jwk(&p256, Algorithm::ES256, Some("e")),
        ed25519_jwk,
    ];
    let keys = [
        (rsa, Algorithm::RS256, "r"),
        (p256, Algorithm::ES256, "e"),
        (ed25519, Algorithm::EdDSA, "d"),
    ];
    let file = file(&set);
    let tokens = tokens(file.path().to_str().unwrap()).await.unwrap();
    for (key, algorithm, kid) in &keys {
        for kid in [Some(*kid), None] {
            let caller = tokens.verify(&token(key, *algorithm, kid)).await.unwrap();
            assert_eq!((caller.name.as_str(), caller.role), ("ada", Role::Operator));
            assert_eq!(caller.teams, ["analysts"]);
            // Only our own tokens say which of our users it is.
            assert_eq!(caller.user_id, None);
        }
    }
    // Ours are taken as before.
    let own = tokens
        .issue("bob", Role::Viewer, Duration::from_secs(60))
        .unwrap();
    assert_eq!(tokens.verify(&own).await.unwrap().name, "bob");
}

#[actix_web::test]
async fn the_key_decides_the_algorithm() {
    let key = rsa();
    let public = jwk(&key, Algorithm::RS256, Some("r"));
    let file = file(std::slice::from_ref(&public));
    let tokens = tokens(file.path().to_str().unwrap()).await.unwrap();
    let modulus = public["n"].as_str().unwrap();
    for forged in [
        // The classic: a public key taken for the secret of HS256.
        token(
            &EncodingKey::from_secret(modulus.as_bytes()),
            Algorithm::HS256,
            Some("r"),
        ),
        token(
            &EncodingKey::from_base64_secret(SECRET).unwrap(),
            Algorithm::HS256,
            Some("r"),
        ),
        token(&key, Algorithm::RS384, Some("r")),
        token(&rsa(), Algorithm::RS256, Some("r")),
        token(&p256(), Algorithm::ES256, Some("r")),
    ] {
        let error = tokens.verify(&forged).await.unwrap_err();
        assert_eq!(error.code(), "invalid_token");
    }
}

#[actix_web::test]
async fn keys_that_are_not_for_signing_or_not_public_are_left_out() {
    let mut encryption = jwk(&p256(), Algorithm::ES256, Some("a"));
    encryption["use"] = json!("enc");
    let mut other = jwk(&rsa(), Algorithm::RS256, Some("b"));
    other["alg"] = json!("RS512");
    let symmetric = json!({"kty": "oct", "kid": "c", "alg": "HS256", "k": "c2VjcmV0"});
    let strange = json!({"kty": "LWE", "kid": "d"});
    let file = file(&[encryption, other, symmetric, strange]);
    let jwks = Jwks::open(file.path().to_str().unwrap()).await.unwrap();
    assert!(jwks.candidates(None).await.is_empty());
}

#[actix_web::test]
async fn an_unknown_key_is_asked_for_at_most_once_a_minute() {
    let keys = [(p256(), "old"), (p256(), "new")];
    let sets: Arc<Vec<Value>> = Arc::new(
        keys.iter()
            .map(|(key, kid)| json!({"keys": [jwk(key, Algorithm::ES256, Some(kid))]}))
            .collect(),
    );
    let asked = Arc::new(AtomicUsize::new(0));
    let (served, count) = (sets.clone(), asked.clone());
    let server = HttpServer::new(move || {
        let (served, count) = (served.clone(), count.clone());
        App::new().route(
            "/keys",
            web::get().to(move || {
                let turn = count.fetch_add(1, Ordering::SeqCst);
                let set = served.get(turn).cloned();
                async move {
                    match set {
                        Some(set) => HttpResponse::Ok().json(set),
                        None => HttpResponse::InternalServerError().finish(),
                    }
                }
            }),
        )
    })
    .workers(1)
    .bind(("127.0.0.1", 0))
    .unwrap();
    let url = format!("http://{}/keys", server.addrs()[0]);
    let running = server.run();
    let handle = running.handle();
    actix_web::rt::spawn(running);

    let start = Instant::now();
    let jwks = Jwks::open(&url).await.unwrap();
    let found = async |kid, seconds| {
        let now = start + Duration::from_secs(seconds);
        !jwks.candidates_at(Some(kid), now).await.is_empty()
    };
    assert!(found("old", 1).await);
    assert!(!found("new", 2).await);
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    assert!(found("new", 70).await);
    assert_eq!(asked.load(Ordering::SeqCst), 2);
    // The withdrawn key is gone, and a provider that fails takes nothing away.
    assert!(!found("old", 140).await);
    assert!(found("new", 141).await);
    assert_eq!(asked.load(Ordering::SeqCst), 3);
    handle.stop(false).await;
}

#[actix_web::test]
async fn a_missing_file_stops_the_start_and_an_absent_provider_does_not() {
    assert!(tokens("/nowhere/keys.json").await.is_err());
    let broken = tempfile::NamedTempFile::new().unwrap();
    assert!(tokens(broken.path().to_str().unwrap()).await.is_err());
    assert!(tokens("http://127.0.0.1:1/keys").await.is_ok());
}
