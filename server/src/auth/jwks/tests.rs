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
            let verified = tokens.verify(&token(key, *algorithm, kid)).await.unwrap();
            let caller = verified.caller;
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
    assert_eq!(tokens.verify(&own).await.unwrap().caller.name, "bob");
}

#[actix_web::test]
async fn a_token_is_the_same_with_either_of_its_signatures() {
    let key = p256();
    let file = file(&[jwk(&key, Algorithm::ES256, Some("e"))]);
    let tokens = tokens(file.path().to_str().unwrap()).await.unwrap();
    let one = token(&key, Algorithm::ES256, Some("e"));
    let (signed, signature) = one.rsplit_once('.').unwrap();
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let signature = p256::ecdsa::Signature::from_slice(&signature).unwrap();
    let (r, s) = signature.split_scalars();
    let mirrored = p256::ecdsa::Signature::from_scalars(*r, -*s).unwrap();
    let other = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mirrored.to_bytes()));
    assert_ne!(one, other);
    // Anybody can make the other one of it; when the one is signed out, so must the other be.
    let (one, other) = (tokens.verify(&one).await, tokens.verify(&other).await);
    assert_eq!(one.unwrap().token, other.unwrap().token);
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
async fn a_provider_that_redirects_or_sends_without_end_gives_no_keys() {
    let set = json!({"keys": [jwk(&p256(), Algorithm::ES256, Some("e"))]}).to_string();
    let server = HttpServer::new(move || {
        let set = set.clone();
        App::new()
            .route(
                "/keys",
                web::get().to(move || {
                    let set = set.clone();
                    async move { HttpResponse::Ok().body(set) }
                }),
            )
            .route(
                "/moved",
                web::get().to(|| async {
                    HttpResponse::Found()
                        .insert_header(("Location", "/keys"))
                        .finish()
                }),
            )
            .route(
                "/flood",
                web::get().to(|| async {
                    let spaces = web::Bytes::from(vec![b' '; 64 * 1024]);
                    let endless = futures_util::stream::repeat_with(move || {
                        Ok::<_, actix_web::Error>(spaces.clone())
                    });
                    HttpResponse::Ok().streaming(endless)
                }),
            )
    })
    .workers(1)
    .bind(("127.0.0.1", 0))
    .unwrap();
    let address = server.addrs()[0];
    let running = server.run();
    let handle = running.handle();
    actix_web::rt::spawn(running);
    for (path, keys) in [("keys", 1), ("moved", 0), ("flood", 0)] {
        let jwks = Jwks::open(&format!("http://{address}/{path}"))
            .await
            .unwrap();
        assert_eq!(jwks.candidates(None).await.len(), keys, "{path}");
    }
    handle.stop(false).await;
}

#[actix_web::test]
async fn while_a_provider_is_slow_only_tokens_of_unknown_keys_wait() {
    let known = p256();
    let set = json!({"keys": [jwk(&known, Algorithm::ES256, Some("known"))]}).to_string();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), set).unwrap();
    let jwks = Jwks::open(file.path().to_str().unwrap()).await.unwrap();
    // As if somebody were reading.
    let _reading = jwks.tried.lock().await;
    let later = Instant::now() + 2 * MAX_AGE;
    assert_eq!(jwks.candidates_at(Some("known"), later).await.len(), 1);
    assert_eq!(jwks.candidates_at(None, later).await.len(), 1);
}

#[test]
fn so_many_keys_are_used_and_no_more() {
    let key = p256();
    let keys: Vec<Value> = (0..2 * MAX_KEYS)
        .map(|n| jwk(&key, Algorithm::ES256, Some(&n.to_string())))
        .collect();
    let set = json!({"keys": keys}).to_string();
    let keys = Keys::parse(set.as_bytes(), Instant::now()).unwrap();
    assert_eq!(keys.candidates(None).len(), MAX_KEYS);
}

/// JSON that looks like a set of keys, with anything in its places.
fn any_set() -> impl proptest::strategy::Strategy<Value = String> {
    use proptest::prelude::*;
    let word = prop_oneof![
        prop::sample::select(vec![
            "RSA", "EC", "OKP", "oct", "P-256", "P-384", "Ed25519", "X25519", "sig", "enc",
            "RS256", "ES256", "none", "AQAB", ""
        ])
        .prop_map(|text| json!(text)),
        ".{0,40}".prop_map(|text| json!(text)),
        "[A-Za-z0-9_-]{0,400}".prop_map(|text| json!(text)),
        any::<i64>().prop_map(|number| json!(number)),
        Just(Value::Null),
        Just(json!([])),
    ];
    let name = prop::sample::select(vec![
        "kty", "crv", "alg", "use", "kid", "n", "e", "x", "y", "k", "key_ops", "x5c",
    ]);
    let key = prop::collection::hash_map(name, word, 0..10).prop_map(|key| json!(key));
    prop::collection::vec(key, 0..5).prop_map(|keys| json!({"keys": keys}).to_string())
}

proptest::proptest! {
    #[test]
    fn fuzz_any_set_of_keys_is_read_or_refused(set in any_set(), cut in 0..2000_usize, junk in ".{0,200}") {
        for text in [set.as_bytes(), &set.as_bytes()[..cut.min(set.len())], junk.as_bytes()] {
            if let Ok(keys) = Keys::parse(text, Instant::now()) {
                for key in keys.candidates(None) {
                    let kinds = [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA];
                    proptest::prop_assert!(kinds.contains(&key.algorithm));
                    // A strange key takes no token, and does not panic over one.
                    let validation = jsonwebtoken::Validation::new(key.algorithm);
                    let token = super::super::tests::FORGED;
                    proptest::prop_assert!(jsonwebtoken::decode::<Value>(token, &key.key, &validation).is_err());
                }
            }
        }
    }
}

#[actix_web::test]
async fn a_missing_file_stops_the_start_and_an_absent_provider_does_not() {
    assert!(tokens("/nowhere/keys.json").await.is_err());
    let broken = tempfile::NamedTempFile::new().unwrap();
    assert!(tokens(broken.path().to_str().unwrap()).await.is_err());
    assert!(tokens("http://127.0.0.1:1/keys").await.is_ok());
}
