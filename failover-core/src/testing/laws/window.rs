//! Whether a resume window is open, recounted from the losses.

use crate::endpoint::EndpointId;
use crate::failure::Kind;
use crate::machine::{Event, Input, Output, Verdict, Why};
use crate::policy::Reaction;
use crate::sim::{Asked, Step};
use crate::testing::laws::ledger::{Fact, Ledger};
use crate::testing::laws::retired::Retired;

/// The lost server, while its session may be resumed.
#[derive(Default)]
pub(super) struct Window(Option<EndpointId>);

impl Window {
    pub(super) fn is_of(&self, endpoint: EndpointId) -> bool {
        self.0 == Some(endpoint)
    }

    /// The same fact as the window has it: a failure in it counts for no limit, unless the session is
    /// told to be gone with it; then it ends the turn, whatever routes there are.
    pub(super) fn within(&self, fact: Fact, step: &Step) -> Fact {
        let is_gone = |output: &Output| *output == Output::Event(Event::SessionGone);
        match fact {
            Fact::TurnFailed(endpoint) | Fact::RouteFailed(endpoint) if self.is_of(endpoint) => {
                match step.outputs.iter().any(is_gone) {
                    true => Fact::TurnFailed(endpoint),
                    false if matches!(fact, Fact::TurnFailed(_)) => Fact::Other,
                    false => fact,
                }
            }
            Fact::TurnFailed(_)
            | Fact::RouteFailed(_)
            | Fact::SideFailed
            | Fact::Cancelled
            | Fact::Stable(_)
            | Fact::Other => fact,
        }
    }

    /// To be called when the ledger knows of this event of the step.
    pub(super) fn hear(
        &mut self,
        event: &Event,
        step: &Step,
        ledger: &Ledger<'_>,
        retired: &Retired,
    ) {
        match *event {
            Event::Disconnected {
                link,
                why: Why::Lost(failure),
                ..
            } => {
                let lost = link.endpoint;
                let opens = ledger.policy.resume().is_some()
                    && survives(failure.kind)
                    && is_left_to_policy(step)
                    && ledger.in_flight.is_empty()
                    && !ledger.gone.contains(&lost)
                    && !retired.is(lost, ledger);
                self.0 = opens.then_some(lost);
            }
            Event::SessionGone
            | Event::Disconnected { .. }
            | Event::Connected(_)
            | Event::Reconnected(_)
            | Event::FailedOver { .. }
            | Event::Moved { .. }
            | Event::Closed(_) => self.0 = None,
            Event::Attempt(_)
            | Event::Switching { .. }
            | Event::Draining { .. }
            | Event::Suspended { .. }
            | Event::SpareReady(_)
            | Event::SpareLost { .. }
            | Event::Starved => {}
        }
    }
}

/// Whether the application leaves it to the policy, which only goes on.
fn is_left_to_policy(step: &Step) -> bool {
    let goes_on = |asked: &Asked| match asked {
        Asked::Judge(_, reaction) => matches!(reaction, Reaction::Next | Reaction::Mark),
        Asked::Delay(..) | Asked::Choice(..) => false,
    };
    let Input::Lost { verdict, .. } = step.input else {
        return false;
    };
    verdict == Verdict::AsPolicy && step.asked.iter().any(goes_on)
}

/// Whether the session may have survived such a loss: a fault of the way, or silence; not a refusal,
/// and not a close by either side.
fn survives(kind: Kind) -> bool {
    match kind {
        Kind::Refused
        | Kind::Unreachable
        | Kind::Timeout
        | Kind::Reset
        | Kind::Stale
        | Kind::Other => true,
        Kind::Resolve
        | Kind::Closed
        | Kind::Tls
        | Kind::Upgrade
        | Kind::Protocol
        | Kind::Auth
        | Kind::WrongRole
        | Kind::Cancelled
        | Kind::Exhausted
        | Kind::Draining
        | Kind::NoneReady => false,
    }
}
