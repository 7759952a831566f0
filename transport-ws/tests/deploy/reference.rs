//! The page about transports has every key and no other, and the words of real errors.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::Path;

use serde::de::{Deserialize, Deserializer, Visitor, value::Error};
use serde::forward_to_deserialize_any;
use transport_tcp::{KeepAliveForm, TcpTable};
use transport_tls::TlsTable;
use transport_ws::WsTable;

const PAGE: &str = include_str!("../../../docs/transports.md");

#[test]
fn has_every_key_and_no_other() {
    for (title, keys) in [
        ("`transport.tcp`", keys::<TcpTable>()),
        ("`transport.tcp.keepalive`", keys::<KeepAliveForm>()),
        ("`transport.tls`", keys::<TlsTable>()),
        ("`transport.ws`", keys::<WsTable>()),
    ] {
        let described: Vec<&str> = rows(title)
            .filter_map(|row| row.strip_prefix("| `")?.split('`').next())
            .collect();
        assert_eq!(described.join(", "), keys, "{title}");
    }
}

#[test]
fn quotes_errors_as_they_are() {
    let mut sources = String::new();
    for package in ["transport-tcp", "transport-tls", "transport-ws"] {
        read_all(&Path::new("..").join(package).join("src"), &mut sources);
    }
    let mut quoted = BTreeSet::new();
    for row in rows("What can go wrong").filter(|row| row.starts_with('|')) {
        let error = row.split('|').nth(1).unwrap();
        quoted.extend(error.split('`').skip(1).step_by(2));
    }
    assert!(quoted.len() > 30, "{quoted:?}");
    for words in quoted {
        assert!(sources.contains(words), "no error says `{words}`");
    }
}

fn rows(title: &str) -> impl Iterator<Item = &'static str> {
    let mut sections = PAGE.split("\n## ").skip(1);
    let section = sections.find(|section| section.lines().next() == Some(title));
    section
        .unwrap_or_else(|| panic!("no section {title}"))
        .lines()
}

fn read_all(folder: &Path, all: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => read_all(&path, all),
            false => all.push_str(&fs::read_to_string(&path).unwrap()),
        }
    }
}

/// The keys that a table asks a deserializer for.
fn keys<T: for<'de> Deserialize<'de> + fmt::Debug>() -> String {
    T::deserialize(Keys).unwrap_err().to_string()
}

/// A deserializer that answers with the keys that it is asked for.
struct Keys;

impl<'de> Deserializer<'de> for Keys {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        Err(serde::de::Error::custom("it asked for no table"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        keys: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Error> {
        Err(serde::de::Error::custom(keys.join(", ")))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}
