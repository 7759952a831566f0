//! Our laws and our connector beside other crates', measured on this machine: `COMPARISON.md`.

mod instructions;
mod laws;
mod loss;

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::process::Command;
use std::time::Duration;

use examples::timeline::short;

use crate::storm::report::median;
use crate::storm::{Figures, Over, Run};

/// How often each loses its connection, for the times of a reconnect.
const LOSSES: usize = 200;
/// How long the server accepts and drops.
const DROPPING: Duration = Duration::from_secs(30);
/// How long a mute server is watched.
const MUTE: Duration = Duration::from_secs(15);
/// Clients and outage for memory and processor time.
const CROWD: usize = 1_000;
const OUTAGE: Duration = Duration::from_secs(5);

/// What to do if this process was started as a part of a comparison: `main` begins with it.
#[must_use]
pub fn part() -> Option<io::Result<()>> {
    instructions::part()
}

/// The page. It takes about six minutes.
///
/// # Errors
/// Something was in the way of a measurement.
pub fn page() -> io::Result<String> {
    let mut page = head();
    page.push_str(&laws::section()?);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    page.push_str(&runtime.block_on(loss::section())?);
    page.push_str(&runtime.block_on(crowds())?);
    Ok(page)
}

fn head() -> String {
    let lock = include_str!("../../Cargo.lock");
    let peers = [
        "async-nats",
        "backoff",
        "backon",
        "exponential-backoff",
        "failover-core",
        "retry-policies",
        "rustls",
        "stubborn-io",
        "tokio",
        "tokio-retry",
        "tower",
    ];
    let versions: Vec<String> = peers.map(|name| version(lock, name)).to_vec();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    // What follows is the name of a build.
    let kernel = kernel.split('-').next().unwrap_or_default();
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    format!(
        "# Beside other crates, measured\n\n\
         Made by `cargo run --release --bin compare > COMPARISON.md` in `examples/bench`, on {}.\n\n\
         {}, {cores} processors seen, Linux {}, {}. Load average when it began: {}.\n\n\
         {}.\n\n\
         Every backoff is set to begin at 100 ms, to double, to end at 10 s and to jitter as its crate \
         offers it (`src/lib.rs` has the settings).\n",
        said_by("date", &["-u", "+%Y-%m-%d"]),
        processor(),
        kernel.trim(),
        said_by("rustc", &["--version"]),
        load.split(' ').next().unwrap_or_default(),
        versions.join(", "),
    )
}

/// `name 1.2.3` of a lock file.
fn version(lock: &str, name: &str) -> String {
    let entry = format!("name = \"{name}\"\nversion = \"");
    let rest = lock.split_once(&entry).map_or("", |(_, rest)| rest);
    let version = rest.split('"').next().unwrap_or_default();
    format!("{name} {version}")
}

fn processor() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = info.lines().find(|line| line.starts_with("model name"));
    let model = line.and_then(|line| line.split_once(": "));
    model.map_or("an unknown processor".to_string(), |(_, m)| m.to_string())
}

fn said_by(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output.map_or("unknown".to_string(), |output| {
        String::from_utf8_lossy(&output.stdout).trim().to_string()
    })
}

/// Memory and processor time of many clients.
async fn crowds() -> io::Result<String> {
    let mut text = format!(
        "\n## Many clients\n\n{CROWD} clients in one process and one thread, one server in another; it is killed and \
         returns after {} s (`storm --tcp {CROWD} --tls {CROWD} --outage {}`). Memory is what the process of the \
         clients has to itself for each of them, connected and idle. `ours-doubling` is our connector with the law of \
         stubborn-io's column, equal jitter; `async-nats-client` is async-nats, whose server answers its login \
         from a script; `naive` sleeps a second whenever anything ends, and keeps no state.\n\n\
         | clients | over | KiB each | dials while away and until all are back, each | CPU while away | the same for each refused dial, µs | all back after |\n\
         |---|---|---|---|---|---|---|\n",
        OUTAGE.as_secs(),
        OUTAGE.as_millis(),
    );
    for (over, name) in [(Over::Tcp, "TCP"), (Over::Tls, "TLS")] {
        for who in [
            "ours",
            "ours-doubling",
            "stubborn-io",
            "async-nats-client",
            "naive",
        ] {
            if over == Over::Tls && who == "async-nats-client" {
                continue;
            }
            let run = Run {
                who: who.to_string(),
                over,
                clients: CROWD,
                outage: OUTAGE,
                within: Duration::from_secs(60),
                seed: 1,
            };
            let f: Figures = run.go().await?;
            let clients = f.run.clients as f64;
            let _ = writeln!(
                text,
                "| {who} | {name} | {:.1} | {:.2} | {} | {:.1} | {} |",
                f.memory as f64 / 1024.0,
                f.dials as f64 / clients,
                short(f.cpu_down),
                f.cpu_down.as_secs_f64() * 1e6 / (f.refused.max(1) as f64),
                f.back[3].map_or("not within 60 s".to_string(), short),
            );
        }
    }
    text.push_str(
        "\nA thousand clients are few for this server: it could take all of them at once, and whoever knocks \
         most often is back first. Ours spreads them over its cap all the same; `storm` shows what that \
         spares where the server is the bottleneck.\n",
    );
    Ok(text)
}

/// The one in the middle, and the one that is worse than nine tenths.
fn middle_and_p90(mut figures: Vec<f64>) -> (f64, f64) {
    figures.sort_by(f64::total_cmp);
    let p90 = figures.len() * 9 / 10;
    let p90 = figures.get(p90).copied().unwrap_or(f64::NAN);
    (median(figures), p90)
}
