//! Three nats-servers on loopback, and somebody who publishes at one of them.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::Outcome;

pub(crate) const SUBJECT: &str = "clients";

/// Killed when it is dropped, each by its own process id.
pub(crate) struct Cluster {
    place: PathBuf,
    nodes: Vec<Node>,
}

pub(crate) struct Node {
    pub(crate) address: SocketAddr,
    config: PathBuf,
    running: Option<Running>,
}

/// A server process. It is killed when it is dropped.
pub(crate) struct Running(Child);

impl Cluster {
    pub(crate) fn start() -> Outcome<Self> {
        let place = std::env::temp_dir().join(format!("failover-clients-{}", std::process::id()));
        fs::create_dir_all(&place)?;
        let addresses = [free()?, free()?, free()?];
        let routes = [free()?, free()?, free()?];
        let urls = routes.map(|route| format!("nats://{route}")).join(", ");
        let mut cluster = Self {
            place,
            nodes: Vec::new(),
        };
        for (number, (address, route)) in addresses.into_iter().zip(routes).enumerate() {
            let config = cluster.place.join(format!("{number}.conf"));
            fs::write(
                &config,
                format!(
                    "host: 127.0.0.1\nport: {}\nserver_name: n{number}\n\
                     cluster {{ name: c, host: 127.0.0.1, port: {}, routes: [{urls}] }}\n",
                    address.port(),
                    route.port()
                ),
            )?;
            cluster.nodes.push(Node {
                address,
                config,
                running: None,
            });
        }
        for node in &mut cluster.nodes {
            node.start()?;
        }
        Ok(cluster)
    }

    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.nodes.iter().map(|node| node.address).collect()
    }

    pub(crate) fn node(&mut self, number: usize) -> &mut Node {
        &mut self.nodes[number]
    }

    /// SIGKILL, and all are gone.
    pub(crate) fn kill_all(&mut self) {
        for node in &mut self.nodes {
            node.running = None;
        }
    }

    /// All that are not running.
    pub(crate) fn start_all(&mut self) -> Outcome {
        self.nodes.iter_mut().try_for_each(Node::start)
    }
}

impl Node {
    /// If it is not running; waits until it listens.
    pub(crate) fn start(&mut self) -> Outcome {
        if self.running.is_some() {
            return Ok(());
        }
        let program = ["/usr/sbin/nats-server", "/usr/local/bin/nats-server"];
        let program = program
            .iter()
            .find(|path| fs::exists(path).unwrap_or(false));
        let child = Command::new(program.unwrap_or(&"nats-server"))
            .arg("-c")
            .arg(&self.config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("nats-server does not start: {error}"))?;
        self.running = Some(Running(child));
        let began = Instant::now();
        while TcpStream::connect(self.address).is_err() {
            if began.elapsed() > Duration::from_secs(20) {
                return Err("nats-server does not listen".into());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// The process, for somebody else.
    pub(crate) fn take(&mut self) -> Option<Running> {
        self.running.take()
    }
}

impl Running {
    /// SIGKILL, and it is gone.
    pub(crate) fn kill(&mut self) -> Outcome {
        self.0.kill()?;
        self.0.wait()?;
        Ok(())
    }

    /// SIGSTOP, and it stands still.
    pub(crate) fn freeze(&self) -> Outcome {
        let id = self.0.id();
        let pid = Pid::from_raw(i32::try_from(id)?);
        kill_process(pid.ok_or("no process")?, Signal::STOP)?;
        let stat = format!("/proc/{id}/stat");
        while !fs::read_to_string(&stat)?.contains(") T ") {
            std::thread::sleep(Duration::from_micros(100));
        }
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.kill_all();
        let _ = fs::remove_dir_all(&self.place);
    }
}

/// Publishes at one node, over a socket of its own.
pub(crate) struct Publisher {
    stream: TcpStream,
}

impl Publisher {
    pub(crate) fn new(node: SocketAddr) -> Outcome<Self> {
        let mut stream = TcpStream::connect(node)?;
        stream.set_nodelay(true)?;
        stream.write_all(b"CONNECT {\"verbose\":false}\r\nPING\r\n")?;
        let mut lines = BufReader::new(&mut stream);
        let mut line = String::new();
        while !line.starts_with("PONG") {
            line.clear();
            if lines.read_line(&mut line)? == 0 {
                return Err("the node ended".into());
            }
        }
        stream.set_nonblocking(true)?;
        Ok(Self { stream })
    }

    /// A message of one byte.
    pub(crate) fn publish(&mut self) -> Outcome {
        // Its pings have to be answered some day; none of these lives so long.
        let _ = self.stream.read(&mut [0; 4096]);
        let message = format!("PUB {SUBJECT} 1\r\nx\r\n");
        Ok(self.stream.write_all(message.as_bytes())?)
    }
}

fn free() -> Outcome<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}
