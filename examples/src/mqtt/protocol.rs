//! How to log in, and what lasts from connection to connection.

use std::fmt;
use std::time::Duration;

use failover_core::dial::DialContext;
use failover_core::directory::{Secret, Target};
use failover_core::heartbeat::Heartbeat;
use failover_core::link::{Assurance, Refusal};
use failover_core::messaging::{Line, Protocol, Welcome, Wire};
use failover_core::policy::Seed;

use crate::mqtt::error::MqttError;
use crate::mqtt::packet::{self, Connect, LARGEST, Packet};
use crate::mqtt::session::MqttSession;
use crate::mqtt::subscriptions::Subscriptions;
use crate::mqtt::{Publish, Qos, topic};
use crate::userinfo::percent_decoded;

/// A client of MQTT: its id, its credentials, its keep alive, its subscriptions.
#[derive(Debug)]
pub struct Mqtt {
    client: String,
    credentials: Option<Credentials>,
    keep_alive: u16,
    subscriptions: Subscriptions,
}

/// Name and password.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The name.
    pub user: String,
    /// The password.
    pub password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(…)")
    }
}

impl Mqtt {
    /// A client with an id of its own, the credentials of each server's URL, and a keep alive of 10 s.
    #[must_use]
    pub fn new() -> Self {
        // As long as every broker must allow: 23 letters and digits.
        let number = Seed::random().get() >> 4;
        Self {
            client: format!("failover{number:015x}"),
            credentials: None,
            keep_alive: 10,
            subscriptions: Subscriptions::default(),
        }
    }

    /// The same with this client id. Of two clients with one id a broker keeps the later.
    #[must_use]
    pub fn client_id(mut self, id: impl Into<String>) -> Self {
        self.client = id.into();
        self
    }

    /// The same with these credentials, where a server's URL has none.
    #[must_use]
    pub fn credentials(mut self, credentials: impl Into<Option<Credentials>>) -> Self {
        self.credentials = credentials.into();
        self
    }

    /// The same with this keep alive, in seconds; 0 is none. A broker that is silent for so long is asked, and
    /// given up after twice as long; it is told to expect us as often.
    #[must_use]
    pub fn keep_alive(mut self, seconds: u16) -> Self {
        self.keep_alive = seconds;
        self
    }

    pub(super) fn subscriptions(&self) -> &Subscriptions {
        &self.subscriptions
    }

    fn hello(&self, to: &Target) -> Result<Vec<u8>, MqttError> {
        let (user, password) = match to.url().userinfo().map(Secret::expose) {
            Some(userinfo) => match userinfo.split_once(':') {
                Some((user, password)) => (Some(user), Some(password)),
                None => (Some(userinfo), None),
            },
            None => (None, None),
        };
        let (mut user, mut password) = (user.map(percent_decoded), password.map(percent_decoded));
        if let (None, Some(own)) = (&user, &self.credentials) {
            (user, password) = (Some(own.user.clone()), Some(own.password.clone()));
        }
        let connect = Connect {
            client: &self.client,
            keep_alive: self.keep_alive,
            user: user.as_deref(),
            password: password.as_deref(),
        };
        let mut out = Vec::new();
        connect.write(&mut out)?;
        Ok(out)
    }

    /// How the keep alive is kept: asked when nothing comes, and heard by the broker within its patience,
    /// which is one and a half of it.
    fn heartbeat(&self) -> Option<Heartbeat> {
        let period = Duration::from_secs(self.keep_alive.into());
        let builder = Heartbeat::builder().watch(period, 1).beat(period * 5 / 4);
        builder.build().ok()
    }
}

impl Default for Mqtt {
    fn default() -> Self {
        Self::new()
    }
}

impl Protocol for Mqtt {
    type Message = Publish;
    type Reply = ();
    type Session = MqttSession;
    type Error = MqttError;

    fn size(&self, message: &Publish) -> usize {
        message.payload.len() + message.topic.len() + 16
    }

    fn assurance(&self, message: &Publish) -> Assurance {
        match message.qos {
            Qos::AtMostOnce => Assurance::None,
            Qos::AtLeastOnce => Assurance::Confirmed,
        }
    }

    fn check(&self, message: &Publish) -> Result<(), Refusal> {
        if !topic::is_topic(&message.topic) {
            let why = "its topic is empty or too long, or holds +, # or NUL";
            return Err(Refusal::Invalid { why });
        }
        let size = 2 + message.topic.len() + 2 + message.payload.len();
        if size > LARGEST {
            let (size, most) = (size as u64, LARGEST as u64);
            return Err(Refusal::TooLarge { size, most });
        }
        Ok(())
    }

    async fn login<W: Wire>(
        &self,
        line: &mut Line<W>,
        to: &Target,
        _: &DialContext,
    ) -> Result<Welcome<MqttSession>, MqttError> {
        line.write(&self.hello(to)?).await?;
        let len = loop {
            if line.unread().first().is_some_and(|first| *first != CONNACK) {
                return Err(MqttError::garbage("no CONNACK", line.unread()));
            }
            match packet::next(line.unread())? {
                Some((Packet::ConnAck { code: 0 }, len)) => break len,
                Some((Packet::ConnAck { code }, _)) => return Err(MqttError::Refused { code }),
                Some(_) => return Err(MqttError::garbage("no CONNACK", line.unread())),
                // Four bytes in all: more than that without a whole one is none.
                None if line.unread().len() > 4 => {
                    return Err(MqttError::garbage("no CONNACK", line.unread()));
                }
                None => line.fill().await?,
            }
        };
        line.consume(len);
        let session = MqttSession::new(self.subscriptions.clone());
        Ok(Welcome::new(session).agreed(self.heartbeat()))
    }
}

/// How a `CONNACK` begins.
const CONNACK: u8 = 0x20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_come_from_the_url_first_and_are_decoded_and_never_shown() {
        let own = Credentials {
            user: "joe".into(),
            password: "secret".into(),
        };
        let mqtt = Mqtt::new().credentials(own);
        let hello = |url: &str| mqtt.hello(&Target::parse(url).unwrap()).unwrap();
        assert!(hello("mqtt://a").ends_with(b"\0\x03joe\0\x06secret"));
        assert!(hello("mqtt://ann:p%40ss@a").ends_with(b"\0\x03ann\0\x04p@ss"));
        assert!(!format!("{mqtt:?}").contains("secret"));
        let refused = mqtt.hello(&Target::parse("mqtt://a:%00@b").unwrap());
        assert!(matches!(refused, Err(MqttError::BadCredentials)));
    }

    #[test]
    fn a_client_id_is_one_that_every_broker_allows() {
        let id = Mqtt::new().client;
        assert!(id.len() == 23 && id.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        assert_ne!(id, Mqtt::new().client);
    }
}
