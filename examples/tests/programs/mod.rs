//! Server programs in the foreground on free ports of the loopback interface, each ended with the test
//! that started it.
#![allow(clippy::unwrap_used, clippy::panic, dead_code, missing_docs)]

use std::io::{BufRead, BufReader};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use crate::common::{Place, Program, free_port};

pub(crate) struct Nats {
    _program: Program,
    pub(crate) tcp_port: u16,
    pub(crate) ws_port: u16,
}

impl Nats {
    pub(crate) fn start(place: &Place) -> Self {
        let (tcp_port, ws_port) = (free_port(), free_port());
        let config = format!(
            "listen: 127.0.0.1:{tcp_port}\nwebsocket {{ listen: 127.0.0.1:{ws_port}\n no_tls: true }}\n"
        );
        let file = place.write("nats.conf", &config);
        let program = Program::start(place, "nats-server", &["-c", &file], &[tcp_port, ws_port]);
        Self {
            _program: program,
            tcp_port,
            ws_port,
        }
    }

    pub(crate) fn tcp(&self) -> String {
        format!("tcp://127.0.0.1:{}", self.tcp_port)
    }

    pub(crate) fn ws(&self) -> String {
        format!("ws://127.0.0.1:{}", self.ws_port)
    }
}

/// TLS on a port, and clear text on `haproxy.sock`.
pub(crate) fn haproxy(place: &Place, to: u16) -> (Program, u16) {
    let port = free_port();
    let (pem, socket) = (place.path("server.pem"), place.path("haproxy.sock"));
    let config = format!(
        "defaults\n mode tcp\n timeout connect 5s\n timeout client 60s\n timeout server 60s\n\
         listen tls\n bind 127.0.0.1:{port} ssl crt {pem}\n server nats 127.0.0.1:{to}\n\
         listen socket\n bind unix@{socket}\n server nats 127.0.0.1:{to}\n"
    );
    let file = place.write("haproxy.cfg", &config);
    // `-db`: in the foreground, one process.
    (
        Program::start(place, "haproxy", &["-db", "-f", &file], &[port]),
        port,
    )
}

pub(crate) fn nginx(place: &Place, to: u16) -> (Program, u16) {
    let port = free_port();
    (start_nginx(place, to, port, "", &[port]), port)
}

/// The same, with a second port that hands on bytes to another one.
pub(crate) fn nginx_with_stream(place: &Place, ws: u16, tcp: u16) -> (Program, u16, u16) {
    let (port, bytes) = (free_port(), free_port());
    let stream = format!(
        "load_module /usr/lib/nginx/modules/ngx_stream_module.so;\n\
         stream {{ server {{ listen 127.0.0.1:{bytes}; proxy_pass 127.0.0.1:{tcp}; }} }}"
    );
    let program = start_nginx(place, ws, port, &stream, &[port, bytes]);
    (program, port, bytes)
}

fn start_nginx(place: &Place, to: u16, port: u16, before: &str, ports: &[u16]) -> Program {
    let dir = place.path("");
    // One process: a master that is killed would leave its workers behind.
    let config = format!(
        "daemon off; master_process off; pid {dir}/nginx.pid; error_log stderr;\n\
         {before}\n\
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
    let arguments = ["-p", &dir, "-e", "stderr", "-c", &file];
    Program::start(place, "nginx", &arguments, ports)
}

/// Sends each line back, reversed.
pub(crate) fn openssl(place: &Place) -> (Program, u16) {
    openssl_with(place, &[])
}

/// The same with further options.
pub(crate) fn openssl_with(place: &Place, more: &[&str]) -> (Program, u16) {
    let port = free_port();
    let (accept, pem) = (format!("127.0.0.1:{port}"), place.path("server.pem"));
    let arguments = [
        "s_server", "-accept", &accept, "-cert", &pem, "-key", &pem, "-rev", "-quiet",
    ];
    let arguments = [&arguments[..], more].concat();
    (Program::start(place, "openssl", &arguments, &[port]), port)
}

/// Its lines, as they come.
pub(crate) fn lines(from: impl std::io::Read + Send + 'static) -> Receiver<String> {
    let (tell, told) = channel();
    thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            let _ = tell.send(line);
        }
    });
    told
}
