//! A secret in a file, or better: where it is to be read.

use std::path::PathBuf;
use std::string::String;
use std::{env, fmt, fs, io};

use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use thiserror::Error;

use crate::config::form::unknown;
use crate::directory::Secret;

/// A secret in a file: a text, `{ env = "NAME" }` or `{ file = "path" }`.
///
/// ```
/// use failover_core::config::SecretForm;
///
/// let form: SecretForm = serde_json::from_str(r#"{ "file": "/no/such/file" }"#)?;
/// let error = form.read().unwrap_err();
/// assert_eq!(error.to_string(), "the file `/no/such/file` cannot be read");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SecretForm {
    /// The secret itself. Not shown, and written back as `***`.
    Text(Secret),
    /// An environment variable that holds it.
    Env(String),
    /// A file that holds it; the line break at its end is no part of it.
    File(PathBuf),
}

/// Why a secret cannot be read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SecretError {
    /// The environment variable is not set, or is no text.
    #[error("the environment variable `{variable}` is not set, or no text")]
    Env {
        /// The variable.
        variable: String,
    },
    /// The file cannot be read.
    #[error("the file `{}` cannot be read", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl SecretForm {
    /// The secret, read now.
    ///
    /// # Errors
    /// When the variable is not set or the file cannot be read.
    pub fn read(&self) -> Result<Secret, SecretError> {
        match self {
            Self::Text(secret) => Ok(secret.clone()),
            Self::Env(variable) => match env::var(variable) {
                Ok(value) => Ok(Secret::new(value)),
                Err(_) => Err(SecretError::Env {
                    variable: variable.clone(),
                }),
            },
            Self::File(file) => match fs::read_to_string(file) {
                Ok(text) => Ok(Secret::new(text.trim_end_matches(['\r', '\n']))),
                Err(source) => Err(SecretError::File {
                    file: file.clone(),
                    source,
                }),
            },
        }
    }
}

impl Serialize for SecretForm {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = match self {
            Self::Text(_) => return to.serialize_str("***"),
            Self::Env(_) | Self::File(_) => to.serialize_map(Some(1))?,
        };
        match self {
            Self::Text(_) => {}
            Self::Env(variable) => map.serialize_entry("env", variable)?,
            Self::File(file) => map.serialize_entry("file", file)?,
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for SecretForm {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = SecretForm;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, { env = \"NAME\" } or { file = \"path\" }")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<SecretForm, E> {
                Ok(SecretForm::Text(Secret::new(text)))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<SecretForm, A::Error> {
                const ONE: &str = "write one of `env` and `file`";
                let Some(key) = map.next_key::<String>()? else {
                    return Err(de::Error::custom(ONE));
                };
                let form = match key.as_str() {
                    "env" => SecretForm::Env(map.next_value()?),
                    "file" => SecretForm::File(map.next_value()?),
                    _ => return Err(unknown(&key, &["env", "file"])),
                };
                match map.next_key::<String>()? {
                    None => Ok(form),
                    Some(_) => Err(de::Error::custom(ONE)),
                }
            }
        }
        from.deserialize_any(Either)
    }
}
