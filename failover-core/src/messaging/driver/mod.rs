//! The half that carries: connects, writes, reads, and connects again.

mod end;
mod late;
mod leave;

use std::boxed::Box;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use std::vec::Vec;

use crate::dial::Dial;
use crate::drive::{Clock, Connector, Established, GiveUp, Handle};
use crate::failure::{Classify, Failure};
use crate::link::{Flight, LinkPolicy};
use crate::messaging::active::{Active, Desks, Duty, Turn};
use crate::messaging::desk::{Desk, Parcel, Wanted};
use crate::messaging::driver::leave::Parting;
use crate::messaging::error::{Ended, LinkError};
use crate::messaging::link::Link;
use crate::messaging::login::{LoggedIn, Login};
use crate::messaging::news::News;
use crate::messaging::protocol::Protocol;
use crate::messaging::wire::Wire;
use crate::time::Time;

/// How long it may take until the peer has heard the goodbye and ended the connection, too.
const LINGER: Duration = Duration::from_secs(5);

/// A link over this connector: the user's half, and the half that carries and is to be spawned or polled.
/// See the [module](crate::messaging).
///
/// Readers of the connector's events are to be made before.
pub fn open<D, P, C>(
    connector: Connector<Login<D, P>, C>,
    policy: LinkPolicy,
) -> (Link<P>, LinkDriver<D, P, C>)
where
    D: Dial + 'static,
    D::Conn: Wire,
    P: Protocol,
    C: Clock,
{
    let desk = Arc::new(Desk::new(&policy));
    let protocol = Arc::clone(connector.dialer().protocol());
    let handle = connector.handle();
    let hours = connector.clock();
    let link = Link::new(Arc::clone(&desk), protocol, hours, handle.clone(), policy);
    let driver = LinkDriver {
        connector,
        handle,
        desk,
        flight: Flight::new(&policy),
        policy,
        state: State::Begin,
        partings: Vec::new(),
        timer: None,
    };
    (link, driver)
}

/// The half of a link that carries. See [`open`].
pub struct LinkDriver<D, P, C>
where
    D: Dial,
    D::Conn: Wire,
    P: Protocol,
    C: Clock,
{
    connector: Connector<Login<D, P>, C>,
    handle: Handle,
    desk: Arc<Desk<P>>,
    flight: Flight<Parcel<P::Message>>,
    policy: LinkPolicy,
    state: State<Active<P, D::Conn>>,
    /// In the order in which they were left.
    partings: Vec<Parting<Active<P, D::Conn>>>,
    timer: Option<(Time, Pin<Box<C::Sleep>>)>,
}

/// ```text
///          .------------- lost --------------.
///          v                                 |
/// Begin -> Connecting -> Carrying -> Leaving -'
///                           `-----> Farewell -> (over)
/// ```
enum State<A> {
    /// Before the next connection.
    Begin,
    Connecting,
    Carrying(A),
    /// The connection is to be left: what is on its way is finished, until then.
    Leaving(A, Time),
    /// It says goodbye, until then.
    Farewell(A, Time),
}

impl<D, P, C> LinkDriver<D, P, C>
where
    D: Dial + 'static,
    D::Conn: Wire,
    P: Protocol,
    C: Clock,
{
    /// Carries until the link is drained or closed, or all of its user's halves are dropped.
    ///
    /// # Cancel safety
    /// Dropping the future ends the link: all who wait are told so.
    ///
    /// # Errors
    /// When the policy's limit is reached.
    pub async fn run(mut self) -> Result<(), GiveUp> {
        poll_fn(|cx| self.poll(cx)).await
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), GiveUp>> {
        loop {
            let wanted = self.desk.with(|inside| {
                inside.listen(cx.waker());
                inside.wanted
            });
            let now = self.connector.clock().now();
            self.tidy(now);
            self.poll_partings(cx, now);
            match self.step(wanted, now, cx) {
                Step::Over(outcome) => return Poll::Ready(outcome),
                Step::Again => {}
                Step::Yield => {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                // What was done may have been the last that a drain waited for.
                Step::Wait if self.is_over(wanted) => {}
                Step::Wait => {
                    if self.poll_timer(cx).is_pending() {
                        return Poll::Pending;
                    }
                }
            }
        }
    }

    fn step(&mut self, wanted: Wanted, now: Time, cx: &mut Context<'_>) -> Step {
        if self.is_over(wanted) {
            let patience = match wanted {
                Wanted::Closed => Duration::ZERO,
                Wanted::Open | Wanted::Drained => LINGER,
            };
            return self.finish(now + patience, now, cx);
        }
        match core::mem::replace(&mut self.state, State::Begin) {
            State::Begin => {
                self.connector.begin();
                self.state = State::Connecting;
                Step::Again
            }
            State::Connecting => {
                self.state = State::Connecting;
                match self.connector.poll_connect(cx) {
                    Poll::Pending => Step::Wait,
                    Poll::Ready(Err(gave_up)) => self.give_up(gave_up),
                    Poll::Ready(Ok(established)) => {
                        self.arrive(established, now);
                        Step::Again
                    }
                }
            }
            State::Carrying(active) => self.carry(active, now, cx),
            State::Leaving(active, until) => self.leave(active, until, now, cx),
            State::Farewell(active, until) => self.part(active, until, now, cx),
        }
    }

    fn arrive(&mut self, established: Established<LoggedIn<D::Conn, P::Session>>, now: Time) {
        let (id, target) = (established.id(), established.target().clone());
        let continuity = established.conn.welcome.continuity;
        let flight = &mut self.flight;
        self.desk.with(|inside| {
            let book = &mut inside.book;
            let resumption =
                flight.handle_connected(continuity, &mut |id, fate| book.tell(id, fate));
            book.publish(News::Connected { target, resumption });
            inside.queue.handle_connected();
            inside.wake_sender();
        });
        self.state = State::Carrying(Active::new(id, established.conn, &self.policy, now));
    }

    fn carry(&mut self, mut active: Active<P, D::Conn>, now: Time, cx: &mut Context<'_>) -> Step {
        if self.connector.poll_hung_up(cx).is_ready() {
            let grace = self.connector.take_parting().unwrap_or_default();
            self.state = State::Leaving(active, now + grace);
            return Step::Again;
        }
        match self.turn(&mut active, Duty::Carry, now, cx) {
            Ok(turn) => {
                self.state = State::Carrying(active);
                match turn {
                    Turn::More => Step::Yield,
                    Turn::Idle => Step::Wait,
                }
            }
            Err(error) => {
                let (id, failure) = (active.id, error.failure());
                self.connector.lost(id, error);
                self.on_lost(failure);
                Step::Again
            }
        }
    }

    fn turn(
        &mut self,
        active: &mut Active<P, D::Conn>,
        duty: Duty,
        now: Time,
        cx: &mut Context<'_>,
    ) -> Result<Turn, LinkError<P::Error>> {
        match self.judge_late(now) {
            // What answers it may lie unread: that is no fault of the peer.
            Err(LinkError::Late { id }) if active.is_blocked() => {
                self.desk
                    .with(|inside| inside.book.publish(News::Late { id }));
            }
            judged => judged?,
        }
        let mut desks = Desks {
            desk: &self.desk,
            flight: &mut self.flight,
            handle: &self.handle,
            duty,
            grace: self.connector.grace(),
            now,
        };
        active.turn(cx, &mut desks)
    }

    /// A connection was lost: what was not handed over goes first over the next one, what was asked
    /// fails if it is to.
    fn on_lost(&mut self, failure: Failure) {
        self.put_back();
        let heard = self.still_heard();
        self.desk
            .with(|inside| inside.fail_at_loss(self.policy.at_loss, heard, failure));
    }

    /// Messages that were encoded and not handed over come first again.
    fn put_back(&mut self) {
        let flight = &mut self.flight;
        self.desk.with(|inside| {
            let book = &mut inside.book;
            let mut tell = |id, fate| book.tell(id, fate);
            let unsent = flight.handle_lost(&mut tell);
            inside.queue.put_back(unsent.into_iter());
            inside.queue.handle_lost(&mut tell);
        });
    }

    /// Drops what is too old, and judges requests while nobody else does.
    fn tidy(&mut self, now: Time) {
        self.desk.with(|inside| {
            let before = inside.queue.messages();
            let book = &mut inside.book;
            inside
                .queue
                .expire(now, &mut |id, fate| book.tell(id, fate));
            if inside.queue.messages() < before {
                inside.wake_sender();
            }
        });
        if let State::Begin | State::Connecting = self.state {
            // Nothing is there to blame.
            let _ = self.judge_late_requests(now);
        }
    }

    /// Ready when a time has come.
    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(wake) = self.next_wake() else {
            self.timer = None;
            return Poll::Pending;
        };
        let clock = self.connector.clock();
        if wake <= clock.now() {
            return Poll::Ready(());
        }
        let (_, sleep) = match &mut self.timer {
            Some(timer) if timer.0 == wake => timer,
            stale => stale.insert((wake, Box::pin(clock.sleep_until(wake)))),
        };
        if sleep.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        self.timer = None;
        if clock.now() < wake {
            // A sleep that ends early must not become a busy loop inside one poll.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(())
    }

    fn next_wake(&self) -> Option<Time> {
        let of_messages = self.desk.with(|inside| {
            let wakes = [inside.queue.next_wake(), inside.book.requests.next_wake()];
            wakes.into_iter().flatten().min()
        });
        let (of_connection, until) = match &self.state {
            State::Begin | State::Connecting => (None, None),
            State::Carrying(active) => (earlier(active.next_wake(), self.flight.next_wake()), None),
            State::Leaving(active, until) => (active.next_wake(), Some(*until)),
            // Nobody asks it for a sign of life any more.
            State::Farewell(_, until) => (None, Some(*until)),
        };
        let partings = self.partings.iter();
        let of_partings = partings.filter_map(|parting| parting.next_wake()).min();
        let wakes = [of_messages, of_connection, until, of_partings];
        wakes.into_iter().flatten().min()
    }
}

/// What comes after a step.
enum Step {
    /// The next one, at once.
    Again,
    /// The next one, after others had their turn.
    Yield,
    /// The next one, when something happens.
    Wait,
    Over(Result<(), GiveUp>),
}

fn earlier(one: Option<Time>, other: Option<Time>) -> Option<Time> {
    [one, other].into_iter().flatten().min()
}

impl<D, P, C> Drop for LinkDriver<D, P, C>
where
    D: Dial,
    D::Conn: Wire,
    P: Protocol,
    C: Clock,
{
    fn drop(&mut self) {
        let flight = &mut self.flight;
        self.desk.with(|inside| {
            if inside.ended().is_some() {
                return;
            }
            let book = &mut inside.book;
            let mut tell = |id, fate| book.tell(id, fate);
            let unsent = flight.handle_lost(&mut tell);
            inside.queue.put_back(unsent.into_iter());
            flight.forget_all(&mut tell);
            inside.end(&Ended::NoDriver);
        });
    }
}

impl<D, P, C> fmt::Debug for LinkDriver<D, P, C>
where
    D: Dial,
    D::Conn: Wire,
    P: Protocol,
    C: Clock,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinkDriver")
            .field("connector", &self.connector)
            .finish_non_exhaustive()
    }
}
