//! `failover probe --config`: every way to every server of a deployment, each with what its file says.
#![cfg(unix)]
#![allow(clippy::unwrap_used, missing_docs)]

mod servers;

use std::fs;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::Output;

use rcgen::CertificateParams;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy_bidirectional};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use self::servers::{
    Ca, failover, loopback, nobody, reports, serve, serve_tls, until_end, upgraded,
};

#[test]
fn every_route_is_dialled_with_what_the_file_says_of_it() {
    let (ca, other) = (Ca::new(), Ca::new());
    let inside = CertificateParams::new(["broker.internal".to_string()]).unwrap();
    let wss = serve_tls(ca.server(loopback()), upgraded);
    let tls = serve_tls(other.server(inside), until_end);
    let (tcp, ws, proxy) = (serve(until_end), serve(only_our_site), serve(proxy));
    let place = Place::new("good");
    let socket = place.0.join("broker.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    std::thread::spawn(move || {
        let mut open = Vec::new();
        for stream in listener.incoming() {
            open.push(stream);
        }
    });
    let file = place.write(&format!(
        r#"
        version = 1

        [[endpoints]]
        name = "main"
        url = "wss://127.0.0.1:{wss}/feed"
        routes = ["tcp://127.0.0.1:{tcp}"]

        [[endpoints]]
        name = "inside"
        url = "tls://127.0.0.1:{tls}"
        [endpoints.transport.tls]
        ca = "{other}"
        server_name = "broker.internal"

        [[endpoints]]
        name = "site"
        url = "ws://127.0.0.1:{ws}/"

        [[endpoints]]
        name = "behind"
        url = "tcp://127.0.0.1:{tcp}"
        [endpoints.transport.tcp]
        proxy = "http://127.0.0.1:{proxy}"

        [[endpoints]]
        url = "unix:{socket}"

        [transport.tls]
        ca = "{ca}"

        [transport.ws.headers]
        X-Site = "example"
        "#,
        other = other.file.display(),
        ca = ca.file.display(),
        socket = socket.display(),
    ));
    let (code, lines) = reports(&probe(&["--json", "--config", &file]));
    assert_eq!(code, Some(0), "{lines:#?}");
    let names: Vec<&Value> = lines.iter().map(|line| &line["name"]).collect();
    let unix = socket.display().to_string();
    assert_eq!(names, ["main", "main", "inside", "site", "behind", &unix]);
    assert!(
        lines.iter().all(|line| line["verdict"] == "good"),
        "{lines:#?}"
    );
    let [main, plain, inside, site, behind, unix] = &lines[..] else {
        panic!("{lines:#?}");
    };
    for line in [main, inside] {
        assert_eq!(line["tls"]["version"], "TLS 1.3", "{line}");
        assert!(line["tls_resumed_ms"].is_number(), "{line}");
    }
    assert!(main["upgrade_ms"].is_number() && site["upgrade_ms"].is_number());
    assert_eq!(inside["certificate"]["names"][0], "broker.internal");
    assert_eq!(plain["url"], format!("tcp://127.0.0.1:{tcp}"));
    assert!(behind["proxy_ms"].is_number() && plain["proxy_ms"].is_null());
    assert_eq!(behind["addresses"][0], format!("127.0.0.1:{proxy}"));
    assert!(unix["connect_ms"].is_number() && unix["resolve_ms"].is_null());

    let ran = probe(&["--config", &file]);
    let text = String::from_utf8(ran.stdout).unwrap();
    let heading: Vec<&str> = text.lines().next().unwrap().split_whitespace().collect();
    let columns = [
        "server", "verdict", "resolve", "connect", "proxy", "tls", "resumed", "upgrade",
    ];
    assert_eq!(heading, columns);
    assert!(
        text.contains("  main (wss)") && text.contains("  main (tcp)"),
        "{text}"
    );
    assert!(
        text.contains(&format!("    by the proxy at 127.0.0.1:{proxy}\n")),
        "{text}"
    );
}

#[test]
fn one_bad_server_is_told_with_the_key_that_would_mend_it() {
    let ca = Ca::new();
    let elsewhere = CertificateParams::new(["b.example".to_string()]).unwrap();
    let tls = serve_tls(ca.server(elsewhere), until_end);
    let (tcp, gone) = (serve(until_end), nobody());
    let place = Place::new("bad");
    let missing = place.0.join("missing.sock");
    let file = place.write(&format!(
        r#"
        version = 1
        endpoints = ["tcp://127.0.0.1:{tcp}", "tls://127.0.0.1:{tls}", "tcp://127.0.0.1:{gone}", "unix:{missing}"]
        policy.deadline = "2s"
        transport.tls.ca = "{ca}"
        "#,
        missing = missing.display(),
        ca = ca.file.display(),
    ));
    let (code, lines) = reports(&probe(&["--json", "--config", &file]));
    assert_eq!(code, Some(1), "{lines:#?}");
    let verdicts: Vec<&Value> = lines.iter().map(|line| &line["verdict"]).collect();
    assert_eq!(verdicts, ["good", "bad", "bad", "bad"]);
    let advice = |line: usize| lines[line]["advice"][0].as_str().unwrap();
    assert!(
        advice(1).ends_with("as `server_name` in its table `transport.tls`: b.example"),
        "{}",
        advice(1)
    );
    assert!(advice(2).contains("nothing listens"), "{}", advice(2));
    assert!(advice(3).contains("no such file"), "{}", advice(3));

    let set = "transport.tls.server_name=b.example";
    let (_, lines) = reports(&probe(&["--json", "--config", &file, "--set", set]));
    assert_eq!(lines[1]["verdict"], "good", "{lines:#?}");
}

#[test]
fn a_server_that_ignores_the_protocols_offered_is_told_and_good() {
    let ca = Ca::new();
    let tls = serve_tls(ca.server(loopback()), until_end);
    let place = Place::new("alpn");
    for table in ["", "alpn = [\"mqtt\"]"] {
        let file = place.write(&format!(
            "version = 1\nendpoints = [\"tls://127.0.0.1:{tls}\"]\n[transport.tls]\nca = \"{}\"\n{table}\n",
            ca.file.display()
        ));
        let (code, lines) = reports(&probe(&["--json", "--config", &file]));
        assert_eq!((code, &lines[0]["verdict"]), (Some(0), &"good".into()));
        let advice = lines[0]["advice"].to_string();
        assert_eq!(
            advice.contains("none of the protocols offered"),
            !table.is_empty()
        );
        assert_eq!(lines[0]["tls"]["key_exchange"], "X25519");
    }
}

#[test]
fn the_policys_deadline_counts_unless_a_flag_gives_another() {
    let mute = serve(until_end);
    let place = Place::new("deadline");
    let file = place.write(&format!(
        "version = 1\nendpoints = [\"ws://127.0.0.1:{mute}\"]\npolicy.deadline = \"300ms\"\n"
    ));
    for (flags, told) in [
        (
            vec!["--json", "--config", &file],
            "no answer within 300ms, in upgrade",
        ),
        (
            vec!["--json", "--config", &file, "--deadline", "200ms"],
            "no answer within 200ms, in upgrade",
        ),
    ] {
        let (code, lines) = reports(&probe(&flags));
        assert_eq!((code, &lines[0]["error"]), (Some(1), &told.into()));
    }
}

#[test]
fn a_file_that_makes_no_sense_is_refused_before_any_dial() {
    let place = Place::new("nonsense");
    for (text, flags, told) in [
        ("transport.tsl.ca = \"x\"", vec![], "did you mean `tls`?"),
        (
            "transport.tcp.nodelya = true",
            vec![],
            "did you mean `nodelay`?",
        ),
        (
            "transport.tls.ca = \"/no/such\"",
            vec![],
            "cannot read the CA file `/no/such`",
        ),
        ("", vec!["tcp://a:1"], "cannot be used with"),
        ("", vec!["--ca", "x"], "cannot be used with"),
        (
            "",
            vec!["--set", "policy.dedline=1s"],
            "did you mean `deadline`?",
        ),
    ] {
        let file = place.write(&format!(
            "version = 1\nendpoints = [\"tcp://a:1\"]\n{text}\n"
        ));
        let mut arguments = vec!["--config", &file];
        arguments.extend(flags);
        let ran = probe(&arguments);
        let stderr = String::from_utf8(ran.stderr).unwrap();
        assert_eq!(ran.status.code(), Some(2), "{text}: {stderr}");
        assert!(stderr.contains(told), "{text}: {stderr}");
    }
    let alone = probe(&["--set", "policy.deadline=1s"]);
    assert_eq!(alone.status.code(), Some(2));
}

fn probe(arguments: &[&str]) -> Output {
    let all: Vec<&str> = ["probe"]
        .into_iter()
        .chain(arguments.iter().copied())
        .collect();
    failover(&all)
}

/// A directory that is removed at the end.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let own = format!("failover-probe-{name}-{}", std::process::id());
        let place = Self(std::env::temp_dir().join(own));
        fs::create_dir_all(&place.0).unwrap();
        place
    }

    fn write(&self, text: &str) -> String {
        let file = self.0.join("deploy.toml");
        fs::write(&file, text).unwrap();
        file.display().to_string()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

async fn head(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte.into()),
            Err(_) => return head,
        }
    }
    head
}

/// A WebSocket server for those who say where they come from.
async fn only_our_site(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    let head = head(&mut stream).await;
    let key = head
        .lines()
        .find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "));
    let answer = match key {
        Some(key) if head.contains("X-Site: example\r\n") => format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {}\r\n\r\n",
            derive_accept_key(key.as_bytes())
        ),
        _ => "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n".to_string(),
    };
    let _ = stream.write_all(answer.as_bytes()).await;
    until_end(stream).await;
}

/// An HTTP CONNECT proxy.
async fn proxy(mut client: TcpStream) {
    let head = head(&mut client).await;
    let to = head.split(' ').nth(1).unwrap_or_default();
    if let Ok(mut server) = TcpStream::connect(to).await {
        let _ = client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
        let _ = copy_bidirectional(&mut client, &mut server).await;
    }
}
