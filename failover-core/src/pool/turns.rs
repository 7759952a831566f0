//! Who had a turn in this sweep: a set of small numbers.

use alloc::boxed::Box;

/// A set of slots. The first 64 take no memory of their own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Turns {
    first: u64,
    more: Box<[u64]>,
}

impl Turns {
    pub(crate) fn has(&self, index: u32) -> bool {
        self.word(index).is_some_and(|word| word & bit(index) != 0)
    }

    pub(crate) fn take(&mut self, index: u32) {
        let word = index as usize / 64;
        if word == 0 {
            self.first |= bit(index);
            return;
        }
        if self.more.len() < word {
            let mut more = core::mem::take(&mut self.more).into_vec();
            more.resize(word.next_power_of_two(), 0);
            self.more = more.into_boxed_slice();
        }
        self.more[word - 1] |= bit(index);
    }

    pub(crate) fn clear(&mut self) {
        self.first = 0;
        self.more.fill(0);
    }

    fn word(&self, index: u32) -> Option<u64> {
        match index as usize / 64 {
            0 => Some(self.first),
            word => self.more.get(word - 1).copied(),
        }
    }
}

fn bit(index: u32) -> u64 {
    1 << (index % 64)
}
