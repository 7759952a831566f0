//! Servers that break the protocol.

use std::sync::{Arc, Mutex};

use failover_core::drive::{Connector, What};
use failover_core::failure::Kind;
use failover_core::heartbeat::Heartbeat;
use failover_core::link::Fate;
use failover_core::machine::Why;
use failover_core::messaging::{Login, open};

use crate::nats::{Nats, NatsServer, publish};
use crate::net::{Net, Server, lock};
use crate::{Carried, SECOND, carry, clock, kept, pass, patient};

/// Says this instead of a greeting.
struct Says(Vec<u8>);

impl Server for Says {
    fn open(&mut self, _: usize, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }

    fn hear(&mut self, _: usize, unread: &mut Vec<u8>, _: &mut Vec<u8>) {
        unread.clear();
    }
}

/// Whether a client whose first server says this at the login comes to the second; in which time.
async fn logs_in_past(says: &[u8]) {
    let bad = Arc::new(Mutex::new(Says(says.to_vec())));
    let good = NatsServer::new("pass");
    let net = Net::default().host("a", &bad).host("b", &good);
    let Carried { link, .. } = carry(&net, "a b", Nats::new("pass"), kept());
    link.try_send(publish("s", "x")).unwrap();
    let start = tokio::time::Instant::now();
    link.flush().await.unwrap();
    assert!(start.elapsed() < 6 * SECOND, "{:?}", start.elapsed());
    assert_eq!(lock(&good).payloads(), ["x"]);
}

#[tokio::test(start_paused = true)]
async fn a_bad_greeting_is_a_failed_attempt_within_the_deadline() {
    logs_in_past(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    logs_in_past(&[0xff; 100_000]).await; // without an end
    logs_in_past(b"INFO {half").await; // then silence
    logs_in_past(b"").await;
    logs_in_past(b"INFO {}\r\n-ERR 'Authorization Violation'\r\n").await;
}

/// What becomes of a session whose server says this: the kind of its loss.
async fn loses(says: &[u8]) -> (Kind, String) {
    let server = NatsServer::new("pass");
    let net = Net::default().host("a", &server);
    let login = Login::new(net.clone(), Nats::new("pass")).most_frame(5000);
    let mut connector = Connector::builder(login, clock())
        .endpoint(failover_core::directory::Endpoint::parse("tcp://a:1").unwrap())
        .policy(patient().build().unwrap())
        .build()
        .unwrap();
    let mut events = connector.events();
    let heartbeat = Heartbeat::builder().watch(SECOND, 1).build().unwrap();
    let (link, driver) = open(connector, kept().heartbeat(heartbeat));
    tokio::spawn(driver.run());
    link.flush().await.unwrap();
    net.say("a", says);
    if says.is_empty() || says.starts_with(b"MSG") {
        net.freeze("a");
    }
    let ticket = link.try_send_tracked(publish("s", "after")).unwrap();
    pass(10 * SECOND).await;
    assert_eq!(ticket.fate(), Fate::Handed);
    link.flush().await.unwrap();
    assert_eq!(net.counts(), (2, 1));
    loop {
        let event = events.try_next().unwrap();
        if let What::Disconnected { why, error, .. } = event.what {
            let Why::Lost(failure) = why else {
                panic!("{why:?}");
            };
            return (failure.kind, error.unwrap().to_string());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn garbage_half_a_frame_and_too_large_a_frame_are_losses_with_their_reasons() {
    let (kind, error) = loses(b"GARBAGE\r\n").await;
    assert_eq!(
        (kind, error.as_str()),
        (Kind::Protocol, "this is no NATS: no such word")
    );

    let (kind, error) = loses(b"MSG news 1 10\r\nhalf").await;
    assert_eq!(kind, Kind::Stale, "{error}");

    let (kind, error) = loses(&[b'x'; 6000]).await;
    assert_eq!(kind, Kind::Protocol);
    assert!(error.contains("more than 5000 bytes"), "{error}");

    let (kind, _) = loses(b"-ERR 'Server Shutdown'\r\n").await;
    assert_eq!(kind, Kind::Other);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_asks_and_never_reads_does_not_fill_our_memory() {
    let server = NatsServer::new("pass");
    let net = Net::default().host("a", &server);
    net.next([crate::net::Fate {
        window: 100,
        ..crate::net::WELL
    }]);
    let heartbeat = Heartbeat::builder().write_deadline(SECOND).build().unwrap();
    let Carried { link, .. } = carry(&net, "a", Nats::new("pass"), kept().heartbeat(heartbeat));
    pass(SECOND / 10).await;
    net.say("a", "PING\r\n".repeat(1_000_000));
    pass(SECOND / 2).await;
    // Most of it is not even read; and then it is left.
    assert!(
        net.unread_by_client() > 5_000_000,
        "{}",
        net.unread_by_client()
    );
    link.flush().await.unwrap_err();
    link.flush().await.unwrap();
    assert_eq!(net.counts(), (2, 1));
}
