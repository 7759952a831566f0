//! The MQTT client on the link, against real mosquitto brokers.
//!
//! `cargo test -p examples --features brokers --test broker_mqtt` needs mosquitto. Each broker runs in the
//! foreground on free ports of the loopback interface and ends with the test that started it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    missing_docs
)]

mod brokers;
mod common;

use std::collections::BTreeSet;
use std::env::consts::ARCH;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use examples::mqtt::{Incoming, Publish, Qos, subscribe};
use failover_core::drive::What;
use failover_core::failure::Kind;
use failover_core::link::{Fate, LinkPolicy, Replay};
use failover_core::messaging::{Inbox, Ticket};
use tokio::time::timeout;

use crate::brokers::mosquitto::{Broker, Client, Users};
use crate::brokers::proxy::Proxy;
use crate::brokers::{ROOM, next, tireless, within};
use crate::common::{Place, free_port};

#[tokio::test]
async fn messages_go_and_come_over_each_transport_in_both_qualities() {
    let place = Place::new();
    let broker = Broker::start(&place, "a", Users::Any);
    for url in broker.urls("") {
        let client = Client::new(&place, std::slice::from_ref(&url));
        let mut reader = subscribe(&client.link, "x/+", Qos::AtLeastOnce, ROOM).unwrap();
        let mut all = subscribe(&client.link, "x/#", Qos::AtMostOnce, ROOM).unwrap();
        within(client.link.flush()).await.unwrap();
        for qos in [Qos::AtMostOnce, Qos::AtLeastOnce] {
            let sent = Publish::to("x/y", format!("{qos:?}")).qos(qos);
            client.link.try_send(sent).unwrap();
            let heard = next(&mut reader).await;
            assert_eq!((heard.topic.as_str(), heard.qos), ("x/y", qos), "{url}");
            assert_eq!(heard.payload, format!("{qos:?}"));
        }
        within(client.link.flush()).await.unwrap();
        // Both readers have each message, however often the broker sends one that two filters match.
        assert_eq!(next(&mut all).await.payload, "AtMostOnce");
        let counters = client.link.counters();
        assert_eq!((counters.confirmed, counters.handed), (1, 2), "{url}");
        within(client.link.drain()).await.unwrap();
    }
    tool(&place, &broker);
}

#[tokio::test]
async fn a_wrong_password_on_one_broker_leaves_the_other() {
    let place = Place::new();
    let strict = Broker::start(&place, "a", Users::JoeWith("other"));
    let broker = Broker::start(&place, "b", Users::JoeWith("secret"));
    let [_, _, strict, _] = strict.urls("joe:secret@");
    let [_, _, kind, _] = broker.urls("joe:secret@");
    let mut client = Client::new(&place, &[strict, kind]);
    client.link.try_send(Publish::to("x", "hello")).unwrap();
    within(client.link.flush()).await.unwrap();
    assert_eq!(client.link.counters().confirmed, 1);
    let events = std::iter::from_fn(|| client.events.try_next()).map(|event| event.what);
    let (mut refused, mut suspended) = (None, 0);
    for event in events {
        match event {
            What::Attempt(attempt) => refused = refused.or(attempt.outcome.err()),
            What::Suspended { .. } => suspended += 1,
            _ => {}
        }
    }
    let refused = refused.unwrap();
    assert_eq!((refused.failure.kind, suspended), (Kind::Auth, 1));
    let said = refused.to_string();
    assert!(
        said.contains("refuses the login") && !said.contains("secret"),
        "{said}"
    );
}

#[tokio::test]
async fn a_broker_that_is_killed_and_restarted_gets_every_message_over_websocket() {
    let place = Place::new();
    let mut broker = Broker::start(&place, "a", Users::Any);
    let [_, _, ws, _] = broker.urls("");
    let sending = Client::new(&place, std::slice::from_ref(&ws));
    let reading = Client::new(&place, std::slice::from_ref(&ws));
    let mut reader = subscribe(&reading.link, "n", Qos::AtLeastOnce, ROOM).unwrap();
    within(reading.link.flush()).await.unwrap();
    const COUNT: u64 = 2000;
    let mut at_kill = None;
    for number in 0..COUNT {
        if number == COUNT / 2 {
            broker.kill();
            at_kill = Some(Instant::now());
        }
        if number == COUNT * 3 / 4 {
            broker.restart();
            // Who subscribes anew hears what is published from then on.
            within(reading.link.flush()).await.unwrap();
        }
        let sent = Publish::to("n", number.to_string());
        sending.link.try_send(sent).unwrap();
        if number % 10 == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    within(sending.link.flush()).await.unwrap();
    let counters = sending.link.counters();
    assert_eq!(
        (counters.confirmed, counters.unconfirmed, counters.dropped),
        (COUNT, 0, 0)
    );
    let mut seen: BTreeSet<u64> = BTreeSet::new();
    while seen.last() != Some(&(COUNT - 1)) {
        let heard = next(&mut reader).await;
        let number = std::str::from_utf8(&heard.payload)
            .unwrap()
            .parse()
            .unwrap();
        // One that comes again was not acknowledged: of the others each comes after all before it.
        if seen.insert(number) {
            assert_eq!(seen.last(), Some(&number), "out of order");
        }
    }
    // What was published before the kill, and all after the second subscription.
    assert!(seen.contains(&0) && (COUNT * 3 / 4..COUNT).all(|number| seen.contains(&number)));
    println!(
        "{} of {COUNT} came, {:?} after the kill, {counters:?}",
        seen.len(),
        at_kill.unwrap().elapsed()
    );
}

#[test]
fn a_refused_subscription_ends_the_tool_and_says_so() {
    let place = Place::new();
    let rules = serde_json::json!({
        "defaultACLAccess": {
            "publishClientSend": true, "publishClientReceive": true,
            "subscribe": false, "unsubscribe": true,
        },
        "clients": [], "groups": [], "roles": [],
    });
    let rules = place.write("rules.json", &rules.to_string());
    // It comes with mosquitto, and is the one part of it that refuses subscriptions.
    let library = format!("/usr/lib/{ARCH}-linux-gnu/mosquitto_dynamic_security.so");
    let plugin = format!("plugin {library}\nplugin_opt_config_file {rules}");
    let broker = Broker::start_with(&place, "a", Users::Any, &plugin);
    let ran = Command::new(env!("CARGO_BIN_EXE_failover"))
        .args(["mqtt", "-s", &broker.urls("")[0], "sub", "closed/#"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stderr);
    assert_eq!(ran.status.code(), Some(1), "{said}");
    let told = "failover: the broker refuses the subscription to `closed/#`\n";
    assert_eq!(said, told);
}

#[tokio::test]
async fn a_frozen_broker_is_left_within_the_keep_alive() {
    let place = Place::new();
    let brokers = [
        Broker::start(&place, "a", Users::Any),
        Broker::start(&place, "b", Users::Any),
    ];
    let urls = brokers.each_ref().map(|broker| broker.urls("")[2].clone());
    let client = Client::new(&place, &urls);
    let mut reader = subscribe(&client.link, "x", Qos::AtMostOnce, ROOM).unwrap();
    within(client.link.flush()).await.unwrap();
    brokers[0].signal("STOP");
    let began = Instant::now();
    client.link.try_send(Publish::to("x", "after")).unwrap();
    within(client.link.flush()).await.unwrap();
    // One keep alive of silence, one for the answer: 2 s, and a dial.
    let took = began.elapsed();
    assert!(took < Duration::from_millis(2500), "{took:?}");
    assert_eq!(next(&mut reader).await.payload, "after");
    assert_eq!(client.lost().await, Kind::Stale);
    brokers[0].signal("CONT");
}

#[tokio::test]
async fn a_client_that_only_listens_is_kept_by_its_broker() {
    let place = Place::new();
    let broker = Broker::start(&place, "a", Users::Any);
    let [tcp, ..] = broker.urls("");
    let listening = Client::new(&place, std::slice::from_ref(&tcp));
    let mut reader = subscribe(&listening.link, "x", Qos::AtMostOnce, ROOM).unwrap();
    within(listening.link.flush()).await.unwrap();
    let talking = Client::new(&place, &[tcp]);
    // So much comes in that it never has to ask, and nothing of its own goes out but beats.
    for number in 0..40 {
        let sent = Publish::to("x", number.to_string()).qos(Qos::AtMostOnce);
        talking.link.try_send(sent).unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    within(talking.link.flush()).await.unwrap();
    let mut heard = 0;
    while next(&mut reader).await.payload != "39" {
        heard += 1;
    }
    assert_eq!(heard, 39);
    let mut events = listening.events;
    let lost = std::iter::from_fn(|| events.try_next());
    let lost = lost.filter(|event| matches!(event.what, What::Disconnected { .. }));
    assert_eq!(lost.count(), 0);
}

/// Through the first broker that answers; the other is a port where nobody listens.
fn tool(place: &Place, broker: &Broker) {
    let dead = format!("mqtt://127.0.0.1:{}", free_port());
    let ca = place.path("ca.pem");
    let mqtt = |servers: &[&str], arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_failover"));
        command.args(["mqtt", "--ca", &ca]);
        for server in servers {
            command.args(["-s", server]);
        }
        command.args(arguments).stdin(Stdio::piped());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    };
    let [tcp, tls, ws, wss] = broker.urls("");
    let mut publishing = mqtt(&[&dead, &wss], &["pub", "tool/x", "--retain"]);
    let mut input = publishing.stdin.take().unwrap();
    input.write_all(b"one\ntwo\n").unwrap();
    drop(input);
    let published = publishing.wait_with_output().unwrap();
    assert!(published.status.success(), "{published:?}");
    // The broker keeps the last.
    let heard = mqtt(&[&dead, &ws], &["sub", "tool/#", "--count", "1"]);
    let heard = heard.wait_with_output().unwrap();
    assert_eq!(heard.stdout, b"two\n", "{heard:?}");
    let heard = mqtt(&[&tls], &["--json", "sub", "tool/+", "--count", "1"]);
    let heard = String::from_utf8(heard.wait_with_output().unwrap().stdout).unwrap();
    assert!(
        heard.contains(r#""retained":true"#) && heard.contains(r#""topic":"tool/x""#),
        "{heard}"
    );
    for nonsense in [&["sub", "a#"][..], &["sub", "a", "--qos", "2"]] {
        let refused = mqtt(&[&tcp], nonsense).wait_with_output().unwrap();
        assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    }

    let strict = Broker::start(place, "strict", Users::JoeWith("other"));
    let [tcp, ..] = strict.urls("joe:secret@");
    let refused = mqtt(&[&tcp], &["pub", "x", "y"])
        .wait_with_output()
        .unwrap();
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(
        said.contains("refuses the login") && !said.contains("secret"),
        "{said}"
    );
}

#[tokio::test]
async fn connections_cut_at_random_bytes_lose_none_with_replay_and_repeat_none_without() {
    let place = Place::new();
    let broker = Broker::start(&place, "a", Users::Any);
    let mut cuts = 0;
    for seed in 1..=6 {
        let replay = match seed % 2 {
            0 => Replay::Off,
            _ => Replay::Bytes(LinkPolicy::BYTES),
        };
        let proxy = Proxy::new(broker.ports[2], seed, 6000).await;
        let direct = Client::new(&place, &broker.urls("")[..1]);
        let mut reader = subscribe(&direct.link, "cut", Qos::AtLeastOnce, ROOM).unwrap();
        within(direct.link.flush()).await.unwrap();
        let url = format!("ws://{}/mqtt", proxy.address);
        let client = Client::with(&place, &[url], tireless(), replay);
        let mut tickets = Vec::new();
        for number in 0..1500 {
            let sent = Publish::to("cut", number.to_string());
            tickets.push(client.link.try_send_tracked(sent).unwrap());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        proxy.heal();
        within(client.link.flush()).await.unwrap();
        let heard = heard(&mut reader).await;
        let fates: Vec<Fate> = tickets.iter().map(Ticket::fate).collect();
        match replay {
            Replay::Off => judge_once(&heard, &fates),
            _ => judge_replayed(&heard, &fates),
        }
        println!(
            "seed {seed}: {} cuts, {} came, {:?}",
            proxy.cuts(),
            heard.len(),
            client.link.counters()
        );
        cuts += proxy.cuts();
    }
    assert!(cuts > 50, "{cuts} cuts prove little");
}

/// The numbers that come until nothing comes for a while.
async fn heard(reader: &mut Inbox<Incoming>) -> Vec<usize> {
    let mut numbers = Vec::new();
    while let Ok(Some(incoming)) = timeout(Duration::from_secs(1), reader.next()).await {
        let text = std::str::from_utf8(&incoming.payload).unwrap();
        numbers.push(text.parse().unwrap());
    }
    numbers
}

/// None twice, in order; each is confirmed and came, or is told as unconfirmed.
fn judge_once(heard: &[usize], fates: &[Fate]) {
    assert!(heard.is_sorted_by(|a, b| a < b), "{heard:?}");
    for (number, fate) in fates.iter().enumerate() {
        match fate {
            Fate::Confirmed => assert!(heard.contains(&number), "{number}"),
            Fate::Unconfirmed => {}
            other => panic!("{number}: {other:?}"),
        }
    }
}

/// Each came, the first of each in order; all are confirmed.
fn judge_replayed(heard: &[usize], fates: &[Fate]) {
    let mut firsts = BTreeSet::new();
    for number in heard {
        if firsts.insert(*number) {
            assert_eq!(firsts.last(), Some(number), "out of order");
        }
    }
    assert_eq!(firsts.len(), fates.len());
    assert!(fates.iter().all(|fate| *fate == Fate::Confirmed));
}
