//! `failover probe`: what is found at real servers, and what its exit code says.
#![allow(clippy::unwrap_used, missing_docs)]

mod servers;

use std::time::{Duration, Instant, SystemTime};

use rcgen::{CertificateParams, date_time_ymd};

use self::servers::{
    Ca, closes, failover, greets, loopback, nobody, not_found, serve, serve_tls, until_end,
    upgraded,
};

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
fn two_ways_to_one_server_are_each_timed_with_a_full_handshake() {
    let ca = Ca::new();
    let wss = serve_tls(ca.server(loopback()), upgraded);
    let urls = ["a", "b", "c"].map(|path| format!("wss://127.0.0.1:{wss}/{path}"));
    // The ninth waits for one of eight, whose tickets are there then.
    let (code, lines) = ca.probe(&[&urls[..], &urls[..], &urls[..]].concat(), &[]);
    assert_eq!(code, Some(0), "{lines:#?}");
    for line in &lines {
        assert_eq!(line["tls"]["handshake"], "full", "{line}");
        assert!(line["tls_resumed_ms"].is_number(), "{line}");
    }
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
    assert!(
        text.ends_with("\n  1 good, 0 with a warning, 1 bad\n"),
        "{text}"
    );
    assert!(!text.contains("hunter2"), "{text}");
}

#[test]
fn a_server_that_closes_after_a_while_is_found_by_who_listens_longer() {
    let late = serve(|stream| async move {
        tokio::time::sleep(Duration::from_millis(400)).await;
        drop(stream);
    });
    let url = format!("tcp://127.0.0.1:{late}");
    let ran = failover(&["probe", "--listen", "10s", &url]);
    let text = String::from_utf8(ran.stdout).unwrap();
    assert_eq!(ran.status.code(), Some(1), "{text}");
    assert!(
        text.contains("the server accepts, and closes after"),
        "{text}"
    );
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
        ("", "<URL|--config <FILE.toml>>"),
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
            "--deadline 1us is below a millisecond",
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
