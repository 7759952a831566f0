//! nats-server, and a client of it.

use std::time::Duration;

use examples::nats::{Nats, dialer};
use failover_core::directory::Endpoint;
use failover_core::drive::{Connector, Events, GiveUp, What};
use failover_core::failure::Kind;
use failover_core::heartbeat::Heartbeat;
use failover_core::link::{AtLoss, LinkPolicy, Outbox};
use failover_core::messaging::{Link, Login, open};
use failover_core::policy::{Order, Policy, PolicyBuilder, Walk};
use tokio::task::JoinHandle;
use transport_tcp::TokioClock;

use crate::brokers::within;
use crate::common::{Place, Program, free_port};

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

    /// How the first dial that failed did.
    pub async fn failed_dial(&mut self) -> Kind {
        loop {
            if let What::Attempt(attempt) = within(self.events.next()).await.unwrap().what
                && let Err(failed) = attempt.outcome
            {
                return failed.failure.kind;
            }
        }
    }
}

/// A nats-server. It is killed when it is dropped.
pub struct Server {
    program: Program,
    pub port: u16,
    ws: u16,
}

impl Server {
    pub fn cluster(place: &Place, count: usize) -> Vec<Self> {
        let duck = "lame_duck_duration: 30s\nlame_duck_grace_period: 10s";
        Self::cluster_with(place, count, "", duck)
    }

    /// `inside` is said of the cluster, `more` to each of its servers.
    pub fn cluster_with(place: &Place, count: usize, inside: &str, more: &str) -> Vec<Self> {
        let ports: Vec<u16> = (0..count).map(|_| free_port()).collect();
        let routes: Vec<String> = ports
            .iter()
            .map(|port| format!("nats://127.0.0.1:{port}"))
            .collect();
        let routes = routes.join(", ");
        let servers = ports.iter().enumerate().map(|(number, port)| {
            let cluster = format!(
                "cluster {{ name: c, host: 127.0.0.1, port: {port}, routes: [{routes}]\n{inside} }}"
            );
            Self::start(place, &format!("n{number}"), &cluster, more)
        });
        servers.collect()
    }

    pub fn start(place: &Place, name: &str, one: &str, two: &str) -> Self {
        Self::start_with(place, name, "no_tls: true", &format!("{one}\n{two}"))
    }

    /// `web` is said to its WebSocket listener, `more` to the server.
    pub fn start_with(place: &Place, name: &str, web: &str, more: &str) -> Self {
        let (port, ws) = (free_port(), free_port());
        let config = format!(
            "host: 127.0.0.1\nport: {port}\nserver_name: {name}\n\
             websocket {{ host: 127.0.0.1, port: {ws}\n{web} }}\n{more}\n"
        );
        let config = place.write(&format!("{name}.conf"), &config);
        let program = Program::start(place, "nats-server", &["-c", &config], &[port, ws]);
        Self { program, port, ws }
    }

    /// SIGKILL, and it is gone.
    pub fn kill(&mut self) {
        self.program.kill();
    }

    /// Once more on the same ports.
    pub fn restart(&mut self) {
        self.program.restart();
    }

    pub fn tcp(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    pub fn ws(&self) -> String {
        format!("ws://127.0.0.1:{}/", self.ws)
    }

    pub fn signal(&self, word: &str) {
        self.program.signal(word);
    }
}
