//! Why a deployment cannot be used.

use failover_core::config::ConfigError;
use failover_core::dial::RegistryError;
use thiserror::Error;

/// Why a deployment cannot be used. No credentials are shown.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DeployError {
    /// What is no transport's: the version, the endpoints, the policy.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The default tables.
    #[error("transport.{0}")]
    Defaults(#[source] Box<TablesError>),
    /// An endpoint's own table.
    #[error("endpoint `{endpoint}`: transport.{source}")]
    Endpoint {
        /// Its name.
        endpoint: String,
        /// What is wrong with it.
        source: Box<TablesError>,
    },
    /// One of an endpoint's routes could never be dialled.
    #[error("endpoint `{endpoint}`: {source}")]
    Route {
        /// Its name.
        endpoint: String,
        /// Why.
        source: RegistryError,
    },
    /// A reload names a class that the running policy does not have.
    #[error(
        "endpoint `{endpoint}`: the running policy has {classes} classes, no class {class}: a new policy takes a restart"
    )]
    NoSuchClass {
        /// The endpoint's name.
        endpoint: String,
        /// The class that it names.
        class: u8,
        /// How many the running policy has.
        classes: usize,
    },
}

/// Why a [`Tables`](super::Tables) cannot be used: the error names table and key.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TablesError {
    /// The table of TCP.
    #[error(transparent)]
    Tcp(#[from] transport_tcp::TableError),
    /// The table of TLS.
    #[error(transparent)]
    Tls(#[from] transport_tls::TableError),
    /// The table of WebSocket.
    #[error(transparent)]
    Ws(#[from] crate::TableError),
    /// A key that is not for one endpoint alone.
    #[error("{key}: not for one endpoint alone, only for all")]
    OnlyForAll {
        /// Table and key.
        key: &'static str,
    },
    /// No route of the endpoint goes through this layer.
    #[error("{table}: `{url}` has no such layer: leave the table out, or write another scheme")]
    NotOnTheWay {
        /// The table.
        table: &'static str,
        /// The endpoint's first URL, without credentials.
        url: String,
    },
}
