//! The loop that carries the machine's decisions out.

mod connections;
mod dials;
mod established;
mod gate;
mod hearing;
mod kept;
mod leaving;
mod list;
mod looks;
mod recording;
mod tell;
mod using;

use std::boxed::Box;
use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use std::vec::Vec;

use crate::attempt::AttemptId;
use crate::dial::{Dial, DialError, Trail};
use crate::directory::{Directory, Endpoint, Learner, Target};
use crate::drive::builder::ConnectorBuilder;
use crate::drive::clock::Clock;
pub use crate::drive::connector::connections::Connections;
use crate::drive::connector::dials::InFlight;
pub use crate::drive::connector::established::{Arrival, Established};
pub(crate) use crate::drive::connector::gate::Sharing;
use crate::drive::connector::kept::Kept;
use crate::drive::event::{Events, Link, Ring};
use crate::drive::guard::Guarded;
use crate::drive::handle::{Handle, Shared, Status};
use crate::drive::keep::Keepers;
use crate::drive::leave::Leave;
use crate::drive::recorder;
use crate::drive::report::EndpointReport;
use crate::drive::spans::Spans;
use crate::endpoint::EndpointId;
use crate::failure::Failure;
use crate::living;
use crate::machine::{self, Answer, Input, Machine, Outbox, Output};
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
    kept: Vec<Kept<D::Conn>>,
    /// Who looks after spares.
    keepers: Option<Keepers<D::Conn>>,
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
            keepers: None,
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
            living::push(&mut self.rings, ring, |ring| !ring.is_ended());
        }
        events
    }

    /// Ends it: drops what is in flight and tells `Closed`. Later calls change nothing.
    pub fn close(&mut self) {
        self.feed(Input::Close, None);
    }

    /// How long a connection that was left may finish.
    pub(crate) fn grace(&self) -> Duration {
        self.machine.policy().standing().grace
    }

    pub(crate) fn dialer(&self) -> &Arc<D> {
        &self.dialer
    }

    pub(crate) fn clock(&self) -> Arc<C> {
        Arc::clone(&self.clock)
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
        // What is stale changes nothing.
        if answer == Answer::Taken {
            self.carry_out(remains, now);
        }
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
        if let Some(at) = self
            .kept
            .iter()
            .position(|kept| kept.established.id() == attempt)
        {
            let gone = self.kept.remove(at).endpoint;
            self.forget_spare(gone);
        }
        if let Some(out) = self.out.take_if(|out| out.link.id == attempt) {
            out.leave.ask();
            self.parting = grace.filter(|grace| !grace.is_zero());
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
