//! The pace of dials on the side, while a connection stands: L2.

use core::time::Duration;
use std::collections::BTreeMap;

use crate::attempt::Role;
use crate::endpoint::Security;
use crate::machine::{Event, Input, Output};
use crate::policy::Policy;
use crate::sim::Trace;
use crate::testing::laws::ledger::{Fact, Ledger};
use crate::testing::laws::waits::range;
use crate::testing::laws::{Violation, violation};
use crate::time::Time;

/// **L2, beside a connection.** A move, a spare or a probe that failed waits before its next dial:
/// no less than the least that the policy asks for, half the interval of failback for a probe. News
/// from outside (a word of the user, a change of the list, a loss) ends such waits.
///
/// # Errors
/// The first dial on the side that came too soon.
pub fn l02_beside(trace: &Trace) -> Result<(), Violation> {
    let mut ledger = Ledger::new(trace);
    // Until when efforts of each kind wait.
    let mut waiting: BTreeMap<Effort, Vec<Time>> = BTreeMap::new();
    for (at, step) in trace.steps.iter().enumerate() {
        ledger.hear(step);
        if !matches!(
            step.input,
            Input::Wake
                | Input::Failed { .. }
                | Input::Connected { .. }
                | Input::Learned { .. }
                | Input::Held { .. }
                | Input::Begun { .. }
        ) {
            waiting.clear();
        }
        for output in &step.outputs {
            if let Output::Dial(order) = output
                && ledger.main.is_some()
            {
                let effort = Effort::of(order.role);
                let until = waiting.entry(effort).or_default();
                until.retain(|until| *until > ledger.now);
                let in_flight = ledger.in_flight.values().map(|order| order.role);
                let busy = in_flight.filter(|role| Effort::of(*role) == effort).count();
                if let Some(first) = until.first()
                    && busy + until.len() >= effort.most(&trace.policy)
                {
                    let what = format!(
                        "{effort:?} dials {} although the one before waits until {first:?}",
                        order.endpoint
                    );
                    return violation("L2", at, what);
                }
            }
            let fact = ledger.take(output);
            match output {
                Output::Event(Event::Attempt(ended)) if matches!(fact, Fact::SideFailed) => {
                    let effort = Effort::of(ended.order.role);
                    let until = ledger.now + effort.least_wait(&trace.policy);
                    waiting.entry(effort).or_default().push(until);
                }
                Output::Event(Event::Moved { .. } | Event::Disconnected { .. }) => waiting.clear(),
                Output::Event(_) | Output::Dial(_) | Output::Cancel(_) | Output::HangUp { .. } => {}
            }
        }
    }
    Ok(())
}

/// What a dial beside a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Effort {
    Move,
    Spare,
    Probe,
}

impl Effort {
    fn of(role: Role) -> Self {
        match role {
            Role::Main | Role::Raced => Self::Move,
            Role::Spare => Self::Spare,
            Role::Probe => Self::Probe,
        }
    }

    /// How many of them may be under way at the same time.
    fn most(self, policy: &Policy) -> usize {
        match self {
            Self::Move | Self::Probe => 1,
            Self::Spare => policy.standing().spares.into(),
        }
    }

    /// The least wait after a failure.
    fn least_wait(self, policy: &Policy) -> Duration {
        if self == Self::Probe {
            let failback = policy.standing().failback.unwrap_or_default();
            return failback.every / 2;
        }
        let pace = policy.pace();
        if pace.backoff.draws() {
            return pace.min;
        }
        let first = pace.backoff.wait(1, pace.cap);
        let least = [Security::Plain, Security::Tls]
            .map(|security| range(policy, security, first).0)
            .into_iter()
            .min();
        Duration::from_nanos(least.unwrap_or_default())
    }
}
