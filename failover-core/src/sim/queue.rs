//! What is planned, in order of time: a radix heap.
//!
//! Time never runs backwards in a simulation, and that is all it takes: what is planned lies in
//! buckets by the highest bit in which its time differs from that of the last thing that happened.
//! Only the lowest bucket is ever sorted out, into lower ones; an entry moves at most 64 times,
//! always along a list, where a binary heap of a million entries misses the cache twenty times.

use std::collections::VecDeque;

use crate::time::Time;

/// Entries by time; of equal ones, the first that was planned comes first.
#[derive(Clone, Debug)]
pub(crate) struct Queue<T> {
    /// The time of the last entry that left.
    last: u64,
    /// Those of exactly this time.
    due: VecDeque<T>,
    /// By the highest bit in which their time differs from it.
    buckets: [Vec<(u64, T)>; 64],
    /// The memory of a small bucket that was sorted out, for the next. That of a large one is given
    /// back: otherwise each bucket would end up with as much as the largest ever took.
    spare: Vec<(u64, T)>,
}

/// A bucket of this length or less is what happens next.
const SOON: usize = 64;
/// Entries whose memory is worth keeping.
const SMALL: usize = 4096;

impl<T> Queue<T> {
    pub(crate) fn new() -> Self {
        Self {
            last: 0,
            due: VecDeque::new(),
            buckets: [const { Vec::new() }; 64],
            spare: Vec::new(),
        }
    }

    /// Plans this. What is planned for the past happens next.
    pub(crate) fn push(&mut self, at: Time, entry: T) {
        self.put(at.as_nanos().max(self.last), entry);
    }

    /// The next entry up to this time. `soon` is shown those that will follow in a moment, before
    /// they do.
    pub(crate) fn pop(&mut self, end: Time, soon: impl FnMut(&T)) -> Option<(Time, T)> {
        if self.due.is_empty() {
            self.sort_out(end, soon)?;
        }
        if self.last > end.as_nanos() {
            return None;
        }
        let entry = self.due.pop_front()?;
        Some((Time::from_nanos(self.last), entry))
    }

    /// Makes those due that come next, if they come by then.
    fn sort_out(&mut self, end: Time, mut soon: impl FnMut(&T)) -> Option<()> {
        let lowest = self.buckets.iter().position(|bucket| !bucket.is_empty())?;
        let next = self.buckets[lowest].iter().map(|(at, _)| *at).min()?;
        if next > end.as_nanos() {
            return None;
        }
        self.last = next;
        let spare = core::mem::take(&mut self.spare);
        let mut sorting = core::mem::replace(&mut self.buckets[lowest], spare);
        if sorting.len() <= SOON {
            sorting.iter().for_each(|(_, entry)| soon(entry));
        }
        for (at, entry) in sorting.drain(..) {
            self.put(at, entry);
        }
        if sorting.capacity() <= SMALL {
            self.spare = sorting;
        }
        Some(())
    }

    fn put(&mut self, at: u64, entry: T) {
        match (at ^ self.last).checked_ilog2() {
            None => self.due.push_back(entry),
            Some(bit) => self.buckets[bit as usize].push((at, entry)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn gives_what_a_sorted_list_gives() {
        let mut queue = Queue::new();
        let mut sorted = BTreeMap::new();
        let (mut now, mut word) = (0_u64, 1_u64);
        for number in 0..200_000_u64 {
            word = word.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            // Often equal, mostly near, sometimes far or in the past.
            let at = match word >> 61 {
                0 => now,
                1 => now.saturating_sub(5),
                2 => now + (word >> 20) % 4,
                3 => now + (word >> 20) % 1_000_000_000_000,
                _ => now + (word >> 20) % 100_000,
            };
            queue.push(Time::from_nanos(at), number);
            sorted.insert((at.max(now), number), number);
            if word >> 63 == 1 {
                let end = now + (word >> 10) % 50_000;
                let expected = sorted.first_key_value().map(|(key, _)| *key);
                let expected = expected.filter(|(at, _)| *at <= end);
                let got = queue.pop(Time::from_nanos(end), |_| {});
                assert_eq!(got.map(|(at, n)| (at.as_nanos(), n)), expected);
                if let Some(key) = expected {
                    now = key.0;
                    sorted.remove(&key);
                }
            }
        }
        for (at, number) in sorted.into_keys() {
            let got = queue.pop(Time::MAX, |_| {});
            assert_eq!(got, Some((Time::from_nanos(at), number)));
        }
        assert_eq!(queue.pop(Time::MAX, |_| {}), None);
    }
}
