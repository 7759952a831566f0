//! What the connector costs, beside a loop written by hand on tokio: one Markdown table.

mod dark;
mod figures;
mod idle;
mod servers;
mod silent;
mod sweep;
mod takeover;

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;

use failover_core::directory::{Endpoint, UrlError};
use failover_core::drive::Connector;
use failover_core::policy::Policy;
use rustix::thread::{CpuSet, sched_setaffinity};
use transport_tcp::{Tcp, TokioClock};

use crate::figures::Table;

const HELP: &str = "\
Measures the connector beside a loop written by hand on tokio, and prints a Markdown table.
Takes about half a minute. Linux only. Both ends of every connection run on one CPU.

Usage: cargo run --release --bin connector [PART]...

Parts (default: all): takeover spare idle memory dark sweep silent

Exit code 0: measured, whether or not the goals were met; the table says that. 1: not measured.";

type Outcome<T = ()> = Result<T, Box<dyn Error>>;
type Client = Connector<Tcp, TokioClock>;

fn main() -> Outcome {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    match words[..] {
        ["--help" | "-h"] => println!("{HELP}"),
        // What the measurement starts beside itself.
        ["--echo"] => runtime.block_on(servers::echo())?,
        ["--clients", kind, server] => runtime.block_on(idle::clients(kind, server.parse()?))?,
        _ => {
            if let Some(unknown) = words.iter().find(|word| !PARTS.contains(word)) {
                return Err(format!("no part `{unknown}`; there are: {}", PARTS.join(" ")).into());
            }
            pin_to_one_cpu()?;
            let parts = if words.is_empty() { PARTS } else { &words[..] };
            let mut table = Table::default();
            let mut measured = Ok(());
            for part in parts {
                eprintln!("measuring: {part}");
                measured = measured.and(runtime.block_on(measure(part, &mut table)));
            }
            print!("{table}");
            measured?;
        }
    }
    Ok(())
}

const PARTS: &[&str] = &[
    "takeover", "spare", "idle", "memory", "dark", "sweep", "silent",
];

async fn measure(part: &str, table: &mut Table) -> Outcome {
    match part {
        "takeover" => takeover::measure(table).await,
        "spare" => takeover::measure_spare(table).await,
        "idle" => idle::measure_wakes(table).await,
        "memory" => idle::measure_memory(table).await,
        "dark" => dark::measure(table).await,
        "sweep" => sweep::measure(table).await,
        _ => silent::measure(table).await,
    }
}

/// A wake-up across CPUs costs more than what is measured here. Children inherit it.
fn pin_to_one_cpu() -> Outcome {
    let mut one = CpuSet::new();
    one.set(0);
    Ok(sched_setaffinity(None, &one)?)
}

fn client(servers: &[SocketAddr], policy: impl Into<Arc<Policy>>) -> Outcome<Client> {
    let endpoints = servers
        .iter()
        .map(|server| Endpoint::parse(&format!("tcp://{server}")))
        .collect::<Result<Vec<_>, UrlError>>()?;
    Ok(Connector::builder(Tcp::new(), TokioClock::new())
        .endpoints(endpoints)
        .policy(policy)
        .build()?)
}
