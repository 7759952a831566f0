//! The transports' tables of a deployment's file.

use failover_core::config::Keyed;
use failover_core::directory::{Endpoint, Url};
use serde::{Deserialize, Deserializer};
use transport_tcp::{Tcp, TcpOptions, TcpTable};
use transport_tls::{ServerName, Tls, TlsConfig, TlsTable};

use super::error::TablesError;
use crate::config::WsConfig;
use crate::options::WsOptions;
use crate::table::WsTable;

/// The transports' part of a deployment's file: `transport` at its top holds the defaults, and
/// `transport` of an endpoint what it has of its own, key by key.
///
/// ```
/// use failover_core::config::Deployment;
/// use transport_ws::deploy::Tables;
///
/// let text = r#"{ "transport": { "tsl": {} } }"#;
/// let error = serde_json::from_str::<Deployment<Tables>>(text).unwrap_err();
/// assert!(error.to_string().contains("`tsl`: did you mean `tls`?"));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(remote = "Self", default)]
#[non_exhaustive]
pub struct Tables {
    /// TCP: below everything but `unix`.
    pub tcp: TcpTable,
    /// TLS: below `tls` and `wss`.
    pub tls: TlsTable,
    /// WebSocket: `ws` and `wss`.
    pub ws: WsTable,
}

impl<'de> Deserialize<'de> for Tables {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Self::deserialize(Keyed(from))
    }
}

impl Tables {
    /// The dialer of `tcp`, and below the others.
    ///
    /// # Errors
    /// When the table cannot be used.
    pub fn tcp(&self) -> Result<Tcp, TablesError> {
        let mut tcp = Tcp::new().options(self.tcp.options(TcpOptions::new())?);
        if let Some(proxies) = self.tcp.proxies()? {
            tcp = tcp.proxies(proxies);
        }
        if let Some(race) = self.tcp.race()? {
            tcp = tcp.race(race);
        }
        Ok(tcp)
    }

    /// The dialer of `tls`, and below `wss`. A `server_name` is not in it but an option of
    /// endpoints: [`endpoints`](super::endpoints) gives it to each.
    ///
    /// # Errors
    /// When a table cannot be used.
    pub fn tls(&self) -> Result<Tls<Tcp>, TablesError> {
        let client = self.tls.client(TlsConfig::new())?;
        Ok(Tls::new(self.tcp()?, client))
    }

    /// How `ws` and `wss` ask for their connections.
    ///
    /// # Errors
    /// When the table cannot be used.
    pub fn ws(&self) -> Result<WsConfig, TablesError> {
        Ok(WsConfig::try_from(self.ws.clone())?)
    }
}

/// The default tables, as far as endpoints build upon them.
pub(super) struct Defaults {
    tcp: TcpOptions,
    tls: TlsConfig,
    server_name: Option<ServerName>,
}

impl Defaults {
    pub(super) fn of(tables: &Tables) -> Result<Self, TablesError> {
        Ok(Self {
            tcp: tables.tcp.options(TcpOptions::new())?,
            tls: tables.tls.config(TlsConfig::new())?,
            server_name: tables.tls.server_name()?,
        })
    }

    /// The endpoint with the options that its own table says.
    pub(super) fn equip(
        &self,
        endpoint: Endpoint,
        own: Option<&Tables>,
    ) -> Result<Endpoint, TablesError> {
        let mut endpoint = endpoint;
        if let Some(name) = &self.server_name {
            endpoint = endpoint.with(name.clone());
        }
        let Some(own) = own else {
            return Ok(endpoint);
        };
        let layers = [
            ("tcp", own.tcp == TcpTable::default()),
            ("tls", own.tls == TlsTable::default()),
            ("ws", own.ws == WsTable::default()),
        ];
        for (table, is_empty) in layers {
            if !is_empty && !endpoint.routes().iter().any(|url| passes(url, table)) {
                let url = endpoint.routes()[0].to_string();
                return Err(TablesError::NotOnTheWay { table, url });
            }
        }
        let endpoint = self.equip_tcp(endpoint, &own.tcp)?;
        let endpoint = self.equip_tls(endpoint, &own.tls)?;
        if own.ws == WsTable::default() {
            return Ok(endpoint);
        }
        Ok(endpoint.with(WsOptions::try_from(own.ws.clone())?))
    }

    fn equip_tcp(&self, endpoint: Endpoint, own: &TcpTable) -> Result<Endpoint, TablesError> {
        if own.stagger.is_some() {
            let key = "tcp.stagger";
            return Err(TablesError::OnlyForAll { key });
        }
        let mut endpoint = endpoint;
        let options = own.options(self.tcp.clone())?;
        // A scheme of the user's own may have other defaults.
        if options != self.tcp {
            endpoint = endpoint.with(options);
        }
        Ok(match own.proxies()? {
            Some(proxies) => endpoint.with(proxies),
            None => endpoint,
        })
    }

    fn equip_tls(&self, endpoint: Endpoint, own: &TlsTable) -> Result<Endpoint, TablesError> {
        let mut endpoint = endpoint;
        if let Some(name) = own.server_name()? {
            endpoint = endpoint.with(name);
        }
        if let Some(alpn) = own.alpn()? {
            endpoint = endpoint.with(alpn);
        }
        if own.needs_client() {
            endpoint = endpoint.with(own.client(self.tls.clone())?);
        }
        Ok(endpoint)
    }
}

/// Whether a dial of this URL goes through the layer; one of a scheme that is not ours may.
fn passes(url: &Url, layer: &str) -> bool {
    let layers: &[&str] = match url.scheme() {
        "tcp" => &["tcp"],
        "tls" => &["tcp", "tls"],
        "ws" => &["tcp", "ws"],
        "wss" => &["tcp", "tls", "ws"],
        "unix" => &[],
        _ => return true,
    };
    layers.contains(&layer)
}
