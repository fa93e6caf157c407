//! The dashboard's files, out of the program itself.
//!
//! Files come compressed from the build (`scripts/compress.mjs`); nothing is compressed here. Names
//! that hold a hash are cached for ever, all others are asked for again. Unknown paths get the page,
//! whose own router knows them.

mod encoding;
mod policy;

use std::{borrow::Cow, collections::HashMap};

use actix_web::{
    HttpRequest, HttpResponse, HttpResponseBuilder,
    http::{
        Method, StatusCode,
        header::{self, EntityTag, Header, HeaderName, IfNoneMatch},
    },
    web,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use rust_embed::RustEmbed;
use sha2::{Digest, Sha256};

use crate::{
    auth,
    error::{self, ApiError},
};
use encoding::Encoding;

#[derive(RustEmbed)]
#[folder = "../frontend/dist"]
#[allow_missing = true]
struct Dist;

const INDEX: &str = "index.html";
const FOR_EVER: &str = "public, max-age=31536000, immutable";
const ASK_AGAIN: &str = "no-cache";

/// What is answered where the dashboard was not built.
const NOT_BUILT: &str = "This server was built without its dashboard.\n\n\
    Build both with `make build` and start target/release/limelight, or run `make dev`.\n\
    The API is at /api and its description at /docs.\n";

/// The dashboard's files, as app data.
pub struct Assets {
    files: HashMap<String, File>,
    security_policy: String,
}

struct File {
    content_type: String,
    cache_control: &'static str,
    hash: String,
    plain: Bytes,
    brotli: Option<Bytes>,
    gzip: Option<Bytes>,
}

impl Assets {
    /// Those that the program holds.
    #[must_use]
    pub fn embedded() -> Self {
        Self::new(Dist::iter().filter_map(|path| {
            let file = Dist::get(&path)?;
            let bytes = match file.data {
                Cow::Borrowed(bytes) => Bytes::from_static(bytes),
                Cow::Owned(bytes) => bytes.into(),
            };
            Some((path.into_owned(), bytes))
        }))
    }

    fn new(files: impl Iterator<Item = (String, Bytes)>) -> Self {
        let all: HashMap<String, Bytes> = files.collect();
        let compressed = |path: &str, suffix: &str| all.get(&format!("{path}{suffix}")).cloned();
        let is_sibling = |path: &str| {
            [".br", ".gz"]
                .iter()
                .filter_map(|suffix| path.strip_suffix(suffix))
                .any(|plain| all.contains_key(plain))
        };
        let files: HashMap<String, File> = all
            .iter()
            .filter(|(path, _)| !is_sibling(path))
            .map(|(path, plain)| {
                let file = File {
                    content_type: content_type(path),
                    cache_control: if is_hashed(path) { FOR_EVER } else { ASK_AGAIN },
                    hash: URL_SAFE_NO_PAD.encode(&Sha256::digest(plain)[..12]),
                    plain: plain.clone(),
                    brotli: compressed(path, ".br"),
                    gzip: compressed(path, ".gz"),
                };
                (path.clone(), file)
            })
            .collect();
        let page = files
            .get(INDEX)
            .map(|file| String::from_utf8_lossy(&file.plain));
        Self {
            security_policy: policy::of_page(&page.unwrap_or_default()),
            files,
        }
    }

    /// Whether the dashboard was built into the program.
    #[must_use]
    pub fn is_built(&self) -> bool {
        self.files.contains_key(INDEX)
    }

    fn answer(&self, request: &HttpRequest) -> HttpResponse {
        let path = request.path().trim_start_matches('/');
        let reading = matches!(*request.method(), Method::GET | Method::HEAD);
        if auth::protect::is_protected(request.match_info().as_str()) {
            return actix_web::ResponseError::error_response(&error::unmatched(request));
        }
        if !reading {
            let refusal =
                ApiError::method_not_allowed(request.method(), &[Method::GET, Method::HEAD]);
            return actix_web::ResponseError::error_response(&refusal);
        }
        if let Some(file) = self.files.get(if path.is_empty() { INDEX } else { path }) {
            return self.file(request, file);
        }
        let last = path.rsplit('/').next().unwrap_or_default();
        match self.files.get(INDEX) {
            Some(page) if !last.contains('.') => self.file(request, page),
            None if path.is_empty() => self
                .with_security(HttpResponse::build(StatusCode::OK))
                .insert_header((header::CONTENT_TYPE, "text/plain; charset=utf-8"))
                .insert_header((header::CACHE_CONTROL, "no-store"))
                .body(NOT_BUILT),
            _ => actix_web::ResponseError::error_response(&error::unmatched(request)),
        }
    }

    fn file(&self, request: &HttpRequest, file: &File) -> HttpResponse {
        let accepted = request
            .headers()
            .get_all(header::ACCEPT_ENCODING)
            .filter_map(|value| value.to_str().ok())
            .collect::<Vec<_>>()
            .join(",");
        let (encoding, body) = match encoding::choose(&accepted, |encoding| match encoding {
            Encoding::Brotli => file.brotli.is_some(),
            Encoding::Gzip => file.gzip.is_some(),
            Encoding::Identity => true,
        }) {
            Encoding::Brotli => (Some("br"), file.brotli.as_ref()),
            Encoding::Gzip => (Some("gzip"), file.gzip.as_ref()),
            Encoding::Identity => (None, None),
        };
        let body = body.unwrap_or(&file.plain);
        // Each encoding is another sequence of bytes, and a strong tag names bytes.
        let tag = EntityTag::new_strong(match encoding {
            Some(encoding) => format!("{}-{encoding}", file.hash),
            None => file.hash.clone(),
        });
        let unchanged = match IfNoneMatch::parse(request) {
            Ok(IfNoneMatch::Any) => request.headers().contains_key(header::IF_NONE_MATCH),
            Ok(IfNoneMatch::Items(tags)) => tags.iter().any(|known| known.weak_eq(&tag)),
            Err(_) => false,
        };
        let mut response = self.with_security(HttpResponse::build(if unchanged {
            StatusCode::NOT_MODIFIED
        } else {
            StatusCode::OK
        }));
        response
            .insert_header((header::CACHE_CONTROL, file.cache_control))
            .insert_header((header::VARY, "Accept-Encoding"))
            .insert_header((header::ETAG, tag.to_string()));
        if unchanged {
            return response.finish();
        }
        response.insert_header((header::CONTENT_TYPE, file.content_type.as_str()));
        if let Some(encoding) = encoding {
            response.insert_header((header::CONTENT_ENCODING, encoding));
        }
        response.body(body.clone())
    }

    fn with_security(&self, mut response: HttpResponseBuilder) -> HttpResponseBuilder {
        response
            .insert_header((
                header::CONTENT_SECURITY_POLICY,
                self.security_policy.as_str(),
            ))
            .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
            .insert_header((header::REFERRER_POLICY, "same-origin"))
            .insert_header((
                HeaderName::from_static("cross-origin-opener-policy"),
                "same-origin",
            ));
        response
    }
}

/// Answers what no other route takes; for `App::default_service`.
pub async fn serve(request: HttpRequest, assets: web::Data<Assets>) -> HttpResponse {
    assets.answer(&request)
}

fn content_type(path: &str) -> String {
    let extension = path.rsplit_once('.').map_or("", |(_, extension)| extension);
    let known = match extension {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "txt" => "text/plain; charset=utf-8",
        "wasm" => "application/wasm",
        "json" | "map" => "application/json",
        "webmanifest" => "application/manifest+json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        _ => "application/octet-stream",
    };
    known.into()
}

/// Whether a part of the path ends its first word with a hash, as Trunk names files:
/// `limelight-0f1e2d3c4b5a6978_bg.wasm`.
fn is_hashed(path: &str) -> bool {
    path.split('/').any(|part| {
        part.split('-').skip(1).any(|piece| {
            let digits = piece.bytes().take_while(u8::is_ascii_hexdigit).count();
            let end = piece.as_bytes().get(digits);
            digits >= 12 && matches!(end, None | Some(b'.' | b'_'))
        })
    })
}

#[cfg(test)]
mod tests;
