//! Diffusion's reconnection and failover.

use core::time::Duration;

use crate::failure::Kind;
use crate::link::{LinkPolicy, Replay};
use crate::policy::{
    Backoff, Every, Jitter, Limit, Limits, Lost, On, Order, Pace, Policy, PolicyError, Reaction,
    Reactions, Resume, Shuffle, Start, Walk,
};
use crate::preset::Preset;

/// Diffusion's reconnection: the same server, the same session.
///
/// | Diffusion | default | ours |
/// |---|---|---|
/// | `reconnect.timeout` | 60 s | `resume.window`, `limits.elapsed` of the same length, and `limits.turns` 1: it closes when no attempt fits into the window any more; 0: off, a loss closes |
/// | `reconnect.strategy` | every 5 s | `resume.every` and `resume.first`; a strategy of your own: the delay hook |
/// | `connectionTimeout` | 10 s | `deadline` |
/// | `retry.attempts`, `retry.interval` | 0, 0 | `start_up_limits.turns` is attempts + 1; `pace` |
/// | recovery buffer | 256 messages (JavaScript), 10 000 (Java) | `link.replay` |
/// | server's ping period | the server says | `link.heartbeat`: twice the period, none outstanding |
///
/// A handshake that is rejected, access denied and a close by either side end the session at once
/// (`reactions`: stop). Resumed with or without loss of messages, or unknown, is for the
/// application to read from the handshake; an unknown session is a fatal failure.
///
/// Not reproduced: a promise left unsettled when the time runs out during a wait; one hanging
/// attempt that eats the whole window (the deadline bounds it); a dial after close.
#[derive(Clone, Debug, PartialEq)]
pub struct DiffusionReconnect {
    /// `reconnect.timeout`.
    pub timeout: Duration,
    /// What the strategy waits before each attempt.
    pub interval: Duration,
    /// `connectionTimeout`.
    pub connection_timeout: Duration,
    /// `retry.attempts`.
    pub retry_attempts: u32,
    /// `retry.interval`.
    pub retry_interval: Duration,
    /// How many messages the recovery buffer holds.
    pub recovery_buffer: u32,
}

impl Default for DiffusionReconnect {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(60),
            interval: Duration::from_secs(5),
            connection_timeout: Duration::from_secs(10),
            retry_attempts: 0,
            retry_interval: Duration::ZERO,
            recovery_buffer: 256,
        }
    }
}

impl DiffusionReconnect {
    /// These options as ours.
    ///
    /// # Errors
    /// When an option has a value that no policy may have.
    pub fn preset(&self) -> Result<Preset, PolicyError> {
        let cap = self.retry_interval.max(self.interval);
        let stop = Reaction::Stop;
        let resume = match self.timeout {
            Duration::ZERO => None,
            window => Some(Resume::new(window, self.interval).first(self.interval)),
        };
        // What fails in the window is not counted: the first failure after it closes.
        let in_window = Limits::UNLIMITED
            .turns(Limit::AtMost(1))
            .elapsed(self.timeout);
        let policy = Policy::builder()
            .order(Order::new(Walk::Listed).lost(Lost::First))
            .pace(Pace::new(Backoff::Constant(self.retry_interval)).cap(cap))
            .jitter(Jitter::None)
            .tls_jitter(Jitter::None)
            .start(Start::FirstOnly)
            .start_up_limits(Limits::UNLIMITED.turns(more_than(self.retry_attempts)))
            .limits(in_window)
            .stable_after(Duration::ZERO)
            .deadline(self.connection_timeout)
            .resume(resume)
            .reactions(
                Reactions::default()
                    .on(On::kind(Kind::Auth), stop)
                    .on(On::kind(Kind::Protocol), stop)
                    .on(On::kind(Kind::Closed), stop),
            )
            .build()?;
        let link = LinkPolicy::OFF.replay(match self.recovery_buffer {
            0 => Replay::Off,
            messages => Replay::Messages(messages),
        });
        Ok(Preset { policy, link })
    }
}

/// Diffusion's autofailover: the next server of the list, with a new session.
///
/// | Diffusion | default | ours |
/// |---|---|---|
/// | `autofailover` | false (here true) | `limits.turns`: false is 0, a loss closes |
/// | `cascading` | false (here true) | `start`: cascade; false: first only |
/// | `loadBalancing` | false | `order.walk`: shuffled at each loss; false: rotate |
/// | `connectionTimeout` | 10 s, over the whole cascade | `deadline`, and `start_up_limits.elapsed` |
/// | `retry.attempts` | 0 | `start_up_limits.sweeps` is attempts + 1; without `cascading` it is `turns` |
/// | `retry.interval` | 0 | none: between passes our default waits |
///
/// The lost server stays where the list or the shuffle has it. What is waited between the servers
/// and at the end of the list is specified nowhere in Diffusion; here it is our default: none
/// within a sweep, then a phase ladder up to 8 s, no end. Reconnection and autofailover exclude
/// each other in Diffusion's own clients but the one for C, which goes on to the next server when
/// the window ends: add [`DiffusionReconnect`]'s `resume` to this policy.
#[derive(Clone, Debug, PartialEq)]
pub struct DiffusionFailover {
    /// `autofailover`.
    pub autofailover: bool,
    /// `cascading`.
    pub cascading: bool,
    /// `loadBalancing`.
    pub load_balancing: bool,
    /// `connectionTimeout`.
    pub connection_timeout: Duration,
    /// `retry.attempts`.
    pub retry_attempts: u32,
}

impl Default for DiffusionFailover {
    fn default() -> Self {
        Self {
            autofailover: true,
            cascading: true,
            load_balancing: false,
            connection_timeout: Duration::from_secs(10),
            retry_attempts: 0,
        }
    }
}

impl DiffusionFailover {
    /// These options as ours.
    ///
    /// # Errors
    /// When an option has a value that no policy may have.
    pub fn preset(&self) -> Result<Preset, PolicyError> {
        let walk = match self.load_balancing {
            true => Walk::Shuffled(Shuffle::EachLoss),
            false => Walk::Rotate,
        };
        let (start, passes) = match self.cascading {
            true => {
                let passes = Limits::UNLIMITED.sweeps(more_than(self.retry_attempts));
                (Start::Cascade, passes)
            }
            false => {
                let dials = Limits::UNLIMITED.turns(more_than(self.retry_attempts));
                (Start::FirstOnly, dials)
            }
        };
        let limits = match self.autofailover {
            true => Limits::UNLIMITED,
            false => Limits::UNLIMITED.turns(Limit::AtMost(0)),
        };
        let own = Policy::default();
        let policy = own
            .to_builder()
            .order(Order::new(walk).lost(Lost::InPlace))
            .pace(own.pace().every(Every::Sweep))
            .start(start)
            .start_up_limits(passes.elapsed(self.connection_timeout))
            .limits(limits)
            .deadline(self.connection_timeout)
            .build()?;
        Ok(Preset {
            policy,
            link: LinkPolicy::OFF,
        })
    }
}

/// The first and so many more.
fn more_than(retries: u32) -> Limit {
    Limit::AtMost(retries.saturating_add(1))
}
