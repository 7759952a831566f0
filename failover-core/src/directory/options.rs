//! A transport's own settings, riding with an endpoint: one value per type.

use std::any::{Any, type_name};
use std::fmt;
use std::sync::Arc;
use std::vec::Vec;

/// Options of an endpoint, one per type: each layer defines a type of its own and finds it here.
///
/// They are no part of an endpoint's identity, and `Debug` shows the types only, because TLS keys
/// and headers ride here. A value of the application's own rides the same way.
///
/// ```
/// use failover_core::directory::Options;
///
/// #[derive(Debug, PartialEq)]
/// struct ServerName(&'static str);
///
/// let options = Options::default().with(ServerName("broker.internal"));
/// assert_eq!(options.get(), Some(&ServerName("broker.internal")));
/// ```
#[derive(Clone, Default)]
pub struct Options {
    /// With the names of their types. Few, so that they are looked through.
    values: Vec<(&'static str, Arc<dyn Any + Send + Sync>)>,
}

impl Options {
    /// The same with this value; it replaces an earlier one of the same type.
    #[must_use]
    pub fn with<T: Send + Sync + 'static>(mut self, value: T) -> Self {
        self.values.retain(|(_, other)| !other.is::<T>());
        self.values.push((type_name::<T>(), Arc::new(value)));
        self
    }

    /// The value of this type.
    #[must_use]
    pub fn get<T: Send + Sync + 'static>(&self) -> Option<&T> {
        self.values
            .iter()
            .find_map(|(_, value)| value.downcast_ref())
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set()
            .entries(self.values.iter().map(|(name, _)| name))
            .finish()
    }
}
