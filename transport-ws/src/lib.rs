//! WebSocket for `failover-core`: [`Ws`] turns the connection of any inner dialer into a byte
//! stream over binary messages, [`WsMessages`] into a stream of messages.
//!
//! It does **not** open sockets, speak TLS, keep deadlines, retry or compress; it sends pings and
//! follows redirects only where [`WsConfig`] says so. The inner dialer opens and protects the connection
//! (`Ws<Tls<Tcp>>` is `wss`), the connector holds the deadline, the policy decides about retries.
//!
//! ```
//! use failover_core::dial::Dial;
//! use tokio::io::{AsyncRead, AsyncWrite};
//! use transport_ws::{Ws, WsConfig, WsStream};
//!
//! /// MQTT over WebSocket, over whatever opens the connection.
//! fn mqtt<D>(inner: D) -> impl Dial<Conn = WsStream<D::Conn>>
//! where
//!     D: Dial<Conn: AsyncRead + AsyncWrite + Unpin>,
//! {
//!     Ws::new(inner).config(WsConfig::default().subprotocols(["mqtt"]))
//! }
//! ```
//!
//! And wss as it is used, with a token:
//!
//! ```no_run
//! use failover_core::directory::Endpoint;
//! use failover_core::drive::Connector;
//! use transport_tcp::{Tcp, TokioClock};
//! use transport_tls::{Tls, TlsConfig};
//! use transport_ws::{Ws, WsConfig};
//!
//! let tls = Tls::new(Tcp::new(), TlsConfig::new().client()?);
//! let config = WsConfig::default().header("Authorization", "Bearer hunter2");
//! let connector = Connector::builder(Ws::new(tls).config(config), TokioClock::new())
//!     .endpoint(Endpoint::parse("wss://a.example/feed?since=0")?)
//!     .build()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Reading order: [`Ws`] and [`WsMessages`], [`WsConfig`], [`WsError`] with [`Refusal`], then what a
//! dial gives: [`MessageStream`], [`WsStream`] on top of it, and [`SessionError`].
//!
//! # Secrets
//!
//! Userinfo, query and header values show up in no error and no `Debug` of this crate; a server
//! that echoes them in the body of a refusal finds them replaced by `***` (those of at least 4
//! bytes, as they were sent or decoded). The reason of a close frame is shown as it came. One thing
//! is out of our hands: tungstenite logs frames at level `trace` of the `log` facade. Keep the target
//! `tungstenite` at `debug` or above where logs are stored. The upgrade request is not logged.
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod ask;
mod config;
#[cfg(feature = "deploy")]
pub mod deploy;
mod dialer;
mod error;
mod handshake;
mod messages;
mod metered;
mod options;
mod redirect;
mod refusal;
mod request;
mod session;
mod stream;
#[cfg(feature = "serde")]
mod table;
mod watch;

pub use tokio_tungstenite::tungstenite;
pub use tokio_tungstenite::tungstenite::Message;

pub use self::ask::AskError;
pub use self::config::WsConfig;
pub use self::dialer::{Ws, WsMessages};
pub use self::error::{BadAnswer, WsError};
pub use self::messages::MessageStream;
pub use self::options::WsOptions;
pub use self::redirect::NotFollowed;
pub use self::refusal::{MAX_EXCERPT, Refusal};
pub use self::request::ConfigError;
pub use self::session::{Breach, SessionError, TRY_AGAIN_PAUSE, close_failure};
pub use self::stream::WsStream;
#[cfg(feature = "serde")]
pub use self::table::{TableError, WsTable};
