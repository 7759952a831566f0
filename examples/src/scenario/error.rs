//! What is wrong with a scenario, and where.

use thiserror::Error;

/// What is wrong with a scenario, and where.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{file}:{line}: {}{what}", key_of(key))]
#[non_exhaustive]
pub struct ScenarioError {
    /// The file, as it was named.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The key: `world.endpoint`. Empty if it is not one alone.
    pub key: String,
    /// What is wrong, and what would be right.
    pub what: String,
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
    /// An error at this byte of the text.
    pub(crate) fn wrong(&self, at: usize, key: &str, what: impl Into<String>) -> ScenarioError {
        let before = self.text.as_bytes().iter().take(at);
        ScenarioError {
            file: self.file.to_string(),
            line: 1 + before.filter(|byte| **byte == b'\n').count(),
            key: key.to_string(),
            what: what.into(),
        }
    }

    /// An error of the reader of TOML, with the known key that is nearest to an unknown one.
    pub(crate) fn unreadable(&self, error: &toml::de::Error) -> ScenarioError {
        let at = error.span().map_or(0, |span| span.start);
        let mut what = error.message().trim().replace('\n', ", ");
        if let Some(near) = meant(&what) {
            what += &format!(" (did you mean `{near}`?)");
        }
        self.wrong(at, "", what)
    }

    /// An error of a policy whose table begins at this byte: at the line of its key, if that is
    /// there.
    pub(crate) fn in_policy(&self, at: usize, error: &crate::form::FormError) -> ScenarioError {
        let mut what = error.what.clone();
        if let Some(near) = meant(&what) {
            what += &format!(" (did you mean `{near}`?)");
        }
        let last = error.key.rsplit('.').next().unwrap_or("");
        let unknown = what.split('`').nth(1).filter(|_| last.is_empty());
        let place = place_of(self.text, at, unknown.unwrap_or(last));
        let key = match error.key.as_str() {
            "" => "policy".to_string(),
            key => format!("policy.{key}"),
        };
        self.wrong(place.unwrap_or(at), &key, what)
    }
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
    crate::near::nearest(unknown, known.split('`').skip(1).step_by(2))
}
