//! A list that mostly holds one: the dials in flight, the connections that stand.

use alloc::vec::Vec;
use core::ops::{Deref, DerefMut};

/// A list that takes no memory of its own while it holds at most one.
#[derive(Clone, Debug)]
pub(crate) enum Few<T> {
    None,
    One(T),
    /// Also when some have left: the memory serves the next.
    More(Vec<T>),
}

impl<T> Few<T> {
    pub(crate) fn push(&mut self, value: T) {
        match self {
            Self::None => *self = Self::One(value),
            Self::More(list) => list.push(value),
            Self::One(_) => {
                if let Self::One(first) = core::mem::replace(self, Self::None) {
                    *self = Self::More(Vec::from([first, value]));
                }
            }
        }
    }

    /// Takes the first one that is asked for, if it is there.
    pub(crate) fn take(&mut self, mut is_it: impl FnMut(&T) -> bool) -> Option<T> {
        match self {
            Self::None => None,
            Self::One(only) if is_it(only) => match core::mem::replace(self, Self::None) {
                Self::One(only) => Some(only),
                Self::None | Self::More(_) => None,
            },
            Self::One(_) => None,
            Self::More(list) => {
                let at = list.iter().position(is_it)?;
                Some(list.remove(at))
            }
        }
    }

    pub(crate) fn retain(&mut self, mut stays: impl FnMut(&T) -> bool) {
        match self {
            Self::None => {}
            Self::One(only) if stays(only) => {}
            Self::One(_) => *self = Self::None,
            Self::More(list) => list.retain(stays),
        }
    }
}

impl<T: PartialEq> PartialEq for Few<T> {
    fn eq(&self, other: &Self) -> bool {
        self[..] == other[..]
    }
}

impl<T> Deref for Few<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match self {
            Self::None => &[],
            Self::One(only) => core::slice::from_ref(only),
            Self::More(list) => list,
        }
    }
}

impl<T> DerefMut for Few<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        match self {
            Self::None => &mut [],
            Self::One(only) => core::slice::from_mut(only),
            Self::More(list) => list,
        }
    }
}
