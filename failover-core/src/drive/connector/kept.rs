//! Connections that nobody has taken, and the keepers of those that are spares.

use std::boxed::Box;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::string::String;
use std::task::{Context, Poll};

use crate::attempt::AttemptId;
use crate::dial::{Dial, Trail};
use crate::drive::clock::Clock;
use crate::drive::connector::{Connector, Established, Remains};
use crate::drive::error::Loss;
use crate::drive::guard;
use crate::drive::keep::{Keep, Keepers};
use crate::endpoint::EndpointId;
use crate::machine::{self, Input};

/// A connection that nobody has taken: the next one, or a spare.
pub(super) struct Kept<T> {
    pub(super) established: Established<T>,
    pub(super) endpoint: EndpointId,
    keeper: Keeper<T>,
}

enum Keeper<T> {
    /// It has not been asked for.
    NotYet,
    Keeps(Box<dyn Keep<T>>),
    Panicked,
}

/// What a keeper said.
enum Said {
    Alive,
    Lost(Loss),
    Panicked(Option<String>),
}

impl<T> Kept<T> {
    pub(super) fn new(endpoint: EndpointId, established: Established<T>) -> Self {
        Self {
            established,
            endpoint,
            keeper: Keeper::NotYet,
        }
    }

    fn poll(&mut self, make: &Keepers<T>, cx: &mut Context<'_>) -> Said {
        let Self {
            established: Established { conn, link, .. },
            keeper,
            ..
        } = self;
        let said = catch_unwind(AssertUnwindSafe(|| {
            if let Keeper::NotYet = keeper {
                *keeper = Keeper::Keeps(make(&link.target));
            }
            match keeper {
                Keeper::Keeps(keeper) => keeper.poll_lost(conn, cx),
                Keeper::NotYet | Keeper::Panicked => Poll::Pending,
            }
        }));
        match said {
            Ok(Poll::Pending) => Said::Alive,
            Ok(Poll::Ready(loss)) => Said::Lost(loss),
            Err(panic) => {
                self.keeper = Keeper::Panicked;
                Said::Panicked(guard::message(&*panic))
            }
        }
    }
}

impl<D: Dial + 'static, C: Clock> Connector<D, C> {
    /// With these keepers of the spares.
    pub(crate) fn kept_by(mut self, keepers: Option<Keepers<D::Conn>>) -> Self {
        self.keepers = keepers;
        self
    }

    /// Whether a spare stands whose keeper has not looked at it: nothing would tell of its end.
    pub(super) fn has_new_spare(&self) -> bool {
        self.keepers.is_some()
            && self.kept.iter().any(|kept| {
                matches!(kept.keeper, Keeper::NotYet) && !self.is_next(kept.established.id())
            })
    }

    /// Whether the machine stands on it: it is about to be handed out.
    fn is_next(&self, attempt: AttemptId) -> bool {
        if let machine::Status::Connected { link, .. } = self.machine.status() {
            link.attempt == attempt
        } else {
            false
        }
    }

    /// A connection to this endpoint is no more kept. Where no other one is, it has no spare.
    pub(super) fn forget_spare(&self, endpoint: EndpointId) {
        // A probe may have gone to where a spare stands.
        let stands = self
            .kept
            .iter()
            .any(|kept| kept.endpoint == endpoint && !self.is_next(kept.established.id()));
        if stands {
            return;
        }
        self.note(endpoint, |report| report.spare_since = None);
    }

    /// Looks after the spares. The machine hears at once of one that has died.
    pub(super) fn poll_spares(&mut self, cx: &mut Context<'_>) {
        let mut at = 0;
        while let Some(id) = self.kept.get(at).map(|kept| kept.established.id()) {
            if self.is_next(id) {
                at += 1;
                continue;
            }
            let (Some(make), Some(kept)) = (&self.keepers, self.kept.get_mut(at)) else {
                return;
            };
            match kept.poll(make, cx) {
                Said::Alive => at += 1,
                Said::Lost(loss) => {
                    let lost = self.kept.remove(at).established;
                    self.spare_lost(lost, loss);
                    at = 0;
                }
                Said::Panicked(message) => {
                    let now = self.clock.now();
                    self.tell_panic(message, now);
                }
            }
        }
    }

    fn spare_lost(&mut self, spare: Established<D::Conn>, loss: Loss) {
        let Loss {
            failure,
            verdict,
            error,
        } = loss;
        let input = Input::Lost {
            attempt: spare.id(),
            failure,
            verdict,
        };
        let remains = Remains {
            target: spare.link.target,
            trail: Trail::default(),
            failure: Some(failure),
            error,
        };
        self.feed(input, Some(remains));
    }
}
