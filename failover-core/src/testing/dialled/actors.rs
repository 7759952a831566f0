//! Whom the connector meets: a dialer in its weather, connections, hooks.

use std::boxed::Box;
use std::future::{pending, poll_fn};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;

use crate::attempt::AttemptId;
use crate::dial::{Dial, DialContext};
use crate::directory::Target;
use crate::drive::Clock;
use crate::endpoint::Security;
use crate::failure::{Failure, Phase};
use crate::machine::Input;
use crate::policy::{Choice, ChoiceAsked, DelayAnswer, DelayAsked, Hooks, JudgeAsked, Reaction};
use crate::sim::{Asked, Meets};
use crate::testing::ManualClock;
use crate::testing::dialled::record::Record;

/// The record, as all who write it share it.
#[derive(Clone)]
pub(super) struct Shared(Arc<Mutex<Record>>);

impl Shared {
    pub(super) fn new(record: Record) -> Self {
        Self(Arc::new(Mutex::new(record)))
    }

    pub(super) fn with<T>(&self, then: impl FnOnce(&mut Record) -> T) -> T {
        then(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Dials into the weather.
pub(super) struct Dialer {
    pub(super) record: Shared,
    pub(super) clock: ManualClock,
}

/// A connection that writes down when it is dropped.
pub(super) struct Conn(Shared, AttemptId);

impl Drop for Conn {
    fn drop(&mut self) {
        self.0.with(|record| record.hung_up(self.1));
    }
}

/// A dial that writes down when it is dropped.
struct Dialling<'a>(&'a Shared, AttemptId);

impl Drop for Dialling<'_> {
    fn drop(&mut self) {
        self.0.with(|record| record.dropped(self.1));
    }
}

impl Dial for Dialer {
    type Conn = Conn;
    type Error = Failure;

    async fn dial(&self, to: &Target, cx: &DialContext) -> Result<Conn, Failure> {
        let attempt = cx.attempt();
        let at = self.record.with(|record| record.dial(to, cx));
        let _dialling = Dialling(&self.record, attempt);
        cx.enter(Phase::Connect);
        let Some(at) = at else {
            return pending().await;
        };
        poll_fn(|_| match self.clock.now() >= at {
            true => Poll::Ready(()),
            false => Poll::Pending,
        })
        .await;
        self.record.with(|record| {
            if let Some(security) = record.learns.remove(&attempt) {
                cx.learn(security);
                record.begin(Input::Learned { attempt, security });
            }
            let outcome = match record.meets.get(&attempt).copied().unwrap_or(Meets::Mute) {
                Meets::Fail { failure, .. } => Err(Failure {
                    phase: failure.phase.or(Some(Phase::Connect)),
                    ..failure
                }),
                Meets::AcceptAndDrop {
                    lives,
                    failure,
                    verdict,
                    ..
                } => {
                    let end = (self.clock.now() + lives, failure, verdict);
                    record.ends.insert(attempt, end);
                    Ok(())
                }
                Meets::Accept { .. } | Meets::Mute => Ok(()),
            };
            record.answer(attempt, outcome);
            outcome
        })?;
        Ok(Conn(self.record.clone(), attempt))
    }

    fn security(&self, to: &Target) -> Security {
        match to.url().scheme() {
            "tls" => Security::Tls,
            _ => Security::Plain,
        }
    }
}

/// A user's hooks, whose questions and answers are written down.
pub(super) struct Asking {
    pub(super) record: Shared,
    pub(super) inner: Box<dyn Hooks + Send>,
}

impl Hooks for Asking {
    fn delay(&mut self, asked: &DelayAsked) -> DelayAnswer {
        let answer = self.inner.delay(asked);
        self.record
            .with(|record| record.asked(Asked::Delay(*asked, answer)));
        answer
    }

    fn choose(&mut self, asked: &ChoiceAsked) -> Choice {
        let answer = self.inner.choose(asked);
        self.record
            .with(|record| record.asked(Asked::Choice(*asked, answer)));
        answer
    }

    fn judge(&mut self, asked: &JudgeAsked) -> Reaction {
        let answer = self.inner.judge(asked);
        self.record
            .with(|record| record.asked(Asked::Judge(*asked, answer)));
        answer
    }
}
