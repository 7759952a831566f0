//! The MQTT client on the link, against real mosquitto brokers.
//!
//! `cargo test -p examples --features brokers --test broker_mqtt` needs mosquitto. Each broker runs in the
//! foreground on free ports of the loopback interface and ends with the test that started it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    missing_docs
)]

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use examples::mqtt::{Incoming, Mqtt, Publish, Qos, dialer, subscribe};
use failover_core::directory::Endpoint;
use failover_core::drive::{Connector, Events, What};
use failover_core::failure::Kind;
use failover_core::link::{AtLoss, LinkPolicy, Outbox, Replay};
use failover_core::machine::Why;
use failover_core::messaging::{Inbox, Link, Login, Room, open};
use failover_core::policy::{Order, Policy, Walk};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::time::timeout;
use transport_tcp::TokioClock;
use transport_tls::{Pem, Roots, TlsConfig};

#[tokio::test]
async fn messages_go_and_come_over_each_transport_in_both_qualities() {
    let place = Place::new();
    let broker = Broker::start(&place, "a", Users::Any);
    for url in broker.urls("") {
        let client = Client::new(&place, std::slice::from_ref(&url));
        let mut reader = subscribe(&client.link, "x/+", Qos::AtLeastOnce, ROOM).unwrap();
        let mut all = subscribe(&client.link, "x/#", Qos::AtMostOnce, ROOM).unwrap();
        within(client.link.flush()).await.unwrap();
        for qos in [Qos::AtMostOnce, Qos::AtLeastOnce] {
            let sent = Publish::to("x/y", format!("{qos:?}")).qos(qos);
            client.link.try_send(sent).unwrap();
            let heard = next(&mut reader).await;
            assert_eq!((heard.topic.as_str(), heard.qos), ("x/y", qos), "{url}");
            assert_eq!(heard.payload, format!("{qos:?}"));
        }
        within(client.link.flush()).await.unwrap();
        // Both readers have each message, however often the broker sends one that two filters match.
        assert_eq!(next(&mut all).await.payload, "AtMostOnce");
        let counters = client.link.counters();
        assert_eq!((counters.confirmed, counters.handed), (1, 2), "{url}");
        within(client.link.drain()).await.unwrap();
    }
    tool(&place, &broker);
}

#[tokio::test]
async fn a_wrong_password_on_one_broker_leaves_the_other() {
    let place = Place::new();
    let strict = Broker::start(&place, "a", Users::JoeWith("other"));
    let broker = Broker::start(&place, "b", Users::JoeWith("secret"));
    let [_, _, strict, _] = strict.urls("joe:secret@");
    let [_, _, kind, _] = broker.urls("joe:secret@");
    let mut client = Client::new(&place, &[strict, kind]);
    client.link.try_send(Publish::to("x", "hello")).unwrap();
    within(client.link.flush()).await.unwrap();
    assert_eq!(client.link.counters().confirmed, 1);
    let events = std::iter::from_fn(|| client.events.try_next()).map(|event| event.what);
    let (mut refused, mut suspended) = (None, 0);
    for event in events {
        match event {
            What::Attempt(attempt) => refused = refused.or(attempt.outcome.err()),
            What::Suspended { .. } => suspended += 1,
            _ => {}
        }
    }
    let refused = refused.unwrap();
    assert_eq!((refused.failure.kind, suspended), (Kind::Auth, 1));
    let said = refused.to_string();
    assert!(
        said.contains("refuses the login") && !said.contains("secret"),
        "{said}"
    );
}

#[tokio::test]
async fn a_broker_that_is_killed_and_restarted_gets_every_message_over_websocket() {
    let place = Place::new();
    let mut broker = Broker::start(&place, "a", Users::Any);
    let [_, _, ws, _] = broker.urls("");
    let sending = Client::new(&place, std::slice::from_ref(&ws));
    let reading = Client::new(&place, std::slice::from_ref(&ws));
    let mut reader = subscribe(&reading.link, "n", Qos::AtLeastOnce, ROOM).unwrap();
    within(reading.link.flush()).await.unwrap();
    const COUNT: u64 = 2000;
    let mut at_kill = None;
    for number in 0..COUNT {
        if number == COUNT / 2 {
            broker.kill();
            at_kill = Some(Instant::now());
        }
        if number == COUNT * 3 / 4 {
            broker.restart();
            // Who subscribes anew hears what is published from then on.
            within(reading.link.flush()).await.unwrap();
        }
        let sent = Publish::to("n", number.to_string());
        sending.link.try_send(sent).unwrap();
        if number % 10 == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    within(sending.link.flush()).await.unwrap();
    let counters = sending.link.counters();
    assert_eq!(
        (counters.confirmed, counters.unconfirmed, counters.dropped),
        (COUNT, 0, 0)
    );
    let mut seen: BTreeSet<u64> = BTreeSet::new();
    while seen.last() != Some(&(COUNT - 1)) {
        let heard = next(&mut reader).await;
        let number = std::str::from_utf8(&heard.payload)
            .unwrap()
            .parse()
            .unwrap();
        // One that comes again was not acknowledged: of the others each comes after all before it.
        if seen.insert(number) {
            assert_eq!(seen.last(), Some(&number), "out of order");
        }
    }
    // What was published before the kill, and all after the second subscription.
    assert!(seen.contains(&0) && (COUNT * 3 / 4..COUNT).all(|number| seen.contains(&number)));
    println!(
        "{} of {COUNT} came, {:?} after the kill, {counters:?}",
        seen.len(),
        at_kill.unwrap().elapsed()
    );
}

#[tokio::test]
async fn a_frozen_broker_is_left_within_the_keep_alive() {
    let place = Place::new();
    let brokers = [
        Broker::start(&place, "a", Users::Any),
        Broker::start(&place, "b", Users::Any),
    ];
    let urls = brokers.each_ref().map(|broker| broker.urls("")[2].clone());
    let client = Client::new(&place, &urls);
    let mut reader = subscribe(&client.link, "x", Qos::AtMostOnce, ROOM).unwrap();
    within(client.link.flush()).await.unwrap();
    brokers[0].signal("STOP");
    let began = Instant::now();
    client.link.try_send(Publish::to("x", "after")).unwrap();
    within(client.link.flush()).await.unwrap();
    // One keep alive of silence, one for the answer: 2 s, and a dial.
    let took = began.elapsed();
    assert!(took < Duration::from_millis(2500), "{took:?}");
    assert_eq!(next(&mut reader).await.payload, "after");
    assert_eq!(client.lost().await, Kind::Stale);
    brokers[0].signal("CONT");
}

#[tokio::test]
async fn a_client_that_only_listens_is_kept_by_its_broker() {
    let place = Place::new();
    let broker = Broker::start(&place, "a", Users::Any);
    let [tcp, ..] = broker.urls("");
    let listening = Client::new(&place, std::slice::from_ref(&tcp));
    let mut reader = subscribe(&listening.link, "x", Qos::AtMostOnce, ROOM).unwrap();
    within(listening.link.flush()).await.unwrap();
    let talking = Client::new(&place, &[tcp]);
    // So much comes in that it never has to ask, and nothing of its own goes out but beats.
    for number in 0..40 {
        let sent = Publish::to("x", number.to_string()).qos(Qos::AtMostOnce);
        talking.link.try_send(sent).unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    within(talking.link.flush()).await.unwrap();
    let mut heard = 0;
    while next(&mut reader).await.payload != "39" {
        heard += 1;
    }
    assert_eq!(heard, 39);
    let mut events = listening.events;
    let lost = std::iter::from_fn(|| events.try_next());
    let lost = lost.filter(|event| matches!(event.what, What::Disconnected { .. }));
    assert_eq!(lost.count(), 0);
}

/// Through the first broker that answers; the other is a port where nobody listens.
fn tool(place: &Place, broker: &Broker) {
    let dead = format!("mqtt://127.0.0.1:{}", free_port());
    let ca = place.path("ca.pem");
    let mqtt = |servers: &[&str], arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_failover"));
        command.args(["mqtt", "--ca", &ca]);
        for server in servers {
            command.args(["-s", server]);
        }
        command.args(arguments).stdin(Stdio::piped());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    };
    let [tcp, tls, ws, wss] = broker.urls("");
    let mut publishing = mqtt(&[&dead, &wss], &["pub", "tool/x", "--retain"]);
    let mut input = publishing.stdin.take().unwrap();
    input.write_all(b"one\ntwo\n").unwrap();
    drop(input);
    let published = publishing.wait_with_output().unwrap();
    assert!(published.status.success(), "{published:?}");
    // The broker keeps the last.
    let heard = mqtt(&[&dead, &ws], &["sub", "tool/#", "--count", "1"]);
    let heard = heard.wait_with_output().unwrap();
    assert_eq!(heard.stdout, b"two\n", "{heard:?}");
    let heard = mqtt(&[&tls], &["--json", "sub", "tool/+", "--count", "1"]);
    let heard = String::from_utf8(heard.wait_with_output().unwrap().stdout).unwrap();
    assert!(
        heard.contains(r#""retained":true"#) && heard.contains(r#""topic":"tool/x""#),
        "{heard}"
    );
    for nonsense in [&["sub", "a#"][..], &["sub", "a", "--qos", "2"]] {
        let refused = mqtt(&[&tcp], nonsense).wait_with_output().unwrap();
        assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    }

    let strict = Broker::start(place, "strict", Users::JoeWith("other"));
    let [tcp, ..] = strict.urls("joe:secret@");
    let refused = mqtt(&[&tcp], &["pub", "x", "y"])
        .wait_with_output()
        .unwrap();
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(
        said.contains("refuses the login") && !said.contains("secret"),
        "{said}"
    );
}

const LONG: Duration = Duration::from_secs(30);

const ROOM: Room = Room {
    items: 10_000,
    bytes: 1 << 20,
};

async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(LONG, future).await.expect("it takes too long")
}

async fn next(reader: &mut Inbox<Incoming>) -> Incoming {
    within(reader.next()).await.unwrap()
}

/// A client that a task carries.
struct Client {
    link: Link<Mqtt>,
    events: Events,
}

impl Client {
    fn new(place: &Place, urls: &[String]) -> Self {
        let authority = Roots::Only(Pem::File(place.path("ca.pem").into()));
        let tls = TlsConfig::new().roots(authority).build().unwrap();
        let policy = Policy::builder().order(Order::new(Walk::Rotate));
        let mqtt = Mqtt::new().keep_alive(1);
        let mut connector = Connector::builder(Login::new(dialer(&tls), mqtt), TokioClock::new())
            .endpoints(urls.iter().map(|url| Endpoint::parse(url).unwrap()))
            .policy(policy.build().unwrap())
            .build()
            .unwrap();
        let events = connector.events();
        let policy = LinkPolicy::OFF
            .outbox(Outbox::Keep {
                bytes: LinkPolicy::BYTES,
            })
            .replay(Replay::Bytes(LinkPolicy::BYTES))
            .at_loss(AtLoss::Wait);
        let (link, driver) = open(connector, policy);
        tokio::spawn(driver.run());
        Self { link, events }
    }

    /// Why the first connection was lost.
    async fn lost(mut self) -> Kind {
        loop {
            let event = within(self.events.next()).await.unwrap();
            if let What::Disconnected {
                why: Why::Lost(failure),
                ..
            } = event.what
            {
                return failure.kind;
            }
        }
    }
}

/// Who may log in.
#[derive(Clone, Copy)]
enum Users {
    Any,
    /// Joe, with this password.
    JoeWith(&'static str),
}

/// A mosquitto. It is killed when it is dropped, by its own process id.
struct Broker {
    child: Child,
    config: String,
    log: String,
    /// tcp, tls, ws, wss.
    ports: [u16; 4],
}

impl Broker {
    fn start(place: &Place, name: &str, users: Users) -> Self {
        let ports = [(); 4].map(|()| free_port());
        let (ca, server) = (place.path("ca.pem"), place.path("server.pem"));
        let tls = format!("cafile {ca}\ncertfile {server}\nkeyfile {server}\n");
        let login = match users {
            Users::Any => "allow_anonymous true\n".to_string(),
            Users::JoeWith(password) => {
                let file = place.path(&format!("{name}.passwords"));
                let made = Command::new("mosquitto_passwd")
                    .args(["-c", "-b", &file, "joe", password])
                    .status();
                assert!(made.expect("install mosquitto").success());
                format!("allow_anonymous false\npassword_file {file}\n")
            }
        };
        let mut config = format!("per_listener_settings false\n{login}max_queued_messages 0\n");
        for (port, over) in ports
            .iter()
            .zip(["", &tls, WEBSOCKETS, &(tls.clone() + WEBSOCKETS)])
        {
            config += &format!("listener {port} 127.0.0.1\n{over}");
        }
        let file = format!("{name}.conf");
        place.write(&file, &config);
        let (config, log) = (place.path(&file), place.path(&format!("{name}.log")));
        let child = run(&config, &log);
        let mut broker = Self {
            child,
            config,
            log,
            ports,
        };
        broker.wait();
        broker
    }

    /// Waits until it serves.
    fn wait(&mut self) {
        let began = Instant::now();
        for port in self.ports {
            while TcpStream::connect(("127.0.0.1", port)).is_err() {
                let ended = self.child.try_wait().unwrap();
                if ended.is_some() || began.elapsed() > LONG {
                    let log = fs::read_to_string(&self.log).unwrap();
                    panic!("mosquitto does not listen on {port} ({ended:?}): {log}");
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }

    fn urls(&self, who: &str) -> [String; 4] {
        let [tcp, tls, ws, wss] = self.ports;
        [
            format!("mqtt://{who}127.0.0.1:{tcp}"),
            format!("mqtts://{who}127.0.0.1:{tls}"),
            format!("ws://{who}127.0.0.1:{ws}/mqtt"),
            format!("wss://{who}127.0.0.1:{wss}/mqtt"),
        ]
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Once more on the same ports.
    fn restart(&mut self) {
        self.child = run(&self.config, &self.log);
        self.wait();
    }

    fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", signal, &id]).status();
        assert!(sent.unwrap().success());
    }
}

const WEBSOCKETS: &str = "protocol websockets\n";

fn run(config: &str, log: &str) -> Child {
    Command::new("/usr/sbin/mosquitto")
        .args(["-c", config])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(fs::File::create(log).unwrap())
        .spawn()
        .expect("install mosquitto, or leave out `--features brokers`")
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A directory of its own, with an authority and a server certificate for 127.0.0.1.
struct Place(PathBuf);

impl Place {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("failover-mqtt-{}-{number}", std::process::id());
        let place = Self(std::env::temp_dir().join(name));
        fs::create_dir_all(&place.0).unwrap();
        // Started as root, mosquitto becomes a user of its own, who has to read all this.
        open_to_all(&place.0, 0o755);
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        place.write("ca.pem", &authority.pem());
        let key = KeyPair::generate().unwrap();
        let server = CertificateParams::new(["127.0.0.1".to_string()]).unwrap();
        let server = server.signed_by(&key, &authority).unwrap();
        place.write("server.pem", &(server.pem() + &key.serialize_pem()));
        place
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.0.join(name), text).unwrap();
        open_to_all(&self.0.join(name), 0o644);
    }
}

fn open_to_all(path: &std::path::Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}
