//! One walk over the pool, and the outage in which it happens.

use crate::endpoint::EndpointId;
use crate::failure::Failure;
use crate::machine::io::Verdict;
use crate::policy::Lost;
use crate::pool::SlotIndex;
use crate::time::Time;

/// What happened since the last connection that proved stable, or since the start.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Outage {
    /// Its number, from 1.
    pub(crate) number: u32,
    pub(crate) since: Time,
    /// Dials so far.
    pub(crate) dials: u32,
    /// Failed turns so far.
    pub(crate) failed_turns: u32,
    /// Sweeps completed so far.
    pub(crate) sweeps: u32,
    /// Waits so far, and the last one before jitter, in nanoseconds.
    pub(crate) waits: u32,
    pub(crate) wait: u64,
    pub(crate) last_failure: Option<Failure>,
}

impl Outage {
    pub(crate) fn new(number: u32, since: Time) -> Self {
        Self {
            number,
            since,
            dials: 0,
            failed_turns: 0,
            sweeps: 0,
            waits: 0,
            wait: 0,
            last_failure: None,
        }
    }

    /// The next outage begins.
    pub(crate) fn next(&self, since: Time) -> Self {
        Self::new(self.number.wrapping_add(1).max(1), since)
    }
}

/// Who had a turn, and where the walk stands.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Round {
    /// Its number, from 1; a slot that had its turn bears it.
    pub(crate) number: u32,
    /// Turns in it that were dialled.
    pub(crate) turns: u32,
    /// Whether a wait is due before its first dial.
    pub(crate) owes_wait: bool,
    /// Where a rotating walk goes on.
    pub(crate) place: usize,
    /// The server lost last.
    pub(crate) lost: Option<EndpointId>,
    /// What the application made of that loss.
    pub(crate) verdict: Verdict,
}

impl Round {
    pub(crate) fn new() -> Self {
        Self {
            number: 1,
            turns: 0,
            owes_wait: false,
            place: 0,
            lost: None,
            verdict: Verdict::AsPolicy,
        }
    }

    /// Everybody's turn again.
    pub(crate) fn begin(&mut self) {
        self.number = self.number.wrapping_add(1).max(1);
        self.turns = 0;
        self.owes_wait = false;
    }

    /// Where the lost server goes: the application's word, or the policy's.
    pub(crate) fn place_of_lost(&self, policy: Lost) -> Lost {
        match self.verdict {
            Verdict::Retry => Lost::First,
            Verdict::Next => Lost::TurnTaken,
            Verdict::AsPolicy | Verdict::Stop => policy,
        }
    }
}

/// A dial that was decided on, and its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) slot: SlotIndex,
    /// Its place in the walk.
    pub(crate) place: usize,
    pub(crate) route: u8,
    pub(crate) at: Time,
}
