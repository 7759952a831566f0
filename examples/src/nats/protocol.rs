//! How to log in, and what lasts from connection to connection.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use failover_core::dial::DialContext;
use failover_core::directory::{Secret, Target};
use failover_core::endpoint::Security;
use failover_core::link::Refusal;
use failover_core::messaging::{Line, Protocol, Session, Welcome, Wire};
use failover_core::policy::Seed;
use serde::Serialize;

use crate::nats::error::NatsError;
use crate::nats::parse::{self, Info, LONGEST_LINE, Op};
use crate::nats::session::NatsSession;
use crate::nats::subscriptions::Subscriptions;
use crate::nats::{Incoming, Publish};
use crate::userinfo::percent_decoded;

/// A client of NATS: its name, its credentials, its subscriptions.
#[derive(Debug)]
pub struct Nats {
    name: String,
    credentials: Credentials,
    /// What answers are addressed to, without the message's number.
    inbox: String,
    subscriptions: Subscriptions,
    /// The most that the last server takes.
    max_payload: Arc<AtomicUsize>,
}

/// How a client proves who it is.
#[derive(Clone, Default)]
pub enum Credentials {
    /// Not at all; those in the server's URL count. The default.
    #[default]
    None,
    /// By name and password.
    User {
        /// The name.
        name: String,
        /// The password.
        password: String,
    },
    /// By a token.
    Token(String),
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::User { .. } => "User(…)",
            Self::Token(_) => "Token(…)",
        })
    }
}

impl Nats {
    /// A client with this name, which servers show to their operators.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            credentials: Credentials::None,
            // Two clients must not read each other's answers.
            inbox: format!("_INBOX.{:016x}.", Seed::random().get()),
            subscriptions: Subscriptions::default(),
            max_payload: Arc::new(AtomicUsize::new(usize::MAX)),
        }
    }

    /// The same with these credentials.
    #[must_use]
    pub fn credentials(mut self, credentials: Credentials) -> Self {
        self.credentials = credentials;
        self
    }

    pub(super) fn subscriptions(&self) -> &Subscriptions {
        &self.subscriptions
    }

    fn hello(&self, to: &Target) -> Result<Vec<u8>, NatsError> {
        let userinfo = to.url().userinfo().map(Secret::expose);
        let of_url = || {
            let (name, password) = userinfo?.split_once(':')?;
            Some((percent_decoded(name), percent_decoded(password)))
        };
        let connect = match (&self.credentials, of_url()) {
            (Credentials::User { name, password }, _) => Connect {
                user: Some(name.clone()),
                pass: Some(password.clone()),
                ..self.nobody()
            },
            (Credentials::Token(token), _) => Connect {
                auth_token: Some(token.clone()),
                ..self.nobody()
            },
            (Credentials::None, Some((name, password))) => Connect {
                user: Some(name),
                pass: Some(password),
                ..self.nobody()
            },
            (Credentials::None, None) => Connect {
                auth_token: userinfo.map(percent_decoded),
                ..self.nobody()
            },
        };
        let mut hello = b"CONNECT ".to_vec();
        serde_json::to_writer(&mut hello, &connect).map_err(io::Error::from)?;
        hello.extend_from_slice(b"\r\nPING\r\n");
        Ok(hello)
    }

    /// Without credentials.
    fn nobody(&self) -> Connect<'_> {
        Connect {
            verbose: false,
            pedantic: false,
            lang: "rust",
            version: env!("CARGO_PKG_VERSION"),
            name: &self.name,
            protocol: 1,
            headers: true,
            no_responders: true,
            user: None,
            pass: None,
            auth_token: None,
        }
    }

    fn learn(&self, info: &Info) {
        if let Some(most) = info.max_payload {
            self.max_payload.store(most, Ordering::Relaxed);
        }
    }
}

/// What a client says of itself. No `Debug`: it holds secrets.
#[derive(Serialize)]
struct Connect<'a> {
    verbose: bool,
    pedantic: bool,
    lang: &'a str,
    version: &'a str,
    name: &'a str,
    protocol: u8,
    headers: bool,
    no_responders: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pass: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_token: Option<String>,
}

impl Protocol for Nats {
    type Message = Publish;
    type Reply = Incoming;
    type Session = NatsSession;
    type Error = NatsError;

    fn size(&self, message: &Publish) -> usize {
        message.payload.len() + message.subject.len() + 16
    }

    fn check(&self, message: &Publish) -> Result<(), Refusal> {
        if !parse::is_subject(&message.subject) {
            let why = "its subject has an empty word or a space";
            return Err(Refusal::Invalid { why });
        }
        let (size, most) = (
            message.payload.len(),
            self.max_payload.load(Ordering::Relaxed),
        );
        if size > most {
            let (size, most) = (size as u64, most as u64);
            return Err(Refusal::TooLarge { size, most });
        }
        Ok(())
    }

    async fn login<W: Wire>(
        &self,
        line: &mut Line<W>,
        to: &Target,
        cx: &DialContext,
    ) -> Result<Welcome<NatsSession>, NatsError> {
        let greeting = line.read_until(b"\n", LONGEST_LINE).await?;
        let text = String::from_utf8_lossy(&greeting);
        let Some(info) = text.trim_end().strip_prefix("INFO ") else {
            return Err(NatsError::garbage("no INFO at first", &greeting));
        };
        let info = parse::info(info)?;
        if info.tls_required && cx.trail().security() == Some(Security::Plain) {
            return Err(NatsError::TlsRequired);
        }
        self.learn(&info);
        let mut session = NatsSession::new(
            self.subscriptions.clone(),
            self.inbox.clone(),
            Arc::clone(&self.max_payload),
            info.connect_urls,
        );
        // Behind the ping, so that its answer comes first; and in one write, for a round trip less.
        let mut hello = self.hello(to)?;
        session.control(&mut hello);
        line.write(&hello).await?;
        loop {
            let Some((op, len)) = parse::next(line.unread())? else {
                line.fill().await?;
                continue;
            };
            match op {
                Op::Pong => {
                    line.consume(len);
                    break;
                }
                Op::Err(text) => return Err(NatsError::Server(text)),
                Op::Info(info) => self.learn(&info),
                Op::Ping | Op::Ok | Op::Message(_) => {}
            }
            line.consume(len);
        }
        Ok(Welcome::new(session))
    }
}
