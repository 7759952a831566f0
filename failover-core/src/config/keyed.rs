//! Tables of one's own, with errors as those of the tables here.

use std::string::String;

use serde::de::value::StringDeserializer;
use serde::de::{DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, Visitor};
use serde::forward_to_deserialize_any;

use crate::config::form::{discreet, unknown};

/// A deserializer for a table of one's own: a key that is not there is told with the nearest one that
/// is, as in the tables of this crate, and the error about a value that may hold a password does not
/// show it.
///
/// Made for derived forms, whose keys it knows; `remote = "Self"` gives it its place:
///
/// ```
/// use failover_core::config::Keyed;
/// use serde::{Deserialize, Deserializer};
///
/// #[derive(Debug, Default, Deserialize)]
/// #[serde(remote = "Self", default)]
/// struct Table {
///     nodelay: Option<bool>,
/// }
///
/// impl<'de> Deserialize<'de> for Table {
///     fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
///         Self::deserialize(Keyed(from)) // the derived one
///     }
/// }
///
/// let error = serde_json::from_str::<Table>(r#"{ "no_delay": true }"#).unwrap_err();
/// assert!(error.to_string().starts_with("unknown key `no_delay`: did you mean `nodelay`?"));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Keyed<D>(pub D);

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Keyed<D> {
    type Error = D::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_any(visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        keys: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0
            .deserialize_struct(name, keys, TableVisitor { keys, visitor })
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

struct TableVisitor<V> {
    keys: &'static [&'static str],
    visitor: V,
}

impl<'de, V: Visitor<'de>> Visitor<'de> for TableVisitor<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.keys.first() {
            Some(key) => write!(f, "a table with keys such as `{key}`"),
            None => write!(f, "an empty table"),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<V::Value, A::Error> {
        self.visitor.visit_map(KnownKeys {
            keys: self.keys,
            map,
            key: String::new(),
        })
    }
}

struct KnownKeys<A> {
    keys: &'static [&'static str],
    map: A,
    /// The key whose value is next.
    key: String,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for KnownKeys<A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, A::Error> {
        let Some(key) = self.map.next_key::<String>()? else {
            return Ok(None);
        };
        if !self.keys.contains(&key.as_str()) {
            return Err(unknown(&key, self.keys));
        }
        self.key.clone_from(&key);
        let key: StringDeserializer<A::Error> = key.into_deserializer();
        seed.deserialize(key).map(Some)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, A::Error> {
        let value = self.map.next_value_seed(seed);
        value.map_err(|error| discreet(error, &self.key))
    }

    fn size_hint(&self) -> Option<usize> {
        self.map.size_hint()
    }
}
