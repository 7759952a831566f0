//! The TCP dialer through proxies: the conformance kit again, and what is the proxies' own.

#![allow(
    clippy::unwrap_used,
    reason = "test code outside of the test functions"
)]

mod peers;

use std::sync::Arc;
use std::time::Duration;

use failover_core::dial::{Dial, DialContext};
use failover_core::directory::{Endpoint, Target};
use failover_core::failure::{Classify, Failure, Kind, Phase, Scope};
use failover_core::testing::conformance::{
    PeerLog, Violation, a_reconnect_sees_a_moved_server, concurrent_dials_are_independent,
    does_nothing_before_it_is_polled, errors_hold_no_secrets, errors_tell_their_causes, fails_as,
    leaves_nothing_when_cancelled, waits_for_a_mute_peer_until_the_deadline,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use transport_tcp::{Proxies, Proxy, Tcp, TcpError, TokioClock};

const SHORT: Duration = Duration::from_millis(100);

/// A dialer through a proxy of each kind, and the proxy's log.
async fn through_each() -> [(Tcp, PeerLog); 2] {
    let (http, http_log) = peers::proxies::http(None).await;
    let (socks, socks_log) = peers::proxies::socks(None).await;
    [
        (via(&format!("http://{http}")), http_log),
        (via(&format!("socks5://{socks}")), socks_log),
    ]
}

#[tokio::test]
async fn nothing_happens_before_the_first_poll() -> Result<(), Violation> {
    for (tcp, log) in through_each().await {
        let (address, _log) = peers::echo().await;
        does_nothing_before_it_is_polled(&tcp, &target(address), &log, &TokioClock::new()).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_target_that_refuses_the_proxy_is_told_apart_from_a_proxy_that_refuses()
-> Result<(), Violation> {
    let nobody = peers::nobody().await;
    let [(http, _http_log), (socks, _socks_log)] = through_each().await;
    let clock = TokioClock::new();
    // HTTP says no more than "bad gateway".
    fails_as(&[Kind::Unreachable], &http, &target(nobody), &clock).await?;
    fails_as(&[Kind::Refused], &socks, &target(nobody), &clock).await?;
    for proxy in ["http", "socks5"] {
        let away = via(&format!("{proxy}://{nobody}"));
        fails_as(&[Kind::Refused], &away, &target(nobody), &clock).await?;
        let error = dial(&away, &target(nobody)).await.unwrap_err();
        assert!(matches!(error, TcpError::ProxyAway { .. }), "{error:?}");
        assert_eq!(error.failure().phase, Some(Phase::Connect));
    }
    Ok(())
}

#[tokio::test]
async fn a_mute_proxy_is_left_to_the_deadline() -> Result<(), Violation> {
    for scheme in ["http", "socks5"] {
        let (mute, log) = peers::mute().await;
        let (tcp, clock) = (via(&format!("{scheme}://{mute}")), TokioClock::new());
        let to = target("broker.example:1");
        waits_for_a_mute_peer_until_the_deadline(Phase::Proxy, SHORT, &tcp, &to, &clock).await?;
        leaves_nothing_when_cancelled(SHORT, &tcp, &to, &log, &clock).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_cancelled_dial_leaves_nothing() -> Result<(), Violation> {
    for (tcp, log) in through_each().await {
        let (address, _log) = peers::echo().await;
        let to = target(address);
        leaves_nothing_when_cancelled(SHORT, &tcp, &to, &log, &TokioClock::new()).await?;
    }
    Ok(())
}

#[tokio::test]
async fn no_error_holds_secrets() -> Result<(), Violation> {
    let (http, _http_log) = peers::proxies::http(Some("Basic somebody-else")).await;
    let (socks, _socks_log) = peers::proxies::socks(Some(("somebody", "else"))).await;
    let (other, _other_log) = peers::answers(b"hello, hello\r\n\r\n").await;
    let nobody = peers::nobody().await;
    for proxy in [
        format!("http://joe:hunter2@{http}"),
        format!("http://joe:hunter2@{nobody}"),
        format!("http://joe:hunter2@{other}"),
        format!("socks5://joe:hunter2@{socks}"),
        format!("socks5://joe:hunter2@{nobody}"),
        format!("socks5://joe:hunter2@{other}"),
    ] {
        let to = Target::parse(&format!("tcp://joe:hunter3@{nobody}/?token=hunter4")).unwrap();
        let (tcp, clock) = (via(&proxy), TokioClock::new());
        let secrets = ["hunter2", "hunter3", "hunter4", "am9lOmh1bnRlcjI="];
        errors_hold_no_secrets(&secrets, &tcp, &to, &clock).await?;
        assert!(!format!("{tcp:?}").contains("hunter2"));
    }
    Ok(())
}

#[tokio::test]
async fn errors_tell_what_is_behind_them() -> Result<(), Violation> {
    let nobody = peers::nobody().await;
    for (tcp, _log) in through_each().await {
        errors_tell_their_causes(&tcp, &target(nobody), &TokioClock::new()).await?;
    }
    let away = via(&format!("http://{nobody}"));
    errors_tell_their_causes(&away, &target(nobody), &TokioClock::new()).await
}

#[tokio::test]
async fn a_reconnect_goes_through_the_proxy_where_it_is_now() -> Result<(), Violation> {
    let (server, _log) = peers::echo().await;
    let (http, socks) = (
        peers::proxies::http(None).await,
        peers::proxies::socks(None).await,
    );
    let others = [
        peers::proxies::http(None).await,
        peers::proxies::socks(None).await,
    ];
    let proxies = [("http", http), ("socks5", socks)];
    for ((scheme, (old, before)), (new, after)) in proxies.into_iter().zip(others) {
        let (at, moves) = peers::moving(old, new);
        let tcp = via(&format!("{scheme}://proxy.example:1")).resolver(at);
        let (logs, clock) = ((&before, &after), TokioClock::new());
        a_reconnect_sees_a_moved_server(&tcp, &target(server), logs, moves, &clock).await?;
    }
    Ok(())
}

#[tokio::test]
async fn dials_do_not_disturb_each_other() -> Result<(), Violation> {
    let (address, _log) = peers::echo().await;
    let (_full, silent) = peers::silent().await;
    for (tcp, _log) in through_each().await {
        let (good, mute) = (target(address), target(silent));
        concurrent_dials_are_independent(&tcp, &good, &mute, &TokioClock::new()).await?;
    }
    Ok(())
}

#[tokio::test]
async fn bytes_go_there_and_back_and_the_login_is_told() {
    let (http, _http_log) = peers::proxies::http(Some("Basic am9lOmh1bjp0ZXIy")).await;
    let (socks, _socks_log) = peers::proxies::socks(Some(("joe", "hun:ter2"))).await;
    let (address, _log) = peers::echo().await;
    for proxy in [
        format!("http://joe:hun%3Ater2@{http}"),
        format!("socks5://joe:hun%3Ater2@{socks}"),
        format!("socks5h://joe:hun%3Ater2@{socks}"),
    ] {
        let named = target(format!("localhost:{}", address.port()));
        let mut stream = dial(&via(&proxy), &named).await.unwrap();
        stream.write_all(b"ping").await.unwrap();
        let mut read = [0; 4];
        stream.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"ping");
        assert!(stream.nodelay().unwrap());
    }
}

#[tokio::test]
async fn the_name_is_the_proxys_to_resolve() {
    let (http, _log) = peers::proxies::http(None).await;
    let nobody_asks = |host: &str, _: u16| Err(std::io::Error::other(host.to_string()));
    let tcp = via(&format!("http://{http}")).resolver(nobody_asks);
    let error = dial(&tcp, &target("does-not-exist.invalid:1"))
        .await
        .unwrap_err();
    assert_eq!(error.failure().code, Some(502), "{error:?}");
}

#[tokio::test]
async fn what_the_target_says_first_is_not_lost_in_the_proxys_answer() {
    let answer = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\nINFO {}\r\n";
    let (proxy, _log) = peers::answers(answer).await;
    let mut stream = dial(&via(&format!("http://{proxy}")), &target("a:1"))
        .await
        .unwrap();
    let mut read = [0; 9];
    stream.read_exact(&mut read).await.unwrap();
    assert_eq!(&read, b"INFO {}\r\n");
}

#[tokio::test]
async fn an_answer_in_many_pieces_is_put_together() {
    let (proxy, _log) = peers::listen(|mut stream| async move {
        let _ = stream.read(&mut [0; 1024]).await;
        for byte in b"HTTP/1.1 200 OK\r\nVia: a\r\n\r\nx" {
            stream.write_all(&[*byte]).await.unwrap();
            tokio::task::yield_now().await;
        }
        let _ = stream.read(&mut [0; 1]).await;
    })
    .await;
    let mut stream = dial(&via(&format!("http://{proxy}")), &target("a:1"))
        .await
        .unwrap();
    assert_eq!(stream.read_u8().await.unwrap(), b'x');
}

#[tokio::test]
async fn a_refusal_tells_status_reason_and_when_to_come_back() {
    let busy = b"HTTP/1.1 503 come back\r\nRetry-After: 7\r\n\r\n";
    let failure = Failure::new(Kind::Unreachable).at(Phase::Proxy).code(503);
    check_refusal(
        busy,
        failure.retry_after(Duration::from_secs(7)),
        "503 come back",
    )
    .await;
    let who = b"HTTP/1.1 407 Who are you?\r\n\r\n";
    let failure = Failure::new(Kind::Auth)
        .scope(Scope::Endpoint)
        .at(Phase::Proxy);
    check_refusal(who, failure.code(407), "407 Who are you?").await;
    let failure = Failure::new(Kind::Protocol)
        .scope(Scope::Endpoint)
        .at(Phase::Proxy);
    check_refusal(b"SSH-2.0-x\r\n\r\n", failure, "not HTTP").await;
    check_refusal(&[b'x'; 20_000], failure, "longer than 16384 bytes").await;
}

async fn check_refusal(answer: &'static [u8], failure: Failure, told: &str) {
    let (proxy, _log) = peers::answers(answer).await;
    let error = dial(&via(&format!("http://{proxy}")), &target("a:1"))
        .await
        .unwrap_err();
    assert_eq!(error.failure(), failure, "{error:?}");
    let text = std::error::Error::source(&error).unwrap().to_string();
    assert!(text.contains(told), "{text}");
}

#[tokio::test]
async fn a_proxy_that_hangs_up_is_a_transient_failure() {
    for scheme in ["http", "socks5"] {
        let (proxy, _log) = peers::listen(|mut stream| async move {
            let _ = stream.read(&mut [0; 1024]).await;
        })
        .await;
        let to = target("a:1");
        let error = dial(&via(&format!("{scheme}://{proxy}")), &to)
            .await
            .unwrap_err();
        let expected = Failure::new(Kind::Closed).at(Phase::Proxy);
        assert_eq!(error.failure(), expected, "{error:?}");
    }
}

#[tokio::test]
async fn a_proxy_that_resets_is_told_as_a_reset() {
    for scheme in ["http", "socks5"] {
        let (proxy, _log) = peers::listen(|mut stream| async move {
            let _ = stream.read(&mut [0; 1]).await;
            stream.set_zero_linger().unwrap();
        })
        .await;
        let via = via(&format!("{scheme}://{proxy}"));
        let error = dial(&via, &target("a:1")).await.unwrap_err();
        let expected = Failure::new(Kind::Reset).at(Phase::Proxy);
        assert_eq!(error.failure(), expected, "{error:?}");
    }
}

#[tokio::test]
async fn a_proxy_whose_answer_drips_is_left_to_the_deadline() -> Result<(), Violation> {
    let drips = |first: &'static [u8]| {
        peers::listen(move |mut stream| async move {
            let _ = stream.read(&mut [0; 1024]).await;
            let _ = stream.write_all(first).await;
            while stream.write_all(b"x").await.is_ok() {
                tokio::time::sleep(SHORT / 5).await;
            }
        })
    };
    let clock = TokioClock::new();
    // A header that does not end; a login that is refused with a reason that does not come.
    for (scheme, first) in [("http", &b"HTTP/1.1 200 OK\r\nX: "[..]), ("socks5", b"")] {
        let (proxy, _log) = drips(first).await;
        let via = via(&format!("{scheme}://{proxy}"));
        if scheme == "http" {
            let to = target("a:1");
            waits_for_a_mute_peer_until_the_deadline(Phase::Proxy, SHORT, &via, &to, &clock)
                .await?;
        } else {
            // The first byte tells that it is no SOCKS5 proxy: nobody waits for more.
            fails_as(&[Kind::Protocol], &via, &target("a:1"), &clock).await?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn an_endpoint_may_have_a_proxy_of_its_own_or_none() {
    let (address, _log) = peers::echo().await;
    let (gate, log) = peers::proxies::http(None).await;
    let gate: Proxy = format!("http://{gate}").parse().unwrap();
    let endpoint = || Endpoint::parse(&format!("tcp://{address}")).unwrap();

    let own = Target::new(Arc::new(endpoint().with(Proxies::all(gate))), 0);
    dial(&Tcp::new(), &own).await.unwrap();
    assert_eq!(log.accepted(), 1);

    let nowhere = via(&format!("http://{}", peers::nobody().await));
    let none = Target::new(Arc::new(endpoint().with(Proxies::none())), 0);
    dial(&nowhere, &none).await.unwrap();
}

/// The body of a child process whose environment names a proxy; see the next test.
#[tokio::test]
#[ignore = "run by the_environment_names_the_proxy_and_whom_it_is_not_for, with another environment"]
async fn child_with_a_proxy_in_its_environment() {
    let tcp = Tcp::new().proxies(Proxies::from_env().unwrap());
    let to = |host: &str| {
        let port = std::env::var("TARGET_PORT").unwrap();
        Target::parse(&format!("wss://{host}:{port}")).unwrap()
    };
    dial(&tcp, &to("127.0.0.1")).await.unwrap();
    dial(&tcp, &to("localhost")).await.unwrap();
}

#[tokio::test]
async fn the_environment_names_the_proxy_and_whom_it_is_not_for() {
    let (address, served) = peers::echo().await;
    let (gate, log) = peers::proxies::http(None).await;
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    child
        .args([
            "--ignored",
            "--exact",
            "child_with_a_proxy_in_its_environment",
        ])
        .env("HTTPS_PROXY", format!("http://{gate}"))
        .env("NO_PROXY", "localhost")
        .env("TARGET_PORT", address.port().to_string());
    let ran = tokio::task::spawn_blocking(move || child.output());
    let ran = ran.await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success() && said.contains("1 passed"), "{said}");
    assert_eq!((log.accepted(), served.accepted()), (1, 2));
}

fn via(proxy: &str) -> Tcp {
    Tcp::new().proxies(proxy.parse::<Proxy>().unwrap())
}

async fn dial(tcp: &Tcp, to: &Target) -> Result<tokio::net::TcpStream, TcpError> {
    tcp.dial(to, &DialContext::unbounded()).await
}

fn target(authority: impl std::fmt::Display) -> Target {
    Target::parse(&format!("tcp://{authority}")).unwrap()
}
