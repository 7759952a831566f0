//! What may go wrong.

use std::io;

use failover_core::failure::{Classify, Failure, Kind, Phase, Scope};
use thiserror::Error;

use crate::stomp::frame::Frame;

/// What may go wrong with STOMP.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StompError {
    /// The connection failed.
    #[error("the connection failed")]
    Io(#[from] io::Error),
    /// The broker refused the login.
    #[error("the broker refuses the login: {0}")]
    Refused(String),
    /// The broker ended the session with an `ERROR`.
    #[error("the broker says {0}")]
    Server(String),
    /// What the broker sent is no STOMP.
    #[error("the broker does not speak STOMP: {what}: {text:?}")]
    Garbage {
        /// What is wrong.
        what: &'static str,
        /// The beginning of what it sent.
        text: String,
    },
    /// A frame lacks a header.
    #[error("the broker sent a {command} without the header `{name}`")]
    NoHeader {
        /// The frame.
        command: String,
        /// The header.
        name: &'static str,
    },
    /// The broker speaks another version.
    #[error("the broker speaks STOMP {theirs}, this client speaks 1.2")]
    Version {
        /// Its version.
        theirs: String,
    },
    /// The credentials cannot be written into a `CONNECT`.
    #[error("login, passcode and virtual host must hold neither line ends nor NUL")]
    BadCredentials,
    /// This is no destination.
    #[error("there is no destination: write one such as /queue/orders")]
    NoDestination,
}

impl StompError {
    /// What the broker sent is no STOMP.
    pub(super) fn garbage(what: &'static str, bytes: &[u8]) -> Self {
        let shown = &bytes[..bytes.len().min(60)];
        let text = String::from_utf8_lossy(shown).into_owned();
        Self::Garbage { what, text }
    }

    /// What an `ERROR` says, on one line: its header `message`, and its body.
    pub(super) fn words(frame: &Frame<'_>) -> String {
        let body = String::from_utf8_lossy(frame.body);
        let all = [frame.header("message").unwrap_or_default(), &body].join(": ");
        let words: Vec<&str> = all.split_whitespace().collect();
        let line = words.join(" ");
        let line = line.trim_end_matches(':');
        match line.char_indices().nth(MOST_WORDS) {
            Some((at, _)) => format!("{}…", &line[..at]),
            None => line.to_string(),
        }
    }
}

/// As many letters of an `ERROR` are told.
const MOST_WORDS: usize = 200;

impl Classify for StompError {
    fn failure(&self) -> Failure {
        match self {
            Self::Io(error) => error.failure(),
            Self::Refused(text) => refused(&text.to_ascii_lowercase()).at(Phase::Login),
            Self::Server(_) => Failure::new(Kind::Other),
            Self::Garbage { .. } | Self::NoHeader { .. } | Self::Version { .. } => {
                Failure::new(Kind::Protocol).scope(Scope::Endpoint)
            }
            Self::BadCredentials => Failure::new(Kind::Auth).scope(Scope::Fatal),
            Self::NoDestination => Failure::new(Kind::Other),
        }
    }
}

/// An `ERROR` at the login is about who we are, unless it speaks of something else.
fn refused(text: &str) -> Failure {
    if text.contains("version") {
        return Failure::new(Kind::Protocol).scope(Scope::Endpoint);
    }
    if text.contains("limit") {
        return Failure::new(Kind::Refused);
    }
    Failure::new(Kind::Auth).scope(Scope::Endpoint)
}
