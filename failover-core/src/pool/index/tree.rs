//! Who is ready, and of those who still has a turn in this sweep: a wide tree of words.
//!
//! Each group of nodes keeps two words a child: the lowest of all that are ready, and the lowest
//! of those of them that are *fresh*, that is still have their turn in this sweep. A group that
//! nobody took a turn from in this sweep says so by its sweep number, and then the first word
//! stands for both. So a new sweep is one addition, whatever the size of the list.

use alloc::vec::Vec;

use super::Among;
use super::key::Key;

/// `LEAF` places a leaf (at most 64; so many that it fills a cache line), `FAN` children a node.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tree<K, const LEAF: usize, const FAN: usize> {
    len: usize,
    /// The number of this sweep, from 1.
    sweep: u64,
    leaves: Vec<Leaf<K, LEAF>>,
    /// From the leaves up. The last has one group; none if there is one leaf.
    levels: Vec<Vec<Group<K, FAN>>>,
    root: Group<K, 1>,
}

/// What stands at one place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Stand<K> {
    pub(super) key: K,
    pub(super) ready: bool,
    pub(super) taken: bool,
}

impl<K: Key, const LEAF: usize, const FAN: usize> Tree<K, LEAF, FAN> {
    /// No places yet, with room for so many.
    pub(super) fn new(room: usize) -> Self {
        Self {
            len: 0,
            sweep: 1,
            leaves: Vec::with_capacity(room.div_ceil(LEAF)),
            levels: Vec::new(),
            root: Group::EMPTY,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Whether anybody is ready, with a turn or without.
    pub(super) fn any_ready(&self) -> bool {
        self.root.all[0] != K::GONE
    }

    /// The sweep to look at: nobody took a turn in the next one yet.
    fn sweep(&self, among: Among) -> u64 {
        match among {
            Among::Fresh => self.sweep,
            Among::All => self.sweep + 1,
        }
    }

    /// The lowest word of these that are ready.
    pub(super) fn lowest(&self, among: Among) -> Option<K> {
        let [root] = *self.root.fresh(self.sweep(among));
        (root != K::GONE).then_some(root)
    }

    /// The lowest word's first place at or after this one, in a circle.
    pub(super) fn first_around(&self, place: usize, among: Among) -> Option<usize> {
        let word = self.lowest(among)?;
        let sweep = self.sweep(among);
        self.first_from(place, word, sweep)
            .or_else(|| self.first_below(self.levels.len(), 0, word, sweep))
    }

    /// The lowest word's first place.
    pub(super) fn first(&self, among: Among) -> Option<usize> {
        let word = self.lowest(among)?;
        self.first_below(self.levels.len(), 0, word, self.sweep(among))
    }

    /// The first place at or after this one that is ready, fresh and has this word.
    fn first_from(&self, place: usize, word: K, sweep: u64) -> Option<usize> {
        let mut at = place / LEAF;
        if let Some(leaf) = self.leaves.get(at)
            && let Some(found) = leaf.first(place % LEAF, word, sweep)
        {
            return Some(at * LEAF + found);
        }
        for (height, level) in self.levels.iter().enumerate() {
            let group = level.get(at / FAN)?;
            if let Some(found) = group.first(at % FAN + 1, word, sweep) {
                return self.first_below(height, at / FAN * FAN + found, word, sweep);
            }
            at /= FAN;
        }
        None
    }

    /// The first of them below a node. The leaves are at height 0.
    fn first_below(&self, height: usize, node: usize, word: K, sweep: u64) -> Option<usize> {
        let mut at = node;
        for level in self.levels[..height].iter().rev() {
            at = at * FAN + level.get(at)?.first(0, word, sweep)?;
        }
        Some(at * LEAF + self.leaves.get(at)?.first(0, word, sweep)?)
    }

    /// Everybody has a turn again.
    pub(super) fn next_sweep(&mut self) {
        self.sweep += 1;
    }

    /// One more place at the end, not ready.
    pub(super) fn push(&mut self, key: K) {
        if self.len.is_multiple_of(LEAF) {
            self.leaves.push(Leaf::EMPTY);
            self.grow();
        }
        self.leaves[self.len / LEAF].keys[self.len % LEAF] = key;
        self.len += 1;
    }

    fn grow(&mut self) {
        let mut nodes = self.leaves.len();
        for level in &mut self.levels {
            nodes = nodes.div_ceil(FAN);
            if level.len() < nodes {
                level.push(Group::EMPTY);
            }
        }
        if nodes > 1 {
            let mut top = Group::EMPTY;
            top.put(0, self.root.child(0, self.sweep), self.sweep);
            self.levels.push(alloc::vec![top]);
        }
    }

    pub(super) fn stand(&self, place: usize) -> Stand<K> {
        let leaf = &self.leaves[place / LEAF];
        let bit = 1 << (place % LEAF);
        Stand {
            key: leaf.keys[place % LEAF],
            ready: leaf.ready & bit != 0,
            taken: leaf.taken(self.sweep) & bit != 0,
        }
    }

    /// Changes what stands at a place. Returns what stood there, and what does now.
    pub(super) fn change(
        &mut self,
        place: usize,
        change: impl FnOnce(&mut Stand<K>),
    ) -> [Stand<K>; 2] {
        let old = self.stand(place);
        let mut new = old;
        change(&mut new);
        if old != new {
            let leaf = &mut self.leaves[place / LEAF];
            let bit = 1 << (place % LEAF);
            leaf.keys[place % LEAF] = new.key;
            leaf.taken = leaf.taken(self.sweep) & !bit | if new.taken { bit } else { 0 };
            leaf.sweep = self.sweep;
            leaf.ready = leaf.ready & !bit | if new.ready { bit } else { 0 };
            self.carry_up(place, old.words(), new.words());
        }
        [old, new]
    }

    /// Tells the nodes above what changed at a place, as far up as anything changes.
    fn carry_up(&mut self, place: usize, before: Words<K>, after: Words<K>) {
        let mut at = place / LEAF;
        let leaf = &self.leaves[at];
        let mut old = self.words(0, at);
        let mut new = old.replaced(before, after, || leaf.words(self.sweep, old));
        for height in 0..self.levels.len() {
            if new == old {
                return;
            }
            let whole = self.words(height + 1, at / FAN);
            let group = &mut self.levels[height][at / FAN];
            group.put(at % FAN, new, self.sweep);
            new = whole.replaced(old, new, || group.words(self.sweep));
            old = whole;
            at /= FAN;
        }
        self.root.put(0, new, self.sweep);
    }

    /// The words of a node, as the group above has them.
    fn words(&self, height: usize, node: usize) -> Words<K> {
        match self.levels.get(height) {
            Some(level) => level[node / FAN].child(node % FAN, self.sweep),
            None => self.root.child(0, self.sweep),
        }
    }
}

impl<K: Key> Stand<K> {
    pub(super) fn may_go(self) -> bool {
        self.ready && !self.taken
    }

    fn words(self) -> Words<K> {
        let word = |is_in| if is_in { self.key } else { K::GONE };
        Words {
            all: word(self.ready),
            fresh: word(self.may_go()),
        }
    }
}

/// The lowest words of all that are ready, and of those that are fresh.
#[derive(Clone, Copy, PartialEq)]
struct Words<K> {
    all: K,
    fresh: K,
}

impl<K: Key> Words<K> {
    /// The same with one part changed: counted anew only where that part alone does not tell.
    fn replaced(self, before: Self, after: Self, count: impl FnOnce() -> Self) -> Self {
        let all = replaced(self.all, before.all, after.all);
        let fresh = replaced(self.fresh, before.fresh, after.fresh);
        match (all, fresh) {
            (Some(all), Some(fresh)) => Self { all, fresh },
            (all, fresh) => {
                let counted = count();
                Self {
                    all: all.unwrap_or(counted.all),
                    fresh: fresh.unwrap_or(counted.fresh),
                }
            }
        }
    }
}

/// The lowest of several, of which one changed; none if it was the lowest and rose.
fn replaced<K: Key>(lowest: K, old: K, new: K) -> Option<K> {
    if new <= lowest {
        Some(new)
    } else if old > lowest {
        Some(lowest)
    } else {
        None
    }
}

/// One cache line, if its keys are as many as fit.
#[derive(Clone, Debug, PartialEq)]
#[repr(align(64))]
struct Leaf<K, const LEAF: usize> {
    /// The sweep in which the turns of `taken` were taken.
    sweep: u64,
    taken: u64,
    ready: u64,
    keys: [K; LEAF],
}

impl<K: Key, const LEAF: usize> Leaf<K, LEAF> {
    const EMPTY: Self = Self {
        sweep: 0,
        taken: 0,
        ready: 0,
        keys: [K::GONE; LEAF],
    };

    fn taken(&self, sweep: u64) -> u64 {
        if self.sweep == sweep { self.taken } else { 0 }
    }

    fn fresh(&self, sweep: u64) -> u64 {
        self.ready & !self.taken(sweep)
    }

    /// Its words: those that are no lower than these; the others may be missed.
    fn words(&self, sweep: u64, least: Words<K>) -> Words<K> {
        Words {
            all: self.lowest(self.ready, least.all),
            fresh: self.lowest(self.fresh(sweep), least.fresh),
        }
    }

    /// The lowest word of these, of which none is below `least`.
    fn lowest(&self, bits: u64, least: K) -> K {
        let mut lowest = K::GONE;
        for place in ones(bits) {
            lowest = lowest.min(self.keys[place]);
            if lowest == least {
                break;
            }
        }
        lowest
    }

    fn first(&self, from: usize, word: K, sweep: u64) -> Option<usize> {
        ones(self.fresh(sweep) & (u64::MAX << from)).find(|&place| self.keys[place] == word)
    }
}

/// The numbers of the bits that are set, from the lowest up.
fn ones(mut bits: u64) -> impl Iterator<Item = usize> {
    core::iter::from_fn(move || {
        let lowest = (bits != 0).then(|| bits.trailing_zeros() as usize)?;
        bits &= bits - 1;
        Some(lowest)
    })
}

#[derive(Clone, Debug, PartialEq)]
struct Group<K, const FAN: usize> {
    /// The sweep to which `fresh` belongs; in a later one, `all` stands for it.
    sweep: u64,
    fresh: [K; FAN],
    all: [K; FAN],
}

impl<K: Key, const FAN: usize> Group<K, FAN> {
    const EMPTY: Self = Self {
        sweep: 0,
        fresh: [K::GONE; FAN],
        all: [K::GONE; FAN],
    };

    fn fresh(&self, sweep: u64) -> &[K; FAN] {
        if self.sweep == sweep {
            &self.fresh
        } else {
            &self.all
        }
    }

    fn words(&self, sweep: u64) -> Words<K> {
        let lowest = |words: &[K; FAN]| words.iter().copied().fold(K::GONE, K::min);
        let all = lowest(&self.all);
        let fresh = if self.sweep == sweep {
            lowest(&self.fresh)
        } else {
            all
        };
        Words { all, fresh }
    }

    fn child(&self, child: usize, sweep: u64) -> Words<K> {
        Words {
            all: self.all[child],
            fresh: self.fresh(sweep)[child],
        }
    }

    /// Writes a child's words.
    fn put(&mut self, child: usize, words: Words<K>, sweep: u64) {
        if self.sweep != sweep && words.fresh != words.all {
            self.fresh = self.all;
            self.sweep = sweep;
        }
        self.all[child] = words.all;
        if self.sweep == sweep {
            self.fresh[child] = words.fresh;
        }
    }

    fn first(&self, from: usize, word: K, sweep: u64) -> Option<usize> {
        let nodes = self.fresh(sweep).get(from..)?;
        Some(from + nodes.iter().position(|&node| node == word)?)
    }
}

#[cfg(test)]
mod tests {
    use super::super::key::Tier;
    use super::*;

    #[test]
    fn place_by_place_it_grows_no_higher_than_its_places_need() {
        let mut tree = Tree::<Tier, 4, 3>::new(0);
        (0..100).for_each(|_| tree.push(Tier::new(0)));
        let groups: Vec<usize> = tree.levels.iter().map(Vec::len).collect();
        assert_eq!((tree.leaves.len(), &groups[..]), (25, &[9, 3, 1][..]));
    }
}
