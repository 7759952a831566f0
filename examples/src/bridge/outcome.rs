//! How a session ended.

use std::fmt;
use std::io;

use failover_core::drive::{BuildError, GiveUp};

use crate::bridge::carry::ServerLost;
use crate::timeline::{Mark, chain};

/// How a session ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    Finished,
    ClientLost(io::Error),
    ServerLost(ServerLost),
    Idle,
    /// The program went away before a server was there.
    ClientGone,
    NoServer(Box<GiveUp>),
    NoConnector(BuildError),
    /// Its server left the list, and its grace is over.
    Removed,
    /// The bridge ended.
    Shutdown,
}

impl Outcome {
    /// The word for counters and JSON.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::ClientLost(_) => "client-lost",
            Self::ServerLost(_) => "server-lost",
            Self::Idle => "idle",
            Self::ClientGone => "client-gone",
            Self::NoServer(_) | Self::NoConnector(_) => "no-server",
            Self::Removed => "removed",
            Self::Shutdown => "shutdown",
        }
    }

    /// What it means for its reader; a note is told only where everything is.
    pub(crate) fn mark(&self) -> Mark {
        match self {
            Self::Finished | Self::ClientGone | Self::Idle | Self::ClientLost(_) => Mark::Note,
            Self::ServerLost(_) | Self::NoServer(_) | Self::NoConnector(_) => Mark::Bad,
            Self::Removed | Self::Shutdown => Mark::Deed,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Finished => f.write_str("both sides had finished"),
            Self::ClientLost(error) => {
                write!(f, "the program's connection broke: {}", chain(error))
            }
            Self::ServerLost(error) => write!(f, "the server's connection broke: {}", chain(error)),
            Self::Idle => f.write_str("nothing had passed for the time of --idle"),
            Self::ClientGone => f.write_str("the program went away before a server was there"),
            Self::NoServer(gave_up) => write!(f, "no server: {}", chain(&**gave_up)),
            Self::NoConnector(error) => write!(f, "no server: {}", chain(error)),
            Self::Removed => f.write_str("its server left the list, and its grace was over"),
            Self::Shutdown => f.write_str("the bridge ended"),
        }
    }
}
