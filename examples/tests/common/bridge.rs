//! `failover bridge`, running as a program of its own.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Instant;

use serde_json::Value;

use crate::common::{LONG, Place};

/// The tool, running. It is killed when it is dropped, by its own process id.
pub(crate) struct Bridge {
    pub(crate) child: Child,
    pub(crate) lines: Mutex<mpsc::Receiver<String>>,
    pub(crate) seen: Mutex<Vec<String>>,
    pub(crate) address: SocketAddr,
    pub(crate) status_address: SocketAddr,
    pub(crate) file: PathBuf,
    _place: Place,
}

impl Bridge {
    /// To the servers `s0`, `s1`, … with these URLs, the first one preferred.
    pub(crate) fn numbered(urls: &[String], arguments: &[&str]) -> Self {
        let names: Vec<String> = (0..urls.len()).map(|number| format!("s{number}")).collect();
        let servers = names.iter().zip(urls);
        let servers: Vec<_> = servers.map(|(name, url)| (&**name, &**url)).collect();
        Self::of(&servers, arguments, "")
    }

    /// To these servers, by name and URL; `more` stands at the end of its file.
    pub(crate) fn of(servers: &[(&str, &str)], arguments: &[&str], more: &str) -> Self {
        Self::listening(servers, "127.0.0.1:0", arguments, more)
    }

    pub(crate) fn listening(
        servers: &[(&str, &str)],
        listen: &str,
        arguments: &[&str],
        more: &str,
    ) -> Self {
        let place = Place::new();
        let file = PathBuf::from(place.path("deploy.toml"));
        write(&file, servers, more);
        // With few descriptors at first: it helps itself to as many as it needs.
        let mut child = Command::new("sh")
            .args(["-c", "ulimit -Sn 32 && exec \"$0\" \"$@\""])
            .arg(env!("CARGO_BIN_EXE_failover"))
            .args([
                "bridge",
                "--json",
                "--status",
                "127.0.0.1:0",
                "--listen",
                listen,
            ])
            .arg("--config")
            .arg(&file)
            .args(arguments)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (tell, lines) = mpsc::channel();
        thread::spawn(move || {
            stderr
                .lines()
                .map_while(Result::ok)
                .all(|line| tell.send(line).is_ok())
        });
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let mut bridge = Self {
            child,
            lines: Mutex::new(lines),
            seen: Mutex::default(),
            address: nowhere,
            status_address: nowhere,
            file,
            _place: place,
        };
        let address = |line: &Value| line["address"].as_str().unwrap().parse().unwrap_or(nowhere);
        bridge.status_address = address(&bridge.line("status"));
        bridge.address = address(&bridge.line("listening"));
        bridge
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        stream
    }

    /// The next line of this event.
    pub(crate) fn line(&self, event: &str) -> Value {
        let until = Instant::now() + LONG;
        let lines = self.lines.lock().unwrap();
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let line = lines.recv_timeout(left);
            let line = line.unwrap_or_else(|_| {
                panic!("no line says {event}: {:#?}", self.seen.lock().unwrap())
            });
            self.seen.lock().unwrap().push(line.clone());
            let line: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line}"));
            if line["event"] == event {
                return line;
            }
        }
    }

    /// All lines that were told, once it has ended.
    pub(crate) fn rest(&self) -> Vec<String> {
        let mut seen = self.seen.lock().unwrap();
        seen.extend(self.lines.lock().unwrap().iter());
        seen.clone()
    }

    pub(crate) fn get(&self, path: &str, accept: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.status_address).unwrap();
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: a\r\nAccept: {accept}\r\n\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head[9..12].parse().unwrap(), body.to_string())
    }

    pub(crate) fn status(&self) -> Value {
        serde_json::from_str(&self.get("/", "application/json").1).unwrap()
    }

    pub(crate) fn metric(&self, series: &str) -> f64 {
        let (_, text) = self.get("/metrics", "");
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {series}: {text}"))
            .parse()
            .unwrap()
    }

    /// Writes the file anew, as an editor does: whole.
    pub(crate) fn write(&self, servers: &[(&str, &str)], more: &str) {
        let new = self.file.with_extension("new");
        write(&new, servers, more);
        std::fs::rename(new, &self.file).unwrap();
    }

    pub(crate) fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", signal, &id]).status();
        assert!(sent.unwrap().success());
    }

    /// Its exit code, once it has said its last.
    pub(crate) fn ends(&mut self) -> i32 {
        let until = Instant::now() + LONG;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.lines.lock().unwrap().recv_timeout(left) {
                Ok(line) => self.seen.lock().unwrap().push(line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("it does not end"),
            }
        }
        self.child.wait().unwrap().code().unwrap()
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A deployment: the first server is preferred, unless `more` says otherwise.
pub(crate) fn write(file: &Path, servers: &[(&str, &str)], more: &str) {
    let mut text = "version = 1\n".to_string();
    for (name, url) in servers {
        text += &format!("[[endpoints]]\nname = \"{name}\"\nurl = \"{url}\"\n");
    }
    if !more.contains("policy.order") {
        text += "[policy.order]\nwalk = \"listed\"\n";
    }
    std::fs::write(file, text + more).unwrap();
}

/// Runs `failover bridge` to its end, which comes at once: exit code and standard error.
pub(crate) fn tool(arguments: &[&str]) -> (i32, String) {
    let ran = Command::new(env!("CARGO_BIN_EXE_failover"))
        .arg("bridge")
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    (
        ran.status.code().unwrap(),
        String::from_utf8(ran.stderr).unwrap(),
    )
}
