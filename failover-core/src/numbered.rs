//! A map by numbers that rise: who comes later has the higher one, and mostly leaves later.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

/// So many places are kept when nobody is left.
const KEPT: usize = 16;

/// Values under rising numbers, in their order. To add one at the end costs what a queue costs, to find one a
/// halving search, to remove one no more on average, wherever it is. To add one elsewhere moves others.
#[derive(Clone, Debug)]
pub(crate) struct Numbered<N, V> {
    /// Who was removed leaves its place until it is at an end or most places are empty. Those at the ends
    /// are taken.
    places: VecDeque<(N, Option<V>)>,
    len: usize,
}

impl<N: Copy + Ord, V> Default for Numbered<N, V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<N: Copy + Ord, V> Numbered<N, V> {
    pub(crate) const fn new() -> Self {
        Self {
            places: VecDeque::new(),
            len: 0,
        }
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn get(&self, number: N) -> Option<&V> {
        let at = self.find(number).ok()?;
        self.places[at].1.as_ref()
    }

    pub(crate) fn get_mut(&mut self, number: N) -> Option<&mut V> {
        let at = self.find(number).ok()?;
        self.places[at].1.as_mut()
    }

    /// Adds one; it replaces an earlier one of this number, which is given back.
    pub(crate) fn insert(&mut self, number: N, value: V) -> Option<V> {
        if self.places.back().is_none_or(|(last, _)| *last < number) {
            self.places.push_back((number, Some(value)));
            self.len += 1;
            return None;
        }
        let before = match self.find(number) {
            Ok(at) => self.places[at].1.replace(value),
            Err(at) => {
                self.places.insert(at, (number, Some(value)));
                None
            }
        };
        self.len += usize::from(before.is_none());
        before
    }

    pub(crate) fn remove(&mut self, number: N) -> Option<V> {
        let at = self.find(number).ok()?;
        let value = self.places[at].1.take()?;
        self.len -= 1;
        self.tidy();
        Some(value)
    }

    /// The one with the lowest number.
    pub(crate) fn first(&self) -> Option<(N, &V)> {
        self.iter().next()
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = (N, &V)> {
        let places = self.places.iter();
        places.filter_map(|(number, value)| Some((*number, value.as_ref()?)))
    }

    /// Those with higher numbers than this one.
    pub(crate) fn after(&self, number: N) -> impl Iterator<Item = (N, &V)> {
        let places = self.places.range(self.place_after(number)..);
        places.filter_map(|(number, value)| Some((*number, value.as_ref()?)))
    }

    #[cfg(any(feature = "std", test))]
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (N, &mut V)> {
        let places = self.places.iter_mut();
        places.filter_map(|(number, value)| Some((*number, value.as_mut()?)))
    }

    /// Removes all above the one number and before the other, as far as there are bounds. Which they were.
    pub(crate) fn take_between(&mut self, above: Option<N>, before: Option<N>) -> Vec<N> {
        let end = match before {
            Some(number) => self.find(number).unwrap_or_else(|at| at),
            None => self.places.len(),
        };
        let start = above.map_or(0, |number| self.place_after(number)).min(end);
        let places = self.places.drain(start..end);
        let taken: Vec<N> = places
            .filter_map(|(number, value)| value.map(|_| number))
            .collect();
        self.len -= taken.len();
        self.tidy();
        taken
    }

    /// Takes all, and leaves none.
    #[cfg(any(feature = "std", test))]
    pub(crate) fn take_all(&mut self) -> impl Iterator<Item = V> + use<N, V> {
        self.len = 0;
        let places = core::mem::take(&mut self.places);
        places.into_iter().filter_map(|(_, value)| value)
    }

    fn find(&self, number: N) -> Result<usize, usize> {
        self.places.binary_search_by_key(&number, |place| place.0)
    }

    fn place_after(&self, number: N) -> usize {
        self.find(number).map_or_else(|at| at, |at| at + 1)
    }

    /// Gives up places that nobody has.
    fn tidy(&mut self) {
        let is_empty = |place: Option<&(N, Option<V>)>| matches!(place, Some((_, None)));
        while is_empty(self.places.front()) {
            self.places.pop_front();
        }
        while is_empty(self.places.back()) {
            self.places.pop_back();
        }
        if self.places.len() > 2 * self.len + KEPT {
            self.places.retain(|(_, value)| value.is_some());
        }
        if self.places.capacity() > 4 * self.len + KEPT {
            self.places.shrink_to(2 * self.len);
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeMap;
    use alloc::vec::Vec;

    use rand::{RngExt, SeedableRng, rngs::Xoshiro256PlusPlus};

    use super::{KEPT, Numbered};

    #[test]
    fn it_is_the_map_that_it_stands_for() {
        for seed in 0..200 {
            let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
            let (mut ours, mut map) = (Numbered::new(), BTreeMap::new());
            for step in 0..400 {
                let number = rng.random_range(0..=step / 2);
                match rng.random_range(0..6) {
                    0 | 1 => {
                        assert_eq!(ours.insert(step, step), map.insert(step, step));
                    }
                    2 => {
                        assert_eq!(ours.insert(number, step), map.insert(number, step));
                    }
                    3 | 4 => assert_eq!(ours.remove(number), map.remove(&number)),
                    _ if step % 50 == 0 => {
                        let above = rng.random_range(0..=number);
                        let taken: Vec<_> = map.range(above..number).map(|(n, _)| *n).collect();
                        let taken: Vec<_> = taken.into_iter().filter(|n| *n != above).collect();
                        map.retain(|n, _| !taken.contains(n));
                        assert_eq!(ours.take_between(Some(above), Some(number)), taken);
                        assert!(ours.take_between(Some(number), Some(above)).is_empty());
                        let rest = map.split_off(&number);
                        let taken: Vec<_> =
                            core::mem::replace(&mut map, rest).into_keys().collect();
                        assert_eq!(ours.take_between(None, Some(number)), taken);
                        let all: Vec<_> = map.keys().copied().collect();
                        assert_eq!(ours.clone().take_between(None, None), all);
                        let reversed = ours.iter().rev().map(|(number, _)| number);
                        assert!(reversed.eq(map.keys().rev().copied()));
                        let after = ours.after(number).map(|(number, _)| number);
                        assert!(after.eq(map.range(number + 1..).map(|(number, _)| *number)));
                    }
                    _ => assert_eq!(ours.get_mut(number), map.get_mut(&number)),
                }
                assert_eq!(ours.get(number), map.get(&number));
                assert_eq!(ours.len(), map.len());
                assert_eq!(ours.is_empty(), map.is_empty());
                let first = map
                    .first_key_value()
                    .map(|(number, value)| (*number, value));
                assert_eq!(ours.first(), first);
            }
            assert!(
                ours.iter()
                    .map(|(number, _)| number)
                    .eq(map.keys().copied())
            );
            assert!(
                ours.iter_mut()
                    .map(|(_, value)| *value)
                    .eq(map.values().copied())
            );
            assert!(ours.take_all().eq(map.into_values()));
            assert!(ours.is_empty() && ours.take_between(None, None).is_empty());
        }
    }

    #[test]
    fn one_that_stays_for_ever_does_not_keep_the_places_of_all_that_came_after_it() {
        let mut ours = Numbered::new();
        ours.insert(0, ());
        for number in 1..100_000 {
            ours.insert(number, ());
            assert_eq!(ours.remove(number), Some(()));
            ours.insert(number + 100_000, ());
        }
        let most = ours.places.capacity();
        for number in 1..100_000 {
            assert_eq!(ours.remove(100_001 + 99_999 - number), Some(()));
        }
        assert_eq!(ours.len(), 1);
        assert!(ours.places.len() <= 2 + KEPT);
        assert!(
            most > 50_000 && ours.places.capacity() <= 4 + KEPT,
            "{}",
            ours.places.capacity()
        );
    }
}
