//! Faults that only the system's network can have, in a network of the test's own.
//!
//! `cargo test -p examples --features brokers --test broker_net` needs Linux, `unshare` (util-linux) and `ip`
//! (iproute2), and to be root or allowed to make user namespaces. Each test runs its child, which is
//! another test of this program, in a new network namespace; nothing outside of it changes.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use std::net::SocketAddr;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use failover_core::dial::{Dial, DialContext};
use failover_core::directory::Target;
use failover_core::failure::{Classify, Failure, Kind, Phase, Scope};
use failover_core::testing::conformance::waits_for_a_mute_peer_until_the_deadline;
use tokio::net::TcpListener;
use transport_tcp::{Tcp, TcpError, TokioClock};

/// A network like the machine's at its start, and a cable to two servers that drop every packet: they are
/// nobody's at its other end.
const VANISHING: &str = "ip link set lo up && ip link add near type veth peer name far && \
    ip addr add 192.0.2.1/24 dev near && ip -6 addr add 2001:db8::1/64 dev near nodad && \
    ip link set near up && ip link set far up && \
    ip neigh add 192.0.2.7 lladdr 02:00:00:00:00:07 dev near && \
    ip -6 neigh add 2001:db8::7 lladdr 02:00:00:00:00:07 dev near";

#[test]
fn dropped_packets_end_at_the_deadline_and_cost_a_race_one_stagger() {
    in_a_network(VANISHING, "child_behind_dropped_packets");
}

#[tokio::test]
#[ignore = "run in a network of its own"]
async fn child_behind_dropped_packets() {
    let hole = target("192.0.2.7:1");
    let (short, clock) = (Duration::from_millis(200), TokioClock::new());
    waits_for_a_mute_peer_until_the_deadline(Phase::Connect, short, &Tcp::new(), &hole, &clock)
        .await
        .unwrap();

    let (good, _listener) = listen().await;
    let dead: SocketAddr = "[2001:db8::7]:1".parse().unwrap();
    let tcp = Tcp::new().resolver(move |_: &str, _: u16| Ok(vec![dead, good]));
    let began = Instant::now();
    let stream = dial(&tcp, &target("broker.test:1")).await.unwrap();
    assert_eq!(stream.peer_addr().unwrap(), good);
    let took = began.elapsed();
    let stagger = Duration::from_millis(250);
    assert!(
        took >= stagger && took < stagger + Duration::from_secs(1),
        "{took:?}"
    );
}

#[test]
fn a_network_that_is_away_is_told_and_the_next_dial_after_it_works() {
    in_a_network("true", "child_without_a_network");
}

#[tokio::test]
#[ignore = "run in a network of its own"]
async fn child_without_a_network() {
    let nowhere = dial(&Tcp::new(), &target("192.0.2.7:1")).await.unwrap_err();
    let away = Failure::new(Kind::Unreachable).at(Phase::Connect);
    assert_eq!(nowhere.failure(), away, "{nowhere:?}");
    assert!(run("ip link set lo up").status.success());
    let (here, _listener) = listen().await;
    dial(&Tcp::new(), &target(here)).await.unwrap();
}

#[test]
fn a_lack_of_ports_is_our_own_and_ends_when_one_is_free() {
    let few = "ip link set lo up && echo '40000 40003' > /proc/sys/net/ipv4/ip_local_port_range";
    in_a_network(few, "child_with_four_ports");
}

#[tokio::test]
#[ignore = "run in a network of its own"]
async fn child_with_four_ports() {
    // Beside the ports that are given out.
    let listener = TcpListener::bind("127.0.0.1:7000").await.unwrap();
    let to = target(listener.local_addr().unwrap());
    let mut open = Vec::new();
    let error = loop {
        match dial(&Tcp::new(), &to).await {
            Ok(stream) => open.push(stream),
            Err(error) => break error,
        }
    };
    assert!(!open.is_empty() && open.len() <= 4, "{}", open.len());
    let failure = error.failure();
    assert_eq!(
        (failure.kind, failure.scope),
        (Kind::Exhausted, Scope::Transient),
        "{error:?}"
    );
    // A reset leaves no port behind.
    open.pop().unwrap().set_zero_linger().unwrap();
    dial(&Tcp::new(), &to).await.unwrap();
}

/// Runs another test of this program in a network of its own, which these commands make first.
fn in_a_network(commands: &str, child: &str) {
    let own = std::env::current_exe().unwrap();
    let script = format!("{commands} && exec \"$0\" --ignored --exact {child} --nocapture");
    let in_one = |how: &str| {
        let mut command = Command::new("unshare");
        let ran = command.args([how, "sh", "-c", &script]).arg(&own).output();
        ran.unwrap_or_else(|error| panic!("cannot start `unshare` ({error}): install util-linux"))
    };
    // As root, and as anybody else where user namespaces are allowed.
    let mut ran = in_one("-n");
    if !passed(&ran) && String::from_utf8_lossy(&ran.stderr).contains("unshare failed") {
        ran = in_one("-rn");
    }
    let told = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(passed(&ran), "{}{}", told(&ran.stdout), told(&ran.stderr));
}

fn passed(ran: &Output) -> bool {
    ran.status.success() && String::from_utf8_lossy(&ran.stdout).contains("1 passed")
}

fn run(command: &str) -> Output {
    Command::new("sh").args(["-c", command]).output().unwrap()
}

/// A server whose connections wait in its queue.
async fn listen() -> (SocketAddr, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    (listener.local_addr().unwrap(), listener)
}

async fn dial(tcp: &Tcp, to: &Target) -> Result<tokio::net::TcpStream, TcpError> {
    tcp.dial(to, &DialContext::unbounded()).await
}

fn target(authority: impl std::fmt::Display) -> Target {
    Target::parse(&format!("tcp://{authority}")).unwrap()
}
