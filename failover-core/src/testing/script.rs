//! A dialer that does what a script says, and remembers what was asked of it.

use std::collections::BTreeMap;
use std::string::{String, ToString};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use std::vec::Vec;

use crate::dial::{Dial, DialContext};
use crate::directory::Target;
use crate::drive::{Clock, Loss};
use crate::endpoint::Security;
use crate::failure::{Failure, Kind, Phase};
use crate::time::Time;

/// What one dial meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// A connection, at once.
    Accept,
    /// A connection, after this time.
    AcceptAfter(Duration),
    /// This failure, at once.
    Fail(Failure),
    /// This failure, after this time.
    FailAfter(Duration, Failure),
    /// Nothing, ever: a mute peer, in this phase.
    Mute(Phase),
}

impl Step {
    /// The peer refuses.
    pub const REFUSE: Self = Self::Fail(Failure::new(Kind::Refused));
}

/// A dialer that does what a script says: host by host, one step per dial, the last for ever.
/// A host without a script refuses. `tls://` targets are TLS. Clones share script and log.
///
/// ```
/// use failover_core::testing::{Script, Step};
/// # use std::future::{Ready, ready};
/// # use failover_core::{drive::Clock, time::Time};
/// # struct Still;
/// # impl Clock for Still { type Sleep = Ready<()>;
/// #   fn now(&self) -> Time { Time::ZERO }
/// #   fn sleep_until(&self, _: Time) -> Ready<()> { ready(()) } }
/// let dialer = Script::new(Still).host("a", [Step::REFUSE, Step::Accept]);
/// assert_eq!((dialer.dials().len(), dialer.open()), (0, 0));
/// ```
#[derive(Debug)]
pub struct Script<C> {
    clock: Arc<C>,
    inside: Arc<Mutex<Inside>>,
}

impl<C> Clone for Script<C> {
    fn clone(&self) -> Self {
        Self {
            clock: Arc::clone(&self.clock),
            inside: Arc::clone(&self.inside),
        }
    }
}

#[derive(Debug, Default)]
struct Inside {
    steps: BTreeMap<String, Vec<Step>>,
    dials: Vec<(Time, String)>,
    half_open: usize,
    open: usize,
    /// How often each host cut its connections.
    cuts: BTreeMap<String, u64>,
    /// Who waits for the end of a connection.
    watchers: Vec<Waker>,
}

impl<C: Clock> Script<C> {
    /// A script in which every host refuses.
    pub fn new(clock: C) -> Self {
        Self {
            clock: Arc::new(clock),
            inside: Arc::default(),
        }
    }

    /// The same with these steps for this host, instead of earlier ones.
    #[must_use]
    pub fn host(self, host: &str, steps: impl IntoIterator<Item = Step>) -> Self {
        self.change(host, steps);
        self
    }

    /// Gives this host other steps from now on.
    pub fn change(&self, host: &str, steps: impl IntoIterator<Item = Step>) {
        let mut steps: Vec<Step> = steps.into_iter().collect();
        steps.reverse();
        self.with(|inside| inside.steps.insert(host.to_string(), steps));
    }

    /// Its clock.
    #[must_use]
    pub fn clock(&self) -> Arc<C> {
        Arc::clone(&self.clock)
    }

    /// The dials that were started, with their times and hosts.
    #[must_use]
    pub fn dials(&self) -> Vec<(Time, String)> {
        self.with(|inside| inside.dials.clone())
    }

    /// How many connections are open.
    #[must_use]
    pub fn open(&self) -> usize {
        self.with(|inside| inside.open)
    }

    /// How many dials are in flight.
    #[must_use]
    pub fn half_open(&self) -> usize {
        self.with(|inside| inside.half_open)
    }

    /// This host ends all its connections: whoever [watches](ScriptedConn::poll_cut) one learns of it.
    pub fn cut(&self, host: &str) {
        let watchers = self.with(|inside| {
            *inside.cuts.entry(host.to_string()).or_default() += 1;
            core::mem::take(&mut inside.watchers)
        });
        for watcher in watchers {
            watcher.wake();
        }
    }

    /// The next step for this host; the last one stays.
    fn step(&self, host: &str) -> Step {
        self.with(|inside| match inside.steps.get_mut(host) {
            Some(steps) if steps.len() > 1 => steps.pop(),
            Some(steps) => steps.last().copied(),
            None => None,
        })
        .unwrap_or(Step::REFUSE)
    }

    fn with<T>(&self, then: impl FnOnce(&mut Inside) -> T) -> T {
        with(&self.inside, then)
    }
}

fn with<T>(inside: &Mutex<Inside>, then: impl FnOnce(&mut Inside) -> T) -> T {
    then(&mut inside.lock().unwrap_or_else(PoisonError::into_inner))
}

/// A scripted connection. It counts as open until it is dropped.
#[derive(Debug)]
pub struct ScriptedConn {
    host: String,
    /// How often its host had cut connections when it was made.
    cuts: u64,
    inside: Arc<Mutex<Inside>>,
}

impl ScriptedConn {
    /// The host it leads to.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Ready when its host has [cut](Script::cut) it. A keeper of spares for
    /// [`ConnectorBuilder::keeper`](crate::drive::ConnectorBuilder::keeper):
    /// `|_| ScriptedConn::poll_cut`.
    pub fn poll_cut(&mut self, cx: &mut Context<'_>) -> Poll<Loss> {
        with(&self.inside, |inside| {
            let cuts = inside.cuts.get(&self.host).copied().unwrap_or_default();
            if cuts > self.cuts {
                return Poll::Ready(Failure::new(Kind::Closed).into());
            }
            if !inside.watchers.iter().any(|w| w.will_wake(cx.waker())) {
                inside.watchers.push(cx.waker().clone());
            }
            Poll::Pending
        })
    }
}

impl Drop for ScriptedConn {
    fn drop(&mut self) {
        with(&self.inside, |inside| inside.open -= 1);
    }
}

/// Counts a dial as in flight until it is dropped.
struct HalfOpen<'a>(&'a Mutex<Inside>);

impl Drop for HalfOpen<'_> {
    fn drop(&mut self) {
        with(self.0, |inside| inside.half_open -= 1);
    }
}

impl<C: Clock> Dial for Script<C> {
    type Conn = ScriptedConn;
    type Error = Failure;

    async fn dial(&self, to: &Target, cx: &DialContext) -> Result<ScriptedConn, Failure> {
        let host = to.url().host();
        let now = self.clock.now();
        self.with(|inside| {
            inside.dials.push((now, host.to_string()));
            inside.half_open += 1;
        });
        let _half_open = HalfOpen(&self.inside);
        cx.enter(Phase::Connect);
        match self.step(host) {
            Step::Accept => {}
            Step::AcceptAfter(wait) => self.clock.sleep_until(now + wait).await,
            Step::Fail(failure) => return Err(failure),
            Step::FailAfter(wait, failure) => {
                self.clock.sleep_until(now + wait).await;
                return Err(failure);
            }
            Step::Mute(phase) => {
                cx.enter(phase);
                std::future::pending::<()>().await;
            }
        }
        let cuts = self.with(|inside| {
            inside.open += 1;
            inside.cuts.get(host).copied().unwrap_or_default()
        });
        Ok(ScriptedConn {
            host: host.to_string(),
            cuts,
            inside: Arc::clone(&self.inside),
        })
    }

    fn security(&self, to: &Target) -> Security {
        match to.url().scheme() {
            "tls" => Security::Tls,
            _ => Security::Plain,
        }
    }
}
