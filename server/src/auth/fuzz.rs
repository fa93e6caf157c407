//! Whatever a stranger sends: tokens, cookies and headers of every shape name nobody and break nothing.

use actix_web::{
    http::header::{HeaderName, HeaderValue},
    test::TestRequest,
};
use limelight_protocol::auth::Role;
use proptest::prelude::*;

use super::{
    origin::{is_origin, is_websocket_upgrade},
    tests::{auth_with, config},
    *,
};

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().build().unwrap().block_on(future)
}

fn own_token(tokens: &Tokens) -> String {
    let hour = std::time::Duration::from_secs(3600);
    tokens.issue("ada", Role::Admin, hour).unwrap()
}

/// Text around what the headers should hold.
fn value() -> impl Strategy<Value = Vec<u8>> {
    let words = prop::sample::select(vec![
        "Bearer ",
        "bearer.",
        "limelight.v1",
        "limelight_session",
        "=",
        ";",
        ", ",
        ",",
        "\"",
        ".",
        "..",
        "eyJhbGciOiJub25lIn0",
        "http://",
        "https://",
        "127.0.0.1",
        "[::1]",
        "[",
        "]",
        ":",
        ":8080",
        "@",
        "localhost",
        "null",
        "websocket",
        "same-origin",
        "%00",
        "\t",
    ]);
    let part = prop_oneof![
        4 => words.prop_map(|word| word.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..20),
        1 => "[A-Za-z0-9_-]{0,60}".prop_map(String::into_bytes),
    ];
    prop::collection::vec(part, 0..12).prop_map(|parts| parts.concat())
}

fn headers() -> impl Strategy<Value = Vec<(&'static str, Vec<u8>)>> {
    let name = prop::sample::select(vec![
        "authorization",
        "cookie",
        "sec-websocket-protocol",
        "origin",
        "host",
        "upgrade",
        "sec-fetch-site",
        "x-forwarded-host",
        "forwarded",
    ]);
    prop::collection::vec((name, value()), 0..12)
}

proptest! {
    #[test]
    fn fuzz_no_headers_of_a_stranger_name_a_caller(requests in prop::collection::vec(headers(), 1..20)) {
        block_on(async {
            let auth = auth_with(&config(), String::new()).await;
            for headers in requests {
                let mut request = TestRequest::default();
                for (name, value) in headers {
                    if let Ok(value) = HeaderValue::from_bytes(&value) {
                        request = request.append_header((HeaderName::from_static(name), value));
                    }
                }
                let request = request.to_http_request();
                let _ = is_websocket_upgrade(&request);
                let _ = auth.origins.check_host(&request);
                let _ = auth.origins.check_ambient(&request, true);
                prop_assert!(auth.authenticate(&request).await.is_err());
                prop_assert!(auth.sign_out(&request).await.is_ok());
            }
            Ok::<_, TestCaseError>(())
        })?;
    }

    #[test]
    fn fuzz_a_token_that_was_touched_is_refused(
        touches in prop::collection::vec((any::<prop::sample::Index>(), any::<char>(), 0..4_u8), 1..20),
        junk in prop::collection::vec(".{0,300}", 1..10),
    ) {
        block_on(async {
            let auth = auth_with(&config(), String::new()).await;
            let token = own_token(&auth.tokens);
            prop_assert!(auth.tokens.verify(&token).await.is_ok());
            for text in junk {
                prop_assert!(auth.tokens.verify(&text).await.is_err());
            }
            for (index, char, how) in touches {
                let at = index.index(token.len());
                let (before, after) = token.split_at(at);
                let touched = match how {
                    0 => format!("{before}{char}{after}"),
                    1 => format!("{before}{char}{}", &after[1..]),
                    2 => format!("{before}{}", &after[1..]),
                    _ => before.to_owned(),
                };
                if touched != token {
                    prop_assert!(auth.tokens.verify(&touched).await.is_err(), "{}", touched);
                }
            }
            Ok::<_, TestCaseError>(())
        })?;
    }

    #[test]
    fn fuzz_an_origin_is_a_scheme_and_a_host(text in value().prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned())) {
        if is_origin(&text) {
            prop_assert!(text.starts_with("http://") || text.starts_with("https://"), "{}", text);
            prop_assert!(!text.contains('@') && !text.contains('?'), "{}", text);
        }
    }
}
