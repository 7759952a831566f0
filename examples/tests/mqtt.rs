//! The MQTT client on the link, against brokers that follow a script: what no real one can be asked for.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    missing_docs
)]

use std::process::Command;
use std::time::{Duration, Instant};

use examples::mqtt::{Mqtt, MqttError, Publish, Qos, dialer, subscribe};
use failover_core::directory::Endpoint;
use failover_core::drive::{Connector, Events, What};
use failover_core::failure::Kind;
use failover_core::link::{AtLoss, Fate, Late, LinkPolicy, Outbox, Replay, Reply};
use failover_core::machine::Why;
use failover_core::messaging::{Link, Login, News, Room, open};
use failover_core::policy::{Order, Policy, Walk};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use transport_tcp::TokioClock;
use transport_tls::TlsConfig;

#[tokio::test]
async fn garbage_in_the_login_is_a_clear_error_and_the_next_broker_serves() {
    for (said, kind, why) in [
        (
            &b"HTTP/1.1 400 Bad Request\r\n\r\n"[..],
            Kind::Protocol,
            "does not speak MQTT",
        ),
        (
            b"\x20\xff\xff\xff\xff\xff",
            Kind::Protocol,
            "does not speak MQTT",
        ),
        (b"\x20\x02\0\x05", Kind::Auth, "not authorized"),
        (b"\x20\x02\0\x03", Kind::Refused, "it is not available"),
    ] {
        let (odd, fine) = (Broker::new().await, Broker::new().await);
        let mut client = Client::new(&[&odd, &fine]);
        let mut held = odd.accept().await;
        held.say(said).await;
        let _serving = fine.welcome().await;
        let (found, told) = client.failed_dial().await;
        assert_eq!(found, kind, "{told}");
        assert!(told.contains(why), "{told}");
    }
}

#[tokio::test]
async fn half_an_answer_and_silence_costs_one_deadline() {
    let (mute, fine) = (Broker::new().await, Broker::new().await);
    let mut client = Client::new(&[&mute, &fine]);
    let began = Instant::now();
    let mut held = mute.accept().await;
    held.say(b"\x20\x02").await;
    let _serving = fine.welcome().await;
    assert!(began.elapsed() < DEADLINE + Duration::from_secs(1));
    assert_eq!(client.failed_dial().await.0, Kind::Timeout);
}

#[tokio::test]
async fn what_breaks_the_protocol_in_a_session_ends_that_connection_and_loses_nothing() {
    let huge = [b"\x30\x80\x80\x80\x01".to_vec(), vec![b'x'; 1 << 20]].concat();
    for said in [
        &b"\x40\x02\0\x63"[..], // A PUBACK that nobody awaits.
        b"\x20\x02\0\0",        // A second CONNACK.
        b"\xf0\0",              // No such packet.
        b"\x30\x03\0\x09a",     // A topic longer than its packet.
        &huge,                  // A packet of 2 MiB, where 1 MiB is the most.
    ] {
        let (odd, fine) = (Broker::new().await, Broker::new().await);
        let client = Client::new(&[&odd, &fine]);
        let mut held = odd.welcome().await;
        let ticket = client
            .link
            .try_send_tracked(Publish::to("a", "kept"))
            .unwrap();
        held.hear(0x30).await;
        held.0.write_all(said).await.unwrap();
        let mut serving = fine.welcome().await;
        // It comes again, marked as a duplicate, and is confirmed.
        let (first, body) = serving.hear(0x30).await;
        assert_eq!(first & 0x08, 0x08, "no DUP");
        assert!(body.ends_with(b"kept"));
        serving.say(&[0x40, 2, body[3], body[4]]).await;
        assert_eq!(within(ticket.settled()).await, Fate::Confirmed);
        assert_eq!(client.lost().await, Kind::Protocol, "{:?}", &said[..2]);
    }
}

#[tokio::test]
async fn an_acknowledgement_that_is_never_sent_costs_the_broker_its_client() {
    let (lazy, fine) = (Broker::new().await, Broker::new().await);
    let client = Client::new(&[&lazy, &fine]);
    let mut held = lazy.welcome().await;
    let ticket = client.link.try_send_tracked(Publish::to("a", "x")).unwrap();
    held.hear(0x30).await;
    let mut serving = fine.welcome().await;
    let (_, body) = serving.hear(0x30).await;
    serving.say(&[0x40, 2, body[3], body[4]]).await;
    assert_eq!(within(ticket.settled()).await, Fate::Confirmed);
    assert_eq!(client.lost().await, Kind::Timeout);
}

#[tokio::test]
async fn a_refused_subscription_is_told_and_the_connection_stays() {
    let broker = Broker::new().await;
    let client = Client::new(&[&broker]);
    let mut news = client.link.news();
    let _reader = subscribe(&client.link, "closed/#", Qos::AtLeastOnce, ROOM).unwrap();
    let mut peer = broker.welcome().await;
    peer.refuse_the_subscription().await;
    let filter = loop {
        if let News::Error(error) = within(news.next()).await.unwrap()
            && let MqttError::NotSubscribed { filter } = &*error
        {
            break filter.clone();
        }
    };
    assert_eq!(filter, "closed/#");
    let ticket = client.link.try_send_tracked(Publish::to("a", "x")).unwrap();
    let (_, body) = peer.hear(0x30).await;
    peer.say(&[0x40, 2, body[3], body[4]]).await;
    assert_eq!(within(ticket.settled()).await, Fate::Confirmed);
}

#[tokio::test]
async fn a_refused_subscription_ends_the_tool_and_says_so() {
    let broker = Broker::new().await;
    for (json, told) in [
        (
            None,
            "failover: the broker refuses the subscription to `closed/#`\n",
        ),
        (
            Some("--json"),
            "{\"error\":\"the broker refuses the subscription to `closed/#`\",\"event\":\"failed\",\"exit_code\":1}\n",
        ),
    ] {
        let url = broker.url();
        let running = tokio::task::spawn_blocking(move || {
            let mut command = Command::new(env!("CARGO_BIN_EXE_failover"));
            command
                .args(["mqtt", "-s", &url, "sub", "closed/#"])
                .args(json);
            command.output().unwrap()
        });
        let mut peer = broker.welcome().await;
        peer.refuse_the_subscription().await;
        let ran = within(running).await.unwrap();
        assert_eq!(ran.status.code(), Some(1));
        assert_eq!(String::from_utf8_lossy(&ran.stderr), told);
    }
}

const DEADLINE: Duration = Duration::from_millis(500);
const ROOM: Room = Room {
    items: 16,
    bytes: 1 << 16,
};

async fn within<T>(future: impl Future<Output = T>) -> T {
    let patience = timeout(Duration::from_secs(20), future);
    patience.await.expect("it takes too long")
}

struct Client {
    link: Link<Mqtt>,
    events: Events,
}

impl Client {
    fn new(brokers: &[&Broker]) -> Self {
        let policy = Policy::builder()
            .order(Order::new(Walk::Listed))
            .deadline(DEADLINE);
        let tls = TlsConfig::new().client().unwrap();
        let login = Login::new(dialer(&tls), Mqtt::new()).most_frame(1 << 20);
        let mut connector = Connector::builder(login, TokioClock::new())
            .endpoints(
                brokers
                    .iter()
                    .map(|broker| Endpoint::parse(&broker.url()).unwrap()),
            )
            .policy(policy.build().unwrap())
            .build()
            .unwrap();
        let events = connector.events();
        let policy = LinkPolicy::OFF
            .outbox(Outbox::Keep { bytes: 1 << 20 })
            .replay(Replay::Bytes(1 << 20))
            .reply(Reply::Within {
                deadline: Duration::from_secs(1),
                then: Late::Fault,
            })
            .at_loss(AtLoss::Wait);
        let (link, driver) = open(connector, policy);
        tokio::spawn(driver.run());
        Self { link, events }
    }

    /// The first dial that failed: how, and in which words.
    async fn failed_dial(&mut self) -> (Kind, String) {
        loop {
            if let What::Attempt(attempt) = within(self.events.next()).await.unwrap().what
                && let Err(failed) = attempt.outcome
            {
                return (failed.failure.kind, failed.to_string());
            }
        }
    }

    /// Why the first connection was lost.
    async fn lost(mut self) -> Kind {
        loop {
            if let What::Disconnected {
                why: Why::Lost(failure),
                ..
            } = within(self.events.next()).await.unwrap().what
            {
                return failure.kind;
            }
        }
    }
}

/// A listener that a test plays the broker behind.
struct Broker(TcpListener);

impl Broker {
    async fn new() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    fn url(&self) -> String {
        format!("mqtt://{}", self.0.local_addr().unwrap())
    }

    async fn accept(&self) -> Peer {
        let (stream, _) = within(self.0.accept()).await.unwrap();
        Peer(stream)
    }

    /// Accepts and takes the login.
    async fn welcome(&self) -> Peer {
        let mut peer = self.accept().await;
        peer.hear(0x10).await;
        peer.say(b"\x20\x02\0\0").await;
        peer
    }
}

struct Peer(TcpStream);

impl Peer {
    async fn say(&mut self, bytes: &[u8]) {
        within(self.0.write_all(bytes)).await.unwrap();
    }

    /// Reads until a packet of this type: its first byte, and what stands behind its length. Pings before it are
    /// answered.
    async fn hear(&mut self, kind: u8) -> (u8, Vec<u8>) {
        loop {
            let first = within(self.0.read_u8()).await.unwrap();
            let (mut length, mut shift) = (0, 0);
            loop {
                let byte = within(self.0.read_u8()).await.unwrap();
                length |= usize::from(byte & 0x7f) << shift;
                shift += 7;
                if byte & 0x80 == 0 {
                    break;
                }
            }
            let mut body = vec![0; length];
            within(self.0.read_exact(&mut body)).await.unwrap();
            match first & 0xf0 {
                0xc0 => self.say(b"\xd0\0").await,
                heard if heard == kind => return (first, body),
                _ => {}
            }
        }
    }

    async fn refuse_the_subscription(&mut self) {
        let (_, body) = self.hear(0x80).await;
        self.say(&[0x90, 3, body[0], body[1], 0x80]).await;
    }
}
