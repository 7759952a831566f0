//! Control at once, and a connection behind it: a client half and a driver half.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};
use std::vec::Vec;

use thiserror::Error;

use crate::attempt::AttemptId;
use crate::dial::Dial;
use crate::drive::clock::Clock;
use crate::drive::connector::{Connector, Established};
use crate::drive::error::{GiveUp, Loss};
use crate::drive::handle::Handle;

impl<D: Dial + 'static, C: Clock> Connector<D, C> {
    /// Hands out control at once and connects behind it. The user spawns the second half, or polls
    /// it beside other work; it also makes the dials beside a standing connection (spares, probes,
    /// moves). Dropping either half ends both. (NATS: `RetryOnFailedConnect`)
    ///
    /// ```
    /// # use std::future::{Ready, ready};
    /// # use failover_core::directory::Endpoint;
    /// # use failover_core::drive::{Clock, Connector};
    /// # use failover_core::failure::{Failure, Kind};
    /// # use failover_core::testing::{Script, Step};
    /// # use failover_core::time::Time;
    /// # #[derive(Clone)] struct MyClock;
    /// # impl Clock for MyClock { type Sleep = Ready<()>;
    /// #   fn now(&self) -> Time { Time::ZERO }
    /// #   fn sleep_until(&self, _: Time) -> Ready<()> { ready(()) } }
    /// # let dialer = Script::new(MyClock).host("a", [Step::Accept]).host("b", [Step::Accept]);
    /// let connector = Connector::builder(dialer, MyClock)
    ///     .endpoint(Endpoint::parse("tcp://a:1")?)
    ///     .endpoint(Endpoint::parse("tcp://b:1")?)
    ///     .build()?;
    /// let (client, driver) = connector.behind();
    /// # let executor = smol::LocalExecutor::new();
    /// # smol::block_on(executor.run(async {
    /// let driving = executor.spawn(driver.run());
    ///
    /// let link = client.connection().await?;
    /// client.lost(link.id(), Failure::new(Kind::Reset));
    /// let link = client.connection().await?;
    ///
    /// drop((link, client));
    /// driving.await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }))?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn behind(self) -> (Client<D::Conn>, Driver<D, C>) {
        let desk = Arc::new(Desk(Mutex::new(Inside {
            ready: None,
            losses: Vec::new(),
            client: None,
            driver: None,
            end: End::NotYet,
        })));
        let client = Client {
            desk: Arc::clone(&desk),
            handle: self.handle(),
        };
        let driver = Driver {
            desk,
            connector: self,
        };
        (client, driver)
    }
}

/// The half that uses connections. See [`Connector::behind`].
pub struct Client<T> {
    desk: Arc<Desk<T>>,
    handle: Handle,
}

/// The half that makes them. See [`Connector::behind`].
pub struct Driver<D: Dial, C: Clock> {
    desk: Arc<Desk<D::Conn>>,
    connector: Connector<D, C>,
}

/// Why there is no connection any more.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum NoConnection {
    /// The policy's limit was reached, or the connector was closed.
    #[error(transparent)]
    GaveUp(#[from] GiveUp),
    /// The driver was dropped.
    #[error("the driver of this client was dropped")]
    NoDriver,
}

struct Desk<T>(Mutex<Inside<T>>);

struct Inside<T> {
    /// The connection that waits to be fetched.
    ready: Option<Established<T>>,
    /// Reports of losses, each connection's once: as many as the client was given connections since
    /// the driver last looked, which is one.
    losses: Vec<(AttemptId, Loss)>,
    client: Option<Waker>,
    driver: Option<Waker>,
    end: End,
}

enum End {
    NotYet,
    GaveUp(GiveUp),
    NoDriver,
    NoClient,
}

impl<T> Desk<T> {
    fn with<R>(&self, then: impl FnOnce(&mut Inside<T>) -> R) -> R {
        then(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn wake_client(&self) {
        if let Some(client) = self.with(|inside| inside.client.take()) {
            client.wake();
        }
    }

    fn wake_driver(&self) {
        if let Some(driver) = self.with(|inside| inside.driver.take()) {
            driver.wake();
        }
    }
}

impl<T> Client<T> {
    /// The next connection: the first one, or the one that follows a loss or a move.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    ///
    /// # Errors
    /// When the connector has given up or was closed, or its driver was dropped; from then on at
    /// every call.
    pub async fn connection(&self) -> Result<Established<T>, NoConnection> {
        poll_fn(|cx| {
            self.desk.with(|inside| {
                if let Some(established) = inside.ready.take() {
                    return Poll::Ready(Ok(established));
                }
                match &inside.end {
                    End::GaveUp(gave_up) => Poll::Ready(Err(gave_up.clone().into())),
                    End::NoDriver => Poll::Ready(Err(NoConnection::NoDriver)),
                    End::NotYet | End::NoClient => {
                        inside.client = Some(cx.waker().clone());
                        Poll::Pending
                    }
                }
            })
        })
        .await
    }

    /// Reports that a connection was lost, why, and perhaps what the application makes of it. Only
    /// the first report about the present connection changes anything.
    pub fn lost(&self, connection: AttemptId, loss: impl Into<Loss>) {
        let loss = loss.into();
        self.desk.with(|inside| {
            if inside
                .losses
                .iter()
                .all(|(reported, _)| *reported != connection)
            {
                // The driver has not looked since an older connection: only the newest matter.
                if inside.losses.len() == 2 {
                    inside.losses.remove(0);
                }
                inside.losses.push((connection, loss));
            }
        });
        self.desk.wake_driver();
    }

    /// A handle to control the connector.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }
}

impl<D: Dial + 'static, C: Clock> Driver<D, C> {
    /// Connects, and connects again, until the connector gives up or is closed, or the client is
    /// dropped.
    pub async fn run(mut self) {
        loop {
            self.connector.begin();
            let connected = {
                let mut connecting = pin!(poll_fn(|cx| self.connector.poll_connect(cx)));
                let desk = &self.desk;
                poll_fn(|cx| {
                    if desk.with(|inside| inside.listen(cx.waker())) {
                        return Poll::Ready(None);
                    }
                    connecting.as_mut().poll(cx).map(Some)
                })
                .await
            };
            match connected {
                None => return self.connector.close(),
                Some(Err(gave_up)) => {
                    self.desk.with(|inside| inside.end = End::GaveUp(gave_up));
                    return self.desk.wake_client();
                }
                Some(Ok(established)) => {
                    self.desk.with(|inside| inside.ready = Some(established));
                    self.desk.wake_client();
                }
            }
            self.while_connected().await;
        }
    }

    /// Until the connection is lost or left.
    async fn while_connected(&mut self) {
        poll_fn(|cx| {
            if self.desk.with(|inside| inside.listen(cx.waker())) {
                return Poll::Ready(());
            }
            for (connection, loss) in self.desk.with(|inside| core::mem::take(&mut inside.losses)) {
                self.connector.lost(connection, loss);
            }
            self.connector.poll_hung_up(cx)
        })
        .await;
        // One that nobody fetched is gone, too.
        self.desk.with(|inside| inside.ready = None);
    }
}

impl<T> Inside<T> {
    /// Leaves a waker for the driver. Whether the client is gone.
    fn listen(&mut self, driver: &Waker) -> bool {
        self.driver = Some(driver.clone());
        matches!(self.end, End::NoClient)
    }
}

impl<T> Drop for Client<T> {
    fn drop(&mut self) {
        self.desk.with(|inside| {
            if let End::NotYet = inside.end {
                inside.end = End::NoClient;
            }
        });
        self.desk.wake_driver();
    }
}

impl<D: Dial, C: Clock> Drop for Driver<D, C> {
    fn drop(&mut self) {
        self.desk.with(|inside| {
            inside.ready = None;
            if let End::NotYet = inside.end {
                inside.end = End::NoDriver;
            }
        });
        self.desk.wake_client();
    }
}

impl<T> fmt::Debug for Client<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("handle", &self.handle)
            .finish()
    }
}

impl<D: Dial, C: Clock> fmt::Debug for Driver<D, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver")
            .field("connector", &self.connector)
            .finish()
    }
}
