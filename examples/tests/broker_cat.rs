//! `failover cat` against server programs that this project did not write.
//!
//! `cargo test -p examples --features brokers --test broker_cat` needs nats-server, nginx, haproxy
//! and openssl. Each runs in the foreground on free ports of the loopback interface, and ends with
//! the test that started it.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod common;
mod programs;

use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::Receiver;
use std::time::Duration;

use self::common::{Place, free_port};
use self::programs::{Nats, haproxy, lines, nginx, openssl};

#[test]
fn nats_answers_over_tcp_although_the_first_server_is_dead() {
    let place = Place::new();
    let nats = Nats::start(&place);
    let dead = format!("tcp://127.0.0.1:{}", free_port());
    check_pong(&["-v", &dead, &nats.tcp()]);
}

#[test]
fn nats_answers_over_websocket() {
    let place = Place::new();
    let nats = Nats::start(&place);
    check_pong(&["-v", &nats.ws()]);
}

#[test]
fn haproxy_carries_tls_to_nats() {
    let place = Place::new();
    let nats = Nats::start(&place);
    let (_haproxy, port) = haproxy(&place, nats.tcp_port);
    let url = format!("tls://127.0.0.1:{port}");
    check_pong(&["-v", "--ca", &place.path("ca.pem"), &url]);
}

#[test]
fn nginx_carries_websocket_over_tls_to_nats() {
    let place = Place::new();
    let nats = Nats::start(&place);
    let (_nginx, port) = nginx(&place, nats.ws_port);
    let url = format!("wss://127.0.0.1:{port}/nats");
    check_pong(&["-v", "--ca", &place.path("ca.pem"), &url]);
}

#[test]
fn one_list_mixes_all_four_transports() {
    let place = Place::new();
    let nats = Nats::start(&place);
    let (haproxy, tls) = haproxy(&place, nats.tcp_port);
    let (nginx, wss) = nginx(&place, nats.ws_port);
    let urls = [
        format!("wss://127.0.0.1:{wss}/"),
        format!("tls://127.0.0.1:{tls}"),
        nats.ws(),
        nats.tcp(),
    ];
    let ca = place.path("ca.pem");
    let mut arguments = vec!["-v", "--ca", &ca];
    arguments.extend(urls.iter().map(String::as_str));
    let said = check_pong(&arguments);
    assert!(
        said.contains(&format!("connected    {}", urls[0])),
        "{said}"
    );

    drop(nginx);
    let said = check_pong(&arguments);
    assert!(
        said.contains(&format!("connected    {}", urls[1])),
        "{said}"
    );

    drop(haproxy);
    let said = check_pong(&arguments);
    assert!(
        said.contains(&format!("connected    {}", urls[2])),
        "{said}"
    );
}

#[test]
fn openssl_answers_over_tls() {
    let place = Place::new();
    let (_openssl, port) = openssl(&place);
    let url = format!("tls://127.0.0.1:{port}");
    let ran = cat(&["-v", "--ca", &place.path("ca.pem"), &url], b"hello\n");
    let (stdout, stderr) = texts(&ran);
    assert_eq!(ran.status.code(), Some(0), "{stderr}");
    assert_eq!(stdout, "olleh\n", "{stderr}");
}

#[test]
fn a_certificate_of_another_authority_is_refused() {
    let (place, other) = (Place::new(), Place::new());
    let (_openssl, port) = openssl(&place);
    let url = format!("tls://127.0.0.1:{port}");
    let ran = cat(&["--ca", &other.path("ca.pem"), &url], b"");
    let (stdout, stderr) = texts(&ran);
    assert_eq!((ran.status.code(), &*stdout), (Some(1), ""), "{stderr}");
    assert!(stderr.contains("gave up"), "{stderr}");
    assert!(
        stderr.contains("issuer") || stderr.contains("authority"),
        "{stderr}"
    );
}

#[test]
fn a_plain_server_where_tls_was_expected_is_told() {
    let place = Place::new();
    let nats = Nats::start(&place);
    let url = format!("tls://127.0.0.1:{}", nats.tcp_port);
    let ran = cat(&["--ca", &place.path("ca.pem"), &url], b"PING\r\n");
    let (stdout, stderr) = texts(&ran);
    assert_eq!((ran.status.code(), &*stdout), (Some(1), ""), "{stderr}");
    assert!(stderr.contains("TLS"), "{stderr}");
}

#[test]
fn a_broker_that_dies_is_replaced_while_cat_runs() {
    let (first, second) = (Place::new(), Place::new());
    let (dies, stays) = (Nats::start(&first), Nats::start(&second));
    let mut child = tool(&["-v", &dies.tcp(), &stays.tcp()]).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let output = lines(child.stdout.take().unwrap());

    input.write_all(b"PING\r\n").unwrap();
    wait_for(&output, "INFO");
    wait_for(&output, "PONG");
    drop(dies);
    wait_for(&output, "INFO");
    input.write_all(b"PING\r\n").unwrap();
    wait_for(&output, "PONG");
    drop(input);

    let ran = child.wait_with_output().unwrap();
    let (_, stderr) = texts(&ran);
    assert_eq!(ran.status.code(), Some(0), "{stderr}");
    let told = "6 bytes were handed over, unconfirmed, and are not sent again";
    assert!(stderr.contains(told), "{stderr}");
    assert!(stderr.contains("failed over"), "{stderr}");
}

/// `PING` brings `INFO` and `PONG`; returns what was said on standard error.
fn check_pong(arguments: &[&str]) -> String {
    let ran = cat(arguments, b"PING\r\n");
    let (stdout, stderr) = texts(&ran);
    assert_eq!(ran.status.code(), Some(0), "{stderr}");
    assert!(stdout.starts_with("INFO {"), "{stdout}\n{stderr}");
    assert!(stdout.ends_with("PONG\r\n"), "{stdout}\n{stderr}");
    stderr
}

fn tool(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_failover"));
    command
        .arg("cat")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn cat(arguments: &[&str], input: &[u8]) -> Output {
    let mut child = tool(arguments).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap()
}

fn texts(ran: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&ran.stdout), text(&ran.stderr))
}

fn wait_for(lines: &Receiver<String>, word: &str) {
    loop {
        let line = lines.recv_timeout(Duration::from_secs(10));
        if line
            .unwrap_or_else(|_| panic!("no line with {word}"))
            .contains(word)
        {
            return;
        }
    }
}
