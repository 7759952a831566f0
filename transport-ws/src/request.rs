//! The upgrade request: what is sent, and what is refused before anything is.

use std::cmp::Reverse;

use data_encoding::{BASE64, HEXLOWER_PERMISSIVE};
use failover_core::directory::{Target, Url};
use thiserror::Error;
use tokio_tungstenite::tungstenite::handshake::client::{Request, generate_key};
use tokio_tungstenite::tungstenite::http::uri::{PathAndQuery, Uri};
use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue, header};

use crate::config::{Headers, WsConfig};

/// The request for this target.
pub(crate) fn build(
    to: &Target,
    config: &WsConfig,
    headers: &Headers,
) -> Result<Request, ConfigError> {
    check_sizes(config)?;
    let url = to.url();
    let mut request = Request::new(());
    *request.uri_mut() = uri(url)?;

    let map = request.headers_mut();
    map.insert(header::HOST, host(url)?);
    map.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    map.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    map.insert(
        header::SEC_WEBSOCKET_VERSION,
        HeaderValue::from_static("13"),
    );
    map.insert(
        header::SEC_WEBSOCKET_KEY,
        HeaderValue::try_from(generate_key()).map_err(|_| invalid("Sec-WebSocket-Key"))?,
    );
    if let Some(names) = subprotocols(config)? {
        map.insert(header::SEC_WEBSOCKET_PROTOCOL, names);
    }
    if let Some(basic) = basic(url)? {
        map.insert(header::AUTHORIZATION, secret("Authorization", &basic)?);
    }
    for (name, value) in headers.iter() {
        map.insert(header_name(name)?, secret(name, value.expose())?);
    }
    Ok(request)
}

/// Why a request could not be sent: a mistake in the configuration, found by `check`.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// Not a header's name.
    #[error("`{name}…` is no header name: letters, digits and `-`")]
    HeaderName {
        /// As much of it as is well-formed.
        name: String,
    },
    /// A header's value with characters that cannot be sent, such as a line break.
    #[error("the value of header `{name}` holds characters that no header may hold")]
    HeaderValue {
        /// The header's name.
        name: String,
    },
    /// A header that the upgrade itself sets.
    #[error("header `{name}` belongs to the upgrade: subprotocols have a setting of their own")]
    ReservedHeader {
        /// The header's name.
        name: String,
    },
    /// Not a subprotocol's name.
    #[error("`{name}` is no subprotocol name: it must be a token, as in `v12.stomp`")]
    Subprotocol {
        /// The name.
        name: String,
    },
    /// Path or query with characters that cannot be sent.
    #[error("path or query of the URL hold characters that must be percent-encoded")]
    Path,
    /// A host that cannot stand in a header.
    #[error("the host must be written in ASCII (an international name as `xn--…`)")]
    Host,
    /// A user name with a colon in it, which HTTP's basic authentication cannot carry.
    #[error("the user name in the URL holds a `:`")]
    UserName,
    /// A size of 0.
    #[error("`{setting}` must be above 0")]
    Zero {
        /// The setting.
        setting: &'static str,
    },
}

/// What must not be shown although a server may echo it: userinfo, query, header values, and
/// their parts. The longest first. Texts below 4 bytes would hide half of any message.
pub(crate) fn secrets(to: &Target, headers: &Headers) -> Vec<String> {
    let url = to.url();
    let mut secrets = Vec::new();
    if let Some(userinfo) = url.userinfo() {
        let (user, password) = split_userinfo(userinfo.expose());
        secrets.push(userinfo.expose().to_owned());
        secrets.push(String::from_utf8_lossy(&user).into_owned());
        secrets.push(String::from_utf8_lossy(&password).into_owned());
        secrets.push(BASE64.encode(&[user, password].join(&b':')));
    }
    if let Some((_, query)) = path_and_query(url).split_once('?') {
        secrets.push(query.to_owned());
        for value in query.split('&').filter_map(|pair| pair.split_once('=')) {
            secrets.push(value.1.to_owned());
            secrets.push(String::from_utf8_lossy(&percent_decode(value.1)).into_owned());
        }
    }
    for (_, value) in headers.iter() {
        secrets.push(value.expose().to_owned());
        // `Bearer hunter2`: the word after the scheme, too.
        secrets.extend(value.expose().split_whitespace().map(str::to_owned));
    }
    secrets.retain(|secret| secret.len() >= 4);
    secrets.sort_by_key(|secret| Reverse(secret.len()));
    secrets
}

fn check_sizes(config: &WsConfig) -> Result<(), ConfigError> {
    let sizes = [
        ("max_message_size", config.max_message_size),
        ("max_frame_size", config.max_frame_size),
        ("max_write_size", config.max_write_size),
    ];
    match sizes.into_iter().find(|&(_, bytes)| bytes == 0) {
        Some((setting, _)) => Err(ConfigError::Zero { setting }),
        None => Ok(()),
    }
}

/// tungstenite looks at the scheme, and sends path and query only: the authority goes into
/// `Host`, the userinfo never into the request line.
fn uri(url: &Url) -> Result<Uri, ConfigError> {
    let rest = path_and_query(url);
    if !rest.is_ascii() {
        return Err(ConfigError::Path);
    }
    let rest = PathAndQuery::try_from(rest).map_err(|_| ConfigError::Path)?;
    Uri::builder()
        .scheme("ws")
        .authority("localhost")
        .path_and_query(rest)
        .build()
        .map_err(|_| ConfigError::Path)
}

fn path_and_query(url: &Url) -> String {
    if url.host().is_empty() {
        return "/".to_owned();
    }
    let rest = url.rest();
    let rest = &rest[..rest.find('#').unwrap_or(rest.len())];
    if rest.starts_with('/') {
        rest.to_owned()
    } else {
        format!("/{rest}")
    }
}

fn host(url: &Url) -> Result<HeaderValue, ConfigError> {
    // The zone of a link-local address means something on this machine only.
    let host = match url.host().split_once('%') {
        Some((address, _zone)) if address.contains(':') => address,
        _ => url.host(),
    };
    let host = match host {
        "" => "localhost".to_owned(),
        address if address.contains(':') => format!("[{address}]"),
        name => name.to_owned(),
    };
    let text = match url.port() {
        Some(port) if default_port(url.scheme()) != Some(port) => format!("{host}:{port}"),
        _ => host,
    };
    if !text.is_ascii() {
        return Err(ConfigError::Host);
    }
    HeaderValue::try_from(text).map_err(|_| ConfigError::Host)
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "ws" | "http" => Some(80),
        "wss" | "https" => Some(443),
        _ => None,
    }
}

fn subprotocols(config: &WsConfig) -> Result<Option<HeaderValue>, ConfigError> {
    for name in &config.subprotocols {
        if name.is_empty() || !name.bytes().all(is_token) {
            return Err(ConfigError::Subprotocol { name: name.clone() });
        }
    }
    if config.subprotocols.is_empty() {
        return Ok(None);
    }
    HeaderValue::try_from(config.subprotocols.join(", "))
        .map(Some)
        .map_err(|_| invalid("Sec-WebSocket-Protocol"))
}

/// `Basic …`, if the URL holds userinfo.
fn basic(url: &Url) -> Result<Option<String>, ConfigError> {
    let Some(userinfo) = url.userinfo().filter(|text| !text.expose().is_empty()) else {
        return Ok(None);
    };
    let (user, password) = split_userinfo(userinfo.expose());
    if user.contains(&b':') {
        return Err(ConfigError::UserName);
    }
    let pair = [user, password].join(&b':');
    Ok(Some(format!("Basic {}", BASE64.encode(&pair))))
}

fn split_userinfo(text: &str) -> (Vec<u8>, Vec<u8>) {
    let (user, password) = text.split_once(':').unwrap_or((text, ""));
    (percent_decode(user), percent_decode(password))
}

/// A `%` that begins no pair of hexadecimal digits stands for itself.
fn percent_decode(text: &str) -> Vec<u8> {
    let mut rest = text.as_bytes();
    let mut decoded = Vec::with_capacity(rest.len());
    while let [first, tail @ ..] = rest {
        let escaped = match tail {
            [high, low, ..] if *first == b'%' => HEXLOWER_PERMISSIVE.decode(&[*high, *low]).ok(),
            _ => None,
        };
        match escaped {
            Some(byte) => {
                decoded.extend(byte);
                rest = &tail[2..];
            }
            None => {
                decoded.push(*first);
                rest = tail;
            }
        }
    }
    decoded
}

fn header_name(name: &str) -> Result<HeaderName, ConfigError> {
    let parsed = HeaderName::try_from(name).map_err(|_| ConfigError::HeaderName {
        name: name
            .chars()
            .take_while(|&c| c.is_ascii() && is_token(c as u8))
            .collect(),
    })?;
    let lower = parsed.as_str();
    if RESERVED.contains(&lower) || lower.starts_with("sec-websocket-") {
        return Err(ConfigError::ReservedHeader {
            name: lower.to_owned(),
        });
    }
    Ok(parsed)
}

fn secret(name: &str, value: &str) -> Result<HeaderValue, ConfigError> {
    let mut value = HeaderValue::try_from(value).map_err(|_| invalid(name))?;
    value.set_sensitive(true);
    // tungstenite writes `Host` as text and refuses anything else.
    if name.eq_ignore_ascii_case("host") && value.to_str().is_err() {
        return Err(invalid(name));
    }
    Ok(value)
}

fn invalid(name: &str) -> ConfigError {
    ConfigError::HeaderValue {
        name: name.to_owned(),
    }
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Headers that frame the upgrade, beside all `Sec-WebSocket-…`.
const RESERVED: [&str; 4] = [
    "connection",
    "upgrade",
    "content-length",
    "transfer-encoding",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn built(url: &str) -> Request {
        let config = WsConfig::default();
        build(&Target::parse(url).unwrap(), &config, &config.headers).unwrap()
    }

    fn refused(url: &str, config: WsConfig) -> ConfigError {
        build(&Target::parse(url).unwrap(), &config, &config.headers).unwrap_err()
    }

    #[test]
    fn the_request_line_holds_path_and_query_and_nothing_else() {
        for (url, line) in [
            ("ws://a:1", "/"),
            ("ws://a:1/", "/"),
            ("ws://a:1?x=y", "/?x=y"),
            ("ws://joe:pw@a:1/s?x=y#frag", "/s?x=y"),
            ("ws://a:1#frag", "/"),
            ("ws+unix:/run/x.sock", "/"),
        ] {
            let request = built(url);
            assert_eq!(request.uri().path_and_query().unwrap().as_str(), line);
        }
    }

    #[test]
    fn host_names_the_port_unless_it_is_the_scheme_s_own() {
        for (url, host) in [
            ("ws://a:80/", "a"),
            ("ws://a:443/", "a:443"),
            ("wss://a:443/", "a"),
            ("wss://a:8443/", "a:8443"),
            ("wss://a/", "a"),
            ("ws://[::1]:81/", "[::1]:81"),
            ("ws://[fe80::1%eth0]:80/", "[fe80::1]"),
            ("stomp+ws://a:80/", "a:80"),
        ] {
            assert_eq!(built(url).headers()["host"], host, "{url}");
        }
    }

    #[test]
    fn userinfo_is_decoded_into_basic_authorization() {
        for (url, basic) in [
            ("ws://joe:hunter2@a:1", "joe:hunter2"),
            ("ws://joe@a:1", "joe:"),
            ("ws://j%6Fe:a%3ab%40%2F%zz%@a:1", "joe:a:b@/%zz%"),
        ] {
            let expected = format!("Basic {}", BASE64.encode(basic.as_bytes()));
            assert_eq!(built(url).headers()["authorization"], expected);
        }
        assert!(!built("ws://@a:1").headers().contains_key("authorization"));
    }

    #[test]
    fn an_authorization_header_wins_over_the_userinfo() {
        let config = WsConfig::default().header("authorization", "Bearer t");
        let target = Target::parse("ws://joe:pw@a:1").unwrap();
        let request = build(&target, &config, &config.headers).unwrap();
        assert_eq!(request.headers()["authorization"], "Bearer t");
        assert_eq!(request.headers().get_all("authorization").iter().count(), 1);
    }

    #[test]
    fn what_cannot_be_sent_is_refused_without_showing_values() {
        let header = |name: &str, value: &str| WsConfig::default().header(name, value);
        let url = "ws://a:1";
        for (url, config, problem) in [
            (
                url,
                header("Authorization: Bearer hunter2", ""),
                ConfigError::HeaderName {
                    name: "Authorization".into(),
                },
            ),
            (url, header("Cookie", "hunter2\r\nX: y"), invalid("Cookie")),
            (
                url,
                header("Sec-WebSocket-Extensions", "x"),
                ConfigError::ReservedHeader {
                    name: "sec-websocket-extensions".into(),
                },
            ),
            (
                url,
                WsConfig::default().subprotocols(["a,b"]),
                ConfigError::Subprotocol { name: "a,b".into() },
            ),
            ("ws://a:1/ä", WsConfig::default(), ConfigError::Path),
            ("ws://ä:1/", WsConfig::default(), ConfigError::Host),
            (
                "ws://j%3Ae:x@a:1",
                WsConfig::default(),
                ConfigError::UserName,
            ),
            (
                url,
                WsConfig::default().max_message_size(0),
                ConfigError::Zero {
                    setting: "max_message_size",
                },
            ),
        ] {
            let error = refused(url, config);
            assert!(!error.to_string().contains("hunter2"));
            assert_eq!(error, problem);
        }
    }
}
