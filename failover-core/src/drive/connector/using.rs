//! The ways to use it: pull a connection, report its loss, run sessions, take connections as a stream.

use std::boxed::Box;
use std::future::{Future, poll_fn};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use crate::attempt::AttemptId;
use crate::dial::Dial;
use crate::drive::clock::Clock;
use crate::drive::connector::kept::Kept;
use crate::drive::connector::leaving::Leaving;
use crate::drive::connector::{Connections, Connector, Established, Out, Warned};
use crate::drive::error::{GiveUp, Loss};
use crate::drive::event::What;
use crate::failure::{Failure, Kind};
use crate::machine::{self, Answer, CloseReason, Input, Outbox};

impl<D: Dial + 'static, C: Clock> Connector<D, C> {
    /// The next connection: the first one, or, after [`lost`](Self::lost), the one that follows.
    ///
    /// Between two calls nothing is polled: handles are not heard, and spares, probes and moves, which
    /// happen while a connection stands, stand still. Poll [`hung_up`](Self::hung_up) beside your
    /// session, or use [`run`](Self::run).
    ///
    /// A connection handed out before and not reported as lost counts as closed by the peer now, so
    /// that `while let Ok(link) = connector.connect().await { … }` does what it seems to.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing: the dial in flight stands still until the next call
    /// polls it, with its deadline running.
    ///
    /// # Errors
    /// When a limit of the policy is reached or the connector was closed; from then on at every
    /// call.
    pub async fn connect(&mut self) -> Result<Established<D::Conn>, GiveUp> {
        self.begin();
        let established = poll_fn(|cx| self.poll_connect(cx)).await?;
        self.warn();
        Ok(established)
    }

    /// Reports that a connection was lost, why, and perhaps what the application makes of it. A
    /// report about any other than the connection handed out last changes nothing and is told as
    /// [`What::LateReport`].
    pub fn lost(&mut self, connection: AttemptId, loss: impl Into<Loss>) -> Answer {
        if self.shared.is_closing() {
            self.close();
        }
        let in_use = self.out.as_ref().map(|out| out.link.id);
        if in_use != Some(connection) && !self.is_closed() {
            // Nor a spare: the user does not have it.
            self.publish(self.clock.now(), What::LateReport { connection });
            return Answer::Stale;
        }
        let Loss {
            failure,
            verdict,
            error,
        } = loss.into();
        // None that has died meanwhile takes its place.
        self.poll_spares(&mut Context::from_waker(Waker::noop()));
        let remains = self.remains_of_session(connection, failure, error);
        let input = Input::Lost {
            attempt: connection,
            failure,
            verdict,
        };
        self.feed(input, remains)
    }

    /// Ready when the connection that is out shall be given up: it was closed, a reconnect was asked
    /// for, a better one stands ready. Beside a session of your own it makes the dials that happen
    /// while a connection stands (spares, probes, moves), and hears the handles. At once if no
    /// connection is out.
    ///
    /// ```
    /// # use failover_core::dial::Dial;
    /// # use failover_core::drive::{Clock, Connector, Established, GiveUp};
    /// # async fn talk<T>(conn: &mut T) -> std::io::Error { std::future::pending().await }
    /// # async fn either<T>(_: impl Future<Output = T>, _: impl Future<Output = ()>) -> Option<T> { None }
    /// # async fn example<D: Dial + 'static, C: Clock>(mut connector: Connector<D, C>) -> Result<(), GiveUp> {
    /// loop {
    ///     let mut link = connector.connect().await?;
    ///     // `select!` of your runtime: the session, or the end of its connection.
    ///     if let Some(error) = either(talk(&mut link.conn), connector.hung_up()).await {
    ///         connector.lost(link.id(), error);
    ///     }
    /// }
    /// # }
    /// ```
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn hung_up(&mut self) {
        poll_fn(|cx| self.poll_hung_up(cx)).await;
    }

    /// Runs a session on each connection, one after the other, until one returns `Ok` (the
    /// connector is then closed), it is closed through a handle, or it gives up.
    ///
    /// The session runs in the caller's task. When its connection is to be left (a better one stands
    /// ready, a reconnect or close was asked for), its [`Leave`](crate::drive::Leave) tells it, and it may finish for the
    /// policy's [grace](crate::policy::Standing::grace), beside the session on the next connection;
    /// then it is dropped. What a session returns while it leaves is not heard.
    ///
    /// # Cancel safety
    /// Dropping the future drops the session and its connection; a later call goes on with the
    /// next one.
    ///
    /// # Errors
    /// When a limit of the policy is reached.
    pub async fn run<S, F, E>(&mut self, mut session: S) -> Result<(), GiveUp>
    where
        S: FnMut(Established<D::Conn>) -> F,
        F: Future<Output = Result<(), E>>,
        E: Into<Loss>,
    {
        let mut leaving = Leaving::new();
        loop {
            self.begin();
            let established = poll_fn(|cx| {
                let _ = leaving.poll(cx);
                self.poll_connect(cx)
            });
            let established = match established.await {
                Ok(established) => established,
                Err(gave_up) => {
                    poll_fn(|cx| leaving.poll(cx)).await;
                    if gave_up.reason == CloseReason::ByUser {
                        return Ok(());
                    }
                    return Err(gave_up);
                }
            };
            let id = established.id();
            let mut running = Box::pin(session(established));
            let ended = poll_fn(|cx| {
                let _ = leaving.poll(cx);
                match running.as_mut().poll(cx) {
                    Poll::Ready(ended) => Poll::Ready(Some(ended)),
                    Poll::Pending => self.poll_hung_up(cx).map(|()| None),
                }
            });
            match ended.await {
                Some(Ok(())) => self.close(),
                Some(Err(loss)) => {
                    self.lost(id, loss);
                }
                None => {
                    if let Some(grace) = self.parting.take() {
                        let until = self.clock.now() + grace;
                        leaving.push(running, Box::pin(self.clock.sleep_until(until)));
                    }
                }
            }
        }
    }

    /// The connections one after the other, as a stream: the next one when the one before was reported
    /// [lost](Connections::lost) or is to be left. Poll [`next`](Connections::next) beside the session:
    /// only then are handles heard, and spares, probes and moves made.
    ///
    /// It is an async `next` and no `futures::Stream`, because that trait is no part of the standard
    /// library yet and the core depends on no crate for it; `futures::stream::unfold` makes one of it:
    /// `unfold(connector.connections(), async |mut c| Some((c.next().await?, c)))`.
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
    /// # smol::block_on(async {
    /// let connector = Connector::builder(dialer, MyClock)
    ///     .endpoint(Endpoint::parse("tcp://a:1")?)
    ///     .endpoint(Endpoint::parse("tcp://b:1")?)
    ///     .build()?;
    /// let mut connections = connector.connections();
    /// let mut hosts = 0;
    /// while let Some(link) = connections.next().await {
    ///     hosts += 1;
    ///     match hosts {
    ///         2 => connections.close(),
    ///         _ => drop(connections.lost(link.id(), Failure::new(Kind::Reset))),
    ///     }
    /// }
    /// assert_eq!(hosts, 2);
    /// assert!(connections.gave_up().is_some());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    #[must_use]
    pub fn connections(self) -> Connections<D, C> {
        Connections::new(self)
    }

    /// How long the connection that was to be left may finish.
    pub(crate) fn take_parting(&mut self) -> Option<Duration> {
        self.parting.take()
    }

    /// What goes before the next connection.
    pub(crate) fn begin(&mut self) {
        if let Some(unreported) = self.out.as_ref().map(|out| out.link.id) {
            self.lost(unreported, Failure::new(Kind::Closed));
        }
        self.parting = None;
        // What others know already is known before the first choice.
        self.hear_health(Waker::noop());
        if let machine::Status::Idle = self.machine.status() {
            self.feed(Input::Start, None);
        }
    }

    /// Tells once that work beside the connection needs somebody who polls.
    pub(super) fn warn(&mut self) {
        let standing = self.machine.policy().standing();
        let asks = standing.spares > 0 || standing.failback.is_some() || standing.max_age.is_some();
        if asks && self.warned == Warned::NotYet {
            self.warned = Warned::Told;
            self.publish(self.clock.now(), What::NotDriven);
        }
    }

    pub(crate) fn poll_connect(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Established<D::Conn>, GiveUp>> {
        loop {
            self.poll_spares(cx);
            self.hear(cx);
            // A spare that took over is handed out before its replacement is dialled.
            if let Some(answer) = self.answer() {
                return Poll::Ready(answer);
            }
            self.poll_dials(cx);
            if let Some(answer) = self.answer() {
                return Poll::Ready(answer);
            }
            if !self.has_new_spare() {
                ready!(self.poll_wake(cx));
            }
        }
    }

    /// What there is to say to who waits for a connection.
    fn answer(&mut self) -> Option<Result<Established<D::Conn>, GiveUp>> {
        let answer = match self.machine.status() {
            machine::Status::Connected { link, .. } => Ok(self.take_connection(link.attempt)?),
            machine::Status::Closed(reason) => Err(self.give_up(reason)),
            machine::Status::Idle
            | machine::Status::Waiting { .. }
            | machine::Status::Dialing { .. }
            | machine::Status::Paused
            | machine::Status::Starved => return None,
        };
        self.disarm();
        Some(answer)
    }

    /// Ready when the connection that is out shall be given up. Meanwhile it makes the dials on the
    /// side: spares, probes, moves.
    pub(crate) fn poll_hung_up(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            self.poll_spares(cx);
            self.hear(cx);
            self.poll_dials(cx);
            if self.out.is_none() {
                self.disarm();
                return Poll::Ready(());
            }
            if !self.has_new_spare() {
                ready!(self.poll_wake(cx));
            }
        }
    }

    /// Hears the handles and makes the dials while somebody is busy with what a connection left behind.
    /// Whether the connector is closed.
    pub(crate) fn poll_beside(&mut self, cx: &mut Context<'_>) -> bool {
        loop {
            self.poll_spares(cx);
            self.hear(cx);
            self.poll_dials(cx);
            if self.is_closed() || !self.has_new_spare() && self.poll_wake(cx).is_pending() {
                return self.is_closed();
            }
        }
    }

    /// Whoever goes away with an answer is not to be woken by a timer that was for the question.
    pub(super) fn disarm(&mut self) {
        self.timer = None;
    }

    /// The connection that the machine stands on, if it is not out already.
    fn take_connection(&mut self, attempt: AttemptId) -> Option<Established<D::Conn>> {
        let at = self
            .kept
            .iter()
            .position(|kept| kept.established.id() == attempt)?;
        let Kept {
            mut established,
            endpoint,
            ..
        } = self.kept.remove(at);
        self.forget_spare(endpoint);
        // Who holds a connection holds no memory for dials: most clients stay connected for long.
        self.kept.shrink_to_fit();
        self.in_flight.shrink_to_fit();
        self.outbox = Outbox::default();
        established.arrival = core::mem::take(&mut self.arrival);
        self.out = Some(Out {
            link: established.link.clone(),
            leave: established.leave(),
        });
        self.shared.with(|inside| inside.counters.connections += 1);
        Some(established)
    }

    /// Ready when time was news. Pending with a timer armed otherwise.
    pub(super) fn poll_wake(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let wakes = [
            self.machine.next_wake(),
            self.learner.next_wake(),
            self.gate_wake(),
        ];
        let Some(wake) = wakes.into_iter().flatten().min() else {
            self.timer = None;
            return Poll::Pending;
        };
        // One that is armed for an earlier dial does, too: to arm a timer is a good part of what a
        // dial over loopback costs, and most dials are done long before.
        let armed = self.timer.as_mut().filter(|(at, _)| *at <= wake);
        if let Some((at, sleep)) = armed {
            let early = *at < wake;
            ready!(sleep.as_mut().poll(cx));
            self.timer = None;
            if !early && self.clock.now() < wake {
                // A sleep that ends early must not become a busy loop inside one poll.
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
        let now = self.clock.now();
        if wake <= now {
            self.end_late_dials(now);
            self.merge_learned(now);
            self.feed(Input::Wake, None);
            return Poll::Ready(());
        }
        self.timer = Some((wake, Box::pin(self.clock.sleep_until(wake))));
        self.poll_wake(cx)
    }
}
