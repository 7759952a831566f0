//! RabbitMQ, and a STOMP client of it.

use std::fs;
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use examples::stomp::{Stomp, dialer};
use failover_core::directory::Endpoint;
use failover_core::drive::{Connector, Events};
use failover_core::link::{AtLoss, LinkPolicy, Outbox, Replay};
use failover_core::messaging::{Link, Login, open};
use failover_core::policy::{Order, Policy, PolicyBuilder, Walk};
use transport_tcp::TokioClock;

use crate::common::{Place, free_port};

/// For a broker, on a machine that is busy.
const START: Duration = Duration::from_secs(180);

/// A client that a task carries.
pub struct Client {
    pub link: Link<Stomp>,
    pub events: Events,
}

impl Client {
    /// Over these brokers, with heart-beats of 1 s; what has no receipt is replayed.
    pub fn new(place: &Place, urls: &[String]) -> Self {
        Self::with(
            place,
            urls,
            Policy::builder().order(Order::new(Walk::Rotate)),
        )
    }

    pub fn with(place: &Place, urls: &[String], policy: PolicyBuilder) -> Self {
        let login = Login::new(dialer(&place.tls()), Stomp::new().heart_beat(1000, 1000));
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
            .replay(Replay::Bytes(LinkPolicy::BYTES))
            .at_loss(AtLoss::Wait);
        let (link, driver) = open(connector, policy);
        tokio::spawn(driver.run());
        Self { link, events }
    }
}

/// A RabbitMQ with an epmd of its own. Both are killed when it is dropped: the processes of their own
/// groups, by the groups' ids.
pub struct Broker {
    name: String,
    home: PathBuf,
    running: Option<Running>,
    /// STOMP, STOMP over TLS, STOMP over WebSocket, and that over TLS.
    ports: [u16; 4],
    /// AMQP, between nodes, epmd.
    others: [u16; 3],
}

impl Broker {
    /// Begins to start.
    pub fn start(place: &Place, name: &str) -> Self {
        let home = PathBuf::from(place.path(name));
        fs::create_dir(&home).unwrap();
        let ports = [(); 4].map(|()| free_port());
        let others = [(); 3].map(|()| free_port());
        let ([stomp, stomp_tls, web, web_tls], [amqp, ..]) = (ports, others);
        // Each has a certificate of its own.
        let server = format!("{name}.pem");
        place.certify(&server);
        let (ca, server) = (place.path("ca.pem"), place.path(&server));
        let config = format!(
            "listeners.tcp.1 = 127.0.0.1:{amqp}\n\
             stomp.listeners.tcp.1 = 127.0.0.1:{stomp}\n\
             stomp.listeners.ssl.1 = 127.0.0.1:{stomp_tls}\n\
             ssl_options.cacertfile = {ca}\nssl_options.certfile = {server}\n\
             ssl_options.keyfile = {server}\n\
             web_stomp.tcp.ip = 127.0.0.1\nweb_stomp.tcp.port = {web}\n\
             web_stomp.ssl.ip = 127.0.0.1\nweb_stomp.ssl.port = {web_tls}\n\
             web_stomp.ssl.cacertfile = {ca}\nweb_stomp.ssl.certfile = {server}\n\
             web_stomp.ssl.keyfile = {server}\n\
             disk_free_limit.absolute = 1MB\n"
        );
        fs::write(home.join("rabbitmq.conf"), config).unwrap();
        fs::write(
            home.join("plugins"),
            "[rabbitmq_stomp, rabbitmq_web_stomp].",
        )
        .unwrap();
        let mut broker = Self {
            name: name.to_string(),
            home,
            running: None,
            ports,
            others,
        };
        broker.begin();
        broker
    }

    /// Begins to start once more on the same ports, with what it had written down.
    pub fn restart(mut self) -> Self {
        self.kill();
        self.begin();
        self
    }

    fn begin(&mut self) {
        let within = |file: &str| self.home.join(file).display().to_string();
        let [amqp, distribution, names] = self.others;
        let epmd = Command::new("epmd")
            .args(["-address", "127.0.0.1", "-port", &names.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("install rabbitmq-server, or leave out `--features brokers`");
        wait_for(names);
        let log = fs::File::create(within("output")).unwrap();
        // The program behind the wrapper that would become another user.
        let server = Command::new("/usr/lib/rabbitmq/bin/rabbitmq-server")
            .env("HOME", &self.home)
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .env("ERL_EPMD_PORT", names.to_string())
            .env("RABBITMQ_NODENAME", format!("{}@localhost", self.name))
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
        self.running = Some(Running { server, epmd });
    }

    /// Waits until it serves. One that gives up before that is told, and started a second time.
    pub fn up(mut self) -> Self {
        let began = Instant::now();
        let mut starts = 1;
        for port in self.ports {
            while TcpStream::connect(("127.0.0.1", port)).is_err() {
                let server = &mut self.running.as_mut().unwrap().server;
                let ended = server.try_wait().unwrap();
                if ended.is_some() || began.elapsed() > START {
                    let said = fs::read_to_string(self.home.join("output")).unwrap();
                    let told = format!("{said}\nRabbitMQ does not listen on {port} ({ended:?})");
                    assert!(ended.is_some() && starts < 2, "{told}");
                    println!("{told}");
                    starts += 1;
                    self.kill();
                    self.begin();
                }
                std::thread::sleep(Duration::from_millis(50));
            }
        }
        self
    }

    /// SIGKILL, and it is gone.
    pub fn kill(&mut self) {
        self.running = None;
    }

    /// Its processes are stopped.
    pub fn freeze(&self) {
        signal_group(&self.running.as_ref().unwrap().server, "STOP");
    }

    /// STOMP over plain TCP.
    pub fn port(&self) -> u16 {
        self.ports[0]
    }

    /// Over tcp, tls, ws and wss, as this user.
    pub fn urls(&self, who: &str) -> [String; 4] {
        let [stomp, stomp_tls, web, web_tls] = self.ports;
        [
            format!("tcp://{who}@127.0.0.1:{stomp}"),
            format!("tls://{who}@127.0.0.1:{stomp_tls}"),
            format!("ws://{who}@127.0.0.1:{web}/ws"),
            format!("wss://{who}@127.0.0.1:{web_tls}/ws"),
        ]
    }
}

struct Running {
    server: Child,
    epmd: Child,
}

impl Drop for Running {
    fn drop(&mut self) {
        for child in [&mut self.server, &mut self.epmd] {
            signal_group(child, "KILL");
            let _ = child.wait();
        }
    }
}

fn signal_group(child: &Child, signal: &str) {
    let group = format!("-{}", child.id());
    let _ = Command::new("kill")
        .args(["-s", signal, "--", &group])
        .status();
}

fn wait_for(port: u16) {
    let began = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(began.elapsed() < START, "nobody listens on {port}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
