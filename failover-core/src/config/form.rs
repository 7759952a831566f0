//! Tables with known keys, every one of which may be left out.

use std::string::String;

use serde::de::{self, Deserialize, MapAccess};

use crate::config::{may_tell_a_login, nearest, shown};

/// A table: each key may be left out, unknown and doubled ones are refused, and the error names the
/// nearest known one.
macro_rules! form {
    (
        $(#[$doc:meta])*
        pub struct $name:ident $(<$t:ident>)? {
            $($(#[$key_doc:meta])* $key:ident: $type:ty,)+
        }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq)]
        #[non_exhaustive]
        pub struct $name $(<$t>)? {
            $($(#[$key_doc])* pub $key: Option<$type>,)+
        }

        impl $(<$t>)? $name $(<$t>)? {
            /// Every key.
            pub const KEYS: &'static [&'static str] = &[$(stringify!($key)),+];
        }

        impl $(<$t>)? Default for $name $(<$t>)? {
            fn default() -> Self {
                Self { $($key: None),+ }
            }
        }

        impl $(<$t: serde::Serialize>)? serde::Serialize for $name $(<$t>)? {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                use serde::ser::SerializeMap;
                let mut map = to.serialize_map(None)?;
                $(if let Some(value) = &self.$key {
                    map.serialize_entry(stringify!($key), value)?;
                })+
                map.end()
            }
        }

        impl<'de $(, $t: serde::Deserialize<'de>)?> serde::Deserialize<'de> for $name $(<$t>)? {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                struct Visitor $(<$t>)? (core::marker::PhantomData<($($t,)?)>);
                impl<'de $(, $t: serde::Deserialize<'de>)?> serde::de::Visitor<'de> for Visitor $(<$t>)? {
                    type Value = $name $(<$t>)?;

                    fn expecting(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                        write!(f, "a table with keys such as `{}`", $name::$(<$t>::)?KEYS[0])
                    }

                    fn visit_map<A: serde::de::MapAccess<'de>>(
                        self,
                        mut map: A,
                    ) -> Result<Self::Value, A::Error> {
                        let mut form = $name::default();
                        while let Some(key) = map.next_key::<std::string::String>()? {
                            match key.as_str() {
                                $(stringify!($key) => {
                                    crate::config::form::put(&mut form.$key, &key, &mut map)?;
                                })+
                                _ => {
                                    let keys = $name::$(<$t>::)?KEYS;
                                    return Err(crate::config::form::unknown(&key, keys));
                                }
                            }
                        }
                        Ok(form)
                    }
                }
                from.deserialize_map(Visitor(core::marker::PhantomData))
            }
        }
    };
}
pub(crate) use form;

/// Takes the value of a key in, once.
pub(crate) fn put<'de, T: Deserialize<'de>, A: MapAccess<'de>>(
    place: &mut Option<T>,
    key: &str,
    map: &mut A,
) -> Result<(), A::Error> {
    if place.is_some() {
        return Err(de::Error::custom(format_args!(
            "the key `{key}` stands here twice"
        )));
    }
    *place = Some(map.next_value().map_err(|error| discreet(error, key))?);
    Ok(())
}

/// The same error, unless it shows what may hold credentials: serde tells a value of the wrong kind.
pub(crate) fn discreet<E: de::Error>(error: E, key: &str) -> E {
    match may_tell_a_login(&error.to_string()) {
        true => E::custom(format_args!(
            "the value of `{key}` is wrong, and no more is told, because it may hold a password"
        )),
        false => error,
    }
}

/// There is no such key.
pub(crate) fn unknown<E: de::Error>(key: &str, keys: &[&str]) -> E {
    let key_shown = shown(key);
    match nearest(key, keys.iter().copied()) {
        Some(nearest) => E::custom(format_args!(
            "unknown key `{key_shown}`: did you mean `{nearest}`?"
        )),
        None => E::custom(format_args!(
            "unknown key `{key_shown}`: the keys here are {}",
            listed(keys)
        )),
    }
}

/// Words for a message: `a`, `b` or `c`.
pub(crate) fn listed(words: &[&str]) -> String {
    let mut text = String::new();
    for (at, word) in words.iter().enumerate() {
        text += match at {
            0 => "",
            _ if at + 1 == words.len() => " or ",
            _ => ", ",
        };
        text += &format!("`{word}`");
    }
    text
}
