//! What is told of the machine's events: with names, errors and phases.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::string::String;

use crate::dial::Dial;
use crate::drive::clock::Clock;
use crate::drive::connector::{Arrival, Connector, Remains};
use crate::drive::event::{Attempt, AttemptError, Event, Link, NextDial, What};
use crate::drive::metrics::{Metrics, count};
use crate::drive::report::EndpointReport;
use crate::endpoint::EndpointId;
use crate::failure::{Failure, Kind};
use crate::machine::{self, Why};
use crate::time::Time;

impl<D: Dial + 'static, C: Clock> Connector<D, C> {
    pub(super) fn tell(&mut self, event: machine::Event, remains: Option<Remains>, now: Time) {
        self.remember(&event, remains.as_ref(), now);
        if self.is_heard()
            && let Some(what) = self.with_names(event, remains)
        {
            self.publish(now, what);
        }
        if let machine::Event::Closed(_) = event {
            self.end_events();
        }
    }

    /// Whether anybody would hear an event.
    fn is_heard(&self) -> bool {
        !self.rings.is_empty() || self.sharing.metrics.is_some() || self.spans.are_heard()
    }

    /// Books what the machine's event changes here.
    fn remember(&mut self, event: &machine::Event, remains: Option<&Remains>, now: Time) {
        match *event {
            machine::Event::Attempt(ended) => {
                if let Some(remains) = remains {
                    self.remember_dial(&ended, remains, now);
                }
            }
            machine::Event::Disconnected {
                link, why, lived, ..
            } => {
                // Where two connections are not allowed, the next dial does not wait for a grace.
                let grace = (why == Why::ByUser).then(|| self.machine.policy().standing().grace);
                self.drop_connection(link.attempt, grace);
                let was_stable = lived >= self.machine.policy().stable_after();
                self.remember_loss(link.endpoint, why, remains, now);
                if was_stable {
                    self.note(link.endpoint, |report| report.address = None);
                }
            }
            machine::Event::Connected(_) => self.arrival = Arrival::First,
            machine::Event::Reconnected(_) => self.arrival = Arrival::Reconnected,
            machine::Event::FailedOver { from, .. } => {
                if let Some(from) = self.endpoint(from) {
                    self.arrival = Arrival::FailedOver { from };
                }
            }
            machine::Event::Moved { from, why, .. } => {
                if let Some(from) = self.endpoint(from) {
                    self.arrival = Arrival::Moved { from, why };
                }
                self.shared.with(|inside| inside.counters.moves += 1);
            }
            machine::Event::Suspended { endpoint, until } => {
                self.note(endpoint, |_| {});
                if let Some(endpoint) = self.endpoint(endpoint) {
                    let rest = until.since(now);
                    self.sharing.on_suspension(endpoint.name(), rest);
                }
            }
            machine::Event::SpareLost { link, failure } => {
                let error = remains.and_then(|remains| remains.error.as_ref());
                self.note(link.endpoint, |report| {
                    report.spare_since = None;
                    report.on_failure(failure, error, now);
                });
            }
            machine::Event::SpareReady(link) => {
                self.note(link.endpoint, |report| report.spare_since = Some(now));
            }
            machine::Event::SessionGone
            | machine::Event::Switching { .. }
            | machine::Event::Draining { .. }
            | machine::Event::Starved
            | machine::Event::Closed(_) => {}
        }
    }

    /// Pairs the machine's event with names and errors.
    fn with_names(&self, event: machine::Event, remains: Option<Remains>) -> Option<What> {
        Some(match event {
            machine::Event::Attempt(ended) => {
                let remains = remains?;
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
            } => What::Disconnected {
                link: self.link(link)?,
                why,
                error: remains.and_then(|remains| remains.error),
                lived,
                next: self.next_dial(next),
            },
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

    pub(super) fn publish(&mut self, at: Time, what: What) {
        self.spans.tell(&what, at);
        self.measure(|metrics| count(metrics, &what));
        self.rings.retain(|ring| !ring.is_ended());
        for ring in &self.rings {
            ring.push(Event {
                at,
                what: what.clone(),
            });
        }
    }

    /// Counts, if somebody wants to know.
    pub(super) fn measure(&self, count: impl FnOnce(&dyn Metrics)) {
        let Some(metrics) = &self.sharing.metrics else {
            return;
        };
        if catch_unwind(AssertUnwindSafe(|| count(&**metrics))).is_err() {
            self.shared.with(|inside| inside.counters.hook_panics += 1);
        }
    }

    /// A hook panicked, and the policy's own answer was taken.
    pub(super) fn tell_panic(&mut self, message: Option<String>, now: Time) {
        self.shared.with(|inside| inside.counters.hook_panics += 1);
        self.publish(now, What::HookPanicked { message });
    }

    pub(super) fn end_events(&mut self) {
        for ring in self.rings.drain(..) {
            ring.end();
        }
    }

    /// Books a dial that ended with its endpoint; one that was cancelled says nothing of it.
    fn remember_dial(&self, ended: &machine::AttemptEnded, remains: &Remains, now: Time) {
        let endpoint = ended.order.endpoint;
        let trail = &remains.trail;
        let failure = match (ended.outcome, remains.failure) {
            (Ok(()), _) => {
                return self.note(endpoint, |report| report.on_connection(trail, now));
            }
            (Err(_), Some(failure)) => failure,
            // The machine's own clock struck first: its word is all there is.
            (Err(failure), None) if failure.kind == Kind::Timeout => failure,
            (Err(_), None) => return,
        };
        let error = remains.error.as_ref();
        self.shared.with(|inside| inside.counters.failed_dials += 1);
        self.note(endpoint, |report| {
            report.on_failed_dial(trail, failure, error, now);
        });
    }

    fn remember_loss(&self, lost: EndpointId, why: Why, remains: Option<&Remains>, now: Time) {
        let Why::Lost(failure) = why else {
            return;
        };
        let failure = remains
            .and_then(|remains| remains.failure)
            .unwrap_or(failure);
        let error = remains.and_then(|remains| remains.error.as_ref());
        self.shared.with(|inside| inside.counters.losses += 1);
        self.note(lost, |report| report.on_failure(failure, error, now));
    }

    /// Brings the report of an endpoint up to date.
    pub(super) fn note(&self, endpoint: EndpointId, book: impl FnOnce(&mut EndpointReport)) {
        let condition = self.machine.condition(endpoint);
        self.shared.with(|inside| {
            if let Some(report) = inside.reports.get_mut(endpoint) {
                book(report);
                if let Some((condition, until)) = condition {
                    report.condition = condition;
                    report.rests_until = until;
                }
            }
        });
    }

    pub(super) fn next_dial(&self, planned: Option<machine::Planned>) -> Option<NextDial> {
        let planned = planned?;
        Some(NextDial {
            target: self.target(planned.endpoint, planned.route)?,
            wait: planned.wait,
        })
    }

    pub(super) fn link(&self, link: machine::Link) -> Option<Link> {
        Some(Link {
            id: link.attempt,
            target: self.target(link.endpoint, link.route)?,
        })
    }
}
