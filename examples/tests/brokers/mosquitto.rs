//! mosquitto, and an MQTT client of it.

use std::process::Command;

use examples::mqtt::{Mqtt, dialer};
use failover_core::directory::Endpoint;
use failover_core::drive::{Connector, Events, What};
use failover_core::failure::Kind;
use failover_core::link::{AtLoss, LinkPolicy, Outbox, Replay};
use failover_core::machine::Why;
use failover_core::messaging::{Link, Login, open};
use failover_core::policy::{Order, Policy, PolicyBuilder, Walk};
use transport_tcp::TokioClock;

use crate::brokers::within;
use crate::common::{Place, Program, free_port};

/// A client that a task carries.
pub struct Client {
    pub link: Link<Mqtt>,
    pub events: Events,
}

impl Client {
    /// Over these brokers, with a keep alive of 1 s; what is not acknowledged is replayed.
    pub fn new(place: &Place, urls: &[String]) -> Self {
        let policy = Policy::builder().order(Order::new(Walk::Rotate));
        Self::with(place, urls, policy, Replay::Bytes(LinkPolicy::BYTES))
    }

    pub fn with(place: &Place, urls: &[String], policy: PolicyBuilder, replay: Replay) -> Self {
        let login = Login::new(dialer(&place.tls()), Mqtt::new().keep_alive(1));
        let mut connector = Connector::builder(login, TokioClock::new())
            .endpoints(urls.iter().map(|url| Endpoint::parse(url).unwrap()))
            .policy(policy.build().unwrap())
            .build()
            .unwrap();
        let events = connector.events();
        let policy = LinkPolicy::OFF
            .outbox(Outbox::Keep {
                bytes: LinkPolicy::BYTES,
            })
            .replay(replay)
            .at_loss(AtLoss::Wait);
        let (link, driver) = open(connector, policy);
        tokio::spawn(driver.run());
        Self { link, events }
    }

    /// Why the first connection was lost.
    pub async fn lost(mut self) -> Kind {
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
pub enum Users {
    Any,
    /// Joe, with this password.
    JoeWith(&'static str),
}

/// A mosquitto. It is killed when it is dropped.
pub struct Broker {
    program: Program,
    /// tcp, tls, ws, wss.
    pub ports: [u16; 4],
}

impl Broker {
    pub fn start(place: &Place, name: &str, users: Users) -> Self {
        Self::start_with(place, name, users, "")
    }

    /// `more` is said to it as well.
    pub fn start_with(place: &Place, name: &str, users: Users, more: &str) -> Self {
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
        let mut config =
            format!("per_listener_settings false\n{login}max_queued_messages 0\n{more}\n");
        for (port, over) in ports
            .iter()
            .zip(["", &tls, WEBSOCKETS, &(tls.clone() + WEBSOCKETS)])
        {
            config += &format!("listener {port} 127.0.0.1\n{over}");
        }
        let config = place.write(&format!("{name}.conf"), &config);
        let program = Program::start(place, "mosquitto", &["-c", &config], &ports);
        Self { program, ports }
    }

    pub fn urls(&self, who: &str) -> [String; 4] {
        let [tcp, tls, ws, wss] = self.ports;
        [
            format!("mqtt://{who}127.0.0.1:{tcp}"),
            format!("mqtts://{who}127.0.0.1:{tls}"),
            format!("ws://{who}127.0.0.1:{ws}/mqtt"),
            format!("wss://{who}127.0.0.1:{wss}/mqtt"),
        ]
    }

    pub fn kill(&mut self) {
        self.program.kill();
    }

    /// Once more on the same ports.
    pub fn restart(&mut self) {
        self.program.restart();
    }

    pub fn signal(&self, word: &str) {
        self.program.signal(word);
    }
}

const WEBSOCKETS: &str = "protocol websockets\n";
