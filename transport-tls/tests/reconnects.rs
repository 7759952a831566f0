//! What a reconnect owes to the dial before it: the name anew whatever failed, and never less than TLS.

#![allow(
    clippy::unwrap_used,
    reason = "test code outside of the test functions"
)]

mod peers;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use failover_core::dial::{Dial, DialContext};
use failover_core::directory::{Endpoint, Target};
use failover_core::drive::Connector;
use failover_core::failure::{Classify, Kind, Phase, Scope};
use failover_core::policy::{Backoff, Pace, Policy};
use peers::Ca;
use rcgen::date_time_ymd;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use transport_tcp::{Tcp, TokioClock};
use transport_tls::{Pem, Roots, Tls, TlsConfig, TlsError};

const NAME: &str = "broker.example";

#[tokio::test]
async fn the_next_dial_goes_where_the_name_leads_now_whatever_phase_failed_before() {
    let ca = Ca::new();
    let mut expired = peers::certificate_for(NAME);
    expired.not_after = date_time_ymd(2020, 1, 1);
    let (good, _log) = peers::echo(ca.server(NAME)).await;
    let (expired, _log) = peers::echo(ca.server_from(expired)).await;
    let (resets, mute) = (peers::resets().await.0, peers::mute().await.0);
    for (before, phase) in [
        (peers::nobody().await, Phase::Connect),
        (mute, Phase::Tls),
        (resets, Phase::Tls),
        (expired, Phase::Tls),
    ] {
        let now = Arc::new(Mutex::new(before));
        let at = Arc::clone(&now);
        let tcp = Tcp::new().resolver(move |_: &str, _: u16| Ok(vec![*at.lock().unwrap()]));
        let (tls, cx) = (trusting(&ca, tcp), DialContext::unbounded());
        let to = Target::parse(&format!("tls://{NAME}:1")).unwrap();
        let failed = timeout(Duration::from_millis(200), tls.dial(&to, &cx)).await;
        assert!(!matches!(failed, Ok(Ok(_))), "{before}");
        assert_eq!(cx.trail().phase(), Some(phase));
        *now.lock().unwrap() = good;
        tls.dial(&to, &DialContext::unbounded()).await.unwrap();
    }
}

#[tokio::test]
async fn of_a_name_the_address_whose_handshake_fails_does_not_keep_us_from_the_good_one() {
    let ca = Ca::new();
    let (good, _log) = peers::echo(ca.server(NAME)).await;
    for bad in [peers::mute().await.0, peers::resets().await.0] {
        let tcp = Tcp::new().resolver(move |_: &str, _: u16| Ok(vec![bad, good]));
        let pace = Pace::new(Backoff::Constant(Duration::from_millis(1)));
        let policy = Policy::builder()
            .pace(pace)
            .deadline(Duration::from_secs(1));
        let mut connector = Connector::builder(trusting(&ca, tcp), TokioClock::new())
            .endpoint(Endpoint::parse(&format!("tls://{NAME}:1")).unwrap())
            .policy(policy.build().unwrap())
            .build()
            .unwrap();
        let connected = timeout(Duration::from_secs(5), connector.connect()).await;
        let link = connected.unwrap().unwrap();
        assert_eq!(link.conn.get_ref().0.peer_addr().unwrap(), good);
        assert_eq!(connector.handle().snapshot().counters.dials, 2);
    }
}

#[tokio::test]
async fn a_name_that_is_spelled_out_to_its_last_dot_is_the_name_in_the_certificate() {
    let ca = Ca::new();
    let (good, _log) = peers::echo(ca.server(NAME)).await;
    let tls = trusting(
        &ca,
        Tcp::new().resolver(move |_: &str, _: u16| Ok(vec![good])),
    );
    let to = Target::parse(&format!("tls://{NAME}.:1")).unwrap();
    let stream = tls.dial(&to, &DialContext::unbounded()).await.unwrap();
    assert_eq!(stream.session().certificates[0].names, [NAME]);
}

#[tokio::test]
async fn a_server_that_spoke_tls_and_is_plain_now_hears_nothing_in_clear() {
    let ca = Ca::new();
    let (address, is_plain, heard) = turncoat(&ca).await;
    let tls = trusting(&ca, Tcp::new());
    let to = Target::parse(&format!("tls://{address}")).unwrap();
    let mut stream = tls.dial(&to, &DialContext::unbounded()).await.unwrap();
    stream.write_all(b"sesame").await.unwrap();
    stream.read_u8().await.unwrap();

    is_plain.store(true, Ordering::SeqCst);
    let error = tls.dial(&to, &DialContext::unbounded()).await.unwrap_err();
    assert!(matches!(error, TlsError::NotTls { .. }), "{error:?}");
    let failure = error.failure();
    assert_eq!((failure.kind, failure.scope), (Kind::Tls, Scope::Endpoint));
    let heard = heard.lock().unwrap().clone();
    // A handshake record, as any first dial begins.
    assert_eq!(heard.first(), Some(&0x16), "{heard:?}");
}

/// A server that speaks TLS until the flag is set, and then greets in clear; and what it heard then.
async fn turncoat(ca: &Ca) -> (SocketAddr, Arc<AtomicBool>, Arc<Mutex<Vec<u8>>>) {
    let acceptor = TlsAcceptor::from(Arc::new(ca.server("127.0.0.1")));
    let is_plain = Arc::new(AtomicBool::new(false));
    let heard = Arc::new(Mutex::new(Vec::new()));
    let (plain, noted) = (Arc::clone(&is_plain), Arc::clone(&heard));
    let (address, _log) = peers::listen(move |mut stream| {
        let (acceptor, noted) = (acceptor.clone(), Arc::clone(&noted));
        let plain = plain.load(Ordering::SeqCst);
        async move {
            if !plain {
                let mut stream = acceptor.accept(stream).await.unwrap();
                stream.write_all(b"x").await.unwrap();
                stream.flush().await.unwrap();
                let _ = stream.read(&mut [0; 64]).await;
                return;
            }
            let mut first = vec![0; 1024];
            let read = stream.read(&mut first).await.unwrap_or(0);
            noted.lock().unwrap().extend(&first[..read]);
            let _ = stream.write_all(b"INFO {}\r\n").await;
            while let Ok(1..) = stream.read(&mut first).await {}
        }
    })
    .await;
    (address, is_plain, heard)
}

fn trusting(ca: &Ca, tcp: Tcp) -> Tls<Tcp> {
    let config = TlsConfig::new().roots(Roots::Only(Pem::Bytes(ca.pem())));
    Tls::new(tcp, config.client().unwrap())
}
