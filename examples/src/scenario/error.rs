//! What is wrong with a scenario, and where.

use failover_core::config::{ConfigError, Deployment, VERSION, may_tell_a_login, nearest};
use failover_core::preset::Preset;
use thiserror::Error;
use toml::de::DeTable;

/// What is wrong with a scenario, and where.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{file}{}: {}{what}", line_of(*line), key_of(key))]
#[non_exhaustive]
pub struct ScenarioError {
    /// The file, as it was named.
    pub file: String,
    /// The line, from 1. None for what the file does not say itself.
    pub line: Option<usize>,
    /// The key: `world.endpoint`. Empty if it is not one alone.
    pub key: String,
    /// What is wrong, and what would be right.
    pub what: String,
}

/// What is said of a version that is not known.
pub(crate) fn other_version(version: u32) -> String {
    let found = format!("`version = {version}`");
    ConfigError::Version { found }.to_string()
}

fn line_of(line: Option<usize>) -> String {
    line.map_or(String::new(), |line| format!(":{line}"))
}

fn key_of(key: &str) -> String {
    match key {
        "" => String::new(),
        key => format!("{key}: "),
    }
}

/// A text of which errors tell the line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source<'a> {
    pub(crate) file: &'a str,
    pub(crate) text: &'a str,
}

impl Source<'_> {
    /// The line of this byte of the text, from 1.
    pub(crate) fn line(&self, at: usize) -> usize {
        let before = self.text.as_bytes().iter().take(at);
        1 + before.filter(|byte| **byte == b'\n').count()
    }

    /// An error at this byte of the text.
    pub(crate) fn wrong(&self, at: usize, key: &str, what: impl Into<String>) -> ScenarioError {
        ScenarioError {
            file: self.file.to_string(),
            line: Some(self.line(at)),
            key: key.to_string(),
            what: what.into(),
        }
    }

    /// Refuses every version but the one that is known.
    pub(crate) fn version(&self, version: &toml::Spanned<u32>) -> Result<(), ScenarioError> {
        if *version.get_ref() == VERSION {
            return Ok(());
        }
        let what = other_version(*version.get_ref());
        Err(self.wrong(version.span().start, "version", what))
    }

    /// An error of the reader of TOML: at the key that it speaks of, if that can be found.
    pub(crate) fn unreadable(&self, error: &toml::de::Error) -> ScenarioError {
        let at = error.span().map_or(0, |span| span.start);
        let path = path_of(error);
        let table = known_part(&path);
        let what = plain(error.message());
        if error.message().starts_with(MISSING) {
            return self.missing(at, table, what);
        }
        if let Some(key) = word_of(&what).filter(|_| what.starts_with("unknown key ")) {
            let place = place_of(self.text, at, key).unwrap_or(at);
            return self.wrong(place, table, what);
        }
        if let Some(key) = word_of(&what).filter(|_| what.starts_with("the value of ")) {
            let place = place_of(self.text, at, key).unwrap_or(at);
            let whole = [table, key].join(".");
            let what = what.replace(&format!("the value of `{key}` is"), "it is");
            return self.wrong(place, whole.trim_start_matches('.'), what);
        }
        if path.is_empty() {
            return self.wrong(at, &self.key_at(at), what);
        }
        let is_date = |rest: &str| rest.starts_with(|c: char| c.is_ascii_digit());
        let what = match what.strip_prefix("it is a table") {
            Some(must) if self.text.get(at..).is_some_and(is_date) => format!("it is a date{must}"),
            _ => what,
        };
        let is_time = TIMES.contains(&path.rsplit('.').next().unwrap_or(""));
        let hint = match is_time && what.ends_with("it must be a text") {
            true => ": a time with its unit, such as \"10s\"",
            false => "",
        };
        self.wrong(at, table, what + hint)
    }

    /// A key is missing in the table that begins at this byte; without a name it is the file.
    fn missing(&self, at: usize, table: &str, what: String) -> ScenarioError {
        let mut error = self.wrong(at, table, what);
        if table.is_empty() {
            error.line = None;
            match word_of(&error.what) {
                Some("version") => {
                    let found = "no version".to_string();
                    error.what = ConfigError::Version { found }.to_string();
                }
                Some("until") => {
                    error.what += ": a scenario says how long it is, as in `until = \"1m\"`";
                }
                _ => {}
            }
        }
        error
    }

    /// What both policies of this deployment are, and whether its endpoints go together, if it has some.
    pub(crate) fn check<T>(&self, deployment: &Deployment<T>) -> Result<Preset, ScenarioError> {
        let wrong = |table: &str, error: &ConfigError| self.wrong_in(table, &error.to_string());
        let policy = deployment.policy();
        let link = deployment.link();
        let preset = Preset {
            policy: policy.map_err(|error| wrong("policy", &error))?,
            link: link.map_err(|error| wrong("link", &error))?,
        };
        if deployment.endpoints.is_some() && deployment.version == Some(VERSION) {
            let checked = deployment.check();
            checked.map_err(|error| wrong("endpoints", &error))?;
        }
        Ok(preset)
    }

    /// An error of this table of the file: at the line of its key, or where the table begins.
    pub(crate) fn wrong_in(&self, table: &str, what: &str) -> ScenarioError {
        let tables = DeTable::parse(self.text).ok();
        let value = tables
            .as_ref()
            .and_then(|tables| tables.get_ref().get(table));
        self.in_table(value.map_or(0, |value| value.span().start), table, what)
    }

    /// An error of a table that begins at this byte: at the line of its key, if that is there.
    pub(crate) fn in_table(&self, at: usize, table: &str, what: &str) -> ScenarioError {
        let place = word_of(what).and_then(|key| place_of(self.text, at, key));
        let what = what.strip_prefix(&format!("{table}: ")).unwrap_or(what);
        self.wrong(place.unwrap_or(at), table, what)
    }

    /// The key that is given a value in the line of this byte, or the table that holds it: for a text
    /// that is no TOML, of which nobody else can tell.
    fn key_at(&self, at: usize) -> String {
        let upto = self.text.get(..at).unwrap_or("");
        let begin = upto.rfind('\n').map_or(0, |end| end + 1);
        let line = self.text.get(begin..).and_then(|rest| rest.lines().next());
        let line = line.unwrap_or("").trim();
        let plain = |key: &str| {
            let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
            !key.is_empty() && key.chars().all(known)
        };
        let header = |line: &str| {
            let name = line.trim().split('#').next().unwrap_or("").trim();
            let name = name.strip_prefix('[')?.strip_suffix(']')?;
            let name = name.trim_start_matches('[').trim_end_matches(']').trim();
            plain(name).then(|| name.to_string())
        };
        if let Some(table) = header(line) {
            return table;
        }
        let before = self.text.get(..begin).unwrap_or("");
        let table = before.lines().rev().find_map(header).unwrap_or_default();
        let key = line.split_once('=').map(|(key, _)| key.trim());
        match key.filter(|key| plain(key)) {
            Some(key) if table.is_empty() => key.to_string(),
            Some(key) => format!("{table}.{key}"),
            None => table,
        }
    }
}

/// How serde begins to tell of a key that is not there.
const MISSING: &str = "missing field ";

/// How the reader of TOML tells of a date: as of a table with this key.
const DATE: &str = "$__toml_private_datetime";

/// The keys of a scenario whose value is a time, though serde only knows that it is a text.
const TIMES: [&str; 11] = [
    "until",
    "start_over",
    "from",
    "to",
    "at",
    "after",
    "lives",
    "retry_after",
    "noticed_after",
    "latency",
    "work",
];

/// The key that the reader of TOML was at, with its tables. Empty in a text that is no TOML.
fn path_of(error: &toml::de::Error) -> String {
    let mut error = error.clone();
    // It tells the one or the other.
    error.set_input(None);
    let told = error.to_string();
    let path = told
        .trim_end()
        .rsplit_once("\nin `")
        .and_then(|(_, path)| path.strip_suffix('`'));
    path.unwrap_or_default().to_string()
}

/// A path of keys up to the first that the user may have made up, such as the name of a server or of a
/// header, in which a password may stand.
fn known_part(path: &str) -> &str {
    let is_ours = |key: &&str| {
        let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        key.starts_with(|c: char| c.is_ascii_alphabetic()) && key.chars().all(known)
    };
    let keys = path.split('.').take_while(is_ours);
    let length: usize = keys.map(|key| key.len() + 1).sum();
    path.get(..length.saturating_sub(1)).unwrap_or("")
}

/// What the readers of TOML and of values say, in the words of people who write such files.
pub(crate) fn plain(message: &str) -> String {
    let said = in_words(message);
    match word_of(&said).filter(|_| said.starts_with("unknown key ")) {
        // No key of ours is like that: it may be a header with its value.
        Some(key) if key.contains([' ', ':', '=', '/']) => said.replacen(key, "***", 1),
        _ => said,
    }
}

fn in_words(message: &str) -> String {
    let message = message.trim().replace('\n', ", ");
    if may_tell_a_login(&message) {
        // The words of a value of the wrong kind are repeated in the error.
        return "it is wrong, and no more is told, because it may hold a password".to_string();
    }
    if message.contains(DATE) {
        return "it is a date, which nothing here is: write a text in quotes".to_string();
    }
    if let Some(key) = message.strip_prefix(MISSING) {
        return format!("the key {key} is missing");
    }
    if let Some((key, known)) = unknown(&message) {
        return match nearest(key, known.iter().copied()) {
            Some(near) => format!("unknown key `{key}`: did you mean `{near}`?"),
            None => format!(
                "unknown key `{key}`: the keys here are {}",
                known.join(", ")
            ),
        };
    }
    let wrong = ["invalid type: ", "invalid value: "];
    let wrong = wrong.iter().find_map(|words| message.strip_prefix(words));
    match wrong.and_then(|said| said.rsplit_once(", expected ")) {
        Some((is, must)) => {
            let is = found(is);
            let must = match must {
                // It is whole and not below zero: it must be too large.
                "u64" | "usize" if is.bytes().all(|byte| byte.is_ascii_digit()) => {
                    format!("a whole number from 0 to {}", u64::MAX)
                }
                _ => wanted(must),
            };
            format!("it is {is}, it must be {must}")
        }
        None => message,
    }
}

/// What serde calls a value, as it is written.
fn found(is: &str) -> String {
    let is = is.trim_end_matches(" as i128").trim_end_matches(" as u128");
    let bare = ["integer ", "floating point ", "boolean "];
    if let Some(value) = bare.iter().find_map(|words| is.strip_prefix(words)) {
        return value.trim_matches('`').to_string();
    }
    match is {
        "map" => "a table".to_string(),
        "sequence" => "a list".to_string(),
        _ => is.strip_prefix("string ").unwrap_or(is).to_string(),
    }
}

/// What serde calls a type, in words.
fn wanted(must: &str) -> String {
    let upto = |most: u32| format!("a whole number from 0 to {most}");
    match must {
        "u8" => upto(u8::MAX.into()),
        "u16" => upto(u16::MAX.into()),
        "u32" => upto(u32::MAX),
        "u64" | "usize" => "a whole number, 0 or more".to_string(),
        "i64" | "i32" => "a whole number".to_string(),
        "f64" => "a number".to_string(),
        "a string" => "a text".to_string(),
        "a boolean" => "true or false".to_string(),
        "a sequence" => "a list".to_string(),
        "path string" => "the path of a file".to_string(),
        "IP address" => "an IP address".to_string(),
        _ if must.starts_with("struct ") => "a table".to_string(),
        _ => must.to_string(),
    }
}

/// The key that serde does not know, and those that it does.
fn unknown(message: &str) -> Option<(&str, Vec<&str>)> {
    let (key, known) = message.strip_prefix("unknown field `")?.split_once('`')?;
    Some((key, known.split('`').skip(1).step_by(2).collect()))
}

/// What somebody wrote, unless it may hold a password.
pub(super) fn told(text: &str) -> &str {
    match text.contains('@') {
        true => "***",
        false => text,
    }
}

/// The first word in back quotes.
fn word_of(what: &str) -> Option<&str> {
    what.split('`').nth(1)
}

/// Where this key is given a value, from this byte on.
fn place_of(text: &str, from: usize, key: &str) -> Option<usize> {
    if key.is_empty() {
        return None;
    }
    let rest = text.get(from..)?;
    rest.match_indices(key)
        .find(|(at, _)| {
            let before = rest
                .get(..*at)
                .and_then(|before| before.chars().next_back());
            let after = rest.get(at + key.len()..).unwrap_or("").trim_start();
            let begins = before.is_none_or(|c| !c.is_alphanumeric() && c != '_' && c != '"');
            begins && (after.starts_with('=') || after.starts_with(']'))
        })
        .map(|(at, _)| from + at)
}
