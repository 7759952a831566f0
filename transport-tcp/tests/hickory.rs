//! Names by hickory, asked of a scripted DNS server on loopback.

#![allow(
    clippy::unwrap_used,
    reason = "test code outside of the test functions"
)]

mod peers;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use failover_core::dial::{Dial, DialContext};
use failover_core::directory::Target;
use failover_core::drive::Connector;
use failover_core::failure::{Classify, Kind, Phase};
use failover_core::testing::conformance::{
    Violation, a_reconnect_sees_a_moved_server, errors_tell_their_causes, fails_as,
    waits_for_a_mute_peer_until_the_deadline,
};
use tokio::net::UdpSocket;
use transport_tcp::{Hickory, Resolve, Tcp, TcpError, TokioClock};

#[tokio::test]
async fn all_addresses_of_a_name_are_found_ipv6_first() {
    let v6 = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 7);
    let v4 = [Ipv4Addr::new(192, 0, 2, 7), Ipv4Addr::new(192, 0, 2, 8)];
    let (names, asked) = serve(move |name, kind, _| match (name, kind) {
        ("broker.test", A) => Says::Records(v4.map(Data::A).into()),
        ("broker.test", AAAA) => Says::Records(vec![Data::Aaaa(v6)]),
        _ => Says::Nothing,
    })
    .await;
    let found = names.resolve("broker.test", 4222).await.unwrap();
    let all = [IpAddr::V6(v6), v4[0].into(), v4[1].into()];
    let mut sorted = found.clone();
    sorted[1..].sort_unstable();
    assert_eq!(sorted, all.map(|ip| SocketAddr::new(ip, 4222)));
    assert_eq!(asked.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_reconnect_asks_again_however_long_the_answer_is_good() -> Result<(), Violation> {
    let (old, before) = peers::echo().await;
    let other = tokio::net::TcpListener::bind(("127.0.0.2", old.port()))
        .await
        .unwrap();
    let after = peers::serve_echo(other);
    let moved = Arc::new(AtomicUsize::new(1));
    let host = Arc::clone(&moved);
    let (names, _asked) = serve(move |_, kind, _| {
        let last = u8::try_from(host.load(Ordering::SeqCst)).unwrap();
        match kind {
            A => Says::Records(vec![Data::A(Ipv4Addr::new(127, 0, 0, last))]),
            _ => Says::Records(Vec::new()),
        }
    })
    .await;
    let tcp = Tcp::new().resolver(names);
    let to = target(format!("broker.test:{}", old.port()));
    let moves = || moved.store(2, Ordering::SeqCst);
    let logs = (&before, &after);
    a_reconnect_sees_a_moved_server(&tcp, &to, logs, moves, &TokioClock::new()).await
}

#[tokio::test]
async fn a_name_that_is_not_there_is_told_apart_from_one_without_an_address()
-> Result<(), Violation> {
    let (names, _asked) = serve(|name, _, _| match name {
        "bare.test" => Says::Records(Vec::new()),
        _ => Says::NoSuchName,
    })
    .await;
    let (tcp, clock) = (Tcp::new().resolver(names), TokioClock::new());
    let (bare, gone) = (target("bare.test:1"), target("gone.test:1"));
    for to in [&bare, &gone] {
        fails_as(&[Kind::Resolve], &tcp, to, &clock).await?;
    }
    errors_tell_their_causes(&tcp, &gone, &clock).await?;
    let error = tcp
        .dial(&bare, &DialContext::unbounded())
        .await
        .unwrap_err();
    assert!(matches!(error, TcpError::NoAddress { .. }), "{error:?}");
    let error = tcp
        .dial(&gone, &DialContext::unbounded())
        .await
        .unwrap_err();
    assert_eq!(error.failure().phase, Some(Phase::Resolve));
    let source = std::error::Error::source(&error).unwrap();
    assert_eq!(source.to_string(), "no such name");
    Ok(())
}

#[tokio::test]
async fn a_mute_name_server_is_left_to_the_deadline() -> Result<(), Violation> {
    let (names, asked) = serve(|_, _, _| Says::Nothing).await;
    let (tcp, clock) = (Tcp::new().resolver(names), TokioClock::new());
    let (to, short) = (target("broker.test:1"), Duration::from_millis(100));
    waits_for_a_mute_peer_until_the_deadline(Phase::Resolve, short, &tcp, &to, &clock).await?;
    assert!(asked.load(Ordering::SeqCst) > 0);
    Ok(())
}

#[tokio::test]
async fn srv_records_are_endpoints_with_tiers_and_weights() {
    let (names, _asked) = serve(|name, kind, _| {
        let record = |priority, weight, port, target| Data::Srv(priority, weight, port, target);
        match (name, kind) {
            ("_nats._tcp.test", SRV) => Says::Records(vec![
                record(20, 0, 4222, "spare.test"),
                record(10, 1, 4222, "b.test"),
                record(10, 9, 4223, "a.test"),
                record(10, 1, 4222, "a.test"),
            ]),
            ("_none._tcp.test", SRV) => Says::Records(vec![record(0, 0, 0, "")]),
            _ => Says::NoSuchName,
        }
    })
    .await;
    let endpoints = names.endpoints("tls", "_nats._tcp.test").await.unwrap();
    let told = endpoints.iter().map(|endpoint| {
        let own = endpoint.overrides();
        format!("{} {} {}", endpoint.routes()[0], own.tier, own.weight)
    });
    assert_eq!(
        told.collect::<Vec<_>>(),
        [
            "tls://a.test:4223 0 9",
            "tls://a.test:4222 0 1",
            "tls://b.test:4222 0 1",
            "tls://spare.test:4222 1 0",
        ]
    );
    for (service, told) in [
        ("_none._tcp.test", "is not offered"),
        ("_gone._tcp.test", "no such name"),
    ] {
        let error = names.endpoints("tls", service).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert!(error.to_string().contains(told), "{error}");
    }
}

#[tokio::test]
async fn a_connector_lives_on_names_alone() {
    let (address, _log) = peers::echo().await;
    let nobody = peers::nobody().await.port();
    let port = address.port();
    let (names, _asked) = serve(move |name, kind, _| match (name, kind) {
        ("_x._tcp.test", SRV) => Says::Records(vec![
            Data::Srv(0, 1, nobody, "broker.test"),
            Data::Srv(1, 1, port, "broker.test"),
        ]),
        ("broker.test", A) => Says::Records(vec![Data::A(Ipv4Addr::LOCALHOST)]),
        _ => Says::Records(Vec::new()),
    })
    .await;
    let endpoints = names.endpoints("tcp", "_x._tcp.test").await.unwrap();
    let mut connector = Connector::builder(Tcp::new().resolver(names), TokioClock::new())
        .endpoints(endpoints)
        .build()
        .unwrap();
    let link = connector.connect().await.unwrap();
    assert_eq!(link.conn.peer_addr().unwrap(), address);
}

const A: u16 = 1;
const AAAA: u16 = 28;
const SRV: u16 = 33;

/// What the server says to a question.
enum Says {
    Records(Vec<Data>),
    NoSuchName,
    Nothing,
}

enum Data {
    A(Ipv4Addr),
    Aaaa(Ipv6Addr),
    /// Priority, weight, port, target.
    Srv(u16, u16, u16, &'static str),
}

/// A DNS server that says this (to a name, a type, and how many were asked before), a resolver that
/// asks it alone, and how often it was asked.
async fn serve(
    says: impl Fn(&str, u16, usize) -> Says + Send + 'static,
) -> (Hickory, Arc<AtomicUsize>) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let names = Hickory::asking([socket.local_addr().unwrap()]).unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    tokio::spawn(async move {
        let mut question = [0; 512];
        while let Ok((read, from)) = socket.recv_from(&mut question).await {
            let before = count.fetch_add(1, Ordering::SeqCst);
            if let Some(answer) = answer(&question[..read], |name, kind| says(name, kind, before)) {
                socket.send_to(&answer, from).await.unwrap();
            }
        }
    });
    (names, asked)
}

/// The message that answers this one (RFC 1035, 4.1).
fn answer(message: &[u8], says: impl FnOnce(&str, u16) -> Says) -> Option<Vec<u8>> {
    let (name, end) = name_at(message, 12);
    let kind = u16::from_be_bytes([message[end], message[end + 1]]);
    let (code, records) = match says(&name.to_ascii_lowercase(), kind) {
        Says::Nothing => return None,
        Says::NoSuchName => (3, Vec::new()),
        Says::Records(records) => (0, records),
    };
    let mut answer = message[..2].to_vec();
    // An answer, recursion asked for and available; one question, the records, nothing else.
    answer.extend([
        0x81,
        0x80 | code,
        0,
        1,
        0,
        u8::try_from(records.len()).unwrap(),
        0,
        0,
        0,
        0,
    ]);
    answer.extend(&message[12..end + 4]);
    for record in records {
        let (kind, data) = match record {
            Data::A(address) => (A, address.octets().to_vec()),
            Data::Aaaa(address) => (AAAA, address.octets().to_vec()),
            Data::Srv(priority, weight, port, target) => {
                let mut data: Vec<u8> = [priority, weight, port].map(u16::to_be_bytes).concat();
                for label in target.split('.').filter(|label| !label.is_empty()) {
                    data.push(u8::try_from(label.len()).unwrap());
                    data.extend(label.as_bytes());
                }
                data.push(0);
                (SRV, data)
            }
        };
        // The name of the question, class IN, good for a day.
        answer.extend([0xc0, 12]);
        answer.extend(kind.to_be_bytes());
        answer.extend([0, 1, 0, 1, 0x51, 0x80]);
        answer.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
        answer.extend(data);
    }
    Some(answer)
}

fn name_at(message: &[u8], mut at: usize) -> (String, usize) {
    let mut labels = Vec::new();
    while message[at] != 0 {
        let end = at + 1 + usize::from(message[at]);
        labels.push(String::from_utf8_lossy(&message[at + 1..end]));
        at = end;
    }
    (labels.join("."), at + 1)
}

fn target(authority: impl std::fmt::Display) -> Target {
    Target::parse(&format!("tcp://{authority}")).unwrap()
}
