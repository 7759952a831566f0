//! What goes through it, and how a connection ends.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::path::PathBuf;
use std::sync::mpsc;
use std::time::Duration;

use crate::common::bridge::{Bridge, tool};
use crate::common::{LONG, Place};
use crate::servers::{Server, echoes, reset, start};
use crate::wrapped;

#[test]
fn bytes_pass_both_ways_and_the_end_of_one_way_leaves_the_other_open() {
    let server = Server::start(|mut stream| {
        // Answers only once the program has ended its side.
        let mut asked = Vec::new();
        stream.read_to_end(&mut asked).unwrap();
        asked.reverse();
        stream.write_all(&asked).unwrap();
    });
    let bridge = start(&[&server], &["-v"]);
    let mut client = bridge.connect();
    let sent: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    client.write_all(&sent).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut heard = Vec::new();
    client.read_to_end(&mut heard).unwrap();
    heard.reverse();
    assert!(heard == sent, "{} bytes came back", heard.len());
    assert_eq!(bridge.line("ended")["how"], "finished");
    let how = &bridge.status()["ended"][0]["how"];
    assert_eq!(how, "both sides had finished");
    let metrics = bridge.get("/metrics", "").1;
    assert!(metrics.contains("failover_bridge_bytes_total{to=\"server\"} 3000000\n"));
    assert!(metrics.contains("failover_bridge_bytes_total{to=\"client\"} 3000000\n"));
}

#[test]
fn a_server_that_does_not_read_stops_the_program_that_writes() {
    let (let_go, wait) = mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let server = Server::start(move |mut stream| {
        wait.lock().unwrap().recv().unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        stream.write_all(all.len().to_string().as_bytes()).unwrap();
    });
    let bridge = start(&[&server], &[]);
    let mut client = bridge.connect();
    client
        .set_write_timeout(Some(Duration::from_millis(500)))
        .unwrap();
    // What is written fills the kernel's buffers and the bridge's 16 KiB, and then nothing more goes.
    let mut written: u64 = 0;
    let chunk = vec![7; 64 * 1024];
    loop {
        match client.write(&chunk) {
            Ok(n) => written += n as u64,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => panic!("{error}"),
        }
        assert!(written < 256 * 1024 * 1024, "nothing holds the writer back");
    }
    let_go.send(()).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut heard = String::new();
    client.read_to_string(&mut heard).unwrap();
    assert_eq!(heard, written.to_string());
}

#[test]
fn a_server_that_breaks_under_way_resets_the_program_and_the_next_connection_goes_elsewhere() {
    let first = Server::start(|mut stream| {
        let mut one = [0];
        stream.read_exact(&mut one).unwrap();
        stream.write_all(b"half an ans").unwrap();
        reset(&stream);
    });
    let second = Server::echo();
    let bridge = start(&[&first, &second], &[]);
    let mut client = bridge.connect();
    client.write_all(b"?").unwrap();
    let mut heard = Vec::new();
    let error = client.read_to_end(&mut heard).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    let ended = bridge.line("ended");
    assert_eq!(ended["how"], "server-lost", "{ended}");
    first.close();
    echoes(&mut bridge.connect(), b"again");
}

#[test]
fn a_server_that_says_goodbye_under_way_ends_the_programs_connection_with_an_end() {
    let server = Server::start(|mut stream| stream.write_all(b"bye").unwrap());
    let bridge = start(&[&server], &["-v"]);
    let mut client = bridge.connect();
    let mut heard = String::new();
    client.read_to_string(&mut heard).unwrap();
    assert_eq!(heard, "bye");
    drop(client);
    assert_eq!(bridge.line("ended")["how"], "finished");
}

#[test]
fn a_program_that_resets_resets_its_server() {
    let (tell, told) = mpsc::channel();
    let server = Server::start(move |mut stream| {
        let mut some = [0; 4];
        stream.read_exact(&mut some).unwrap();
        tell.send(Ok(0)).unwrap();
        let ended = stream.read(&mut some).map_err(|error| error.kind());
        tell.send(ended).unwrap();
    });
    let bridge = start(&[&server], &[]);
    let mut client = bridge.connect();
    client.write_all(b"some").unwrap();
    assert_eq!(told.recv_timeout(LONG).unwrap(), Ok(0));
    reset(&client);
    drop(client);
    assert_eq!(
        told.recv_timeout(LONG).unwrap(),
        Err(ErrorKind::ConnectionReset)
    );
}

#[test]
fn tls_and_websocket_servers_stand_behind_a_plain_local_listener() {
    let place = Place::new();
    let servers = wrapped::start(&place);
    for (url, transport) in servers {
        let bridge = Bridge::of(&[("only", &url)], &[], &transport);
        let mut client = bridge.connect();
        echoes(&mut client, b"through the wrapping");
        let url = bridge.status()["connections"][0]["url"].clone();
        assert_eq!(
            url.as_str().unwrap().trim_end_matches('/'),
            url.as_str().unwrap()
        );
        // TLS passes an end of one way on, WebSocket says goodbye: the answer is an end either way.
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(client.read(&mut [0]).unwrap(), 0, "{url}");
    }
}

#[test]
fn programs_may_connect_over_a_unix_socket() {
    use std::os::unix::net::UnixStream;

    let server = Server::echo();
    let place = Place::new();
    let socket = PathBuf::from(place.path("bridge.sock"));
    // One that a program left behind is replaced; one that is in use is not.
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    let listen = format!("unix:{}", socket.display());
    let mut bridge = Bridge::listening(&[("only", &server.url())], &listen, &[], "");
    let mut client = UnixStream::connect(&socket).unwrap();
    client.write_all(b"hello").unwrap();
    let mut heard = [0; 5];
    client.read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"hello");
    let second = tool(&[
        "--config",
        bridge.file.to_str().unwrap(),
        "--listen",
        &listen,
    ]);
    assert_eq!(second.0, 1);
    assert!(second.1.contains("cannot listen on unix:"), "{}", second.1);
    drop(client);
    bridge.signal("TERM");
    assert_eq!(bridge.ends(), 0);
    assert!(!socket.exists());
}
