//! The dialer of Unix sockets: the conformance kit, and what is its own.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    reason = "test code outside of the test functions"
)]

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use failover_core::dial::{Dial, DialContext};
use failover_core::directory::Target;
use failover_core::failure::{Classify, Kind, Scope};
use failover_core::testing::conformance::{
    PeerLog, Violation, a_reconnect_sees_a_moved_server, does_nothing_before_it_is_polled,
    errors_hold_no_secrets, errors_tell_their_causes, fails_as, leaves_nothing_when_cancelled,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixSocket};
use transport_tcp::{ByteStream, TokioClock, Unix};

const SHORT: Duration = Duration::from_millis(100);

#[tokio::test]
async fn nothing_happens_before_the_first_poll() -> Result<(), Violation> {
    let (path, log) = echo("echo");
    does_nothing_before_it_is_polled(&Unix, &target(&path), &log, &TokioClock::new()).await
}

#[tokio::test]
async fn a_cancelled_dial_leaves_nothing() -> Result<(), Violation> {
    let (path, log) = echo("echo");
    leaves_nothing_when_cancelled(SHORT, &Unix, &target(&path), &log, &TokioClock::new()).await
}

#[tokio::test]
async fn each_way_to_fail_has_its_kind() -> Result<(), Violation> {
    let clock = TokioClock::new();
    let missing = target(&scratch("missing"));
    fails_as(&[Kind::Unreachable], &Unix, &missing, &clock).await?;

    let gone = scratch("gone");
    drop(UnixListener::bind(&gone).unwrap());
    fails_as(&[Kind::Refused], &Unix, &target(&gone), &clock).await?;

    let full = scratch("full");
    let socket = UnixSocket::new_stream().unwrap();
    socket.bind(&full).unwrap();
    let _listener = socket.listen(0).unwrap();
    let _first = tokio::net::UnixStream::connect(&full).await.unwrap();
    fails_as(&[Kind::Refused], &Unix, &target(&full), &clock).await
}

#[tokio::test]
async fn no_error_holds_secrets() -> Result<(), Violation> {
    let clock = TokioClock::new();
    for url in ["unix:/missing?token=hunter2", "unix://joe:hunter2@a:1"] {
        let to = Target::parse(url).unwrap();
        errors_hold_no_secrets(&["hunter2"], &Unix, &to, &clock).await?;
    }
    Ok(())
}

#[tokio::test]
async fn errors_tell_what_is_behind_them() -> Result<(), Violation> {
    let missing = target(&scratch("missing"));
    errors_tell_their_causes(&Unix, &missing, &TokioClock::new()).await
}

// No dial of a Unix socket waits for its peer, so that there is no mute one, and none that another
// could wait for.

#[tokio::test]
async fn a_reconnect_goes_where_the_path_leads_now() -> Result<(), Violation> {
    let ((old, before), (new, after)) = (echo("old"), echo("new"));
    let path = scratch("link");
    std::os::unix::fs::symlink(old, &path).unwrap();
    let moves = || {
        std::fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(new, &path).unwrap();
    };
    let (to, clock) = (target(&path), TokioClock::new());
    a_reconnect_sees_a_moved_server(&Unix, &to, (&before, &after), moves, &clock).await
}

#[tokio::test]
async fn bytes_go_there_and_back_also_where_the_path_has_odd_characters() {
    let (path, _log) = echo("odd %?# name");
    let written = path.to_str().unwrap().replace('%', "%25");
    let written = written
        .replace(' ', "%20")
        .replace('?', "%3f")
        .replace('#', "%23");
    let to = Target::parse(&format!("unix:{written}?timeout=1")).unwrap();
    let dialer = Unix.map(ByteStream::new);
    let mut stream = dialer.dial(&to, &DialContext::unbounded()).await.unwrap();
    stream.write_all(b"ping").await.unwrap();
    let mut read = [0; 4];
    stream.read_exact(&mut read).await.unwrap();
    assert_eq!(&read, b"ping");
}

#[test]
fn a_url_without_a_path_is_refused_before_any_dial() {
    for url in ["unix://host:1", "unix:/broken%zz"] {
        let error = Unix.check(&Target::parse(url).unwrap()).unwrap_err();
        assert!(error.to_string().ends_with("write `unix:/path`"), "{error}");
        assert_eq!(error.failure().scope, Scope::Endpoint);
    }
}

fn echo(name: &str) -> (PathBuf, PeerLog) {
    let path = scratch(name);
    let listener = UnixListener::bind(&path).unwrap();
    let log = PeerLog::default();
    let noted = log.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let seen = noted.accept();
            tokio::spawn(async move {
                let (mut read, mut write) = stream.split();
                let _ = tokio::io::copy(&mut read, &mut write).await;
                drop(seen);
            });
        }
    });
    (path, log)
}

/// A path of this process alone, short enough for a socket.
fn scratch(name: &str) -> PathBuf {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let own = std::env::temp_dir().join(format!("failover-{}-{number}", std::process::id()));
    std::fs::create_dir_all(&own).unwrap();
    own.join(name)
}

fn target(path: &Path) -> Target {
    Target::parse(&format!("unix:{}", path.display())).unwrap()
}
