//! What to do about a dial that failed.

use std::error::Error;

use failover_core::failure::{Classify, Kind, Phase};
use transport_tcp::TcpError;
#[cfg(unix)]
use transport_tcp::UnixError;
use transport_tls::{CertificateCheck, CertificateInfo, Disagreement, TlsError};
use transport_ws::{BadAnswer, WsError};

/// What to do about a server that ends the connection as soon as it stands, for this reason.
pub(crate) fn of_an_end(kind: Kind, said: Said) -> String {
    if kind == Kind::Tls {
        return of_our_certificate(said);
    }
    let told = "look into the server's log: it may be behind a proxy whose server is down, full, or \
                refuse this address or certificate";
    told.to_string()
}

fn of_our_certificate(said: Said) -> String {
    match said {
        Said::File => "show one that this server trusts: `certificate` and `key` in its table \
                       `transport.tls`"
            .to_string(),
        Said::Flags => {
            "show one that this server trusts: that takes a deployment's file (--config)"
                .to_string()
        }
    }
}

/// Where the probe was told what it knows of servers, and so where it can be told otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// By flags of the command line.
    Flags,
    /// By a deployment's file.
    File,
}

impl Said {
    const fn ca(self) -> &'static str {
        match self {
            Self::Flags => "with --ca",
            Self::File => "as `ca` in its table `transport.tls`",
        }
    }

    const fn server_name(self) -> &'static str {
        match self {
            Self::Flags => "with --server-name",
            Self::File => "as `server_name` in its table `transport.tls`",
        }
    }
}

/// An error of a dial that knows what to do about it.
pub(crate) trait Advise: Error + Classify {
    /// What to do; nothing if there is nothing to say beyond the error.
    fn advice(&self, said: Said) -> Option<String>;

    /// The certificate that was refused.
    fn certificate(&self) -> Option<&CertificateInfo> {
        None
    }
}

impl Advise for TcpError {
    fn advice(&self, _said: Said) -> Option<String> {
        if matches!(self, Self::Proxy { .. } | Self::ProxyAway { .. }) {
            return Some(
                "check the proxy: its address, its login, and whom it lets through".into(),
            );
        }
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "the others say it themselves"
        )]
        let told = match self.failure().kind {
            Kind::Refused => {
                "nothing listens on this port: check the port, and whether the server runs"
            }
            Kind::Resolve => "check the spelling of the name, and the name server",
            Kind::Unreachable => "there is no way to this address: check network and routes",
            Kind::Timeout => of_silence(Phase::Connect),
            Kind::Exhausted => {
                "this machine ran out of descriptors or ports: the server is not to blame"
            }
            _ => return None,
        };
        Some(told.to_string())
    }
}

#[cfg(unix)]
impl Advise for UnixError {
    fn advice(&self, _said: Said) -> Option<String> {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "the others say it themselves"
        )]
        let told = match self.failure().kind {
            Kind::Unreachable => {
                "there is no such file: check the path, and whether the server runs"
            }
            Kind::Refused => "nobody listens there: check whether the server runs",
            Kind::Auth => "this user may not use the socket: check its owner and mode",
            _ => return None,
        };
        Some(told.to_string())
    }
}

impl<E: Advise + 'static> Advise for TlsError<E> {
    fn advice(&self, said: Said) -> Option<String> {
        let told = match self {
            Self::Inner(error) => return error.advice(said),
            Self::Certificate { check, .. } => return of_check(check, said),
            Self::NotTls { .. } => {
                "write `tcp://` or `ws://`, or name the server's TLS port (a protocol that begins TLS \
                 later, as NATS does, is for a client of it)"
            }
            Self::Ended { .. } => "is it a plain-text port, or a proxy whose server is down?",
            Self::ClientCertificate { .. } => return Some(of_our_certificate(said)),
            Self::Handshake { disagreement, .. } => return of_disagreement(*disagreement, said),
            Self::Name(_) => {
                return Some(format!(
                    "give the name in its certificate {}",
                    said.server_name()
                ));
            }
            Self::Config(_) | _ => return None,
        };
        Some(told.to_string())
    }

    fn certificate(&self) -> Option<&CertificateInfo> {
        #[expect(clippy::wildcard_enum_match_arm, reason = "the others have none")]
        match self {
            Self::Certificate { certificate, .. } => certificate.as_deref(),
            _ => None,
        }
    }
}

impl<E: Advise + 'static> Advise for WsError<E> {
    fn advice(&self, said: Said) -> Option<String> {
        let told = match self {
            Self::Dial(error) => return error.advice(said),
            Self::Refused(refusal) => match refusal.status {
                401 | 403 => "check the credentials, and the path",
                300..=399 => "write the URL that it points to",
                404 | 405 | 426 => "check the path: WebSocket is served at another one",
                408 | 429 | 500..=599 => "the server, or the one behind it, is not ready",
                400 => {
                    "if the port expects TLS, write `wss://`; a proxy in front must pass `Upgrade` and \
                     `Connection` on"
                }
                _ => {
                    "is WebSocket served at this path? A proxy in front must pass `Upgrade` and \
                     `Connection` on"
                }
            },
            Self::Answer(BadAnswer::NotHttp) => "if the port expects TLS, write `wss://`",
            Self::Answer(_) | Self::TooLong => "is it a WebSocket server?",
            Self::Cut | Self::Io(_) => {
                "does it expect TLS (`wss://`), or is the server behind a proxy down?"
            }
            Self::Ask(_) | Self::Config(_) | _ => return None,
        };
        Some(told.to_string())
    }

    fn certificate(&self) -> Option<&CertificateInfo> {
        #[expect(clippy::wildcard_enum_match_arm, reason = "the others have none")]
        match self {
            Self::Dial(error) => error.certificate(),
            _ => None,
        }
    }
}

fn of_disagreement(disagreement: Disagreement, said: Said) -> Option<String> {
    let told = match disagreement {
        Disagreement::Version => "compare the versions of TLS that both sides allow",
        Disagreement::Cipher => "compare the ciphers and key exchanges that both sides allow",
        Disagreement::Alpn => "compare the protocols of both sides (ALPN)",
        Disagreement::ServerName => {
            return Some(format!(
                "give the name that it is known by {}",
                said.server_name()
            ));
        }
        Disagreement::Trouble => "look into the server's log",
        Disagreement::Other | _ => "compare what both sides allow, and look into the server's log",
    };
    Some(told.to_string())
}

fn of_check(check: &CertificateCheck, said: Said) -> Option<String> {
    let told = match check {
        CertificateCheck::Expired(_) => "renew the certificate (and have the server load it)",
        CertificateCheck::NotYetValid(_) => "compare the clocks of this machine and the authority",
        CertificateCheck::UnknownIssuer => {
            return Some(format!(
                "if you trust its authority, give that certificate {}; else the server must show the whole chain",
                said.ca()
            ));
        }
        CertificateCheck::Name(names) if !names.is_empty() => {
            return Some(format!(
                "dial it by one of these names, or give one {}: {}",
                said.server_name(),
                names.join(", ")
            ));
        }
        CertificateCheck::Name(_) => {
            return Some(format!(
                "give the name in the certificate {}",
                said.server_name()
            ));
        }
        CertificateCheck::Revoked => "replace the certificate: nobody is to trust it any more",
        CertificateCheck::Purpose => "the server needs a certificate for servers",
        CertificateCheck::Signature => {
            "compare the authority that you trust with the one that signed"
        }
        CertificateCheck::Pin => "if the key was changed on purpose, change the pin",
        CertificateCheck::Other | _ => return None,
    };
    Some(told.to_string())
}

/// What silence means, by the phase in which it began.
pub(crate) fn of_silence(phase: Phase) -> &'static str {
    match phase {
        Phase::Resolve => "the name server does not answer",
        Phase::Connect => {
            "nothing comes back at all: a firewall drops the packets, or the machine is off"
        }
        Phase::Proxy => "the proxy does not answer",
        Phase::Tls => {
            "the port is open and silent: is it a plain-text port, or does the server hang?"
        }
        Phase::Upgrade => {
            "the port is open and does not answer: is it a WebSocket server, does it expect TLS?"
        }
        Phase::Login | Phase::Session | _ => "the server hangs",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_in_each_phase_means_something_else() {
        let phases = [
            Phase::Resolve,
            Phase::Connect,
            Phase::Proxy,
            Phase::Tls,
            Phase::Upgrade,
        ];
        let told: std::collections::BTreeSet<&str> = phases.map(of_silence).into();
        assert_eq!(told.len(), phases.len());
        assert!(of_silence(Phase::Connect).contains("firewall"));
    }
}
