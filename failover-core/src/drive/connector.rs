//! The loop that carries the machine's decisions out.

use std::boxed::Box;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::vec::Vec;

use crate::attempt::AttemptId;
use crate::dial::{Dial, DialContext, DialError, Trail};
use crate::directory::{Directory, Endpoint, Target};
use crate::drive::builder::ConnectorBuilder;
use crate::drive::clock::Clock;
use crate::drive::error::{DeadlinePassed, EndpointReport, GiveUp, Loss};
use crate::drive::event::{Attempt, AttemptError, Event, Events, Link, NextDial, Ring, What};
use crate::drive::guard::Guarded;
use crate::drive::handle::{Handle, Shared, Status};
use crate::endpoint::EndpointId;
use crate::failure::{Classify, Failure, Kind};
use crate::machine::{
    self, Answer, CloseReason, DialOrder, Input, Machine, Outbox, Output, Whither,
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
    outbox: Outbox,
    in_flight: Vec<InFlight<D>>,
    timer: Option<(Time, Pin<Box<C::Sleep>>)>,
    /// Connections that nobody has taken: the next one, and spares.
    kept: Vec<Established<D::Conn>>,
    /// The connection that is out, until it is lost or left.
    out: Option<AttemptId>,
    reports: Vec<EndpointReport>,
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
}

struct InFlight<D: Dial> {
    order: DialOrder,
    target: Target,
    trail: Trail,
    future: DialFuture<D>,
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
    ) -> Self {
        let reports = directory.iter().map(|(_, endpoint)| EndpointReport {
            endpoint: Arc::clone(endpoint),
            dials: 0,
            failure: None,
            error: None,
        });
        Self {
            dialer: Arc::new(dialer),
            clock: Arc::new(clock),
            reports: reports.collect(),
            directory,
            machine,
            hooks,
            outbox: Outbox::default(),
            in_flight: Vec::new(),
            timer: None,
            kept: Vec::new(),
            out: None,
            shared: Arc::default(),
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
        if let machine::Status::Closed(_) = self.machine.status() {
            ring.end();
        } else {
            self.rings.push(ring);
        }
        events
    }

    /// The next connection: the first one, or, after [`lost`](Self::lost), the one that follows.
    ///
    /// Between two calls nothing is polled, so that spares, probes and moves, which happen while a
    /// connection stands, need [`run`](Self::run).
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
        if let Some(unreported) = self.out {
            self.lost(unreported, Failure::new(Kind::Closed));
        }
        self.feed(Input::Start, None);
        poll_fn(|cx| self.poll_connect(cx)).await
    }

    /// Reports that a connection was lost, why, and perhaps what the application makes of it. A
    /// report about any other than the connection handed out last changes nothing.
    pub fn lost(&mut self, connection: AttemptId, loss: impl Into<Loss>) -> Answer {
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

    /// Runs a session on each connection, one after the other, until one returns `Ok` (the
    /// connector is then closed), it is closed through a handle, or it gives up.
    ///
    /// The session runs in the caller's task. When a reconnect or close is asked for through a
    /// handle, it is dropped at its current await point.
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
        loop {
            let established = match self.connect().await {
                Ok(established) => established,
                Err(GiveUp {
                    reason: CloseReason::ByUser,
                    ..
                }) => return Ok(()),
                Err(gave_up) => return Err(gave_up),
            };
            let id = established.id();
            let mut running = pin!(session(established));
            let ended = poll_fn(|cx| match running.as_mut().poll(cx) {
                Poll::Ready(ended) => Poll::Ready(Some(ended)),
                Poll::Pending => self.poll_hung_up(cx).map(|()| None),
            });
            match ended.await {
                Some(Ok(())) => {
                    self.close();
                    return Ok(());
                }
                Some(Err(loss)) => {
                    self.lost(id, loss);
                }
                None => {}
            }
        }
    }

    /// Ends it: drops what is in flight and tells `Closed`. Later calls change nothing.
    pub fn close(&mut self) {
        self.feed(Input::Close, None);
    }

    fn poll_connect(&mut self, cx: &mut Context<'_>) -> Poll<Result<Established<D::Conn>, GiveUp>> {
        loop {
            self.hear(cx);
            self.poll_dials(cx);
            if let Some(established) = self.take_connection() {
                self.out = Some(established.id());
                return Poll::Ready(Ok(established));
            }
            if let machine::Status::Closed(reason) = self.machine.status() {
                return Poll::Ready(Err(self.give_up(reason)));
            }
            ready!(self.poll_wake(cx));
        }
    }

    /// Ready when the connection that is out shall be given up. Meanwhile it makes the dials on the
    /// side: spares, probes, moves.
    fn poll_hung_up(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            self.hear(cx);
            self.poll_dials(cx);
            if self.out.is_none() {
                return Poll::Ready(());
            }
            ready!(self.poll_wake(cx));
        }
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
        Some(self.kept.remove(at))
    }

    /// Takes in what was said through handles.
    fn hear(&mut self, cx: &Context<'_>) {
        let words = self.shared.listen(cx.waker());
        if words.close {
            self.feed(Input::Close, None);
        } else if words.reconnect {
            self.feed(Input::Reconnect(Whither::Any), None);
        }
    }

    /// Polls every dial. News may start and cancel others, so that all are polled again after it.
    fn poll_dials(&mut self, cx: &mut Context<'_>) {
        let mut at = 0;
        while let Some(dial) = self.in_flight.get_mut(at) {
            match dial.future.as_mut().poll(cx) {
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
        let Some(wake) = self.machine.next_wake() else {
            self.timer = None;
            return Poll::Pending;
        };
        let now = self.clock.now();
        if wake <= now {
            self.end_late_dials(now);
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
            .position(|dial| dial.order.deadline <= now)
        {
            let dial = self.in_flight.remove(at);
            let late = DeadlinePassed {
                after: self.machine.policy().deadline(),
                phase: dial.trail.phase(),
            };
            drop(dial.future);
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
                let link = Link {
                    id: order.attempt,
                    target: target.clone(),
                };
                self.kept.push(Established { conn, link });
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
                    self.drop_connection(order.attempt);
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
        let answer = self
            .machine
            .handle(input, &mut hooks, &mut self.outbox, now);
        if let Some(message) = hooks.panicked {
            self.publish(now, What::HookPanicked { message });
        }
        self.carry_out(remains, now);
        answer
    }

    fn carry_out(&mut self, mut remains: Option<Remains>, now: Time) {
        let mut outbox = core::mem::take(&mut self.outbox);
        for output in outbox.drain() {
            match output {
                Output::Dial(order) => self.start_dial(order),
                Output::Cancel(attempt) => {
                    let at = self
                        .in_flight
                        .iter()
                        .position(|dial| dial.order.attempt == attempt);
                    remains = at
                        .map(|at| self.in_flight.remove(at))
                        .map(Remains::of_cancelled);
                }
                Output::HangUp { attempt, .. } => self.drop_connection(attempt),
                Output::Event(event) => self.tell(event, remains.take(), now),
            }
        }
        self.outbox = outbox;
        self.shared.set_status(self.status());
    }

    /// This connection is no more ours: dropped if it is here, left by its session if it is out.
    fn drop_connection(&mut self, attempt: AttemptId) {
        self.kept.retain(|kept| kept.id() != attempt);
        if self.out == Some(attempt) {
            self.out = None;
        }
    }

    fn start_dial(&mut self, order: DialOrder) {
        let Some(target) = self.target(order.endpoint, order.route) else {
            return;
        };
        let clock = Arc::clone(&self.clock);
        let now = Arc::new(move || clock.now());
        let cx = DialContext::new(
            order.attempt,
            order.number,
            order.purpose,
            order.deadline,
            now,
        );
        let trail = cx.trail().clone();
        let dialer = Arc::clone(&self.dialer);
        let to = target.clone();
        self.in_flight.push(InFlight {
            order,
            target,
            trail,
            future: Box::pin(async move { dialer.dial(&to, &cx).await }),
        });
        if let Some(report) = self.report(order.endpoint) {
            report.dials += 1;
        }
    }

    fn tell(&mut self, event: machine::Event, remains: Option<Remains>, now: Time) {
        let Some(what) = self.with_names(event, remains) else {
            return;
        };
        let last = matches!(what, What::Closed(_));
        self.publish(now, what);
        if last {
            self.end_events();
        }
    }

    /// Pairs the machine's event with names and errors.
    fn with_names(&mut self, event: machine::Event, remains: Option<Remains>) -> Option<What> {
        Some(match event {
            machine::Event::Attempt(ended) => {
                let remains = remains?;
                self.remember(ended.order.endpoint, &remains);
                What::Attempt(Attempt {
                    id: ended.order.attempt,
                    number: ended.order.number,
                    purpose: ended.order.purpose,
                    phases: remains.trail.phases(),
                    address: remains.trail.address(),
                    target: remains.target,
                    outcome: ended.outcome.map_err(|failure| AttemptError {
                        failure: Failure {
                            phase: failure.phase.or(remains.trail.phase()),
                            ..failure
                        },
                        error: remains.error,
                    }),
                    took: ended.took,
                    next: self.next_dial(ended.next),
                })
            }
            machine::Event::Disconnected {
                link,
                why,
                lived,
                next,
            } => {
                self.drop_connection(link.attempt);
                if let Some(remains) = &remains {
                    self.remember(link.endpoint, remains);
                }
                What::Disconnected {
                    link: self.link(link)?,
                    why,
                    error: remains.and_then(|remains| remains.error),
                    lived,
                    next: self.next_dial(next),
                }
            }
            machine::Event::Connected(link) => What::Connected(self.link(link)?),
            machine::Event::Reconnected(link) => What::Reconnected(self.link(link)?),
            machine::Event::FailedOver { to, from } => What::FailedOver {
                to: self.link(to)?,
                from: self.endpoint(from)?,
            },
            machine::Event::SessionGone => What::SessionGone,
            machine::Event::Switching { from, why } => What::Switching {
                from: self.link(from)?,
                why,
            },
            machine::Event::Moved { to, from, why } => What::Moved {
                to: self.link(to)?,
                from: self.endpoint(from)?,
                why,
            },
            machine::Event::Draining { link, after } => What::Draining {
                link: self.link(link)?,
                after,
            },
            machine::Event::Suspended { endpoint, until } => What::Suspended {
                endpoint: self.endpoint(endpoint)?,
                until,
            },
            machine::Event::SpareReady(link) => What::SpareReady(self.link(link)?),
            machine::Event::SpareLost { link, failure } => What::SpareLost {
                link: self.link(link)?,
                failure,
            },
            machine::Event::Starved => What::Starved,
            machine::Event::Closed(reason) => What::Closed(reason),
        })
    }

    fn publish(&self, at: Time, what: What) {
        for ring in &self.rings {
            ring.push(Event {
                at,
                what: what.clone(),
            });
        }
    }

    fn end_events(&mut self) {
        for ring in self.rings.drain(..) {
            ring.end();
        }
    }

    /// Keeps the last error of an endpoint for the final word.
    fn remember(&mut self, endpoint: EndpointId, remains: &Remains) {
        if let (Some(failure), Some(report)) = (remains.failure, self.report(endpoint)) {
            report.failure = Some(failure);
            report.error.clone_from(&remains.error);
        }
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

    fn give_up(&self, reason: CloseReason) -> GiveUp {
        GiveUp {
            reason,
            endpoints: self.reports.clone(),
        }
    }

    fn status(&self) -> Status {
        let status = match self.machine.status() {
            machine::Status::Idle => Some(Status::Idle),
            machine::Status::Waiting { endpoint, until } => self
                .target(endpoint, 0)
                .map(|target| Status::Waiting { target, until }),
            machine::Status::Dialing { endpoint } => self
                .target(endpoint, 0)
                .map(|target| Status::Dialing { target }),
            machine::Status::Connected { link, since } => self
                .target(link.endpoint, link.route)
                .map(|target| Status::Connected { target, since }),
            machine::Status::Paused => Some(Status::Paused),
            machine::Status::Starved => Some(Status::Starved),
            machine::Status::Closed(reason) => Some(Status::Closed(reason)),
        };
        status.unwrap_or_default()
    }

    fn next_dial(&self, planned: Option<machine::Planned>) -> Option<NextDial> {
        let planned = planned?;
        Some(NextDial {
            target: self.target(planned.endpoint, planned.route)?,
            wait: planned.wait,
        })
    }

    fn link(&self, link: machine::Link) -> Option<Link> {
        Some(Link {
            id: link.attempt,
            target: self.target(link.endpoint, link.route)?,
        })
    }

    fn target(&self, endpoint: EndpointId, route: u8) -> Option<Target> {
        Some(Target::new(self.endpoint(endpoint)?, route))
    }

    fn endpoint(&self, id: EndpointId) -> Option<Arc<Endpoint>> {
        self.directory.get(id).map(Arc::clone)
    }

    fn report(&mut self, endpoint: EndpointId) -> Option<&mut EndpointReport> {
        let name = self.directory.get(endpoint)?;
        self.reports
            .iter_mut()
            .find(|report| Arc::ptr_eq(&report.endpoint, name))
    }
}

impl<D: Dial, C: Clock> Drop for Connector<D, C> {
    fn drop(&mut self) {
        for ring in &self.rings {
            ring.end();
        }
        if !matches!(self.machine.status(), machine::Status::Closed(_)) {
            self.shared.set_status(Status::Dropped);
        }
    }
}

impl<D: Dial, C: Clock> fmt::Debug for Connector<D, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector")
            .field("status", &self.machine.status())
            .field("directory", &self.directory)
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
