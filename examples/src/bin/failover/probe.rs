//! `failover probe`.

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::values::{duration, file, whole};
use clap::{ArgGroup, Args};
use examples::probe::{Probe, Report, Verdict, table};
use failover_core::config::print_duration;
use failover_core::directory::{Endpoint, Target};
use indicatif::{ProgressBar, ProgressDrawTarget};

use crate::deployed::{Deployed, wrong_in};
use crate::servers::TrustArguments;
use crate::{Problem, runtime};

/// Look at servers: dial each once, and say how long each step took, what its certificate says, and
/// what to do where something is wrong.
///
/// TLS servers are dialled twice: the second handshake shows whether sessions are resumed. At most
/// eight servers are dialled at a time. After each dial the server may speak for a moment; one that
/// closes at once is bad.
///
/// With --config every route of every endpoint of a deployment is dialled, with what its file says about
/// TLS, proxies, headers and sockets.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  failover probe tcp://127.0.0.1:4222 wss://b.example/feed
  failover probe --config examples/deployments/mixed.toml
  failover probe --config deploy.toml --set transport.tls.ca=/tmp/new-ca.pem --listen 5s
  failover probe --ca ca.pem --json tls://10.0.0.7:7443 | jq 'select(.verdict != \"good\")'

Exit codes: 0 every server is good (a warning is good), 1 one is bad, 2 the arguments make no sense.")]
#[command(group = ArgGroup::new("servers").required(true).args(["urls", "config"]))]
pub(crate) struct ProbeArguments {
    /// Servers: tcp://host:port, tls://host:port, ws://host:port/path, wss://host:port/path, unix:/path
    #[arg(value_name = "URL")]
    urls: Vec<String>,
    /// Instead of URLs and of what is said below about trust: a deployment's file, see docs/reference.md
    #[arg(long, value_parser = file(), value_name = "FILE.toml", conflicts_with_all = ["urls", "ca", "server_name"])]
    config: Option<PathBuf>,
    /// Change a key of that file: `transport.tls.oldest_version=1.3`
    #[arg(long, value_name = "KEY=VALUE", requires = "config")]
    set: Vec<String>,
    /// How long one dial may take, where an endpoint does not say it: name, connect, TLS and upgrade
    /// together [default: the deadline of the file's policy, or else 5s]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    deadline: Option<Duration>,
    /// How long to listen to a server after its dial: one that closes meanwhile is bad. Longer finds proxies
    /// that accept and try their servers for a while [default: 200ms]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    listen: Option<Duration>,
    /// Warn of certificates that are good for no more than so many days
    #[arg(long, value_name = "DAYS", value_parser = whole::<u32>(0..=u64::from(u32::MAX)), default_value_t = Probe::EXPIRING)]
    expiring: u32,
    #[command(flatten)]
    trust: TrustArguments,
    /// Write a line of JSON for each server instead of a table
    #[arg(long)]
    pub(crate) json: bool,
}

pub(crate) fn run(arguments: &ProbeArguments) -> Result<(), Problem> {
    let least = Duration::from_millis(1);
    if let Some(deadline) = arguments.deadline.filter(|deadline| *deadline < least) {
        return Err(Problem::BadInput(format!(
            "--deadline {} is below a millisecond: give a dial at least that",
            print_duration(deadline)
        )));
    }
    let (probe, endpoints) = match &arguments.config {
        Some(file) => {
            let deployed = Deployed::read(file, &arguments.set)?;
            let probe =
                Probe::deployed(&deployed.tables).map_err(|error| wrong_in(file, &error))?;
            (
                probe.deadline(deployed.policy.deadline()),
                deployed.endpoints,
            )
        }
        None => {
            let endpoints = arguments.trust.endpoints(&arguments.urls)?;
            let tls = arguments.trust.tls().client();
            (
                Probe::new(tls.map_err(|error| Problem::bad(&error))?),
                endpoints,
            )
        }
    };
    let probe = match arguments.deadline {
        Some(deadline) => probe.deadline(deadline),
        None => probe,
    }
    .listening(arguments.listen.unwrap_or(Probe::LISTENING))
    .expiring(arguments.expiring);
    let targets: Vec<Target> = endpoints.into_iter().flat_map(routes).collect();
    for target in &targets {
        probe.check(target).map_err(Problem::BadInput)?;
    }
    let reports = look(arguments, &probe, targets)?;
    // Nobody may be listening any more; the exit code still speaks.
    let mut out = io::stdout().lock();
    if arguments.json {
        for report in &reports {
            let _ = writeln!(out, "{}", report.json());
        }
    } else {
        let _ = write!(out, "{}", table(&reports));
    }
    match reports.iter().any(|report| report.verdict == Verdict::Bad) {
        true => Err(Problem::Told),
        false => Ok(()),
    }
}

/// Every way to the server.
fn routes(endpoint: Endpoint) -> impl Iterator<Item = Target> {
    let endpoint = Arc::new(endpoint);
    let routes = endpoint.routes().len();
    (0..)
        .take(routes)
        .map(move |route| Target::new(Arc::clone(&endpoint), route))
}

fn look(
    arguments: &ProbeArguments,
    probe: &Probe,
    targets: Vec<Target>,
) -> Result<Vec<Report>, Problem> {
    // Draws on a terminal only.
    let draw = match arguments.json {
        true => ProgressDrawTarget::hidden(),
        false => ProgressDrawTarget::stderr(),
    };
    let bar = ProgressBar::with_draw_target(u64::try_from(targets.len()).ok(), draw);
    let runtime = runtime()?;
    let reports = runtime.block_on(probe.run(targets, |_| bar.inc(1)));
    // A look-up may still be under way on another thread; nobody waits for it.
    runtime.shutdown_background();
    bar.finish_and_clear();
    Ok(reports)
}
