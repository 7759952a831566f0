//! How to log in, and what lasts from connection to connection.

use std::fmt;

use failover_core::dial::DialContext;
use failover_core::directory::{Secret, Target};
use failover_core::heartbeat::{Offer, negotiate};
use failover_core::link::{Assurance, Refusal};
use failover_core::messaging::{Line, Protocol, Welcome, Wire};

use crate::stomp::error::StompError;
use crate::stomp::frame::{Frame, LONGEST_HEAD, Parser, beats};
use crate::stomp::session::StompSession;
use crate::stomp::subscriptions::Subscriptions;
use crate::stomp::{Receipt, Send};
use crate::userinfo::percent_decoded;

/// A client of STOMP 1.2: its credentials, its virtual host, its heart-beats, its subscriptions.
#[derive(Debug)]
pub struct Stomp {
    credentials: Option<Credentials>,
    host: String,
    beats: (u32, u32),
    subscriptions: Subscriptions,
}

/// Login and passcode.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The login.
    pub login: String,
    /// The passcode.
    pub passcode: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(…)")
    }
}

impl Stomp {
    /// A client of the virtual host `/` with the credentials of each server's URL, and heart-beats every 10 s
    /// both ways.
    #[must_use]
    pub fn new() -> Self {
        Self {
            credentials: None,
            host: "/".to_string(),
            beats: (10_000, 10_000),
            subscriptions: Subscriptions::default(),
        }
    }

    /// The same with these credentials, where a server's URL has none.
    #[must_use]
    pub fn credentials(mut self, credentials: impl Into<Option<Credentials>>) -> Self {
        self.credentials = credentials.into();
        self
    }

    /// The same for this virtual host. (The header `host`)
    #[must_use]
    pub fn host(mut self, host: impl Into<String>) -> Self {
        self.host = host.into();
        self
    }

    /// The same with these heart-beats, in milliseconds: how often we can send one, how often we want one; 0
    /// is never. The broker's offer may make them slower. (The header `heart-beat`)
    #[must_use]
    pub fn heart_beat(mut self, sends: u32, wants: u32) -> Self {
        self.beats = (sends, wants);
        self
    }

    pub(super) fn subscriptions(&self) -> &Subscriptions {
        &self.subscriptions
    }

    /// The `CONNECT`, whose headers are not escaped.
    fn hello(&self, to: &Target) -> Result<String, StompError> {
        let (sends, wants) = self.beats;
        let mut lines = vec![
            "CONNECT".to_string(),
            "accept-version:1.2".to_string(),
            format!("host:{}", self.host),
            format!("heart-beat:{sends},{wants}"),
        ];
        if let Some(Credentials { login, passcode }) = self.credentials_for(to) {
            lines.push(format!("login:{login}"));
            lines.push(format!("passcode:{passcode}"));
        }
        let is_fine = |line: &String| !line.contains(['\r', '\n', '\0']);
        if !lines.iter().all(is_fine) {
            return Err(StompError::BadCredentials);
        }
        Ok(lines.join("\n") + "\n\n\0")
    }

    fn credentials_for(&self, to: &Target) -> Option<Credentials> {
        let Some(userinfo) = to.url().userinfo().map(Secret::expose) else {
            return self.credentials.clone();
        };
        let (login, passcode) = userinfo.split_once(':').unwrap_or((userinfo, ""));
        Some(Credentials {
            login: percent_decoded(login),
            passcode: percent_decoded(passcode),
        })
    }

    fn welcome(&self, frame: &Frame<'_>) -> Result<Welcome<StompSession>, StompError> {
        match frame.command {
            "CONNECTED" => {}
            "ERROR" => return Err(StompError::Refused(StompError::words(frame))),
            other => {
                return Err(StompError::garbage("no CONNECTED", other.as_bytes()));
            }
        }
        // Who speaks 1.0 does not say so.
        let version = frame.header("version").unwrap_or("1.0");
        if version != "1.2" {
            let theirs = version.chars().take(20).collect();
            return Err(StompError::Version { theirs });
        }
        let (sends, wants) = self.beats;
        let ours = Offer::from_millis(sends.into(), wants.into());
        let theirs = offer(frame.header("heart-beat").unwrap_or("0,0"))?;
        let session = StompSession::new(self.subscriptions.clone());
        Ok(Welcome::new(session).agreed(negotiate(ours, theirs).heartbeat()))
    }
}

impl Default for Stomp {
    fn default() -> Self {
        Self::new()
    }
}

impl Protocol for Stomp {
    type Message = Send;
    type Reply = ();
    type Session = StompSession;
    type Error = StompError;

    fn size(&self, message: &Send) -> usize {
        let headers = message.headers.iter();
        let headers: usize = headers
            .map(|(name, value)| name.len() + value.len() + 2)
            .sum();
        message.body.len() + message.destination.len() + headers + 64
    }

    fn assurance(&self, message: &Send) -> Assurance {
        match message.receipt {
            Receipt::Wanted => Assurance::Confirmed,
            Receipt::None => Assurance::None,
        }
    }

    fn check(&self, message: &Send) -> Result<(), Refusal> {
        if message.destination.is_empty() {
            let why = "it has no destination";
            return Err(Refusal::Invalid { why });
        }
        let mut headers = message.headers.iter();
        if message.destination.contains('\0')
            || headers.any(|(name, value)| name.contains('\0') || value.contains('\0'))
        {
            let why = "a header holds a NUL";
            return Err(Refusal::Invalid { why });
        }
        Ok(())
    }

    async fn login<W: Wire>(
        &self,
        line: &mut Line<W>,
        to: &Target,
        _: &DialContext,
    ) -> Result<Welcome<StompSession>, StompError> {
        line.write(self.hello(to)?.as_bytes()).await?;
        let mut parser = Parser::default();
        loop {
            let beats = beats(line.unread());
            line.consume(beats);
            if let Some((frame, len)) = parser.next(line.unread())? {
                let welcome = self.welcome(&frame)?;
                line.consume(len);
                return Ok(welcome);
            }
            if line.unread().len() > LONGEST_ANSWER {
                return Err(StompError::garbage("an endless answer", line.unread()));
            }
            line.fill().await?;
        }
    }
}

/// The most bytes that are read before the login is answered.
const LONGEST_ANSWER: usize = 2 * LONGEST_HEAD;

/// `<sends>,<wants>`.
fn offer(header: &str) -> Result<Offer, StompError> {
    let numbers = header.split_once(',').and_then(|(sends, wants)| {
        let number = |text: &str| text.trim().parse::<u32>().ok();
        number(sends).zip(number(wants))
    });
    match numbers {
        Some((sends, wants)) => Ok(Offer::from_millis(sends.into(), wants.into())),
        None => Err(StompError::garbage(
            "a heart-beat that is none",
            header.as_bytes(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_come_from_the_url_first_and_are_decoded() {
        let own = Credentials {
            login: "joe".into(),
            passcode: "a:b".into(),
        };
        let stomp = Stomp::new().credentials(own);
        let hello = |url: &str| stomp.hello(&Target::parse(url).unwrap());
        assert!(
            hello("tcp://a:1")
                .unwrap()
                .contains("\nlogin:joe\npasscode:a:b\n")
        );
        let said = hello("tcp://ann:p%40ss%:w@a:1").unwrap();
        assert!(said.contains("\nlogin:ann\npasscode:p@ss%:w\n"), "{said}");
        assert!(!format!("{stomp:?}").contains("a:b"));
    }

    #[test]
    fn credentials_cannot_bring_headers_of_their_own() {
        let url = "tcp://ann:x%0Ahost:other@a:1";
        let hello = Stomp::new().hello(&Target::parse(url).unwrap());
        assert!(matches!(hello, Err(StompError::BadCredentials)));
    }

    #[test]
    fn a_heart_beat_is_two_numbers() {
        assert_eq!(offer("0,20000").unwrap(), Offer::from_millis(0, 20_000));
        for wrong in ["", "1", "1,", "-1,0", "1,2,3", "4294967296,0"] {
            assert!(offer(wrong).is_err(), "{wrong}");
        }
    }
}
