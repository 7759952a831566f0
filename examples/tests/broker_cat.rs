//! `failover cat` against server programs that this project did not write.
//!
//! `cargo test -p examples --features brokers --test broker_cat` needs nats-server, nginx, haproxy
//! and openssl. Each runs in the foreground on free ports of the loopback interface, and ends with
//! the test that started it.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

#[test]
fn nats_answers_over_tcp_although_the_first_server_is_dead() {
    let place = Place::new();
    let nats = Nats::start(&place);
    let dead = format!("tcp://127.0.0.1:{}", free_port());
    check_pong(&["-v", &dead, &nats.tcp()]);
}

#[test]
fn nats_answers_over_websocket() {
    let place = Place::new();
    let nats = Nats::start(&place);
    check_pong(&["-v", &nats.ws()]);
}

#[test]
fn haproxy_carries_tls_to_nats() {
    let place = Place::new();
    let nats = Nats::start(&place);
    let (_haproxy, port) = haproxy(&place, nats.tcp_port);
    let url = format!("tls://127.0.0.1:{port}");
    check_pong(&["-v", "--ca", &place.path("ca.pem"), &url]);
}

#[test]
fn nginx_carries_websocket_over_tls_to_nats() {
    let place = Place::new();
    let nats = Nats::start(&place);
    let (_nginx, port) = nginx(&place, nats.ws_port);
    let url = format!("wss://127.0.0.1:{port}/nats");
    check_pong(&["-v", "--ca", &place.path("ca.pem"), &url]);
}

#[test]
fn one_list_mixes_all_four_transports() {
    let place = Place::new();
    let nats = Nats::start(&place);
    let (haproxy, tls) = haproxy(&place, nats.tcp_port);
    let (nginx, wss) = nginx(&place, nats.ws_port);
    let urls = [
        format!("wss://127.0.0.1:{wss}/"),
        format!("tls://127.0.0.1:{tls}"),
        nats.ws(),
        nats.tcp(),
    ];
    let ca = place.path("ca.pem");
    let mut arguments = vec!["-v", "--ca", &ca];
    arguments.extend(urls.iter().map(String::as_str));
    let said = check_pong(&arguments);
    assert!(
        said.contains(&format!("connected    {}", urls[0])),
        "{said}"
    );

    drop(nginx);
    let said = check_pong(&arguments);
    assert!(
        said.contains(&format!("connected    {}", urls[1])),
        "{said}"
    );

    drop(haproxy);
    let said = check_pong(&arguments);
    assert!(
        said.contains(&format!("connected    {}", urls[2])),
        "{said}"
    );
}

#[test]
fn openssl_answers_over_tls() {
    let place = Place::new();
    let (_openssl, port) = openssl(&place);
    let url = format!("tls://127.0.0.1:{port}");
    let ran = cat(&["-v", "--ca", &place.path("ca.pem"), &url], b"hello\n");
    let (stdout, stderr) = texts(&ran);
    assert_eq!(ran.status.code(), Some(0), "{stderr}");
    assert_eq!(stdout, "olleh\n", "{stderr}");
}

#[test]
fn a_certificate_of_another_authority_is_refused() {
    let (place, other) = (Place::new(), Place::new());
    let (_openssl, port) = openssl(&place);
    let url = format!("tls://127.0.0.1:{port}");
    let ran = cat(&["--ca", &other.path("ca.pem"), &url], b"");
    let (stdout, stderr) = texts(&ran);
    assert_eq!((ran.status.code(), &*stdout), (Some(1), ""), "{stderr}");
    assert!(stderr.contains("gave up"), "{stderr}");
    assert!(
        stderr.contains("issuer") || stderr.contains("authority"),
        "{stderr}"
    );
}

#[test]
fn a_plain_server_where_tls_was_expected_is_told() {
    let place = Place::new();
    let nats = Nats::start(&place);
    let url = format!("tls://127.0.0.1:{}", nats.tcp_port);
    let ran = cat(&["--ca", &place.path("ca.pem"), &url], b"PING\r\n");
    let (stdout, stderr) = texts(&ran);
    assert_eq!((ran.status.code(), &*stdout), (Some(1), ""), "{stderr}");
    assert!(stderr.contains("TLS"), "{stderr}");
}

#[test]
fn a_broker_that_dies_is_replaced_while_cat_runs() {
    let (first, second) = (Place::new(), Place::new());
    let (dies, stays) = (Nats::start(&first), Nats::start(&second));
    let mut child = tool(&["-v", &dies.tcp(), &stays.tcp()]).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let output = lines(child.stdout.take().unwrap());

    input.write_all(b"PING\r\n").unwrap();
    wait_for(&output, "INFO");
    wait_for(&output, "PONG");
    drop(dies);
    wait_for(&output, "INFO");
    input.write_all(b"PING\r\n").unwrap();
    wait_for(&output, "PONG");
    drop(input);

    let ran = child.wait_with_output().unwrap();
    let (_, stderr) = texts(&ran);
    assert_eq!(ran.status.code(), Some(0), "{stderr}");
    let told = "6 bytes were handed over, unconfirmed, and are not sent again";
    assert!(stderr.contains(told), "{stderr}");
    assert!(stderr.contains("failed over"), "{stderr}");
}

/// `PING` brings `INFO` and `PONG`; returns what was said on standard error.
fn check_pong(arguments: &[&str]) -> String {
    let ran = cat(arguments, b"PING\r\n");
    let (stdout, stderr) = texts(&ran);
    assert_eq!(ran.status.code(), Some(0), "{stderr}");
    assert!(stdout.starts_with("INFO {"), "{stdout}\n{stderr}");
    assert!(stdout.ends_with("PONG\r\n"), "{stdout}\n{stderr}");
    stderr
}

struct Nats {
    _program: Program,
    tcp_port: u16,
    ws_port: u16,
}

impl Nats {
    fn start(place: &Place) -> Self {
        let (tcp_port, ws_port) = (free_port(), free_port());
        let config = format!(
            "listen: 127.0.0.1:{tcp_port}\nwebsocket {{ listen: 127.0.0.1:{ws_port}\n no_tls: true }}\n"
        );
        let file = place.write("nats.conf", &config);
        let program = Program::start("nats-server", &["-c", &file], &[tcp_port, ws_port]);
        Self {
            _program: program,
            tcp_port,
            ws_port,
        }
    }

    fn tcp(&self) -> String {
        format!("tcp://127.0.0.1:{}", self.tcp_port)
    }

    fn ws(&self) -> String {
        format!("ws://127.0.0.1:{}", self.ws_port)
    }
}

fn haproxy(place: &Place, to: u16) -> (Program, u16) {
    let port = free_port();
    let pem = place.path("server.pem");
    let config = format!(
        "defaults\n mode tcp\n timeout connect 5s\n timeout client 60s\n timeout server 60s\n\
         listen tls\n bind 127.0.0.1:{port} ssl crt {pem}\n server nats 127.0.0.1:{to}\n"
    );
    let file = place.write("haproxy.cfg", &config);
    // `-db`: in the foreground, one process.
    (
        Program::start("haproxy", &["-db", "-f", &file], &[port]),
        port,
    )
}

fn nginx(place: &Place, to: u16) -> (Program, u16) {
    let port = free_port();
    let dir = place.0.display();
    // One process: a master that is killed would leave its workers behind.
    let config = format!(
        "daemon off; master_process off; pid {dir}/nginx.pid; error_log stderr;\n\
         events {{ }}\n\
         http {{\n\
           access_log off;\n\
           client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy;\n\
           fastcgi_temp_path {dir}/fastcgi; uwsgi_temp_path {dir}/uwsgi; scgi_temp_path {dir}/scgi;\n\
           server {{\n\
             listen 127.0.0.1:{port} ssl;\n\
             ssl_certificate {dir}/server.pem; ssl_certificate_key {dir}/server.pem;\n\
             location / {{\n\
               proxy_pass http://127.0.0.1:{to}; proxy_http_version 1.1;\n\
               proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;\n\
               proxy_set_header Host $host;\n\
             }}\n\
           }}\n\
         }}\n"
    );
    let file = place.write("nginx.conf", &config);
    let dir = place.0.display().to_string();
    let arguments = ["-p", &dir, "-e", "stderr", "-c", &file];
    (Program::start("nginx", &arguments, &[port]), port)
}

/// Sends each line back, reversed.
fn openssl(place: &Place) -> (Program, u16) {
    let port = free_port();
    let (accept, pem) = (format!("127.0.0.1:{port}"), place.path("server.pem"));
    let arguments = [
        "s_server", "-accept", &accept, "-cert", &pem, "-key", &pem, "-rev", "-quiet",
    ];
    (Program::start("openssl", &arguments, &[port]), port)
}

/// A server program. It is killed when it is dropped, by its own process id.
struct Program {
    child: Child,
}

impl Program {
    /// Starts it, and waits until it listens on these ports.
    fn start(name: &str, arguments: &[&str], ports: &[u16]) -> Self {
        let path = [format!("/usr/sbin/{name}"), format!("/usr/bin/{name}")];
        let path = path.iter().find(|path| Path::new(path).exists());
        let child = Command::new(path.map_or(name, String::as_str))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| {
                panic!(
                    "cannot start `{name}` ({error}): install it, or leave out `--features brokers`"
                )
            });
        let mut program = Self { child };
        let said = lines(program.child.stderr.take().unwrap());
        let began = Instant::now();
        for port in ports {
            while TcpStream::connect(("127.0.0.1", *port)).is_err() {
                let ended = program.child.try_wait().unwrap();
                if ended.is_some() || began.elapsed() > Duration::from_secs(10) {
                    let said: Vec<String> = said.try_iter().collect();
                    panic!("`{name}` does not listen ({ended:?}): {}", said.join("\n"));
                }
                thread::sleep(Duration::from_millis(10));
            }
        }
        program
    }
}

impl Drop for Program {
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
        let name = format!("failover-brokers-{}-{number}", std::process::id());
        let place = Self(std::env::temp_dir().join(name));
        fs::create_dir_all(&place.0).unwrap();

        let mut params = CertificateParams::new(Vec::new()).unwrap();
        let name = format!("authority {number}");
        params.distinguished_name.push(DnType::CommonName, name);
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

fn tool(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_failover"));
    command
        .arg("cat")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn cat(arguments: &[&str], input: &[u8]) -> Output {
    let mut child = tool(arguments).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap()
}

fn texts(ran: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&ran.stdout), text(&ran.stderr))
}

/// Its lines, as they come.
fn lines(from: impl std::io::Read + Send + 'static) -> Receiver<String> {
    let (tell, told) = channel();
    thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            let _ = tell.send(line);
        }
    });
    told
}

fn wait_for(lines: &Receiver<String>, word: &str) {
    loop {
        let line = lines.recv_timeout(Duration::from_secs(10));
        if line
            .unwrap_or_else(|_| panic!("no line with {word}"))
            .contains(word)
        {
            return;
        }
    }
}
