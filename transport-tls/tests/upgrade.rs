//! TLS after a prelude in clear text: the conformance kit, and what is the upgrade's own.

#![allow(
    clippy::unwrap_used,
    reason = "test code outside of the test functions"
)]

mod peers;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use failover_core::dial::{Dial, DialContext};
use failover_core::directory::Target;
use failover_core::endpoint::Security;
use failover_core::failure::{Classify, Kind, Phase, Scope};
use failover_core::testing::conformance::{
    Violation, a_reconnect_sees_a_moved_server, concurrent_dials_are_independent,
    does_nothing_before_it_is_polled, errors_hold_no_secrets, errors_tell_their_causes, fails_as,
    leaves_nothing_when_cancelled, waits_for_a_mute_peer_until_the_deadline,
};
use peers::{Ca, Waits};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use transport_tcp::{Tcp, TokioClock};
use transport_tls::{
    MaybeTls, Offer, Pem, Prelude, PreludeError, Roots, TlsConfig, Upgrade, UpgradeError, read_line,
};

const SHORT: Duration = Duration::from_millis(100);
const ADDRESS: &str = "127.0.0.1";
const DEMANDS: &str = "INFO {\"tls_required\":true}\r\n";
const HAS_NONE: &str = "INFO {}\r\n";

/// As NATS begins: a line of the server decides.
#[derive(Clone)]
struct Info;

impl Prelude for Info {
    type Learned = String;
    type Error = PreludeError;

    async fn speak<S: AsyncRead + AsyncWrite + Unpin + Send>(
        &self,
        stream: &mut S,
        _to: &Target,
    ) -> Result<Offer<String>, PreludeError> {
        let info = read_line(stream, 4096).await?;
        Ok(if info.contains("\"tls_required\":true") {
            Offer::Tls(info)
        } else {
            Offer::Plain(info)
        })
    }
}

/// As mail begins: a greeting, a command, an answer.
struct StartTls;

impl Prelude for StartTls {
    type Learned = ();
    type Error = PreludeError;

    async fn speak<S: AsyncRead + AsyncWrite + Unpin + Send>(
        &self,
        stream: &mut S,
        _to: &Target,
    ) -> Result<Offer<()>, PreludeError> {
        read_line(stream, 512).await?;
        stream.write_all(b"STARTTLS\r\n").await?;
        let answer = read_line(stream, 512).await?;
        match answer.as_str() {
            "go ahead" => Ok(Offer::Tls(())),
            _ => Err(PreludeError::Refused(answer)),
        }
    }
}

#[tokio::test]
async fn nothing_happens_before_the_first_poll() -> Result<(), Violation> {
    let ca = Ca::new();
    let (address, log) = peers::prelude(DEMANDS, Waits::Not, Some(ca.server(ADDRESS))).await;
    let to = target(address);
    does_nothing_before_it_is_polled(&info(&ca), &to, &log, &TokioClock::new()).await
}

#[tokio::test]
async fn a_mute_server_is_left_to_the_deadline_in_each_phase() -> Result<(), Violation> {
    let (dialer, clock) = (info(&Ca::new()), TokioClock::new());
    let (mute, _log) = peers::mute().await;
    let to = target(mute);
    waits_for_a_mute_peer_until_the_deadline(Phase::Upgrade, SHORT, &dialer, &to, &clock).await?;
    let (greets, _log) = peers::greets(DEMANDS).await;
    let to = target(greets);
    waits_for_a_mute_peer_until_the_deadline(Phase::Tls, SHORT, &dialer, &to, &clock).await
}

#[tokio::test]
async fn a_cancelled_dial_leaves_nothing() -> Result<(), Violation> {
    let (ca, clock) = (Ca::new(), TokioClock::new());
    let (address, log) = peers::prelude(DEMANDS, Waits::Not, Some(ca.server(ADDRESS))).await;
    leaves_nothing_when_cancelled(SHORT, &info(&ca), &target(address), &log, &clock).await?;
    let (address, log) = peers::prelude(DEMANDS, Waits::ForALine, None).await;
    let dialer = Upgrade::new(Tcp::new(), StartTls, client(&ca));
    leaves_nothing_when_cancelled(SHORT, &dialer, &target(address), &log, &clock).await
}

#[tokio::test]
async fn each_way_to_fail_has_its_kind_and_shows_no_secret() -> Result<(), Violation> {
    let (dialer, clock) = (info(&Ca::new()), TokioClock::new());
    let nobody = peers::nobody().await;
    let (closing, _log) = peers::greets_in_part("INFO {").await;
    let (endless, _log) = peers::greets(Box::leak("x".repeat(5000).into_boxed_str())).await;
    let (plain, _log) = peers::greets(HAS_NONE).await;
    let (alert, _log) = peers::greets("\u{15}\u{3}\u{1}\0\u{2}\u{2}F").await;
    let (distrusted, _log) =
        peers::prelude(DEMANDS, Waits::Not, Some(Ca::new().server(ADDRESS))).await;
    for (address, kind) in [
        (nobody, Kind::Refused),
        (closing, Kind::Closed),
        (endless, Kind::Protocol),
        (plain, Kind::Tls),
        (alert, Kind::Tls),
        (distrusted, Kind::Tls),
    ] {
        fails_as(&[kind], &dialer, &target(address), &clock).await?;
        let to = Target::parse(&format!("nats://joe:hunter2@{address}/?token=hunter3")).unwrap();
        errors_hold_no_secrets(&["hunter2", "hunter3"], &dialer, &to, &clock).await?;
    }
    Ok(())
}

#[tokio::test]
async fn bytes_go_there_and_back_over_tls_and_what_was_learned_is_there() {
    let ca = Ca::new();
    let (address, _log) = peers::prelude(DEMANDS, Waits::Not, Some(ca.server(ADDRESS))).await;
    let cx = DialContext::unbounded();
    let mut stream = info(&ca).dial(&target(address), &cx).await.unwrap();
    assert_eq!(stream.learned(), DEMANDS.trim_end());
    greet(&mut stream).await;
    assert_eq!(cx.trail().security(), Some(Security::Tls));
    assert!(matches!(stream.into_parts().0, MaybeTls::Tls(_)));

    let greeting = "220 hello\r\n";
    let (address, _log) = peers::prelude(greeting, Waits::ForALine, Some(ca.server(ADDRESS))).await;
    let dialer = Upgrade::new(Tcp::new(), StartTls, client(&ca));
    let cx = DialContext::unbounded();
    greet(&mut dialer.dial(&target(address), &cx).await.unwrap()).await;
}

#[tokio::test]
async fn a_server_that_was_reached_over_tls_may_not_be_plain_later() {
    let ca = Ca::new();
    let was_tls = Arc::new(AtomicBool::new(true));
    let address = turncoat(&ca, Arc::clone(&was_tls)).await;
    let to = target(address);
    let dialer = info(&ca).or_plain();
    assert_eq!(dialer.security(&to), Security::Plain);
    greet(&mut dialer.dial(&to, &DialContext::unbounded()).await.unwrap()).await;
    assert_eq!(dialer.security(&to), Security::Tls);

    was_tls.store(false, Ordering::SeqCst);
    let error = dialer
        .clone()
        .dial(&to, &DialContext::unbounded())
        .await
        .unwrap_err();
    assert!(matches!(error, UpgradeError::Downgrade { .. }), "{error:?}");
    assert_eq!(
        (error.failure().kind, error.failure().scope),
        (Kind::Tls, Scope::Endpoint)
    );

    // A dialer that has never seen TLS there knows no better.
    let cx = DialContext::unbounded();
    let mut plain = info(&ca).or_plain().dial(&to, &cx).await.unwrap();
    greet(&mut plain).await;
    assert_eq!(cx.trail().security(), Some(Security::Plain));
}

#[tokio::test]
async fn a_reconnect_goes_where_the_name_leads_now_and_dials_do_not_disturb_each_other()
-> Result<(), Violation> {
    let (ca, clock) = (Ca::new(), TokioClock::new());
    let server = || peers::prelude(DEMANDS, Waits::Not, Some(ca.server("broker.example")));
    let ((old, before), (new, after)) = (server().await, server().await);
    let moved = Arc::new(AtomicBool::new(false));
    let is_moved = Arc::clone(&moved);
    let at = move |_: &str, _: u16| {
        Ok(vec![if is_moved.load(Ordering::SeqCst) {
            new
        } else {
            old
        }])
    };
    let dialer = Upgrade::new(Tcp::new().resolver(at), Info, client(&ca));
    let to = Target::parse("nats://broker.example:1").unwrap();
    let moves = || moved.store(true, Ordering::SeqCst);
    a_reconnect_sees_a_moved_server(&dialer, &to, (&before, &after), moves, &clock).await?;

    let (good, _log) = peers::prelude(DEMANDS, Waits::Not, Some(ca.server(ADDRESS))).await;
    let (mute, _log) = peers::mute().await;
    concurrent_dials_are_independent(&info(&ca), &target(good), &target(mute), &clock).await
}

#[tokio::test]
async fn errors_tell_what_is_behind_them_and_a_prelude_that_drips_is_left_to_the_deadline()
-> Result<(), Violation> {
    let (dialer, clock) = (info(&Ca::new()), TokioClock::new());
    let (distrusted, _log) =
        peers::prelude(DEMANDS, Waits::Not, Some(Ca::new().server(ADDRESS))).await;
    for failing in [peers::nobody().await, distrusted] {
        errors_tell_their_causes(&dialer, &target(failing), &clock).await?;
    }
    let (drips, _log) = peers::listen(|mut stream| async move {
        while stream.write_all(b"x").await.is_ok() {
            tokio::time::sleep(SHORT / 5).await;
        }
    })
    .await;
    let to = target(drips);
    waits_for_a_mute_peer_until_the_deadline(Phase::Upgrade, SHORT, &dialer, &to, &clock).await
}

/// A server that demands TLS for as long as this is so, and then has none.
async fn turncoat(ca: &Ca, demands: Arc<AtomicBool>) -> SocketAddr {
    let (secure, _log) = peers::prelude(DEMANDS, Waits::Not, Some(ca.server(ADDRESS))).await;
    let (plain, _log) = peers::prelude(HAS_NONE, Waits::Not, None).await;
    let (address, _log) = peers::listen(move |mut client| {
        let behind = if demands.load(Ordering::SeqCst) {
            secure
        } else {
            plain
        };
        async move {
            let mut server = tokio::net::TcpStream::connect(behind).await.unwrap();
            let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
        }
    })
    .await;
    address
}

async fn greet(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) {
    stream.write_all(b"ping").await.unwrap();
    stream.flush().await.unwrap();
    let mut read = [0; 4];
    stream.read_exact(&mut read).await.unwrap();
    assert_eq!(&read, b"ping");
}

fn info(ca: &Ca) -> Upgrade<Tcp, Info> {
    Upgrade::new(Tcp::new(), Info, client(ca))
}

fn client(ca: &Ca) -> transport_tls::TlsClient {
    let roots = Roots::Only(Pem::Bytes(ca.pem()));
    TlsConfig::new().roots(roots).client().unwrap()
}

fn target(address: SocketAddr) -> Target {
    Target::parse(&format!("nats://{address}")).unwrap()
}
