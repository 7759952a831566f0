//! What its page tells.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::Value;

use crate::common::bridge::Bridge;
use crate::servers::{Server, echoes, refusing, start};

#[test]
fn every_line_of_the_metrics_is_valid_and_every_name_has_one_head() {
    let dead = refusing();
    let server = Server::echo();
    let bridge = Bridge::of(
        &[("a \\\"quoted\\\" name", &dead), ("b\\\\c", &server.url())],
        &["-v"],
        "",
    );
    echoes(&mut bridge.connect(), b"x");
    bridge.line("ended");
    let (status, text) = bridge.get("/metrics", "");
    assert_eq!(status, 200);
    let series = prometheus(&text);
    assert!(series.len() > 20, "{text}");
    assert!(
        text.contains(r#"failover_dials_total{endpoint="a \"quoted\" name"} 1"#),
        "{text}"
    );
    assert!(
        text.contains(r#"failover_dials_total{endpoint="b\\c"} 1"#),
        "{text}"
    );
}

#[test]
fn the_status_server_answers_what_it_knows_and_refuses_the_rest() {
    let server = Server::echo();
    let bridge = start(&[&server], &[]);
    assert_eq!(
        bridge.get("/health", ""),
        (200, "ok: the only server is ready\n".to_string())
    );
    let (_, json) = bridge.get("/health", "application/json");
    assert_eq!(
        serde_json::from_str::<Value>(&json).unwrap()["health"],
        "ok"
    );
    assert_eq!(bridge.get("/status.json", "").0, 200);
    assert_eq!(bridge.get("/nothing", "").0, 404);
    let ask = |request: &[u8]| {
        let mut stream = TcpStream::connect(bridge.status_address).unwrap();
        stream.write_all(request).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    assert!(ask(b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc").starts_with("HTTP/1.1 405 "));
    assert!(ask(b"what is this\r\n\r\n").starts_with("HTTP/1.1 400 "));
    assert!(ask(&vec![b'x'; 9000]).starts_with("HTTP/1.1 431 "));
    let long = [b"GET / HTTP/1.1\r\nx: ".to_vec(), vec![b'x'; 9000]].concat();
    assert!(ask(&long).starts_with("HTTP/1.1 431 "));
    let head = ask(b"HEAD / HTTP/1.1\r\n\r\n");
    assert!(
        head.starts_with("HTTP/1.1 200 ") && head.ends_with("\r\n\r\n"),
        "{head}"
    );
    // Who says nothing is let go, and holds nobody else up.
    let mut silent: Vec<TcpStream> = (0..16)
        .map(|_| TcpStream::connect(bridge.status_address).unwrap())
        .collect();
    assert_eq!(silent[0].read(&mut [0]).unwrap(), 0);
    assert_eq!(bridge.get("/health", "").0, 200);
}

#[test]
fn secrets_are_never_shown() {
    let server = Server::echo();
    let dead = refusing().replace("tcp://", "ws://joe:hunter2@");
    let good = server.url().replace("tcp://", "tcp://ann:hunter2@");
    let transport = "[transport.ws.headers]\nAuthorization = \"Bearer hunter2\"\n";
    let mut bridge = Bridge::of(&[("first", &dead), ("second", &good)], &["-v"], transport);
    echoes(&mut bridge.connect(), b"x");
    for (path, accept) in [
        ("/", ""),
        ("/", "text/html"),
        ("/", "application/json"),
        ("/metrics", ""),
    ] {
        let (_, page) = bridge.get(path, accept);
        assert!(page.contains("second"), "{page}");
        assert!(!page.contains("hunter2"), "{page}");
    }
    bridge.signal("TERM");
    bridge.ends();
    let told = bridge.rest();
    assert!(told.iter().any(|line| line.contains("second")), "{told:?}");
    assert!(!told.join("\n").contains("hunter2"), "{told:?}");
}

/// Each line of the text format: a comment, or a name, labels and a value; heads once and first.
fn prometheus(text: &str) -> Vec<String> {
    let is_name = |name: &str| {
        !name.is_empty()
            && name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':')
            && !name.starts_with(|c: char| c.is_ascii_digit())
    };
    let (mut heads, mut series) = (Vec::new(), Vec::new());
    assert!(text.ends_with('\n'));
    for line in text.lines() {
        if let Some(head) = line.strip_prefix("# TYPE ") {
            let (name, kind) = head.split_once(' ').unwrap();
            assert!(
                is_name(name) && ["counter", "gauge"].contains(&kind),
                "{line}"
            );
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            assert!(!heads.contains(&name), "{line}");
            heads.push(name);
            continue;
        }
        if let Some(help) = line.strip_prefix("# HELP ") {
            assert!(
                help.split_once(' ')
                    .is_some_and(|(name, help)| is_name(name) && !help.is_empty()),
                "{line}"
            );
            continue;
        }
        let (of, value) = line.rsplit_once(' ').unwrap();
        assert!(value.parse::<f64>().unwrap().is_finite(), "{line}");
        let name = match of.split_once('{') {
            None => of,
            Some((name, labels)) => {
                labelled(labels.strip_suffix('}').unwrap_or_else(|| panic!("{line}")));
                name
            }
        };
        assert!(is_name(name), "{line}");
        assert_eq!(heads.last(), Some(&name), "{line}");
        assert!(!series.contains(&of.to_string()), "{line}");
        series.push(of.to_string());
    }
    series
}

/// `key="value",…`, with escapes.
fn labelled(labels: &str) {
    let mut rest = labels;
    loop {
        let (key, after) = rest.split_once("=\"").unwrap_or_else(|| panic!("{labels}"));
        assert!(
            key.chars().all(|c| c.is_ascii_lowercase() || c == '_'),
            "{labels}"
        );
        let mut escaped = false;
        let end = after
            .char_indices()
            .find(|(_, c)| {
                let ends = *c == '"' && !escaped;
                if escaped {
                    assert!(['\\', '"', 'n'].contains(c), "{labels}");
                }
                escaped = *c == '\\' && !escaped;
                ends
            })
            .unwrap_or_else(|| panic!("{labels}"))
            .0;
        match after[end + 1..].strip_prefix(',') {
            Some(more) => rest = more,
            None => return assert_eq!(after[end + 1..], *""),
        }
    }
}
