//! What the connector told, with numbers instead of names, and whether it was so.

use std::string::ToString;

use crate::directory::Target;
use crate::drive::{Attempt, NextDial, What};
use crate::drive::{Link as NamedLink, Status as NamedStatus};
use crate::endpoint::EndpointId;
use crate::failure::Kind;
use crate::machine::{AttemptEnded, DialOrder, Event, Link, Output, Planned, Status};
use crate::testing::dialled::record::{End, Record};

impl Record {
    pub(super) fn hear(&mut self, what: What) {
        let event = match what {
            What::Attempt(attempt) => match self.ended(&attempt) {
                Some(event) => event,
                None => return,
            },
            What::Connected(link) => Event::Connected(self.stands(&link)),
            What::Reconnected(link) => Event::Reconnected(self.stands(&link)),
            What::FailedOver { to, from } => Event::FailedOver {
                to: self.stands(&to),
                from: self.named(from.name()),
            },
            What::Moved { to, from, why } => Event::Moved {
                to: self.stands(&to),
                from: self.named(from.name()),
                why,
            },
            What::Disconnected {
                link,
                why,
                lived,
                next,
                ..
            } => Event::Disconnected {
                link: self.link(&link),
                why,
                lived,
                next: next.map(|next| self.planned(&next)),
            },
            What::SessionGone => Event::SessionGone,
            What::Switching { from, why } => Event::Switching {
                from: self.link(&from),
                why,
            },
            What::Draining { link, after } => Event::Draining {
                link: self.link(&link),
                after,
            },
            What::Suspended { endpoint, until } => Event::Suspended {
                endpoint: self.named(endpoint.name()),
                until,
            },
            What::SpareReady(link) => Event::SpareReady(self.link(&link)),
            What::SpareLost { link, failure } => Event::SpareLost {
                link: self.link(&link),
                failure,
            },
            What::Starved => Event::Starved,
            What::Closed(reason) => Event::Closed(reason),
            What::Held { .. }
            | What::ListChanged { .. }
            | What::ListRefused { .. }
            | What::Discovered { .. }
            | What::LateReport { .. }
            | What::NotDriven
            | What::HookPanicked { .. } => return,
        };
        self.step.outputs.push(Output::Event(event));
    }

    /// The end of a dial is told: is it as the dialer saw it?
    fn ended(&mut self, told: &Attempt) -> Option<Event> {
        let outcome = match &told.outcome {
            Ok(()) => Ok(()),
            Err(error) => Err(error.failure),
        };
        let cancelled = outcome.is_err_and(|failure| failure.kind == Kind::Cancelled);
        let Some((order, end)) = self.dials.remove(&told.id) else {
            // Ordered and cancelled before it was polled: nobody dialled.
            if !cancelled {
                let fault = std::format!("{} is told as {outcome:?}, never dialled", told.id);
                self.faults.push(fault);
            }
            return None;
        };
        match (end, cancelled) {
            (End::Dropped, true) => self.step.outputs.push(Output::Cancel(told.id)),
            (End::Dropped, false) => self.timed_out(told.id),
            (End::Answered, false) => {}
            (End::NotYet, _) | (End::Answered, true) => {
                let fault = std::format!("{} is told as {outcome:?}, it was {end:?}", told.id);
                self.faults.push(fault);
            }
        }
        let order = DialOrder {
            attempt: told.id,
            endpoint: self.id(&told.target),
            route: told.target.route(),
            purpose: told.purpose,
            number: told.number,
            ..order
        };
        let next = told.next.as_ref().map(|next| self.planned(next));
        Some(Event::Attempt(AttemptEnded {
            order,
            outcome,
            took: told.took,
            next,
        }))
    }

    fn stands(&mut self, link: &NamedLink) -> Link {
        let link = self.link(link);
        self.main = Some(link);
        link
    }

    fn link(&mut self, link: &NamedLink) -> Link {
        Link {
            attempt: link.id,
            endpoint: self.id(&link.target),
            route: link.target.route(),
        }
    }

    fn planned(&mut self, next: &NextDial) -> Planned {
        Planned {
            endpoint: self.id(&next.target),
            route: next.target.route(),
            wait: next.wait,
        }
    }

    pub(super) fn status(&self) -> Status {
        let Some((_, handle)) = &self.told else {
            return Status::Idle;
        };
        let id = |target: &Target| self.names.get(target.endpoint().name()).copied();
        let named = match handle.status() {
            NamedStatus::Waiting { target, until } => {
                id(&target).map(|endpoint| Status::Waiting { endpoint, until })
            }
            NamedStatus::Dialing { target } | NamedStatus::Held { target, .. } => {
                id(&target).map(|endpoint| Status::Dialing { endpoint })
            }
            NamedStatus::Connected { since, .. } => {
                self.main.map(|link| Status::Connected { link, since })
            }
            NamedStatus::Paused => Some(Status::Paused),
            NamedStatus::Starved => Some(Status::Starved),
            NamedStatus::Closed(reason) => Some(Status::Closed(reason)),
            NamedStatus::Idle | NamedStatus::Dropped => None,
        };
        named.unwrap_or(Status::Idle)
    }

    pub(super) fn id(&mut self, target: &Target) -> EndpointId {
        self.named(target.endpoint().name())
    }

    fn named(&mut self, name: &str) -> EndpointId {
        self.names.get(name).copied().unwrap_or_else(|| {
            self.faults.push("an unknown name: ".to_string() + name);
            EndpointId::new(u32::MAX)
        })
    }
}
