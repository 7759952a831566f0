//! The NATS client on the link, against real nats-servers.
//!
//! `cargo test -p examples --features brokers --test broker_nats` needs nats-server. Each runs in the
//! foreground on free ports of the loopback interface, and ends with the test that started it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    missing_docs
)]

mod brokers;
mod common;

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use examples::nats::{Credentials, Incoming, Nats, Publish, subscribe};
use failover_core::drive::What;
use failover_core::failure::Kind;
use failover_core::link::Fate;
use failover_core::messaging::{Inbox, Link, News, Ticket};
use failover_core::policy::{Order, Policy, Walk};
use tokio::time::timeout;

use crate::brokers::nats::{Client, Server};
use crate::brokers::proxy::Proxy;
use crate::brokers::{ROOM, next, tireless, within};
use crate::common::{LONG, Place, free_port};

#[tokio::test]
async fn it_publishes_subscribes_and_asks_over_tcp_and_websocket() {
    let place = Place::new();
    let server = Server::start(&place, "a", "", "");
    for url in [server.tcp(), server.ws()] {
        let client = Client::new(&place, &[url], Nats::new("test"));
        let link = &client.link;
        let mut reader = subscribe(link, "greet.*", ROOM).unwrap();
        link.send(Publish::to("greet.you", "hello")).await.unwrap();
        let heard = next(&mut reader).await;
        assert_eq!(
            (heard.subject.as_str(), heard.payload.as_ref()),
            ("greet.you", b"hello".as_slice())
        );

        let nobody = within(link.request(Publish::request("nobody", "?")))
            .await
            .unwrap();
        assert_eq!(nobody.status, Some(503));
        let answering = async {
            let asked = next(&mut reader).await;
            link.send(Publish::to(asked.reply.unwrap(), "fine"))
                .await
                .unwrap();
        };
        let asking = link.request(Publish::request("greet.me", "how are you?"));
        let (answer, ()) = within(async { tokio::join!(asking, answering) }).await;
        assert_eq!(answer.unwrap().payload.as_ref(), b"fine");
        within(link.drain()).await.unwrap();
        client.driver.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn websocket_over_tls_carries_it_too() {
    let place = Place::new();
    let file = place.path("server.pem");
    let web = format!("tls {{ cert_file: {file:?}, key_file: {file:?} }}");
    let server = Server::start_with(&place, "a", &web, "");
    let url = server.ws().replace("ws:", "wss:");
    let client = Client::new(&place, &[url], Nats::new("test"));
    let mut reader = subscribe(&client.link, "n", ROOM).unwrap();
    client.link.try_send(Publish::to("n", "hello")).unwrap();
    assert_eq!(next(&mut reader).await.payload.as_ref(), b"hello");
    // Certificates are looked at here as elsewhere.
    let stranger = Place::new();
    let url = server.ws().replace("ws:", "wss:");
    let mut refused = Client::new(&stranger, &[url], Nats::new("test"));
    assert_eq!(refused.failed_dial().await, Kind::Tls);
}

#[tokio::test]
async fn what_a_server_does_not_allow_is_told_and_the_connection_stays() {
    let place = Place::new();
    let allowed =
        "permissions: { publish: [\"fine\", \"_INBOX.>\"], subscribe: [\"fine\", \"_INBOX.>\"] }";
    let users =
        format!("authorization {{ users: [ {{ user: joe, password: secret, {allowed} }} ] }}");
    let server = Server::start(&place, "a", &users, "");
    let url = server.tcp().replace("://", "://joe:secret@");
    let mut client = Client::new(&place, std::slice::from_ref(&url), Nats::new("test"));
    let mut news = client.link.news();
    let _closed = subscribe(&client.link, "closed", ROOM).unwrap();
    let mut fine = subscribe(&client.link, "fine", ROOM).unwrap();
    client.link.try_send(Publish::to("closed", "x")).unwrap();
    client.link.try_send(Publish::to("fine", "x")).unwrap();
    next(&mut fine).await;
    let mut errors = Vec::new();
    while errors.len() < 2 {
        if let News::Error(error) = next(&mut news).await {
            errors.push(error.to_string());
        }
    }
    assert!(
        errors[0].contains("Permissions Violation for Subscription"),
        "{errors:?}"
    );
    assert!(
        errors[1].contains("Permissions Violation for Publish"),
        "{errors:?}"
    );
    let lost = std::iter::from_fn(|| client.events.try_next());
    let lost = lost.filter(|event| matches!(event.what, What::Disconnected { .. }));
    assert_eq!(lost.count(), 0);
    // The tool does not wait for what will not come.
    for arguments in [&["sub", "closed"][..], &["pub", "closed", "x"]] {
        let ran = Command::new(env!("CARGO_BIN_EXE_failover"))
            .args(["nats", "-s", &url])
            .args(arguments)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&ran.stderr);
        assert_eq!(ran.status.code(), Some(1), "{said}");
        assert!(said.contains("Permissions Violation"), "{said}");
    }
}

#[tokio::test]
async fn tls_begins_after_the_info_and_credentials_come_from_the_client_or_the_url() {
    let place = Place::new();
    let tls = format!(
        "tls {{ cert_file: {0:?}, key_file: {0:?} }}",
        place.path("server.pem")
    );
    let users = "authorization { user: joe, password: secret }";
    let server = Server::start(&place, "a", &tls, users);
    let with_url = format!("tls://joe:secret@127.0.0.1:{}", server.port);
    let as_said = format!("nats://127.0.0.1:{}", server.port);
    let joe = Credentials::User {
        name: "joe".into(),
        password: "secret".into(),
    };
    for (url, nats) in [
        (with_url, Nats::new("test")),
        (as_said, Nats::new("test").credentials(joe)),
    ] {
        let client = Client::new(&place, &[url], nats);
        within(client.link.flush()).await.unwrap();
    }
}

#[tokio::test]
async fn a_wrong_password_on_one_server_leaves_the_others() {
    let place = Place::new();
    let strict = Server::start(
        &place,
        "a",
        "",
        "authorization { user: joe, password: other }",
    );
    let server = Server::start(&place, "b", "", "");
    let mut client = Client::new(&place, &[strict.tcp(), server.tcp()], Nats::new("test"));
    within(client.link.flush()).await.unwrap();
    let refused =
        std::iter::from_fn(|| client.events.try_next()).find_map(|event| match event.what {
            What::Attempt(attempt) => attempt.outcome.err(),
            _ => None,
        });
    assert_eq!(refused.unwrap().failure.kind, Kind::Auth);
}

#[tokio::test]
async fn the_connected_node_is_killed_while_messages_are_published() {
    let place = Place::new();
    let mut cluster = Server::cluster(&place, 3);
    let urls: Vec<String> = cluster.iter().map(Server::tcp).collect();
    // The reader stays on the last node; the publisher begins at the first.
    let reading = Client::new(&place, &urls[2..], Nats::new("reader"));
    let mut reader = subscribe(&reading.link, "n", ROOM).unwrap();
    within(reading.link.flush()).await.unwrap();
    let mut client = Client::new(&place, &urls, Nats::new("publisher"));
    within(client.link.flush()).await.unwrap();
    // Interest spreads over the cluster in its own time.
    within(async {
        while reader.try_next().is_none() {
            client.link.try_send(Publish::to("n", "ready?")).unwrap();
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;

    for number in 0..2000_u32 {
        if number == 1000 {
            cluster.remove(0);
        }
        client
            .link
            .try_send(Publish::to("n", number.to_string()))
            .unwrap();
        if number % 10 == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    within(client.link.flush()).await.unwrap();
    let mut numbers: Vec<u32> = Vec::new();
    while let Ok(Some(incoming)) = timeout(Duration::from_millis(300), reader.next()).await {
        if let Ok(number) = String::from_utf8_lossy(&incoming.payload).parse() {
            numbers.push(number);
        }
    }
    assert!(numbers.is_sorted_by(|a, b| a < b));
    assert_eq!(numbers.last(), Some(&1999));
    let counters = client.link.counters();
    assert_eq!((counters.dropped, counters.queued), (0, 0));
    // What the dead node had taken and not passed on is gone; nothing else.
    assert!(numbers.len() > 1800, "{}", numbers.len());
    println!("{} of 2000 came, {counters:?}", numbers.len());
    let moved = std::iter::from_fn(|| client.events.try_next());
    let moved = moved.filter(|event| matches!(event.what, What::FailedOver { .. }));
    assert_eq!(moved.count(), 1);
}

#[test]
fn the_tool_publishes_subscribes_and_asks() {
    let place = Place::new();
    let server = Server::start(&place, "a", "", "");
    let dead = format!("nats://127.0.0.1:{}", free_port());
    let tool = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_failover"));
        command.args(["nats", "-s", &dead, "-s", &server.tcp()]);
        command.args(arguments).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    };
    let reader = tool(&["sub", "n.>", "--count", "2"]).spawn().unwrap();
    // A subscriber that is not there yet hears nothing: published until it has heard enough.
    let mut reader = Some(reader);
    let began = Instant::now();
    while reader.as_mut().unwrap().try_wait().unwrap().is_none() {
        let published = tool(&["pub", "n.x", "hello"]).output().unwrap();
        assert!(published.status.success(), "{published:?}");
        assert!(began.elapsed() < LONG);
    }
    let heard = reader.take().unwrap().wait_with_output().unwrap();
    assert_eq!(heard.stdout, b"hello\nhello\n", "{heard:?}");

    let asked = tool(&["request", "nobody", "?"]).output().unwrap();
    assert_eq!(asked.status.code(), Some(1));
    let said = String::from_utf8_lossy(&asked.stderr);
    assert!(said.contains("nobody answers `nobody`"), "{said}");
    let bad = tool(&["sub", "a..b"]).output().unwrap();
    assert_eq!(bad.status.code(), Some(2), "{bad:?}");
}

#[tokio::test]
async fn a_frozen_node_is_left_within_the_bound() {
    let place = Place::new();
    let servers = [
        Server::start(&place, "a", "", ""),
        Server::start(&place, "b", "", ""),
    ];
    let urls = [servers[0].tcp(), servers[1].tcp()];
    let client = Client::new(&place, &urls, Nats::new("test"));
    within(client.link.flush()).await.unwrap();
    servers[0].signal("STOP");
    let began = Instant::now();
    within(client.link.flush()).await.unwrap();
    // One interval of silence, one for the ping: 2 s, and a dial.
    assert!(
        began.elapsed() < Duration::from_millis(2500),
        "{:?}",
        began.elapsed()
    );
    servers[0].signal("CONT");
}

#[tokio::test]
async fn a_lame_duck_is_left_and_its_cluster_is_learned() {
    let place = Place::new();
    let cluster = Server::cluster(&place, 2);
    // Only the first is configured: the other is learned from its INFO.
    let mut client = Client::new(&place, &[cluster[0].tcp()], Nats::new("test"));
    let mut reader = subscribe(&client.link, "n", ROOM).unwrap();
    within(client.link.flush()).await.unwrap();
    within(async {
        while !matches!(
            client.events.next().await.unwrap().what,
            What::Discovered { .. }
        ) {}
    })
    .await;
    cluster[0].signal("USR2");
    within(async {
        while !matches!(client.events.next().await.unwrap().what, What::Moved { .. }) {}
    })
    .await;
    client.link.try_send(Publish::to("n", "after")).unwrap();
    assert_eq!(next(&mut reader).await.payload.as_ref(), b"after");
}

#[tokio::test]
async fn a_rolling_restart_costs_no_fate_and_no_order() {
    let place = Place::new();
    let mut cluster = Server::cluster(&place, 3);
    let urls: Vec<String> = cluster.iter().map(Server::tcp).collect();
    let client = Client::new(&place, &urls, Nats::new("both"));
    let mut reader = subscribe(&client.link, "n", ROOM).unwrap();
    within(client.link.flush()).await.unwrap();
    let mut tickets = Vec::new();
    for server in &mut cluster {
        server.signal("TERM");
        publish_for(&client.link, &mut tickets, Duration::from_millis(300)).await;
        server.kill();
        server.restart();
        publish_for(&client.link, &mut tickets, Duration::from_millis(700)).await;
    }
    let count = tickets.len();
    within(client.link.flush()).await.unwrap();
    let numbers = heard(&mut reader, count - 1).await;
    judge_at_most_once(&numbers, &tickets);
    println!("{} of {count} came back", numbers.len());
    // Only what was on its way at one of three losses is missing.
    assert!(numbers.len() > count * 8 / 10);
}

#[tokio::test]
async fn the_whole_cluster_is_down_for_5_s_and_one_node_comes_back() {
    let place = Place::new();
    let mut cluster = Server::cluster(&place, 3);
    let urls: Vec<String> = cluster.iter().map(Server::tcp).collect();
    let client = Client::new(&place, &urls, Nats::new("both"));
    let mut reader = subscribe(&client.link, "n", ROOM).unwrap();
    within(client.link.flush()).await.unwrap();
    cluster.iter_mut().for_each(Server::kill);
    // What is written before the loss is known is gone: NATS has no confirmation.
    tokio::time::sleep(Duration::from_millis(200)).await;
    let mut tickets = Vec::new();
    publish_for(&client.link, &mut tickets, Duration::from_secs(5)).await;
    assert!(tickets.iter().all(|ticket| ticket.fate() == Fate::Queued));
    cluster[1].restart();
    let back = Instant::now();
    within(client.link.flush()).await.unwrap();
    // The cap of our default, and an attempt.
    let took = back.elapsed();
    assert!(took < Duration::from_millis(8500), "{took:?}");
    // Subscribed anew before anything goes out: all comes, once and in order.
    let numbers = heard(&mut reader, tickets.len() - 1).await;
    assert_eq!(numbers.len(), tickets.len());
    judge_at_most_once(&numbers, &tickets);
    println!(
        "{} messages, {took:?} after the node was back",
        numbers.len()
    );
}

#[tokio::test]
async fn a_replaced_certificate_is_trusted_for_its_authority_alone() {
    let place = Place::new();
    let tls = |name: &str| {
        place.certify(name);
        let file = place.path(name);
        format!("tls {{ cert_file: {file:?}, key_file: {file:?} }}")
    };
    let start = |name| Server::start(&place, name, &tls(&format!("{name}.pem")), "");
    let mut servers = ["a", "b"].map(start);
    let urls = servers
        .each_ref()
        .map(|server| server.tcp().replace("nats:", "tls:"));
    let policy = Policy::builder().order(Order::new(Walk::Listed));
    let mut client = Client::with(&place, &urls, Nats::new("both"), policy);
    let mut reader = subscribe(&client.link, "n", ROOM).unwrap();
    within(client.link.flush()).await.unwrap();

    // The first gets one of a stranger: the second serves.
    place.certify_wrongly("a.pem");
    servers[0].kill();
    servers[0].restart();
    let mut tickets = Vec::new();
    publish_for(&client.link, &mut tickets, Duration::from_millis(200)).await;
    within(client.link.flush()).await.unwrap();
    // The second is gone: the first is refused, whatever waits.
    servers[1].kill();
    within(async {
        loop {
            if let What::Attempt(attempt) = client.events.next().await.unwrap().what
                && attempt
                    .outcome
                    .is_err_and(|refused| refused.failure.kind == Kind::Tls)
            {
                return;
            }
        }
    })
    .await;
    publish_for(&client.link, &mut tickets, Duration::from_millis(200)).await;
    assert!(client.link.counters().queued > 0);
    // It is back with a new key, and a certificate of the right authority.
    place.certify("b.pem");
    servers[1].restart();
    within(client.link.flush()).await.unwrap();
    let numbers = heard(&mut reader, tickets.len() - 1).await;
    judge_at_most_once(&numbers, &tickets);
}

#[tokio::test]
async fn messages_for_a_node_that_freezes_or_becomes_a_lame_duck_keep_their_order() {
    let place = Place::new();
    for word in ["STOP", "USR2"] {
        let cluster = Server::cluster(&place, 2);
        let urls: Vec<String> = cluster.iter().map(Server::tcp).collect();
        let policy = Policy::builder().order(Order::new(Walk::Listed));
        let mut client = Client::with(&place, &urls, Nats::new("both"), policy);
        let mut reader = subscribe(&client.link, "n", ROOM).unwrap();
        within(client.link.flush()).await.unwrap();
        let mut tickets = Vec::new();
        publish_for(&client.link, &mut tickets, Duration::from_millis(200)).await;
        cluster[0].signal(word);
        // Of a lame duck the clients go one after the other.
        let began = Instant::now();
        let mut moves = 0;
        while moves == 0 {
            assert!(began.elapsed() < LONG, "{word}: it stays");
            publish_for(&client.link, &mut tickets, Duration::from_millis(100)).await;
            let events = std::iter::from_fn(|| client.events.try_next());
            let events = events
                .filter(|event| matches!(event.what, What::FailedOver { .. } | What::Moved { .. }));
            moves = events.count();
        }
        assert_eq!(moves, 1, "{word}");
        publish_for(&client.link, &mut tickets, Duration::from_millis(500)).await;
        within(client.link.flush()).await.unwrap();
        let numbers = heard(&mut reader, tickets.len() - 1).await;
        judge_at_most_once(&numbers, &tickets);
        println!("{word}: {} of {} came", numbers.len(), tickets.len());
        if word == "USR2" {
            // It was left before it closed, and had taken all.
            assert_eq!(numbers.len(), tickets.len());
        }
        cluster[0].signal("CONT");
    }
}

#[tokio::test]
async fn connections_cut_at_random_bytes_leave_nothing_twice_mangled_or_out_of_order() {
    let place = Place::new();
    let server = Server::start(&place, "a", "", "");
    let mut cuts = 0;
    for seed in 1..=5 {
        let proxy = Proxy::new(server.port, seed, 8000).await;
        let direct = Client::new(&place, &[server.tcp()], Nats::new("direct"));
        let mut whole = subscribe(&direct.link, "n", ROOM).unwrap();
        within(direct.link.flush()).await.unwrap();
        let url = format!("nats://{}", proxy.address);
        let client = Client::with(&place, &[url], Nats::new("cut"), tireless());
        let mut own = subscribe(&client.link, "n", ROOM).unwrap();
        let mut tickets = Vec::new();
        publish_for(&client.link, &mut tickets, Duration::from_secs(2)).await;
        proxy.heal();
        // What the last connection that is cut has taken may be lost; one after it is not.
        within(client.link.flush()).await.unwrap();
        client.link.handle().reconnect();
        tokio::time::sleep(Duration::from_millis(200)).await;
        publish_for(&client.link, &mut tickets, Duration::from_millis(20)).await;
        within(client.link.flush()).await.unwrap();

        let numbers = heard(&mut whole, tickets.len() - 1).await;
        judge_at_most_once(&numbers, &tickets);
        let back = heard(&mut own, tickets.len() - 1).await;
        assert!(back.is_sorted_by(|a, b| a < b), "seed {seed}: {back:?}");
        println!(
            "seed {seed}: {} cuts, {} of {} came, {} came back",
            proxy.cuts(),
            numbers.len(),
            tickets.len(),
            back.len()
        );
        cuts += proxy.cuts();
    }
    assert!(cuts > 50, "{cuts} cuts prove little");
}

/// A message a millisecond, with its number, and as long as that says.
async fn publish_for(link: &Link<Nats>, tickets: &mut Vec<Ticket<Nats>>, time: Duration) {
    let began = Instant::now();
    while began.elapsed() < time {
        let number = tickets.len();
        let body = format!("{number} {}", "x".repeat(number % 97));
        let sent = link.try_send_tracked(Publish::to("n", body));
        tickets.push(sent.unwrap());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// The numbers that come, until this one or until nothing comes for a while; each as it was sent.
async fn heard(reader: &mut Inbox<Incoming>, last: usize) -> Vec<usize> {
    let mut numbers = Vec::new();
    while numbers.last() != Some(&last)
        && let Ok(Some(incoming)) = timeout(Duration::from_secs(1), reader.next()).await
    {
        let text = String::from_utf8(incoming.payload.to_vec()).unwrap();
        let (number, rest) = text.split_once(' ').unwrap();
        let number: usize = number.parse().unwrap();
        assert_eq!(rest, "x".repeat(number % 97));
        numbers.push(number);
    }
    numbers
}

/// In order and none twice, up to the last; each was handed over, and none is told otherwise.
fn judge_at_most_once(numbers: &[usize], tickets: &[Ticket<Nats>]) {
    assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
    assert_eq!(numbers.last(), Some(&(tickets.len() - 1)));
    assert!(tickets.iter().all(|ticket| ticket.fate() == Fate::Handed));
}
