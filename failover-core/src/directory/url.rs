//! The one URL code of the workspace: it splits an endpoint's URL and interprets nothing else.

use std::borrow::Cow;
use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;
use std::string::{String, ToString};

use thiserror::Error;

/// Text that must not be seen: `Debug` and `Display` show `***`.
///
/// ```
/// use failover_core::directory::Secret;
///
/// let password = Secret::new("hunter2");
/// assert_eq!(format!("{password:?} {password}"), "*** ***");
/// assert_eq!(password.expose(), "hunter2");
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Secret(String);

impl Secret {
    /// Takes the text in.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself. Whoever calls this answers for where it goes.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// An endpoint's address: `scheme://[userinfo@]host[:port][rest]` or `scheme:/path`.
///
/// `rest` (path, query, fragment) is kept to the letter for the transport. Scheme and host are
/// normalised (lower case; IPv6 in its canonical form, without brackets), so that two spellings of
/// one address are equal. `Display` and `Debug` hide the userinfo and the query, where credentials
/// travel; [`expose`](Self::expose) prints everything and parses back to an equal value.
///
/// ```
/// use failover_core::directory::Url;
///
/// let url: Url = "WSS://joe:secret@Example.org:8443/stream?token=t".parse()?;
/// assert_eq!(url.scheme(), "wss");
/// assert_eq!((url.host(), url.port()), ("example.org", Some(8443)));
/// assert_eq!(url.rest(), "/stream?token=t");
/// assert_eq!(url.to_string(), "wss://***@example.org:8443/stream?***");
/// assert_eq!(url.expose(), "wss://joe:secret@example.org:8443/stream?token=t");
/// # Ok::<(), failover_core::directory::UrlError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Url {
    scheme: String,
    userinfo: Option<Secret>,
    host: String,
    port: Option<u16>,
    rest: String,
}

/// The longest URL that is accepted, in bytes.
pub const MAX_URL: usize = 8 * 1024;

impl Url {
    /// The scheme, in lower case.
    #[must_use]
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// What stood before the `@`, as written (percent-encoding and all).
    #[must_use]
    pub fn userinfo(&self) -> Option<&Secret> {
        self.userinfo.as_ref()
    }

    /// The host: a name or an address, IPv6 without brackets. Empty for `scheme:/path`.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, if one was given. Only the transport knows its default.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// Path, query and fragment, to the letter.
    #[must_use]
    pub fn rest(&self) -> &str {
        &self.rest
    }

    /// `host:port` (IPv6 in brackets), or the host alone, or the path of a `scheme:/path` as it is shown.
    #[must_use]
    pub fn authority(&self) -> String {
        if self.host.is_empty() {
            return self.shown_path().into_owned();
        }
        let host = if self.host.contains(':') {
            format!("[{}]", self.host)
        } else {
            self.host.clone()
        };
        match self.port {
            Some(port) => format!("{host}:{port}"),
            None => host,
        }
    }

    /// The same without userinfo.
    #[must_use]
    pub fn without_userinfo(mut self) -> Self {
        self.userinfo = None;
        self
    }

    /// The whole URL, credentials included.
    #[must_use]
    pub fn expose(&self) -> String {
        self.spell(self.userinfo.as_ref().map(Secret::expose), &self.rest)
    }

    fn path(&self) -> &str {
        let end = self.rest.find(['?', '#']).unwrap_or(self.rest.len());
        &self.rest[..end]
    }

    /// `tcp:/joe:secret@host` lacks a slash: its path has a password, as that of a Unix socket has not.
    fn shown_path(&self) -> Cow<'_, str> {
        let path = self.path();
        if !self.host.is_empty() || self.scheme == "unix" {
            return path.into();
        }
        match path.rfind('@').max(path.rfind("%40")) {
            Some(at) => format!("/{HIDDEN}{}", &path[at..]).into(),
            None => path.into(),
        }
    }

    fn spell(&self, userinfo: Option<&str>, rest: &str) -> String {
        if self.host.is_empty() {
            return format!("{}:{rest}", self.scheme);
        }
        let authority = self.authority();
        match userinfo {
            Some(userinfo) => format!("{}://{userinfo}@{authority}{rest}", self.scheme),
            None => format!("{}://{authority}{rest}", self.scheme),
        }
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.shown_path();
        let hidden = if self.path().len() < self.rest.len() {
            "?***"
        } else {
            ""
        };
        let userinfo = self.userinfo.as_ref().map(|_| "***");
        f.write_str(&self.spell(userinfo, &format!("{path}{hidden}")))
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a text is not an endpoint's URL. The text is quoted without its credentials.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{input}` is not an endpoint's URL: {problem}")]
pub struct UrlError {
    input: String,
    /// What is wrong with it.
    pub problem: UrlProblem,
}

impl UrlError {
    /// The text, without what may be its credentials.
    #[must_use]
    pub fn input(&self) -> &str {
        &self.input
    }

    /// The same error without any of the text: for a piece of a list that was split at commas, when
    /// a piece after it holds an `@`. It may be the first half of a password.
    ///
    /// ```
    /// use failover_core::directory::Url;
    ///
    /// let error = "tcp://joe:hun".parse::<Url>().unwrap_err().without_text();
    /// assert!(!error.to_string().contains("hun"));
    /// ```
    #[must_use]
    pub fn without_text(mut self) -> Self {
        self.input = HIDDEN.to_string();
        if let UrlProblem::Port { port } = &mut self.problem {
            *port = HIDDEN.to_string();
        }
        self
    }
}

const HIDDEN: &str = "***";

/// What is wrong with a URL, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum UrlProblem {
    /// Longer than [`MAX_URL`].
    #[error("it is longer than {MAX_URL} bytes")]
    TooLong,
    /// A space or control character.
    #[error("it holds a space or control character at byte {at}: percent-encode it")]
    Character {
        /// Where.
        at: usize,
    },
    /// No scheme, or not a well-formed one.
    #[error("it has no scheme: write `tcp://host:port`, `tls://…`, `ws://…` or `wss://…`")]
    Scheme,
    /// Neither `//` nor `/` follows the scheme.
    #[error("after the scheme comes `//host:port` (or `/path` for a local socket)")]
    Slashes,
    /// The host is missing.
    #[error("the host is missing: write `scheme://host:port`")]
    Host,
    /// Brackets that hold no IPv6 address, or an IPv6 address without brackets.
    #[error("an IPv6 address stands in brackets, as in `tcp://[::1]:4222`")]
    Ipv6,
    /// Not a port.
    #[error("the port is `{port}`, it must be a number from 1 to 65535")]
    Port {
        /// What stands in its place, at most 20 characters of it.
        port: String,
    },
    /// A `/`, `?` or `#` inside the userinfo.
    #[error("its userinfo holds a `/`, `?` or `#`: percent-encode it")]
    Userinfo,
}

impl FromStr for Url {
    type Err = UrlError;

    fn from_str(input: &str) -> Result<Self, UrlError> {
        split(input).map_err(|problem| UrlError {
            input: redact(input),
            problem,
        })
    }
}

fn split(input: &str) -> Result<Url, UrlProblem> {
    if input.len() > MAX_URL {
        return Err(UrlProblem::TooLong);
    }
    if let Some(at) = input.find(|c: char| c.is_control() || c.is_whitespace()) {
        return Err(UrlProblem::Character { at });
    }
    let (scheme, rest) = input.split_once(':').ok_or(UrlProblem::Scheme)?;
    if !is_scheme(scheme) {
        return Err(UrlProblem::Scheme);
    }
    let scheme = scheme.to_ascii_lowercase();
    let Some(rest) = rest.strip_prefix("//") else {
        if !rest.starts_with('/') {
            return Err(UrlProblem::Slashes);
        }
        return Ok(Url {
            scheme,
            userinfo: None,
            host: String::new(),
            port: None,
            rest: rest.to_string(),
        });
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(end);
    let (userinfo, host_port) = match authority.rsplit_once('@') {
        Some((userinfo, host_port)) => (Some(Secret::new(userinfo)), host_port),
        None => (None, authority),
    };
    let (host, port) = split_authority(host_port).map_err(|problem| {
        // `tcp://joe:p/ss@host:1`: what looks like a host is a piece of a password.
        if rest.contains('@') {
            UrlProblem::Userinfo
        } else {
            problem
        }
    })?;
    Ok(Url {
        scheme,
        userinfo,
        host,
        port,
        rest: rest.to_string(),
    })
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
}

fn split_authority(text: &str) -> Result<(String, Option<u16>), UrlProblem> {
    if let Some(rest) = text.strip_prefix('[') {
        let (address, port) = rest.split_once(']').ok_or(UrlProblem::Ipv6)?;
        return Ok((canonical_ipv6(address)?, parse_port(port)?));
    }
    let (host, port) = match text.find(':') {
        Some(at) => text.split_at(at),
        None => (text, ""),
    };
    if port.len() > 1 && port[1..].contains(':') {
        return Err(UrlProblem::Ipv6);
    }
    if host.is_empty() {
        return Err(UrlProblem::Host);
    }
    if host.contains(['[', ']', '\\', '<', '>', '"', '^', '`', '{', '|', '}']) {
        return Err(UrlProblem::Host);
    }
    Ok((host.to_lowercase(), parse_port(port)?))
}

/// The canonical form of an IPv6 address; a zone (`%eth0`) stays as it is.
fn canonical_ipv6(text: &str) -> Result<String, UrlProblem> {
    let (address, zone) = match text.find('%') {
        Some(at) => text.split_at(at),
        None => (text, ""),
    };
    if zone.contains(['[', ']', '@']) || zone == "%" {
        return Err(UrlProblem::Ipv6);
    }
    let address: Ipv6Addr = address.parse().map_err(|_| UrlProblem::Ipv6)?;
    Ok(format!("{address}{zone}"))
}

/// `""` or `":4222"`.
fn parse_port(text: &str) -> Result<Option<u16>, UrlProblem> {
    if text.is_empty() {
        return Ok(None);
    }
    let wrong = |port: &str| UrlProblem::Port {
        // `tcp://joe:secret%40host`: what looks like a port is a password.
        port: match port.contains('%') {
            true => HIDDEN.to_string(),
            false => port.chars().take(20).collect(),
        },
    };
    let digits = text.strip_prefix(':').ok_or_else(|| wrong(text))?;
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(wrong(digits));
    }
    match digits.parse() {
        Ok(0) | Err(_) => Err(wrong(digits)),
        Ok(port) => Ok(Some(port)),
    }
}

/// A name that somebody gave a server, without login and query, should it be a URL or hold a login
/// (`user:password@`). One that hides them already stays.
pub(crate) fn name_without_login(name: &str) -> Cow<'_, str> {
    let colon = name.find(':');
    let at = name.rfind('@').max(name.rfind("%40"));
    match name.contains("://") || colon.is_some_and(|colon| Some(colon) < at) {
        true => without_login(name).into(),
        false => name.into(),
    }
}

/// A text that may be a URL, without what may be its credentials: everything between the scheme
/// and the *last* `@`, and everything after a `?`. Of a `?` before the last `@` nobody can say
/// whether it begins a query or belongs to a password: then all of it is hidden.
fn without_login(input: &str) -> String {
    let scheme = input.find("://").filter(|&at| is_scheme(&input[..at]));
    let start = scheme.map_or(0, |at| at + 3);
    let (scheme, rest) = input.split_at(start);
    let last = rest.rfind('@').max(rest.rfind("%40"));
    let query = rest.find('?');
    let visible = match (last, query) {
        (Some(at), Some(query)) if query < at => HIDDEN.to_string(),
        (Some(at), _) => format!("***{}", &rest[at..]),
        (None, _) => rest.to_string(),
    };
    let visible = match visible.find('?') {
        Some(at) if is_hidden(&visible[at + 1..]) => visible,
        Some(at) => format!("{}?***", &visible[..at]),
        None => visible,
    };
    format!("{scheme}{visible}")
}

/// Whether this query is hidden, perhaps with a number behind it: of two URLs that look alike.
fn is_hidden(query: &str) -> bool {
    let behind = query.strip_prefix(HIDDEN);
    behind.is_some_and(|behind| behind.is_empty() || behind.starts_with(" ("))
}

/// The same for an error, which is short.
fn redact(input: &str) -> String {
    without_login(input).chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(input: &str) -> UrlProblem {
        input.parse::<Url>().unwrap_err().problem
    }

    #[test]
    fn spellings_of_one_address_are_equal() {
        let spelled: Url = "TCP://[0:0:0:0:0:0:0:1]:4222".parse().unwrap();
        assert_eq!(spelled, "tcp://[::1]:4222".parse().unwrap());
        assert_eq!(spelled.authority(), "[::1]:4222");
    }

    #[test]
    fn a_local_socket_has_a_path_and_no_host() {
        let url: Url = "unix:/run/nats.sock".parse().unwrap();
        assert_eq!(
            (url.host(), url.port(), url.rest()),
            ("", None, "/run/nats.sock")
        );
        assert_eq!(url.expose(), "unix:/run/nats.sock");
    }

    #[test]
    fn each_mistake_is_named() {
        assert_eq!(problem("127.0.0.1:4222"), UrlProblem::Scheme);
        assert_eq!(problem("localhost:4222"), UrlProblem::Slashes);
        assert_eq!(problem("tcp://"), UrlProblem::Host);
        assert_eq!(problem("tcp://:4222"), UrlProblem::Host);
        for text in ["70000", "0", "", "+1"] {
            let port = text.to_string();
            assert_eq!(
                problem(&format!("tcp://a:{text}")),
                UrlProblem::Port { port }
            );
        }
        assert_eq!(problem("tcp://::1:4222"), UrlProblem::Ipv6);
        assert_eq!(problem("tcp://[::1:4222"), UrlProblem::Ipv6);
        assert_eq!(problem("tcp://a b:1"), UrlProblem::Character { at: 7 });
        assert_eq!(
            problem(&format!("tcp://{}:1", "a".repeat(MAX_URL))),
            UrlProblem::TooLong
        );
    }

    #[test]
    fn a_name_that_is_a_url_is_without_its_login() {
        for (name, shown) in [
            ("primary", "primary"),
            ("cache@eu (2)", "cache@eu (2)"),
            ("a:4222", "a:4222"),
            ("tcp://a:1", "tcp://a:1"),
            ("tcp://***@a:1 (2)", "tcp://***@a:1 (2)"),
            ("tcp://joe:secret@a:1", "tcp://***@a:1"),
            ("wss://a/?token=secret", "wss://a/?***"),
            ("wss://a/?*** (2)", "wss://a/?*** (2)"),
            ("wss://a/?***secret", "wss://a/?***"),
            ("joe:secret@a", "***@a"),
            ("joe:secret%40a", "***%40a"),
        ] {
            assert_eq!(name_without_login(name), shown);
        }
    }

    #[test]
    fn no_error_shows_credentials() {
        for input in [
            "tcp://joe:hunter2@a:70000",
            "tcp://joe:hun/ter2@a:1",
            "tcp://joe:hun@ter2@a:x",
            "joe:hunter2@a:1",
            "tcp://joe:hunt er2@a:1",
            "wss://a:x/?token=hunter2",
            "wss://a:x/?user=joe@b&token=hunter2",
            "tcp://joe:p?ss@a:x/?user=joe@b&token=hunter2",
            "tcp://joe:hunter2%40a:1",
            "joe:hunter2@a://ter2@b:2",
        ] {
            let error = input.parse::<Url>().unwrap_err();
            let shown = format!("{error} {error:?}");
            for secret in ["hunter2", "ter2", "hun"] {
                assert!(!shown.contains(secret), "{input}: {shown}");
            }
        }
    }

    #[test]
    fn a_password_behind_a_single_slash_is_not_shown() {
        let url: Url = "tcp:/joe:hunter2@h:1?token=hunter2".parse().unwrap();
        assert_eq!(url.to_string(), "tcp:/***@h:1?***");
        assert_eq!(url.authority(), "/***@h:1");
        assert_eq!(url.expose(), "tcp:/joe:hunter2@h:1?token=hunter2");
        let socket: Url = "unix:/run/nats@1.sock".parse().unwrap();
        assert_eq!(socket.to_string(), "unix:/run/nats@1.sock");
    }
}
