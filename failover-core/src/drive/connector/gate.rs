//! Before a dial begins: the budget, the line for a permit, the claim to probe. None of it runs on
//! the dial's deadline.

use std::boxed::Box;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use crate::attempt::AttemptId;
use crate::dial::{Dial, DialContext};
use crate::drive::clock::Clock;
use crate::drive::connector::Connector;
use crate::drive::event::What;
use crate::drive::metrics::Metrics;
use crate::drive::share::{Claim, DialLimiter, HeldBy, News, Place, Probe, Reader, RetryBudget};
use crate::machine::{DialOrder, Input};
use crate::time::Time;

/// What this connector shares with others.
#[derive(Default)]
pub(crate) struct Sharing {
    pub(crate) limiter: Option<DialLimiter>,
    pub(crate) budget: Option<RetryBudget>,
    pub(crate) health: Option<Reader>,
    pub(crate) metrics: Option<Arc<dyn Metrics>>,
}

/// How far a dial came on its way to its beginning, and what it holds until it ends.
#[derive(Default)]
pub(super) struct Pass {
    /// Whether the budget has paid for it.
    paid: Paid,
    place: Option<Place>,
    probe: Option<Probe>,
    /// Whose permit it waits for.
    pub(super) held: Option<HeldBy>,
    told: Option<HeldBy>,
    /// When the gate is asked again, if nobody wakes it before.
    again: Option<Time>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Paid {
    #[default]
    NotYet,
    Yes,
}

/// What became of a dial at the gate.
pub(super) enum Gate {
    /// It begins.
    Open,
    /// It waits.
    Held,
    /// The machine gave it up: the list of dials is another now.
    Gone,
}

impl Sharing {
    /// Whether a dial may have to wait before it begins.
    pub(super) fn has_gate(&self) -> bool {
        self.limiter.is_some() || self.budget.is_some() || self.health.is_some()
    }
}

impl<D: Dial + 'static, C: Clock> Connector<D, C> {
    /// Lets the dial at this place begin, if nothing holds it.
    pub(super) fn poll_gate(&mut self, at: usize, cx: &Context<'_>) -> Gate {
        let now = self.clock.now();
        let Some(dial) = self.in_flight.get_mut(at) else {
            return Gate::Gone;
        };
        let attempt = dial.order.attempt;
        let lasts = dial.order.deadline.since(dial.ordered);
        if let Err(by) = self
            .sharing
            .ask(&dial.order, &mut dial.pass, lasts, now, cx)
        {
            let first = dial.pass.held.replace(by).is_none();
            let told = dial.pass.told.replace(by) == Some(by);
            let target = dial.target.clone();
            if first {
                self.feed(Input::Held { attempt }, None);
            }
            if !told {
                self.publish(now, What::Held { target, by });
            }
            return Gate::Held;
        }
        if let Some(busy) = self.claim(at, lasts) {
            self.feed(Input::Held { attempt }, None);
            let endpoint = self.in_flight[at].order.endpoint;
            let until = now + busy;
            self.feed(Input::Rests { endpoint, until }, None);
            self.note(endpoint, |_| {});
            if self
                .in_flight
                .get(at)
                .is_none_or(|dial| dial.order.attempt != attempt)
            {
                return Gate::Gone;
            }
            // The machine wants it all the same.
            self.in_flight[at].pass.held = Some(HeldBy::Limiter);
        }
        self.let_begin(at, attempt);
        Gate::Open
    }

    /// The claim to dial this endpoint. How long somebody else probes it, if so.
    fn claim(&mut self, at: usize, lasts: Duration) -> Option<Duration> {
        let health = self.sharing.health.as_ref()?;
        let dial = self.in_flight.get_mut(at)?;
        let rests_until = self.machine.rests_until(dial.order.endpoint);
        let rests = rests_until.is_some_and(|until| until > self.clock.now());
        // Dialled although it rests: the user's or the policy's own wish.
        if rests {
            return None;
        }
        match health.claim(dial.target.endpoint().name(), lasts) {
            Claim::Free => None,
            Claim::Probe(probe) => {
                dial.pass.probe = Some(probe);
                None
            }
            Claim::Busy(busy) => Some(busy),
        }
    }

    fn let_begin(&mut self, at: usize, attempt: AttemptId) {
        let dial = &mut self.in_flight[at];
        dial.pass.again = None;
        if dial.pass.held.take().is_some() {
            self.feed(Input::Begun { attempt }, None);
            if let Some(order) = self.machine.order(attempt) {
                self.in_flight[at].order = order;
            }
        }
        let now = self.clock.now();
        self.begin_dial(at, now);
        self.shared.set_status(self.status(), now);
    }

    /// The dial itself: from here on its deadline runs.
    pub(super) fn begin_dial(&mut self, at: usize, now: Time) {
        let Some(dial) = self.in_flight.get_mut(at) else {
            return;
        };
        let endpoint = dial.order.endpoint;
        let failed_address = self.shared.with(|inside| {
            inside.counters.dials += 1;
            let report = inside.reports.get_mut(endpoint)?;
            report.dials += 1;
            report.begins_behind()
        });
        let cx = DialContext::of(&dial.order, self.shared.time(), dial.trail.clone());
        let cx = cx.behind(failed_address);
        let dialer = Arc::clone(&self.dialer);
        let to = dial.target.clone();
        dial.began = now;
        dial.future = Some(Box::pin(async move { dialer.dial(&to, &cx).await }));
        if let Some(dial) = self.in_flight.get(at) {
            self.measure(|metrics| metrics.dial_began(dial.target.endpoint().name()));
        }
    }

    /// When a dial at the gate is to be polled again.
    pub(super) fn gate_wake(&self) -> Option<Time> {
        let waiting = self.in_flight.iter().filter(|dial| dial.future.is_none());
        waiting.filter_map(|dial| dial.pass.again).min()
    }

    /// Whose permit the client waits for, if nothing that it waits for has begun.
    pub(super) fn held(&self) -> Option<HeldBy> {
        let mut dials = self.in_flight.iter();
        match dials.all(|dial| dial.future.is_none()) {
            true => self.in_flight.first()?.pass.held,
            false => None,
        }
    }

    /// Takes in what other connectors found out.
    pub(super) fn hear_health(&mut self, driver: &Waker) {
        let Some(health) = &mut self.sharing.health else {
            return;
        };
        for (name, news) in health.news(driver) {
            let Some(endpoint) = self.directory.find(&name) else {
                continue;
            };
            let input = match news {
                News::Rests(rest) => Input::Rests {
                    endpoint,
                    until: self.clock.now() + rest,
                },
                News::Recovered => Input::Recovered { endpoint },
            };
            self.feed(input, None);
            self.note(endpoint, |_| {});
        }
    }
}

impl Sharing {
    /// Asks the budget, then lines up for a permit.
    fn ask(
        &self,
        order: &DialOrder,
        pass: &mut Pass,
        lasts: Duration,
        now: Time,
        cx: &Context<'_>,
    ) -> Result<(), HeldBy> {
        if let Some(budget) = &self.budget
            && order.number > 1
            && pass.paid == Paid::NotYet
        {
            if let Some(again) = pass.again.filter(|again| *again > now) {
                pass.again = Some(again);
                return Err(HeldBy::Budget);
            }
            if let Err(wait) = budget.take() {
                pass.again = Some(now + wait);
                return Err(HeldBy::Budget);
            }
            pass.paid = Paid::Yes;
        }
        if let Some(limiter) = &self.limiter {
            let place = pass.place.get_or_insert_with(|| limiter.line_up());
            if place.poll(lasts, cx).is_pending() {
                pass.again = place.looks_again().map(|wait| now + wait);
                return Err(HeldBy::Limiter);
            }
        }
        Ok(())
    }

    /// A dial of this endpoint gave a connection.
    pub(super) fn on_connection(&self, name: &str) {
        if let Some(budget) = &self.budget {
            budget.connected();
        }
        if let Some(health) = &self.health {
            health.connected(name);
        }
    }

    /// This connector suspended it, for so long.
    pub(super) fn on_suspension(&self, name: &str, rest: Duration) {
        if let Some(health) = &self.health {
            health.suspended(name, rest);
        }
    }
}
