//! Server programs in the foreground.

use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::{LONG, Place};

/// A server program. It is killed when it is dropped, by its own process id.
pub(crate) struct Program {
    name: String,
    arguments: Vec<String>,
    ports: Vec<u16>,
    log: String,
    child: Child,
}

impl Program {
    /// Starts it, and waits until it listens on these ports.
    pub(crate) fn start(place: &Place, name: &str, arguments: &[&str], ports: &[u16]) -> Self {
        let log = place.path(&format!("{name}-{}.log", ports[0]));
        let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        let child = run(name, &arguments, &log);
        let mut program = Self {
            name: name.to_string(),
            arguments,
            ports: ports.to_vec(),
            log,
            child,
        };
        program.wait();
        program
    }

    fn wait(&mut self) {
        let began = Instant::now();
        for port in &self.ports {
            while TcpStream::connect(("127.0.0.1", *port)).is_err() {
                let ended = self.child.try_wait().unwrap();
                if ended.is_some() || began.elapsed() > LONG {
                    let (name, said) = (&self.name, fs::read_to_string(&self.log).unwrap());
                    panic!("`{name}` does not listen on {port} ({ended:?}): {said}");
                }
                thread::sleep(Duration::from_millis(10));
            }
        }
    }

    /// SIGKILL, and it is gone.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Once more, as it was; waits until it listens.
    pub(crate) fn restart(&mut self) {
        self.child = run(&self.name, &self.arguments, &self.log);
        self.wait();
    }

    pub(crate) fn signal(&self, word: &str) {
        signal(self.child.id(), word);
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn signal(id: u32, word: &str) {
    let sent = Command::new("kill")
        .args(["-s", word, &id.to_string()])
        .status();
    assert!(sent.unwrap().success());
}

/// Where Debian has it: not everybody's path leads there.
fn path_of(name: &str) -> String {
    let places = [format!("/usr/sbin/{name}"), format!("/usr/bin/{name}")];
    let mut places = places.into_iter();
    let there = places.find(|path| Path::new(path).exists());
    there.unwrap_or_else(|| name.to_string())
}

fn run(name: &str, arguments: &[String], log: &str) -> Child {
    Command::new(path_of(name))
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(fs::File::create(log).unwrap())
        .spawn()
        .unwrap_or_else(|error| {
            panic!("cannot start `{name}` ({error}): install it, or leave out `--features brokers`")
        })
}
