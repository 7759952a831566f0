//! One endpoint and what happened to it.

use alloc::boxed::Box;
use core::time::Duration;

use crate::policy::Health;
use crate::time::{Time, nanos};

/// What happened to one endpoint, as far as decisions need it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(deny_unknown_fields)
)]
pub(crate) struct Slot {
    /// Not dialled before this time, whoever asks: the hard floor.
    floor: Time,
    rare: Option<Box<Rare>>,
    /// Failed turns in a row.
    pub(crate) failures: u32,
    condition: Condition,
    /// The route that worked last, which goes first.
    pub(crate) route: u8,
    /// In a list that is scanned, whether it had its turn in this sweep.
    pub(super) is_taken: bool,
    /// In a list that is scanned, which slot stands at the place in the walk that has this one's
    /// number.
    pub(super) at_place: u8,
}

/// What only some endpoints have: those with a pace of their own, that rest or that are retired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(deny_unknown_fields)
)]
struct Rare {
    /// Not dialled before this time: the pace per endpoint.
    paced: Time,
    /// Until when it rests, if it is marked or suspended.
    rest: Time,
    /// The last wait under a pace per endpoint, before jitter, in nanoseconds. For a retired one,
    /// the number of the outage.
    wait: u64,
    /// Marks since it last proved stable.
    marks: u8,
    /// Suspensions since it last proved stable.
    suspensions: u8,
}

impl Rare {
    const NONE: Self = Self {
        paced: Time::ZERO,
        rest: Time::ZERO,
        wait: 0,
        marks: 0,
        suspensions: 0,
    };
}

/// Whether an endpoint may be dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case")
)]
#[non_exhaustive]
pub enum Condition {
    /// It may.
    Active,
    /// It failed and rests until its retry delay is over.
    Marked,
    /// It is suspended; when its time is up, the next dial is its probe.
    Suspended,
    /// It had as many failed turns in this outage as the policy allows.
    Retired,
    /// Switched off, by the user or by a reaction, until it is switched on.
    Off,
    /// Removed from the list. Its id does not come back.
    Removed,
}

impl Slot {
    /// The slot with this number, which stands at its own place.
    pub(crate) fn new(number: usize) -> Self {
        Self {
            floor: Time::ZERO,
            rare: None,
            failures: 0,
            condition: Condition::Active,
            route: 0,
            is_taken: false,
            at_place: u8::try_from(number).unwrap_or(0),
        }
    }

    /// Its condition in this outage.
    pub(crate) fn condition(&self, outage: u32) -> Condition {
        if matches!(self.condition, Condition::Retired) && self.rare().wait != u64::from(outage) {
            return Condition::Active;
        }
        self.condition
    }

    /// Its failed turns in a row: none, if it was retired in an earlier outage.
    pub(crate) fn failures_in(&self, outage: u32) -> u32 {
        match (self.condition, self.condition(outage)) {
            (Condition::Retired, Condition::Active) => 0,
            _ => self.failures,
        }
    }

    /// When it is ready, as far as its condition goes: never, for some.
    pub(crate) fn ready_at(&self, outage: u32) -> Option<Time> {
        match self.condition(outage) {
            Condition::Active => Some(Time::ZERO),
            Condition::Marked | Condition::Suspended => Some(self.rare().rest),
            Condition::Retired | Condition::Off | Condition::Removed => None,
        }
    }

    /// The earliest time for its next dial: its condition, its pace and the hard floor.
    pub(crate) fn not_before(&self) -> Time {
        match self.condition {
            Condition::Marked | Condition::Suspended => {
                self.not_before_resting().max(self.rare().rest)
            }
            Condition::Active | Condition::Retired | Condition::Off | Condition::Removed => {
                self.not_before_resting()
            }
        }
    }

    /// The same as if it did not rest.
    pub(crate) fn not_before_resting(&self) -> Time {
        self.floor.max(self.rare().paced)
    }

    /// The hard floor alone.
    pub(crate) const fn floor(&self) -> Time {
        self.floor
    }

    /// It is dialled: not again before `floor`.
    pub(crate) fn dialled(&mut self, floor: Time, outage: u32) {
        self.come_back(outage);
        // A wait that was cut short is over, too.
        self.floor = floor;
        self.end(|rare| rare.paced = Time::ZERO);
    }

    /// It failed: one more in its series.
    pub(crate) fn failed(&mut self, outage: u32) {
        self.come_back(outage);
        self.failures = self.failures.saturating_add(1);
    }

    /// Not again before this time, for the pace's sake: after this wait and its jitter.
    pub(crate) fn pace(&mut self, wait: u64, at: Time) {
        // Of one that is retired, the outage stands where its wait would.
        let keeps_wait = self.condition != Condition::Retired;
        let rare = self.rare_mut();
        if keeps_wait {
            rare.wait = wait;
        }
        rare.paced = rare.paced.max(at);
    }

    /// The last wait of its own pace, before jitter, in nanoseconds.
    pub(crate) fn wait(&self) -> u64 {
        self.rare().wait
    }

    /// It had as many failed turns in this outage as the policy allows.
    pub(crate) fn retire(&mut self, outage: u32) {
        if self.condition <= Condition::Suspended {
            self.condition = Condition::Retired;
            self.rare_mut().wait = u64::from(outage);
        }
    }

    /// A mark: it rests for the retry delay, or is suspended when it has none left. While it is
    /// suspended a mark changes nothing; a probe that is marked suspends again.
    pub(crate) fn mark(&mut self, health: &Health, now: Time) {
        match self.condition {
            Condition::Suspended if now < self.rare().rest => {}
            Condition::Active | Condition::Marked if self.rare().marks < health.retries => {
                self.rare_mut().marks += 1;
                self.condition = Condition::Marked;
                self.rest_until(now + health.retry_delay);
            }
            Condition::Active | Condition::Marked | Condition::Suspended => {
                self.suspend(health, now)
            }
            Condition::Retired | Condition::Off | Condition::Removed => {}
        }
    }

    /// Suspended for the next time of its series.
    pub(crate) fn suspend(&mut self, health: &Health, now: Time) {
        if self.condition > Condition::Suspended {
            return;
        }
        self.condition = Condition::Suspended;
        let rare = self.rare_mut();
        rare.suspensions = rare.suspensions.saturating_add(1);
        rare.marks = health.retries;
        let rest = suspension(health, rare.suspensions);
        self.rest_until(now.after(rest));
    }

    /// Somebody else suspended it, or probes it: it rests, and its own series stand still. It did not
    /// refuse this client, and does not count as one that did.
    pub(crate) fn told_to_rest(&mut self, until: Time, outage: u32) {
        self.come_back(outage);
        if self.condition == Condition::Active {
            self.condition = Condition::Marked;
        }
        if self.condition <= Condition::Suspended {
            self.rest_until(until);
        }
    }

    /// Somebody else connected to it: it rests no more, and its series stand still.
    pub(crate) fn told_to_be_back(&mut self) {
        if let Condition::Marked | Condition::Suspended = self.condition {
            self.condition = Condition::Active;
            self.end(|rare| (rare.paced, rare.rest) = (Time::ZERO, Time::ZERO));
        }
    }

    /// The server's hint: not before this much time has passed.
    pub(crate) fn hint(&mut self, after: Duration, health: &Health, now: Time) {
        if self.condition > Condition::Suspended {
            return;
        }
        if self.condition == Condition::Active {
            self.condition = Condition::Marked;
        }
        self.rest_until(now + after.min(health.maximum));
    }

    /// It answered: it rests no more, but its series go on until it proves stable. The hard floor
    /// of the dial that it answered stays.
    pub(crate) fn answered(&mut self, floor: Time) {
        if self.condition <= Condition::Suspended {
            self.condition = Condition::Active;
            self.floor = self.floor.max(floor);
            self.end(|rare| (rare.paced, rare.rest) = (Time::ZERO, Time::ZERO));
        }
    }

    /// It proved stable: its series begin anew. A rest is from later than that connection, which had
    /// ended those before it: it stays, and so does the series of a suspension.
    pub(crate) fn proved_stable(&mut self) {
        self.end(|rare| rare.wait = 0);
        self.failures = 0;
        match self.condition {
            Condition::Suspended => return,
            Condition::Retired => self.condition = Condition::Active,
            Condition::Active | Condition::Marked | Condition::Off | Condition::Removed => {}
        }
        self.end(|rare| (rare.marks, rare.suspensions) = (0, 0));
    }

    /// Switched off, until it is switched on; or removed for good.
    pub(crate) fn switch_off(&mut self, how: Condition) {
        if self.condition != Condition::Removed {
            self.condition = how;
        }
    }

    /// Switched on: it begins anew, no sooner than this.
    pub(crate) fn switch_on(&mut self, floor: Time) {
        if self.condition == Condition::Off {
            self.condition = Condition::Active;
            self.floor = self.floor.max(floor);
            self.end(|rare| (rare.paced, rare.rest) = (Time::ZERO, Time::ZERO));
            self.proved_stable();
        }
    }

    fn rare(&self) -> Rare {
        self.rare.as_deref().copied().unwrap_or(Rare::NONE)
    }

    fn rare_mut(&mut self) -> &mut Rare {
        self.rare.get_or_insert_with(|| Box::new(Rare::NONE))
    }

    fn rest_until(&mut self, at: Time) {
        let rare = self.rare_mut();
        rare.rest = rare.rest.max(at);
    }

    /// Ends a part of what it has, if it has any: its memory stays, for the next time.
    fn end(&mut self, part: impl FnOnce(&mut Rare)) {
        if let Some(rare) = &mut self.rare {
            part(rare);
        }
    }

    /// Retired in an earlier outage, it begins anew.
    fn come_back(&mut self, outage: u32) {
        if self.condition == Condition::Retired && self.rare().wait != u64::from(outage) {
            self.end(|rare| rare.rest = Time::ZERO);
            self.proved_stable();
        }
    }
}

/// The `k`-th suspension in a row, in nanoseconds.
fn suspension(health: &Health, k: u8) -> u64 {
    let maximum = nanos(health.maximum);
    let mut rest = nanos(health.initial).min(maximum);
    for _ in 1..k {
        let next = health.factor.of(rest).min(maximum);
        if next == rest {
            break;
        }
        rest = next;
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Ratio;

    const SECOND: Duration = Duration::from_secs(1);

    fn health() -> Health {
        Health::default()
            .initial(SECOND)
            .factor(Ratio::TWO)
            .maximum(4 * SECOND)
    }

    fn rests(slot: &Slot) -> Option<Duration> {
        slot.ready_at(1).map(|at| at.since(Time::ZERO))
    }

    #[test]
    fn suspensions_grow_up_to_the_maximum_and_only_stability_resets_them() {
        let mut slot = Slot::new(0);
        for rest in [1, 2, 4, 4] {
            slot.suspend(&health(), Time::ZERO);
            assert_eq!(rests(&slot), Some(rest * SECOND));
        }
        slot.answered(Time::ZERO);
        assert_eq!(rests(&slot), Some(Duration::ZERO));
        slot.suspend(&health(), Time::ZERO);
        assert_eq!(rests(&slot), Some(4 * SECOND));
        slot.answered(Time::ZERO);
        slot.proved_stable();
        slot.suspend(&health(), Time::ZERO);
        assert_eq!(rests(&slot), Some(SECOND));
    }

    #[test]
    fn the_mark_after_the_last_suspends() {
        let health = health().retries(2).retry_delay(SECOND / 10);
        let mut slot = Slot::new(0);
        for _ in 0..2 {
            slot.mark(&health, Time::ZERO);
            assert_eq!(
                (slot.condition(1), rests(&slot)),
                (Condition::Marked, Some(SECOND / 10))
            );
        }
        slot.mark(&health, Time::ZERO);
        assert_eq!(
            (slot.condition(1), rests(&slot)),
            (Condition::Suspended, Some(SECOND))
        );
    }

    #[test]
    fn a_mark_neither_shortens_a_suspension_nor_prolongs_it() {
        let mut slot = Slot::new(0);
        slot.suspend(&health(), Time::ZERO);
        slot.mark(&health(), Time::ZERO + SECOND / 2);
        assert_eq!(rests(&slot), Some(SECOND));
    }

    #[test]
    fn the_maximum_bounds_the_first_suspension_too() {
        let mut slot = Slot::new(0);
        slot.suspend(&health().initial(60 * SECOND), Time::ZERO);
        assert_eq!(rests(&slot), Some(4 * SECOND));
    }

    #[test]
    fn nothing_but_switching_on_brings_an_endpoint_back_that_is_off() {
        let mut slot = Slot::new(0);
        slot.switch_off(Condition::Off);
        slot.suspend(&health(), Time::ZERO);
        slot.mark(&health(), Time::ZERO);
        slot.hint(SECOND, &health(), Time::ZERO);
        slot.answered(Time::ZERO);
        slot.proved_stable();
        slot.retire(1);
        assert_eq!(slot.condition(1), Condition::Off);
        slot.switch_on(Time::ZERO);
        assert_eq!(rests(&slot), Some(Duration::ZERO));
    }

    #[test]
    fn what_others_find_of_it_while_it_is_connected_does_not_keep_its_series() {
        let mut slot = Slot::new(0);
        for _ in 0..3 {
            slot.suspend(&health(), Time::ZERO);
        }
        slot.answered(Time::ZERO);
        slot.told_to_rest(Time::ZERO + 9 * SECOND, 1);
        slot.proved_stable();
        assert_eq!(rests(&slot), Some(9 * SECOND));
        slot.told_to_be_back();
        slot.suspend(&health(), Time::ZERO);
        assert_eq!(rests(&slot), Some(SECOND));
    }

    #[test]
    fn one_that_was_retired_in_an_earlier_outage_rests_when_others_found_it_to_be_bad() {
        let mut slot = Slot::new(0);
        slot.retire(1);
        slot.told_to_rest(Time::ZERO + SECOND, 1);
        assert_eq!(slot.condition(1), Condition::Retired);
        slot.told_to_rest(Time::ZERO + SECOND, 2);
        assert_eq!(slot.ready_at(2), Some(Time::ZERO + SECOND));
    }

    #[test]
    fn a_wait_that_is_booked_for_a_retired_endpoint_does_not_bring_it_back() {
        let mut slot = Slot::new(0);
        slot.retire(1);
        slot.pace(5, Time::ZERO + SECOND);
        assert_eq!(slot.condition(1), Condition::Retired);
    }

    #[test]
    fn a_retired_endpoint_comes_back_in_the_next_outage_with_a_clean_slate() {
        let mut slot = Slot::new(0);
        slot.failed(1);
        slot.retire(1);
        assert_eq!(
            (slot.ready_at(1), slot.ready_at(2)),
            (None, Some(Time::ZERO))
        );
        slot.failed(2);
        assert_eq!(slot.failures, 1);
    }
}
