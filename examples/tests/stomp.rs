//! The STOMP client on the link, against a broker that follows a script: what no real one can be asked for.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    missing_docs
)]

use std::time::{Duration, Instant};

use examples::stomp::{
    AckMode, Redelivered, Send, Stomp, StompError, Subscribe, dialer, subscribe,
};
use failover_core::directory::Endpoint;
use failover_core::drive::{Connector, Events, What};
use failover_core::failure::{Failure, Kind, Phase, Scope};
use failover_core::link::{AtLoss, Fate, Late, LinkPolicy, Outbox, Replay, Reply};
use failover_core::machine::Why;
use failover_core::messaging::{Link, Login, Room, open};
use failover_core::policy::{Order, Policy, Standing, Walk};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use transport_tcp::TokioClock;
use transport_tls::TlsConfig;

#[tokio::test]
async fn an_error_at_the_login_benches_that_broker() {
    let (strict, kind) = (Broker::new().await, Broker::new().await);
    let mut client = Client::new(&[&strict, &kind], Stomp::new());
    let ticket = client
        .link
        .try_send_tracked(Send::to("/queue/a", "hello"))
        .unwrap();
    let mut refused = strict.accept().await;
    refused.hear("CONNECT").await;
    refused
        .say("ERROR\nmessage:Bad CONNECT\n\nAccess\n refused\0")
        .await;
    let mut peer = kind.welcome("0,0").await;
    let sent = peer.hear("SEND").await;
    assert!(sent.ends_with("\n\nhello\0"), "{sent}");
    peer.say(&format!("RECEIPT\nreceipt-id:{}\n\n\0", ticket.id()))
        .await;
    assert_eq!(within(ticket.settled()).await, Fate::Confirmed);

    let (failure, said) = client.failed_dial().await;
    let expected = Failure::new(Kind::Auth).scope(Scope::Endpoint);
    assert_eq!(failure, expected.at(Phase::Login));
    assert!(
        said.ends_with("the broker refuses the login: Bad CONNECT: Access refused"),
        "{said}"
    );
}

#[tokio::test]
async fn what_no_receipt_came_for_is_sent_again_in_order() {
    let (first, second) = (Broker::new().await, Broker::new().await);
    let client = Client::new(&[&first, &second], Stomp::new());
    let bodies = ["one", "two", "three"];
    let tickets = bodies.map(|body| {
        let sent = client.link.try_send_tracked(Send::to("/queue/a", body));
        sent.unwrap()
    });
    let mut peer = first.welcome("0,0").await;
    for _ in 0..3 {
        peer.hear("SEND").await;
    }
    peer.say("RECEIPT\nreceipt-id:1\n\n\0").await;
    assert_eq!(within(tickets[0].settled()).await, Fate::Confirmed);
    drop(peer);
    let mut peer = second.welcome("0,0").await;
    for body in &bodies[1..] {
        let again = peer.hear("SEND").await;
        assert!(again.contains(body), "{again}");
    }
    peer.say("RECEIPT\nreceipt-id:2\n\n\0\n\r\nRECEIPT\nreceipt-id:3\n\n\0")
        .await;
    assert_eq!(within(tickets[2].settled()).await, Fate::Confirmed);
    assert_eq!(client.link.counters().confirmed, 3);
}

#[tokio::test]
async fn a_receipt_that_is_never_sent_costs_the_broker_its_client() {
    let (mute, second) = (Broker::new().await, Broker::new().await);
    let receipt = Reply::Within {
        deadline: Duration::from_secs(1),
        then: Late::Fault,
    };
    let client = Client::awaiting(receipt, &[&mute, &second], Stomp::new());
    let ticket = client
        .link
        .try_send_tracked(Send::to("/queue/a", "x"))
        .unwrap();
    let mut held = mute.welcome("0,0").await;
    held.hear("SEND").await;
    // The time for a receipt passes, and the message goes to the next.
    let mut peer = second.welcome("0,0").await;
    peer.hear("SEND").await;
    peer.say(&format!("RECEIPT\nreceipt-id:{}\n\n\0", ticket.id()))
        .await;
    // Its time is over at the first, and counts anew at the second.
    assert_eq!(within(ticket.settled()).await, Fate::Confirmed);
    assert_eq!(client.link.counters().replayed, 1);
}

#[tokio::test]
async fn both_sides_keep_the_heart_beats_that_they_agreed_on() {
    let (first, second) = (Broker::new().await, Broker::new().await);
    let client = Client::new(&[&first, &second], Stomp::new().heart_beat(40, 100));
    let mut peer = first.welcome("100,50").await;
    let began = Instant::now();
    // It beats while we beat: four of ours within 50 ms each, and more for a busy machine.
    for _ in 0..4 {
        peer.say("\n").await;
        assert_eq!(peer.byte().await, b'\n');
    }
    assert!(began.elapsed() < Duration::from_secs(5));
    // Then it is silent: gone after two of its periods, and not because it closed.
    let silent = Instant::now();
    let _next = second.welcome("0,0").await;
    assert!(
        silent.elapsed() >= Duration::from_millis(150),
        "{:?}",
        silent.elapsed()
    );
    assert_eq!(client.lost().await, Kind::Stale);
}

#[tokio::test]
async fn an_acknowledgement_goes_over_the_connection_that_brought_its_message() {
    let (first, second) = (Broker::new().await, Broker::new().await);
    let client = Client::new(&[&first, &second], Stomp::new());
    let what = Subscribe::to("/queue/a", AckMode::ClientIndividual).header("prefetch-count", "2");
    let mut reader = subscribe(&client.link, what, ROOM).unwrap();
    let mut peer = first.welcome("0,0").await;
    let subscribed = peer.hear("SUBSCRIBE").await;
    for line in [
        "id:1",
        "destination:/queue/a",
        "ack:client-individual",
        "prefetch-count:2",
    ] {
        assert!(subscribed.lines().any(|one| one == line), "{subscribed}");
    }
    peer.say(&message("a\\cb", "one")).await;
    peer.say(&message("c", "two")).await;
    let mut one = within(reader.next()).await.unwrap();
    let mut two = within(reader.next()).await.unwrap();
    one.token.take().unwrap().ack().unwrap();
    assert!(peer.hear("ACK").await.contains("\nid:a\\cb\n"));
    drop(peer);

    let mut peer = second.welcome("0,0").await;
    peer.hear("SUBSCRIBE").await;
    peer.say(&message("d", "two again")).await;
    let mut again = within(reader.next()).await.unwrap();
    assert_eq!(again.body.as_ref(), b"two again");
    assert_eq!(two.token.take().unwrap().ack(), Err(Redelivered));
    again.token.take().unwrap().nack().unwrap();
    let said = peer.next().await;
    assert!(said.starts_with("NACK\nid:d\n"), "{said}");
    drop(reader);
    peer.hear("UNSUBSCRIBE").await;
    let (drained, _) = tokio::join!(client.link.drain(), peer.hear("DISCONNECT"));
    drained.unwrap();
}

#[tokio::test]
async fn a_reader_that_is_full_holds_the_broker_back_and_loses_nothing() {
    let broker = Broker::new().await;
    let client = Client::new(&[&broker], Stomp::new());
    let room = Room {
        items: 1,
        bytes: 1 << 20,
    };
    let what = Subscribe::to("/queue/a", AckMode::Auto);
    let mut reader = subscribe(&client.link, what, room).unwrap();
    let mut peer = broker.welcome("0,0").await;
    peer.hear("SUBSCRIBE").await;
    for number in 0..100 {
        peer.say(&message("x", &number.to_string())).await;
    }
    for number in 0..100 {
        let incoming = within(reader.next()).await.unwrap();
        assert_eq!(incoming.body.as_ref(), number.to_string().as_bytes());
        assert!(incoming.token.is_none());
    }
    assert_eq!(reader.dropped(), 0);
}

#[tokio::test]
async fn what_two_brokers_publish_comes_once_when_one_is_left_for_the_other() {
    let (first, second) = (Broker::new().await, Broker::new().await);
    let client = Client::new(&[&first, &second], Stomp::new());
    let what = Subscribe::to("/topic/a", AckMode::Auto);
    let mut reader = subscribe(&client.link, what, ROOM).unwrap();
    let mut left = first.welcome("0,0").await;
    left.hear("SUBSCRIBE").await;
    // A receipt that does not come keeps the first connection until the grace is over.
    let _sent = client.link.try_send(Send::to("/queue/a", "x")).unwrap();
    left.hear("SEND").await;
    client.link.handle().reconnect_other();
    let mut next = second.welcome("0,0").await;
    left.say(&message("1", "before")).await;
    assert_eq!(
        within(reader.next()).await.unwrap().body.as_ref(),
        b"before"
    );
    next.hear("SUBSCRIBE").await;
    left.say(&message("2", "both")).await;
    left.hear("DISCONNECT").await;
    next.say(&message("2", "both")).await;
    next.say(&message("3", "after")).await;
    for body in ["both", "after"] {
        let incoming = within(reader.next()).await.unwrap();
        assert_eq!(incoming.body.as_ref(), body.as_bytes());
    }
}

#[tokio::test]
async fn garbage_is_a_clear_error_and_the_next_broker_serves() {
    for (greeting, why) in [
        ("HTTP/1.1 400 Bad Request\r\n\r\n", "no command"),
        ("RECEIPT\nreceipt-id:1\n\n\0", "no CONNECTED"),
        ("CONNECTED\nversion:1.1\n\n\0", "speaks STOMP 1.1"),
        (
            "CONNECTED\nversion:1.2\nheart-beat:1\n\n\0",
            "a heart-beat that is none",
        ),
    ] {
        let (odd, fine) = (Broker::new().await, Broker::new().await);
        let mut client = Client::new(&[&odd, &fine], Stomp::new());
        let mut peer = odd.accept().await;
        peer.hear("CONNECT").await;
        peer.say(greeting).await;
        let _next = fine.welcome("0,0").await;
        let (failure, said) = client.failed_dial().await;
        assert_eq!(failure.kind, Kind::Protocol, "{said}");
        assert!(said.contains(why), "{said}");
    }
}

#[tokio::test]
async fn an_error_in_a_session_refuses_the_message_it_names_and_ends_the_connection() {
    let (first, second) = (Broker::new().await, Broker::new().await);
    let client = Client::new(&[&first, &second], Stomp::new());
    let ticket = client
        .link
        .try_send_tracked(Send::to("/queue/a", "x"))
        .unwrap();
    let mut peer = first.welcome("0,0").await;
    peer.hear("SEND").await;
    peer.say(&format!(
        "ERROR\nreceipt-id:{}\nmessage:no such queue\n\n\0",
        ticket.id()
    ))
    .await;
    assert_eq!(within(ticket.settled()).await, Fate::Refused);
    let mut peer = second.welcome("0,0").await;
    client
        .link
        .try_send(Send::to("/queue/b", "after").without_receipt())
        .unwrap();
    // What was refused is not sent again.
    let sent = peer.next().await;
    assert!(
        sent.contains("/queue/b") && !sent.contains("receipt"),
        "{sent}"
    );
}

#[tokio::test]
async fn what_no_broker_would_take_is_refused_at_the_call() {
    let broker = Broker::new().await;
    let client = Client::new(&[&broker], Stomp::new());
    for message in [
        Send::to("", "x"),
        Send::to("/queue/\0", "x"),
        Send::to("/queue/a", "x").header("a", "\0"),
    ] {
        assert!(client.link.try_send(message).is_err());
    }
    let nowhere = Subscribe::to("", AckMode::Auto);
    let refused = subscribe(&client.link, nowhere, ROOM).unwrap_err();
    assert!(matches!(refused, StompError::NoDestination));
}

const ROOM: Room = Room {
    items: 100,
    bytes: 1 << 20,
};

async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(20), future)
        .await
        .expect("it takes too long")
}

fn message(ack: &str, body: &str) -> String {
    format!("MESSAGE\nsubscription:1\nmessage-id:m\ndestination:/queue/a\nack:{ack}\n\n{body}\0")
}

struct Client {
    link: Link<Stomp>,
    events: Events,
}

impl Client {
    fn new(brokers: &[&Broker], stomp: Stomp) -> Self {
        Self::awaiting(Reply::Off, brokers, stomp)
    }

    /// One that waits for receipts like this.
    fn awaiting(receipt: Reply, brokers: &[&Broker], stomp: Stomp) -> Self {
        let standing = Standing::default().grace(Duration::from_secs(3));
        let policy = Policy::builder()
            .order(Order::new(Walk::Rotate))
            .standing(standing);
        let tls = TlsConfig::new().client().unwrap();
        let mut connector = Connector::builder(Login::new(dialer(&tls), stomp), TokioClock::new())
            .endpoints(brokers.iter().map(|broker| broker.endpoint()))
            .policy(policy.build().unwrap())
            .build()
            .unwrap();
        let events = connector.events();
        let policy = LinkPolicy::OFF
            .outbox(Outbox::Keep { bytes: 1 << 20 })
            .replay(Replay::Bytes(1 << 20))
            .reply(receipt)
            .at_loss(AtLoss::Wait);
        let (link, driver) = open(connector, policy);
        tokio::spawn(driver.run());
        Self { link, events }
    }

    /// The first dial that failed: how, and in which words.
    async fn failed_dial(&mut self) -> (Failure, String) {
        loop {
            let event = within(self.events.next()).await.unwrap();
            let What::Attempt(attempt) = event.what else {
                continue;
            };
            if let Err(failed) = attempt.outcome {
                let said = failed.to_string();
                return (failed.failure, said);
            }
        }
    }

    /// Why the first connection was lost.
    async fn lost(mut self) -> Kind {
        loop {
            let event = within(self.events.next()).await.unwrap();
            if let What::Disconnected {
                why: Why::Lost(failure),
                ..
            } = event.what
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

    fn endpoint(&self) -> Endpoint {
        let address = self.0.local_addr().unwrap();
        Endpoint::parse(&format!("tcp://guest:guest@{address}")).unwrap()
    }

    async fn accept(&self) -> Peer {
        let (stream, _) = within(self.0.accept()).await.unwrap();
        let unread = Vec::new();
        Peer { stream, unread }
    }

    /// Accepts, and answers the login with these heart-beats.
    async fn welcome(&self, beats: &str) -> Peer {
        let mut peer = self.accept().await;
        let hello = peer.hear("CONNECT").await;
        assert!(hello.contains("\naccept-version:1.2\nhost:/\n"), "{hello}");
        assert!(hello.contains("\nlogin:guest\npasscode:guest\n"), "{hello}");
        let connected = format!("CONNECTED\nversion:1.2\nheart-beat:{beats}\n\n\0");
        peer.say(&connected).await;
        peer
    }
}

struct Peer {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Peer {
    async fn say(&mut self, text: &str) {
        within(self.stream.write_all(text.as_bytes()))
            .await
            .unwrap();
    }

    async fn byte(&mut self) -> u8 {
        within(self.stream.read_u8()).await.unwrap()
    }

    /// The next frame, without the beats before it.
    async fn next(&mut self) -> String {
        loop {
            let begin = self
                .unread
                .iter()
                .take_while(|byte| **byte == b'\n')
                .count();
            self.unread.drain(..begin);
            if let Some(end) = self.unread.iter().position(|byte| *byte == 0) {
                let frame: Vec<u8> = self.unread.drain(..=end).collect();
                return String::from_utf8(frame).unwrap();
            }
            let read = within(self.stream.read_buf(&mut self.unread))
                .await
                .unwrap();
            assert!(read > 0, "the client closed the connection");
        }
    }

    /// The next frame, which must be this one.
    async fn hear(&mut self, command: &str) -> String {
        let frame = self.next().await;
        assert_eq!(frame.lines().next(), Some(command), "{frame}");
        frame
    }
}
