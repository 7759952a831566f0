//! `failover bridge` between programs that speak NATS and know one address, and a real cluster.
//!
//! `cargo test -p examples --features brokers --test broker_bridge` needs nats-server. Each runs in the
//! foreground on free ports of the loopback interface, and ends with the test that started it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    missing_docs
)]

mod brokers;
mod common;

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::brokers::nats::Server;
use crate::common::bridge::Bridge;
use crate::common::{LONG, Place};

#[test]
fn a_program_that_knows_one_address_survives_the_kill_of_its_node() {
    let place = Place::new();
    let mut cluster = cluster(&place, 3);
    // The second node is reached over WebSocket: the program speaks plain NATS all the same.
    let urls = [tcp(&cluster[0]), cluster[1].ws(), tcp(&cluster[2])];
    let bridge = Bridge::numbered(&urls, &["-v"]);

    let mut reader = Program::connect(bridge.address);
    let mut writer = Program::connect(bridge.address);
    assert_eq!((reader.node.as_str(), writer.node.as_str()), ("n0", "n0"));
    reader.subscribe("work");
    writer.publish("work", "before");
    assert_eq!(reader.next(), "before");
    assert_eq!(connections(&bridge.status()), [2, 0, 0]);

    let killed = Instant::now();
    // SIGKILL: nobody says goodbye.
    cluster[0].kill();
    reader.sees_the_end();
    writer.sees_the_end();
    let mut reader = Program::connect(bridge.address);
    let mut writer = Program::connect(bridge.address);
    assert_eq!((reader.node.as_str(), writer.node.as_str()), ("n1", "n1"));
    reader.subscribe("work");
    writer.publish("work", "after");
    assert_eq!(reader.next(), "after");
    println!("kill to the next message: {:?}", killed.elapsed());
    bridge.line("ended");
    bridge.line("ended");
    let status = bridge.status();
    assert_eq!(connections(&status), [0, 2, 0]);
    assert_eq!(status["servers"][0]["state"], "rests", "{status:#}");
    let why = status["servers"][1]["why"].as_str().unwrap();
    assert!(why.contains("s0 was resting"), "{why}");
}

#[test]
fn the_whole_cluster_is_down_and_a_program_that_waits_gets_the_first_node_back() {
    let place = Place::new();
    let mut cluster = cluster(&place, 2);
    let bridge = Bridge::numbered(&[tcp(&cluster[0]), tcp(&cluster[1])], &[]);
    let program = Program::connect(bridge.address);
    cluster.iter_mut().for_each(Server::kill);
    program.sees_the_end();

    // Connected to the bridge, and to nobody behind it.
    let waiting = TcpStream::connect(bridge.address).unwrap();
    bridge.line("server-fails");
    bridge.line("server-fails");
    assert_eq!(bridge.status()["health"], "no-server");
    let back = Instant::now();
    cluster[1].restart();
    let program = Program::over(waiting);
    assert_eq!(program.node, "n1");
    println!("start of the node to its INFO: {:?}", back.elapsed());
    bridge.line("server-back");
    assert_eq!(bridge.status()["health"], "ok");
}

#[test]
fn a_program_of_a_lame_duck_is_let_go_and_goes_to_another_node() {
    let place = Place::new();
    let cluster = cluster(&place, 2);
    let bridge = Bridge::numbered(&[tcp(&cluster[0]), tcp(&cluster[1])], &["-v"]);
    let mut program = Program::connect(bridge.address);
    assert_eq!(program.node, "n0");
    program.publish("work", "before");
    cluster[0].signal("USR2");
    // The node tells it, takes nobody new, and ends its connection: so does the bridge.
    program.sees_the_end();
    let mut program = Program::connect(bridge.address);
    assert_eq!(program.node, "n1");
    program.publish("work", "after");
    bridge.line("ended");
    assert_eq!(connections(&bridge.status()), [0, 1]);
}

#[test]
fn a_frozen_node_is_not_chosen_again() {
    let place = Place::new();
    let cluster = cluster(&place, 2);
    let urls = [tcp(&cluster[0]), tcp(&cluster[1])];
    let bridge = Bridge::numbered(&urls, &["--greeting", "500ms"]);
    let mut program = Program::connect(bridge.address);
    assert_eq!(program.node, "n0");
    cluster[0].signal("STOP");
    // What a program does that has a heartbeat of its own: it asks, hears nothing, and connects anew.
    program.say("PING\r\n");
    assert_eq!(
        program.hears_nothing(Duration::from_millis(500)),
        ErrorKind::WouldBlock
    );
    drop(program);
    let began = Instant::now();
    let first = Program::connect(bridge.address);
    assert_eq!(first.node, "n1");
    let took = began.elapsed();
    // A greeting that does not come, and a dial.
    assert!(took < Duration::from_millis(1500), "{took:?}");
    // Whoever comes now is not kept waiting.
    let began = Instant::now();
    let second = Program::connect(bridge.address);
    assert_eq!(second.node, "n1");
    assert!(
        began.elapsed() < Duration::from_millis(400),
        "{:?}",
        began.elapsed()
    );
    // The frozen node has not noticed that the first program is gone: what it had is still there.
    let status = bridge.status();
    let says = status["servers"][0]["says"].as_str().unwrap();
    assert!(says.contains("rests for new clients"), "{says}");
    assert!(says.contains("did not greet within 500ms"), "{says}");
    cluster[0].signal("CONT");
}

#[test]
fn a_rolling_restart_costs_a_program_one_connection_for_each_node() {
    let place = Place::new();
    let mut cluster = cluster(&place, 3);
    let urls: Vec<String> = cluster.iter().map(tcp).collect();
    let bridge = Bridge::numbered(&urls, &[]);
    let mut program = Program::connect(bridge.address);
    let mut visited = vec![program.node.clone()];
    for (number, node) in cluster.iter_mut().enumerate() {
        program.publish("work", "before");
        let its_own = program.node == format!("n{number}");
        node.kill();
        if its_own {
            program.sees_the_end();
            program = Program::connect(bridge.address);
            visited.push(program.node.clone());
        }
        node.restart();
        program.publish("work", "after");
    }
    // Each node costs a connection; at the end it is one that was restarted before.
    assert_eq!(visited[..3], ["n0", "n1", "n2"]);
    assert!(visited.len() == 4 && visited[3] != "n2", "{visited:?}");
}

#[test]
fn the_tool_s_own_client_goes_through_it_too() {
    let place = Place::new();
    let mut cluster = cluster(&place, 2);
    let bridge = Bridge::numbered(&[tcp(&cluster[0]), tcp(&cluster[1])], &["-v"]);
    let through = format!("nats://{}", bridge.address);
    let tool = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_failover"));
        command.args(["nats", "-s", &through]).args(arguments);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    };
    let mut reader = tool(&["sub", "n.>", "--count", "2"]).spawn().unwrap();
    let mut heard = BufReader::new(reader.stdout.take().unwrap());
    let tool = &tool;
    let mut publish_until_it_hears = || {
        let (stop, stopped) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let began = Instant::now();
                // A subscriber that is not there yet hears nothing.
                while stopped.try_recv().is_err() {
                    let published = tool(&["pub", "n.x", "hello"]).output().unwrap();
                    assert!(published.status.success(), "{published:?}");
                    assert!(began.elapsed() < LONG);
                }
            });
            let mut line = String::new();
            heard.read_line(&mut line).unwrap();
            stop.send(()).unwrap();
            assert_eq!(line, "hello\n");
        });
    };
    publish_until_it_hears();
    cluster[0].kill();
    // The client connects anew by itself; the bridge takes it to the other node.
    publish_until_it_hears();
    assert!(reader.wait().unwrap().success());
}

/// Nodes that do not tell their clients of each other: who goes through a bridge is to stay there.
fn cluster(place: &Place, count: usize) -> Vec<Server> {
    let duck = "lame_duck_duration: 30s\nlame_duck_grace_period: 1s";
    Server::cluster_with(place, count, "no_advertise: true", duck)
}

fn tcp(server: &Server) -> String {
    format!("tcp://127.0.0.1:{}", server.port)
}

/// A program that cannot be changed: it knows one address and the protocol, and does not reconnect.
struct Program {
    stream: BufReader<TcpStream>,
    /// The node that greeted it.
    node: String,
}

impl Program {
    fn connect(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).unwrap())
    }

    fn over(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(LONG)).unwrap();
        let mut program = Self {
            stream: BufReader::new(stream),
            node: String::new(),
        };
        let info = program.line();
        let info: Value = serde_json::from_str(info.strip_prefix("INFO ").unwrap()).unwrap();
        program.node = info["server_name"].as_str().unwrap().to_string();
        program.say("CONNECT {\"verbose\":false,\"pedantic\":false}\r\nPING\r\n");
        assert_eq!(program.line(), "PONG");
        program
    }

    fn say(&mut self, text: &str) {
        self.stream.get_mut().write_all(text.as_bytes()).unwrap();
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        loop {
            line.clear();
            let read = self.stream.read_line(&mut line).unwrap();
            assert!(read > 0, "the connection ended");
            match line.trim_end() {
                "PING" => self.say("PONG\r\n"),
                // The cluster changes: a new INFO comes unasked.
                info if info.starts_with("INFO ") && !self.node.is_empty() => {}
                line => return line.to_string(),
            }
        }
    }

    fn subscribe(&mut self, subject: &str) {
        self.say(&format!("SUB {subject} 1\r\nPING\r\n"));
        assert_eq!(self.line(), "PONG");
    }

    fn publish(&mut self, subject: &str, text: &str) {
        self.say(&format!(
            "PUB {subject} {}\r\n{text}\r\nPING\r\n",
            text.len()
        ));
        assert_eq!(self.line(), "PONG");
    }

    fn next(&mut self) -> String {
        let head = self.line();
        assert!(head.starts_with("MSG "), "{head}");
        self.line()
    }

    /// How it ends that nothing comes for so long.
    fn hears_nothing(&mut self, most: Duration) -> ErrorKind {
        self.stream.get_ref().set_read_timeout(Some(most)).unwrap();
        let mut heard = [0; 4096];
        // What was on its way already is no answer.
        while let Ok(count) = self.stream.read(&mut heard).map_err(|error| error.kind()) {
            assert!(count > 0, "the connection ended");
        }
        self.stream.read(&mut heard).unwrap_err().kind()
    }

    /// An end of file or a reset, and soon.
    fn sees_the_end(mut self) {
        let began = Instant::now();
        let _ = self.stream.read_to_end(&mut Vec::new());
        assert!(began.elapsed() < LONG, "nothing was seen");
    }
}

/// How many programs are connected to each server.
fn connections(status: &Value) -> Vec<u64> {
    let servers = status["servers"].as_array().unwrap().iter();
    servers
        .map(|it| it["connections"].as_u64().unwrap())
        .collect()
}
