//! The two dialers: upgrade an inner connection to WebSocket.

use std::fmt;
use std::sync::Arc;

use failover_core::dial::{Dial, DialContext};
use failover_core::directory::{Secret, Target};
use failover_core::endpoint::Security;
use failover_core::failure::Phase;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::client_async_with_config;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use crate::config::{WsConfig, WsOptions};
use crate::error::{WsError, check_answer, from_handshake};
use crate::messages::MessageStream;
use crate::request;
use crate::stream::WsStream;

/// Upgrades the connections of the inner dialer to WebSocket and uses them as byte streams.
///
/// The request goes to the path and query of the target's URL (`/` if there is none; a fragment
/// is never sent; for `scheme:/path`, a local socket, it is `/`). Userinfo in the URL becomes an
/// `Authorization: Basic` header. An endpoint's [`WsOptions`] override the [`WsConfig`] given
/// here.
///
/// [`check`](Dial::check) refuses headers, subprotocols and URLs that could not be sent. The
/// scheme is not looked at, except that `Host` leaves out port 80 for `ws` and 443 for `wss`.
///
/// # Cancel safety
///
/// Dropping the dial closes the half-open connection; nothing keeps running.
#[derive(Clone)]
pub struct Ws<D> {
    inner: D,
    config: WsConfig,
    ask: Option<Arc<Ask>>,
}

impl<D> Ws<D> {
    /// WebSocket over this dialer, with the default configuration.
    pub fn new(inner: D) -> Self {
        Self {
            inner,
            config: WsConfig::default(),
            ask: None,
        }
    }

    /// The same with this configuration.
    #[must_use]
    pub fn config(mut self, config: WsConfig) -> Self {
        self.config = config;
        self
    }

    /// The same, asking for headers at every dial: for credentials that change, such as a bearer
    /// token. They replace configured headers of the same name. The function is called within
    /// `dial`, so it must not block.
    ///
    /// ```
    /// use std::sync::{Arc, RwLock};
    /// use failover_core::directory::Secret;
    /// # use failover_core::dial::Dial;
    /// # use tokio::io::{AsyncRead, AsyncWrite};
    /// # use transport_ws::Ws;
    /// # fn example<D: Dial<Conn: AsyncRead + AsyncWrite + Unpin>>(inner: D) {
    /// let token = Arc::new(RwLock::new("first".to_string()));
    /// let ws = Ws::new(inner).ask_headers(move |_target| {
    ///     let token = token.read().map(|token| token.clone()).unwrap_or_default();
    ///     vec![("Authorization".to_string(), Secret::new(format!("Bearer {token}")))]
    /// });
    /// # let _ = ws; }
    /// ```
    #[must_use]
    pub fn ask_headers(
        mut self,
        ask: impl Fn(&Target) -> Vec<(String, Secret)> + Send + Sync + 'static,
    ) -> Self {
        self.ask = Some(Arc::new(ask));
        self
    }

    /// The same dialer with connections that are streams of messages.
    #[must_use]
    pub fn messages(self) -> WsMessages<D> {
        WsMessages(self)
    }

    /// The dialer's configuration with what the endpoint says otherwise.
    fn config_for(&self, to: &Target) -> WsConfig {
        match to.option::<WsOptions>() {
            Some(options) => self.config.with(options),
            None => self.config.clone(),
        }
    }
}

impl<D> Ws<D>
where
    D: Dial<Conn: AsyncRead + AsyncWrite + Unpin>,
{
    async fn upgrade(
        &self,
        to: &Target,
        cx: &DialContext,
        config: WsConfig,
        (bounds, max_send): (WebSocketConfig, usize),
    ) -> Result<MessageStream<D::Conn>, WsError<D::Error>> {
        let mut headers = config.headers.clone();
        if let Some(ask) = &self.ask {
            for (name, value) in ask(to) {
                headers.set(name, value);
            }
        }
        let request = request::build(to, &config, &headers).map_err(WsError::Config)?;

        let conn = self.inner.dial(to, cx).await.map_err(WsError::Dial)?;
        cx.enter(Phase::Upgrade);
        match client_async_with_config(request, conn, Some(bounds)).await {
            Ok((ws, answer)) => {
                let subprotocol = check_answer(&answer).map_err(WsError::Answer)?;
                Ok(MessageStream::new(ws, subprotocol, max_send))
            }
            Err(error) => Err(from_handshake(error, || request::secrets(to, &headers))),
        }
    }

    fn check_target(&self, to: &Target) -> Result<(), WsError<D::Error>> {
        self.inner.check(to).map_err(WsError::Dial)?;
        let config = self.config_for(to);
        request::build(to, &config, &config.headers).map_err(WsError::Config)?;
        Ok(())
    }
}

impl<D> Dial for Ws<D>
where
    D: Dial<Conn: AsyncRead + AsyncWrite + Unpin>,
{
    type Conn = WsStream<D::Conn>;
    type Error = WsError<D::Error>;

    async fn dial(&self, to: &Target, cx: &DialContext) -> Result<Self::Conn, Self::Error> {
        let config = self.config_for(to);
        let bounds = (config.for_bytes(), config.max_write_size);
        let messages = self.upgrade(to, cx, config, bounds).await?;
        Ok(WsStream::new(messages, bounds.1))
    }

    fn security(&self, to: &Target) -> Security {
        self.inner.security(to)
    }

    fn check(&self, to: &Target) -> Result<(), Self::Error> {
        self.check_target(to)
    }
}

impl<D: fmt::Debug> fmt::Debug for Ws<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ws")
            .field("inner", &self.inner)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

/// Upgrades the connections of the inner dialer to WebSocket and uses them as streams of
/// messages. Made by [`Ws::messages`], and the same in all else.
///
/// ```
/// # use failover_core::dial::Dial;
/// # use tokio::io::{AsyncRead, AsyncWrite};
/// use transport_ws::{MessageStream, Ws};
///
/// fn messages<D>(inner: D) -> impl Dial<Conn = MessageStream<D::Conn>>
/// where
///     D: Dial<Conn: AsyncRead + AsyncWrite + Unpin>,
/// {
///     Ws::new(inner).messages()
/// }
/// ```
#[derive(Clone, Debug)]
pub struct WsMessages<D>(Ws<D>);

impl<D> Dial for WsMessages<D>
where
    D: Dial<Conn: AsyncRead + AsyncWrite + Unpin>,
{
    type Conn = MessageStream<D::Conn>;
    type Error = WsError<D::Error>;

    async fn dial(&self, to: &Target, cx: &DialContext) -> Result<Self::Conn, Self::Error> {
        let config = self.0.config_for(to);
        let bounds = (config.for_messages(), config.max_message_size);
        self.0.upgrade(to, cx, config, bounds).await
    }

    fn security(&self, to: &Target) -> Security {
        self.0.inner.security(to)
    }

    fn check(&self, to: &Target) -> Result<(), Self::Error> {
        self.0.check_target(to)
    }
}

/// Gives headers for a dial.
type Ask = dyn Fn(&Target) -> Vec<(String, Secret)> + Send + Sync;
