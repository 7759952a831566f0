//! A part of the clients.

use crate::policy::Ratio;

/// A part of the clients of a fleet, such as those that a broken network cuts off.
///
/// Who belongs to it follows from a client's number alone. Of any neighbours as many belong to it as of all,
/// give or take two: multiples of the golden ratio, modulo 1, are spread over it more evenly than any
/// other's, and whoever falls between the two ends belongs. So client 0 is in every part that begins at
/// zero, a smaller one lies within a larger one that begins at the same place, and parts that follow each
/// other have nobody in common.
///
/// ```
/// use failover_core::policy::Ratio;
/// use failover_core::sim::Part;
///
/// let (some, others) = (Part::first(Ratio::from_ppm(300_000)), Part::ALL.after(Ratio::from_ppm(300_000)));
/// assert_eq!((0..1000).filter(|client| some.has(*client)).count(), 300);
/// assert!((0..1000).all(|client| some.has(client) != others.has(client)));
/// assert!(some.has(0));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    from: Ratio,
    to: Ratio,
}

impl Part {
    /// All of them.
    pub const ALL: Self = Self::first(Ratio::ONE);

    /// The first of them: so many.
    #[must_use]
    pub const fn first(to: Ratio) -> Self {
        let from = Ratio::ZERO;
        Self { from, to }
    }

    /// The same without the first of all: so many.
    #[must_use]
    pub const fn after(mut self, from: Ratio) -> Self {
        self.from = from;
        self
    }

    /// Whether this client, from 0, belongs to it.
    #[must_use]
    pub fn has(self, client: usize) -> bool {
        let low = u32::try_from(client & 0xffff_ffff).unwrap_or(u32::MAX);
        // A millionth of all places is 2^32 of these.
        let place = u64::from(low.wrapping_mul(0x9e37_79b9)) * 1_000_000;
        let end = |ratio: Ratio| u64::from(ratio.ppm()) << 32;
        (end(self.from)..end(self.to)).contains(&place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_that_share_of_all_clients_and_of_any_neighbours() {
        for (from, to) in [
            (0, 1),
            (0, 10_000),
            (0, 300_000),
            (300_000, 500_000),
            (0, 1_000_000),
        ] {
            let part = Part::first(Ratio::from_ppm(to)).after(Ratio::from_ppm(from));
            for (first, many) in [(0, 100_000_u32), (12_345, 1000), (777, 50), (999_000, 1000)] {
                let clients = first..first + usize::try_from(many).unwrap();
                let there = clients.filter(|client| part.has(*client)).count();
                let fair = f64::from(many) * f64::from(to - from) / 1e6;
                let there = f64::from(u32::try_from(there).unwrap());
                assert!(
                    (there - fair).abs() <= 2.5,
                    "{part:?} {first} {many}: {there}"
                );
            }
        }
    }

    #[test]
    fn parts_that_follow_each_other_have_everybody_once() {
        let tenth = |n: u32| {
            Part::first(Ratio::from_ppm((n + 1) * 100_000)).after(Ratio::from_ppm(n * 100_000))
        };
        for client in 0..10_000 {
            assert_eq!(
                (0..10).filter(|n| tenth(*n).has(client)).count(),
                1,
                "{client}"
            );
        }
        assert!((0..10_000).all(|client| Part::ALL.has(client)));
        assert!((0..10_000).all(|client| !Part::first(Ratio::ZERO).has(client)));
    }
}
