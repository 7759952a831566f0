//! Lots to draw from, in proportion to their weights.
//!
//! Each tier has a pot for each power of two, with the ready places whose weight is at most that
//! and more than half of it. A draw chooses a pot by the sum of its weights, then any of its
//! places, and takes it with the chance that its weight has of the power: more than one half, so
//! that two tries are enough on average, in a list of any length. Where all weights are 1, there
//! is one pot and the first try is taken.

use alloc::vec::Vec;

use rand::{Rng, RngExt};

use super::Among;

/// The ready places by tier and weight, the fresh before those that had their turn.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Pots {
    /// The number of this sweep, from 1.
    sweep: u64,
    tiers: Vec<Vec<Pot>>,
    ballots: Vec<Ballot>,
}

/// What the pots know of one place.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Ballot {
    /// Where in its pot it lies, if it is in one.
    at: u32,
    weight: u16,
}

/// A place in a pot, and its weight beside it: a draw reads nothing else.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Ticket {
    place: u32,
    weight: u16,
}

#[derive(Clone, Debug, PartialEq)]
struct Pot {
    tickets: Vec<Ticket>,
    /// The sum of their weights.
    sum: u64,
    /// So many of them are fresh, in this sweep, with this sum; all, in a later one.
    fresh: usize,
    fresh_sum: u64,
    sweep: u64,
}

/// Where a place belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lot {
    /// In no pot.
    Out,
    /// In a pot of this tier, without a turn.
    Taken(u8),
    /// In a pot of this tier, to be drawn.
    Fresh(u8),
}

/// After so many tries a draw takes what it has, so that it ends with a broken generator too. With
/// a good one this happens once in 2^64 draws.
const TRIES: u32 = 64;

impl Pots {
    /// No places yet, with room for so many.
    pub(super) fn new(room: usize) -> Self {
        Self {
            sweep: 1,
            tiers: Vec::new(),
            ballots: Vec::with_capacity(room),
        }
    }

    /// One more place at the end, in no pot. A weight of 0 counts as 1.
    pub(super) fn push(&mut self, weight: u16) {
        let weight = weight.max(1);
        self.ballots.push(Ballot { at: 0, weight });
    }

    /// Everybody in a pot is fresh again.
    pub(super) fn next_sweep(&mut self) {
        self.sweep += 1;
    }

    /// Any of these places of this tier, in proportion to their weights.
    pub(super) fn draw(&self, tier: u8, among: Among, rng: &mut impl Rng) -> Option<usize> {
        let sweep = match among {
            Among::Fresh => self.sweep,
            // Nobody took a turn in the next one yet.
            Among::All => self.sweep + 1,
        };
        let pots = self.tiers.get(usize::from(tier))?;
        let sum: u64 = pots.iter().map(|pot| pot.fresh_sum(sweep)).sum();
        let mut point = (sum != 0).then(|| rng.random_range(0..sum))?;
        for (power, pot) in pots.iter().enumerate() {
            let sum = pot.fresh_sum(sweep);
            if point < sum {
                return pot.draw(1 << power, sweep, rng);
            }
            point -= sum;
        }
        None
    }

    /// Moves a place. `from` is where it belongs until now.
    pub(super) fn put(&mut self, place: usize, from: Lot, to: Lot) {
        match (from, to) {
            _ if from == to => {}
            (Lot::Out, Lot::Out) => {}
            (Lot::Out, Lot::Taken(tier)) => self.enter(place, tier),
            (Lot::Out, Lot::Fresh(tier)) => {
                self.enter(place, tier);
                self.freshen(place, tier);
            }
            (Lot::Taken(tier), Lot::Out) => self.leave(place, tier),
            (Lot::Fresh(tier), Lot::Out) => {
                self.use_up(place, tier);
                self.leave(place, tier);
            }
            // A place never changes its tier.
            (Lot::Taken(tier), Lot::Fresh(_) | Lot::Taken(_)) => self.freshen(place, tier),
            (Lot::Fresh(tier), Lot::Taken(_) | Lot::Fresh(_)) => self.use_up(place, tier),
        }
    }

    /// Puts a place into its pot, at the end: it had its turn.
    fn enter(&mut self, place: usize, tier: u8) {
        let Ballot { weight, .. } = self.ballots[place];
        let pot = pot(&mut self.tiers, self.sweep, tier, weight);
        self.ballots[place].at = narrow(pot.tickets.len());
        let place = narrow(place);
        pot.tickets.push(Ticket { place, weight });
        pot.sum += u64::from(weight);
    }

    /// Takes a place that had its turn out of its pot.
    fn leave(&mut self, place: usize, tier: u8) {
        let Ballot { at, weight } = self.ballots[place];
        let pot = pot(&mut self.tiers, self.sweep, tier, weight);
        pot.swap(at as usize, pot.tickets.len() - 1, &mut self.ballots);
        pot.tickets.pop();
        pot.sum -= u64::from(weight);
    }

    fn freshen(&mut self, place: usize, tier: u8) {
        let Ballot { at, weight } = self.ballots[place];
        let pot = pot(&mut self.tiers, self.sweep, tier, weight);
        pot.swap(at as usize, pot.fresh, &mut self.ballots);
        pot.fresh += 1;
        pot.fresh_sum += u64::from(weight);
    }

    fn use_up(&mut self, place: usize, tier: u8) {
        let Ballot { at, weight } = self.ballots[place];
        let pot = pot(&mut self.tiers, self.sweep, tier, weight);
        pot.fresh -= 1;
        pot.fresh_sum -= u64::from(weight);
        pot.swap(at as usize, pot.fresh, &mut self.ballots);
    }
}

/// The pot of this tier and weight, brought up to this sweep.
fn pot(tiers: &mut Vec<Vec<Pot>>, sweep: u64, tier: u8, weight: u16) -> &mut Pot {
    let (tier, power) = (usize::from(tier), power(weight));
    if tiers.len() <= tier {
        tiers.resize(tier + 1, Vec::new());
    }
    let pots = &mut tiers[tier];
    if pots.len() <= power {
        pots.resize(power + 1, Pot::EMPTY);
    }
    let pot = &mut pots[power];
    (pot.fresh, pot.fresh_sum) = (pot.fresh(sweep), pot.fresh_sum(sweep));
    pot.sweep = sweep;
    pot
}

/// The least power of two that a weight fits into.
fn power(weight: u16) -> usize {
    u32::from(weight).next_power_of_two().trailing_zeros() as usize
}

/// A place's number. There are no more places than a u32 counts.
fn narrow(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

impl Pot {
    const EMPTY: Self = Self {
        tickets: Vec::new(),
        sum: 0,
        fresh: 0,
        fresh_sum: 0,
        sweep: 0,
    };

    fn fresh(&self, sweep: u64) -> usize {
        if self.sweep == sweep {
            self.fresh
        } else {
            self.tickets.len()
        }
    }

    fn fresh_sum(&self, sweep: u64) -> u64 {
        if self.sweep == sweep {
            self.fresh_sum
        } else {
            self.sum
        }
    }

    /// Any of its fresh places, in proportion to their weights, of which none is above this power.
    fn draw(&self, power: u32, sweep: u64, rng: &mut impl Rng) -> Option<usize> {
        let fresh = u32::try_from(self.fresh(sweep)).ok()?;
        let mut ticket = None;
        for _ in 0..TRIES {
            let at = rng.random_range(0..fresh) as usize;
            let Ticket { place, weight } = *self.tickets.get(at)?;
            let weight = u32::from(weight);
            ticket = Some(place as usize);
            if weight == power || rng.random_range(0..power) < weight {
                break;
            }
        }
        ticket
    }

    fn swap(&mut self, one: usize, other: usize, ballots: &mut [Ballot]) {
        if one == other {
            return;
        }
        self.tickets.swap(one, other);
        for at in [one, other] {
            ballots[self.tickets[at].place as usize].at = narrow(at);
        }
    }
}
