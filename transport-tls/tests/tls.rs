//! The TLS layer over real sockets, against servers with certificates made on the spot.

#![allow(
    clippy::unwrap_used,
    reason = "test code outside of the test functions"
)]

mod peers;

use std::error::Error;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use failover_core::dial::{Dial, DialContext};
use failover_core::directory::{Endpoint, Target};
use failover_core::endpoint::Security;
use failover_core::failure::{Classify, Failure, Kind, Phase, Scope};
use failover_core::testing::conformance::{
    Violation, does_nothing_before_it_is_polled, errors_hold_no_secrets, fails_as,
    leaves_nothing_when_cancelled, waits_for_a_mute_peer_until_the_deadline,
};
use peers::Ca;
use rcgen::{BasicConstraints, DnType, ExtendedKeyUsagePurpose, IsCa, date_time_ymd};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use transport_tcp::{ByteStream, Tcp, TcpError, TokioClock};
use transport_tls::rustls::{HandshakeKind, ServerConfig};
use transport_tls::{
    Alpn, CertificateCheck, Pem, Roots, ServerName, SpkiPin, Tls, TlsConfig, TlsError, TlsStream,
};

type DialResult = Result<TlsStream<tokio::net::TcpStream>, TlsError<TcpError>>;

const SHORT: Duration = Duration::from_millis(100);
const ADDRESS: &str = "127.0.0.1";

// The promises of `Dial`.

#[tokio::test]
async fn nothing_happens_before_the_first_poll() -> Result<(), Violation> {
    let (tls, to, log) = echo().await;
    does_nothing_before_it_is_polled(&tls, &to, &log, &TokioClock::new()).await
}

#[tokio::test]
async fn a_refused_target_fails_as_refused() -> Result<(), Violation> {
    let nobody = target(peers::nobody().await);
    fails_as(
        &[Kind::Refused],
        &distrustful(),
        &nobody,
        &TokioClock::new(),
    )
    .await
}

#[tokio::test]
async fn a_reset_in_the_handshake_fails_as_reset() -> Result<(), Violation> {
    let (address, _log) = peers::resets().await;
    let to = target(address);
    fails_as(&[Kind::Reset], &distrustful(), &to, &TokioClock::new()).await
}

#[tokio::test]
async fn a_close_in_the_handshake_fails_as_closed() -> Result<(), Violation> {
    let (address, _log) = peers::closes().await;
    let to = target(address);
    fails_as(&[Kind::Closed], &distrustful(), &to, &TokioClock::new()).await
}

#[tokio::test]
async fn a_name_that_cannot_exist_fails_as_resolve() -> Result<(), Violation> {
    // The system's resolver knows this without asking a server.
    let endpoint = Endpoint::parse("tls://empty..label:1").unwrap();
    let name: ServerName = "broker.example".parse().unwrap();
    let to = Target::new(Arc::new(endpoint.with(name)), 0);
    fails_as(&[Kind::Resolve], &distrustful(), &to, &TokioClock::new()).await
}

#[tokio::test]
async fn a_mute_peer_is_left_to_the_deadline() -> Result<(), Violation> {
    let (address, _log) = peers::mute().await;
    let (to, clock) = (target(address), TokioClock::new());
    waits_for_a_mute_peer_until_the_deadline(Phase::Tls, SHORT, &distrustful(), &to, &clock).await
}

#[tokio::test]
async fn a_cancelled_dial_leaves_nothing() -> Result<(), Violation> {
    let (tls, to, log) = echo().await;
    leaves_nothing_when_cancelled(SHORT, &tls, &to, &log, &TokioClock::new()).await?;
    let (address, log) = peers::mute().await;
    let mute = target(address);
    leaves_nothing_when_cancelled(SHORT, &tls, &mute, &log, &TokioClock::new()).await
}

#[tokio::test]
async fn no_error_holds_secrets() -> Result<(), Violation> {
    let (distrusted, _log) = peers::echo(Ca::new().server(ADDRESS)).await;
    let (plain, _log) = peers::greets("INFO {}\r\n").await;
    let (closing, _log) = peers::closes().await;
    for address in [peers::nobody().await, distrusted, plain, closing] {
        let url = format!("tls://joe:hunter2@{address}/?token=hunter3");
        let to = Target::parse(&url).unwrap();
        let secrets = ["hunter2", "hunter3"];
        errors_hold_no_secrets(&secrets, &distrustful(), &to, &TokioClock::new()).await?;
    }
    Ok(())
}

// What works.

#[tokio::test]
async fn bytes_go_there_and_back_also_through_a_boxed_stream() {
    let (tls, to, _log) = echo().await;
    assert_eq!(tls.security(&to), Security::Tls);
    let cx = DialContext::unbounded();
    let boxed = tls.map(ByteStream::new).boxed();
    let mut stream = boxed.dial(&to, &cx).await.unwrap();
    stream.write_all(b"ping").await.unwrap();
    stream.flush().await.unwrap();
    let mut read = [0; 4];
    stream.read_exact(&mut read).await.unwrap();
    assert_eq!(&read, b"ping");
    assert_eq!(boxed.security(&to), Security::Tls);
    assert_eq!(cx.trail().phase(), Some(Phase::Tls));
}

#[tokio::test]
async fn the_platforms_authorities_can_be_joined_by_others() {
    let ca = Ca::new();
    let (address, _log) = peers::echo(ca.server(ADDRESS)).await;
    let tls = with_roots(Roots::PlatformAnd(Pem::Bytes(ca.pem())));
    assert!(dial(&tls, &target(address)).await.is_ok());
}

#[tokio::test]
async fn authorities_are_read_from_a_file() {
    let ca = Ca::new();
    let (address, _log) = peers::echo(ca.server(ADDRESS)).await;
    let file = scratch("ca.pem", &ca.pem());
    let tls = with_roots(Roots::Only(Pem::File(file)));
    assert!(dial(&tls, &target(address)).await.is_ok());
}

#[tokio::test]
async fn the_name_in_the_certificate_may_be_an_option_of_the_endpoint() {
    let ca = Ca::new();
    let (address, _log) = peers::echo(ca.server("broker.example")).await;
    let name: ServerName = "broker.example".parse().unwrap();
    let endpoint = Endpoint::parse(&format!("tls://{address}")).unwrap();
    let to = Target::new(Arc::new(endpoint.with(name)), 0);
    assert!(dial(&trusting(&ca), &to).await.is_ok());
}

#[tokio::test]
async fn a_second_dial_resumes_the_session_of_the_first() {
    let (tls, to, _log) = echo().await;
    let mut first = dial(&tls, &to).await.unwrap();
    first.write_all(b"x").await.unwrap();
    // The ticket of TLS 1.3 comes before the first byte of data.
    first.read_u8().await.unwrap();
    let second = dial(&tls, &to).await.unwrap();
    let kind = |stream: &TlsStream<_>| stream.get_ref().1.handshake_kind();
    assert_eq!(kind(&first), Some(HandshakeKind::Full));
    assert_eq!(kind(&second), Some(HandshakeKind::Resumed));
}

#[tokio::test]
async fn the_dial_can_be_spawned() {
    let (tls, to, _log) = echo().await;
    let dial = async move { tls.dial(&to, &DialContext::unbounded()).await.is_ok() };
    assert!(tokio::spawn(dial).await.unwrap());
}

// What is wrong with the server.

#[tokio::test]
async fn a_certificate_of_an_unknown_authority_is_refused() {
    let error = refused_by(&Ca::new(), Ca::new().server(ADDRESS)).await;
    assert_check(&error, &CertificateCheck::UnknownIssuer);
    let text = error.to_string();
    let told = "was refused: no trusted authority has signed it (of `rcgen self signed cert`, issued by `authority ";
    assert!(text.contains(told), "{text}");
    assert!(
        text.contains("`, valid from 1975-01-01 until 4096-01-01)"),
        "{text}"
    );
}

#[tokio::test]
async fn a_certificate_of_another_authority_with_the_same_name_is_refused() {
    let (old, new) = (Ca::named("the authority"), Ca::named("the authority"));
    let error = refused_by(&old, new.server(ADDRESS)).await;
    assert_check(&error, &CertificateCheck::Signature);
}

#[tokio::test]
async fn a_self_signed_certificate_is_refused() {
    let error = refused_by(&Ca::new(), peers::self_signed(ADDRESS)).await;
    assert!(matches!(error, TlsError::Certificate { .. }), "{error:?}");
    assert_benches(&error);
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused_and_its_names_are_told() {
    let ca = Ca::new();
    let error = refused_by(&ca, ca.server("other.example")).await;
    assert!(
        error
            .to_string()
            .contains("it is for other names: other.example (of `")
    );
    assert_benches(&error);
}

#[tokio::test]
async fn an_expired_certificate_is_refused_with_its_date() {
    let ca = Ca::new();
    let mut params = peers::certificate_for(ADDRESS);
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2020, 2, 29);
    let error = refused_by(&ca, ca.server_from(params)).await;
    assert!(
        error
            .to_string()
            .contains("was refused: it expired on 2020-02-29 (of `")
    );
    assert_benches(&error);
}

#[tokio::test]
async fn a_certificate_of_the_future_is_refused_with_its_date() {
    let ca = Ca::new();
    let mut params = peers::certificate_for(ADDRESS);
    params.not_before = date_time_ymd(2999, 12, 31);
    params.not_after = date_time_ymd(3000, 1, 1);
    let error = refused_by(&ca, ca.server_from(params)).await;
    assert!(
        error
            .to_string()
            .contains("it is not valid before 2999-12-31 (of `")
    );
    assert_benches(&error);
}

#[tokio::test]
async fn a_client_certificate_is_no_servers() {
    let ca = Ca::new();
    let client_only = || {
        let mut params = peers::certificate_for(ADDRESS);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        ca.server_from(params)
    };
    assert_check(
        &refused_by(&ca, client_only()).await,
        &CertificateCheck::Purpose,
    );

    let (address, _log) = peers::echo(client_only()).await;
    let platform = with_roots(Roots::PlatformAnd(Pem::Bytes(ca.pem())));
    let error = dial(&platform, &target(address)).await.unwrap_err();
    assert!(matches!(error, TlsError::Certificate { .. }), "{error:?}");
    assert_benches(&error);
}

#[tokio::test]
async fn a_plain_text_server_is_recognised() {
    for banner in [
        "INFO {\"server_id\":\"x\"}\r\n",
        "HTTP/1.1 400 Bad Request\r\n\r\n",
        "SSH-2.0-x\r\n",
        "-ERR\r\n",
    ] {
        let (address, _log) = peers::greets(banner).await;
        let error = dial(&distrustful(), &target(address)).await.unwrap_err();
        assert!(
            matches!(error, TlsError::NotTls { .. }),
            "{banner}: {error:?}"
        );
        assert!(error.to_string().contains("does not speak TLS"));
        assert_benches(&error);
    }
}

#[tokio::test]
async fn an_end_in_the_handshake_is_transient_and_shows_its_cause() {
    let (reset, _log) = peers::resets().await;
    let error = dial(&distrustful(), &target(reset)).await.unwrap_err();
    assert_eq!(error.failure(), Failure::new(Kind::Reset).at(Phase::Tls));
    assert!(error.source().unwrap().to_string().contains("reset"));

    let (closed, _log) = peers::closes().await;
    let error = dial(&distrustful(), &target(closed)).await.unwrap_err();
    assert_eq!(error.failure(), Failure::new(Kind::Closed).at(Phase::Tls));
    assert!(error.source().unwrap().to_string().contains("eof"));
}

#[tokio::test]
async fn a_failure_below_keeps_its_words_and_its_class() {
    let nobody = target(peers::nobody().await);
    let cx = DialContext::unbounded();
    let below = Tcp::new().dial(&nobody, &cx).await.unwrap_err();
    let above = dial(&distrustful(), &nobody).await.unwrap_err();
    assert_eq!(above.to_string(), below.to_string());
    assert_eq!(above.failure(), below.failure());
    assert_eq!(above.failure().phase, Some(Phase::Connect));
}

#[tokio::test]
async fn of_a_chain_the_certificate_that_failed_is_told() {
    let root = Ca::new();
    let mut params = peers::certificate_for("middle.example");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
        .distinguished_name
        .push(DnType::CommonName, "the middle");
    (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2020, 2, 29));
    let server = root.server_below(params, ADDRESS);
    let text = refused_by(&root, server).await.to_string();
    assert!(
        text.contains("it expired on 2020-02-29 (of `the middle`"),
        "{text}"
    );
}

#[tokio::test]
async fn a_revoked_certificate_is_refused() {
    let ca = Ca::new();
    let server = |serial: u64| {
        let mut params = peers::certificate_for(ADDRESS);
        params.serial_number = Some(serial.into());
        ca.server_from(params)
    };
    let roots = Roots::Only(Pem::Bytes(ca.pem()));
    let config = TlsConfig::new()
        .roots(roots)
        .revocation_lists(Pem::Bytes(ca.revocations(&[7])));
    let tls = Tls::new(Tcp::new(), config.client().unwrap());
    let (fine, _log) = peers::echo(server(8)).await;
    assert!(dial(&tls, &target(fine)).await.is_ok());
    let (revoked, _log) = peers::echo(server(7)).await;
    let error = dial(&tls, &target(revoked)).await.unwrap_err();
    assert_check(&error, &CertificateCheck::Revoked);
}

#[tokio::test]
async fn only_a_pinned_key_is_accepted_and_the_other_is_told() {
    let ca = Ca::new();
    let (address, _log) = peers::echo(ca.server(ADDRESS)).await;
    let pinning = |pins: &[SpkiPin]| {
        let config = TlsConfig::new().roots(Roots::Only(Pem::Bytes(ca.pem())));
        Tls::new(
            Tcp::new(),
            config.pins(pins.iter().copied()).client().unwrap(),
        )
    };
    let wrong = SpkiPin::from_digest([7; 32]);
    let error = dial(&pinning(&[wrong]), &target(address))
        .await
        .unwrap_err();
    assert_check(&error, &CertificateCheck::Pin);
    // The error tells the pin that would have fitted.
    let told = error.source().unwrap().to_string() + &format!("{:?}", error.source());
    let found = told.split("sha256/").nth(1).unwrap().get(..44).unwrap();
    let right: SpkiPin = format!("sha256/{found}").parse().unwrap();
    assert!(
        dial(&pinning(&[wrong, right]), &target(address))
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn an_endpoint_may_have_protocols_or_a_client_of_its_own() {
    let ca = Ca::new();
    let mut server = ca.server(ADDRESS);
    server.alpn_protocols = vec![b"mqtt".to_vec()];
    let (address, _log) = peers::echo(server).await;
    let endpoint = || Endpoint::parse(&format!("tls://{address}")).unwrap();
    let own = Target::new(Arc::new(endpoint().with(Alpn::new(["mqtt"]).unwrap())), 0);
    let agreed = dial(&trusting(&ca), &own).await.unwrap();
    assert_eq!(agreed.get_ref().1.alpn_protocol(), Some(&b"mqtt"[..]));

    let client = TlsConfig::new()
        .roots(Roots::Only(Pem::Bytes(ca.pem())))
        .client()
        .unwrap();
    let own = Target::new(Arc::new(endpoint().with(client)), 0);
    assert!(dial(&distrustful(), &own).await.is_ok());
}

#[tokio::test]
async fn a_handshake_that_drips_is_left_to_the_deadline() -> Result<(), Violation> {
    let (address, _log) = peers::drips().await;
    let (to, clock) = (target(address), TokioClock::new());
    waits_for_a_mute_peer_until_the_deadline(Phase::Tls, SHORT, &distrustful(), &to, &clock).await
}

#[cfg(all(feature = "ring", feature = "aws-lc-rs"))]
#[tokio::test]
async fn each_provider_can_be_dialled_with() {
    use transport_tls::Provider;
    let ca = Ca::new();
    let (address, _log) = peers::echo(ca.server(ADDRESS)).await;
    for provider in [Provider::Ring, Provider::AwsLcRs] {
        let config = TlsConfig::new().roots(Roots::Only(Pem::Bytes(ca.pem())));
        let tls = Tls::new(Tcp::new(), config.provider(provider).client().unwrap());
        assert!(dial(&tls, &target(address)).await.is_ok());
    }
}

#[cfg(feature = "webpki-roots")]
#[tokio::test]
async fn compiled_in_authorities_can_be_joined_by_others() {
    let ca = Ca::new();
    let (address, _log) = peers::echo(ca.server(ADDRESS)).await;
    let error = dial(&with_roots(Roots::WebPki), &target(address))
        .await
        .unwrap_err();
    assert_check(&error, &CertificateCheck::UnknownIssuer);
    let both = with_roots(Roots::WebPkiAnd(Pem::Bytes(ca.pem())));
    assert!(dial(&both, &target(address)).await.is_ok());
}

#[tokio::test]
async fn revocation_lists_need_roots_that_take_them() {
    let ca = Ca::new();
    let crls = || Pem::Bytes(ca.revocations(&[7]));
    let error = TlsConfig::new()
        .revocation_lists(crls())
        .client()
        .unwrap_err();
    assert!(error.to_string().contains("roots of one's own"), "{error}");
    let none = TlsConfig::new().roots(Roots::Only(Pem::Bytes(ca.pem())));
    let error = none
        .revocation_lists(Pem::Bytes(ca.pem()))
        .client()
        .unwrap_err();
    assert!(
        error.to_string().contains("the revocation list given"),
        "{error}"
    );
}

#[tokio::test]
async fn an_end_without_close_notify_is_told_apart_from_a_clean_end() {
    let ca = Ca::new();
    let (address, _log) = peers::truncates(ca.server(ADDRESS)).await;
    let mut stream = dial(&trusting(&ca), &target(address)).await.unwrap();
    let mut all = Vec::new();
    let error = stream.read_to_end(&mut all).await.unwrap_err();
    assert_eq!(all, b"half");
    assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof);
    assert_eq!(Failure::from_io(&error).kind, Kind::Closed);

    let (address, _log) = peers::greets_and_ends(ca.server(ADDRESS)).await;
    let mut stream = dial(&trusting(&ca), &target(address)).await.unwrap();
    assert_eq!(stream.read_to_end(&mut all).await.unwrap(), 4);
}

// What is wrong with the configuration.

/// The body of a child process on a machine without a store of authorities; see the next test.
#[tokio::test]
#[ignore = "run by the_platforms_store_is_missed_only_by_who_needs_it, with another environment"]
async fn child_without_authorities() {
    let ca = Ca::new();
    let (address, _log) = peers::echo(ca.server(ADDRESS)).await;
    let tls = with_roots(Roots::Platform);
    assert!(tls.check(&target(address)).is_ok());
    let error = dial(&tls, &target(address)).await.unwrap_err();
    assert!(matches!(error, TlsError::Config(_)), "{error:?}");
    assert_eq!(error.failure().kind, Kind::Tls);
}

#[cfg(target_os = "linux")]
#[test]
fn the_platforms_store_is_missed_only_by_who_needs_it() {
    run_with_store("child_without_authorities", Path::new("/does/not/exist"));
}

/// The body of a child process whose store is the file in its environment; see the next test.
#[tokio::test]
#[ignore = "run by an_authority_that_comes_into_the_platforms_store_is_trusted_at_the_next_dial"]
async fn child_whose_store_is_renewed() {
    // Never that of whoever runs all ignored tests.
    let store = std::env::var_os("FAILOVER_TEST_STORE").unwrap();
    assert_eq!(std::env::var_os("SSL_CERT_FILE").as_ref(), Some(&store));
    let ca = Ca::new();
    std::fs::write(&store, Ca::new().pem()).unwrap();
    let (address, _log) = peers::echo(ca.server(ADDRESS)).await;
    let tls = with_roots(Roots::Platform);
    let error = dial(&tls, &target(address)).await.unwrap_err();
    let check = CertificateCheck::UnknownIssuer;
    assert!(
        matches!(&error, TlsError::Certificate { check: found, .. } if *found == check),
        "{error:?}"
    );
    std::fs::write(&store, [ca.pem(), Ca::new().pem()].concat()).unwrap();
    dial(&tls, &target(address)).await.unwrap();
}

#[cfg(target_os = "linux")]
#[test]
fn an_authority_that_comes_into_the_platforms_store_is_trusted_at_the_next_dial() {
    let store = std::env::temp_dir().join(format!("store-{}.pem", std::process::id()));
    run_with_store("child_whose_store_is_renewed", &store);
    std::fs::remove_file(store).unwrap();
}

/// Runs this ignored test in a process for which this file is the platform's store.
#[cfg(target_os = "linux")]
fn run_with_store(test: &str, store: &Path) {
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", test])
        .env("SSL_CERT_FILE", store)
        .env("FAILOVER_TEST_STORE", store)
        .env("SSL_CERT_DIR", "/does/not/exist")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(
        child.status.success() && said.contains("1 passed"),
        "{said}"
    );
}

#[test]
fn a_target_without_a_name_or_port_is_refused_before_any_dial() {
    let refused = |url: &str| {
        distrustful()
            .check(&Target::parse(url).unwrap())
            .unwrap_err()
    };
    assert!(matches!(
        refused("tls://a.example"),
        TlsError::Inner(TcpError::NoPort { .. })
    ));
    let error = refused("tls://bücher.example:1");
    assert_eq!(error.failure().scope, Scope::Endpoint);
    assert_eq!(
        error.source().unwrap().to_string(),
        "`bücher.example` is neither a DNS name in ASCII (`xn--…` for others) nor an IP address"
    );
    for fine in [
        "tls://a:1",
        "tls://[::1]:1",
        "tls://[fe80::1%eth0]:1",
        "wss://a",
    ] {
        assert!(
            distrustful().check(&Target::parse(fine).unwrap()).is_ok(),
            "{fine}"
        );
    }
}

#[test]
fn a_ca_file_that_is_none_is_named_with_what_it_is_instead() {
    for (name, content, instead) in [
        ("empty.pem", &b" \n"[..], "it is empty"),
        ("ca.der", &[0x30, 0x82, 1, 2], "it looks like DER"),
        ("notes.txt", b"hello", "it is something else"),
        (
            "key.pem",
            b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
            "it holds a private key",
        ),
        (
            "half.pem",
            b"-----BEGIN CERTIFICATE-----\nAAAA\n",
            "broken PEM",
        ),
        (
            "odd.pem",
            b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            "certificate 1 in",
        ),
    ] {
        let file = scratch(name, content);
        for roots in [Roots::Only, Roots::PlatformAnd] {
            let config = TlsConfig::new().roots(roots(Pem::File(file.clone())));
            let text = config.build().unwrap_err().to_string();
            assert!(text.contains(name), "{text}");
            assert!(text.contains(instead), "{text}");
        }
    }
    let missing = Roots::Only(Pem::File("/does/not/exist.pem".into()));
    let error = TlsConfig::new().roots(missing).build().unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot read the CA file `/does/not/exist.pem`"
    );
    assert!(error.source().is_some());
}

#[test]
fn a_protocol_name_has_a_length_that_can_be_sent() {
    let build = |name: String| {
        let only = Roots::Only(Pem::Bytes(Ca::new().pem()));
        TlsConfig::new().roots(only).alpn([name]).build()
    };
    assert!(build(String::new()).is_err());
    assert!(build("a".repeat(255)).is_ok());
    assert!(build("a".repeat(256)).is_err());
}

#[test]
fn a_configuration_shows_no_key_that_slipped_into_it() {
    let config = TlsConfig::new().roots(Roots::Only(Pem::Bytes(b"hunter2".to_vec())));
    assert!(!format!("{config:?} {:?}", config.build().unwrap_err()).contains("hunter2"));
}

/// A server, a dialer that trusts it, and the log of its connections.
async fn echo() -> (
    Tls<Tcp>,
    Target,
    failover_core::testing::conformance::PeerLog,
) {
    let ca = Ca::new();
    let (address, log) = peers::echo(ca.server(ADDRESS)).await;
    (trusting(&ca), target(address), log)
}

/// The error of a dial that trusts this authority, to a server with this configuration.
async fn refused_by(trusted: &Ca, server: ServerConfig) -> TlsError<TcpError> {
    let (address, _log) = peers::echo(server).await;
    dial(&trusting(trusted), &target(address))
        .await
        .unwrap_err()
}

/// A dialer that trusts nobody in these tests.
fn distrustful() -> Tls<Tcp> {
    trusting(&Ca::new())
}

fn trusting(ca: &Ca) -> Tls<Tcp> {
    with_roots(Roots::Only(Pem::Bytes(ca.pem())))
}

fn with_roots(roots: Roots) -> Tls<Tcp> {
    Tls::new(Tcp::new(), TlsConfig::new().roots(roots).client().unwrap())
}

async fn dial(tls: &Tls<Tcp>, to: &Target) -> DialResult {
    tls.dial(to, &DialContext::unbounded()).await
}

fn target(address: SocketAddr) -> Target {
    Target::parse(&format!("tls://{address}")).unwrap()
}

/// A file of this process alone.
fn scratch(name: &str, content: &[u8]) -> PathBuf {
    let own = Path::new(env!("CARGO_TARGET_TMPDIR")).join(std::process::id().to_string());
    std::fs::create_dir_all(&own).unwrap();
    let path = own.join(name);
    std::fs::write(&path, content).unwrap();
    path
}

#[track_caller]
fn assert_check(error: &TlsError<TcpError>, expected: &CertificateCheck) {
    let TlsError::Certificate { check, .. } = error else {
        unreachable!("{error:?}");
    };
    assert_eq!(check, expected);
    assert_benches(error);
}

/// The endpoint's own fault, in the TLS phase, with a cause beneath.
#[track_caller]
fn assert_benches(error: &TlsError<TcpError>) {
    let expected = Failure::new(Kind::Tls)
        .scope(Scope::Endpoint)
        .at(Phase::Tls);
    assert_eq!(error.failure(), expected);
    assert!(error.source().is_some());
}
