//! `failover probe`: what is found at real servers, and what its exit code says.
#![allow(clippy::unwrap_used, missing_docs)]

use std::fs;
use std::future::Future;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd,
};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

#[test]
fn of_good_servers_everything_is_told() {
    let ca = Ca::new();
    let server = ca.server(loopback());
    let tcp = serve(until_end);
    let tls = serve_tls(server.clone(), until_end);
    let ws = serve(upgraded);
    let wss = serve_tls(server, upgraded);
    let urls = [
        format!("tcp://localhost:{tcp}"),
        format!("tls://127.0.0.1:{tls}"),
        format!("ws://127.0.0.1:{ws}/feed"),
        format!("wss://127.0.0.1:{wss}/feed"),
    ];
    let (code, lines) = ca.probe(&urls, &[]);
    assert_eq!(code, Some(0), "{lines:#?}");
    assert_eq!(lines.len(), urls.len());
    for (line, url) in lines.iter().zip(&urls) {
        assert_eq!(line["url"], url.as_str());
        assert_eq!(line["verdict"], "good");
        assert!(line["connect_ms"].is_number(), "{line}");
        assert_eq!(line["upgrade_ms"].is_number(), url.starts_with("ws"));
        assert_eq!(line["tls_ms"].is_number(), line["tls"].is_object());
        // A second handshake that was resumed.
        assert_eq!(
            line["tls_resumed_ms"].is_number(),
            line["tls"].is_object(),
            "{line}"
        );
        assert_eq!(line["advice"], serde_json::json!([]));
    }
    let [tcp, tls, ..] = &lines[..] else {
        panic!("{lines:?}")
    };
    assert!(tcp["resolve_ms"].is_number(), "{tcp}");
    assert!(!tcp["addresses"].as_array().unwrap().is_empty());
    assert_eq!(tls["tls"]["version"], "TLS 1.3");
    assert!(tls["tls"]["cipher"].as_str().unwrap().starts_with("TLS13_"));
    assert_eq!(
        tls["certificate"]["names"],
        serde_json::json!(["127.0.0.1"])
    );
    assert!(tls["certificate"]["days_left"].as_i64().unwrap() > 10_000);
}

#[test]
fn what_is_wrong_is_told_with_what_to_do() {
    let ca = Ca::new();
    let good = ca.server(loopback());
    let mut expired = loopback();
    expired.not_after = date_time_ymd(2020, 1, 2);
    let elsewhere = CertificateParams::new(["b.example".to_string()]).unwrap();
    let cases = [
        (
            "tls",
            serve_tls(ca.server(expired), until_end),
            "expired on 2020-01-02",
            "renew the certificate",
        ),
        (
            "tls",
            serve_tls(ca.server(elsewhere), until_end),
            "other names: b.example",
            "--server-name: b.example",
        ),
        (
            "wss",
            serve_tls(Ca::new().server(loopback()), upgraded),
            "no trusted authority",
            "--ca",
        ),
        (
            "tls",
            serve(until_end),
            "no answer within 2s, in tls",
            "the port is open and silent",
        ),
        (
            "ws",
            serve(until_end),
            "no answer within 2s, in upgrade",
            "is it a WebSocket server",
        ),
        ("tls", serve(greets), "does not speak TLS", "write `tcp://`"),
        (
            "ws",
            serve_tls(good.clone(), until_end),
            "did not answer in HTTP/1.1",
            "write `wss://`",
        ),
        ("ws", serve(not_found), "status 404", "check the path"),
        ("tcp", serve(closes), "closes at once", "the server's log"),
        (
            "tls",
            serve_tls(good, closes),
            "closes at once",
            "the server's log",
        ),
        ("tcp", nobody(), "refused", "nothing listens on this port"),
    ];
    let urls = cases.map(|(scheme, port, ..)| format!("{scheme}://127.0.0.1:{port}"));
    let (code, lines) = ca.probe(&urls, &["--deadline", "2s"]);
    assert_eq!(code, Some(1), "{lines:#?}");
    assert_eq!(lines.len(), cases.len());
    for (line, (.., error, advice)) in lines.iter().zip(&cases) {
        assert_eq!(line["verdict"], "bad");
        assert!(
            line["error"].as_str().unwrap().contains(error),
            "{error}: {line}"
        );
        assert!(
            line["advice"][0].as_str().unwrap().contains(advice),
            "{advice}: {line}"
        );
    }
    assert!(lines[0]["certificate"]["days_left"].as_i64().unwrap() < 0);
    assert_eq!(lines[10]["kind"], "refused");
    assert_eq!(lines[3]["phase"], "tls");
}

#[test]
fn a_certificate_that_expires_soon_is_a_warning_and_no_failure() {
    let ca = Ca::new();
    let mut soon = loopback();
    soon.not_after = (SystemTime::now() + Duration::from_secs(5 * 86_400 + 3600)).into();
    let urls = [format!(
        "tls://127.0.0.1:{}",
        serve_tls(ca.server(soon), until_end)
    )];
    let (code, lines) = ca.probe(&urls, &[]);
    assert_eq!((code, &lines[0]["verdict"]), (Some(0), &"warning".into()));
    let told = "the certificate expires in 5 days: renew it";
    assert_eq!(lines[0]["advice"], serde_json::json!([told]));
    let (code, lines) = ca.probe(&urls, &["--expiring", "3"]);
    assert_eq!((code, &lines[0]["verdict"]), (Some(0), &"good".into()));
}

#[test]
fn people_get_a_table_and_the_findings_below_it() {
    let (mute, gone) = (serve(until_end), nobody());
    let urls = [
        format!("tcp://127.0.0.1:{mute}"),
        format!("tcp://joe:hunter2@127.0.0.1:{gone}"),
    ];
    let ran = failover(&["probe", &urls[0], &urls[1]]);
    let text = String::from_utf8(ran.stdout).unwrap();
    assert_eq!(ran.status.code(), Some(1));
    assert_eq!(String::from_utf8(ran.stderr).unwrap(), "");
    let heading: Vec<&str> = text.lines().next().unwrap().split_whitespace().collect();
    let columns = [
        "server", "verdict", "resolve", "connect", "tls", "resumed", "upgrade",
    ];
    assert_eq!(heading, columns);
    assert!(
        text.contains("\n    -> nothing listens on this port"),
        "{text}"
    );
    assert!(
        text.contains(&format!("\n    at 127.0.0.1:{mute}\n")),
        "{text}"
    );
    assert!(!text.contains("hunter2"), "{text}");
}

#[test]
fn a_ninth_server_waits_for_one_of_eight() {
    let mute = serve(until_end);
    let urls: Vec<String> = (0..9)
        .map(|n| format!("ws://127.0.0.1:{mute}/{n}"))
        .collect();
    let mut arguments = vec!["probe", "--json", "--deadline", "300ms"];
    arguments.extend(urls.iter().map(String::as_str));
    let began = Instant::now();
    let ran = failover(&arguments);
    assert!(began.elapsed() >= Duration::from_millis(600));
    assert_eq!(ran.stdout.iter().filter(|byte| **byte == b'\n').count(), 9);
}

#[test]
fn bad_arguments_are_named_and_exit_with_2() {
    for (arguments, told) in [
        ("", "<URL>..."),
        ("tpc://h:1", "no transport for scheme `tpc`"),
        ("tcp://h", "names no port: write `tcp://h:PORT`"),
        ("tcp://h:0", "the port is `0`"),
        ("tls://h:1/x", "write `tls://h:1`, or `wss://…`"),
        ("tcp://h:1 --server-name x", "no URL has one"),
        (
            "tls://h:1 --ca no/such/file",
            "cannot read the CA file `no/such/file`",
        ),
        (
            "tcp://h:1 --deadline 1us",
            "--deadline 1µs is below a millisecond",
        ),
    ] {
        let all: Vec<&str> = ["probe"]
            .into_iter()
            .chain(arguments.split_whitespace())
            .collect();
        let ran = failover(&all);
        let stderr = String::from_utf8(ran.stderr).unwrap();
        assert_eq!(ran.status.code(), Some(2), "{arguments}: {stderr}");
        assert!(stderr.contains(told), "{arguments}: {stderr}");
    }
}

/// An authority, and its certificate in a file.
struct Ca {
    issuer: CertifiedIssuer<'static, KeyPair>,
    file: PathBuf,
}

impl Ca {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        let name = format!("authority {number}");
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let name = format!("failover-probe-{}-{number}.pem", std::process::id());
        let file = std::env::temp_dir().join(name);
        fs::write(&file, issuer.pem()).unwrap();
        Self { issuer, file }
    }

    fn server(&self, params: CertificateParams) -> Arc<ServerConfig> {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key);
        Arc::new(config.unwrap())
    }

    /// Probes while trusting this authority alone.
    fn probe(&self, urls: &[String], flags: &[&str]) -> (Option<i32>, Vec<Value>) {
        let mut arguments = vec!["probe", "--json", "--ca", self.file.to_str().unwrap()];
        arguments.extend(flags);
        arguments.extend(urls.iter().map(String::as_str));
        let ran = failover(&arguments);
        assert_eq!(String::from_utf8(ran.stderr).unwrap(), "");
        let stdout = String::from_utf8(ran.stdout).unwrap();
        let lines = stdout
            .lines()
            .map(|line| serde_json::from_str(line).unwrap());
        (ran.status.code(), lines.collect())
    }
}

impl Drop for Ca {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.file);
    }
}

fn loopback() -> CertificateParams {
    CertificateParams::new(["127.0.0.1".to_string()]).unwrap()
}

fn failover(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_failover"));
    command.args(arguments).output().unwrap()
}

/// A server on a thread of its own; its port.
fn serve<F: Future<Output = ()> + 'static>(each: impl Fn(TcpStream) -> F + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let local = tokio::task::LocalSet::new();
        local.block_on(&runtime.unwrap(), async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).unwrap();
                tokio::task::spawn_local(each(stream));
            }
        });
    });
    port
}

fn serve_tls<F: Future<Output = ()> + 'static>(
    config: Arc<ServerConfig>,
    each: impl Fn(tokio_rustls::server::TlsStream<TcpStream>) -> F + Clone + Send + 'static,
) -> u16 {
    let acceptor = TlsAcceptor::from(config);
    serve(move |stream| {
        let (acceptor, each) = (acceptor.clone(), each.clone());
        async move {
            if let Ok(stream) = acceptor.accept(stream).await {
                each(stream).await;
            }
        }
    })
}

async fn until_end(mut stream: impl AsyncRead + Unpin) {
    while let Ok(1..) = stream.read(&mut [0; 1024]).await {}
}

async fn closes(mut stream: impl AsyncWrite + Unpin) {
    let _ = stream.shutdown().await;
}

async fn greets(mut stream: TcpStream) {
    let _ = stream.write_all(b"220 mail.example ready\r\n").await;
    until_end(stream).await;
}

async fn not_found(mut stream: TcpStream) {
    let _ = stream.read(&mut [0; 1024]).await;
    let _ = stream
        .write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        .await;
    until_end(stream).await;
}

async fn upgraded(stream: impl AsyncRead + AsyncWrite + Unpin) {
    use futures_util::StreamExt as _;
    let Ok(mut stream) = tokio_tungstenite::accept_async(stream).await else {
        return;
    };
    while let Some(Ok(_)) = stream.next().await {}
}

/// A port on which nobody listens.
fn nobody() -> u16 {
    let gone = TcpListener::bind("127.0.0.1:0").unwrap();
    gone.local_addr().unwrap().port()
}
