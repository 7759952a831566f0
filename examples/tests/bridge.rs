//! `failover bridge`: real programs on one side, real servers on the other, and the tool itself between.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

const LONG: Duration = Duration::from_secs(20);

#[test]
fn bytes_pass_both_ways_and_the_end_of_one_way_leaves_the_other_open() {
    let server = Server::start(|mut stream| {
        // Answers only once the program has ended its side.
        let mut asked = Vec::new();
        stream.read_to_end(&mut asked).unwrap();
        asked.reverse();
        stream.write_all(&asked).unwrap();
    });
    let bridge = Bridge::start(&[&server], &[]);
    let mut client = bridge.connect();
    let sent: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    client.write_all(&sent).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut heard = Vec::new();
    client.read_to_end(&mut heard).unwrap();
    heard.reverse();
    assert!(heard == sent, "{} bytes came back", heard.len());
    bridge.waits_for(|status| status["ended"][0]["how"] == "both sides had finished");
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
    let bridge = Bridge::start(&[&server], &[]);
    let mut client = bridge.connect();
    client.set_nonblocking(true).unwrap();
    // What is written fills the kernel's buffers and the bridge's 16 KiB, and then nothing more goes.
    let mut written: u64 = 0;
    let mut full_since = None;
    let chunk = vec![7; 64 * 1024];
    loop {
        match client.write(&chunk) {
            Ok(n) => (written, full_since) = (written + n as u64, None),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                let since = *full_since.get_or_insert_with(Instant::now);
                if since.elapsed() > Duration::from_millis(500) {
                    break;
                }
                thread::sleep(Duration::from_millis(5));
            }
            Err(error) => panic!("{error}"),
        }
        assert!(written < 256 * 1024 * 1024, "nothing holds the writer back");
    }
    client.set_nonblocking(false).unwrap();
    let_go.send(()).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut heard = String::new();
    client.read_to_string(&mut heard).unwrap();
    assert_eq!(heard, written.to_string());
}

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
fn a_server_that_breaks_under_way_resets_the_program_and_the_next_connection_goes_elsewhere() {
    let first = Server::start(|mut stream| {
        let mut one = [0];
        stream.read_exact(&mut one).unwrap();
        stream.write_all(b"half an ans").unwrap();
        reset(&stream);
    });
    let second = Server::echo();
    let bridge = Bridge::start(&[&first, &second], &[]);
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
    let bridge = Bridge::start(&[&server], &[]);
    let mut client = bridge.connect();
    let mut heard = String::new();
    client.read_to_string(&mut heard).unwrap();
    assert_eq!(heard, "bye");
    drop(client);
    bridge.waits_for(|status| status["ended"][0]["how"] == "both sides had finished");
}

#[test]
fn a_program_that_resets_resets_its_server() {
    let (tell, told) = mpsc::channel();
    let server = Server::start(move |mut stream| {
        let mut all = Vec::new();
        let ended = stream.read_to_end(&mut all).map_err(|error| error.kind());
        tell.send(ended.map(|_| all)).unwrap();
    });
    let bridge = Bridge::start(&[&server], &[]);
    let mut client = bridge.connect();
    client.write_all(b"some").unwrap();
    bridge.waits_for(|status| status["connections"][0]["bytes_to_server"] == 4);
    reset(&client);
    drop(client);
    assert_eq!(
        told.recv_timeout(LONG).unwrap(),
        Err(ErrorKind::ConnectionReset)
    );
}

#[test]
fn a_server_that_accepts_and_drops_is_replaced_before_the_program_notices() {
    let drops = Server::start(|stream| reset(&stream));
    let closes = Server::start(drop);
    let greets = Server::start(|mut stream| {
        stream.write_all(b"INFO\r\n").unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let bridge = Bridge::start(&[&drops, &closes, &greets], &[]);
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
    assert!(text.starts_with("no-server: none of 1 servers"), "{text}");
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
    let bridge = Bridge::of(&[("only", &dead)], &[], "");
    let client = bridge.connect();
    bridge.line("server-fails");
    reset(&client);
    drop(client);
    bridge.waits_for(|status| {
        status["ended"][0]["how"] == "the program went away before a server was there"
    });
    assert_eq!(bridge.status()["clients"]["waiting"], 0);
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
fn beyond_the_limit_programs_wait_until_one_ends() {
    let server = Server::echo();
    let bridge = Bridge::start(&[&server], &["--max-connections", "2"]);
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
    let bridge = Bridge::start(&[&server], &["--idle", "2s"]);
    let mut client = bridge.connect();
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(3) {
        echoes(&mut client, b"x");
        thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
    assert!(began.elapsed() >= Duration::from_millis(4900));
    bridge.waits_for(|status| {
        status["ended"][0]["how"]
            .as_str()
            .is_some_and(|how| how.contains("--idle"))
    });
}

#[test]
fn asked_to_end_it_takes_nobody_new_and_lets_the_others_finish() {
    let server = Server::echo();
    let mut bridge = Bridge::start(&[&server], &[]);
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
    let mut bridge = Bridge::start(&[&server], &["--grace", "200ms"]);
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
        let mut bridge = Bridge::start(&[&server], &["--grace", "1h"]);
        let mut client = bridge.connect();
        echoes(&mut client, b"x");
        bridge.signal(signal);
        bridge.line("stopping");
        bridge.signal(signal);
        assert_eq!(bridge.ends(), code);
        assert!(client.read(&mut [0]).is_err());
    }
}

#[test]
fn a_changed_file_counts_for_new_connections_and_a_removed_server_is_left_after_the_grace() {
    let (old, new) = (Server::echo(), Server::echo());
    let bridge = Bridge::of(&[("old", &old.url())], &["--grace", "2s"], "");
    let mut first = bridge.connect();
    echoes(&mut first, b"x");

    bridge.write(&[("new", &new.url()), ("old", &old.url())], "");
    let taken = bridge.line("file-taken");
    assert_eq!(taken["came"], serde_json::json!(["new"]));
    let mut second = bridge.connect();
    echoes(&mut second, b"y");
    assert_eq!((old.accepted(), new.accepted()), (1, 1));
    echoes(&mut first, b"still here");

    bridge.write(&[("new", &new.url())], "");
    let taken = bridge.line("file-taken");
    assert_eq!(taken["left"], serde_json::json!(["old"]));
    echoes(&mut first, b"within the grace");
    let error = first.read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    echoes(&mut second, b"not concerned");
}

#[test]
fn a_program_that_waits_is_served_by_the_new_file() {
    let dead = refusing();
    let bridge = Bridge::of(&[("only", &dead)], &[], "");
    let mut client = bridge.connect();
    bridge.line("server-fails");
    let server = Server::echo();
    bridge.write(&[("only", &server.url())], "");
    bridge.signal("HUP");
    echoes(&mut client, b"hello");
}

#[test]
fn a_file_that_makes_no_sense_is_refused_and_the_old_one_stays() {
    let server = Server::echo();
    let bridge = Bridge::start(&[&server], &[]);
    for nonsense in [
        "not toml at all [",
        "version = 1\nendpoints = [\"tpc://joe:hunter2@h:1\"]\n",
    ] {
        std::fs::write(&bridge.file, nonsense).unwrap();
        let refused = bridge.line("file-refused");
        let error = refused["error"].as_str().unwrap().to_string();
        assert!(error.contains("deploy.toml"), "{error}");
        let (_, page) = bridge.get("/", "");
        assert!(page.contains("WAS REFUSED"), "{page}");
        assert!(!(page + &error).contains("hunter2"));
        echoes(&mut bridge.connect(), b"the old one");
    }
    assert_eq!(
        bridge.metric("failover_bridge_reloads_total{result=\"refused\"}"),
        2.0
    );
    std::fs::remove_file(&bridge.file).unwrap();
    bridge.line("file-refused");
    bridge.write(&[("again", &server.url())], "");
    bridge.line("file-taken");
    assert!(!bridge.get("/", "").1.contains("WAS REFUSED"));
}

#[test]
fn every_line_of_the_metrics_is_valid_and_every_name_has_one_head() {
    let dead = refusing();
    let server = Server::echo();
    let bridge = Bridge::of(
        &[("a \\\"quoted\\\" name", &dead), ("b\\\\c", &server.url())],
        &[],
        "",
    );
    echoes(&mut bridge.connect(), b"x");
    bridge.waits_for(|status| {
        status["ended"]
            .as_array()
            .is_some_and(|ended| !ended.is_empty())
    });
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
    let bridge = Bridge::start(&[&server], &[]);
    assert_eq!(
        bridge.get("/health", ""),
        (200, "ok: 1 of 1 servers ready\n".to_string())
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

#[test]
fn tls_and_websocket_servers_stand_behind_a_plain_local_listener() {
    let place = Folder::new();
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
    let place = Folder::new();
    let socket = place.0.join("bridge.sock");
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

#[test]
fn bad_configuration_exits_with_2_and_says_what() {
    let place = Folder::new();
    let file = place.0.join("deploy.toml");
    let path = file.to_str().unwrap();
    let good = "version = 1\nendpoints = [\"tcp://127.0.0.1:1\"]\n";
    let run = |text: &str, arguments: &[&str]| {
        std::fs::write(&file, text).unwrap();
        tool(&[&["--config", path], arguments].concat())
    };
    let listen = ["--listen", "127.0.0.1:0"];
    for (text, arguments, told) in [
        ("", &listen[..], "this file has no version"),
        ("version = 1\n", &listen, "there is no endpoint"),
        (
            "version = 1\nendpoints = [\"tpc://a:1\"]\n",
            &listen,
            "no transport for scheme `tpc`",
        ),
        (
            "version = 1\nendpoints = [\"tcp://j:hunter2@a\"]\n",
            &listen,
            "port",
        ),
        (
            &format!("{good}[policy]\ndedline = \"1s\"\n"),
            &listen,
            "did you mean `deadline`?",
        ),
        (
            &format!("{good}[policy.pace]\ncustom = \"bounded\"\n"),
            &listen,
            "delay hook",
        ),
        (
            &format!("{good}[transport.tls]\nca = \"no/such/file\"\n"),
            &listen,
            "no/such/file",
        ),
        (good, &["--listen", "4222"], "is no place to listen at"),
        (
            good,
            &["--listen", "127.0.0.1:0", "--wait", "0s"],
            "--wait 0s",
        ),
        (
            good,
            &["--listen", "127.0.0.1:0", "--max-connections", "0"],
            "--max-connections",
        ),
        (
            good,
            &["--listen", "127.0.0.1:0", "--set", "policy.dedline=1s"],
            "did you mean",
        ),
        (good, &[], "--listen"),
    ] {
        let (code, stderr) = run(text, arguments);
        assert_eq!(code, 2, "{told}: {stderr}");
        assert!(stderr.contains(told), "{told}: {stderr}");
        assert!(!stderr.contains("hunter2"), "{stderr}");
    }
    let (code, stderr) = tool(&["--config", "no/such/file", "--listen", "127.0.0.1:0"]);
    assert_eq!(code, 2);
    assert!(stderr.contains("no/such/file"), "{stderr}");
    assert_eq!(run(good, &["--check"]).0, 0);
    assert_eq!(run("", &["--check"]).0, 2);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    assert_eq!(run(good, &["--listen", &taken]).0, 1);
}

#[test]
fn fewer_descriptors_than_it_may_need_are_told_at_the_start() {
    let place = Folder::new();
    let file = place.0.join("deploy.toml");
    write(&file, &[("only", "tcp://127.0.0.1:1")], "");
    let ran = Command::new("sh")
        .args(["-c", "ulimit -n 200 && exec \"$0\" \"$@\""])
        .arg(env!("CARGO_BIN_EXE_failover"))
        .args(["bridge", "--listen", "127.0.0.1:0", "--config"])
        .arg(&file)
        .output()
        .unwrap();
    assert_eq!(ran.status.code(), Some(2));
    let told = String::from_utf8(ran.stderr).unwrap();
    assert!(
        told.contains("need 1128 descriptors, this process may have 200"),
        "{told}"
    );
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

/// TLS and WebSocket around an echo.
mod wrapped {
    use std::sync::Arc;

    use futures_util::{SinkExt, StreamExt};
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
    use rustls::ServerConfig;
    use rustls::crypto::ring;
    use rustls::pki_types::PrivateKeyDer;
    use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;

    use super::Folder;

    /// Their URLs, each with the transports' table of its file.
    pub(crate) fn start(place: &Folder) -> Vec<(String, String)> {
        let acceptor = acceptor(place);
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.unwrap().block_on(async {
                let mut ports = Vec::new();
                for (tls, ws) in [(true, false), (false, true), (true, true)] {
                    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                    ports.push(listener.local_addr().unwrap().port());
                    tokio::spawn(serve(listener, tls.then(|| acceptor.clone()), ws));
                }
                tell.send(ports).unwrap();
                std::future::pending::<()>().await
            })
        });
        let ports = told.recv().unwrap();
        let ca = format!(
            "[transport.tls]\nca = {:?}\n",
            place.0.join("ca.pem").display().to_string()
        );
        vec![
            (format!("tls://127.0.0.1:{}", ports[0]), ca.clone()),
            (format!("ws://127.0.0.1:{}", ports[1]), String::new()),
            (format!("wss://127.0.0.1:{}/feed", ports[2]), ca),
        ]
    }

    async fn serve(listener: TcpListener, tls: Option<TlsAcceptor>, ws: bool) {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let tls = tls.clone();
            tokio::spawn(async move {
                match tls {
                    None => echo(stream, ws).await,
                    Some(tls) => echo(tls.accept(stream).await.unwrap(), ws).await,
                }
            });
        }
    }

    async fn echo(mut stream: impl AsyncRead + AsyncWrite + Unpin, ws: bool) {
        if ws {
            let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
            while let Some(Ok(message)) = socket.next().await {
                if message.is_binary() {
                    socket.send(message).await.unwrap();
                }
            }
            return;
        }
        let mut buffer = [0; 1024];
        loop {
            match stream.read(&mut buffer).await.unwrap() {
                0 => return stream.shutdown().await.unwrap(),
                n => stream.write_all(&buffer[..n]).await.unwrap(),
            }
        }
    }

    fn acceptor(place: &Folder) -> TlsAcceptor {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        std::fs::write(place.0.join("ca.pem"), authority.pem()).unwrap();
        let key = KeyPair::generate().unwrap();
        let server = CertificateParams::new(["127.0.0.1".to_string()]).unwrap();
        let server = server.signed_by(&key, &authority).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![server.der().clone()],
                PrivateKeyDer::Pkcs8(key.serialize_der().into()),
            )
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }
}

/// The tool, running. It is killed when it is dropped, by its own process id.
struct Bridge {
    child: Child,
    lines: std::sync::Mutex<mpsc::Receiver<String>>,
    seen: std::sync::Mutex<Vec<String>>,
    address: SocketAddr,
    status_address: SocketAddr,
    file: PathBuf,
    _folder: Folder,
}

impl Bridge {
    /// To these servers, the first one preferred.
    fn start(servers: &[&Server], arguments: &[&str]) -> Self {
        let urls: Vec<(String, String)> = servers
            .iter()
            .enumerate()
            .map(|(n, it)| (format!("s{n}"), it.url()))
            .collect();
        let named: Vec<(&str, &str)> = urls
            .iter()
            .map(|(name, url)| (name.as_str(), url.as_str()))
            .collect();
        Self::of(&named, arguments, "")
    }

    fn of(servers: &[(&str, &str)], arguments: &[&str], more: &str) -> Self {
        Self::listening(servers, "127.0.0.1:0", arguments, more)
    }

    fn listening(servers: &[(&str, &str)], listen: &str, arguments: &[&str], more: &str) -> Self {
        let folder = Folder::new();
        let file = folder.0.join("deploy.toml");
        write(&file, servers, more);
        // With few descriptors at first: it helps itself to as many as it needs.
        let mut child = Command::new("sh")
            .args(["-c", "ulimit -Sn 32 && exec \"$0\" \"$@\""])
            .arg(env!("CARGO_BIN_EXE_failover"))
            .args([
                "bridge",
                "--json",
                "--status",
                "127.0.0.1:0",
                "--listen",
                listen,
            ])
            .arg("--config")
            .arg(&file)
            .args(arguments)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (tell, lines) = mpsc::channel();
        thread::spawn(move || {
            stderr
                .lines()
                .map_while(Result::ok)
                .all(|line| tell.send(line).is_ok())
        });
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let mut bridge = Self {
            child,
            lines: std::sync::Mutex::new(lines),
            seen: std::sync::Mutex::default(),
            address: nowhere,
            status_address: nowhere,
            file,
            _folder: folder,
        };
        let address = |line: &Value| line["address"].as_str().unwrap().parse().unwrap_or(nowhere);
        bridge.status_address = address(&bridge.line("status"));
        bridge.address = address(&bridge.line("listening"));
        bridge
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        stream
    }

    /// The next line of this event.
    fn line(&self, event: &str) -> Value {
        let until = Instant::now() + LONG;
        let lines = self.lines.lock().unwrap();
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let line = lines.recv_timeout(left);
            let line = line.unwrap_or_else(|_| {
                panic!("no line says {event}: {:#?}", self.seen.lock().unwrap())
            });
            self.seen.lock().unwrap().push(line.clone());
            let line: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line}"));
            if line["event"] == event {
                return line;
            }
        }
    }

    /// All lines that were told, once it has ended.
    fn rest(&self) -> Vec<String> {
        let mut seen = self.seen.lock().unwrap();
        seen.extend(self.lines.lock().unwrap().iter());
        seen.clone()
    }

    fn get(&self, path: &str, accept: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.status_address).unwrap();
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: a\r\nAccept: {accept}\r\n\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head[9..12].parse().unwrap(), body.to_string())
    }

    fn status(&self) -> Value {
        serde_json::from_str(&self.get("/", "application/json").1).unwrap()
    }

    fn waits_for(&self, is_so: impl Fn(&Value) -> bool) {
        let began = Instant::now();
        while !is_so(&self.status()) {
            assert!(began.elapsed() < LONG, "{:#}", self.status());
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn metric(&self, series: &str) -> f64 {
        let (_, text) = self.get("/metrics", "");
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {series}: {text}"))
            .parse()
            .unwrap()
    }

    /// Writes the file anew, as an editor does: whole.
    fn write(&self, servers: &[(&str, &str)], more: &str) {
        let new = self.file.with_extension("new");
        write(&new, servers, more);
        std::fs::rename(new, &self.file).unwrap();
    }

    fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", signal, &id]).status();
        assert!(sent.unwrap().success());
    }

    fn ends(&mut self) -> i32 {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code().unwrap();
            }
            assert!(began.elapsed() < LONG, "it does not end");
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A deployment: the first server is preferred, unless `more` says otherwise.
fn write(file: &Path, servers: &[(&str, &str)], more: &str) {
    let mut text = "version = 1\n".to_string();
    for (name, url) in servers {
        text += &format!("[[endpoints]]\nname = \"{name}\"\nurl = \"{url}\"\n");
    }
    if !more.contains("policy.order") {
        text += "[policy.order]\nwalk = \"listed\"\n";
    }
    std::fs::write(file, text + more).unwrap();
}

/// A TCP server: each connection on a thread of its own.
struct Server {
    address: SocketAddr,
    accepted: Arc<AtomicUsize>,
    closed: Arc<AtomicUsize>,
}

impl Server {
    fn start(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        Self::at(([127, 0, 0, 1], 0).into(), serve)
    }

    fn echo() -> Self {
        Self::start(echo)
    }

    fn at(address: SocketAddr, serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let server = Self {
            address: listener.local_addr().unwrap(),
            accepted: Arc::default(),
            closed: Arc::default(),
        };
        let (accepted, closed) = (Arc::clone(&server.accepted), Arc::clone(&server.closed));
        let serve = Arc::new(serve);
        thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                if closed.load(Ordering::SeqCst) > 0 {
                    return;
                }
                accepted.fetch_add(1, Ordering::SeqCst);
                let serve = Arc::clone(&serve);
                thread::spawn(move || serve(stream));
            }
        });
        server
    }

    fn url(&self) -> String {
        format!("tcp://{}", self.address)
    }

    fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    /// From now on connections are refused.
    fn close(&self) {
        self.closed.store(1, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        while TcpStream::connect(self.address).is_ok() {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

fn echo(mut stream: TcpStream) {
    let mut buffer = [0; 4096];
    while let Ok(n) = stream.read(&mut buffer) {
        if n == 0 || stream.write_all(&buffer[..n]).is_err() {
            return;
        }
    }
}

fn echoes(client: &mut TcpStream, bytes: &[u8]) {
    client.write_all(bytes).unwrap();
    let mut heard = vec![0; bytes.len()];
    client.read_exact(&mut heard).unwrap();
    assert_eq!(heard, bytes);
}

/// From now on the connection's close is a reset.
fn reset(stream: &TcpStream) {
    let stream = tokio::net::TcpSocket::from_std_stream(stream.try_clone().unwrap());
    stream.set_zero_linger().unwrap();
}

/// The URL of a port on which nobody listens.
fn refusing() -> String {
    let gone = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("tcp://{}", gone.local_addr().unwrap())
}

/// Runs `failover bridge` to its end, which comes at once: exit code and standard error.
fn tool(arguments: &[&str]) -> (i32, String) {
    let ran = Command::new(env!("CARGO_BIN_EXE_failover"))
        .arg("bridge")
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    (
        ran.status.code().unwrap(),
        String::from_utf8(ran.stderr).unwrap(),
    )
}

/// A directory of its own.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("failover-bridge-{}-{number}", std::process::id());
        let folder = Self(std::env::temp_dir().join(name));
        std::fs::create_dir_all(&folder.0).unwrap();
        folder
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
