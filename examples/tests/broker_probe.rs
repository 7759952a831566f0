//! `failover probe --config` on a mixed deployment of server programs that this project did not write.
//!
//! `cargo test -p examples --features brokers --test broker_probe` needs nats-server, nginx with its stream
//! module (libnginx-mod-stream), haproxy and openssl.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod common;
mod programs;

use std::process::Command;

use serde_json::Value;

use self::common::Place;
use self::programs::{Nats, haproxy, nginx_with_stream, openssl, openssl_with};

#[test]
fn a_mixed_deployment_is_good_and_one_dead_program_makes_its_own_servers_bad() {
    let place = Place::new();
    let nats = Nats::start(&place);
    let (nginx, wss, stream) = nginx_with_stream(&place, nats.ws_port, nats.tcp_port);
    let (_haproxy, tls) = haproxy(&place, nats.tcp_port);
    let (_openssl, openssl) = openssl(&place);
    let file = place.write(
        "deploy.toml",
        &format!(
            r#"
            version = 1
            policy.deadline = "5s"
            transport.tls.ca = "{ca}"

            [[endpoints]]
            name = "nats"
            url = "wss://127.0.0.1:{wss}/"
            routes = ["tls://127.0.0.1:{tls}", "{ws}", "{tcp}", "unix:{socket}"]

            [[endpoints]]
            name = "stream"
            url = "tcp://127.0.0.1:{stream}"

            [[endpoints]]
            name = "openssl"
            url = "tls://127.0.0.1:{openssl}"
            "#,
            ca = place.path("ca.pem"),
            socket = place.path("haproxy.sock"),
            ws = nats.ws(),
            tcp = nats.tcp(),
        ),
    );
    let (code, lines) = probe(&file);
    assert_eq!(code, Some(0), "{lines:#?}");
    let urls: Vec<&str> = lines
        .iter()
        .map(|line| line["url"].as_str().unwrap())
        .collect();
    assert_eq!(urls.len(), 7, "{urls:?}");
    for line in &lines {
        let url = line["url"].as_str().unwrap();
        assert_eq!(line["verdict"], "good", "{line}");
        assert!(line["connect_ms"].is_number(), "{line}");
        let over_tls = url.starts_with("tls") || url.starts_with("wss");
        assert_eq!(
            line["upgrade_ms"].is_number(),
            url.starts_with("ws"),
            "{line}"
        );
        assert_eq!(line["tls"]["version"].is_string(), over_tls, "{line}");
        assert_eq!(line["tls_resumed_ms"].is_number(), over_tls, "{line}");
        if over_tls {
            assert_eq!(line["certificate"]["names"][0], "127.0.0.1");
            assert!(line["certificate"]["days_left"].as_i64().unwrap() > 0);
        }
    }

    drop(nginx);
    let (code, lines) = probe(&file);
    assert_eq!(code, Some(1), "{lines:#?}");
    let verdicts: Vec<&Value> = lines.iter().map(|line| &line["verdict"]).collect();
    let (good, bad) = ("good", "bad");
    assert_eq!(
        verdicts,
        [bad, good, good, good, good, bad, good],
        "{lines:#?}"
    );
    assert_eq!(lines[0]["kind"], "refused");
}

/// Before TLS 1.3 `openssl` calls it a failed handshake, and since then it says so after the handshake.
#[test]
fn a_client_certificate_that_is_demanded_is_asked_for_in_words() {
    let place = Place::new();
    let ca = place.path("ca.pem");
    let demand = ["-Verify", "3", "-verify_return_error", "-CAfile", &ca];
    let (_old, old) = openssl_with(&place, &[&demand[..], &["-tls1_2"]].concat());
    let (_new, new) = openssl_with(&place, &demand);
    let text = format!(
        "version = 1\nendpoints = [\"tls://127.0.0.1:{old}\", \"tls://127.0.0.1:{new}\"]\n\
         policy.deadline = \"5s\"\n[transport.tls]\nca = \"{ca}\"\n"
    );
    let (code, lines) = probe(&place.write("deploy.toml", &text));
    assert_eq!(code, Some(1), "{lines:#?}");
    for line in &lines {
        let error = line["error"].as_str().unwrap();
        assert!(
            error.contains("demands a client certificate, and none was shown"),
            "{line}"
        );
        assert!(
            line["advice"][0]
                .as_str()
                .unwrap()
                .contains("`certificate` and `key`"),
            "{line}"
        );
        assert_eq!(line["kind"], "tls");
    }

    let own = place.path("server.pem");
    let text = format!("{text}certificate = \"{own}\"\nkey = \"{own}\"\n");
    let (code, lines) = probe(&place.write("deploy.toml", &text));
    assert_eq!(code, Some(0), "{lines:#?}");
}

fn probe(file: &str) -> (Option<i32>, Vec<Value>) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_failover"));
    let ran = command
        .args(["probe", "--json", "--config", file])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&ran.stderr), "");
    let stdout = String::from_utf8_lossy(&ran.stdout);
    let lines = stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    (ran.status.code(), lines.collect())
}
