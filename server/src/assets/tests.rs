use actix_web::{App, test};

use super::*;

const WASM: &str = "limelight-0f1e2d3c4b5a6978_bg.wasm";

fn built() -> Assets {
    let file =
        |path: &str, text: &'static str| (path.to_owned(), Bytes::from_static(text.as_bytes()));
    Assets::new(
        [
            file(INDEX, "<script type=\"module\">init()</script>"),
            file("index.html.br", "page in brotli"),
            file("index.html.gz", "page in gzip"),
            file(WASM, "wasm"),
            file("icon.svg", "<svg/>"),
            file("data.gz", "an archive of its own"),
        ]
        .into_iter(),
    )
}

async fn get(assets: Assets, request: test::TestRequest) -> (StatusCode, header::HeaderMap, Bytes) {
    let app = test::init_service(
        App::new()
            .app_data(web::Data::new(assets))
            .default_service(web::to(serve)),
    )
    .await;
    let response = test::call_service(&app, request.to_request()).await;
    let (status, headers) = (response.status(), response.headers().clone());
    (status, headers, test::read_body(response).await)
}

fn value(headers: &header::HeaderMap, name: HeaderName) -> &str {
    headers.get(name).unwrap().to_str().unwrap()
}

fn at(path: &str) -> test::TestRequest {
    test::TestRequest::get().uri(path)
}

#[actix_web::test]
async fn the_page_goes_out_in_the_encoding_that_the_client_likes_best() {
    for (accepted, encoding, body) in [
        ("gzip, br", Some("br"), "page in brotli"),
        ("gzip, br;q=0.1", Some("gzip"), "page in gzip"),
        ("deflate", None, "<script type=\"module\">init()</script>"),
    ] {
        let request = at("/").insert_header((header::ACCEPT_ENCODING, accepted));
        let (status, headers, bytes) = get(built(), request).await;
        assert_eq!((status, &bytes[..]), (StatusCode::OK, body.as_bytes()));
        let sent = headers
            .get(header::CONTENT_ENCODING)
            .map(|value| value.to_str().unwrap());
        assert_eq!(sent, encoding);
        assert_eq!(
            value(&headers, header::CONTENT_TYPE),
            "text/html; charset=utf-8"
        );
        assert_eq!(value(&headers, header::CACHE_CONTROL), "no-cache");
        assert_eq!(value(&headers, header::VARY), "Accept-Encoding");
    }
}

#[actix_web::test]
async fn hashed_names_are_kept_for_ever_and_others_are_not() {
    let (_, headers, _) = get(built(), at(&format!("/{WASM}"))).await;
    assert_eq!(value(&headers, header::CACHE_CONTROL), FOR_EVER);
    assert_eq!(value(&headers, header::CONTENT_TYPE), "application/wasm");
    let (_, headers, _) = get(built(), at("/icon.svg")).await;
    assert_eq!(value(&headers, header::CACHE_CONTROL), ASK_AGAIN);
    assert!(is_hashed(
        "snippets/limelight-frontend-0f1e2d3c4b5a6978/inline0.js"
    ));
    assert!(!is_hashed("a-better-name.js"));
}

#[actix_web::test]
async fn what_the_client_has_already_is_not_sent_again() {
    let brotli = (header::ACCEPT_ENCODING, "br");
    let (_, headers, _) = get(built(), at("/").insert_header(brotli.clone())).await;
    let tag = value(&headers, header::ETAG).to_owned();
    for (given, status) in [
        (tag.clone(), StatusCode::NOT_MODIFIED),
        (format!("\"x\", W/{tag}"), StatusCode::NOT_MODIFIED),
        ("*".into(), StatusCode::NOT_MODIFIED),
        ("\"x\"".into(), StatusCode::OK),
        (tag.replace("-br", ""), StatusCode::OK),
    ] {
        let request = at("/")
            .insert_header(brotli.clone())
            .insert_header((header::IF_NONE_MATCH, given.as_str()));
        let (got, headers, body) = get(built(), request).await;
        assert_eq!(got, status, "{given}");
        assert_eq!(body.is_empty(), got == StatusCode::NOT_MODIFIED);
        assert_eq!(value(&headers, header::ETAG), tag.as_str());
    }
}

#[actix_web::test]
async fn unknown_pages_are_the_dashboards_own_business_and_unknown_files_are_not_found() {
    let (status, _, body) = get(built(), at("/executions/0199")).await;
    assert_eq!(status, StatusCode::OK);
    assert!(body.starts_with(b"<script"));
    for path in [
        "/missing.js",
        "/api/missing",
        "/api",
        "/ws",
        "/%61pi/missing",
        "/..%2fCargo.toml",
    ] {
        let (status, headers, _) = get(built(), at(path)).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(value(&headers, header::CONTENT_TYPE), error::PROBLEM_JSON);
    }
    let (status, headers, _) = get(built(), test::TestRequest::post().uri("/")).await;
    assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(value(&headers, header::ALLOW), "GET, HEAD");
    let (status, ..) = get(built(), at("/data.gz")).await;
    assert_eq!(status, StatusCode::OK);
    let (status, ..) = get(built(), at("/index.html.br")).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

#[actix_web::test]
async fn every_file_carries_the_security_headers() {
    let (_, headers, _) = get(built(), at("/icon.svg")).await;
    let policy = value(&headers, header::CONTENT_SECURITY_POLICY);
    assert!(policy.contains("frame-ancestors 'none'"));
    assert!(policy.contains("'sha256-"));
    assert_eq!(value(&headers, header::X_CONTENT_TYPE_OPTIONS), "nosniff");
    assert!(headers.contains_key(header::REFERRER_POLICY));
}

#[actix_web::test]
async fn without_a_dashboard_the_root_says_how_to_build_it() {
    let none = || Assets::new(std::iter::empty());
    assert!(!none().is_built());
    let (status, headers, body) = get(none(), at("/")).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(
        value(&headers, header::CONTENT_TYPE),
        "text/plain; charset=utf-8"
    );
    assert!(String::from_utf8_lossy(&body).contains("make build"));
    let (status, ..) = get(none(), at("/executions")).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}
