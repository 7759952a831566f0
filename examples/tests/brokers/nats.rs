//! nats-server, and a client of it.

use std::fs;
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use examples::nats::{Nats, dialer};
use failover_core::directory::Endpoint;
use failover_core::drive::{Connector, Events, GiveUp};
use failover_core::heartbeat::Heartbeat;
use failover_core::link::{AtLoss, LinkPolicy, Outbox};
use failover_core::messaging::{Link, Login, open};
use failover_core::policy::{Order, Policy, PolicyBuilder, Walk};
use tokio::task::JoinHandle;
use transport_tcp::TokioClock;

use crate::brokers::{LONG, Place, free_port, signal};

/// A client that a task carries.
pub struct Client {
    pub link: Link<Nats>,
    pub events: Events,
    pub driver: JoinHandle<Result<(), GiveUp>>,
}

impl Client {
    /// Over these servers, with a heartbeat of 1 s.
    pub fn new(place: &Place, urls: &[String], nats: Nats) -> Self {
        let policy = Policy::builder().order(Order::new(Walk::Rotate));
        Self::with(place, urls, nats, policy)
    }

    pub fn with(place: &Place, urls: &[String], nats: Nats, policy: PolicyBuilder) -> Self {
        let login = Login::new(dialer(&place.tls()), nats);
        let mut connector = Connector::builder(login, TokioClock::new())
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
pub struct Server {
    child: Child,
    config: String,
    log: String,
    pub port: u16,
    ws: u16,
}

impl Server {
    pub fn cluster(place: &Place, count: usize) -> Vec<Self> {
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

    pub fn start(place: &Place, name: &str, one: &str, two: &str) -> Self {
        let (port, ws) = (free_port(), free_port());
        let config = format!(
            "host: 127.0.0.1\nport: {port}\nserver_name: {name}\n\
             websocket {{ host: 127.0.0.1, port: {ws}, no_tls: true }}\n{one}\n{two}\n"
        );
        let config = place.write(&format!("{name}.conf"), &config);
        let log = place.path(&format!("{name}.log"));
        let child = run(&config, &log);
        let mut server = Self {
            child,
            config,
            log,
            port,
            ws,
        };
        server.wait();
        server
    }

    /// Waits until it serves.
    fn wait(&mut self) {
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let ended = self.child.try_wait().unwrap();
            if ended.is_some() || began.elapsed() > LONG {
                let log = fs::read_to_string(&self.log).unwrap();
                panic!("nats-server does not listen ({ended:?}): {log}");
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// SIGKILL, and it is gone.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Once more on the same ports.
    pub fn restart(&mut self) {
        self.child = run(&self.config, &self.log);
        self.wait();
    }

    pub fn tcp(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    pub fn ws(&self) -> String {
        format!("ws://127.0.0.1:{}/", self.ws)
    }

    pub fn signal(&self, word: &str) {
        signal(self.child.id(), word);
    }
}

fn run(config: &str, log: &str) -> Child {
    Command::new("/usr/sbin/nats-server")
        .args(["-c", config])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(fs::File::create(log).unwrap())
        .spawn()
        .expect("install nats-server, or leave out `--features brokers`")
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
