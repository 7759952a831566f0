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
    buckets: [Vec<Block<T>>; 64],
    /// Blocks that were sorted out, for whichever bucket grows next: all of them together never take
    /// more than what was planned at a time took.
    spare: Vec<Block<T>>,
    /// The bucket that is sorted out.
    sorting: Vec<Block<T>>,
}

/// Entries with their times, at most [`BLOCK`] of them: a bucket of a million never moves to grow.
type Block<T> = Vec<(u64, T)>;

/// Entries of a block.
const BLOCK: usize = 256;
/// A bucket of this length or less is what happens next.
const SOON: usize = 64;

impl<T> Queue<T> {
    pub(crate) fn new() -> Self {
        Self {
            last: 0,
            due: VecDeque::new(),
            buckets: [const { Vec::new() }; 64],
            spare: Vec::new(),
            sorting: Vec::new(),
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
        let entries = self.buckets[lowest].iter().flatten();
        let next = entries.map(|(at, _)| *at).min()?;
        if next > end.as_nanos() {
            return None;
        }
        self.last = next;
        let mut sorting = core::mem::take(&mut self.sorting);
        core::mem::swap(&mut sorting, &mut self.buckets[lowest]);
        if let [only] = sorting.as_slice()
            && only.len() <= SOON
        {
            only.iter().for_each(|(_, entry)| soon(entry));
        }
        for mut block in sorting.drain(..) {
            for (at, entry) in block.drain(..) {
                self.put(at, entry);
            }
            self.spare.push(block);
        }
        self.sorting = sorting;
        Some(())
    }

    fn put(&mut self, at: u64, entry: T) {
        let Some(bit) = (at ^ self.last).checked_ilog2() else {
            return self.due.push_back(entry);
        };
        let bucket = &mut self.buckets[bit as usize];
        match bucket.last_mut() {
            Some(block) if block.len() < BLOCK => block.push((at, entry)),
            Some(_) | None => {
                let spare = self.spare.pop();
                let mut block = spare.unwrap_or_else(|| Vec::with_capacity(BLOCK));
                block.push((at, entry));
                bucket.push(block);
            }
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
