//! How the bridge itself ends.

use std::io::{ErrorKind, Read};
use std::net::TcpStream;

use crate::servers::{Server, echoes, start};

#[test]
fn asked_to_end_it_takes_nobody_new_and_lets_the_others_finish() {
    let server = Server::echo();
    let mut bridge = start(&[&server], &[]);
    let mut client = bridge.connect();
    echoes(&mut client, b"before");
    bridge.signal("TERM");
    bridge.line("stopping");
    let refused = TcpStream::connect(bridge.address).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    assert_eq!(bridge.get("/health", "").0, 503);
    echoes(&mut client, b"meanwhile");
    drop(client);
    assert_eq!(bridge.ends(), 0);
}

#[test]
fn whoever_has_not_finished_within_the_grace_is_cut_off() {
    let server = Server::echo();
    let mut bridge = start(&[&server], &["--grace", "200ms"]);
    let mut client = bridge.connect();
    echoes(&mut client, b"x");
    bridge.signal("INT");
    let error = client.read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert_eq!(bridge.ends(), 3);
}

#[test]
fn asked_twice_it_ends_at_once() {
    let server = Server::echo();
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let mut bridge = start(&[&server], &["--grace", "1h"]);
        let mut client = bridge.connect();
        echoes(&mut client, b"x");
        bridge.signal(signal);
        bridge.line("stopping");
        bridge.signal(signal);
        assert_eq!(bridge.ends(), code);
        assert!(client.read(&mut [0]).is_err());
    }
}
