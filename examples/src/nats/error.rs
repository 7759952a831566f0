//! What may go wrong.

use std::io;

use failover_core::failure::{Classify, Failure, Kind, Phase, Scope};
use thiserror::Error;

/// What may go wrong with NATS.
#[derive(Debug, Error)]
pub enum NatsError {
    /// The connection failed.
    #[error("the connection failed")]
    Io(#[from] io::Error),
    /// The server said so.
    #[error("the server says {0}")]
    Server(String),
    /// What the server sent is no NATS.
    #[error("the server does not speak NATS: {what}: {text:?}")]
    Garbage {
        /// What is wrong.
        what: &'static str,
        /// The beginning of what it sent.
        text: String,
    },
    /// The server demands TLS, and this connection has none.
    #[error("the server demands TLS: use `tls://`, or `nats://`, which follows the server")]
    TlsRequired,
    /// The message is larger than this server takes.
    #[error("the message has {size} bytes, this server takes {most}")]
    TooLarge {
        /// Its size.
        size: usize,
        /// The most that this server takes.
        most: usize,
    },
    /// A subscriber is too slow, and messages for it are dropped until it has room again.
    #[error("the subscriber of `{subject}` is too slow: messages for it are dropped")]
    SlowConsumer {
        /// What it is subscribed to.
        subject: String,
    },
    /// This is no subject.
    #[error("`{0}` is no subject: words between single dots, without spaces")]
    NoSubject(String),
}

impl NatsError {
    /// What the server sent is no NATS.
    pub(super) fn garbage(what: &'static str, bytes: &[u8]) -> Self {
        let shown = &bytes[..bytes.len().min(60)];
        let text = String::from_utf8_lossy(shown).into_owned();
        Self::Garbage { what, text }
    }

    /// Whether the connection stays after this error of the server.
    pub(super) fn leaves_the_connection(text: &str) -> bool {
        let text = text.to_ascii_lowercase();
        text.contains("permissions violation") || text.contains("invalid subject")
    }
}

impl Classify for NatsError {
    fn failure(&self) -> Failure {
        match self {
            Self::Io(error) => error.failure(),
            Self::Server(text) => said(&text.to_ascii_lowercase()),
            Self::Garbage { .. } => Failure::new(Kind::Protocol).scope(Scope::Endpoint),
            Self::TlsRequired => Failure::new(Kind::Tls)
                .scope(Scope::Endpoint)
                .at(Phase::Login),
            Self::TooLarge { .. } | Self::SlowConsumer { .. } | Self::NoSubject(_) => {
                Failure::new(Kind::Other)
            }
        }
    }
}

/// By the words of nats-server's `-ERR`.
fn said(text: &str) -> Failure {
    if text.contains("authorization") || text.contains("authentication") || text.contains("revoked")
    {
        return Failure::new(Kind::Auth).scope(Scope::Endpoint);
    }
    if text.contains("maximum connections") {
        return Failure::new(Kind::Refused);
    }
    if text.contains("stale") {
        return Failure::new(Kind::Stale);
    }
    if text.contains("parser") || text.contains("unknown protocol") || text.contains("payload") {
        return Failure::new(Kind::Protocol);
    }
    Failure::new(Kind::Other)
}
