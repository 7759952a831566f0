//! Where a redirect leads, and whether it may be followed.

use std::fmt;
use std::sync::Arc;

use failover_core::directory::{Endpoint, Target, Url};

use crate::request::default_port;

/// Why a redirect was not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NotFollowed {
    /// The configuration follows none, or no more in one dial.
    AsConfigured,
    /// There is no `Location`, or none that names a WebSocket server.
    Nowhere,
    /// From a protected connection to one in the clear.
    Downgrade,
    /// The inner dialer does not open connections of that kind (`wss` over plain TCP), or refuses
    /// the address.
    OutOfReach,
}

impl fmt::Display for NotFollowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AsConfigured => "not followed: `follow_redirects` allows no more",
            Self::Nowhere => "not followed: it names no WebSocket server",
            Self::Downgrade => "not followed: it would give up TLS",
            Self::OutOfReach => "not followed: the dialer below cannot go there",
        })
    }
}

/// The next target of a dial.
#[derive(Debug)]
pub(crate) struct Next {
    pub(crate) target: Target,
    pub(crate) server: Server,
}

/// Whose the next target is. Another server gets no credentials: no userinfo, no header, and no
/// option of the endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Server {
    Same,
    Other,
}

/// Whether this status asks for another address.
pub(crate) fn is_redirect(status: u16) -> bool {
    matches!(status, 301 | 302 | 303 | 307 | 308)
}

/// Where this `Location` leads from a target: an absolute URL, `//host/path` or `/path`.
pub(crate) fn next(from: &Target, location: &str) -> Option<Next> {
    let here = from.url();
    if location.starts_with('/') && !location.starts_with("//") {
        return same(from, location);
    }
    let absolute = match location.strip_prefix("//") {
        Some(rest) => format!("{}://{rest}", here.scheme()),
        None => location.to_owned(),
    };
    let url = absolute.parse::<Url>().ok()?;
    let scheme = match url.scheme() {
        "http" => "ws",
        "https" => "wss",
        other => other,
    };
    if !["ws", "wss", here.scheme()].contains(&scheme) || url.host().is_empty() {
        return None;
    }
    let port = |url: &Url, scheme: &str| url.port().or_else(|| default_port(scheme));
    if scheme == here.scheme()
        && url.host() == here.host()
        && port(&url, scheme) == port(here, here.scheme())
    {
        return same(from, url.rest());
    }
    let url = format!("{scheme}://{}{}", url.authority(), url.rest());
    Some(Next {
        target: Target::new(Arc::new(Endpoint::new(url.parse().ok()?)), 0),
        server: Server::Other,
    })
}

/// Another path of the same server.
fn same(from: &Target, rest: &str) -> Option<Next> {
    let here = from.url();
    let userinfo = match here.userinfo() {
        Some(userinfo) => format!("{}@", userinfo.expose()),
        None => String::new(),
    };
    let url = format!("{}://{userinfo}{}{rest}", here.scheme(), here.authority());
    Some(Next {
        target: from.moved_to(url.parse().ok()?),
        server: Server::Same,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_leads_to_the_same_server_with_its_credentials_or_to_another_without() {
        for (from, location, to, server) in [
            (
                "ws://joe:pw@a:1/x?t=1",
                "/y?u=2",
                "ws://joe:pw@a:1/y?u=2",
                Server::Same,
            ),
            (
                "ws://joe:pw@a/x",
                "http://a:80/y",
                "ws://joe:pw@a/y",
                Server::Same,
            ),
            ("ws://joe:pw@a:1/x", "//b:2/y", "ws://b:2/y", Server::Other),
            ("ws://joe:pw@a:1/x", "ws://a:2/", "ws://a:2/", Server::Other),
            (
                "ws://joe:pw@a:1/x",
                "https://a:1/",
                "wss://a:1/",
                Server::Other,
            ),
            (
                "wss://joe:pw@a/x",
                "https://eve:pw@b/y",
                "wss://b/y",
                Server::Other,
            ),
        ] {
            let next = next(&Target::parse(from).unwrap(), location).unwrap();
            assert_eq!(next.target.url().expose(), to);
            assert_eq!(next.server, server, "{location}");
        }
    }

    #[test]
    fn a_location_that_names_no_websocket_server_leads_nowhere() {
        for location in [
            "",
            "y",
            "../y",
            "ftp://a/",
            "mailto:joe@a",
            "http://",
            "ws:/run/x.sock",
        ] {
            assert!(next(&Target::parse("ws://a:1/x").unwrap(), location).is_none());
        }
    }
}
