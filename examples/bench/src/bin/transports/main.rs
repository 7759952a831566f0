//! What the transports cost beside the libraries that they stand on: one Markdown table.

mod figures;
mod handshake;
mod reconnect;
mod stream;

use std::error::Error;

use rustix::thread::{CpuSet, sched_setaffinity};

use crate::figures::Table;

const HELP: &str = "\
Measures the transports beside the libraries below them, and prints a Markdown table.
Takes about half a minute. Linux only. Both ends of every connection run on one CPU, contestants take
turns, figures are medians, ratios are paired within a turn.

Usage: cargo run --release --bin transports [PART]...
       valgrind --tool=callgrind --toggle-collect='*client_step*' target/release/transports --count (full | resumed) TIMES

Parts (default: all):
  stream     the connection of a Connector<Tcp>, and a boxed one, beside a plain TcpStream
  handshake  a resumed TLS handshake beside a full one, in memory: CPU time of the client alone
  reconnect  over sockets, from the dial to the first byte back: resumed beside full, and ours beside
             bare tokio-rustls; how many of 100 reconnects among 8 servers are resumed

With --features post-quantum `handshake` measures the hybrid key exchange of aws-lc-rs, too.
--count does so many handshakes in memory, to have the client's instructions counted from outside.
The WebSocket byte stream has a program of its own: websocket.

Exit code 0: measured, whether or not the goals were met; the table says that. 1: not measured.";

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

const PARTS: &[&str] = &["stream", "handshake", "reconnect"];

fn main() -> Outcome {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["--help" | "-h"] => {
            println!("{HELP}");
            Ok(())
        }
        ["--count", kind, times] => handshake::count(kind, times.parse()?),
        _ => measure(&words),
    }
}

fn measure(words: &[&str]) -> Outcome {
    if let Some(unknown) = words.iter().find(|word| !PARTS.contains(word)) {
        return Err(format!("no part `{unknown}`; there are: {}", PARTS.join(" ")).into());
    }
    // A wake-up across CPUs costs more than what is measured here.
    let mut one = CpuSet::new();
    one.set(0);
    sched_setaffinity(None, &one)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut table = Table::default();
    let mut measured = Ok(());
    for part in if words.is_empty() { PARTS } else { words } {
        eprintln!("measuring: {part}");
        measured = measured.and(match *part {
            "stream" => runtime.block_on(stream::measure(&mut table)),
            "handshake" => handshake::measure(&mut table),
            _ => runtime.block_on(reconnect::measure(&mut table)),
        });
    }
    print!("{table}");
    measured
}
