//! Its file: what it may say, and what happens when it changes.

use std::io::{ErrorKind, Read};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;

use crate::common::Place;
use crate::common::bridge::{Bridge, tool, write};
use crate::servers::{Server, echoes, refusing, start};

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
    let bridge = start(&[&server], &[]);
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
fn bad_configuration_exits_with_2_and_says_what() {
    let place = Place::new();
    let file = PathBuf::from(place.path("deploy.toml"));
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
    let place = Place::new();
    let file = PathBuf::from(place.path("deploy.toml"));
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
