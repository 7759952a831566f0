//! What goes wrong with names, sockets and the system, and what is said about a socket.

#![allow(
    clippy::unwrap_used,
    reason = "test code outside of the test functions"
)]

mod peers;

use std::fs::File;
use std::future::pending;
use std::net::SocketAddr;
use std::pin::pin;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use failover_core::dial::{Dial, DialContext};
use failover_core::directory::{Endpoint, Target};
use failover_core::drive::Connector;
#[cfg(target_os = "linux")]
use failover_core::failure::Classify;
use failover_core::failure::{Failure, Kind, Phase};
use failover_core::policy::{Backoff, Jitter, Limit, Limits, Pace, Policy};
use failover_core::testing::conformance::{
    Violation, fails_as, waits_for_a_mute_peer_until_the_deadline,
};
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;
use transport_tcp::{KeepAlive, Resolve, Resolving, Tcp, TcpOptions, TokioClock};

// Names.

#[tokio::test]
async fn a_name_that_moved_is_found_where_it_is_now() {
    let (old, old_log) = peers::echo().await;
    let (new, new_log) = peers::echo().await;
    let asked = AtomicUsize::new(0);
    let tcp = Tcp::new().resolver(move |_: &str, _: u16| {
        let first = asked.fetch_add(1, Ordering::SeqCst) == 0;
        Ok(vec![if first { old } else { new }])
    });
    for _ in 0..2 {
        greet(&mut dial(&tcp, &target("broker.example:1")).await).await;
    }
    assert_eq!((old_log.accepted(), new_log.accepted()), (1, 1));
}

#[tokio::test]
async fn of_a_name_the_address_that_accepts_and_drops_does_not_keep_us_from_the_good_one() {
    let drops = || peers::listen(|_| async {});
    let ((first, first_log), (second, second_log)) = (drops().await, drops().await);
    let (good, good_log) = peers::echo().await;
    let tcp = Tcp::new().resolver(move |_: &str, _: u16| Ok(vec![first, second, good]));
    let policy = Policy::builder()
        .pace(Pace::new(Backoff::Constant(Duration::from_millis(1))))
        .build()
        .unwrap();
    let mut connector = Connector::builder(tcp, TokioClock::new())
        .endpoint(Endpoint::parse("tcp://broker.example:1").unwrap())
        .policy(policy)
        .build()
        .unwrap();
    let mut lost = 0;
    while good_log.accepted() == 0 && lost < 10 {
        let mut link = connector.connect().await.unwrap();
        let _ = link.conn.write_u8(b'x').await;
        if let Err(error) = link.conn.read_u8().await {
            lost += 1;
            connector.lost(link.id(), error);
        }
    }
    let accepted = [first_log, second_log, good_log].map(|log| log.accepted());
    assert_eq!((accepted, lost), ([1, 1, 1], 2));
}

#[tokio::test]
async fn a_zone_is_found_as_people_write_it_and_as_urls_do() {
    // A zone concerns this machine alone: no resolver of names knows it.
    let asked = |_: &str, _: u16| Err(std::io::ErrorKind::NotFound.into());
    for zoned in ["[fe80::1%1]:1", "[fe80::1%251]:1"] {
        let (to, cx) = (target(zoned), DialContext::unbounded());
        let tcp = Tcp::new().resolver(asked);
        let dialled = tcp.dial(&to, &cx);
        // Until it knows where: what becomes of the connect is the system's.
        let mut dialled = pin!(dialled);
        let connects = std::future::poll_fn(|task| {
            let is_over = dialled.as_mut().poll(task).is_ready();
            match is_over || cx.trail().phase() == Some(Phase::Connect) {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        });
        tokio::time::timeout(Duration::from_secs(30), connects)
            .await
            .unwrap();
        assert_eq!(cx.trail().phase(), Some(Phase::Connect), "{zoned}");
        let reached = cx.trail().address().unwrap().to_string();
        assert_eq!(reached, "[fe80::1%1]:1");
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_link_local_address_without_a_zone_is_out_of_reach_and_told_so() {
    let cx = DialContext::unbounded();
    let error = Tcp::new().dial(&target("[fe80::1]:1"), &cx).await;
    let error = error.unwrap_err();
    assert_eq!(error.failure().kind, Kind::Unreachable);
    let why = std::error::Error::source(&error).unwrap().to_string();
    assert!(why.contains("needs its zone"), "{why}");
}

#[tokio::test]
async fn a_resolver_that_hangs_is_left_to_the_deadline() -> Result<(), Violation> {
    struct Hangs;
    impl Resolve for Hangs {
        fn resolve<'a>(&'a self, _host: &'a str, _port: u16) -> Resolving<'a> {
            Box::pin(pending())
        }
    }
    let (tcp, short) = (Tcp::new().resolver(Hangs), Duration::from_millis(50));
    let (to, clock) = (target("broker.example:1"), TokioClock::new());
    waits_for_a_mute_peer_until_the_deadline(Phase::Resolve, short, &tcp, &to, &clock).await
}

#[tokio::test]
async fn a_name_without_an_address_fails_as_resolve() -> Result<(), Violation> {
    let tcp = Tcp::new().resolver(|_: &str, _: u16| Ok(Vec::new()));
    fails_as(&[Kind::Resolve], &tcp, &target("a:1"), &TokioClock::new()).await
}

#[tokio::test]
async fn a_black_hole_of_ipv6_beside_a_good_ipv4_costs_one_stagger() {
    if TcpListener::bind("[::1]:0").await.is_err() {
        eprintln!("no IPv6 here: nothing to test");
        return;
    }
    let (_full, hole) = peers::silent_at("[::1]:0".parse().unwrap()).await;
    let (good, log) = peers::echo().await;
    let tcp = Tcp::new().resolver(move |_: &str, _: u16| Ok(vec![hole, hole, good]));
    let began = Instant::now();
    let mut stream = dial(&tcp, &target("broker.example:1")).await;
    assert!(began.elapsed() >= Duration::from_millis(250));
    assert_eq!(stream.peer_addr().unwrap(), good);
    greet(&mut stream).await;
    assert_eq!(log.accepted(), 1);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_losers_of_a_race_are_closed() {
    let (_full, mute) = peers::silent().await;
    let (good, _log) = peers::echo().await;
    let tcp = Tcp::new().resolver(move |_: &str, _: u16| Ok(vec![mute, good]));
    let to = target("broker.example:1");
    let mut dialling = pin!(dial(&tcp, &to));
    let half_open = || is_half_open_to(mute);
    assert!(!half_open());
    let raced = tokio::time::timeout(Duration::from_millis(50), &mut dialling);
    assert!(raced.await.is_err(), "the first is mute");
    assert!(half_open());
    let _stream = dialling.await;
    assert!(!half_open());
}

/// Whether the kernel has a socket that waits for an answer from there.
#[cfg(target_os = "linux")]
fn is_half_open_to(address: SocketAddr) -> bool {
    const SYN_SENT: &str = "02";
    let port = format!(":{:04X}", address.port());
    let sockets = std::fs::read_to_string("/proc/self/net/tcp").unwrap();
    sockets.lines().any(|line| {
        let mut words = line.split_whitespace().skip(2);
        words.next().is_some_and(|remote| remote.ends_with(&port)) && words.next() == Some(SYN_SENT)
    })
}

// Connections that end.

#[tokio::test]
async fn a_reset_is_a_reset_right_after_accept_and_in_mid_stream() {
    for first in [false, true] {
        let (address, _log) = peers::listen(move |mut stream| async move {
            if first {
                stream.write_all(b"half a fra").await.unwrap();
                stream.read_u8().await.unwrap();
            }
            stream.set_zero_linger().unwrap();
        })
        .await;
        let mut stream = dial(&Tcp::new(), &target(address)).await;
        if first {
            stream.read_exact(&mut [0; 10]).await.unwrap();
            stream.write_u8(b'x').await.unwrap();
        }
        let error = stream.read_u8().await.unwrap_err();
        assert_eq!(Failure::from_io(&error).kind, Kind::Reset, "{error:?}");
    }
}

#[tokio::test]
async fn a_peer_that_sends_its_end_and_reads_on_is_at_its_end() {
    let (address, _log) = peers::listen(|mut stream| async move {
        stream.shutdown().await.unwrap();
        while let Ok(1..) = stream.read(&mut [0; 64]).await {}
    })
    .await;
    let mut stream = dial(&Tcp::new(), &target(address)).await;
    assert_eq!(stream.read(&mut [0; 1]).await.unwrap(), 0);
}

// The system.

/// The system gives each connect a port of its own, now and then the very one that is dialled; where
/// nobody listens there, the two ends of the connection are then one.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_dial_that_meets_itself_is_refused_and_leaves_the_port_to_the_server() {
    use transport_tcp::TcpError;

    // Of those that the system gives to connects: half of a range, tried in turn.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let given = TcpStream::connect(listener.local_addr().unwrap()).await;
    let given = given.unwrap();
    let address = given.local_addr().unwrap();
    given.set_zero_linger().unwrap();
    drop(given);
    let (tcp, to) = (Tcp::new(), target(address));
    let cx = DialContext::unbounded();
    let itself = async {
        for _ in 0..200_000 {
            let failed = tcp.dial(&to, &cx).await.expect_err("nobody listens");
            assert_eq!(failed.failure().kind, Kind::Refused, "{failed}");
            if matches!(&failed, TcpError::Connect { source, .. } if source.raw_os_error().is_none())
            {
                return failed;
            }
        }
        panic!("the range is larger than that");
    };
    let failed = itself.await;
    let why = std::error::Error::source(&failed).unwrap().to_string();
    assert_eq!(why, "nobody listens: the connection led to its own end");
    let SocketAddr::V4(v4) = address else {
        panic!("{address}");
    };
    let [a, b, c, d] = v4.ip().octets();
    let end = format!("{:08X}:{:04X}", u32::from_le_bytes([a, b, c, d]), v4.port());
    let all = std::fs::read_to_string("/proc/net/tcp").unwrap();
    assert!(!all.contains(&format!("{end} {end}")), "it lingers");
}

/// The body of a child process that may open few files; see the next test.
#[cfg(unix)]
#[tokio::test]
#[ignore = "run by the_lack_of_descriptors_is_told_and_ends, with a low limit"]
async fn child_without_descriptors() {
    let (address, _log) = peers::echo().await;
    let hoard: Vec<_> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    let (to, clock) = (target(address), TokioClock::new());
    fails_as(&[Kind::Exhausted], &Tcp::new(), &to, &clock)
        .await
        .unwrap();
    let error = Tcp::new()
        .dial(&to, &DialContext::unbounded())
        .await
        .unwrap_err();
    println!("hoarded {} and then: {error:?}", hoard.len());
    exhausted_is_paced(&to).await;
    drop(hoard);
    dial(&Tcp::new(), &to).await;
}

/// The body of a child process in a network of its own, without IPv6 and with four local ports; see
/// the next test.
#[cfg(target_os = "linux")]
#[tokio::test]
#[ignore = "run by an_address_out_of_reach_is_told_from_ports_that_ran_out, in a network of its own"]
async fn child_in_a_network_of_its_own() {
    let kind = async |tcp: &Tcp, to: &str| {
        let dialled = tcp.dial(&target(to), &DialContext::unbounded()).await;
        dialled.map(drop).map_err(|error| error.failure().kind)
    };
    let tcp = Tcp::new();
    assert_eq!(
        kind(&tcp, "[::1]:9").await,
        Err(Kind::Unreachable),
        "no IPv6"
    );
    assert_eq!(
        kind(&tcp, "10.9.9.9:9").await,
        Err(Kind::Unreachable),
        "prohibited"
    );

    let server = TcpListener::bind("127.0.0.1:5000").await.unwrap();
    let to = server.local_addr().unwrap().to_string();
    let mut hoard = Vec::new();
    while let Ok(stream) = TcpStream::connect(&to).await {
        hoard.push(stream);
    }
    assert_eq!(hoard.len(), 4);
    assert_eq!(kind(&tcp, &to).await, Err(Kind::Exhausted), "no port left");
    let bound = TcpOptions::new().local_address("127.0.0.1".parse().unwrap());
    let bound = Tcp::new().options(bound);
    assert_eq!(kind(&bound, &to).await, Err(Kind::Exhausted), "nor to bind");
}

#[cfg(target_os = "linux")]
#[test]
fn an_address_out_of_reach_is_told_from_ports_that_ran_out() {
    const NETWORK: &str = "ip link set lo up && ip route add prohibit 10.9.9.0/24 \
        && echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6 \
        && echo 40000 40003 > /proc/sys/net/ipv4/ip_local_port_range";
    let in_network = |then: &str| {
        let mut unshare = Command::new("unshare");
        unshare.args(["-rn", "sh", "-c", &format!("{NETWORK} {then}")]);
        unshare
    };
    if !in_network("").status().is_ok_and(|status| status.success()) {
        eprintln!("no network of one's own here: nothing to test");
        return;
    }
    let child = in_network("&& exec \"$0\" \"$@\"")
        .arg(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "child_in_a_network_of_its_own"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success(), "{said}");
    assert!(said.contains("1 passed"), "{said}");
}

/// A connector waits between two dials that fail for it, and its last words name the reason.
#[cfg(unix)]
async fn exhausted_is_paced(to: &Target) {
    let wait = Duration::from_millis(40);
    let policy = Policy::builder()
        .pace(Pace::new(Backoff::Constant(wait)))
        .jitter(Jitter::None)
        .start_up_limits(Limits::UNLIMITED.sweeps(Limit::AtMost(3)))
        .build()
        .unwrap();
    let mut connector = Connector::builder(Tcp::new(), TokioClock::new())
        .endpoint(Endpoint::parse(&to.url().to_string()).unwrap())
        .policy(policy)
        .build()
        .unwrap();
    let began = Instant::now();
    let gave_up = connector.connect().await.unwrap_err();
    assert!(began.elapsed() >= wait * 2, "{:?}", began.elapsed());
    assert_eq!(gave_up.endpoints[0].dials, 3);
    let last = gave_up.endpoints[0].failure.unwrap();
    assert_eq!(last.kind, Kind::Exhausted);
}

#[cfg(unix)]
#[test]
fn the_lack_of_descriptors_is_told_and_ends() {
    let child = Command::new("sh")
        .args(["-c", "ulimit -n 40 && exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().unwrap())
        .args([
            "--ignored",
            "--exact",
            "child_without_descriptors",
            "--nocapture",
        ])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(
        child.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&child.stderr)
    );
    assert!(
        said.contains("hoarded ") && said.contains("1 passed"),
        "{said}"
    );
}

// What is said about a socket.

#[tokio::test]
async fn the_defaults_are_no_nagle_and_keepalive() {
    let (address, _log) = peers::echo().await;
    let stream = dial(&Tcp::new(), &target(address)).await;
    assert!(stream.nodelay().unwrap());
    let socket = SockRef::from(&stream);
    assert!(socket.keepalive().unwrap());
    assert_eq!(KeepAlive::DEFAULT.bound(), Duration::from_secs(60));
    #[cfg(target_os = "linux")]
    {
        assert_eq!(
            socket.tcp_keepalive_time().unwrap(),
            Duration::from_secs(30)
        );
        assert_eq!(
            socket.tcp_keepalive_interval().unwrap(),
            Duration::from_secs(10)
        );
        assert_eq!(socket.tcp_keepalive_retries().unwrap(), 3);
        assert_eq!(socket.tcp_user_timeout().unwrap(), None);
    }
}

#[tokio::test]
async fn a_keepalive_beyond_what_the_system_counts_is_the_longest_and_no_failure() {
    let (address, _log) = peers::echo().await;
    let (day, many) = (Duration::from_secs(24 * 3600), 1000);
    let keepalive = KeepAlive::after(day).every(day).probes(many);
    let tcp = Tcp::new().options(TcpOptions::new().keepalive(keepalive));
    greet(&mut dial(&tcp, &target(address)).await).await;
    assert_eq!(keepalive.bound(), Duration::from_secs(32_767 * (1 + 127)));
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn an_endpoints_options_beat_the_dialers() {
    let (address, _log) = peers::echo().await;
    let options = TcpOptions::new()
        .with_nagle()
        .keepalive(
            KeepAlive::after(Duration::from_secs(7))
                .every(Duration::from_secs(2))
                .probes(5),
        )
        .user_timeout(Duration::from_secs(9))
        .local_address("127.0.0.2".parse().unwrap())
        .interface("lo")
        .receive_buffer(64 * 1024)
        .send_buffer(32 * 1024);
    let endpoint = Endpoint::parse(&format!("tcp://{address}")).unwrap();
    let to = Target::new(Arc::new(endpoint.with(options)), 0);
    let stream = dial(
        &Tcp::new().options(TcpOptions::new().without_keepalive()),
        &to,
    )
    .await;
    assert!(!stream.nodelay().unwrap());
    assert_eq!(stream.local_addr().unwrap().ip().to_string(), "127.0.0.2");
    let socket = SockRef::from(&stream);
    assert_eq!(socket.tcp_keepalive_time().unwrap(), Duration::from_secs(7));
    assert_eq!(
        socket.tcp_keepalive_interval().unwrap(),
        Duration::from_secs(2)
    );
    assert_eq!(socket.tcp_keepalive_retries().unwrap(), 5);
    assert_eq!(
        socket.tcp_user_timeout().unwrap(),
        Some(Duration::from_secs(9))
    );
    assert_eq!(socket.device().unwrap().as_deref(), Some(&b"lo"[..]));
    // Linux doubles what is asked for.
    assert_eq!(socket.recv_buffer_size().unwrap(), 128 * 1024);
    assert_eq!(socket.send_buffer_size().unwrap(), 64 * 1024);
}

#[tokio::test]
async fn a_local_address_keeps_to_its_family_and_a_wrong_one_is_named() {
    let (address, _log) = peers::echo().await;
    let from =
        |local: &str| Tcp::new().options(TcpOptions::new().local_address(local.parse().unwrap()));
    let other: SocketAddr = "[2001:db8::1]:9".parse().unwrap();
    let both = move |_: &str, _: u16| Ok(vec![other, address]);
    let stream = dial(
        &from("127.0.0.1").resolver(both),
        &target("broker.example:1"),
    )
    .await;
    assert_eq!(stream.peer_addr().unwrap(), address);

    for (local, told) in [
        ("::1", "is of another family"),
        ("192.0.2.1", "cannot use the local address"),
    ] {
        let cx = DialContext::unbounded();
        let error = from(local).dial(&target(address), &cx).await.unwrap_err();
        let text = std::error::Error::source(&error).unwrap().to_string();
        assert!(text.contains(told), "{text}");
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn an_interface_that_does_not_exist_is_named() {
    let (address, _log) = peers::echo().await;
    let tcp = Tcp::new().options(TcpOptions::new().interface("nowhere0"));
    let error = tcp
        .dial(&target(address), &DialContext::unbounded())
        .await
        .unwrap_err();
    let text = std::error::Error::source(&error).unwrap().to_string();
    assert!(
        text.contains("cannot use the interface `nowhere0`"),
        "{text}"
    );
}

/// Makes sure that the echo server has seen this connection.
async fn greet(stream: &mut TcpStream) {
    stream.write_u8(b'x').await.unwrap();
    assert_eq!(stream.read_u8().await.unwrap(), b'x');
}

async fn dial(tcp: &Tcp, to: &Target) -> TcpStream {
    tcp.dial(to, &DialContext::unbounded()).await.unwrap()
}

fn target(authority: impl std::fmt::Display) -> Target {
    Target::parse(&format!("tcp://{authority}")).unwrap()
}
