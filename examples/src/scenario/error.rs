//! What is wrong with a scenario, and where.

use thiserror::Error;

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
        if *version.get_ref() == super::VERSION {
            return Ok(());
        }
        let what = format!(
            "this tool reads version {}, not {}",
            super::VERSION,
            version.get_ref()
        );
        Err(self.wrong(version.span().start, "version", what))
    }

    /// An error of the reader of TOML: at the key that it speaks of, if that can be found.
    pub(crate) fn unreadable(&self, error: &toml::de::Error) -> ScenarioError {
        let at = error.span().map_or(0, |span| span.start);
        let mut what = error.message().trim().replace('\n', ", ");
        if let Some(near) = meant(&what) {
            what += &format!(" (did you mean `{near}`?)");
        }
        if what.starts_with("invalid type: integer") && what.ends_with("expected a string") {
            what += "; a time or a duration is one with its unit, such as \"10s\"";
        }
        if what.contains('@') {
            // The words of a value of the wrong kind are repeated in the error.
            what =
                "this is wrong; it holds an `@` and perhaps a password, so no more is told".into();
        }
        if what.starts_with("unknown ") {
            let at = word_of(&what)
                .and_then(|key| place_of(self.text, at, key))
                .unwrap_or(at);
            return self.wrong(at, &self.key_at(at).0, what);
        }
        self.wrong(at, &self.key_at(at).1, what)
    }

    /// An error of a table that begins at this byte: at the line of its key, if that is there.
    pub(crate) fn in_table(&self, at: usize, table: &str, what: &str) -> ScenarioError {
        let place = word_of(what).and_then(|key| place_of(self.text, at, key));
        self.wrong(place.unwrap_or(at), table, what)
    }

    /// The table that holds this byte, and the whole key that is given a value in its line.
    fn key_at(&self, at: usize) -> (String, String) {
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
            return (table.clone(), table);
        }
        let before = self.text.get(..begin).unwrap_or("");
        let table = before.lines().rev().find_map(header).unwrap_or_default();
        let key = line.split_once('=').map(|(key, _)| key.trim());
        let whole = match key.filter(|key| plain(key)) {
            Some(key) if table.is_empty() => key.to_string(),
            Some(key) => format!("{table}.{key}"),
            None => table.clone(),
        };
        (table, whole)
    }
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

/// The known key nearest to the unknown one that serde complains of.
fn meant(message: &str) -> Option<&str> {
    let (unknown, known) = message.strip_prefix("unknown field `")?.split_once('`')?;
    failover_core::config::nearest(unknown, known.split('`').skip(1).step_by(2))
}
