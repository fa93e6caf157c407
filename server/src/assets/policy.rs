//! The page's content security policy.
//!
//! Trunk starts the program from an inline script; its hash lets in that very text and no other.

use base64::{Engine, engine::general_purpose::STANDARD};
use sha2::{Digest, Sha256};

/// The policy for a page: its own files, wasm, its own inline scripts and styles, and WebSockets.
pub(super) fn of_page(html: &str) -> String {
    let scripts = hashes(html, "script");
    let styles = hashes(html, "style");
    [
        "default-src 'self'".to_owned(),
        format!("script-src 'self' 'wasm-unsafe-eval'{scripts}"),
        format!("style-src 'self'{styles}"),
        // Positions and sizes are set as style attributes.
        "style-src-attr 'unsafe-inline'".to_owned(),
        "img-src 'self' data: blob:".to_owned(),
        "connect-src 'self' ws: wss:".to_owned(),
        "object-src 'none'".to_owned(),
        "base-uri 'self'".to_owned(),
        "form-action 'self'".to_owned(),
        "frame-ancestors 'none'".to_owned(),
    ]
    .join("; ")
}

/// ` 'sha256-…'` of the text in every `<tag …>text</tag>` that has any.
fn hashes(html: &str, tag: &str) -> String {
    let (open, close) = (format!("<{tag}"), format!("</{tag}"));
    let mut found = String::new();
    let mut rest = html;
    while let Some(start) = rest.find(&open) {
        rest = &rest[start + open.len()..];
        if !rest.starts_with(['>', ' ', '\n', '\t', '\r']) {
            continue;
        }
        let Some((_, inside)) = rest.split_once('>') else {
            break;
        };
        let Some((text, after)) = inside.split_once(&close) else {
            break;
        };
        if !text.is_empty() {
            found.push_str(" 'sha256-");
            found.push_str(&STANDARD.encode(Sha256::digest(text)));
            found.push('\'');
        }
        rest = after;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_inline_texts_are_hashed() {
        let html = r#"<script src="a.js"></script><scripture>x</scripture>
            <script type="module">alert(1)</script><style>p{}</style>"#;
        let policy = of_page(html);
        // printf 'alert(1)' | openssl dgst -sha256 -binary | base64
        assert!(policy.contains(
            "script-src 'self' 'wasm-unsafe-eval' 'sha256-bhHHL3z2vDgxUt0W3dWQOrprscmda2Y5pLsLg4GF+pI=';"
        ), "{policy}");
        assert_eq!(policy.matches("'sha256-").count(), 2);
        assert!(!policy.contains("script-src 'self' 'unsafe-inline'"));
    }

    #[test]
    fn a_page_without_inline_scripts_lets_none_in() {
        assert!(of_page("<p>").contains("script-src 'self' 'wasm-unsafe-eval';"));
    }
}
