//! The STOMP client on the link, against real RabbitMQ brokers.
//!
//! `cargo test -p examples --features brokers --test broker_stomp` needs RabbitMQ. Each broker runs in the
//! foreground on free ports of the loopback interface, with an epmd, a directory and a cookie of its own, and
//! ends with the test that started it. A broker takes about 8 s to start.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::wildcard_enum_match_arm,
    missing_docs
)]

mod brokers;
mod common;

use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use examples::stomp::{AckMode, Incoming, Send, Subscribe, subscribe};
use failover_core::drive::What;
use failover_core::failure::Kind;
use failover_core::machine::Why;
use failover_core::messaging::Inbox;
use failover_core::policy::{Order, Policy, Walk};

use crate::brokers::proxy::Proxy;
use crate::brokers::rabbitmq::{Broker, Client};
use crate::brokers::{ROOM, next, tireless, within};
use crate::common::{Place, free_port};

#[tokio::test]
async fn messages_go_and_come_over_each_transport_and_cut_connections_lose_none() {
    let place = Place::new();
    let broker = Broker::start(&place, "a").up();
    let modes = [
        AckMode::Auto,
        AckMode::Client,
        AckMode::ClientIndividual,
        AckMode::Auto,
    ];
    for (url, mode) in broker.urls("guest:guest").iter().zip(modes) {
        let client = Client::new(&place, std::slice::from_ref(url));
        let queue = format!("/queue/{mode}-{}", url.split(':').next().unwrap());
        let sent = Send::to(&queue, "a\0b\n").header("persistent", "true");
        let sent = sent.header("odd:name", "odd\nvalue\\");
        client.link.try_send(sent).unwrap();
        within(client.link.flush()).await.unwrap();
        assert_eq!(client.link.counters().confirmed, 1, "{url}");
        let mut reader = subscribe(&client.link, Subscribe::to(&queue, mode), ROOM).unwrap();
        let mut heard = next(&mut reader).await;
        assert_eq!(heard.body.as_ref(), b"a\0b\n");
        assert_eq!(heard.header("odd:name"), Some("odd\nvalue\\"));
        assert_eq!(heard.token.is_some(), mode != AckMode::Auto);
        if let Some(token) = heard.token.take() {
            token.ack().unwrap();
        }
        within(client.link.drain()).await.unwrap();
    }
    // What was acknowledged is gone, what was not comes again.
    let tcp = &broker.urls("guest:guest")[..1];
    let queue = "/queue/individual";
    let first = Client::new(&place, tcp);
    let what = || Subscribe::to(queue, AckMode::ClientIndividual);
    let mut reader = subscribe(&first.link, what(), ROOM).unwrap();
    for body in ["kept", "done"] {
        first.link.try_send(Send::to(queue, body)).unwrap();
    }
    let (kept, mut done) = (next(&mut reader).await, next(&mut reader).await);
    assert_eq!(
        (kept.body.as_ref(), done.body.as_ref()),
        (b"kept".as_slice(), b"done".as_slice())
    );
    done.token.take().unwrap().ack().unwrap();
    within(first.link.drain()).await.unwrap();
    let second = Client::new(&place, tcp);
    let mut reader = subscribe(&second.link, what(), ROOM).unwrap();
    let again = next(&mut reader).await;
    assert_eq!(
        (again.body.as_ref(), again.header("redelivered")),
        (b"kept".as_slice(), Some("true"))
    );

    tool(&place, &broker);
    cut_at_random_bytes(&place, &broker).await;
}

#[tokio::test]
async fn a_wrong_password_leaves_the_other_broker_and_a_killed_one_costs_no_message() {
    let place = Place::new();
    let starting = [Broker::start(&place, "b"), Broker::start(&place, "c")];
    let [b, c] = starting.map(Broker::up);
    let tcp = |broker: &Broker, who| broker.urls(who)[0].clone();

    let mut client = Client::new(&place, &[tcp(&b, "guest:wrong"), tcp(&c, "guest:guest")]);
    client.link.try_send(Send::to("/queue/login", "x")).unwrap();
    within(client.link.flush()).await.unwrap();
    let events = std::iter::from_fn(|| client.events.try_next()).map(|event| event.what);
    let (mut refused, mut suspended) = (None, 0);
    for event in events {
        match event {
            What::Attempt(attempt) => refused = refused.or(attempt.outcome.err()),
            What::Suspended { .. } => suspended += 1,
            _ => {}
        }
    }
    assert_eq!((refused.unwrap().failure.kind, suspended), (Kind::Auth, 1));

    // The connected one of two is killed while messages are sent.
    let reading = Client::new(&place, &[tcp(&c, "guest:guest")]);
    let what = Subscribe::to("/queue/n", AckMode::ClientIndividual).header("prefetch-count", "100");
    let mut reader = subscribe(&reading.link, what, ROOM).unwrap();
    let sending = Client::new(&place, &[tcp(&b, "guest:guest"), tcp(&c, "guest:guest")]);
    const COUNT: u64 = 2000;
    let mut b = Some(b);
    for number in 0..COUNT {
        if number == COUNT / 2 {
            // Some are confirmed, some are on their way.
            within(async {
                while sending.link.counters().confirmed < COUNT / 4 {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            })
            .await;
            drop(b.take());
        }
        let sent = Send::to("/queue/n", number.to_string());
        sending.link.try_send(sent).unwrap();
    }
    let at_kill = Instant::now();
    within(sending.link.flush()).await.unwrap();
    let counters = sending.link.counters();
    assert_eq!(
        (counters.confirmed, counters.unconfirmed, counters.dropped),
        (COUNT, 0, 0)
    );
    // Those that the first broker did not confirm came to the second, in order of their first coming.
    let mut seen: BTreeSet<u64> = BTreeSet::new();
    while seen.last() != Some(&(COUNT - 1)) {
        let mut incoming = next(&mut reader).await;
        let number = std::str::from_utf8(&incoming.body)
            .unwrap()
            .parse()
            .unwrap();
        assert!(
            seen.last().is_none_or(|last| *last < number),
            "{number} after {:?}",
            seen.last()
        );
        seen.insert(number);
        incoming.token.take().unwrap().ack().unwrap();
    }
    let first = *seen.first().unwrap();
    assert_eq!(seen.len() as u64, COUNT - first, "a gap after {first}");
    assert!(first <= COUNT / 2, "{first}");
    println!(
        "{} of {COUNT} confirmed by the second broker, {:?} after the kill, {counters:?}",
        seen.len(),
        at_kill.elapsed()
    );
}

/// Through the first broker that answers; the other is a port where nobody listens.
fn tool(place: &Place, broker: &Broker) {
    let dead = format!("tcp://guest:guest@127.0.0.1:{}", free_port());
    let [tcp, _, ws, _] = broker.urls("guest:guest");
    let uri = format!("failover:({dead},{tcp})?randomize=false");
    let ca = place.path("ca.pem");
    let stomp = |servers: &[&str], arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_failover"));
        command.args(["stomp", "--ca", &ca]);
        for server in servers {
            command.args(["-s", server]);
        }
        command.args(arguments).stdin(Stdio::piped());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    };
    let mut sending = stomp(&[&uri], &["send", "/queue/tool", "--header", "a:b"]);
    let mut input = sending.stdin.take().unwrap();
    input.write_all(b"one\ntwo\n").unwrap();
    drop(input);
    let sent = sending.wait_with_output().unwrap();
    assert!(sent.status.success(), "{sent:?}");
    let take_two = [
        "subscribe",
        "/queue/tool",
        "--ack",
        "client",
        "--count",
        "2",
    ];
    let heard = stomp(&[&dead, &ws], &take_two).wait_with_output().unwrap();
    assert_eq!(heard.stdout, b"one\ntwo\n", "{heard:?}");

    let wrong = broker.urls("guest:wrong");
    let refused = stomp(&[&wrong[0]], &["send", "/queue/tool", "x"]);
    let refused = refused.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(
        said.contains("Access refused") && !said.contains("wrong"),
        "{said}"
    );

    // A destination that is none is no reason to go on for ever.
    for nowhere in [
        &["send", "/nowhere/x", "y"][..],
        &["subscribe", "/nowhere/x"],
    ] {
        let refused = stomp(&[&tcp], nowhere).wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&refused.stderr);
        assert_eq!(refused.status.code(), Some(1), "{said}");
        assert!(
            said.contains("the broker says Unknown destination"),
            "{said}"
        );
    }
}

#[tokio::test]
async fn a_frozen_broker_and_a_dark_cluster_cost_no_message() {
    let place = Place::new();
    let starting = [Broker::start(&place, "d"), Broker::start(&place, "e")];
    let [mut d, mut e] = starting.map(Broker::up);
    let urls = [&d, &e].map(|broker| broker.urls("guest:guest")[0].clone());
    // RabbitMQ writes down within seconds that a queue is there: one that is younger would not survive a kill.
    let early = Client::new(&place, &urls[1..]);
    let declared = subscribe(&early.link, Subscribe::to("/queue/n", AckMode::Auto), ROOM);
    within(early.link.flush()).await.unwrap();
    drop((declared, early));
    let policy = Policy::builder().order(Order::new(Walk::Listed));
    let mut client = Client::with(&place, &urls, policy);
    const COUNT: u64 = 2000;
    for number in 0..COUNT {
        match number {
            500 => d.freeze(),
            1000 => {
                let began = Instant::now();
                within(client.link.flush()).await.unwrap();
                println!("confirmed elsewhere after {:?} more", began.elapsed());
            }
            // Both are away, with messages on their way.
            1200 => {
                d.kill();
                e.kill();
            }
            _ => {}
        }
        let sent = Send::to("/queue/n", number.to_string()).header("persistent", "true");
        client.link.try_send(sent).unwrap();
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let lost = std::iter::from_fn(|| client.events.try_next());
    let mut lost = lost.filter_map(|event| match event.what {
        What::Disconnected {
            why: Why::Lost(failure),
            ..
        } => Some(failure.kind),
        _ => None,
    });
    assert_eq!(lost.next(), Some(Kind::Stale));
    tokio::time::sleep(Duration::from_secs(5)).await;
    let e = up_again(e).await;
    within(client.link.flush()).await.unwrap();
    let counters = client.link.counters();
    assert_eq!(
        (counters.confirmed, counters.unconfirmed, counters.dropped),
        (COUNT, 0, 0)
    );
    // What the second had confirmed it had written down, and what the first had not confirmed came to it.
    let reading = Client::new(&place, &e.urls("guest:guest")[..1]);
    let what = Subscribe::to("/queue/n", AckMode::Auto);
    let mut reader = subscribe(&reading.link, what, ROOM).unwrap();
    let numbers = numbers(&mut reader, COUNT - 1).await;
    let first = *numbers.first().unwrap();
    assert!(first <= 500, "{first}");
    assert_eq!(
        numbers.len() as u64,
        COUNT - first,
        "a gap: {first}, {counters:?}"
    );
}

#[tokio::test]
async fn a_rolling_restart_with_new_certificates_costs_no_message() {
    let place = Place::new();
    let starting = ["f", "g", "h"].map(|name| Broker::start(&place, name));
    let [mut f, mut g, mut h] = starting.map(Broker::up);
    let urls = [&f, &g, &h].map(|broker| broker.urls("guest:guest")[1].clone());
    let policy = Policy::builder().order(Order::new(Walk::Listed));
    let mut client = Client::with(&place, &urls, policy);
    let mut sent = 0;
    let mut send = |client: &Client, count: u64| {
        for number in sent..sent + count {
            let message = Send::to("/queue/n", number.to_string()).header("persistent", "true");
            client.link.try_send(message).unwrap();
        }
        sent += count;
    };
    send(&client, 500);
    within(client.link.flush()).await.unwrap();
    // The first comes back with a certificate of a stranger; meanwhile the second serves.
    place.certify_wrongly("f.pem");
    f.kill();
    send(&client, 500);
    within(client.link.flush()).await.unwrap();
    let f = up_again(f).await;
    // With the second away the first is refused, and the third serves. The second gets a new certificate.
    place.certify("g.pem");
    g.kill();
    send(&client, 500);
    within(client.link.flush()).await.unwrap();
    let g = up_again(g).await;
    // With the third away as well it is the second's turn again.
    h.kill();
    send(&client, 500);
    within(client.link.flush()).await.unwrap();
    let counters = client.link.counters();
    assert_eq!(
        (counters.confirmed, counters.unconfirmed, counters.dropped),
        (2000, 0, 0)
    );
    let events: Vec<What> = std::iter::from_fn(|| client.events.try_next())
        .map(|event| event.what)
        .collect();
    let refused = events.iter().filter(|what| {
        matches!(what, What::Attempt(attempt)
            if attempt.outcome.as_ref().is_err_and(|failed| failed.failure.kind == Kind::Tls))
    });
    assert!(
        refused.count() > 0,
        "the stranger's certificate was not refused"
    );
    let served: Vec<String> = events
        .iter()
        .filter_map(|what| match what {
            What::Connected(link) | What::FailedOver { to: link, .. } => {
                Some(link.target.endpoint().name().to_string())
            }
            _ => None,
        })
        .collect();
    assert_eq!(served.len(), 4, "{served:?}");
    assert_eq!(served[1], served[3], "{served:?}");
    // Nothing is missing at the last one: what it holds is what others did not confirm, up to the end.
    let reading = Client::new(&place, &g.urls("guest:guest")[..1]);
    let what = Subscribe::to("/queue/n", AckMode::Auto);
    let mut reader = subscribe(&reading.link, what, ROOM).unwrap();
    let last = numbers(&mut reader, 1999).await;
    assert!(
        (1500..2000).all(|number| last.contains(&number)),
        "{last:?}"
    );
    drop(f);
}

async fn up_again(broker: Broker) -> Broker {
    let restarted = tokio::task::spawn_blocking(move || broker.restart().up());
    restarted.await.unwrap()
}

/// Through proxies that cut: all come at least once, the first of each in order.
async fn cut_at_random_bytes(place: &Place, broker: &Broker) {
    let mut cuts = 0;
    for seed in 1..=3 {
        let proxy = Proxy::new(broker.port(), seed, 20_000).await;
        let url = format!("tcp://guest:guest@{}", proxy.address);
        let client = Client::with(place, &[url], tireless());
        let queue = format!("/queue/cut-{seed}");
        const COUNT: u64 = 1000;
        for number in 0..COUNT {
            let sent = Send::to(&queue, number.to_string());
            client.link.try_send(sent).unwrap();
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        proxy.heal();
        within(client.link.flush()).await.unwrap();
        let counters = client.link.counters();
        assert_eq!(
            (counters.confirmed, counters.unconfirmed, counters.dropped),
            (COUNT, 0, 0)
        );
        let direct = Client::new(place, &broker.urls("guest:guest")[..1]);
        let what = Subscribe::to(&queue, AckMode::Auto);
        let mut reader = subscribe(&direct.link, what, ROOM).unwrap();
        assert_eq!(numbers(&mut reader, COUNT - 1).await.len() as u64, COUNT);
        println!("seed {seed}: {} cuts, {counters:?}", proxy.cuts());
        cuts += proxy.cuts();
    }
    assert!(cuts > 15, "{cuts} cuts prove little");
}

/// The numbers that come, up to the last: the first of each after all before it.
async fn numbers(reader: &mut Inbox<Incoming>, last: u64) -> BTreeSet<u64> {
    let mut seen: BTreeSet<u64> = BTreeSet::new();
    while seen.last() != Some(&last) {
        let incoming = next(reader).await;
        let text = std::str::from_utf8(&incoming.body).unwrap();
        let number = text.parse().unwrap();
        if seen.insert(number) {
            assert_eq!(seen.last(), Some(&number), "out of order");
        }
    }
    seen
}
