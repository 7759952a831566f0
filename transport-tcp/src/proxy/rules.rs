//! Which proxy, if any, leads to a target.

use std::net::IpAddr;

use failover_core::directory::Url;

use crate::proxy::{Proxy, ProxyUrlError};

/// Which proxy leads to which target: none, one for all, or what the environment says. Also an
/// option of an endpoint, which then beats the dialer's ([`Proxies::none`]: directly).
///
/// ```
/// use transport_tcp::{Proxies, Proxy, Tcp};
///
/// let gate: Proxy = "http://gate.example:3128".parse()?;
/// let dialer = Tcp::new().proxies(Proxies::all(gate).except("localhost,.internal,10.0.0.0/8"));
/// # Ok::<(), transport_tcp::ProxyUrlError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxies {
    all: Option<Proxy>,
    http: Option<Proxy>,
    https: Option<Proxy>,
    except: Vec<Exception>,
}

/// What is reached directly.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Exception {
    Everything,
    /// The host of this name and those within it, at this port or any.
    Name {
        name: String,
        port: Option<u16>,
    },
    /// Addresses that share so many bits with this one.
    Net {
        base: IpAddr,
        bits: u32,
    },
}

impl Proxies {
    /// No proxy at all: the default.
    #[must_use]
    pub const fn none() -> Self {
        Self {
            all: None,
            http: None,
            https: None,
            except: Vec::new(),
        }
    }

    /// This proxy for every target.
    #[must_use]
    pub const fn all(proxy: Proxy) -> Self {
        Self {
            all: Some(proxy),
            http: None,
            https: None,
            except: Vec::new(),
        }
    }

    /// What the environment says: `HTTPS_PROXY` for `wss`, `tls` and `https`, `HTTP_PROXY` for `ws`
    /// and `http`, `ALL_PROXY` for these without one of their own and for all other schemes;
    /// `NO_PROXY` lists the exceptions. In lower case they count first. An empty one counts as not
    /// set, one without a scheme (`gate:3128`) as `http://`, and `socks://` as `socks5://`, which
    /// desktops mean by it.
    ///
    /// The environment is read here, once.
    ///
    /// # Errors
    /// When a value is not a proxy's URL.
    pub fn from_env() -> Result<Self, ProxyUrlError> {
        Self::from_lookup(|name| std::env::var(name).ok())
    }

    /// The same from somewhere else than the process's environment.
    ///
    /// ```
    /// use transport_tcp::Proxies;
    ///
    /// let settings = |name: &str| (name == "all_proxy").then(|| "socks5://gate".to_string());
    /// assert_ne!(Proxies::from_lookup(settings)?, Proxies::none());
    /// # Ok::<(), transport_tcp::ProxyUrlError>(())
    /// ```
    ///
    /// # Errors
    /// When a value is not a proxy's URL.
    pub fn from_lookup(value: impl Fn(&str) -> Option<String>) -> Result<Self, ProxyUrlError> {
        let set = |name: &str| value(name).filter(|text| !text.trim().is_empty());
        let either = |name: &str| set(name).or_else(|| set(&name.to_ascii_uppercase()));
        let proxy = |name: &str| either(name).map(|text| parse(text.trim())).transpose();
        let found = Self {
            all: proxy("all_proxy")?,
            http: proxy("http_proxy")?,
            https: proxy("https_proxy")?,
            except: Vec::new(),
        };
        Ok(found.except(&either("no_proxy").unwrap_or_default()))
    }

    /// The same, reaching these directly: a list with commas of names (which cover the names within
    /// them, with or without a dot in front), names with a port, addresses, networks
    /// (`10.0.0.0/8`), or `*`.
    #[must_use]
    pub fn except(mut self, list: &str) -> Self {
        let listed = list.split([',', ' ']).filter(|item| !item.is_empty());
        self.except.extend(listed.map(Exception::parse));
        self
    }

    /// The proxy that leads there, or none.
    pub(crate) fn of(&self, url: &Url, port: u16) -> Option<&Proxy> {
        let own = match url.scheme() {
            "wss" | "tls" | "https" => self.https.as_ref(),
            "ws" | "http" => self.http.as_ref(),
            _ => None,
        };
        let proxy = own.or(self.all.as_ref())?;
        let direct = self.except.iter().any(|one| one.covers(url.host(), port));
        (!direct).then_some(proxy)
    }
}

/// In the environment, `gate:3128` is usual, and GNOME writes `socks:` for whatever version.
fn parse(text: &str) -> Result<Proxy, ProxyUrlError> {
    match text.split_once("://") {
        None => format!("http://{text}").parse(),
        Some(("socks", rest)) => format!("socks5://{rest}").parse(),
        Some(_) => text.parse(),
    }
}

impl From<Proxy> for Proxies {
    fn from(proxy: Proxy) -> Self {
        Self::all(proxy)
    }
}

impl Exception {
    fn parse(item: &str) -> Self {
        if item == "*" {
            return Self::Everything;
        }
        if let Some(net) = parse_net(item) {
            return net;
        }
        let (name, port) = match item.rsplit_once(':') {
            Some((name, port)) if !name.contains(':') || name.ends_with(']') => {
                (name, port.parse().ok())
            }
            _ => (item, None),
        };
        let name = name.trim_start_matches("*.").trim_start_matches('.');
        let name = without_last_dot(name.trim_matches(['[', ']']));
        Self::Name {
            name: name.to_lowercase(),
            port,
        }
    }

    fn covers(&self, host: &str, port: u16) -> bool {
        let host = without_last_dot(host);
        match self {
            Self::Everything => true,
            Self::Name { name, port: only } => {
                let within = host
                    .strip_suffix(name.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
                within && !name.is_empty() && only.is_none_or(|only| only == port)
            }
            Self::Net { base, bits } => match (host.parse(), base) {
                (Ok(IpAddr::V4(host)), IpAddr::V4(base)) => {
                    shares(host.to_bits() ^ base.to_bits(), *bits)
                }
                (Ok(IpAddr::V6(host)), IpAddr::V6(base)) => {
                    (host.to_bits() ^ base.to_bits()).leading_zeros() >= *bits
                }
                _ => false,
            },
        }
    }
}

/// `a.example.` is `a.example`, spelled out.
fn without_last_dot(name: &str) -> &str {
    name.strip_suffix('.').unwrap_or(name)
}

fn shares(difference: u32, bits: u32) -> bool {
    difference.leading_zeros() >= bits
}

fn parse_net(item: &str) -> Option<Exception> {
    let (base, bits) = match item.split_once('/') {
        Some((base, bits)) => (base, Some(bits.parse().ok()?)),
        None => (item, None),
    };
    let base: IpAddr = base.parse().ok()?;
    let longest = if base.is_ipv4() { 32 } else { 128 };
    let bits = bits.unwrap_or(longest);
    (bits <= longest).then_some(Exception::Net { base, bits })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn through(proxies: &Proxies, url: &str) -> Option<String> {
        let url: Url = url.parse().unwrap();
        let port = url.port().unwrap_or(443);
        proxies.of(&url, port).map(ToString::to_string)
    }

    #[test]
    fn each_scheme_has_its_variable_and_lower_case_counts_first() {
        let settings = |name: &str| match name {
            "https_proxy" => Some("http://secure".to_string()),
            "HTTPS_PROXY" => Some("http://shadowed".to_string()),
            "HTTP_PROXY" => Some(String::new()),
            "ALL_PROXY" => Some("socks5://all".to_string()),
            _ => None,
        };
        let proxies = Proxies::from_lookup(settings).unwrap();
        assert_eq!(through(&proxies, "wss://a").unwrap(), "http://secure");
        assert_eq!(through(&proxies, "tls://a").unwrap(), "http://secure");
        assert_eq!(through(&proxies, "ws://a").unwrap(), "socks5://all");
        assert_eq!(through(&proxies, "nats://a").unwrap(), "socks5://all");
        let broken = |_: &str| Some("ftp://a".to_string());
        assert!(Proxies::from_lookup(broken).is_err());
    }

    #[test]
    fn variables_are_read_as_curl_and_desktops_write_them() {
        for (written, read) in [
            ("joe:pw@gate:3128", "http://***@gate:3128"),
            ("[::1]:3128", "http://[::1]:3128"),
            ("socks://127.0.0.1:1080/", "socks5://127.0.0.1:1080/"),
        ] {
            let setting = |name: &str| (name == "all_proxy").then(|| written.to_string());
            let proxies = Proxies::from_lookup(setting).unwrap();
            assert_eq!(through(&proxies, "tcp://a").unwrap(), read);
        }
    }

    #[test]
    fn exceptions_are_names_with_those_within_ports_addresses_and_networks() {
        let gate: Proxy = "http://gate".parse().unwrap();
        let list = "localhost,.corp.example, b.example:7443,10.0.0.0/8,192.0.2.7,fd00::/8";
        let proxies = Proxies::all(gate.clone()).except(list);
        for direct in [
            "tcp://localhost:1",
            "tcp://corp.example:1",
            "tcp://a.corp.example:1",
            "tcp://a.corp.example.:1",
            "tcp://b.example:7443",
            "tcp://10.255.0.1:1",
            "tcp://192.0.2.7:1",
            "tcp://[fd12::1]:1",
        ] {
            assert_eq!(through(&proxies, direct), None, "{direct}");
        }
        for proxied in [
            "tcp://notcorp.example:1",
            "tcp://b.example:1",
            "tcp://11.0.0.1:1",
            "tcp://192.0.2.8:1",
            "tcp://[fe80::1]:1",
        ] {
            assert!(through(&proxies, proxied).is_some(), "{proxied}");
        }
        assert_eq!(
            through(&Proxies::all(gate.clone()).except("*"), "tcp://a:1"),
            None
        );
        assert!(through(&Proxies::all(gate).except("0.0.0.0/33,:"), "tcp://a:1").is_some());
    }
}
