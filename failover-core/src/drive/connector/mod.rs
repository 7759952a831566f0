//! The loop that carries the machine's decisions out.

mod connections;
mod gate;
mod leaving;
mod list;
mod recording;
mod tell;

use std::boxed::Box;
use std::collections::VecDeque;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;
use std::vec::Vec;

use crate::attempt::AttemptId;
use crate::dial::{Dial, DialError, Trail};
use crate::directory::{Directory, Endpoint, Learner, Target};
use crate::drive::builder::ConnectorBuilder;
use crate::drive::clock::Clock;
pub use crate::drive::connector::connections::Connections;
pub(crate) use crate::drive::connector::gate::Sharing;
use crate::drive::connector::gate::{Gate, Pass};
use crate::drive::connector::leaving::Leaving;
use crate::drive::error::{DeadlinePassed, GiveUp, Loss};
use crate::drive::event::{Events, Link, Ring, What};
use crate::drive::guard::Guarded;
use crate::drive::handle::{Goal, Handle, Network, Shared, Status};
use crate::drive::leave::Leave;
use crate::drive::recorder;
use crate::drive::report::EndpointReport;
use crate::drive::spans::{DialSpan, Spans};
use crate::endpoint::EndpointId;
use crate::failure::{Classify, Failure, Kind};
use crate::machine::{
    self, Answer, CloseReason, DialOrder, Input, Machine, Move, Outbox, Output, Whither,
};
use crate::policy::Hooks;
use crate::time::Time;

/// Stays connected to one of several endpoints.
///
/// It spawns nothing and is pulled by its owner: **progress happens while one of its futures is
/// polled.** All progress lives in the connector, so that dropping a future and calling again goes
/// on where it was, with the same limits and deadlines. Dropping the connector drops everything:
/// dials in flight, timers, event streams.
///
/// ```
/// # use std::future::{Ready, ready};
/// # use failover_core::dial::{Dial, DialContext};
/// # use failover_core::directory::{Endpoint, Target};
/// # use failover_core::drive::{Clock, Connector};
/// # use failover_core::failure::{Failure, Kind};
/// # use failover_core::time::Time;
/// # struct Tcp;
/// # impl Dial for Tcp { type Conn = String; type Error = Failure;
/// #   async fn dial(&self, to: &Target, _: &DialContext) -> Result<String, Failure> {
/// #     if to.url().host() == "dead" { Err(Failure::new(Kind::Refused)) } else { Ok(to.to_string()) } } }
/// # struct MyClock;
/// # impl Clock for MyClock { type Sleep = Ready<()>;
/// #   fn now(&self) -> Time { Time::ZERO }
/// #   fn sleep_until(&self, _: Time) -> Ready<()> { ready(()) } }
/// # smol::block_on(async {
/// let mut connector = Connector::builder(Tcp, MyClock)
///     .endpoint(Endpoint::parse("tcp://dead:4222")?)
///     .endpoint(Endpoint::parse("tcp://alive:4222")?)
///     .build()?;
///
/// let first = connector.connect().await?;
/// assert_eq!(first.target().to_string(), "tcp://alive:4222");
///
/// // ... use `first.conn` until it fails, then say why and connect again:
/// connector.lost(first.id(), Failure::new(Kind::Reset));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
pub struct Connector<D: Dial, C: Clock> {
    dialer: Arc<D>,
    clock: Arc<C>,
    directory: Directory,
    machine: Machine,
    hooks: Box<dyn Hooks + Send>,
    learner: Learner,
    /// The connection over which the list came that waits in the learner.
    teacher: Option<Link>,
    /// Endpoints that left the list, for events that still name them.
    departed: VecDeque<(EndpointId, Arc<Endpoint>)>,
    outbox: Outbox,
    in_flight: Vec<InFlight<D>>,
    timer: Option<(Time, Pin<Box<C::Sleep>>)>,
    /// Connections that nobody has taken: the next one, and spares.
    kept: Vec<Established<D::Conn>>,
    /// The connection that is out, until it is lost or left.
    out: Option<Out>,
    /// The connection that was out is to be left, and its session may finish for this long.
    parting: Option<Duration>,
    /// How the connection came about that the machine stands on.
    arrival: Arrival,
    warned: Warned,
    spans: Spans,
    sharing: Sharing,
    shared: Arc<Shared>,
    rings: Vec<Arc<Ring>>,
}

/// A connection, handed out with what is known of it.
#[derive(Debug)]
#[non_exhaustive]
pub struct Established<T> {
    /// The connection itself.
    pub conn: T,
    link: Link,
    arrival: Arrival,
    leave: Leave,
}

/// Why a connection is there.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum Arrival {
    /// It is the first one.
    #[default]
    First,
    /// It follows one that was lost, to the same server.
    Reconnected,
    /// It follows one that was lost, to another server.
    FailedOver {
        /// The server that was lost.
        from: Arc<Endpoint>,
    },
    /// It follows one that still stood when it was made.
    Moved {
        /// The server that is left.
        from: Arc<Endpoint>,
        /// What for.
        why: Move,
    },
}

/// The connection that is out.
struct Out {
    link: Link,
    leave: Leave,
}

/// Whether it was told that nothing polls the connector while a connection stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Warned {
    NotYet,
    Told,
}

impl<T> Established<T> {
    /// Its name towards the connector, for [`Connector::lost`].
    #[must_use]
    pub fn id(&self) -> AttemptId {
        self.link.id
    }

    /// The endpoint and the route.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.link.target
    }

    /// Why it is there: the first one, a reconnect, a failover, a move.
    #[must_use]
    pub fn arrival(&self) -> &Arrival {
        &self.arrival
    }

    /// Tells when it is to be left: keep a clone in the session.
    #[must_use]
    pub fn leave(&self) -> Leave {
        self.leave.clone()
    }
}

struct InFlight<D: Dial> {
    order: DialOrder,
    target: Target,
    trail: Trail,
    ordered: Time,
    began: Time,
    span: DialSpan,
    /// None until nothing holds it any more.
    future: Option<DialFuture<D>>,
    /// Given back when the dial ends.
    pass: Pass,
}

type DialFuture<D> =
    Pin<Box<dyn Future<Output = Result<<D as Dial>::Conn, <D as Dial>::Error>> + Send>>;

/// What a dial or a connection leaves behind for its event.
struct Remains {
    target: Target,
    trail: Trail,
    /// Why it ended, if that is to be remembered as its endpoint's last failure.
    failure: Option<Failure>,
    error: Option<DialError>,
}

impl<D: Dial + 'static, C: Clock> Connector<D, C> {
    /// Begins to put a connector together, over this dialer and this clock.
    pub fn builder(dialer: D, clock: C) -> ConnectorBuilder<D, C> {
        ConnectorBuilder::new(dialer, clock)
    }

    pub(crate) fn new(
        dialer: D,
        clock: C,
        directory: Directory,
        machine: Machine,
        hooks: Box<dyn Hooks + Send>,
        learner: Learner,
        sharing: Sharing,
    ) -> Self {
        let reports = directory
            .iter()
            .map(|(id, endpoint)| (id, EndpointReport::new(Arc::clone(endpoint))));
        let clock = Arc::new(clock);
        let now = {
            let clock = Arc::clone(&clock);
            move || clock.now()
        };
        Self {
            dialer: Arc::new(dialer),
            clock,
            shared: Arc::new(Shared::new(now, reports.collect())),
            directory,
            machine,
            hooks,
            learner,
            teacher: None,
            departed: VecDeque::new(),
            outbox: Outbox::default(),
            in_flight: Vec::new(),
            timer: None,
            kept: Vec::new(),
            out: None,
            parting: None,
            arrival: Arrival::First,
            warned: Warned::NotYet,
            spans: Spans::default(),
            sharing,
            rings: Vec::new(),
        }
    }

    /// A handle to control it from elsewhere.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle::new(Arc::clone(&self.shared))
    }

    /// A stream of what happens from now on.
    pub fn events(&mut self) -> Events {
        let (events, ring) = Events::new();
        if self.is_closed() {
            ring.end();
        } else {
            self.rings.retain(|ring| !ring.is_ended());
            self.rings.push(ring);
        }
        events
    }

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
    /// ready, a reconnect or close was asked for), its [`Leave`] tells it, and it may finish for the
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

    /// Ends it: drops what is in flight and tells `Closed`. Later calls change nothing.
    pub fn close(&mut self) {
        self.feed(Input::Close, None);
    }

    pub(crate) fn dialer(&self) -> &Arc<D> {
        &self.dialer
    }

    pub(crate) fn clock(&self) -> Arc<C> {
        Arc::clone(&self.clock)
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
        self.feed(Input::Start, None);
    }

    /// Tells once that work beside the connection needs somebody who polls.
    fn warn(&mut self) {
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
            self.hear(cx);
            self.poll_dials(cx);
            if let Some(established) = self.take_connection() {
                self.disarm();
                return Poll::Ready(Ok(established));
            }
            if let machine::Status::Closed(reason) = self.machine.status() {
                self.disarm();
                return Poll::Ready(Err(self.give_up(reason)));
            }
            ready!(self.poll_wake(cx));
        }
    }

    /// Ready when the connection that is out shall be given up. Meanwhile it makes the dials on the
    /// side: spares, probes, moves.
    pub(crate) fn poll_hung_up(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            self.hear(cx);
            self.poll_dials(cx);
            if self.out.is_none() {
                self.disarm();
                return Poll::Ready(());
            }
            ready!(self.poll_wake(cx));
        }
    }

    /// Hears the handles and makes the dials while somebody is busy with what a connection left behind.
    /// Whether the connector is closed.
    pub(crate) fn poll_beside(&mut self, cx: &mut Context<'_>) -> bool {
        loop {
            self.hear(cx);
            self.poll_dials(cx);
            if self.is_closed() || self.poll_wake(cx).is_pending() {
                return self.is_closed();
            }
        }
    }

    /// Whoever goes away with an answer is not to be woken by a timer that was for the question.
    fn disarm(&mut self) {
        self.timer = None;
    }

    /// The connection that the machine stands on, if it is not out already.
    fn take_connection(&mut self) -> Option<Established<D::Conn>> {
        let machine::Status::Connected { link, .. } = self.machine.status() else {
            return None;
        };
        let at = self
            .kept
            .iter()
            .position(|kept| kept.id() == link.attempt)?;
        let mut established = self.kept.remove(at);
        established.arrival = core::mem::take(&mut self.arrival);
        self.out = Some(Out {
            link: established.link.clone(),
            leave: established.leave(),
        });
        self.shared.with(|inside| inside.counters.connections += 1);
        Some(established)
    }

    /// Takes in what was said through handles.
    fn hear(&mut self, cx: &Context<'_>) {
        self.hear_health(cx.waker());
        let words = self.shared.listen(cx.waker());
        if words.close {
            self.feed(Input::Close, None);
            return;
        }
        for change in words.changes {
            if let Err(error) = self.change_list(change) {
                self.publish(self.clock.now(), What::ListRefused { error });
            }
        }
        if let Some((connection, list)) = words.learned {
            self.hear_list(connection, &list);
        }
        match words.network {
            Some(Network::Gone) => drop(self.feed(Input::Pause, None)),
            Some(Network::Back) => drop(self.feed(Input::Resume, None)),
            None => {}
        }
        if let (true, machine::Status::Connected { link, .. }) =
            (words.drain, self.machine.status())
        {
            let attempt = link.attempt;
            self.feed(Input::Drain { attempt }, None);
        }
        if let Some(goal) = words.reconnect {
            self.force(goal);
        }
    }

    fn force(&mut self, goal: Goal) {
        let whither = match goal {
            Goal::Any => Whither::Any,
            Goal::Other => Whither::Other,
            Goal::This(name) => match self.find(name) {
                Ok(id) => Whither::This(id),
                Err(error) => return self.publish(self.clock.now(), What::ListRefused { error }),
            },
        };
        self.feed(Input::Reconnect(whither), None);
    }

    /// Polls every dial. News may start and cancel others, so that all are polled again after it.
    fn poll_dials(&mut self, cx: &mut Context<'_>) {
        let mut at = 0;
        while let Some(dial) = self.in_flight.get_mut(at) {
            let Some(future) = &mut dial.future else {
                match self.poll_gate(at, cx) {
                    Gate::Open => {}
                    Gate::Held => at += 1,
                    Gate::Gone => at = 0,
                }
                continue;
            };
            match dial.span.in_scope(|| future.as_mut().poll(cx)) {
                Poll::Pending => at += 1,
                Poll::Ready(outcome) => {
                    let dial = self.in_flight.remove(at);
                    self.dial_ended(dial, outcome);
                    at = 0;
                }
            }
        }
    }

    /// Ready when time was news. Pending with a timer armed otherwise.
    fn poll_wake(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let wakes = [
            self.machine.next_wake(),
            self.learner.next_wake(),
            self.gate_wake(),
        ];
        let Some(wake) = wakes.into_iter().flatten().min() else {
            self.timer = None;
            return Poll::Pending;
        };
        let now = self.clock.now();
        if wake <= now {
            self.end_late_dials(now);
            self.merge_learned(now);
            self.feed(Input::Wake, None);
            return Poll::Ready(());
        }
        let (_, sleep) = match &mut self.timer {
            Some(timer) if timer.0 == wake => timer,
            stale => stale.insert((wake, Box::pin(self.clock.sleep_until(wake)))),
        };
        ready!(sleep.as_mut().poll(cx));
        self.timer = None;
        if self.clock.now() < wake {
            // A sleep that ends early must not become a busy loop inside one poll.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(())
    }

    /// Drops the dials whose deadline has passed, and says in which phase they were.
    fn end_late_dials(&mut self, now: Time) {
        while let Some(at) = self
            .in_flight
            .iter()
            .position(|dial| dial.future.is_some() && dial.order.deadline <= now)
        {
            let mut dial = self.in_flight.remove(at);
            let late = DeadlinePassed {
                after: dial.order.deadline.since(dial.began),
                phase: dial.trail.phase(),
            };
            dial.future = None;
            let error = DialError::new(late);
            self.dial_failed(dial.order, dial.target, dial.trail, error);
        }
    }

    fn dial_ended(&mut self, dial: InFlight<D>, outcome: Result<D::Conn, D::Error>) {
        let InFlight {
            order,
            target,
            trail,
            ..
        } = dial;
        match outcome {
            Err(error) => self.dial_failed(order, target, trail, DialError::new(error)),
            Ok(conn) => {
                self.learn(order.attempt, &trail);
                self.sharing.on_connection(target.endpoint().name());
                let link = Link {
                    id: order.attempt,
                    target: target.clone(),
                };
                self.kept.push(Established {
                    conn,
                    link,
                    arrival: Arrival::First,
                    leave: Leave::default(),
                });
                let remains = Remains {
                    target,
                    trail,
                    failure: None,
                    error: None,
                };
                let input = Input::Connected {
                    attempt: order.attempt,
                };
                if self.feed(input, Some(remains)) != Answer::Taken {
                    self.drop_connection(order.attempt, None);
                }
            }
        }
    }

    fn dial_failed(&mut self, order: DialOrder, target: Target, trail: Trail, error: DialError) {
        self.learn(order.attempt, &trail);
        let mut failure = error.failure();
        failure.phase = failure.phase.or(trail.phase());
        let input = Input::Failed {
            attempt: order.attempt,
            failure,
        };
        let remains = Remains {
            target,
            trail,
            failure: Some(failure),
            error: Some(error),
        };
        self.feed(input, Some(remains));
    }

    fn learn(&mut self, attempt: AttemptId, trail: &Trail) {
        if let Some(security) = trail.security() {
            self.feed(Input::Learned { attempt, security }, None);
        }
    }

    /// Tells the machine news and carries out what follows.
    fn feed(&mut self, input: Input, remains: Option<Remains>) -> Answer {
        let now = self.clock.now();
        let mut hooks = Guarded {
            hooks: &mut *self.hooks,
            panicked: None,
        };
        let (machine, out) = (&mut self.machine, &mut self.outbox);
        let answer = recorder::handle(self.shared.flight(), machine, input, &mut hooks, out, now);
        if let Some(message) = hooks.panicked {
            self.tell_panic(message, now);
        }
        self.carry_out(remains, now);
        answer
    }

    fn carry_out(&mut self, mut remains: Option<Remains>, now: Time) {
        let mut outbox = core::mem::take(&mut self.outbox);
        for output in outbox.drain() {
            match output {
                Output::Dial(order) => self.start_dial(order, now),
                Output::Cancel(attempt) => {
                    let at = self
                        .in_flight
                        .iter()
                        .position(|dial| dial.order.attempt == attempt);
                    remains = at
                        .map(|at| self.in_flight.remove(at))
                        .map(Remains::of_cancelled);
                }
                Output::HangUp { attempt, grace } => self.drop_connection(attempt, Some(grace)),
                Output::Event(event) => self.tell(event, remains.take(), now),
            }
        }
        self.outbox = outbox;
        self.shared.set_status(self.status(), now);
    }

    /// This connection is no more ours: dropped if it is here; if it is out, its session is told to
    /// leave, and may finish for this long.
    fn drop_connection(&mut self, attempt: AttemptId, grace: Option<Duration>) {
        self.kept.retain(|kept| kept.id() != attempt);
        if let Some(out) = self.out.take_if(|out| out.link.id == attempt) {
            out.leave.ask();
            self.parting = grace.filter(|grace| !grace.is_zero());
        }
    }

    fn start_dial(&mut self, order: DialOrder, now: Time) {
        let Some(target) = self.target(order.endpoint, order.route) else {
            return;
        };
        self.in_flight.push(InFlight {
            ordered: now,
            began: now,
            span: self.spans.dial(&order, &target),
            order,
            target,
            trail: Trail::default(),
            future: None,
            pass: Pass::default(),
        });
        self.order_dial(self.in_flight.len() - 1);
    }

    fn remains_of_session(
        &self,
        id: AttemptId,
        failure: Failure,
        error: Option<DialError>,
    ) -> Option<Remains> {
        let machine::Status::Connected { link, .. } = self.machine.status() else {
            return None;
        };
        (link.attempt == id).then_some(Remains {
            target: self.target(link.endpoint, link.route)?,
            trail: Trail::default(),
            failure: Some(failure),
            error,
        })
    }

    fn is_closed(&self) -> bool {
        matches!(self.machine.status(), machine::Status::Closed(_))
    }

    fn give_up(&self, reason: CloseReason) -> GiveUp {
        GiveUp {
            reason,
            endpoints: self
                .shared
                .with(|inside| inside.reports.values().cloned().collect()),
            recorded: self.shared.recorded(),
        }
    }

    fn status(&self) -> Status {
        let status = match self.machine.status() {
            machine::Status::Idle => Some(Status::Idle),
            machine::Status::Waiting { endpoint, until } => self
                .target(endpoint, 0)
                .map(|target| Status::Waiting { target, until }),
            machine::Status::Dialing { endpoint } => {
                self.target(endpoint, 0).map(|target| match self.held() {
                    Some(by) => Status::Held { target, by },
                    None => Status::Dialing { target },
                })
            }
            machine::Status::Connected { link, since } => self
                .target(link.endpoint, link.route)
                .map(|target| Status::Connected { target, since }),
            machine::Status::Paused => Some(Status::Paused),
            machine::Status::Starved => Some(Status::Starved),
            machine::Status::Closed(reason) => Some(Status::Closed(reason)),
        };
        status.unwrap_or_default()
    }

    fn target(&self, endpoint: EndpointId, route: u8) -> Option<Target> {
        Some(Target::new(self.endpoint(endpoint)?, route))
    }

    fn endpoint(&self, id: EndpointId) -> Option<Arc<Endpoint>> {
        let departed = || {
            let mut departed = self.departed.iter();
            departed.find(|(departed, _)| *departed == id)
        };
        let present = self.directory.get(id);
        present
            .or_else(|| departed().map(|(_, endpoint)| endpoint))
            .map(Arc::clone)
    }
}

impl<D: Dial, C: Clock> Drop for Connector<D, C> {
    fn drop(&mut self) {
        for ring in &self.rings {
            ring.end();
        }
        if !matches!(self.machine.status(), machine::Status::Closed(_)) {
            self.shared.set_status(Status::Dropped, self.clock.now());
        }
    }
}

impl<D: Dial, C: Clock> fmt::Debug for Connector<D, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector")
            .field("status", &self.machine.status())
            .field("directory", &self.directory)
            .field("event_streams", &self.rings.len())
            .finish_non_exhaustive()
    }
}

impl Remains {
    fn of_cancelled<D: Dial>(dial: InFlight<D>) -> Self {
        Self {
            target: dial.target,
            trail: dial.trail,
            failure: None,
            error: None,
        }
    }
}

const _: () = {
    // A connector over an erased dialer must be spawnable.
    const fn is_send<T: Send>(_: &T) {}
    #[expect(dead_code, reason = "compiled, never called")]
    fn futures_are_send<C: Clock>(connector: &mut Connector<crate::dial::BoxDial<u8>, C>) {
        is_send(&connector.connect());
    }
};
