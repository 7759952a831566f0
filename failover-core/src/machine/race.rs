//! Rivals of the dial in flight: staggered starts, the next at once on a failure.

use core::time::Duration;

use crate::machine::attempts::Attempt;
use crate::machine::outage::Plan;
use crate::machine::{Cx, Machine, State};
use crate::race::{Lap, Stagger};
use crate::time::Time;

impl Machine {
    /// A dial started: its rival starts after the stagger.
    pub(super) fn arm_race(&mut self, now: Time) {
        let race = self.policy.race();
        if race.most() < 2 {
            return;
        }
        let extras = self.extras_mut();
        extras.rival_at = Some(now + race.stagger().wait(&extras.trainer));
    }

    /// Starts a rival, if it is time.
    pub(super) fn race(&mut self, cx: &mut Cx<'_>) {
        while self.state == State::Dialing
            && let Some(plan) = self.next_held_up_route_by(cx.now)
        {
            self.dial(plan, cx);
        }
        let due = self.extras.as_ref().and_then(|extras| extras.rival_at);
        if due.is_some_and(|at| at <= cx.now) {
            self.next_in_race(cx);
        }
    }

    /// Whether there is a race in which nobody was left when the next rival was due.
    pub(super) fn awaits_a_rival(&self) -> bool {
        let extras = self.extras.as_ref();
        extras.is_some_and(|extras| extras.rival_at.is_none())
    }

    /// The route that goes on with a turn once the floor lets it.
    pub(super) fn next_held_up_route(&mut self) -> Option<Plan> {
        self.next_held_up_route_by(Time::MAX)
    }

    fn next_held_up_route_by(&mut self, at: Time) -> Option<Plan> {
        let routes = &mut self.extras.as_mut()?.routes;
        let first = routes.iter().position(|plan| plan.at <= at)?;
        Some(routes.remove(first))
    }

    /// Starts the next of this sweep beside those in flight, if one is ready and there is room.
    pub(super) fn next_in_race(&mut self, cx: &mut Cx<'_>) {
        let Some(extras) = &mut self.extras else {
            return;
        };
        extras.rival_at = None;
        let (resuming, paused) = (extras.resume_until.is_some(), extras.paused);
        let running = self
            .attempts
            .iter()
            .filter(|attempt| attempt.is_awaited())
            .count();
        if self.state != State::Dialing || resuming || paused {
            return;
        }
        if running >= usize::from(self.policy.race().most()) {
            return;
        }
        let Some(slot) = self.pick_in_sweep(cx.now) else {
            return;
        };
        let not_before = self.pool.slot(slot).not_before();
        if not_before > cx.now {
            self.extras_mut().rival_at = Some(not_before);
            return;
        }
        let route = self.pool.slot(slot).route;
        let at = cx.now;
        self.dial(Plan { at, slot, route }, cx);
    }

    /// Learns from a dial that won.
    pub(super) fn train(&mut self, won: &Attempt, took: Duration) {
        let race = self.policy.race();
        if race.most() < 2 || matches!(race.stagger(), Stagger::Fixed(_)) {
            return;
        }
        let mut lap = Lap::new(took);
        let later = self
            .attempts
            .iter()
            .filter(|other| other.started > won.started);
        lap.hedges = u32::try_from(later.count()).unwrap_or(u32::MAX);
        self.extras_mut().trainer.learn(lap);
    }
}
