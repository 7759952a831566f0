//! What happened since the last connection that proved stable.

use crate::machine::io::Verdict;
use crate::policy::Lost;
use crate::pool::SlotIndex;
use crate::time::Time;

/// What happened since the last connection that proved stable, or since the start.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(deny_unknown_fields)
)]
pub(crate) struct Outage {
    pub(crate) since: Time,
    /// The last wait before jitter, in nanoseconds.
    pub(crate) wait: u64,
    /// Dials so far.
    pub(crate) dials: u32,
    /// Failed turns so far.
    pub(crate) failed_turns: u32,
    /// Sweeps completed so far.
    pub(crate) sweeps: u32,
    /// Whether someone was dialled in this sweep.
    pub(crate) swept: bool,
    /// What the application made of the last loss.
    pub(crate) verdict: Verdict,
    /// The wait before the first dial of this sweep.
    pub(crate) sweep_wait: SweepWait,
    /// Whether the wait before the first dial was taken.
    pub(crate) took_first: bool,
}

impl Outage {
    pub(crate) fn new(since: Time) -> Self {
        Self {
            since,
            wait: 0,
            dials: 0,
            failed_turns: 0,
            sweeps: 0,
            swept: false,
            verdict: Verdict::AsPolicy,
            sweep_wait: SweepWait::None,
            took_first: false,
        }
    }

    /// The next outage begins.
    pub(crate) fn next(&self, since: Time) -> Self {
        Self {
            verdict: self.verdict,
            ..Self::new(since)
        }
    }

    /// Everybody's turn again; a sweep in which someone was dialled is counted.
    pub(crate) fn next_sweep(&mut self) {
        if core::mem::take(&mut self.swept) {
            self.sweeps = self.sweeps.saturating_add(1);
        }
        self.sweep_wait = SweepWait::Due;
    }

    /// Where the lost server goes: the application's word, or the policy's.
    pub(crate) fn place_of_lost(&self, policy: Lost) -> Lost {
        match self.verdict {
            Verdict::Retry => Lost::First,
            Verdict::Next | Verdict::Suspend | Verdict::Remove => Lost::TurnTaken,
            Verdict::AsPolicy | Verdict::Stop => policy,
        }
    }
}

/// The wait before the first dial of a sweep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case")
)]
pub(crate) enum SweepWait {
    /// There is none before the first sweep.
    None,
    Due,
    /// It was drawn: it is over, or under way.
    Taken,
}

/// A dial that was decided on, and its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(deny_unknown_fields)
)]
pub(crate) struct Plan {
    pub(crate) at: Time,
    pub(crate) slot: SlotIndex,
    pub(crate) route: u8,
}
