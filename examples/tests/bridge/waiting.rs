//! Programs that wait: for a server, for room, or in silence.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpListener;
use std::time::{Duration, Instant};

use crate::common::LONG;
use crate::common::bridge::Bridge;
use crate::servers::{Server, echo, echoes, refusing, reset, start};

#[test]
fn without_any_server_a_program_waits_for_as_long_as_is_said_and_is_reset() {
    let dead = refusing();
    let bridge = Bridge::of(&[("only", &dead)], &["--wait", "300ms"], "");
    let mut client = bridge.connect();
    let began = Instant::now();
    let error = client.read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert!((Duration::from_millis(250)..LONG).contains(&began.elapsed()));
    let ended = bridge.line("ended");
    assert_eq!(ended["how"], "no-server");
    let (status, text) = bridge.get("/health", "");
    assert_eq!(status, 503, "{text}");
    assert!(
        text.starts_with("no-server: the only server cannot be reached"),
        "{text}"
    );
}

#[test]
fn a_program_that_waits_gets_the_server_that_comes_back() {
    let dead = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = dead.local_addr().unwrap();
    drop(dead);
    let bridge = Bridge::of(&[("only", &format!("tcp://{address}"))], &[], "");
    let mut client = bridge.connect();
    bridge.line("server-fails");
    let server = Server::at(address, echo);
    echoes(&mut client, b"at last");
    bridge.line("server-back");
    drop(server);
}

#[test]
fn a_program_that_resets_while_it_waits_is_let_go() {
    let dead = refusing();
    let bridge = Bridge::of(&[("only", &dead)], &["-v"], "");
    let client = bridge.connect();
    bridge.line("server-fails");
    reset(&client);
    drop(client);
    assert_eq!(bridge.line("ended")["how"], "client-gone");
    let status = bridge.status();
    let how = &status["ended"][0]["how"];
    assert_eq!(how, "the program went away before a server was there");
    assert_eq!(status["clients"]["waiting"], 0);
}

#[test]
fn beyond_the_limit_programs_wait_until_one_ends() {
    let server = Server::echo();
    let bridge = start(&[&server], &["--max-connections", "2"]);
    let mut first = bridge.connect();
    let mut second = bridge.connect();
    echoes(&mut first, b"1");
    echoes(&mut second, b"2");
    let mut third = bridge.connect();
    third.write_all(b"3").unwrap();
    let told = bridge.line("full");
    assert_eq!(told["max_connections"], 2);
    assert_eq!(server.accepted(), 2);
    assert_eq!(bridge.status()["clients"]["full"], true);
    drop(first);
    let mut heard = [0];
    third.read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"3");
}

#[test]
fn a_connection_over_which_nothing_passes_is_ended_where_that_is_asked_for() {
    let server = Server::echo();
    let bridge = start(&[&server], &["-v", "--idle", "2s"]);
    let mut client = bridge.connect();
    let began = Instant::now();
    // Never silent for two seconds: it stays.
    let pause = Some(Duration::from_millis(600));
    client.set_read_timeout(pause).unwrap();
    for _ in 0..5 {
        echoes(&mut client, b"x");
        let silence = client.read(&mut [0]).unwrap_err();
        assert_eq!(silence.kind(), ErrorKind::WouldBlock);
    }
    client.set_read_timeout(Some(LONG)).unwrap();
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
    assert!(began.elapsed() >= Duration::from_millis(4300));
    assert_eq!(bridge.line("ended")["how"], "idle");
    let status = bridge.status();
    let how = status["ended"][0]["how"].as_str().unwrap();
    assert!(how.contains("--idle"), "{how}");
}
