//! What can be asked for.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};
use failover_core::policy::{Jitter, Limit, Ratio};

use crate::Form;
use crate::probe::ProbeArguments;
use crate::servers::TrustArguments;
use crate::values::{above_nothing, above_zero, duration, file, file_or_uri, jitter, limit, whole};

/// Stay connected to one of several servers, over tcp, tls, ws, wss or a Unix socket.
#[derive(Debug, Parser)]
#[command(name = "failover", version, propagate_version = true)]
#[command(after_help = "\
Examples:
  failover demo
  printf 'PING\\r\\n' | failover cat tcp://127.0.0.1:1 tcp://127.0.0.1:4222
  failover simulate examples/scenarios/stompit.toml

Exit codes: 0 it worked, 1 it failed, 2 the arguments make no sense.")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Demo(DemoArguments),
    Bridge(crate::bridge::BridgeArguments),
    Cat(CatArguments),
    Probe(ProbeArguments),
    Migrate(MigrateArguments),
    Mqtt(crate::mqtt::MqttArguments),
    Nats(crate::nats::NatsArguments),
    Simulate(SimulateArguments),
    Stomp(crate::stomp::StompArguments),
    Herd(HerdArguments),
    Tune(TuneArguments),
    Explain(ExplainArguments),
    Verify(VerifyArguments),
}

impl Command {
    /// In what form failures are told.
    pub(crate) fn json(&self) -> Form {
        let json = match self {
            Self::Demo(arguments) => arguments.json,
            Self::Bridge(arguments) => arguments.json,
            Self::Cat(arguments) => arguments.json,
            Self::Probe(arguments) => arguments.json,
            Self::Mqtt(arguments) => arguments.common.json,
            Self::Nats(arguments) => arguments.common.json,
            Self::Stomp(arguments) => arguments.common.json,
            Self::Herd(arguments) => arguments.json,
            Self::Tune(arguments) => arguments.json,
            Self::Explain(arguments) => arguments.json,
            Self::Migrate(_) | Self::Simulate(_) | Self::Verify(_) => false,
        };
        if json { Form::Json } else { Form::Text }
    }
}

/// Turn another system's options into our TOML, and say what has no equal.
///
/// stompit and ActiveMQ: a failover URI. Synapse: the XML of an endpoint. nats.go and Diffusion:
/// option=value, one a line. What has no equal stands as comments on top of the output, and on
/// standard error.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  failover migrate --from stompit 'failover:(tcp://a:61613,tcp://b:61613)?maxReconnects=10'
  failover migrate --from synapse endpoint.xml > failover.toml

Exit codes: 0 it worked, 1 it failed, 2 the input makes no sense.")]
pub(crate) struct MigrateArguments {
    /// The system that the options are of
    #[arg(long, value_enum)]
    pub(crate) from: SystemArgument,
    /// The options themselves
    #[arg(long, value_name = "TEXT", conflicts_with = "file")]
    pub(crate) text: Option<String>,
    /// The file to read, or a failover: URI [default: standard input]
    #[arg(value_parser = file_or_uri(), value_name = "FILE|URI")]
    pub(crate) file: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum SystemArgument {
    Nats,
    Stompit,
    Activemq,
    Synapse,
    Diffusion,
}

/// Watch one client survive real outages of four servers; takes about seven seconds.
///
/// Starts echo servers over tcp, tls, ws and wss on free ports of the loopback interface, connects
/// one client over all of them, and takes them away: stopped, reset, stalled, all at once. Ends
/// with a table. Exit code 0 means: the client was connected again after every outage, over each
/// transport, and every byte that was echoed was right.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  failover demo
  failover demo --standby 1
  failover demo --record demo.jsonl && failover simulate --replay demo.jsonl
  failover demo --seed 7 --json | jq 'select(.event == \"summary\")'")]
pub(crate) struct DemoArguments {
    /// The seed of jitter and data [default: a random one, which is shown]
    #[arg(long, value_name = "N", value_parser = whole::<u64>(0..=u64::MAX))]
    pub(crate) seed: Option<u64>,
    /// Keep this many connections warm on other servers, and show how soon one is promoted
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = whole::<u8>(0..=3))]
    pub(crate) standby: u8,
    /// Write what the client's flight recorder kept to this file, for `failover simulate --replay FILE`
    #[arg(long, value_parser = file(), value_name = "FILE")]
    pub(crate) record: Option<PathBuf>,
    /// Write JSON lines instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

/// See what a policy would do in an outage, before it happens: on a virtual clock, with the real
/// machine.
///
/// A scenario names a policy, endpoints, a number of clients and what the world does to them;
/// docs/scenario.md describes the file and the lines of the trace. The same scenario and seed give
/// the same trace everywhere.
///
/// With --replay it plays what really happened to a client whose flight recorder was on, tells why each
/// dial was made and each wait taken, and says whether this version would decide otherwise.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  failover simulate examples/scenarios/stompit.toml
  failover demo --record demo.jsonl && failover simulate --replay demo.jsonl
  failover simulate examples/scenarios/nats.toml --seed 8 --trace - | jq 'select(.event == \"attempt\")'
  failover simulate examples/scenarios/herd.toml --clients 10000

Exit codes: 0 it was played, 1 a law did not hold, this version decides otherwise than was recorded, or
the trace could not be written, 2 the scenario, the record or the arguments make no sense.")]
pub(crate) struct SimulateArguments {
    /// The scenario
    #[arg(value_parser = file(), value_name = "SCENARIO.toml", required_unless_present = "replay")]
    pub(crate) scenario: Option<PathBuf>,
    /// Instead of a scenario: what a connector's flight recorder kept, played again in the real machine,
    /// decision by decision; - is the standard input. docs/flight-recorder.md describes the file
    #[arg(long, value_parser = file(), value_name = "DUMP", conflicts_with_all = ["scenario", "seed", "clients", "client", "plot", "laws"])]
    pub(crate) replay: Option<PathBuf>,
    /// Write the trace as JSON lines to this file; - is the standard output, which then has nothing
    /// else
    #[arg(long, value_parser = file(), value_name = "FILE")]
    pub(crate) trace: Option<PathBuf>,
    /// Another seed than the scenario's
    #[arg(long, value_name = "N", value_parser = whole::<u64>(0..=u64::MAX))]
    pub(crate) seed: Option<u64>,
    /// Another number of clients than the scenario's
    #[arg(long, value_name = "N", value_parser = whole::<u32>(1..=u64::from(u32::MAX)))]
    pub(crate) clients: Option<u32>,
    /// Tell the life of this client, from 0 [default: of the only one; of many, figures]
    #[arg(long, value_name = "N", value_parser = whole::<usize>(0..=u64::MAX))]
    pub(crate) client: Option<usize>,
    /// Draw the client's life into this file
    #[arg(long, value_parser = file(), value_name = "FILE.svg")]
    pub(crate) plot: Option<PathBuf>,
    /// Ask every law about the client's life, say that they hold, and fail if one does not
    #[arg(long)]
    pub(crate) laws: bool,
}

/// See what a policy does to the servers when all clients run it: the world of a scenario, and the
/// real machine of every client, up to millions of them.
///
/// docs/herd.md says what the figures mean.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  failover herd examples/herds/outage.toml --clients 100000
  failover herd examples/herds/outage.toml --compare ours,nats,full-jitter --plot herd.svg
  failover herd examples/herds/outage.toml --json | jq '.servers[].peak_dials_per_s'

Exit codes: 0 all clients were connected at the end, 1 they were not or a file could not be written,
2 the scenario or the arguments make no sense, or there is not enough memory.")]
pub(crate) struct HerdArguments {
    /// The scenario
    #[arg(value_parser = file(), value_name = "SCENARIO.toml")]
    pub(crate) scenario: PathBuf,
    #[command(flatten)]
    pub(crate) world: HerdWorld,
    /// Instead of the scenario's policy, these: `ours` (the default), presets (stompit, activemq, nats,
    /// diffusion_reconnect, diffusion_failover, synapse), laws known elsewhere (async-nats, grpc,
    /// full-jitter, equal-jitter, decorrelated, constant)
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    pub(crate) compare: Vec<String>,
    /// Draw dials and connections over time into this file
    #[arg(long, value_parser = file(), value_name = "FILE.svg")]
    pub(crate) plot: Option<PathBuf>,
    /// Write the figures into this file: a line for each policy, and for each of its servers
    #[arg(long, value_parser = file(), value_name = "FILE.csv")]
    pub(crate) csv: Option<PathBuf>,
    /// Write the rates over time into this file
    #[arg(long, value_parser = file(), value_name = "FILE.csv")]
    pub(crate) rates: Option<PathBuf>,
    /// Write a line of JSON for each policy instead of tables
    #[arg(long)]
    pub(crate) json: bool,
}

/// Which herd.
#[derive(Args, Debug)]
pub(crate) struct HerdWorld {
    /// Another number of clients than the scenario's
    #[arg(long, value_name = "N", value_parser = whole::<u32>(1..=u64::from(u32::MAX)))]
    pub(crate) clients: Option<u32>,
    /// Another seed than the scenario's
    #[arg(long, value_name = "N", value_parser = whole::<u64>(0..=u64::MAX))]
    pub(crate) seed: Option<u64>,
    /// How many herds are played at a time; the results do not depend on it
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = whole::<u8>(1..=64))]
    pub(crate) jobs: u8,
}

/// Search for the policy that brings a herd back in time: tries many, prints the best few.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  failover tune examples/herds/cluster.toml --share 99 --within 60s --peak 2000
  failover tune examples/herds/outage.toml --within 30s --json

Exit codes: 0 a policy reaches the goal, 1 none of those that were tried does, 2 the scenario or the
arguments make no sense.")]
pub(crate) struct TuneArguments {
    /// The scenario; of its policy, all but the waits counts
    #[arg(value_parser = file(), value_name = "SCENARIO.toml")]
    pub(crate) scenario: PathBuf,
    #[command(flatten)]
    pub(crate) world: HerdWorld,
    /// This share of the clients, in percent: 50, 90, 99 or 100 …
    #[arg(long, value_name = "PERCENT", default_value = "99", value_parser = ["50", "90", "99", "100"])]
    pub(crate) share: String,
    /// … is to be back so long after the world has healed
    #[arg(long, value_name = "TIME", value_parser = above_zero)]
    pub(crate) within: Duration,
    /// Once the world has healed, no server is to be dialled more often than this in a second (in any
    /// tenth of one)
    #[arg(long, value_name = "DIALS", value_parser = above_nothing)]
    pub(crate) peak: Option<f64>,
    /// How many policies to print
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = whole::<u16>(1..=u64::from(u16::MAX)))]
    pub(crate) best: u16,
    /// Write a line of JSON for each policy that was tried, the best first
    #[arg(long)]
    pub(crate) json: bool,
}

/// A policy in words, with the delays that the real machine waits, when it gives up, and its risks.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  failover explain --preset nats
  failover explain policy.toml --endpoints 5
  failover explain --preset stompit --json | jq '.risks[].risk'

Exit codes: 0 it was explained, 2 the file or the arguments make no sense.")]
pub(crate) struct ExplainArguments {
    #[command(flatten)]
    pub(crate) which: WhichPolicy,
    /// For a client of this many endpoints [default: as many as FILE lists, or 3]
    #[arg(long, value_name = "N", value_parser = whole::<u8>(1..=64))]
    pub(crate) endpoints: Option<u8>,
    /// Draw the delay before each attempt into this file
    #[arg(long, value_parser = file(), value_name = "FILE.svg")]
    pub(crate) plot: Option<PathBuf>,
    /// Write one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// Which policy is meant.
#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
pub(crate) struct WhichPolicy {
    /// A deployment with `version` and `[policy]`; or a scenario
    #[arg(value_parser = file(), value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// A preset with its defaults: default, stompit, activemq, nats, diffusion_reconnect,
    /// diffusion_failover, synapse
    #[arg(long, value_name = "NAME")]
    pub(crate) preset: Option<String>,
}

/// Ask the laws of a policy, in many random worlds.
///
/// Where one does not hold, the world in which it happens is made as small as possible and written
/// as a scenario, which `failover simulate --laws` plays.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  failover verify policy.toml
  failover verify --preset nats --survive 1h --write why.toml || failover simulate why.toml

Exit codes: 0 every law holds, 1 one does not, 2 the file or the arguments make no sense.")]
pub(crate) struct VerifyArguments {
    #[command(flatten)]
    pub(crate) which: WhichPolicy,
    /// In how many worlds
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = whole::<u32>(1..=u64::from(u32::MAX)))]
    pub(crate) worlds: u32,
    /// The seed of the first world
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = whole::<u64>(0..=u64::MAX))]
    pub(crate) seed: u64,
    /// Demand that the client is connected again after an outage of this length
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) survive: Option<Duration>,
    /// Write the counter-example to this file instead of the standard output
    #[arg(long, value_parser = file(), value_name = "FILE")]
    pub(crate) write: Option<PathBuf>,
}

/// Standard input and output through the first server that answers, failing over while it runs.
///
/// Input goes to the server that is connected, its answers go to the output. A connection that is
/// lost while there is input is replaced by one to the next server. What was read and never handed
/// to a transport goes to the next connection; what was handed over may or may not have arrived,
/// and is counted on standard error.
///
/// At the end of the input nothing more is sent, but answers are still read. It is a success when
/// the server then closes, or is silent for the time of --linger. A connection that breaks then is
/// not replaced: that is a failure, because nobody knows what arrived.
#[derive(Args, Debug)]
#[command(after_help = "\
Durations are written 250ms, 1.5s, 2m. Jitter is written none, full, equal, a duration
(wait + up to that much), or a percentage (wait ± that much).

Examples:
  printf 'PING\\r\\n' | failover cat tcp://127.0.0.1:1 tcp://127.0.0.1:4222
  failover cat -v --order rotate --wait 100ms --cap 2s tls://a.example:7443 wss://b.example/feed
  failover cat --ca ca.pem --server-name broker.internal tls://10.0.0.7:7443 < commands
  failover cat --config examples/deployments/mixed.toml --set policy.deadline=2s

Exit codes: 0 it worked, 1 it failed, 2 the arguments make no sense.")]
#[command(group = ArgGroup::new("servers").required(true).args(["urls", "config"]))]
pub(crate) struct CatArguments {
    /// Servers: tcp://host:port, tls://host:port, ws://host:port/path, wss://host:port/path, unix:/path
    #[arg(value_name = "URL")]
    pub(crate) urls: Vec<String>,
    /// Instead of URLs and of what is said below about servers and waits: a deployment's file, see
    /// docs/reference.md
    #[arg(long, value_parser = file(), value_name = "FILE.toml", conflicts_with_all = ["urls", "order", "wait", "factor", "min", "cap", "jitter", "tls_jitter", "max_reconnects", "start_sweeps", "deadline", "ca", "server_name"])]
    pub(crate) config: Option<PathBuf>,
    /// Change a key of that file: `policy.pace.cap=5s`. The variable FAILOVER__POLICY__PACE__CAP of the
    /// environment does the same; the flag beats it
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,

    /// Which server is next: from the top of the list each time, from behind the last one, or
    /// shuffled once
    #[arg(long, value_enum, default_value_t = OrderArgument::Listed)]
    pub(crate) order: OrderArgument,
    /// The first wait between two sweeps over the list; each wait after it is longer
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "250ms")]
    pub(crate) wait: Duration,
    /// What each wait is multiplied by; 1 keeps them equal
    #[arg(long, value_name = "N", default_value = "2")]
    pub(crate) factor: Ratio,
    /// The least wait, jitter included
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "0s")]
    pub(crate) min: Duration,
    /// The longest wait, jitter included
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "8s")]
    pub(crate) cap: Duration,
    /// How waits are spread
    #[arg(long, value_name = "JITTER", value_parser = jitter, default_value = "full")]
    pub(crate) jitter: Jitter,
    /// How waits before a TLS connection are spread [default: as --jitter]
    #[arg(long, value_name = "JITTER", value_parser = jitter)]
    pub(crate) tls_jitter: Option<Jitter>,
    /// Once there was a connection: give up after this many failed tries in a row, or never with
    /// `unlimited`; 0 never reconnects
    #[arg(long, value_name = "N", value_parser = limit, default_value = "unlimited")]
    pub(crate) max_reconnects: Limit,
    /// Before there was a connection: give up when every server has failed this many times, or
    /// never with `unlimited`
    #[arg(long, value_name = "N", value_parser = limit, default_value = "3")]
    pub(crate) start_sweeps: Limit,
    /// How long one try may take: name, connect, TLS and upgrade together
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "5s")]
    pub(crate) deadline: Duration,

    /// How long a server may be silent after the end of the input before it is over
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "1s")]
    pub(crate) linger: Duration,
    /// Send input that was handed over and is unconfirmed again after a loss, at most the last
    /// 1 MiB of it; it may then arrive twice
    #[arg(long)]
    pub(crate) resend: bool,

    #[command(flatten)]
    pub(crate) trust: TrustArguments,

    /// Tell everything that happens on standard error
    #[arg(short, long)]
    pub(crate) verbose: bool,
    /// At the end, also when interrupted (Ctrl-C), write what the flight recorder kept to this file, for
    /// `failover simulate --replay FILE`: no passwords, no payload
    #[arg(long, value_parser = file(), value_name = "FILE")]
    pub(crate) record: Option<PathBuf>,
    /// Write what goes to standard error as JSON lines
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum OrderArgument {
    Listed,
    Rotate,
    Shuffled,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_arguments_do_not_contradict_each_other() {
        Arguments::command().debug_assert();
    }
}
