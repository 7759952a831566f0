//! The upgrade request: what is sent, and what is refused before anything is.

use std::cmp::Reverse;

use data_encoding::{BASE64, HEXLOWER_PERMISSIVE};
use failover_core::directory::{Target, Url};
use thiserror::Error;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;

use crate::config::WsConfig;
use crate::options::Headers;

/// A request for an upgrade, ready to be sent. It holds secrets: no `Debug`.
pub(crate) struct Request {
    bytes: Vec<u8>,
    key: String,
    offered: Vec<String>,
}

impl Request {
    /// The request for this target, with these headers beside those of the upgrade.
    pub(crate) fn new(
        to: &Target,
        config: &WsConfig,
        headers: &Headers,
    ) -> Result<Self, ConfigError> {
        let url = to.url();
        let key = generate_key();
        let mut lines = Vec::from([
            Line::new("Host", host(url)?),
            Line::new("Connection", "Upgrade"),
            Line::new("Upgrade", "websocket"),
            Line::new("Sec-WebSocket-Version", "13"),
            Line::new("Sec-WebSocket-Key", &key),
        ]);
        if let Some(names) = subprotocols(config)? {
            lines.push(Line::new("Sec-WebSocket-Protocol", names));
        }
        if let Some(basic) = basic(url)? {
            lines.push(Line::new("Authorization", basic));
        }
        for (name, value) in headers.iter() {
            check_header(name, value.expose())?;
            lines.retain(|line| !line.name.eq_ignore_ascii_case(name));
            lines.push(Line::new(name, value.expose()));
        }

        let mut bytes = format!("GET {} HTTP/1.1\r\n", path(url)?).into_bytes();
        for Line { name, value } in &lines {
            bytes.extend([name.as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
        }
        bytes.extend(b"\r\n");
        Ok(Self {
            bytes,
            key,
            offered: config.subprotocols.clone(),
        })
    }

    /// As it is sent.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// `Sec-WebSocket-Key`.
    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// The subprotocols in it.
    pub(crate) fn offered(&self) -> &[String] {
        &self.offered
    }
}

/// A header line.
struct Line {
    name: String,
    value: String,
}

impl Line {
    fn new(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            value: value.into(),
        }
    }
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
    /// A size below what can work.
    #[error("`{setting}` is {bytes}: it must be at least {least} bytes")]
    TooSmall {
        /// The setting.
        setting: &'static str,
        /// Its value.
        bytes: usize,
        /// The least that works.
        least: usize,
    },
    /// No frame can be larger than the message that it belongs to.
    #[error(
        "`max_frame_size` is {frame}: it must not be above `max_message_size`, which is {message}"
    )]
    FrameAboveMessage {
        /// `max_frame_size`, in bytes.
        frame: usize,
        /// `max_message_size`, in bytes.
        message: usize,
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

/// The target of the request line: path and query; the authority goes into `Host`, userinfo and
/// fragment nowhere.
fn path(url: &Url) -> Result<String, ConfigError> {
    let path = path_and_query(url);
    match path.bytes().all(|byte| byte.is_ascii_graphic()) {
        true => Ok(path),
        false => Err(ConfigError::Path),
    }
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

fn host(url: &Url) -> Result<String, ConfigError> {
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
    match text.bytes().all(|byte| byte.is_ascii_graphic()) {
        true => Ok(text),
        false => Err(ConfigError::Host),
    }
}

/// The port that a scheme means if a URL names none.
pub(crate) fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "ws" | "http" => Some(80),
        "wss" | "https" => Some(443),
        _ => None,
    }
}

fn subprotocols(config: &WsConfig) -> Result<Option<String>, ConfigError> {
    for name in &config.subprotocols {
        if name.is_empty() || !name.bytes().all(is_token) {
            return Err(ConfigError::Subprotocol { name: name.clone() });
        }
    }
    Ok(match config.subprotocols.is_empty() {
        true => None,
        false => Some(config.subprotocols.join(", ")),
    })
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

fn check_header(name: &str, value: &str) -> Result<(), ConfigError> {
    let known: String = name
        .chars()
        .take_while(|&c| c.is_ascii() && is_token(c as u8))
        .collect();
    if known.is_empty() || known.len() < name.len() {
        return Err(ConfigError::HeaderName { name: known });
    }
    let lower = name.to_ascii_lowercase();
    if RESERVED.contains(&lower.as_str()) || lower.starts_with("sec-websocket-") {
        return Err(ConfigError::ReservedHeader { name: lower });
    }
    // A line break would begin another header.
    match value
        .bytes()
        .all(|byte| byte == b'\t' || byte >= b' ' && byte != 0x7f)
    {
        true => Ok(()),
        false => Err(ConfigError::HeaderValue { name: lower }),
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

    fn built(url: &str) -> String {
        built_with(url, &WsConfig::default())
    }

    fn built_with(url: &str, config: &WsConfig) -> String {
        let to = Target::parse(url).unwrap();
        let request = Request::new(&to, config, &config.headers);
        String::from_utf8(request.unwrap().bytes).unwrap()
    }

    fn refused(url: &str, config: WsConfig) -> ConfigError {
        let to = Target::parse(url).unwrap();
        match Request::new(&to, &config, &config.headers) {
            Ok(_) => panic!("{url} was not refused"),
            Err(error) => error,
        }
    }

    fn values(request: &str, name: &str) -> Vec<String> {
        let lines = request.lines().filter_map(|line| line.split_once(": "));
        lines
            .filter(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.to_owned())
            .collect()
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
            assert!(built(url).starts_with(&format!("GET {line} HTTP/1.1\r\n")));
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
            assert_eq!(values(&built(url), "host"), [host], "{url}");
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
            assert_eq!(values(&built(url), "authorization"), [expected]);
        }
        assert!(values(&built("ws://@a:1"), "authorization").is_empty());
    }

    #[test]
    fn an_authorization_header_wins_over_the_userinfo() {
        let config = WsConfig::default().header("authorization", "Bearer t");
        let request = built_with("ws://joe:pw@a:1", &config);
        assert_eq!(values(&request, "authorization"), ["Bearer t"]);
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
            (
                url,
                header("Cookie", "hunter2\r\nX: y"),
                ConfigError::HeaderValue {
                    name: "cookie".into(),
                },
            ),
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
        ] {
            let error = refused(url, config);
            assert!(!error.to_string().contains("hunter2"));
            assert_eq!(error, problem);
        }
    }
}
