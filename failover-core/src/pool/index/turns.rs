//! What a walk needs: the tree with the word that it compares, and the pots for what it draws.

use rand::Rng;

use super::key::{Failures, Key, Tier};
use super::pots::{Lot, Pots};
use super::tree::{Stand, Tree};
use super::{Among, IndexWalk};

/// Who is ready and still has a turn, by place.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Turns {
    Tiers(Tree<Tier, 40, 64>),
    Drawn(Tree<Tier, 40, 64>, Pots),
    Failures(Tree<Failures, 10, 16>),
}

/// The same for each kind of tree.
macro_rules! each {
    ($turns:expr, $tree:ident => $done:expr) => {
        match $turns {
            Turns::Tiers($tree) | Turns::Drawn($tree, _) => $done,
            Turns::Failures($tree) => $done,
        }
    };
}

impl Turns {
    pub(super) fn new(walk: IndexWalk, room: usize) -> Self {
        match walk {
            IndexWalk::Listed | IndexWalk::Rotate | IndexWalk::Shuffled => {
                Self::Tiers(Tree::new(room))
            }
            IndexWalk::Drawn | IndexWalk::Weighted => Self::Drawn(Tree::new(room), Pots::new(room)),
            IndexWalk::LeastFailed => Self::Failures(Tree::new(room)),
        }
    }

    pub(super) fn len(&self) -> usize {
        each!(self, tree => tree.len())
    }

    pub(super) fn any_ready(&self) -> bool {
        each!(self, tree => tree.any_ready())
    }

    pub(super) fn is_taken(&self, place: usize) -> bool {
        each!(self, tree => tree.stand(place).taken)
    }

    /// The first place with the lowest word.
    pub(super) fn first(&self, among: Among) -> Option<usize> {
        each!(self, tree => tree.first(among))
    }

    /// The first at or after this one, in a circle.
    pub(super) fn first_around(&self, place: usize, among: Among) -> Option<usize> {
        each!(self, tree => tree.first_around(place, among))
    }

    /// Any place of the lowest tier.
    pub(super) fn draw(&self, among: Among, rng: &mut impl Rng) -> Option<usize> {
        match self {
            Self::Drawn(tree, pots) => pots.draw(tree.lowest(among)?.number(), among, rng),
            Self::Tiers(_) | Self::Failures(_) => None,
        }
    }

    pub(super) fn next_sweep(&mut self) {
        each!(self, tree => tree.next_sweep());
        if let Self::Drawn(_, pots) = self {
            pots.next_sweep();
        }
    }

    /// One more place at the end, not ready.
    pub(super) fn push(&mut self, tier: u8, weight: u16) {
        match self {
            Self::Tiers(tree) => tree.push(Tier::new(tier)),
            Self::Drawn(tree, pots) => {
                tree.push(Tier::new(tier));
                pots.push(weight);
            }
            Self::Failures(tree) => tree.push(Failures::new(tier)),
        }
    }

    pub(super) fn set_ready(&mut self, place: usize, ready: bool) {
        self.mark(place, Mark::Ready(ready));
    }

    /// Returns whether its turn had been taken.
    pub(super) fn take(&mut self, place: usize) -> bool {
        self.mark(place, Mark::Taken)
    }

    /// Returns whether its turn had been taken.
    pub(super) fn give(&mut self, place: usize) -> bool {
        self.mark(place, Mark::Fresh)
    }

    fn mark(&mut self, place: usize, mark: Mark) -> bool {
        match self {
            Self::Tiers(tree) => tree.change(place, |stand| stand.mark(mark))[0].taken,
            Self::Failures(tree) => tree.change(place, |stand| stand.mark(mark))[0].taken,
            Self::Drawn(tree, pots) => {
                let [from, to] = tree.change(place, |stand| stand.mark(mark));
                pots.put(place, from.lot(), to.lot());
                from.taken
            }
        }
    }

    pub(super) fn set_failures(&mut self, place: usize, failures: u32) {
        match self {
            Self::Tiers(_) | Self::Drawn(..) => {}
            Self::Failures(tree) => {
                tree.change(place, |stand| {
                    if stand.key != Failures::GONE {
                        stand.key = stand.key.with(failures);
                    }
                });
            }
        }
    }

    /// It was removed.
    pub(super) fn forget(&mut self, place: usize) {
        each!(self, tree => {
            tree.change(place, |stand| stand.key = Key::GONE);
        });
    }

    /// Whether it was removed.
    pub(super) fn is_gone(&self, place: usize) -> bool {
        each!(self, tree => tree.stand(place).key == Key::GONE)
    }

    /// The slot there moves to the end, and that one there.
    pub(super) fn swap_with_last(&mut self, place: usize) {
        each!(self, tree => {
            let last = tree.len() - 1;
            let (one, other) = (tree.stand(place), tree.stand(last));
            tree.change(place, |stand| *stand = other);
            tree.change(last, |stand| *stand = one);
        });
    }
}

/// What changes at a place.
#[derive(Clone, Copy)]
enum Mark {
    Ready(bool),
    Taken,
    Fresh,
}

impl<K> Stand<K> {
    fn mark(&mut self, mark: Mark) {
        match mark {
            Mark::Ready(ready) => self.ready = ready,
            Mark::Taken => self.taken = true,
            Mark::Fresh => self.taken = false,
        }
    }
}

impl Stand<Tier> {
    /// Where it lies among the lots.
    fn lot(self) -> Lot {
        match (self.ready, self.taken) {
            (false, _) => Lot::Out,
            (true, false) => Lot::Fresh(self.key.number()),
            (true, true) => Lot::Taken(self.key.number()),
        }
    }
}
