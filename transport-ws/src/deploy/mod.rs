//! From a deployment's file to a running connector: all transports in one registry, the endpoints
//! with what each has of its own, and a [`Reload`] when the file changes. (Feature `deploy`.)
//!
//! It does **not** read the file, nor watch it: any serde format will do, and the caller says when.
//!
//! A whole program:
//!
//! ```no_run
//! use failover_core::config::Deployment;
//! use failover_core::drive::{Connector, Established};
//! use tokio::io::AsyncWriteExt;
//! use transport_tcp::{ByteStream, TokioClock};
//! use transport_ws::deploy::{self, Reload, Tables};
//!
//! const FILE: &str = r#"{
//!   "version": 1,
//!   "endpoints": [
//!     { "url": "wss://a.example/stream",
//!       "routes": ["tls://a.example:7443"],
//!       "transport": { "tls": { "ca": "/etc/broker/a.pem" } } },
//!     "tcp://10.0.0.7:7000",
//!     "unix:/run/broker.sock"
//!   ],
//!   "policy": { "preset": "nats", "deadline": "5s" },
//!   "transport": {
//!     "tcp": { "keepalive": { "idle": "20s" }, "proxy": { "env": "BROKER_PROXY" } },
//!     "tls": { "oldest_version": "1.3" },
//!     "ws": { "headers": { "Authorization": { "file": "/run/secrets/broker" } } }
//!   }
//! }"#;
//!
//! #[tokio::main(flavor = "current_thread")]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let deployment: Deployment<Tables> = serde_json::from_str(FILE)?;
//!     let registry = deploy::registry(&deployment)?; // `.with("nats", …)`: your own schemes
//!     let endpoints = deploy::endpoints(&deployment, &registry)?;
//!     let mut connector = Connector::builder(registry.clone(), TokioClock::new())
//!         .endpoints(endpoints)
//!         .policy(deployment.policy()?)
//!         .build()?;
//!
//!     let mut reload = Reload::new(connector.handle(), registry, deployment)?;
//!     tokio::spawn(async move {
//!         // Whenever the file has changed:
//!         match serde_json::from_str(FILE).map(|new| reload.apply(&new)) {
//!             Ok(Ok(done)) => eprintln!("came: {:?}, left: {:?}", done.added, done.removed),
//!             Ok(Err(error)) => eprintln!("the old list stays: {error}"),
//!             Err(error) => eprintln!("the old list stays: {error}"),
//!         }
//!     });
//!     connector.run(talk).await?;
//!     Ok(())
//! }
//!
//! async fn talk(mut link: Established<ByteStream>) -> Result<(), std::io::Error> {
//!     link.conn.write_all(b"hello\n").await
//! }
//! ```

mod error;
mod reload;
mod tables;

use std::sync::Arc;

use failover_core::config::{ConfigError, Deployment, EndpointForm};
use failover_core::dial::{Dial, Registry};
use failover_core::directory::{Directory, Endpoint, Target};
use transport_tcp::{ByteStream, Tcp};
use transport_tls::Tls;

pub use self::error::{DeployError, TablesError};
pub use self::reload::{Part, Reload, Reloaded};
use self::tables::Defaults;
pub use self::tables::Tables;
use crate::config::WsConfig;
use crate::dialer::Ws;

/// The dialers for `tcp`, `tls`, `ws` and `wss`, and `unix` where there is such a thing, as the
/// deployment's default tables have them. Add schemes of your own by [`Registry::with`];
/// [`Tables::tcp`] and [`Tables::tls`] are there to build upon.
///
/// The files that the tables name are read.
///
/// # Errors
/// When a default table cannot be used.
pub fn registry(deployment: &Deployment<Tables>) -> Result<Registry<ByteStream>, DeployError> {
    let tables = defaults_of(deployment);
    let made = || Ok(registry_over(tables.tcp()?, tables.tls()?, tables.ws()?));
    made().map_err(|error: TablesError| DeployError::Defaults(Box::new(error)))
}

/// The same without a file: over these dialers.
///
/// ```
/// use transport_tcp::Tcp;
/// use transport_tls::{Tls, TlsConfig};
/// use transport_ws::{WsConfig, deploy};
///
/// let tcp = Tcp::new();
/// let tls = Tls::new(tcp.clone(), TlsConfig::new().client()?);
/// let registry = deploy::registry_over(tcp, tls, WsConfig::default());
/// assert!(registry.schemes().any(|scheme| scheme == "wss"));
/// # Ok::<(), transport_tls::TlsConfigError>(())
/// ```
#[must_use]
pub fn registry_over(tcp: Tcp, tls: Tls<Tcp>, ws: WsConfig) -> Registry<ByteStream> {
    let registry = Registry::default()
        .with("tcp", tcp.clone().map(ByteStream::new))
        .with("tls", tls.clone().map(ByteStream::new))
        .with("ws", Ws::new(tcp).config(ws.clone()).map(ByteStream::new))
        .with("wss", Ws::new(tls).config(ws).map(ByteStream::new));
    #[cfg(unix)]
    let registry = registry.with("unix", transport_tcp::Unix.map(ByteStream::new));
    registry
}

/// The deployment's endpoints, each with the options that its own table says, over the defaults:
/// for [`ConnectorBuilder::endpoints`](failover_core::drive::ConnectorBuilder::endpoints).
///
/// Everything is checked: the [`Deployment`], the default tables, each endpoint's table, and each of
/// its routes with the registry's dialer. The files and variables that the tables name are read.
/// What path and query of a URL mean is the dialer's affair: the `tcp` and `tls` of [`registry`] ignore
/// them, one of your own under the same scheme may use them.
///
/// # Errors
/// The first thing that is wrong, and where.
pub fn endpoints(
    deployment: &Deployment<Tables>,
    registry: &Registry<ByteStream>,
) -> Result<Vec<Endpoint>, DeployError> {
    let directory = directory_over(deployment, &defaults_of(deployment), registry)?;
    Ok(listed(&directory))
}

/// The endpoints in their order, under the names that they have in a list.
fn listed(directory: &Directory) -> Vec<Endpoint> {
    let endpoints = directory.iter();
    endpoints.map(|(_, one)| Endpoint::clone(one)).collect()
}

/// The endpoints with their own tables over these ones, all of it checked.
fn directory_over(
    deployment: &Deployment<Tables>,
    tables: &Tables,
    registry: &Registry<ByteStream>,
) -> Result<Directory, DeployError> {
    deployment.check()?;
    let defaults = Defaults::of(tables);
    let defaults = defaults.map_err(|error| DeployError::Defaults(Box::new(error)))?;
    let forms = deployment.endpoints.iter().flatten();
    let equipped: Result<Vec<Endpoint>, DeployError> = forms
        .map(|form| {
            let own = match form {
                EndpointForm::Url(_) => None,
                EndpointForm::Server(server) => server.transport.as_ref(),
            };
            let endpoint = form.endpoint()?;
            let name = endpoint.name().to_string();
            let equipped = defaults.equip(endpoint, own);
            equipped.map_err(|source| DeployError::Endpoint {
                endpoint: name,
                source: Box::new(source),
            })
        })
        .collect();
    let directory = Directory::new(equipped?).map_err(ConfigError::from)?;
    for (_, endpoint) in directory.iter() {
        check_routes(endpoint, registry)?;
    }
    Ok(directory)
}

fn check_routes(
    endpoint: &Arc<Endpoint>,
    registry: &Registry<ByteStream>,
) -> Result<(), DeployError> {
    for route in (0..).take(endpoint.routes().len()) {
        let target = Target::new(Arc::clone(endpoint), route);
        if let Err(source) = registry.check(&target) {
            return Err(DeployError::Route {
                endpoint: endpoint.name().to_string(),
                source,
            });
        }
    }
    Ok(())
}

fn defaults_of(deployment: &Deployment<Tables>) -> Tables {
    deployment.transport.clone().unwrap_or_default()
}
