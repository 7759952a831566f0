//! Connections that break anywhere: what comes to the server, and what is told of it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use failover_core::link::{AtLoss, Fate, LinkPolicy, Replay};
use proptest::prelude::*;

use crate::nats::{Nats, NatsServer, publish};
use crate::net::{self, Net, WELL, lock};
use crate::stomp::{Stomp, StompServer};
use crate::{Carried, carry, kept};

fn cut_written(after: usize) -> net::Fate {
    net::Fate {
        cut_written: after,
        ..WELL
    }
}

fn cut_read(after: usize) -> net::Fate {
    net::Fate {
        cut_read: after,
        ..WELL
    }
}

/// Lives through these fates; what the server has got, and what was told of each message.
fn publish_through(fates: Vec<net::Fate>, lengths: &[usize]) -> (Vec<String>, Vec<Fate>) {
    paused(async {
        let server = NatsServer::new("pass");
        let net = Net::default().host("a", &server);
        net.next(fates);
        let policy = kept().at_loss(AtLoss::Wait);
        let Carried { link, driver } = carry(&net, "a", Nats::new("pass"), policy);
        let mut tickets = Vec::new();
        for (number, length) in lengths.iter().enumerate() {
            let body = format!("{number:03}{}", "x".repeat(*length));
            tickets.push(link.try_send_tracked(publish("s", body)).unwrap());
            if number % 3 == 0 {
                tokio::task::yield_now().await;
            }
        }
        link.flush().await.unwrap();
        let fates = tickets.iter().map(failover_core::messaging::Ticket::fate);
        let fates = fates.collect();
        let counters = link.counters();
        assert_eq!(counters.accepted, lengths.len() as u64);
        assert_eq!(counters.handed, lengths.len() as u64);
        link.drain().await.unwrap();
        driver.await.unwrap().unwrap();
        let bodies = lock(&server).payloads();
        (bodies, fates)
    })
}

fn send_through(fates: Vec<net::Fate>, lengths: &[usize], policy: LinkPolicy) -> Sent {
    paused(async {
        let server: Arc<Mutex<StompServer>> = StompServer::new();
        let net = Net::default().host("a", &server);
        net.next(fates);
        let protocol = Stomp { beats: (0, 0) };
        let policy = policy.at_loss(AtLoss::Wait);
        let Carried { link, driver } = carry(&net, "a", protocol, policy);
        let mut tickets = Vec::new();
        for (number, length) in lengths.iter().enumerate() {
            let body = format!("{number:03}{}", "x".repeat(*length));
            tickets.push(link.try_send_tracked(body).unwrap());
            if number % 3 == 0 {
                tokio::task::yield_now().await;
            }
        }
        link.flush().await.unwrap();
        let fates = tickets.iter().map(failover_core::messaging::Ticket::fate);
        let fates = fates.collect();
        link.drain().await.unwrap();
        driver.await.unwrap().unwrap();
        let bodies = lock(&server).bodies.clone();
        Sent { bodies, fates }
    })
}

struct Sent {
    bodies: Vec<String>,
    fates: Vec<Fate>,
}

fn numbers(bodies: &[String]) -> Vec<usize> {
    bodies
        .iter()
        .map(|body| body[..3].parse().unwrap())
        .collect()
}

fn paused<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap()
        .block_on(async {
            let most = Duration::from_secs(3600);
            tokio::time::timeout(most, future).await.unwrap()
        })
}

/// At most once and in order; what did not come was in the transport's hands.
fn judge_published(bodies: &[String], fates: &[Fate]) {
    let got = numbers(bodies);
    assert!(got.is_sorted_by(|a, b| a < b), "{got:?}");
    assert!(fates.iter().all(|fate| *fate == Fate::Handed), "{fates:?}");
}

#[test]
fn a_loss_at_any_byte_that_we_send_leaves_nothing_partial_twice_or_out_of_order() {
    let lengths = [0, 5, 1, 30, 0];
    for after in 0..300 {
        let (bodies, fates) = publish_through(vec![cut_written(after)], &lengths);
        judge_published(&bodies, &fates);
        // The server in memory reads what the wire took: nothing that was handed over is missing.
        assert_eq!(bodies.len(), lengths.len(), "cut after {after}");
    }
}

#[test]
fn a_loss_at_any_byte_that_we_read_leaves_nothing_partial_twice_or_out_of_order() {
    let lengths = [0, 5, 1, 30, 0];
    for after in 0..60 {
        let (bodies, fates) = publish_through(vec![cut_read(after)], &lengths);
        judge_published(&bodies, &fates);
        assert_eq!(bodies.len(), lengths.len(), "cut after {after}");
    }
}

#[test]
fn with_replay_a_loss_at_any_byte_loses_nothing_and_keeps_the_order() {
    let lengths = [0, 5, 1, 30, 0];
    for after in 0..200 {
        for fate in [cut_written(after), cut_read(after)] {
            let policy = kept().replay(Replay::Bytes(20));
            let sent = send_through(vec![fate], &lengths, policy);
            judge_replayed(&sent, lengths.len());
        }
    }
}

#[test]
fn without_replay_a_message_is_confirmed_or_told_as_unconfirmed() {
    let lengths = [0, 5, 1, 30, 0];
    let mut unconfirmed = 0;
    for after in 0..200 {
        let sent = send_through(vec![cut_read(after)], &lengths, kept());
        let got = numbers(&sent.bodies);
        assert!(got.is_sorted_by(|a, b| a < b), "{got:?}");
        for (number, fate) in sent.fates.iter().enumerate() {
            match fate {
                Fate::Confirmed => assert!(got.contains(&number)),
                Fate::Unconfirmed => unconfirmed += 1,
                other => panic!("{number}: {other:?}"),
            }
        }
    }
    assert!(unconfirmed > 0);
}

/// At least once; the first of each in order; all confirmed in the end.
fn judge_replayed(sent: &Sent, count: usize) {
    let mut firsts: Vec<usize> = Vec::new();
    for number in numbers(&sent.bodies) {
        if !firsts.contains(&number) {
            firsts.push(number);
        }
    }
    assert_eq!(firsts, (0..count).collect::<Vec<_>>());
    let confirmed = sent.fates.iter().all(|fate| *fate == Fate::Confirmed);
    assert!(confirmed, "{:?}", sent.fates);
}

fn fates() -> impl Strategy<Value = Vec<net::Fate>> {
    let fate =
        (1..40_usize, 0..400_usize, 0..300_usize).prop_map(|(grain, written, read)| net::Fate {
            grain,
            cut_written: written,
            cut_read: read,
            ..WELL
        });
    prop::collection::vec(fate, 0..8)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn published_messages_come_at_most_once_and_in_order(
        fates in fates(),
        lengths in prop::collection::vec(0..100_usize, 0..30),
    ) {
        let (bodies, fates) = publish_through(fates, &lengths);
        judge_published(&bodies, &fates);
        prop_assert_eq!(bodies.len(), lengths.len());
    }

    #[test]
    fn replayed_messages_come_at_least_once_and_in_order(
        fates in fates(),
        lengths in prop::collection::vec(0..100_usize, 0..30),
        most in 0..200_u64,
    ) {
        let sent = send_through(fates, &lengths, kept().replay(Replay::Bytes(most)));
        judge_replayed(&sent, lengths.len());
    }
}
