//! `failover cat`: what is sent where, when it is over, and what its exit code says.
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::process::{Command, Output, Stdio};
use std::sync::Mutex;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use examples::cat::{Carried, Cat, CatError, Told, Unconfirmed};
use examples::timeline::Style;
use failover_core::dial::{Dial, DialContext};
use failover_core::directory::{Endpoint, Target};
use failover_core::drive::Connector;
use failover_core::failure::{Failure, Kind};
use failover_core::policy::{Limit, Limits, Policy};
use tokio::io::{
    AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf, duplex,
};
use tokio::time::{Instant, sleep};
use transport_tcp::TokioClock;

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_second_of_silence_after_the_end_of_the_input_is_success() {
    let (conn, mut peer) = pair();
    let peer = tokio::spawn(async move {
        let asked = read(&mut peer, 6).await;
        for _ in 0..3 {
            sleep(SECOND * 9 / 10).await;
            peer.write_all(b"PONG\n").await.unwrap();
        }
        (peer, asked)
    });
    let began = Instant::now();
    let ran = Run::of(b"PING\r\n").over([conn]).await;
    assert_eq!(ran.output, b"PONG\nPONG\nPONG\n");
    assert_eq!(ran.carried().sent, 6);
    assert_eq!(ran.notes, "");
    let took = began.elapsed();
    assert!(
        (SECOND * 37 / 10..SECOND * 38 / 10).contains(&took),
        "{took:?}"
    );
    assert_eq!(peer.await.unwrap().1, b"PING\r\n");
}

#[tokio::test(start_paused = true)]
async fn a_close_after_the_end_of_the_input_is_success_at_once() {
    let (conn, mut peer) = pair();
    tokio::spawn(async move {
        read(&mut peer, 5).await;
        peer.write_all(b"bye\n").await.unwrap();
    });
    let began = Instant::now();
    let ran = Run::of(b"QUIT\n").over([conn]).await;
    assert_eq!(ran.output, b"bye\n");
    assert_eq!(ran.carried().connections, 1);
    assert!(began.elapsed() < SECOND / 10);
}

#[tokio::test(start_paused = true)]
async fn what_was_never_handed_over_goes_to_the_next_connection() {
    // The first takes five bytes and closes.
    let (conn, peer) = narrow_pair(5);
    tokio::spawn(async move {
        sleep(SECOND).await;
        drop(peer);
    });
    let (next, mut other) = pair();
    let rest = tokio::spawn(async move { read_to_end(&mut other).await });
    let ran = Run::of(b"one\ntwo\n").over([conn, next]).await;
    assert_eq!(rest.await.unwrap(), b"wo\n");
    assert_eq!(ran.carried().connections, 2);
    let told = "3 bytes were never handed over and go to the next connection; 5 bytes were handed \
                over, unconfirmed, and are not sent again; the cut is in the middle of a line";
    assert!(ran.notes.contains(told), "{}", ran.notes);
}

#[tokio::test(start_paused = true)]
async fn what_was_handed_over_is_sent_again_when_asked_for() {
    let (conn, peer) = narrow_pair(5);
    tokio::spawn(async move {
        sleep(SECOND).await;
        drop(peer);
    });
    let (next, mut other) = pair();
    let all = tokio::spawn(async move { read_to_end(&mut other).await });
    let ran = Run::of(b"one\ntwo\n").resending().over([conn, next]).await;
    assert_eq!(all.await.unwrap(), b"one\ntwo\n");
    let told = "5 unconfirmed bytes are sent again";
    assert!(ran.notes.contains(told), "{}", ran.notes);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_breaks_after_the_end_of_the_input_is_not_replaced() {
    let (conn, mut peer) = pair();
    tokio::spawn(async move {
        read(&mut peer, 6).await;
        sleep(SECOND / 2).await;
    });
    let (next, _other) = pair();
    let ran = Run::of(b"PING\r\n")
        .over([Conn::resetting(conn), next])
        .await;
    let error = ran.ended.unwrap_err();
    assert!(matches!(error, CatError::BrokeAtEnd { .. }), "{error}");
    assert_eq!(ran.not_dialled, 1);
    let told = "nothing is waiting to be sent; 6 bytes are unconfirmed";
    assert!(ran.notes.contains(told), "{}", ran.notes);
}

#[tokio::test(start_paused = true)]
async fn answers_given_before_a_write_failed_are_still_written() {
    let (conn, mut peer) = narrow_pair(64);
    tokio::spawn(async move {
        read(&mut peer, 4).await;
        peer.write_all(b"-ERR go away\n").await.unwrap();
    });
    let input = b"junk\n".repeat(100);
    let (next, mut other) = pair();
    tokio::spawn(async move { read_to_end(&mut other).await });
    let ran = Run::of(&input).over([conn, next]).await;
    assert_eq!(ran.output, b"-ERR go away\n");
}

#[tokio::test(start_paused = true)]
async fn giving_up_lists_the_last_error_of_every_server() {
    let ran = Run::of(b"").over([]).await;
    let error = ran.ended.unwrap_err().to_string();
    let told = "gave up: every endpoint failed, 3 sweeps in a row\n  \
                a:1: refused (3 dials)\n  b:1: refused (3 dials)";
    assert_eq!(error, told);
}

#[tokio::test(start_paused = true)]
async fn who_finds_no_server_for_three_seconds_is_told_once_that_it_still_tries() {
    for (sweeps, told) in [(1, 0), (20, 1)] {
        let mut notes = Vec::new();
        let nobody = Memory(Mutex::default());
        let connector = giving_up_after(sweeps, nobody);
        let cat = Run::of(b"").cat;
        let ended = cat.run(connector, &b""[..], Vec::new(), &mut notes).await;
        ended.unwrap_err();
        let notes = String::from_utf8(notes).unwrap();
        assert_eq!(notes.matches("still trying").count(), told, "{notes}");
    }
}

#[tokio::test(start_paused = true)]
async fn output_that_cannot_be_written_ends_it() {
    let (conn, mut peer) = pair();
    tokio::spawn(async move {
        peer.write_all(b"hello\n").await.unwrap();
        read_to_end(&mut peer).await
    });
    let (output, reader) = duplex(64);
    drop(reader);
    let cat = Run::of(b"").cat;
    let connector = connector(VecDeque::from([conn]));
    let (input, _open) = duplex(64);
    let error = cat.run(connector, input, output, &mut io::sink()).await;
    assert!(matches!(error, Err(CatError::Output(e)) if e.kind() == io::ErrorKind::BrokenPipe));
}

#[test]
fn bad_arguments_are_named_and_exit_with_2() {
    for (arguments, told) in [
        ("", "<URL|--config <FILE.toml>>"),
        (
            "tpc://h:1",
            "no transport for scheme `tpc`: known are tcp, tls, unix, ws, wss",
        ),
        ("h:4222", "`h:4222` is not an endpoint's URL"),
        (
            "tcp://joe:hunter2@h:99999",
            "`tcp://***@h:99999` is not an endpoint's URL: the port is `99999`, it must be a number from 1 to 65535",
        ),
        ("tcp://h", "names no port: write `tcp://h:PORT`"),
        ("tcp://h:1 tcp://H:1", "`tcp://h:1` is in the list twice"),
        (
            "tcp://h:1 --deadline 0s",
            "--deadline 0s is below a millisecond",
        ),
        (
            "tcp://h:1 --min 5s --wait 1s --cap 2s",
            "--min 5s is above --cap 2s",
        ),
        (
            "tcp://h:1 --wait 0s",
            "--wait 0s: waits that are multiplied never grow",
        ),
        (
            "tcp://h:1 --factor 0.5",
            "--factor 0.5 would make each wait shorter",
        ),
        (
            "tcp://h:1 --jitter 3s --cap 2s",
            "--jitter 3s has no room between --min 0s and --cap 2s",
        ),
        (
            "tcp://h:1 --jitter 12.5% --min 1500ms --cap 1500ms",
            "--jitter 12.5% has no room between --min 1500ms and --cap 1500ms",
        ),
        (
            "tcp://h:1 --tls-jitter 200%",
            "--tls-jitter 200% is more than the whole wait",
        ),
        (
            "tcp://h:1/feed",
            "`tcp://h:1/feed` has a path or query, which tcp cannot ask for: write `tcp://h:1`, or `ws://…`",
        ),
        ("tls://h:1?q", "write `tls://h:1`\n"),
        (
            "tcp://h:1 --server-name a.example",
            "--server-name says whose certificate is good, but no URL has one",
        ),
        (
            "ws://h:1 --ca no/such/file",
            "--ca says whose certificate is good, but no URL has one",
        ),
        ("tcp://h:1 --wait 9s", "--wait 9s is above --cap 8s"),
        (
            "tcp://h:1 --wait 9",
            "'9' for '--wait <TIME>': `9` is not a duration: write a number with a unit",
        ),
        (
            "tcp://h:1 --jitter 200%",
            "--jitter 200% is more than the whole wait",
        ),
        (
            "tcp://h:1 --start-sweeps 0",
            "--start-sweeps 0 would give up",
        ),
        ("tls://h:1 --ca Cargo.toml", "expected PEM certificates"),
        (
            "tls://h:1 --ca no/such/file",
            "cannot read the CA file `no/such/file`",
        ),
        (
            "tls://h:1 --server-name a..b",
            "`a..b` is neither a DNS name",
        ),
    ] {
        let arguments = ["cat"].into_iter().chain(arguments.split_whitespace());
        let ran = failover(arguments, b"");
        let stderr = String::from_utf8(ran.stderr).unwrap();
        assert_eq!(ran.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains(told), "{stderr}");
        assert!(!stderr.contains("hunter2"), "{stderr}");
        assert!(!stderr.contains("panicked"), "{stderr}");
    }
}

#[test]
fn json_is_honoured_for_bad_input_too() {
    for (arguments, told) in [
        (
            "cat --json",
            "the following required arguments were not provided: <URL|--config <FILE.toml>>",
        ),
        ("cat --json tcp://h", "names no port"),
        (
            "cat tcp://h:1 --json --min 9s",
            "--min 9s is above --cap 8s",
        ),
        (
            "cat tcp://h:1 --json --wait 9",
            "is not a duration: write a number with a unit",
        ),
        ("probe --json tcp://h:1/x", "has a path"),
        (
            "probe --json --deadline 0s tcp://h:1",
            "--deadline 0s is below a millisecond",
        ),
        ("explain --json --preset natz", "natz"),
        ("herd --json no/such/file", "no/such/file"),
        ("tune --json no/such/file --within 1s", "no/such/file"),
        ("nats --json -s tcp sub a", "is not an endpoint's URL"),
        ("demo --json --seed x", "invalid value 'x'"),
    ] {
        let ran = failover(arguments.split_whitespace(), b"");
        let stderr = String::from_utf8(ran.stderr).unwrap();
        assert_eq!(ran.status.code(), Some(2), "{arguments}: {stderr}");
        let line: serde_json::Value = serde_json::from_str(&stderr).unwrap();
        assert_eq!(
            (&line["event"], &line["exit_code"]),
            (&"failed".into(), &2.into())
        );
        let error = line["error"].as_str().unwrap();
        assert!(error.contains(told), "{arguments}: {error}");
    }
    // What follows `--` is no flag.
    let ran = failover(["cat", "--", "--json"], b"");
    assert!(ran.stderr.starts_with(b"failover: `--json` is not"));
}

#[test]
fn the_first_server_that_answers_is_used() {
    let (dead, alive) = (refusing(), echoing_once());
    let ran = failover(["cat", "-v", &dead, &alive], b"hello\n");
    let stderr = String::from_utf8(ran.stderr).unwrap();
    assert_eq!(ran.status.code(), Some(0), "{stderr}");
    assert_eq!(ran.stdout, b"hello\n");
    assert!(
        stderr.contains(&format!("dial failed  {dead}: cannot connect to")),
        "{stderr}"
    );
    assert!(
        stderr.contains(&format!("connected    {alive}")),
        "{stderr}"
    );
}

#[test]
fn a_deployment_in_a_file_is_read_and_flags_and_environment_change_it() {
    let folder = std::env::temp_dir().join(format!("failover-cat-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("deploy.toml");
    let path = file.to_str().unwrap();
    let (dead, alive) = (refusing(), echoing_once());
    let text = format!(
        "version = 1\nendpoints = [\"{dead}\", {{ name = \"second\", url = \"{alive}\" }}]\n\
         [policy]\ndeadline = \"2s\"\n[transport.tcp]\nnodelay = true\n"
    );
    std::fs::write(&file, text).unwrap();
    let ran = failover(["cat", "-v", "--config", path], b"hello\n");
    let stderr = String::from_utf8(ran.stderr).unwrap();
    assert_eq!(ran.status.code(), Some(0), "{stderr}");
    assert_eq!(ran.stdout, b"hello\n");
    assert!(stderr.contains("connected    second"), "{stderr}");

    let set = ["cat", "--config", path, "--set", "policy.dedline=1s"];
    let refused = [
        (failover(set, b""), "did you mean `deadline`?"),
        (
            failover(
                ["cat", "--config", path, "--set", "policy.deadline=0s"],
                b"",
            ),
            "deadline",
        ),
        (
            failover(["cat", "--config", path, &alive], b""),
            "cannot be used with",
        ),
        (
            failover(["cat", "--set", "policy.deadline=1s", &alive], b""),
            "--config",
        ),
        (
            command(["cat", "--config", path])
                .env("FAILOVER__POLICY__ORDR", "x")
                .output()
                .unwrap(),
            "FAILOVER__POLICY__ORDR",
        ),
    ];
    for (ran, told) in refused {
        let stderr = String::from_utf8(ran.stderr).unwrap();
        assert_eq!(ran.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains(told), "{stderr}");
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn nobody_to_connect_to_exits_with_1_and_json_stays_json() {
    let dead = refusing();
    let ran = failover(["cat", "--json", "--wait", "1ms", "-v", &dead], b"");
    assert_eq!(ran.status.code(), Some(1));
    let stderr = String::from_utf8(ran.stderr).unwrap();
    let lines = stderr
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    let lines: Vec<serde_json::Value> = lines.collect();
    let events: Vec<&str> = lines.iter().map(|e| e["event"].as_str().unwrap()).collect();
    assert_eq!(
        events,
        ["attempt", "attempt", "attempt", "closed", "failed"]
    );
    assert_eq!(lines[0]["kind"], "refused");
    assert_eq!(lines[0]["phase"], "connect");
}

#[test]
fn a_reader_that_has_enough_is_no_failure() {
    let server = talking_for_ever();
    let mut child = command(["cat", &server])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The input stays open, so that only the output can end it.
    let _input = child.stdin.take();
    drop(child.stdout.take());
    let ran = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(ran.stderr).unwrap(), "");
    assert_eq!(ran.status.code(), Some(0));
}

struct Run {
    input: Vec<u8>,
    cat: Cat,
}

struct Ran {
    ended: Result<Carried, CatError>,
    output: Vec<u8>,
    notes: String,
    not_dialled: usize,
}

impl Ran {
    fn carried(&self) -> Carried {
        *self.ended.as_ref().unwrap()
    }
}

impl Run {
    fn of(input: &[u8]) -> Self {
        Self {
            input: input.to_vec(),
            cat: Cat {
                linger: SECOND,
                unconfirmed: Unconfirmed::Counted,
                style: Style::Plain,
                told: Told::Losses,
            },
        }
    }

    fn resending(mut self) -> Self {
        self.cat.unconfirmed = Unconfirmed::SentAgain;
        self
    }

    /// Carries the input over these connections, one dial each; further dials are refused.
    async fn over(self, conns: impl IntoIterator<Item = Conn>) -> Ran {
        let conns = std::sync::Arc::new(Memory(Mutex::new(conns.into_iter().collect())));
        let connector = build(std::sync::Arc::clone(&conns));
        let (mut output, mut notes) = (Vec::new(), Vec::new());
        let ended = self
            .cat
            .run(connector, &self.input[..], &mut output, &mut notes)
            .await;
        Ran {
            ended,
            output,
            notes: String::from_utf8(notes).unwrap(),
            not_dialled: conns.0.lock().unwrap().len(),
        }
    }
}

fn connector(conns: VecDeque<Conn>) -> Connector<Memory, TokioClock> {
    build(Memory(Mutex::new(conns)))
}

fn build<D: Dial<Conn = Conn> + 'static>(dialer: D) -> Connector<D, TokioClock> {
    giving_up_after(3, dialer)
}

fn giving_up_after<D: Dial<Conn = Conn> + 'static>(
    sweeps: u32,
    dialer: D,
) -> Connector<D, TokioClock> {
    let sweeps = Limits::UNLIMITED.sweeps(Limit::AtMost(sweeps));
    let policy = Policy::builder().start_up_limits(sweeps);
    Connector::builder(dialer, TokioClock::new())
        .endpoints(["m://a:1", "m://b:1"].map(|url| Endpoint::parse(url).unwrap()))
        .policy(policy.build().unwrap())
        .build()
        .unwrap()
}

/// Each dial takes the next connection.
struct Memory(Mutex<VecDeque<Conn>>);

impl Dial for Memory {
    type Conn = Conn;
    type Error = Failure;

    async fn dial(&self, _: &Target, _: &DialContext) -> Result<Conn, Failure> {
        let next = self.0.lock().unwrap().pop_front();
        next.ok_or(Failure::new(Kind::Refused))
    }
}

/// A connection in memory. Its peer's end is a close, or a reset.
struct Conn {
    io: DuplexStream,
    end: Option<io::ErrorKind>,
}

impl Conn {
    fn resetting(self) -> Self {
        Self {
            end: Some(io::ErrorKind::ConnectionReset),
            ..self
        }
    }
}

fn pair() -> (Conn, DuplexStream) {
    narrow_pair(64 * 1024)
}

fn narrow_pair(room: usize) -> (Conn, DuplexStream) {
    let (io, peer) = duplex(room);
    (Conn { io, end: None }, peer)
}

impl AsyncRead for Conn {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, buf))?;
        match self.end {
            Some(kind) if buf.filled().len() == before => Poll::Ready(Err(kind.into())),
            _ => Poll::Ready(Ok(())),
        }
    }
}

impl AsyncWrite for Conn {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

async fn read(peer: &mut DuplexStream, n: usize) -> Vec<u8> {
    let mut bytes = vec![0; n];
    peer.read_exact(&mut bytes).await.unwrap();
    bytes
}

async fn read_to_end(peer: &mut DuplexStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    peer.read_to_end(&mut bytes).await.unwrap();
    bytes
}

fn command<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_failover"));
    command.args(arguments);
    command
}

/// Runs the tool with this input.
fn failover<'a>(arguments: impl IntoIterator<Item = &'a str>, input: &[u8]) -> Output {
    let mut child = command(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // Whoever refuses its arguments does not read.
    let _ = io::Write::write_all(&mut stdin, input);
    drop(stdin);
    child.wait_with_output().unwrap()
}

/// The URL of a port on which nobody listens.
fn refusing() -> String {
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    format!("tcp://{}", gone.local_addr().unwrap())
}

fn serving(serve: impl FnOnce(std::net::TcpStream) + Send + 'static) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("tcp://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || serve(listener.accept().unwrap().0));
    url
}

fn echoing_once() -> String {
    serving(|mut stream| {
        let mut buffer = [0; 64];
        let n = io::Read::read(&mut stream, &mut buffer).unwrap();
        io::Write::write_all(&mut stream, &buffer[..n]).unwrap();
    })
}

fn talking_for_ever() -> String {
    serving(|mut stream| while io::Write::write_all(&mut stream, b"tick\n").is_ok() {})
}
