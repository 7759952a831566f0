//! Our NATS client beside async-nats and a loop over bare sockets, on one nats-server cluster: Markdown.

mod cluster;
mod contestants;
mod dark;
mod figures;
mod idle;
mod kill;
mod publish;

use std::error::Error;
use std::time::Duration;

use crate::cluster::Cluster;

const HELP: &str = "\
Measures our NATS client (examples::nats over failover_core::messaging) beside async-nats and a loop over
bare sockets, on one cluster of three nats-servers that it starts on loopback, and prints a Markdown table.
Takes about fifteen minutes. Linux only; nats-server must be on the path or in /usr/sbin.

Usage: cargo build --release && target/release/clients [PART]...

Parts (default: all but the last):
  young    SIGKILL of the connected node to the next message, connections of 0.1 s
  old      the same, connections of 1.5 s
  frozen   SIGSTOP of the connected node to the next message, heartbeat 1 s
  dark     all nodes killed for 5 to 7 s, one comes back
  publish  messages of 128 B a second, without subscriptions and beside a thousand idle ones
  memory   an idle client, PSS: a program of its own each (idle_ours, idle_async_nats, idle_bare beside this one)
  memory-cold
           the same, the system's memory of all files emptied before each start; as root

Exit code 0: measured, whether or not the goals were met; the table says that. 1: not measured.";

type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

const PARTS: &[&str] = &["young", "old", "frozen", "dark", "publish", "memory"];
const COLD: &str = "memory-cold";

fn main() -> Outcome {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if words.iter().any(|word| ["--help", "-h"].contains(word)) {
        println!("{HELP}");
        return Ok(());
    }
    if let Some(unknown) = words
        .iter()
        .find(|word| **word != COLD && !PARTS.contains(word))
    {
        let known = PARTS.join(" ");
        return Err(format!("no part `{unknown}`; there are: {known} {COLD}").into());
    }
    let parts = if words.is_empty() { PARTS } else { &words[..] };
    let mut cluster = Cluster::start()?;
    println!("{}", figures::HEAD);
    for part in parts {
        eprintln!("measuring: {part}");
        measure(part, &mut cluster)?;
    }
    Ok(())
}

fn measure(part: &str, cluster: &mut Cluster) -> Outcome {
    match part {
        "young" => kill::measure(cluster, kill::End::Killed, Duration::from_millis(100), 20),
        "old" => kill::measure(cluster, kill::End::Killed, Duration::from_millis(1500), 20),
        "frozen" => kill::measure(cluster, kill::End::Frozen, Duration::from_millis(300), 5),
        "dark" => dark::measure(cluster),
        "publish" => publish::measure(cluster),
        COLD => idle::measure(cluster, idle::Files::Forgotten),
        _ => idle::measure(cluster, idle::Files::AsTheyAre),
    }
}

/// A runtime of one thread, as each contestant has it.
fn block_on<T>(future: impl Future<Output = Outcome<T>>) -> Outcome<T> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(future)
}
