//! A case lived by the real connector: what was really dialled, as those saw it who were dialled.

mod actors;
mod record;
mod stage;

use std::boxed::Box;
use std::string::String;
use std::time::Duration;

use self::stage::{Pause, Stage};
use crate::drive::{BuildError, Clock, Event, Recorder, Recording};
use crate::policy::Hooks;
use crate::sim::Trace;
use crate::testing::Case;
use crate::testing::case::STORM;
use crate::time::Time;

/// What a real [`Connector`](crate::drive::Connector) did in a case: put together from what its dialer, its connections, its
/// hooks, its event stream and its clock saw, and from nothing that the machine said.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Dialled {
    /// A step for each piece of news, as far as news is seen from outside. (When it wants to be woken
    /// is known at the end of a poll only.)
    pub news: Trace,
    /// A step for each poll, with all that was seen in it.
    pub polls: Trace,
    /// What the connector told otherwise than it was.
    pub faults: Vec<String>,
    /// What it told.
    pub told: Vec<Event>,
    /// What its flight recorder kept.
    pub recording: Option<Recording>,
}

/// How many things may happen in a storm, and after it.
const STORM_STEPS: usize = 2_000;
const CALM_STEPS: usize = 100_000;

impl Case {
    /// The same storm, lived by a [`Connector`](crate::drive::Connector) that is polled by hand, each time by a new future.
    /// Of its [tricks](crate::sim::Trick), a clock that runs backwards is left out: the connector's does not.
    ///
    /// ```
    /// use failover_core::testing::{Case, laws};
    ///
    /// let dialled = Case::from_bytes(b"any bytes at all").dialled()?;
    /// laws::l08_rate(&dialled.news)?;
    /// laws::l14_progress(&dialled.polls)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// When a connector cannot be built of it.
    pub fn dialled(&self) -> Result<Dialled, BuildError> {
        self.dialled_with(Recorder::default(), self.delays)
    }

    /// The same with this flight recorder, and with these hooks instead of its own.
    ///
    /// # Errors
    /// When a connector cannot be built of it.
    pub fn dialled_with(
        &self,
        recorder: Recorder,
        hooks: impl Hooks + Send + 'static,
    ) -> Result<Dialled, BuildError> {
        let mut stage = Stage::new(self, recorder, Box::new(hooks))?;
        stage.run_until(Time::ZERO + STORM, STORM_STEPS);
        Ok(stage.dialled())
    }

    /// The same storm; then the world heals. Also says when it did.
    ///
    /// # Errors
    /// When a connector cannot be built of it.
    pub fn dialled_and_calm(&self) -> Result<(Dialled, Time), BuildError> {
        let mut stage = Stage::new(self, Recorder::default(), Box::new(self.delays))?;
        stage.run_until(Time::ZERO + STORM, STORM_STEPS);
        let spread = match stage.pause {
            Pause::Said => self.policy.standing().wake_spread,
            Pause::Over => Duration::ZERO,
        };
        let healed = stage.clock.now() + spread;
        stage.heal();
        stage.run_until(self.calm_by(stage.clock.now()), CALM_STEPS);
        Ok((stage.dialled(), healed))
    }
}
