//! The two dialers: upgrade an inner connection to WebSocket.

use std::error::Error;
use std::fmt;
use std::future::Future;

use failover_core::dial::{Dial, DialContext};
use failover_core::directory::{Secret, Target};
use failover_core::endpoint::Security;
use failover_core::failure::{Classify, Phase};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use crate::ask::Ask;
use crate::config::WsConfig;
use crate::error::{WsError, of_upgrade};
use crate::handshake::{Trouble, Upgraded, upgrade};
use crate::messages::MessageStream;
use crate::metered::Metered;
use crate::options::{Headers, WsOptions};
use crate::redirect::{self, Next, NotFollowed, Server};
use crate::request::{self, Request};
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
    ask: Option<Ask>,
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
    /// token. They replace configured headers of the same name.
    ///
    /// The function is asked before the connection is opened, within the dial's deadline and in the
    /// phase [`Phase::Upgrade`]. If it fails, so does the dial, with the failure that its error
    /// stands for. It must not block; the future may wait. Dropping the dial drops the future.
    ///
    /// ```
    /// use std::convert::Infallible;
    /// use std::sync::{Arc, RwLock};
    /// use failover_core::directory::Secret;
    /// # use failover_core::dial::Dial;
    /// # use tokio::io::{AsyncRead, AsyncWrite};
    /// # use transport_ws::Ws;
    /// # fn example<D: Dial<Conn: AsyncRead + AsyncWrite + Unpin>>(inner: D) {
    /// let token = Arc::new(RwLock::new("first".to_string()));
    /// let ws = Ws::new(inner).ask_headers(move |_target| {
    ///     let token = Arc::clone(&token);
    ///     async move {
    ///         let token = token.read().map(|token| token.clone()).unwrap_or_default();
    ///         let bearer = Secret::new(format!("Bearer {token}"));
    ///         Ok::<_, Infallible>(vec![("Authorization".to_string(), bearer)])
    ///     }
    /// });
    /// # let _ = ws; }
    /// ```
    #[must_use]
    pub fn ask_headers<F, E>(mut self, ask: impl Fn(&Target) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Vec<(String, Secret)>, E>> + Send + 'static,
        E: Error + Classify + Send + Sync + 'static,
    {
        self.ask = Some(Ask::new(ask));
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
    /// Dials and asks for the upgrade, following redirects as far as that is allowed.
    async fn upgrade(
        &self,
        to: &Target,
        cx: &DialContext,
        config: WsConfig,
        (bounds, max_send): (WebSocketConfig, usize),
    ) -> Result<MessageStream<D::Conn>, WsError<D::Error>> {
        config.check().map_err(WsError::Config)?;
        let mut headers = config.headers.clone();
        if let Some(ask) = &self.ask {
            cx.enter(Phase::Upgrade);
            for (name, value) in ask.headers(to).await.map_err(WsError::Ask)? {
                headers.set(name, value);
            }
        }
        let mut to = to.clone();
        let mut left = config.follow_redirects;
        loop {
            let request = Request::new(&to, &config, &headers).map_err(WsError::Config)?;
            let mut conn = self.inner.dial(&to, cx).await.map_err(WsError::Dial)?;
            cx.enter(Phase::Upgrade);
            let trouble = match upgrade(&mut conn, &request, config.max_answer_size).await {
                Ok(Upgraded { subprotocol, tail }) => {
                    let conn = Metered::new(conn);
                    let ws = WebSocketStream::from_partially_read(
                        conn,
                        tail,
                        Role::Client,
                        Some(bounds),
                    )
                    .await;
                    let (grace, keepalive) = (config.close_grace, config.keepalive.as_ref());
                    return Ok(MessageStream::new(
                        ws,
                        subprotocol,
                        max_send,
                        grace,
                        keepalive,
                    ));
                }
                Err(trouble) => trouble,
            };
            drop(conn);
            match self.redirected(&to, &trouble, left) {
                Some(Ok(next)) => {
                    left -= 1;
                    if next.server == Server::Other {
                        headers = Headers::default();
                    }
                    to = next.target;
                }
                why => {
                    let secrets = request::secrets(&to, &headers);
                    let why = why.and_then(Result::err);
                    return Err(of_upgrade(trouble, why, &secrets));
                }
            }
        }
    }

    /// Where the server sends us, and whether we go there; nothing if it does not.
    fn redirected(
        &self,
        from: &Target,
        trouble: &Trouble,
        left: u8,
    ) -> Option<Result<Next, NotFollowed>> {
        let Trouble::Refused(head, _) = trouble else {
            return None;
        };
        if !redirect::is_redirect(head.status) {
            return None;
        }
        if left == 0 {
            return Some(Err(NotFollowed::AsConfigured));
        }
        let location = head.text("location");
        let Some(next) = location.and_then(|location| redirect::next(from, location)) else {
            return Some(Err(NotFollowed::Nowhere));
        };
        let wanted = match (next.server, next.target.url().scheme()) {
            (Server::Other, "wss") => Security::Tls,
            (Server::Other, "ws") => Security::Plain,
            // Not ours to read: as protected as before.
            _ => self.inner.security(from),
        };
        if self.inner.security(from) == Security::Tls && wanted != Security::Tls {
            return Some(Err(NotFollowed::Downgrade));
        }
        let can_reach = self.inner.security(&next.target) == wanted;
        match can_reach && self.inner.check(&next.target).is_ok() {
            true => Some(Ok(next)),
            false => Some(Err(NotFollowed::OutOfReach)),
        }
    }

    fn check_target(&self, to: &Target) -> Result<(), WsError<D::Error>> {
        self.inner.check(to).map_err(WsError::Dial)?;
        let config = self.config_for(to);
        config.check().map_err(WsError::Config)?;
        Request::new(to, &config, &config.headers).map_err(WsError::Config)?;
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
