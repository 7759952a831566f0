//! The STOMP client on the link, against real RabbitMQ brokers.
//!
//! `cargo test -p examples --features brokers --test broker_stomp` needs RabbitMQ. Each broker runs in the
//! foreground on free ports of the loopback interface, with an epmd, a directory and a cookie of its own, and
//! ends with the test that started it. A broker takes about 8 s to start.
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
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use examples::stomp::{AckMode, Incoming, Send, Stomp, Subscribe, dialer, subscribe};
use failover_core::directory::Endpoint;
use failover_core::drive::{Connector, Events, What};
use failover_core::failure::Kind;
use failover_core::link::{AtLoss, LinkPolicy, Outbox, Replay};
use failover_core::messaging::{Inbox, Link, Login, Room, open};
use failover_core::policy::{Order, Policy, Walk};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::time::timeout;
use transport_tcp::TokioClock;
use transport_tls::{Pem, Roots, TlsConfig};

#[tokio::test]
async fn messages_go_and_come_over_tcp_tls_and_websocket_in_every_ack_mode() {
    let place = Place::new();
    let broker = Broker::start(&place, "a").up();
    let modes = [AckMode::Auto, AckMode::Client, AckMode::ClientIndividual];
    for (url, mode) in broker.urls("guest:guest").iter().zip(modes) {
        let client = Client::new(&place, std::slice::from_ref(url));
        let queue = format!("/queue/{mode}");
        let sent = Send::to(&queue, "a\0b\n").header("persistent", "true");
        let sent = sent.header("odd:name", "odd\nvalue\\");
        client.link.try_send(sent).unwrap();
        within(client.link.flush()).await.unwrap();
        assert_eq!(client.link.counters().confirmed, 1, "{url}");
        let mut reader = subscribe(&client.link, Subscribe::to(&queue, mode), ROOM).unwrap();
        let mut heard = next(&mut reader).await;
        assert_eq!(heard.body.as_ref(), b"a\0b\n");
        assert_eq!(heard.header("odd:name"), Some("odd\nvalue\\"));
        assert_eq!(heard.token.is_some(), mode != AckMode::Auto);
        if let Some(token) = heard.token.take() {
            token.ack().unwrap();
        }
        within(client.link.drain()).await.unwrap();
    }
    // What was acknowledged is gone, what was not comes again.
    let tcp = &broker.urls("guest:guest")[..1];
    let queue = "/queue/client-individual";
    let first = Client::new(&place, tcp);
    let what = || Subscribe::to(queue, AckMode::ClientIndividual);
    let mut reader = subscribe(&first.link, what(), ROOM).unwrap();
    for body in ["kept", "done"] {
        first.link.try_send(Send::to(queue, body)).unwrap();
    }
    let (kept, mut done) = (next(&mut reader).await, next(&mut reader).await);
    assert_eq!(
        (kept.body.as_ref(), done.body.as_ref()),
        (b"kept".as_slice(), b"done".as_slice())
    );
    done.token.take().unwrap().ack().unwrap();
    within(first.link.drain()).await.unwrap();
    let second = Client::new(&place, tcp);
    let mut reader = subscribe(&second.link, what(), ROOM).unwrap();
    let again = next(&mut reader).await;
    assert_eq!(
        (again.body.as_ref(), again.header("redelivered")),
        (b"kept".as_slice(), Some("true"))
    );

    tool(&place, &broker);
}

#[tokio::test]
async fn a_wrong_password_leaves_the_other_broker_and_a_killed_one_costs_no_message() {
    let place = Place::new();
    let starting = [Broker::start(&place, "b"), Broker::start(&place, "c")];
    let [b, c] = starting.map(Broker::up);
    let tcp = |broker: &Broker, who| broker.urls(who)[0].clone();

    let mut client = Client::new(&place, &[tcp(&b, "guest:wrong"), tcp(&c, "guest:guest")]);
    client.link.try_send(Send::to("/queue/login", "x")).unwrap();
    within(client.link.flush()).await.unwrap();
    let events = std::iter::from_fn(|| client.events.try_next()).map(|event| event.what);
    let (mut refused, mut suspended) = (None, 0);
    for event in events {
        match event {
            What::Attempt(attempt) => refused = refused.or(attempt.outcome.err()),
            What::Suspended { .. } => suspended += 1,
            _ => {}
        }
    }
    assert_eq!((refused.unwrap().failure.kind, suspended), (Kind::Auth, 1));

    // The connected one of two is killed while messages are sent.
    let reading = Client::new(&place, &[tcp(&c, "guest:guest")]);
    let what = Subscribe::to("/queue/n", AckMode::ClientIndividual).header("prefetch-count", "100");
    let mut reader = subscribe(&reading.link, what, ROOM).unwrap();
    let sending = Client::new(&place, &[tcp(&b, "guest:guest"), tcp(&c, "guest:guest")]);
    const COUNT: u64 = 2000;
    let mut b = Some(b);
    for number in 0..COUNT {
        if number == COUNT / 2 {
            // Some are confirmed, some are on their way.
            within(async {
                while sending.link.counters().confirmed < COUNT / 4 {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            })
            .await;
            drop(b.take());
        }
        let sent = Send::to("/queue/n", number.to_string());
        sending.link.try_send(sent).unwrap();
    }
    let at_kill = Instant::now();
    within(sending.link.flush()).await.unwrap();
    let counters = sending.link.counters();
    assert_eq!(
        (counters.confirmed, counters.unconfirmed, counters.dropped),
        (COUNT, 0, 0)
    );
    // Those that the first broker did not confirm came to the second, in order of their first coming.
    let mut seen: BTreeSet<u64> = BTreeSet::new();
    while seen.last() != Some(&(COUNT - 1)) {
        let mut incoming = next(&mut reader).await;
        let number = std::str::from_utf8(&incoming.body)
            .unwrap()
            .parse()
            .unwrap();
        assert!(
            seen.last().is_none_or(|last| *last < number),
            "{number} after {:?}",
            seen.last()
        );
        seen.insert(number);
        incoming.token.take().unwrap().ack().unwrap();
    }
    let first = *seen.first().unwrap();
    assert_eq!(seen.len() as u64, COUNT - first, "a gap after {first}");
    assert!(first <= COUNT / 2, "{first}");
    println!(
        "{} of {COUNT} confirmed by the second broker, {:?} after the kill, {counters:?}",
        seen.len(),
        at_kill.elapsed()
    );
}

/// Through the first broker that answers; the other is a port where nobody listens.
fn tool(place: &Place, broker: &Broker) {
    let dead = format!("tcp://guest:guest@127.0.0.1:{}", free_port());
    let [tcp, _, ws] = broker.urls("guest:guest");
    let uri = format!("failover:({dead},{tcp})?randomize=false");
    let ca = place.path("ca.pem");
    let stomp = |servers: &[&str], arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_failover"));
        command.args(["stomp", "--ca", &ca]);
        for server in servers {
            command.args(["-s", server]);
        }
        command.args(arguments).stdin(Stdio::piped());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    };
    let mut sending = stomp(&[&uri], &["send", "/queue/tool", "--header", "a:b"]);
    let mut input = sending.stdin.take().unwrap();
    input.write_all(b"one\ntwo\n").unwrap();
    drop(input);
    let sent = sending.wait_with_output().unwrap();
    assert!(sent.status.success(), "{sent:?}");
    let take_two = [
        "subscribe",
        "/queue/tool",
        "--ack",
        "client",
        "--count",
        "2",
    ];
    let heard = stomp(&[&dead, &ws], &take_two).wait_with_output().unwrap();
    assert_eq!(heard.stdout, b"one\ntwo\n", "{heard:?}");

    let wrong = broker.urls("guest:wrong");
    let refused = stomp(&[&wrong[0]], &["send", "/queue/tool", "x"]);
    let refused = refused.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(
        said.contains("Access refused") && !said.contains("wrong"),
        "{said}"
    );

    // A destination that is none is no reason to go on for ever.
    for nowhere in [
        &["send", "/nowhere/x", "y"][..],
        &["subscribe", "/nowhere/x"],
    ] {
        let refused = stomp(&[&tcp], nowhere).wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&refused.stderr);
        assert_eq!(refused.status.code(), Some(1), "{said}");
        assert!(
            said.contains("the broker says Unknown destination"),
            "{said}"
        );
    }
}

const LONG: Duration = Duration::from_secs(30);

/// For a broker, on a machine that is busy.
const START: Duration = Duration::from_secs(120);

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
    link: Link<Stomp>,
    events: Events,
}

impl Client {
    fn new(place: &Place, urls: &[String]) -> Self {
        let authority = Roots::Only(Pem::File(place.path("ca.pem").into()));
        let tls = TlsConfig::new().roots(authority).build().unwrap();
        let policy = Policy::builder().order(Order::new(Walk::Rotate));
        let stomp = Stomp::new().heart_beat(1000, 1000);
        let mut connector = Connector::builder(Login::new(dialer(&tls), stomp), TokioClock::new())
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
}

/// A RabbitMQ with an epmd of its own. Both are killed when it is dropped: the processes of their own
/// groups, by the groups' ids.
struct Broker {
    child: Child,
    epmd: Child,
    /// STOMP, STOMP over TLS, STOMP over WebSocket.
    ports: [u16; 3],
    output: String,
}

impl Broker {
    /// Begins to start.
    fn start(place: &Place, name: &str) -> Self {
        let home = PathBuf::from(place.path(name));
        fs::create_dir(&home).unwrap();
        let within = |file: &str| home.join(file).display().to_string();
        let [amqp, distribution, names] = [(); 3].map(|()| free_port());
        let ports = [(); 3].map(|()| free_port());
        let [stomp, stomp_tls, web] = ports;
        let (ca, server) = (place.path("ca.pem"), place.path("server.pem"));
        let config = format!(
            "listeners.tcp.1 = 127.0.0.1:{amqp}\n\
             stomp.listeners.tcp.1 = 127.0.0.1:{stomp}\n\
             stomp.listeners.ssl.1 = 127.0.0.1:{stomp_tls}\n\
             ssl_options.cacertfile = {ca}\nssl_options.certfile = {server}\n\
             ssl_options.keyfile = {server}\n\
             web_stomp.tcp.ip = 127.0.0.1\nweb_stomp.tcp.port = {web}\n\
             disk_free_limit.absolute = 1MB\n"
        );
        fs::write(home.join("rabbitmq.conf"), config).unwrap();
        fs::write(
            home.join("plugins"),
            "[rabbitmq_stomp, rabbitmq_web_stomp].",
        )
        .unwrap();
        let epmd = Command::new("epmd")
            .args(["-address", "127.0.0.1", "-port", &names.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("install rabbitmq-server, or leave out `--features brokers`");
        wait_for(names, START);
        let output = within("output");
        let log = fs::File::create(&output).unwrap();
        // The program behind the wrapper that would become another user.
        let child = Command::new("/usr/lib/rabbitmq/bin/rabbitmq-server")
            .env("HOME", &home)
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .env("ERL_EPMD_PORT", names.to_string())
            .env("RABBITMQ_NODENAME", format!("{name}@localhost"))
            .env("RABBITMQ_NODE_PORT", amqp.to_string())
            .env("RABBITMQ_DIST_PORT", distribution.to_string())
            .env("RABBITMQ_CONF_ENV_FILE", "/dev/null")
            .env("RABBITMQ_CONFIG_FILE", within("rabbitmq.conf"))
            .env("RABBITMQ_GENERATED_CONFIG_DIR", within("generated"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", within("plugins"))
            .env("RABBITMQ_PLUGINS_EXPAND_DIR", within("expanded"))
            .env("RABBITMQ_MNESIA_BASE", within("mnesia"))
            .env("RABBITMQ_LOG_BASE", within("log"))
            .env("RABBITMQ_LOGS", "-")
            .env("RABBITMQ_PID_FILE", within("pid"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .process_group(0)
            .spawn()
            .expect("install rabbitmq-server, or leave out `--features brokers`");
        Self {
            child,
            epmd,
            ports,
            output,
        }
    }

    /// Waits until it serves.
    fn up(mut self) -> Self {
        let began = Instant::now();
        for port in self.ports {
            while TcpStream::connect(("127.0.0.1", port)).is_err() {
                let ended = self.child.try_wait().unwrap();
                if ended.is_some() || began.elapsed() > START {
                    let said = fs::read_to_string(&self.output).unwrap();
                    panic!("RabbitMQ does not listen on {port} ({ended:?}): {said}");
                }
                std::thread::sleep(Duration::from_millis(50));
            }
        }
        self
    }

    /// Over tcp, tls and WebSocket, as this user.
    fn urls(&self, who: &str) -> [String; 3] {
        let [stomp, stomp_tls, web] = self.ports;
        [
            format!("tcp://{who}@127.0.0.1:{stomp}"),
            format!("tls://{who}@127.0.0.1:{stomp_tls}"),
            format!("ws://{who}@127.0.0.1:{web}/ws"),
        ]
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        for child in [&mut self.child, &mut self.epmd] {
            let group = format!("-{}", child.id());
            let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
            let _ = child.wait();
        }
    }
}

fn wait_for(port: u16, most: Duration) {
    let began = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(began.elapsed() < most, "nobody listens on {port}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A directory of its own, with an authority and a server certificate for 127.0.0.1.
struct Place(PathBuf);

impl Place {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("failover-stomp-{}-{number}", std::process::id());
        let place = Self(std::env::temp_dir().join(name));
        fs::create_dir_all(&place.0).unwrap();
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
    }
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
