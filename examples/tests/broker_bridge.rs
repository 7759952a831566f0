//! `failover bridge` between programs that speak NATS and know one address, and a real cluster.
//!
//! `cargo test -p examples --features brokers --test broker_bridge` needs nats-server. Each runs in the
//! foreground on free ports of the loopback interface, and ends with the test that started it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

const LONG: Duration = Duration::from_secs(30);

#[test]
fn a_program_that_knows_one_address_survives_the_kill_of_its_node() {
    let place = Place::new();
    let mut cluster = Node::cluster(&place, 3);
    // The second node is reached over WebSocket: the program speaks plain NATS all the same.
    let urls = [cluster[0].tcp(), cluster[1].ws(), cluster[2].tcp()];
    let bridge = Bridge::start(&place, &urls);

    let mut reader = Program::connect(bridge.address);
    let mut writer = Program::connect(bridge.address);
    assert_eq!((reader.node.as_str(), writer.node.as_str()), ("n0", "n0"));
    reader.subscribe("work");
    writer.publish("work", "before");
    assert_eq!(reader.next(), "before");
    assert_eq!(connections(&bridge.status()), [2, 0, 0]);

    let killed = Instant::now();
    // SIGKILL: nobody says goodbye.
    drop(cluster.remove(0));
    reader.sees_the_end();
    writer.sees_the_end();
    let mut reader = Program::connect(bridge.address);
    let mut writer = Program::connect(bridge.address);
    assert_eq!((reader.node.as_str(), writer.node.as_str()), ("n1", "n1"));
    reader.subscribe("work");
    writer.publish("work", "after");
    assert_eq!(reader.next(), "after");
    println!("kill to the next message: {:?}", killed.elapsed());
    bridge.waits_for(|status| connections(status) == [0, 2, 0]);
    let status = bridge.status();
    assert_eq!(status["servers"][0]["state"], "rests", "{status:#}");
    let why = status["servers"][1]["why"].as_str().unwrap();
    assert!(why.contains("n0 was resting"), "{why}");
}

#[test]
fn the_whole_cluster_is_down_and_a_program_that_waits_gets_the_first_node_back() {
    let place = Place::new();
    let mut cluster = Node::cluster(&place, 2);
    let urls = [cluster[0].tcp(), cluster[1].tcp()];
    let bridge = Bridge::start(&place, &urls);
    let program = Program::connect(bridge.address);
    let second = cluster.pop().unwrap();
    let (name, config, port) = (second.name.clone(), second.config.clone(), second.port);
    drop(second);
    drop(cluster);
    program.sees_the_end();

    // Connected to the bridge, and to nobody behind it.
    let waiting = TcpStream::connect(bridge.address).unwrap();
    bridge.waits_for(|status| status["health"] == "no-server");
    let back = Instant::now();
    let node = Node::run(&place, &name, &config, port);
    let program = Program::over(waiting);
    assert_eq!(program.node, "n1");
    println!("start of the node to its INFO: {:?}", back.elapsed());
    bridge.waits_for(|status| status["health"] == "ok");
    drop(node);
}

#[test]
fn the_tool_s_own_client_goes_through_it_too() {
    let place = Place::new();
    let mut cluster = Node::cluster(&place, 2);
    let urls = [cluster[0].tcp(), cluster[1].tcp()];
    let bridge = Bridge::start(&place, &urls);
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
    let publish_until_it_ends = |reader: &mut Child| {
        let began = Instant::now();
        while reader.try_wait().unwrap().is_none() {
            let published = tool(&["pub", "n.x", "hello"]).output().unwrap();
            assert!(published.status.success(), "{published:?}");
            assert!(began.elapsed() < LONG);
        }
    };
    let mut reader = tool(&["sub", "n.>", "--count", "1"]).spawn().unwrap();
    publish_until_it_ends(&mut reader);
    let mut reader = tool(&["sub", "n.>", "--count", "1"]).spawn().unwrap();
    bridge.waits_for(|status| status["servers"][0]["connections"] == 1);
    drop(cluster.remove(0));
    // The client connects anew by itself; the bridge takes it to the other node.
    publish_until_it_ends(&mut reader);
    assert_eq!(reader.wait_with_output().unwrap().stdout, b"hello\n");
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

    /// An end of file or a reset, and soon.
    fn sees_the_end(mut self) {
        let began = Instant::now();
        let _ = self.stream.read_to_end(&mut Vec::new());
        assert!(began.elapsed() < LONG, "nothing was seen");
    }
}

/// The tool, running. It is killed when it is dropped, by its own process id.
struct Bridge {
    child: Child,
    address: SocketAddr,
    status: SocketAddr,
}

impl Bridge {
    fn start(place: &Place, urls: &[String]) -> Self {
        let mut text = "version = 1\n".to_string();
        for (number, url) in urls.iter().enumerate() {
            text += &format!("[[endpoints]]\nname = \"n{number}\"\nurl = \"{url}\"\n");
        }
        text += "[policy.order]\nwalk = \"listed\"\n";
        let file = place.write("deploy.toml", &text);
        let mut child = Command::new(env!("CARGO_BIN_EXE_failover"))
            .args([
                "bridge",
                "--json",
                "--listen",
                "127.0.0.1:0",
                "--status",
                "127.0.0.1:0",
            ])
            .args(["--config", &file])
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut address = |event: &str| -> SocketAddr {
            let line: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
            assert_eq!(line["event"], event);
            line["address"].as_str().unwrap().parse().unwrap()
        };
        let (status, address) = (address("status"), address("listening"));
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        Self {
            child,
            address,
            status,
        }
    }

    fn status(&self) -> Value {
        let mut stream = TcpStream::connect(self.status).unwrap();
        stream
            .write_all(b"GET /status.json HTTP/1.1\r\n\r\n")
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
    }

    fn waits_for(&self, is_so: impl Fn(&Value) -> bool) {
        let began = Instant::now();
        while !is_so(&self.status()) {
            assert!(began.elapsed() < LONG, "{:#}", self.status());
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A nats-server. It is killed when it is dropped, by its own process id.
struct Node {
    child: Child,
    name: String,
    config: String,
    port: u16,
    ws: u16,
}

impl Node {
    /// Nodes that do not tell their clients of each other: who goes through a bridge is to stay there.
    fn cluster(place: &Place, count: usize) -> Vec<Self> {
        let ports: Vec<u16> = (0..count).map(|_| free_port()).collect();
        let routes = ports.iter().map(|port| format!("nats://127.0.0.1:{port}"));
        let routes = routes.collect::<Vec<_>>().join(", ");
        let nodes = ports.iter().enumerate().map(|(number, route)| {
            let (name, port, ws) = (format!("n{number}"), free_port(), free_port());
            let config = format!(
                "host: 127.0.0.1\nport: {port}\nserver_name: {name}\n\
                 websocket {{ host: 127.0.0.1, port: {ws}, no_tls: true }}\n\
                 cluster {{ name: c, host: 127.0.0.1, port: {route}, routes: [{routes}], no_advertise: true }}\n"
            );
            let mut node = Self::run(place, &name, &config, port);
            node.ws = ws;
            node
        });
        nodes.collect()
    }

    fn run(place: &Place, name: &str, config: &str, port: u16) -> Self {
        let file = place.write(&format!("{name}.conf"), config);
        let log = place.0.join(format!("{name}.log"));
        let mut child = Command::new("/usr/sbin/nats-server")
            .args(["-c", &file])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log).unwrap())
            .spawn()
            .expect("install nats-server, or leave out `--features brokers`");
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let ended = child.try_wait().unwrap();
            if ended.is_some() || began.elapsed() > LONG {
                panic!(
                    "nats-server does not listen ({ended:?}): {}",
                    fs::read_to_string(&log).unwrap()
                );
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Self {
            child,
            name: name.to_string(),
            config: config.to_string(),
            port,
            ws: 0,
        }
    }

    fn tcp(&self) -> String {
        format!("tcp://127.0.0.1:{}", self.port)
    }

    fn ws(&self) -> String {
        format!("ws://127.0.0.1:{}/", self.ws)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A directory of its own.
struct Place(PathBuf);

impl Place {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("failover-broker-bridge-{}-{number}", std::process::id());
        let place = Self(std::env::temp_dir().join(name));
        fs::create_dir_all(&place.0).unwrap();
        place
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// How many programs are connected to each server.
fn connections(status: &Value) -> Vec<u64> {
    let servers = status["servers"].as_array().unwrap().iter();
    servers
        .map(|it| it["connections"].as_u64().unwrap())
        .collect()
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}
