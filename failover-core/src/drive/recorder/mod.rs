//! A flight recorder: the machine's inputs, kept so that they can be played again.

#[cfg(feature = "serde")]
mod line;
#[cfg(feature = "serde")]
mod read;
mod recording;
mod replay;

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::vec::Vec;

#[cfg(feature = "serde")]
pub use self::line::{EndLine, EndpointLine, HeadLine, InputLine, Line, MachineLine, Version};
#[cfg(feature = "serde")]
pub use self::read::{ReadError, ReadProblem};
pub use self::recording::{Entry, KnownEndpoint, Recording};
pub use self::replay::{Otherwise, Replay, Replayed};
use crate::directory::{ById, Directory, Endpoint};
use crate::endpoint::{EndpointId, Endpoints};
use crate::machine::{Answer, Change, Input, Machine, Outbox, Output, Status};
use crate::policy::{
    Choice, ChoiceAsked, DelayAnswer, DelayAsked, Hooks, JudgeAsked, Reaction, Seed,
};
use crate::time::Time;

/// Keeps what the machine of a connector was told and what it decided, in a ring of bounded length:
/// given to [`ConnectorBuilder::recorder`](crate::drive::ConnectorBuilder::recorder), read as a
/// [`Recording`] through a [`Handle`](crate::drive::Handle), the connector, or the
/// [`GiveUp`](crate::drive::GiveUp) of one that gave up.
///
/// The machine decides by its policy, seed and inputs alone (law L5). So the record plays again, in
/// the real machine, and shows why each dial was made: see [`Recording::replay`].
///
/// # When the ring is full
/// The oldest half of it is forgotten at once, and counted ([`Recording::dropped`]); the record then
/// begins with a checkpoint of the machine that was taken where that half ended. So it always plays
/// again exactly, and always holds at least the newer half of the ring.
///
/// # What is never in it
/// Userinfo, queries and fragments of URLs, options, payloads, texts of errors. It holds names,
/// redacted URLs, times, and kinds and numbers of failures.
///
/// # Costs
/// Per input a lock that nobody else holds but a reader, and 72 bytes, and 104 for each output (mostly
/// one or two), in lists that grow by doubling. Each time half of the ring is full the machine is copied,
/// which takes time in proportion to the list of endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Recorder {
    entries: usize,
}

impl Recorder {
    /// One that keeps so many inputs at most: at least 2.
    pub const fn new(entries: usize) -> Self {
        Self { entries }
    }
}

impl Default for Recorder {
    /// 4096 inputs: about a thousand dials that fail.
    fn default() -> Self {
        Self::new(4096)
    }
}

/// What a hook answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case")
)]
#[non_exhaustive]
pub enum HookAnswer {
    /// What the policy suggested, whatever was asked.
    AsSuggested,
    /// How long to wait.
    Delay(DelayAnswer),
    /// Whom to dial.
    Choice(Choice),
    /// What a failure means.
    Judge(Reaction),
}

/// The ring that a connector writes and its handles read. Locked only to push an entry or to copy it.
pub(crate) struct Flight(Mutex<Inside>);

struct Inside {
    seed: Seed,
    /// The list at the start.
    endpoints: Endpoints,
    /// How many entries make half of the ring.
    half: usize,
    /// The latest time: it never runs backwards for the machine.
    latest: Time,
    older: Option<Stretch>,
    current: Stretch,
    dropped: u64,
    /// All that entries may name.
    known: ById<Arc<Endpoint>>,
    /// Those of them that were removed, oldest first.
    removed: VecDeque<EndpointId>,
}

/// The ring, and when it was looked at.
#[derive(Clone, Debug)]
pub(crate) struct Recorded {
    flight: Arc<Flight>,
    until: Time,
}

impl Recorded {
    pub(crate) const fn new(flight: Arc<Flight>, until: Time) -> Self {
        Self { flight, until }
    }

    pub(crate) fn recording(&self) -> Recording {
        self.flight.recording(self.until)
    }
}

/// Entries one after the other, and the machine before them.
#[derive(Clone)]
struct Stretch {
    before: Machine,
    entries: Vec<Bare>,
    /// The answers of hooks of all entries, and then their outputs.
    hooks: Vec<HookAnswer>,
    outputs: Vec<Output>,
}

/// One entry, whose answers and outputs stand apart.
#[derive(Clone, Copy)]
struct Bare {
    at: Time,
    input: Input,
    hooks: usize,
    outputs: usize,
}

/// How many endpoints that were removed are still known by name.
const REMOVED: usize = 256;

impl Flight {
    /// Nothing is recorded yet of this machine, which has taken nothing in.
    #[inline(never)]
    pub(crate) fn new(
        recorder: Recorder,
        machine: &Machine,
        seed: Seed,
        endpoints: Endpoints,
        directory: &Directory,
    ) -> Self {
        let known = directory.iter();
        Self(Mutex::new(Inside {
            seed,
            endpoints,
            half: (recorder.entries / 2).max(1),
            latest: Time::ZERO,
            older: None,
            current: Stretch::new(machine.clone()),
            dropped: 0,
            known: known.map(|(id, known)| (id, Arc::clone(known))).collect(),
            removed: VecDeque::new(),
        }))
    }

    /// An endpoint joins the list.
    pub(crate) fn meet(&self, id: EndpointId, endpoint: Arc<Endpoint>) {
        self.with(|inside| inside.known.insert(id, endpoint));
    }

    /// What was recorded until `now`.
    pub(crate) fn recording(&self, now: Time) -> Recording {
        let (seed, endpoints, dropped, older, current, known, until) = self.with(|inside| {
            (
                inside.seed,
                inside.endpoints.clone(),
                inside.dropped,
                inside.older.clone(),
                inside.current.clone(),
                inside.known.clone(),
                inside.latest.max(now),
            )
        });
        let stretches = older.into_iter().chain([current]);
        Recording::of_flight(seed, endpoints, dropped, stretches, &known, until)
    }

    fn with<T>(&self, then: impl FnOnce(&mut Inside) -> T) -> T {
        then(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// [`Machine::handle`], recorded if there is a recorder.
pub(crate) fn handle(
    flight: Option<&Flight>,
    machine: &mut Machine,
    input: Input,
    hooks: &mut dyn Hooks,
    out: &mut Outbox,
    now: Time,
) -> Answer {
    let Some(flight) = flight else {
        return machine.handle(input, hooks, out, now);
    };
    let mut listening = Listening {
        hooks,
        answers: Vec::new(),
        heard: Heard::Policy,
    };
    let before = out.as_slice().len();
    // A user's hooks run here: not under the lock.
    let answer = machine.handle(input, &mut listening, out, now);
    let outputs = out.as_slice().get(before..).unwrap_or_default();
    let answers = match listening.heard {
        Heard::Policy => &[][..],
        Heard::User => &listening.answers,
    };
    let status = machine.status();
    let is_full = flight.with(|inside| {
        inside.latest = inside.latest.max(now);
        // What is stale changes nothing, also when it is played again (law L12).
        answer == Answer::Taken && inside.push(input, answers, outputs, status)
    });
    if is_full {
        let copy = machine.clone();
        flight.with(|inside| inside.turn(copy));
    }
    answer
}

impl Inside {
    /// Whether half of the ring is full now.
    fn push(
        &mut self,
        input: Input,
        hooks: &[HookAnswer],
        outputs: &[Output],
        status: Status,
    ) -> bool {
        if let Input::Change(Change::Remove(id)) = input {
            self.removed.push_back(id);
            self.forget_a_name(status);
        }
        let current = &mut self.current;
        current.entries.push(Bare {
            at: self.latest,
            input,
            hooks: hooks.len(),
            outputs: outputs.len(),
        });
        current.hooks.extend_from_slice(hooks);
        current.outputs.extend_from_slice(outputs);
        current.entries.len() >= self.half
    }

    /// The other half of the ring is written from now on.
    fn turn(&mut self, machine: Machine) {
        let full = core::mem::replace(&mut self.current, Stretch::new(machine));
        let forgotten = self.older.replace(full);
        let forgotten = forgotten.map_or(0, |forgotten| forgotten.entries.len());
        self.dropped += u64::try_from(forgotten).unwrap_or(u64::MAX);
    }

    /// The oldest name of those that were removed, if there are many; never that of the connection.
    fn forget_a_name(&mut self, status: Status) {
        if self.removed.len() <= REMOVED {
            return;
        }
        let connected = match status {
            Status::Connected { link, .. } => Some(link.endpoint),
            Status::Idle
            | Status::Waiting { .. }
            | Status::Dialing { .. }
            | Status::Paused
            | Status::Starved
            | Status::Closed(_) => None,
        };
        let oldest = self.removed.iter().position(|id| Some(*id) != connected);
        if let Some(id) = oldest.and_then(|at| self.removed.remove(at)) {
            self.known.remove(id);
        }
    }
}

impl Stretch {
    const fn new(before: Machine) -> Self {
        Self {
            before,
            entries: Vec::new(),
            hooks: Vec::new(),
            outputs: Vec::new(),
        }
    }
}

/// Hooks whose answers are written down.
struct Listening<'a> {
    hooks: &'a mut dyn Hooks,
    answers: Vec<HookAnswer>,
    heard: Heard,
}

/// Whose answers were heard.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Heard {
    /// None but what the policy said already.
    Policy,
    User,
}

impl Listening<'_> {
    fn hear(&mut self, answer: HookAnswer, suggested: HookAnswer) {
        let is_own = answer != suggested;
        if is_own {
            self.heard = Heard::User;
        }
        self.answers.push(match is_own {
            true => answer,
            false => HookAnswer::AsSuggested,
        });
    }
}

impl Hooks for Listening<'_> {
    fn delay(&mut self, asked: &DelayAsked) -> DelayAnswer {
        let answer = self.hooks.delay(asked);
        let suggested = HookAnswer::Delay(DelayAnswer::AsSuggested);
        self.hear(HookAnswer::Delay(answer), suggested);
        answer
    }

    fn choose(&mut self, asked: &ChoiceAsked) -> Choice {
        let answer = self.hooks.choose(asked);
        let suggested = HookAnswer::Choice(Choice::AsSuggested);
        self.hear(HookAnswer::Choice(answer), suggested);
        answer
    }

    fn judge(&mut self, asked: &JudgeAsked) -> Reaction {
        let answer = self.hooks.judge(asked);
        let suggested = HookAnswer::Judge(asked.suggested);
        self.hear(HookAnswer::Judge(answer), suggested);
        answer
    }
}

impl fmt::Debug for Flight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kept, dropped) = self.with(|inside| {
            let older = inside.older.as_ref().map_or(0, |older| older.entries.len());
            (older + inside.current.entries.len(), inside.dropped)
        });
        f.debug_struct("Recorder")
            .field("kept", &kept)
            .field("dropped", &dropped)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_pointer_width = "64")]
    fn an_entry_takes_what_is_said_about_it() {
        assert_eq!((size_of::<Bare>(), size_of::<Output>()), (72, 104));
    }
}
