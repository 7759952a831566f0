//! Many real connections whose server dies and returns: how soon everybody is back, and at what price.
//!
//! Each [`Run`] is three processes: this one asks, a second one holds the clients (so that its memory
//! and its processor time are theirs), a third one is the server, which is killed. All of it on
//! loopback. Whatever happens, a run ends: each step has a limit, and a process whose parent is gone
//! ends itself.

pub(crate) mod clients;
pub(crate) mod nats;
pub(crate) mod opened;
mod predict;
pub(crate) mod report;
mod run;
mod server;
pub(crate) mod tally;

use std::io::{self, BufRead};
use std::process::Stdio;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::time::timeout;

pub use self::report::{Row, goals, table};

/// The argument by which a program becomes the process of the clients.
const CLIENTS: &str = "--as-storm-clients";
/// How long it may take until all clients are connected for the first time.
const RAMP: Duration = Duration::from_secs(120);
/// Descriptors beside those of the clients.
const SPARE_DESCRIPTORS: u64 = 200;

/// One storm.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Run {
    /// Who the clients are: a policy that `failover herd --compare` knows, `naive`, `stubborn-io`,
    /// `async-nats-client` (over TCP alone).
    /// `full-jitter` has the cap of our default here.
    pub who: String,
    /// What they speak.
    pub over: Over,
    /// How many there are.
    pub clients: usize,
    /// How long the server is away, from its death to its next start.
    pub outage: Duration,
    /// How long they may take to come back.
    pub within: Duration,
    /// The seed of the first client.
    pub seed: u64,
}

/// What the clients speak.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Over {
    /// Plain TCP.
    Tcp,
    /// TLS 1.3, each handshake in full: a server that was killed has forgotten its tickets.
    Tls,
}

/// What one storm came to.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Figures {
    /// Which.
    pub run: Run,
    /// Connected at the end.
    pub connected: usize,
    /// From the server's death until it listened again.
    pub away: Duration,
    /// From its death until half of the clients had noticed: the system closes one connection after
    /// the other.
    pub noticed: Duration,
    /// From when it listened until 50, 90, 99 and 100 % of the clients were greeted by it; nothing
    /// where they were not.
    pub back: [Option<Duration>; 4],
    /// The most connections that it accepted in a tenth of a second after its return.
    pub peak_accepts: u64,
    /// Dials since its death.
    pub dials: u64,
    /// Those that were refused.
    pub refused: u64,
    /// Those that failed otherwise.
    pub failed: u64,
    /// Processor time of the clients' process while the server was away.
    pub cpu_down: Duration,
    /// The same until all were back.
    pub cpu: Duration,
    /// Memory of the clients' process for each connected, idle client, in bytes.
    pub memory: u64,
    /// What a connection cost when all came for the first time, one after the other.
    pub work: Duration,
    /// For which part of the time from when the server listened until all were back the clients' thread ran or
    /// waited for a processor: close to 1, and it was the bottleneck, whatever the policy.
    pub busy: f64,
    /// What the simulator says of the same storm: the server is away for as long, each twentieth of the
    /// clients notices as late as it did, and the server takes this long for each.
    pub predicted: Predicted,
}

/// What the simulator says.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Predicted {
    /// As [`Figures::back`].
    pub back: [Option<Duration>; 4],
    /// The most dials in a tenth of a second after the server's return.
    pub peak: u64,
    /// Dials since its death.
    pub dials: u64,
}

/// What to do if this process was started as a part of a storm: `main` begins with it.
#[must_use]
pub fn part() -> Option<io::Result<()>> {
    match std::env::args().nth(1).as_deref() {
        Some(server::FLAG) => Some(server::serve()),
        Some(CLIENTS) => Some(hold_clients()),
        _ => None,
    }
}

/// Makes sure of the descriptors that so many clients need.
///
/// # Errors
/// The limit is below, and cannot be raised from here.
pub fn descriptors(clients: usize) -> io::Result<()> {
    let clients = u64::try_from(clients).unwrap_or(u64::MAX);
    crate::process::descriptors(clients.saturating_add(SPARE_DESCRIPTORS))
}

/// Checks the name of clients.
///
/// # Errors
/// There are none of this name.
pub fn check(who: &str) -> io::Result<()> {
    clients::Who::named(who).map(drop)
}

impl Run {
    /// Does it.
    ///
    /// # Errors
    /// Something was in the way: a server that does not start, clients that never connect.
    pub async fn go(&self) -> io::Result<Figures> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg(CLIENTS)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let mut line = serde_json::to_string(self)?;
        line.push('\n');
        // Closed at once: a process of clients needs nothing else, and ends within its limits.
        if let Some(mut input) = child.stdin.take() {
            input.write_all(line.as_bytes()).await?;
        }
        let limit = RAMP + self.outage + self.within + Duration::from_secs(90);
        let output = timeout(limit, child.wait_with_output())
            .await
            .map_err(|_| io::Error::other(format!("{}: not done within {limit:?}", self.who)))??;
        if !output.status.success() {
            let what = format!("{}: the clients' process: {}", self.who, output.status);
            return Err(io::Error::other(what));
        }
        Ok(serde_json::from_slice(&output.stdout)?)
    }
}

/// The process of the clients.
fn hold_clients() -> io::Result<()> {
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    let run: Run = serde_json::from_str(&line)?;
    descriptors(run.clients)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let figures = runtime.block_on(run::run(run))?;
    println!("{}", serde_json::to_string(&figures)?);
    Ok(())
}
