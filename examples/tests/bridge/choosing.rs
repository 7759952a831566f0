//! Which server a program gets, and why.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::common::bridge::Bridge;
use crate::servers::{Server, echoes, refusing, reset, start};

#[test]
fn where_the_first_server_is_dead_the_second_is_used_and_the_page_says_why() {
    let dead = refusing();
    let second = Server::echo();
    let bridge = Bridge::of(&[("first", &dead), ("second", &second.url())], &[], "");
    let mut client = bridge.connect();
    echoes(&mut client, b"hello");
    let told = bridge.line("server-fails");
    assert_eq!(
        (&told["endpoint"], &told["kind"]),
        (&"first".into(), &"refused".into())
    );

    let status = bridge.status();
    let servers = status["servers"].as_array().unwrap();
    let states: Vec<&str> = servers
        .iter()
        .map(|it| it["state"].as_str().unwrap())
        .collect();
    assert_eq!(states, ["rests", "in-use"]);
    let why = servers[1]["why"].as_str().unwrap();
    assert!(
        why == "the first of the list that is ready; first was resting",
        "{why}"
    );
    let says = servers[0]["says"].as_str().unwrap();
    assert!(says.contains("cannot connect to"), "{says}");
    let explains = status["newest"]["explains"].as_array().unwrap();
    assert!(
        explains[1]
            .as_str()
            .unwrap()
            .starts_with("second: connected for "),
        "{explains:?}"
    );

    for accept in ["", "text/html"] {
        let (_, page) = bridge.get("/", accept);
        for told in [
            "second",
            "in use for",
            "rests for",
            "the first of the list that is ready",
            "cannot connect to",
        ] {
            assert!(page.contains(told), "{told}: {page}");
        }
    }
}

#[test]
fn a_dead_server_is_dialled_by_one_client_and_not_by_all() {
    let dead = refusing();
    let second = Server::echo();
    let bridge = Bridge::of(&[("first", &dead), ("second", &second.url())], &[], "");
    let mut first = bridge.connect();
    echoes(&mut first, b"x");
    let mut clients: Vec<TcpStream> = (0..20).map(|_| bridge.connect()).collect();
    for client in &mut clients {
        echoes(client, b"y");
    }
    assert_eq!(
        bridge.metric("failover_dials_total{endpoint=\"first\"}"),
        1.0
    );
    assert_eq!(
        bridge.metric("failover_dials_total{endpoint=\"second\"}"),
        21.0
    );
    assert_eq!(
        bridge.metric("failover_bridge_connections{endpoint=\"second\"}"),
        21.0
    );
}

#[test]
fn clients_take_turns_where_the_file_rotates() {
    let servers = [Server::echo(), Server::echo(), Server::echo()];
    let rotate = "[policy.order]\nwalk = \"rotate\"\n";
    let all: Vec<(String, String)> = servers
        .iter()
        .enumerate()
        .map(|(n, it)| (format!("s{n}"), it.url()))
        .collect();
    let all: Vec<(&str, &str)> = all
        .iter()
        .map(|(name, url)| (name.as_str(), url.as_str()))
        .collect();
    let bridge = Bridge::of(&all, &[], rotate);
    let mut clients: Vec<TcpStream> = (0..6).map(|_| bridge.connect()).collect();
    for client in &mut clients {
        echoes(client, b"x");
    }
    assert_eq!(servers.each_ref().map(Server::accepted), [2, 2, 2]);
}

#[test]
fn a_server_that_accepts_and_drops_is_replaced_before_the_program_notices() {
    let drops = Server::start(|stream| reset(&stream));
    let closes = Server::start(drop);
    let greets = Server::start(|mut stream| {
        stream.write_all(b"INFO\r\n").unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let bridge = start(&[&drops, &closes, &greets], &[]);
    let mut client = bridge.connect();
    let mut heard = [0; 6];
    client.read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"INFO\r\n");
    // A reset that is quick enough is a dial that failed.
    let failed = bridge.status()["servers"][0]["failed_dials"].as_f64();
    let reopened = bridge.metric("failover_bridge_reopened_total");
    assert_eq!(reopened + failed.unwrap(), 2.0);
}

#[test]
fn a_server_of_which_one_way_fails_is_no_server_that_fails() {
    let server = Server::echo();
    let routes = format!(
        "[[endpoints]]\nname = \"two ways\"\nurl = \"{}\"\nroutes = [\"{}\"]\n",
        refusing(),
        server.url()
    );
    let bridge = Bridge::of(&[], &["-v"], &routes);
    let mut client = bridge.connect();
    echoes(&mut client, b"x");
    let status = bridge.status();
    assert_eq!(status["servers"][0]["failed_dials"], 1, "{status:#}");
    assert_eq!(status["connections"][0]["url"], server.url());
    bridge.line("carried");
    assert!(
        !bridge
            .seen
            .lock()
            .unwrap()
            .iter()
            .any(|line| line.contains("server-fails"))
    );
}

#[test]
fn a_server_that_does_not_greet_is_left_for_the_next_and_rests() {
    // It accepts, and is as silent as one that is frozen.
    let frozen = Server::start(|mut stream| drop(stream.read_to_end(&mut Vec::new())));
    let greets = Server::start(|mut stream| {
        stream.write_all(b"INFO\r\n").unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let bridge = start(&[&frozen, &greets], &["--greeting", "300ms"]);
    for _ in 0..2 {
        let mut heard = [0; 6];
        bridge.connect().read_exact(&mut heard).unwrap();
        assert_eq!(&heard, b"INFO\r\n");
    }
    // The second program was not kept waiting.
    assert_eq!((frozen.accepted(), greets.accepted()), (1, 2));
    let frozen = &bridge.status()["servers"][0];
    assert_eq!(frozen["state"], "rests", "{frozen:#}");
    let says = frozen["says"].as_str().unwrap();
    assert!(says.contains("did not greet within 300ms"), "{says}");
}

#[test]
fn a_program_that_spoke_to_a_server_that_does_not_greet_is_reset() {
    let frozen = Server::start(|mut stream| drop(stream.read_to_end(&mut Vec::new())));
    let bridge = start(&[&frozen], &["--greeting", "300ms"]);
    let mut client = bridge.connect();
    client.write_all(b"hello").unwrap();
    let error = client.read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    assert_eq!(bridge.line("ended")["how"], "server-lost");
}
