//! The WebSocket table of a deployment's file.

use std::collections::BTreeMap;
use std::fmt;

use failover_core::config::{
    HeartbeatForm, Keyed, LinkForm, LinkFormError, SecretError, SecretForm, Span, Switch,
};
use failover_core::heartbeat::Heartbeat;
use failover_core::link::LinkPolicy;
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

use crate::config::WsConfig;
use crate::options::WsOptions;
use crate::request::ConfigError;

/// What a deployment's file says about WebSocket: for all endpoints ([`WsConfig`]), or for one of
/// them ([`WsOptions`]). Path and query stand in the URL. Every key may be left out, unknown ones
/// are refused.
///
/// | key | for one endpoint, too | value |
/// |---|---|---|
/// | `subprotocols` | yes | a list of names |
/// | `headers` | yes | a table: a text, `{ env = "NAME" }` or `{ file = "path" }` for each header |
/// | `max_message_size` | yes | bytes |
/// | `keepalive` | yes | as the heartbeat of a link policy (`interval`, `max_outstanding`, `beat`, `write_deadline`), or `"off"` |
/// | `max_frame_size`, `max_answer_size`, `max_write_size`, `read_buffer_size`, `write_buffer_size` | | bytes |
/// | `follow_redirects` | | how many |
/// | `close_grace` | | a duration |
///
/// ```
/// use transport_ws::{WsConfig, WsTable};
///
/// let table: WsTable = serde_json::from_str(
///     r#"{"subprotocols": ["mqtt"], "headers": {"Origin": "https://app.example"},
///         "keepalive": {"interval": "10s", "max_outstanding": 1}, "close_grace": "250ms"}"#,
/// )?;
/// let config = WsConfig::try_from(table)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(remote = "Self", default)]
#[non_exhaustive]
pub struct WsTable {
    /// The subprotocols to offer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subprotocols: Option<Vec<String>>,
    /// Headers of the request, beside those of the upgrade. Environment and files are read when
    /// the table becomes a configuration, so a changed one counts from the next reload on.
    #[serde(
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "headers"
    )]
    pub headers: BTreeMap<String, SecretForm>,
    /// The largest message received.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_message_size: Option<usize>,
    /// The largest frame received.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_frame_size: Option<usize>,
    /// The largest answer to the upgrade.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_answer_size: Option<usize>,
    /// The largest message that a byte stream writes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_write_size: Option<usize>,
    /// How much is read at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_buffer_size: Option<usize>,
    /// How much is collected before it is written, for messages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub write_buffer_size: Option<usize>,
    /// How many redirects are followed in one dial.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub follow_redirects: Option<u8>,
    /// How the server is watched, or off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keepalive: Option<Switch<HeartbeatForm>>,
    /// How long a server may take to answer our goodbye.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub close_grace: Option<Span>,
}

impl<'de> Deserialize<'de> for WsTable {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Self::deserialize(Keyed(from))
    }
}

impl Serialize for WsTable {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        Self::serialize(self, to)
    }
}

/// A table of headers. What stands in its place may be a password: it is not told.
fn headers<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<String, SecretForm>, D::Error> {
    struct Headers;

    impl<'de> Visitor<'de> for Headers {
        type Value = BTreeMap<String, SecretForm>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a table such as `headers = { Authorization = { env = \"NAME\" } }`")
        }

        fn visit_str<E: de::Error>(self, _: &str) -> Result<Self::Value, E> {
            Err(E::custom(
                "it is a text: write a table: `headers = { Authorization = { env = \"NAME\" } }`",
            ))
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut headers = BTreeMap::new();
            while let Some((name, value)) = map.next_entry()? {
                headers.insert(name, value);
            }
            Ok(headers)
        }
    }

    from.deserialize_any(Headers)
}

/// Why a table is no configuration.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TableError {
    /// The values cannot work together.
    #[error("ws: {0}")]
    Config(#[from] ConfigError),
    /// The keepalive makes no sense.
    #[error("ws.keepalive: {0}")]
    Keepalive(#[source] LinkFormError),
    /// A header's value cannot be read.
    #[error("ws.headers.{header}: {source}")]
    Header {
        /// The header.
        header: String,
        /// Why.
        source: SecretError,
    },
    /// A key that is not for one endpoint alone.
    #[error("ws.{key}: not for one endpoint alone, only for all")]
    OnlyForAll {
        /// The key.
        key: &'static str,
    },
}

impl TryFrom<WsTable> for WsConfig {
    type Error = TableError;

    fn try_from(table: WsTable) -> Result<Self, TableError> {
        let mut config = Self::default();
        let options = table.for_one()?;
        let set = |place: &mut usize, value: Option<usize>| *place = value.unwrap_or(*place);
        set(&mut config.max_answer_size, table.max_answer_size);
        set(&mut config.max_write_size, table.max_write_size);
        set(&mut config.read_buffer_size, table.read_buffer_size);
        set(&mut config.write_buffer_size, table.write_buffer_size);
        config.max_frame_size = table.max_frame_size;
        if let Some(most) = table.follow_redirects {
            config.follow_redirects = most;
        }
        if let Some(Span(grace)) = table.close_grace {
            config.close_grace = grace;
        }
        let config = config.with(&options);
        config.check()?;
        Ok(config)
    }
}

impl TryFrom<WsTable> for WsOptions {
    type Error = TableError;

    fn try_from(table: WsTable) -> Result<Self, TableError> {
        let only_for_all = [
            ("max_frame_size", table.max_frame_size.is_some()),
            ("max_answer_size", table.max_answer_size.is_some()),
            ("max_write_size", table.max_write_size.is_some()),
            ("read_buffer_size", table.read_buffer_size.is_some()),
            ("write_buffer_size", table.write_buffer_size.is_some()),
            ("follow_redirects", table.follow_redirects.is_some()),
            ("close_grace", table.close_grace.is_some()),
        ];
        match only_for_all.into_iter().find(|&(_, is_set)| is_set) {
            Some((key, _)) => Err(TableError::OnlyForAll { key }),
            None => table.for_one(),
        }
    }
}

impl WsTable {
    /// What may be said of one endpoint.
    fn for_one(&self) -> Result<WsOptions, TableError> {
        let mut options = WsOptions::default();
        options.subprotocols.clone_from(&self.subprotocols);
        options.max_message_size = self.max_message_size;
        if let Some(keepalive) = &self.keepalive {
            options.keepalive = Some(heartbeat(keepalive)?);
        }
        for (name, value) in &self.headers {
            let value = value.read().map_err(|source| TableError::Header {
                header: name.clone(),
                source,
            })?;
            options.headers.set(name.clone(), value);
        }
        Ok(options)
    }
}

fn heartbeat(form: &Switch<HeartbeatForm>) -> Result<Option<Heartbeat>, TableError> {
    let mut link = LinkForm::default();
    link.heartbeat = Some(form.clone());
    let link = link.link(LinkPolicy::OFF).map_err(TableError::Keepalive)?;
    Ok(link.heartbeat)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use std::{env, fs};

    fn table(text: &str) -> Result<WsTable, serde_json::Error> {
        serde_json::from_str(text)
    }

    fn words(text: &str) -> String {
        match WsConfig::try_from(table(text).unwrap()) {
            Ok(config) => panic!("{config:?}"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn each_key_reaches_the_configuration() {
        let all = r#"{"subprotocols": ["mqtt"], "headers": {"Origin": "https://app.example"},
            "max_message_size": 10, "max_frame_size": 9, "max_answer_size": 300,
            "max_write_size": 8, "read_buffer_size": 200, "write_buffer_size": 7,
            "follow_redirects": 3, "close_grace": "250ms",
            "keepalive": {"interval": "10s", "max_outstanding": 1}}"#;
        let heartbeat = Heartbeat::builder().watch(Duration::from_secs(10), 1);
        let expected = WsConfig::default()
            .subprotocols(["mqtt"])
            .header("Origin", "https://app.example")
            .max_message_size(10)
            .max_frame_size(9)
            .max_answer_size(300)
            .max_write_size(8)
            .read_buffer_size(200)
            .write_buffer_size(7)
            .follow_redirects(3)
            .close_grace(Duration::from_millis(250))
            .keepalive(heartbeat.build().unwrap());
        let table = table(all).unwrap();
        assert_eq!(WsConfig::try_from(table.clone()).unwrap(), expected);
        assert_eq!(
            WsConfig::try_from(WsTable::default()).unwrap(),
            WsConfig::default()
        );

        // What is written back is read back, but for a header in clear.
        let back = serde_json::to_string(&table).unwrap();
        assert!(back.contains(r#""Origin":"***""#), "{back}");
        let again = back.replace("***", "https://app.example");
        assert_eq!(serde_json::from_str::<WsTable>(&again).unwrap(), table);
    }

    #[test]
    fn an_endpoint_s_table_says_what_an_endpoint_may_say() {
        let one = r#"{"subprotocols": ["mqtt"], "headers": {"X": "y"}, "max_message_size": 10,
            "keepalive": "off"}"#;
        let expected = WsOptions::default()
            .subprotocols(["mqtt"])
            .header("X", "y")
            .max_message_size(10)
            .keepalive(None);
        assert_eq!(WsOptions::try_from(table(one).unwrap()).unwrap(), expected);

        let error = WsOptions::try_from(table(r#"{"close_grace": "1s"}"#).unwrap()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "ws.close_grace: not for one endpoint alone, only for all"
        );
    }

    #[test]
    fn header_values_come_from_environment_and_files_and_are_not_shown() {
        let file = env::temp_dir().join(format!("transport-ws-{}", std::process::id()));
        fs::write(&file, "Bearer hunter2\n").unwrap();
        let text = format!(
            r#"{{"headers": {{"A": "sesame", "B": {{"env": "PATH"}}, "C": {{"file": {file:?}}}}}}}"#
        );
        let table = table(&text).unwrap();
        let config = WsConfig::try_from(table.clone()).unwrap();
        fs::remove_file(&file).unwrap();
        let shown = format!("{table:?} {config:?}");
        assert!(
            !shown.contains("sesame") && !shown.contains("hunter2"),
            "{shown}"
        );

        let values: Vec<_> = config
            .headers
            .iter()
            .map(|(_, value)| value.expose())
            .collect();
        assert_eq!(
            values,
            ["sesame", &env::var("PATH").unwrap(), "Bearer hunter2"]
        );
        assert!(WsConfig::try_from(table).is_err());
    }

    #[test]
    fn a_header_where_a_table_is_expected_is_not_shown() {
        let error = table(r#"{"headers": "Bearer hunter2"}"#).unwrap_err();
        let said = error.to_string();
        assert!(!said.contains("hunter2"), "{said}");
        let right = "write a table: `headers = { Authorization = { env = \"NAME\" } }`";
        assert!(said.contains(right), "{said}");
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        for (text, expected) in [
            (
                r#"{"max_write_size": 0}"#,
                "ws: `max_write_size` is 0: it must be at least 1 bytes",
            ),
            (
                r#"{"headers": {"A": {"env": "TRANSPORT_WS_NOT_SET"}}}"#,
                "ws.headers.A: the environment variable `TRANSPORT_WS_NOT_SET` is not set, or no text",
            ),
            (
                r#"{"headers": {"A": {"file": "/nowhere/at/all"}}}"#,
                "ws.headers.A: the file `/nowhere/at/all` cannot be read",
            ),
        ] {
            assert_eq!(words(text), expected);
        }
        assert!(words(r#"{"keepalive": {"interval": "0s"}}"#).starts_with("ws.keepalive: "));
        for text in [
            r#"{"max_mesage_size": 1}"#,
            r#"{"close_grace": 250}"#,
            r#"{"headers": {"A": 1}}"#,
            r#"{"headers": {"A": {"enw": "X"}}}"#,
            r#"{"headers": {"A": {"env": "X", "file": "y"}}}"#,
        ] {
            assert!(table(text).is_err(), "{text}");
        }
    }
}
