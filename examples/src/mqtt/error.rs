//! What may go wrong.

use std::io;

use failover_core::failure::{Classify, Failure, Kind, Phase, Scope};
use thiserror::Error;

/// What may go wrong with MQTT.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum MqttError {
    /// The connection failed.
    #[error("the connection failed")]
    Io(#[from] io::Error),
    /// The broker refused the login, with this code of a `CONNACK`.
    #[error("the broker refuses the login: {} (code {code})", words(*.code))]
    Refused {
        /// The code.
        code: u8,
    },
    /// What the broker sent is no MQTT.
    #[error("the broker does not speak MQTT 3.1.1: {what}: {bytes}")]
    Garbage {
        /// What is wrong.
        what: &'static str,
        /// The beginning of what it sent.
        bytes: String,
    },
    /// The broker does not let this client subscribe to that.
    #[error("the broker refuses the subscription to `{filter}`")]
    NotSubscribed {
        /// To what.
        filter: String,
    },
    /// As many messages await their acknowledgement as can be told apart.
    #[error("65535 packets await their acknowledgement: bound the link to fewer messages")]
    TooManyOnTheirWay,
    /// Client id, name and password cannot be written into a `CONNECT`.
    #[error("client id, name and password must have at most 65535 bytes, and no NUL")]
    BadCredentials,
    /// This is no topic filter.
    #[error(
        "`{0}` is no topic filter: + stands for a whole level, # for all behind it, at the end"
    )]
    NoFilter(String),
}

impl MqttError {
    /// What the broker sent is no MQTT.
    pub(super) fn garbage(what: &'static str, bytes: &[u8]) -> Self {
        let shown = bytes[..bytes.len().min(32)].escape_ascii().to_string();
        Self::Garbage { what, bytes: shown }
    }
}

/// What a code of a `CONNACK` means. (MQTT 3.1.1, table 3.1)
fn words(code: u8) -> &'static str {
    match code {
        1 => "it speaks another version of MQTT",
        2 => "it does not allow this client id",
        3 => "it is not available",
        4 => "bad user name or password",
        5 => "not authorized",
        _ => "it does not say why",
    }
}

impl Classify for MqttError {
    fn failure(&self) -> Failure {
        let of_endpoint = |kind| Failure::new(kind).scope(Scope::Endpoint);
        match self {
            Self::Io(error) => error.failure(),
            Self::Refused { code } => match code {
                1 => of_endpoint(Kind::Protocol),
                2 | 4 | 5 => of_endpoint(Kind::Auth),
                3 => Failure::new(Kind::Refused),
                _ => Failure::new(Kind::Other),
            }
            .at(Phase::Login),
            Self::Garbage { .. } => of_endpoint(Kind::Protocol),
            Self::BadCredentials => Failure::new(Kind::Auth).scope(Scope::Fatal),
            Self::NotSubscribed { .. } | Self::TooManyOnTheirWay | Self::NoFilter(_) => {
                Failure::new(Kind::Other)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_told_in_words_and_bad_credentials_are_the_brokers_alone() {
        let kinds = [1, 2, 3, 4, 5, 99].map(|code| MqttError::Refused { code }.failure().kind);
        let expected = [
            Kind::Protocol,
            Kind::Auth,
            Kind::Refused,
            Kind::Auth,
            Kind::Auth,
            Kind::Other,
        ];
        assert_eq!(kinds, expected);
        let said = MqttError::Refused { code: 5 }.to_string();
        assert_eq!(
            said,
            "the broker refuses the login: not authorized (code 5)"
        );
    }
}
