//! Where a request comes from: `Origin`, `Sec-Fetch-Site` and `Host`.
//!
//! A cookie, and even more so a server that asks nobody who they are, is open to any page that the
//! user's browser shows, unless the page's origin is looked at. A server on loopback is also open to
//! DNS rebinding, unless the name it is called by is.

use std::net::IpAddr;

use actix_web::{
    HttpRequest,
    http::{Uri, header, uri::Authority},
};

use crate::{config::Config, error::ApiError};

/// Which origins and host names are taken.
#[derive(Clone, Debug)]
pub struct Origins {
    origins: Vec<String>,
    hosts: Vec<String>,
    loopback: bool,
}

impl Origins {
    /// As configured.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        Self {
            origins: config
                .cors_origins
                .iter()
                .map(|origin| origin.trim_end_matches('/').to_ascii_lowercase())
                .collect(),
            hosts: config
                .allowed_hosts
                .iter()
                .map(|host| host.to_ascii_lowercase())
                .collect(),
            loopback: config.listen.ip().is_loopback(),
        }
    }

    /// Refuses an `Origin` that is there and foreign.
    ///
    /// # Errors
    /// 403 `origin_refused`.
    pub fn check_when_present(&self, request: &HttpRequest) -> Result<(), ApiError> {
        match text(request, &header::ORIGIN) {
            Some(origin) => self.check(request, origin),
            None => Ok(()),
        }
    }

    /// Calls for proof that the request comes from a page of ours or of an allowed origin.
    ///
    /// # Errors
    /// 403 `origin_refused`.
    pub fn check_present(&self, request: &HttpRequest) -> Result<(), ApiError> {
        match (text(request, &header::ORIGIN), fetch_site(request)) {
            (Some(origin), _) => self.check(request, origin),
            (None, Some("same-origin")) => Ok(()),
            (None, _) => Err(refused("the request does not say which page it comes from")),
        }
    }

    /// For a server that asks nobody who they are: programs are let in, foreign pages are not.
    ///
    /// # Errors
    /// 403 `origin_refused`.
    pub fn check_ambient(&self, request: &HttpRequest, upgrade: bool) -> Result<(), ApiError> {
        if request.method().is_safe() && !upgrade {
            return Ok(());
        }
        match (text(request, &header::ORIGIN), fetch_site(request)) {
            (Some(origin), _) => self.check(request, origin),
            (None, None | Some("same-origin" | "none")) => Ok(()),
            (None, Some(_)) => Err(refused("the request comes from another site's page")),
        }
    }

    /// Refuses a name that only DNS rebinding gives to a server on loopback.
    ///
    /// # Errors
    /// 403 `host_refused`.
    pub fn check_host(&self, request: &HttpRequest) -> Result<(), ApiError> {
        if !self.loopback {
            return Ok(());
        }
        let host = host(request).unwrap_or_default().to_ascii_lowercase();
        let name = without_port(&host);
        let known = is_loopback_name(name) || self.hosts.iter().any(|allowed| allowed == name);
        if known {
            return Ok(());
        }
        Err(ApiError::forbidden(
            "host_refused",
            format!("a server on a loopback address is not called {host:?}; see --allowed-host"),
        ))
    }

    fn check(&self, request: &HttpRequest, origin: &str) -> Result<(), ApiError> {
        let origin = origin.to_ascii_lowercase();
        let same =
            host(request).is_some_and(|host| names_same(&origin, &host.to_ascii_lowercase()));
        if same || self.origins.contains(&origin) {
            return Ok(());
        }
        Err(refused(&format!(
            "pages of {origin} are not let in; see --cors-origin"
        )))
    }
}

fn refused(detail: &str) -> ApiError {
    ApiError::forbidden("origin_refused", detail)
}

/// Whether the request asks to become a WebSocket.
#[must_use]
pub fn is_websocket_upgrade(request: &HttpRequest) -> bool {
    text(request, &header::UPGRADE).is_some_and(|value| value.eq_ignore_ascii_case("websocket"))
}

fn text<'a>(request: &'a HttpRequest, name: &header::HeaderName) -> Option<&'a str> {
    // A value that is no text is as foreign as `null`.
    let value = request.headers().get(name)?;
    Some(value.to_str().unwrap_or("null"))
}

fn fetch_site(request: &HttpRequest) -> Option<&str> {
    text(request, &header::HeaderName::from_static("sec-fetch-site"))
}

/// `Host`, or `:authority` of HTTP/2. Never a forwarded one, which anybody can write.
fn host(request: &HttpRequest) -> Option<&str> {
    text(request, &header::HOST).or_else(|| request.uri().authority().map(Authority::as_str))
}

/// Whether an origin is the one that `host` serves, whatever the scheme (a proxy may add TLS).
fn names_same(origin: &str, host: &str) -> bool {
    let Some((scheme, authority)) = origin.split_once("://") else {
        return false;
    };
    let default_port = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => return false,
    };
    let bare = |text: &str| text.strip_suffix(default_port).unwrap_or(text).to_owned();
    !authority.is_empty() && bare(authority) == bare(host)
}

fn without_port(host: &str) -> &str {
    if host.starts_with('[') {
        return host.find(']').map_or(host, |end| &host[..=end]);
    }
    host.rsplit_once(':').map_or(host, |(name, _)| name)
}

fn is_loopback_name(name: &str) -> bool {
    let name = name.trim_end_matches('.');
    let address = name.trim_start_matches('[').trim_end_matches(']');
    name == "localhost"
        || name.ends_with(".localhost")
        || address.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Whether `text` is an origin: a scheme, a host and maybe a port, nothing more.
#[must_use]
pub fn is_origin(text: &str) -> bool {
    let text = text.strip_suffix('/').unwrap_or(text);
    text.parse::<Uri>().is_ok_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https"))
            && uri
                .authority()
                .is_some_and(|authority| !authority.as_str().contains('@'))
            && uri.path_and_query().is_none_or(|path| path.as_str() == "/")
            && text.matches('/').count() == 2
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_ours_when_it_names_our_host_and_port() {
        for (origin, host, same) in [
            ("http://127.0.0.1:8080", "127.0.0.1:8080", true),
            ("https://lime.example", "lime.example", true),
            ("https://lime.example", "lime.example:443", true),
            ("http://lime.example:80", "lime.example", true),
            ("http://[::1]:8080", "[::1]:8080", true),
            ("http://127.0.0.1:8081", "127.0.0.1:8080", false),
            ("https://lime.example", "lime.example:8443", false),
            ("null", "null", false),
            ("file://", "", false),
            ("https://evil.example", "lime.example", false),
        ] {
            assert_eq!(names_same(origin, host), same, "{origin} at {host}");
        }
    }

    #[test]
    fn loopback_has_few_names() {
        for name in [
            "localhost",
            "dash.localhost",
            "127.0.0.1",
            "127.9.9.9",
            "[::1]",
        ] {
            assert!(is_loopback_name(name), "{name}");
        }
        for name in [
            "",
            "evil.example",
            "localhost.evil.example",
            "10.0.0.1",
            "127.0.0.1.evil.example",
        ] {
            assert!(!is_loopback_name(name), "{name}");
        }
        assert_eq!(without_port("[::1]:8080"), "[::1]");
        assert_eq!(without_port("localhost:8080"), "localhost");
        assert_eq!(without_port("localhost"), "localhost");
    }

    #[test]
    fn an_origin_has_no_path() {
        for text in ["http://a.example", "https://a.example:8443/"] {
            assert!(is_origin(text), "{text}");
        }
        for text in [
            "*",
            "a.example",
            "ws://a.example",
            "http://a.example/x",
            "http://u@a.example",
            "http://a.example?x",
        ] {
            assert!(!is_origin(text), "{text}");
        }
    }
}
