//! A list of those who may leave without a word.

use std::vec::Vec;

/// Adds one. Those who have left are forgotten when the list is full: the memory is in proportion to
/// those who live at once, and to look at them costs no more on average than to add one.
pub(crate) fn push<T>(list: &mut Vec<T>, one: T, lives: impl FnMut(&T) -> bool) {
    if list.len() == list.capacity() {
        list.retain(lives);
        // As many again may come before they are looked at the next time.
        list.reserve(list.len() + 1);
    }
    list.push(one);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_who_left_take_no_room_and_those_who_live_are_seldom_looked_at() {
        const COME: usize = 10_000;
        for living in [0, 1, 3, 4, 100, 1023, 1024] {
            let (mut list, mut looks) = (Vec::new(), 0);
            for number in 0..COME {
                push(&mut list, number, |one| {
                    looks += 1;
                    // The first ones live for ever, of the others only the latest.
                    *one < living || *one + 1 == number
                });
            }
            assert!(list.capacity() <= 4 * living + 8, "{living}");
            assert!(looks <= 3 * COME, "{living}: {looks}");
            assert!((0..living).all(|number| list[number] == number));
            assert_eq!(list.last(), Some(&(COME - 1)));
        }
    }
}
