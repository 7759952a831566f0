//! What can be asked for.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use failover_core::policy::{Jitter, Limit, Ratio};

/// Stay connected to one of several servers, over tcp, tls, ws or wss.
#[derive(Debug, Parser)]
#[command(name = "failover", version, propagate_version = true)]
#[command(after_help = "\
Examples:
  failover demo
  printf 'PING\\r\\n' | failover cat tcp://127.0.0.1:1 tcp://127.0.0.1:4222

Exit codes: 0 it worked, 1 it failed, 2 the arguments make no sense.")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Demo(DemoArguments),
    Cat(CatArguments),
    Migrate(MigrateArguments),
}

/// Turn another system's options into our TOML, and say what has no equal.
///
/// stompit and ActiveMQ: a failover URI. Synapse: the XML of an endpoint. nats.go and Diffusion:
/// option=value, one a line. What has no equal stands as comments on top of the output, and on
/// standard error.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  failover migrate --from stompit --text 'failover:(tcp://a:61613,tcp://b:61613)?maxReconnects=10'
  failover migrate --from synapse endpoint.xml > failover.toml

Exit codes: 0 it worked, 1 it failed, 2 the input makes no sense.")]
pub(crate) struct MigrateArguments {
    /// The system that the options are of
    #[arg(long, value_enum)]
    pub(crate) from: SystemArgument,
    /// The options themselves
    #[arg(long, value_name = "TEXT", conflicts_with = "file")]
    pub(crate) text: Option<String>,
    /// The file to read [default: standard input]
    #[arg(value_name = "FILE")]
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
  failover demo --seed 7 --json | jq 'select(.event == \"summary\")'")]
pub(crate) struct DemoArguments {
    /// The seed of jitter and data [default: a random one, which is shown]
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// Write JSON lines instead of text
    #[arg(long)]
    pub(crate) json: bool,
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

Exit codes: 0 it worked, 1 it failed, 2 the arguments make no sense.")]
pub(crate) struct CatArguments {
    /// Servers: tcp://host:port, tls://host:port, ws://host:port/path, wss://host:port/path
    #[arg(value_name = "URL", required = true)]
    pub(crate) urls: Vec<String>,

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

    /// Trust the authorities in this PEM file, and no others [default: the system's]
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// The name in the servers' certificates [default: the URL's host]
    #[arg(long, value_name = "NAME")]
    pub(crate) server_name: Option<String>,

    /// Tell everything that happens on standard error
    #[arg(short, long)]
    pub(crate) verbose: bool,
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

/// `250ms`, `1.5s`, `2m`.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "a duration is a number and a unit, such as 250ms, 1.5s or 2m".to_string();
    let unit_at = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .ok_or_else(wrong)?;
    let (number, unit) = text.split_at(unit_at);
    let nanos = match unit {
        "us" => 1e3,
        "ms" => 1e6,
        "s" => 1e9,
        "m" => 60e9,
        "h" => 3600e9,
        _ => return Err(wrong()),
    };
    let number: f64 = number.parse().map_err(|_| wrong())?;
    let seconds = number * nanos / 1e9;
    Duration::try_from_secs_f64(seconds).map_err(|_| "that is too long".to_string())
}

fn jitter(text: &str) -> Result<Jitter, String> {
    match text {
        "none" => return Ok(Jitter::None),
        "full" => return Ok(Jitter::Full),
        "equal" => return Ok(Jitter::Equal),
        _ => {}
    }
    let wrong = "jitter is none, full, equal, a duration such as 100ms, or a percentage up to 100%";
    if let Some(percent) = text.strip_suffix('%') {
        let percent: u32 = percent.parse().map_err(|_| wrong.to_string())?;
        let ppm = percent.checked_mul(10_000).ok_or(wrong)?;
        return Ok(Jitter::Proportional(Ratio::from_ppm(ppm)));
    }
    duration(text)
        .map(Jitter::UpTo)
        .map_err(|_| wrong.to_string())
}

fn limit(text: &str) -> Result<Limit, String> {
    if text == "unlimited" {
        return Ok(Limit::Unlimited);
    }
    text.parse()
        .map(Limit::AtMost)
        .map_err(|_| "a limit is a whole number, or unlimited".to_string())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_arguments_do_not_contradict_each_other() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn durations_are_read_with_their_unit() {
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        for wrong in ["", "5", "s", "-1s", "1e9s", "1.2.3s", "1 s", "5 days"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
        assert!(duration(&format!("{}s", "9".repeat(400))).is_err());
    }

    #[test]
    fn a_jitter_is_a_word_a_duration_or_a_percentage() {
        assert_eq!(jitter("none"), Ok(Jitter::None));
        assert_eq!(
            jitter("100ms"),
            Ok(Jitter::UpTo(Duration::from_millis(100)))
        );
        let fifth = Ratio::from_ppm(200_000);
        assert_eq!(jitter("20%"), Ok(Jitter::Proportional(fifth)));
        for wrong in ["", "%", "-5%", "500000%", "some", "20"] {
            assert!(jitter(wrong).is_err(), "{wrong}");
        }
    }
}
