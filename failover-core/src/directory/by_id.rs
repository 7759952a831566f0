//! What is kept for each endpoint, by id.

use std::vec::Vec;

use crate::endpoint::EndpointId;

/// A map by id, as a sorted list: ids come in ascending order, so that a new one is put at the end. With
/// few endpoints it takes a tenth of a tree's memory.
#[derive(Clone, Debug)]
pub(crate) struct ById<T>(Vec<(EndpointId, T)>);

impl<T> ById<T> {
    pub(crate) fn get(&self, id: EndpointId) -> Option<&T> {
        let at = self.place(id).ok()?;
        self.0.get(at).map(|(_, value)| value)
    }

    pub(crate) fn get_mut(&mut self, id: EndpointId) -> Option<&mut T> {
        let at = self.place(id).ok()?;
        self.0.get_mut(at).map(|(_, value)| value)
    }

    pub(crate) fn insert(&mut self, id: EndpointId, value: T) {
        match self.place(id) {
            Ok(at) => self.0[at].1 = value,
            Err(at) => {
                if self.0.is_empty() {
                    self.0.reserve_exact(1);
                }
                self.0.insert(at, (id, value));
            }
        }
    }

    pub(crate) fn remove(&mut self, id: EndpointId) -> Option<T> {
        let at = self.place(id).ok()?;
        Some(self.0.remove(at).1)
    }

    pub(crate) fn retain(&mut self, mut keeps: impl FnMut(EndpointId, &T) -> bool) {
        self.0.retain(|(id, value)| keeps(*id, value));
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (EndpointId, &T)> {
        self.0.iter().map(|(id, value)| (*id, value))
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|(_, value)| value)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn place(&self, id: EndpointId) -> Result<usize, usize> {
        // Where nobody has left, an id is its place.
        if let Ok(at) = usize::try_from(id.number())
            && self.0.get(at).is_some_and(|(found, _)| *found == id)
        {
            return Ok(at);
        }
        self.0.binary_search_by_key(&id, |(id, _)| *id)
    }
}

impl<T> Default for ById<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> FromIterator<(EndpointId, T)> for ById<T> {
    fn from_iter<I: IntoIterator<Item = (EndpointId, T)>>(values: I) -> Self {
        let mut by_id = Self::default();
        for (id, value) in values {
            by_id.insert(id, value);
        }
        by_id
    }
}
