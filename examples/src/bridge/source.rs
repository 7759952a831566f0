//! The deployment's file, and its changes while the bridge runs.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::fs::File;
use tokio::io::AsyncReadExt;

use crate::bridge::plan::{Plan, PlanError};
use crate::deployment::{Change, read};
use crate::scenario::ScenarioError;

/// A deployment's file, with what flags and environment change in it.
#[derive(Clone, Debug)]
pub struct Source {
    path: PathBuf,
    changes: Arc<[Change]>,
    wait: Duration,
}

/// Why the file cannot be used. No credentials are shown.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SourceError {
    /// It cannot be read.
    #[error("{file}: {source}")]
    Unreadable {
        /// The file.
        file: String,
        /// Why.
        source: io::Error,
    },
    /// It is no deployment: where, and what would be right.
    #[error(transparent)]
    Text(#[from] ScenarioError),
    /// It is one that cannot be bridged.
    #[error("{file}: {source}")]
    Plan {
        /// The file.
        file: String,
        /// Why.
        source: Box<PlanError>,
    },
}

/// A deployment that is larger is none.
const LARGEST: u64 = 1024 * 1024;

impl Source {
    /// This file, with these changes of its keys. A client waits `wait` long for a connection, where
    /// the file does not say it.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>, changes: Vec<Change>, wait: Duration) -> Self {
        Self {
            path: path.into(),
            changes: changes.into(),
            wait,
        }
    }

    /// Reads and checks it, with the files that it names.
    ///
    /// # Errors
    /// The first thing that is wrong, and where.
    pub async fn load(&self) -> Result<Loaded, SourceError> {
        let text = self.text().await?;
        self.plan(&text).await.map(|plan| Loaded { plan, text })
    }

    /// The file, for people.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) async fn text(&self) -> Result<String, SourceError> {
        let read = async {
            let file = File::open(&self.path).await?;
            let mut text = String::new();
            let read = file.take(LARGEST + 1).read_to_string(&mut text).await?;
            match read as u64 > LARGEST {
                true => Err(io::Error::other(format!("larger than {LARGEST} bytes"))),
                false => Ok(text),
            }
        };
        read.await.map_err(|source| SourceError::Unreadable {
            file: self.path.display().to_string(),
            source,
        })
    }

    /// What this text means. Certificates are read on a thread of their own.
    pub(crate) async fn plan(&self, text: &str) -> Result<Plan, SourceError> {
        let (this, text) = (self.clone(), text.to_string());
        let made = tokio::task::spawn_blocking(move || this.make(&text)).await;
        made.unwrap_or_else(|error| {
            Err(SourceError::Unreadable {
                file: self.path.display().to_string(),
                source: io::Error::other(error),
            })
        })
    }

    fn make(&self, text: &str) -> Result<Plan, SourceError> {
        let file = self.path.display().to_string();
        let deployment = read(&file, text, &self.changes)?;
        Plan::new(&deployment, self.wait).map_err(|source| SourceError::Plan {
            file,
            source: Box::new(source),
        })
    }
}

/// A file that was in order.
#[derive(Debug)]
pub struct Loaded {
    pub(crate) plan: Plan,
    pub(crate) text: String,
}

impl Loaded {
    /// How many servers it names.
    #[must_use]
    pub fn servers(&self) -> usize {
        self.plan.endpoints().len()
    }
}

/// Sees that a file has changed: its text is another, twice in a row, so that one that is being
/// written is left alone.
#[derive(Debug)]
pub(crate) struct Watcher {
    /// What was tried last.
    tried: Seen,
    /// What was seen last.
    seen: Seen,
}

#[derive(Clone, Debug, PartialEq)]
enum Seen {
    Text(String),
    Unreadable(String),
}

impl Watcher {
    pub(crate) fn new(text: String) -> Self {
        Self {
            tried: Seen::Text(text.clone()),
            seen: Seen::Text(text),
        }
    }

    /// What is to be tried now, if anything.
    pub(crate) fn look(
        &mut self,
        now: Result<String, SourceError>,
    ) -> Option<Result<String, SourceError>> {
        let seen = Seen::of(&now);
        let settled = seen == self.seen && seen != self.tried;
        self.seen = seen;
        if settled {
            self.tried = self.seen.clone();
        }
        settled.then_some(now)
    }

    /// It was tried because somebody asked for it.
    pub(crate) fn tried(&mut self, now: &Result<String, SourceError>) {
        self.tried = Seen::of(now);
    }
}

impl Seen {
    fn of(read: &Result<String, SourceError>) -> Self {
        match read {
            Ok(text) => Self::Text(text.clone()),
            Err(error) => Self::Unreadable(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gone() -> Result<String, SourceError> {
        Err(SourceError::Unreadable {
            file: "f".to_string(),
            source: io::ErrorKind::NotFound.into(),
        })
    }

    #[test]
    fn a_changed_file_is_tried_once_and_only_when_it_has_settled() {
        let mut watcher = Watcher::new("one".to_string());
        let mut look = |text: &str| watcher.look(Ok(text.to_string())).is_some();
        assert!(!look("one") && !look("one"));
        assert!(!look("t") && !look("tw") && !look("two"));
        assert!(look("two"));
        assert!(!look("two"));
        // Changed and changed back between two looks: nothing has happened.
        assert!(!look("three") && !look("two") && !look("two"));
    }

    #[test]
    fn a_file_that_is_gone_is_told_once() {
        let mut watcher = Watcher::new("one".to_string());
        assert!(watcher.look(gone()).is_none());
        assert!(watcher.look(gone()).is_some_and(|told| told.is_err()));
        assert!(watcher.look(gone()).is_none());
    }
}
