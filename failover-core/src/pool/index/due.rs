//! Who becomes ready when: a tree of minima over the times.
//!
//! Every place has a leaf, so that no entry is ever stale; setting a time touches one cache line a
//! level, and stops where the minimum stays what it was.

use alloc::vec::Vec;

/// When a place that is not waiting becomes ready.
pub(super) const NEVER: u64 = u64::MAX;

const FAN: usize = 8;

/// One cache line of times.
#[derive(Clone, Debug, PartialEq)]
#[repr(align(64))]
struct Line([u64; FAN]);

/// The waiting places and their times.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Due {
    /// The times themselves, then the minima of each line of the level before; the last level is
    /// one line.
    levels: Vec<Vec<Line>>,
    soonest: u64,
}

impl Due {
    pub(super) fn new() -> Self {
        Self {
            levels: alloc::vec![Vec::new()],
            soonest: NEVER,
        }
    }

    /// The earliest time, or [`NEVER`].
    pub(super) fn soonest(&self) -> u64 {
        self.soonest
    }

    /// Makes room for the places below `len`.
    pub(super) fn grow(&mut self, len: usize) {
        let mut lines = len.div_ceil(FAN);
        for level in &mut self.levels {
            if level.len() < lines {
                level.resize(lines, Line::EMPTY);
            }
            lines = lines.div_ceil(FAN);
        }
        while let Some(top) = self.levels.last()
            && top.len() > 1
        {
            let mut above = alloc::vec![Line::EMPTY; top.len().div_ceil(FAN)];
            for (at, line) in top.iter().enumerate() {
                above[at / FAN].0[at % FAN] = line.min();
            }
            self.levels.push(above);
        }
    }

    /// When this place becomes ready.
    pub(super) fn get(&self, place: usize) -> u64 {
        self.levels[0][place / FAN].0[place % FAN]
    }

    /// This place becomes ready then.
    pub(super) fn set(&mut self, place: usize, time: u64) {
        let (mut at, mut time) = (place, time);
        for level in &mut self.levels {
            let line = &mut level[at / FAN];
            if line.0[at % FAN] == time {
                return;
            }
            line.0[at % FAN] = time;
            time = line.min();
            at /= FAN;
        }
        self.soonest = time;
    }

    /// Takes out every place whose time has come, from the lowest up. Costs the places it takes
    /// and their lines, not the list.
    pub(super) fn take_due(&mut self, now: u64, mut take: impl FnMut(usize, u64)) {
        let now = now.min(NEVER - 1);
        if self.soonest <= now {
            self.soonest = take_below(&mut self.levels, 0, now, &mut take);
        }
    }
}

/// Takes what is due below this line of the last of these levels; returns its new minimum. It goes
/// as deep as there are levels, at most eleven.
fn take_below(
    levels: &mut [Vec<Line>],
    at: usize,
    now: u64,
    take: &mut impl FnMut(usize, u64),
) -> u64 {
    let Some((level, below)) = levels.split_last_mut() else {
        return NEVER;
    };
    let line = &mut level[at];
    for (child, time) in line.0.iter_mut().enumerate() {
        if *time > now {
            continue;
        }
        let child = at * FAN + child;
        if below.is_empty() {
            take(child, *time);
            *time = NEVER;
        } else {
            *time = take_below(below, child, now, take);
        }
    }
    line.min()
}

impl Line {
    const EMPTY: Self = Self([NEVER; FAN]);

    fn min(&self) -> u64 {
        self.0.iter().copied().fold(NEVER, u64::min)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn place_by_place_it_grows_no_higher_than_its_places_need() {
        let mut due = Due::new();
        for len in 1..=1000 {
            due.grow(len);
            due.set(len - 1, 1000 - len as u64);
            assert_eq!(due.soonest(), 1000 - len as u64);
        }
        let lines: Vec<usize> = due.levels.iter().map(Vec::len).collect();
        assert_eq!(lines, [125, 16, 2, 1]);
    }
}
