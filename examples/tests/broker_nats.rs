//! The NATS client on the link, against real nats-servers.
//!
//! `cargo test -p examples --features brokers --test broker_nats` needs nats-server. Each runs in the
//! foreground on free ports of the loopback interface, and ends with the test that started it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    missing_docs
)]

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use examples::nats::{Credentials, Incoming, Nats, Publish, dialer, subscribe};
use failover_core::directory::Endpoint;
use failover_core::drive::{Connector, Events, GiveUp, What};
use failover_core::failure::Kind;
use failover_core::heartbeat::Heartbeat;
use failover_core::link::{AtLoss, LinkPolicy, Outbox};
use failover_core::messaging::{Inbox, Link, Login, Room, open};
use failover_core::policy::{Order, Policy, Walk};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use transport_tcp::TokioClock;
use transport_tls::{Pem, Roots, TlsConfig};

const LONG: Duration = Duration::from_secs(20);

#[tokio::test]
async fn it_publishes_subscribes_and_asks_over_tcp_and_websocket() {
    let place = Place::new();
    let server = Server::start(&place, "a", "", "");
    for url in [server.tcp(), server.ws()] {
        let client = Client::new(&place, &[url], Nats::new("test"));
        let link = &client.link;
        let mut reader = subscribe(link, "greet.*", ROOM).unwrap();
        link.send(Publish::to("greet.you", "hello")).await.unwrap();
        let heard = next(&mut reader).await;
        assert_eq!(
            (heard.subject.as_str(), heard.payload.as_ref()),
            ("greet.you", b"hello".as_slice())
        );

        let nobody = within(link.request(Publish::request("nobody", "?")))
            .await
            .unwrap();
        assert_eq!(nobody.status, Some(503));
        let answering = async {
            let asked = next(&mut reader).await;
            link.send(Publish::to(asked.reply.unwrap(), "fine"))
                .await
                .unwrap();
        };
        let asking = link.request(Publish::request("greet.me", "how are you?"));
        let (answer, ()) = within(async { tokio::join!(asking, answering) }).await;
        assert_eq!(answer.unwrap().payload.as_ref(), b"fine");
        within(link.drain()).await.unwrap();
        client.driver.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn tls_begins_after_the_info_and_credentials_come_from_the_client_or_the_url() {
    let place = Place::new();
    let tls = format!(
        "tls {{ cert_file: {0:?}, key_file: {0:?} }}",
        place.path("server.pem")
    );
    let users = "authorization { user: joe, password: secret }";
    let server = Server::start(&place, "a", &tls, users);
    let with_url = format!("tls://joe:secret@127.0.0.1:{}", server.port);
    let as_said = format!("nats://127.0.0.1:{}", server.port);
    let joe = Credentials::User {
        name: "joe".into(),
        password: "secret".into(),
    };
    for (url, nats) in [
        (with_url, Nats::new("test")),
        (as_said, Nats::new("test").credentials(joe)),
    ] {
        let client = Client::new(&place, &[url], nats);
        within(client.link.flush()).await.unwrap();
    }
}

#[tokio::test]
async fn a_wrong_password_on_one_server_leaves_the_others() {
    let place = Place::new();
    let strict = Server::start(
        &place,
        "a",
        "",
        "authorization { user: joe, password: other }",
    );
    let server = Server::start(&place, "b", "", "");
    let mut client = Client::new(&place, &[strict.tcp(), server.tcp()], Nats::new("test"));
    within(client.link.flush()).await.unwrap();
    let refused =
        std::iter::from_fn(|| client.events.try_next()).find_map(|event| match event.what {
            What::Attempt(attempt) => attempt.outcome.err(),
            _ => None,
        });
    assert_eq!(refused.unwrap().failure.kind, Kind::Auth);
}

#[tokio::test]
async fn the_connected_node_is_killed_while_messages_are_published() {
    let place = Place::new();
    let mut cluster = Server::cluster(&place, 3);
    let urls: Vec<String> = cluster.iter().map(Server::tcp).collect();
    // The reader stays on the last node; the publisher begins at the first.
    let reading = Client::new(&place, &urls[2..], Nats::new("reader"));
    let mut reader = subscribe(&reading.link, "n", ROOM).unwrap();
    within(reading.link.flush()).await.unwrap();
    let mut client = Client::new(&place, &urls, Nats::new("publisher"));
    within(client.link.flush()).await.unwrap();
    // Interest spreads over the cluster in its own time.
    within(async {
        while reader.try_next().is_none() {
            client.link.try_send(Publish::to("n", "ready?")).unwrap();
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;

    for number in 0..2000_u32 {
        if number == 1000 {
            cluster.remove(0);
        }
        client
            .link
            .try_send(Publish::to("n", number.to_string()))
            .unwrap();
        if number % 10 == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    within(client.link.flush()).await.unwrap();
    let mut numbers: Vec<u32> = Vec::new();
    while let Ok(Some(incoming)) = timeout(Duration::from_millis(300), reader.next()).await {
        if let Ok(number) = String::from_utf8_lossy(&incoming.payload).parse() {
            numbers.push(number);
        }
    }
    assert!(numbers.is_sorted_by(|a, b| a < b));
    assert_eq!(numbers.last(), Some(&1999));
    let counters = client.link.counters();
    assert_eq!((counters.dropped, counters.queued), (0, 0));
    // What the dead node had taken and not passed on is gone; nothing else.
    assert!(numbers.len() > 1800, "{}", numbers.len());
    println!("{} of 2000 came, {counters:?}", numbers.len());
    let moved = std::iter::from_fn(|| client.events.try_next());
    let moved = moved.filter(|event| matches!(event.what, What::FailedOver { .. }));
    assert_eq!(moved.count(), 1);
}

#[test]
fn the_tool_publishes_subscribes_and_asks() {
    let place = Place::new();
    let server = Server::start(&place, "a", "", "");
    let dead = format!("nats://127.0.0.1:{}", free_port());
    let tool = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_failover"));
        command.args(["nats", "-s", &dead, "-s", &server.tcp()]);
        command.args(arguments).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    };
    let reader = tool(&["sub", "n.>", "--count", "2"]).spawn().unwrap();
    // A subscriber that is not there yet hears nothing: published until it has heard enough.
    let mut reader = Some(reader);
    let began = Instant::now();
    while reader.as_mut().unwrap().try_wait().unwrap().is_none() {
        let published = tool(&["pub", "n.x", "hello"]).output().unwrap();
        assert!(published.status.success(), "{published:?}");
        assert!(began.elapsed() < LONG);
    }
    let heard = reader.take().unwrap().wait_with_output().unwrap();
    assert_eq!(heard.stdout, b"hello\nhello\n", "{heard:?}");

    let asked = tool(&["request", "nobody", "?"]).output().unwrap();
    assert_eq!(asked.status.code(), Some(1));
    let said = String::from_utf8_lossy(&asked.stderr);
    assert!(said.contains("nobody answers `nobody`"), "{said}");
    let bad = tool(&["sub", "a..b"]).output().unwrap();
    assert_eq!(bad.status.code(), Some(2), "{bad:?}");
}

#[tokio::test]
async fn a_frozen_node_is_left_within_the_bound() {
    let place = Place::new();
    let servers = [
        Server::start(&place, "a", "", ""),
        Server::start(&place, "b", "", ""),
    ];
    let urls = [servers[0].tcp(), servers[1].tcp()];
    let client = Client::new(&place, &urls, Nats::new("test"));
    within(client.link.flush()).await.unwrap();
    servers[0].signal("STOP");
    let began = Instant::now();
    within(client.link.flush()).await.unwrap();
    // One interval of silence, one for the ping: 2 s, and a dial.
    assert!(
        began.elapsed() < Duration::from_millis(2500),
        "{:?}",
        began.elapsed()
    );
    servers[0].signal("CONT");
}

#[tokio::test]
async fn a_lame_duck_is_left_and_its_cluster_is_learned() {
    let place = Place::new();
    let cluster = Server::cluster(&place, 2);
    // Only the first is configured: the other is learned from its INFO.
    let mut client = Client::new(&place, &[cluster[0].tcp()], Nats::new("test"));
    let mut reader = subscribe(&client.link, "n", ROOM).unwrap();
    within(client.link.flush()).await.unwrap();
    within(async {
        while !matches!(
            client.events.next().await.unwrap().what,
            What::Discovered { .. }
        ) {}
    })
    .await;
    cluster[0].signal("USR2");
    within(async {
        while !matches!(client.events.next().await.unwrap().what, What::Moved { .. }) {}
    })
    .await;
    client.link.try_send(Publish::to("n", "after")).unwrap();
    assert_eq!(next(&mut reader).await.payload.as_ref(), b"after");
}

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
    link: Link<Nats>,
    events: Events,
    driver: JoinHandle<Result<(), GiveUp>>,
}

impl Client {
    fn new(place: &Place, urls: &[String], nats: Nats) -> Self {
        let authority = Roots::Only(Pem::File(place.path("ca.pem").into()));
        let tls = TlsConfig::new().roots(authority).build().unwrap();
        let policy = Policy::builder().order(Order::new(Walk::Rotate));
        let mut connector = Connector::builder(Login::new(dialer(&tls), nats), TokioClock::new())
            .endpoints(urls.iter().map(|url| Endpoint::parse(url).unwrap()))
            .policy(policy.build().unwrap())
            .build()
            .unwrap();
        let events = connector.events();
        let heartbeat = Heartbeat::builder().watch(Duration::from_secs(1), 1);
        let policy = LinkPolicy::OFF
            .heartbeat(heartbeat.build().unwrap())
            .outbox(Outbox::Keep {
                bytes: LinkPolicy::BYTES,
            })
            .at_loss(AtLoss::Wait);
        let (link, driver) = open(connector, policy);
        Self {
            link,
            events,
            driver: tokio::spawn(driver.run()),
        }
    }
}

/// A nats-server. It is killed when it is dropped, by its own process id.
struct Server {
    child: Child,
    port: u16,
    ws: u16,
}

impl Server {
    fn cluster(place: &Place, count: usize) -> Vec<Self> {
        let ports: Vec<u16> = (0..count).map(|_| free_port()).collect();
        let routes: Vec<String> = ports
            .iter()
            .map(|port| format!("nats://127.0.0.1:{port}"))
            .collect();
        let routes = routes.join(", ");
        let servers = ports.iter().enumerate().map(|(number, port)| {
            let cluster = format!(
                "cluster {{ name: c, host: 127.0.0.1, port: {port}, routes: [{routes}] }}\n\
                 lame_duck_duration: 30s\nlame_duck_grace_period: 10s"
            );
            Self::start(place, &format!("n{number}"), &cluster, "")
        });
        servers.collect()
    }

    fn start(place: &Place, name: &str, one: &str, two: &str) -> Self {
        let (port, ws) = (free_port(), free_port());
        let config = format!(
            "host: 127.0.0.1\nport: {port}\nserver_name: {name}\n\
             websocket {{ host: 127.0.0.1, port: {ws}, no_tls: true }}\n{one}\n{two}\n"
        );
        let file = place.write(&format!("{name}.conf"), &config);
        let log = fs::File::create(place.path(&format!("{name}.log"))).unwrap();
        let child = Command::new("/usr/sbin/nats-server")
            .args(["-c", &file])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("install nats-server, or leave out `--features brokers`");
        let mut server = Self { child, port, ws };
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let ended = server.child.try_wait().unwrap();
            if ended.is_some() || began.elapsed() > LONG {
                let log = fs::read_to_string(place.path(&format!("{name}.log"))).unwrap();
                panic!("nats-server does not listen ({ended:?}): {log}");
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        server
    }

    fn tcp(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    fn ws(&self) -> String {
        format!("ws://127.0.0.1:{}/", self.ws)
    }

    fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", signal, &id]).status();
        assert!(sent.unwrap().success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A directory of its own, with an authority and a server certificate for 127.0.0.1.
struct Place(PathBuf);

impl Place {
    fn new() -> Arc<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("failover-nats-{}-{number}", std::process::id());
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
        Arc::new(place)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }

    fn write(&self, name: &str, text: &str) -> String {
        fs::write(self.0.join(name), text).unwrap();
        self.path(name)
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
