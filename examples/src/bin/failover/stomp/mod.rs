//! `failover stomp`.

mod talk;

use std::io::{self, Write};
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use examples::stomp::{AckMode, Credentials, Stomp, dialer};
use examples::url_path;
use failover_core::config::FailoverUri;
use failover_core::directory::Endpoint;
use failover_core::drive::Connector;
use failover_core::heartbeat::Heartbeat;
use failover_core::link::{Late, LinkPolicy, Replay, Reply};
use failover_core::messaging::Login;
use failover_core::policy::{Limit, Limits, Policy, Reactions};
use serde_json::json;
use transport_tcp::TokioClock;

use crate::messages::{self, MessageArguments};
use crate::stomp::talk::{refused, talk};
use crate::values::{duration, whole};
use crate::{Form, Problem};

/// Send to and subscribe at STOMP 1.2 brokers (RabbitMQ, ActiveMQ, …), failing over while it runs.
///
/// Subscriptions are made anew on each connection. What is sent while there is none waits; what the broker
/// has not confirmed with a receipt when a connection is lost is sent again on the next, so that it may
/// arrive twice.
///
/// Before the first connection it gives up when every server has failed three times; later never. A failover: URI
/// has limits of its own.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  seq 1000 | failover stomp -s tcp://guest:guest@a.example -s tls://guest:guest@b.example send /queue/n
  failover stomp -s ws://guest:guest@a.example:15674/ws subscribe /queue/n --ack client-individual
  failover stomp -s 'failover:(tcp://a:61613,tcp://b:61613)?maxReconnects=10' subscribe /topic/news

Exit codes: 0 it worked, 1 it failed, 2 the arguments make no sense.")]
pub(crate) struct StompArguments {
    /// A broker: tcp://, tls:// (or ssl://), ws:// or wss://; more than one may be given. Login and
    /// passcode stand before the host. Or one failover:(…)?… URI, with the options of stompit or of
    /// ActiveMQ
    #[arg(
        short,
        long,
        value_name = "URL",
        default_value = "tcp://127.0.0.1:61613",
        global = true
    )]
    server: Vec<String>,
    /// The login where a URL has none; the passcode is in the environment variable STOMP_PASSCODE
    #[arg(long, value_name = "NAME", global = true)]
    login: Option<String>,
    /// The virtual host
    #[arg(long, value_name = "NAME", default_value = "/", global = true)]
    vhost: String,
    /// How often we can send a heart-beat and how often we want one, in milliseconds; 0 is never
    #[arg(long, value_name = "SENDS,WANTS", value_parser = beats, default_value = "10000,10000", global = true)]
    heart_beat: (u32, u32),
    #[command(flatten)]
    pub(crate) common: MessageArguments,
    #[command(subcommand)]
    command: StompCommand,
}

#[derive(Debug, Subcommand)]
enum StompCommand {
    /// Send a message, or each line of the standard input; each is confirmed by a receipt
    Send {
        /// The destination, such as /queue/orders
        destination: String,
        /// The message [default: each line of the standard input is one]
        text: Option<String>,
        /// One more header
        #[arg(long, value_name = "NAME:VALUE", value_parser = header)]
        header: Vec<(String, String)>,
        /// How long a receipt may take; then the next broker is tried
        #[arg(long, value_name = "TIME", value_parser = duration, default_value = "30s")]
        receipt: Duration,
    },
    /// Print what comes for a destination
    Subscribe {
        /// The destination, such as /queue/orders
        destination: String,
        /// How messages are acknowledged; those that are to be, once they are printed
        #[arg(long, value_enum, default_value = "auto")]
        ack: AckArgument,
        /// One more header, such as prefetch-count:100
        #[arg(long, value_name = "NAME:VALUE", value_parser = header)]
        header: Vec<(String, String)>,
        /// End after so many messages [default: never]
        #[arg(long, value_name = "N", value_parser = whole::<u64>(1..=u64::MAX))]
        count: Option<u64>,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum AckArgument {
    Auto,
    Client,
    ClientIndividual,
}

impl From<AckArgument> for AckMode {
    fn from(argument: AckArgument) -> Self {
        match argument {
            AckArgument::Auto => Self::Auto,
            AckArgument::Client => Self::Client,
            AckArgument::ClientIndividual => Self::ClientIndividual,
        }
    }
}

fn beats(text: &str) -> Result<(u32, u32), String> {
    let numbers = text.split_once(',').and_then(|(sends, wants)| {
        let number = |text: &str| text.trim().parse().ok();
        number(sends).zip(number(wants))
    });
    numbers.ok_or_else(|| "two numbers of milliseconds, such as 10000,10000".to_string())
}

fn header(text: &str) -> Result<(String, String), String> {
    let header = text.split_once(':').filter(|(name, _)| !name.is_empty());
    let header = header.map(|(name, value)| (name.to_string(), value.to_string()));
    header.ok_or_else(|| "a header is a name and a value, such as persistent:true".to_string())
}

pub(crate) fn run(arguments: &StompArguments) -> Result<(), Problem> {
    let form = match arguments.common.json {
        true => Form::Json,
        false => Form::Text,
    };
    let (endpoints, policy) = deployment(&arguments.server, form)?;
    let credentials = arguments.login.as_ref().map(|login| Credentials {
        login: login.clone(),
        passcode: std::env::var("STOMP_PASSCODE").unwrap_or_default(),
    });
    let (sends, wants) = arguments.heart_beat;
    let stomp = Stomp::new()
        .credentials(credentials)
        .host(&arguments.vhost)
        .heart_beat(sends, wants);
    let login = Login::new(dialer(&arguments.common.tls()?), stomp);
    let connector = Connector::builder(login, TokioClock::new())
        .endpoints(endpoints)
        .policy(policy)
        .build()
        .map_err(|error| Problem::bad(&error))?;
    // Whatever a broker minds ends the connection: `refused` counts that.
    let hopeless = |_: &_| false;
    messages::run(
        connector,
        link_policy(&arguments.command)?,
        &arguments.common,
        hopeless,
        async |link, events| {
            tokio::select! {
                done = talk(link, arguments) => done,
                problem = refused(link, events) => Err(problem),
            }
        },
    )
}

/// The brokers, and the policy: of a failover URI as it says, otherwise ours, which gives up at the start
/// when nobody was there three times.
fn deployment(servers: &[String], form: Form) -> Result<(Vec<Endpoint>, Policy), Problem> {
    if let [uri] = servers
        && uri.starts_with("failover:")
    {
        let uri: FailoverUri = uri.parse().map_err(|error| Problem::bad(&error))?;
        let mut notes = Vec::new();
        let servers = uri.servers().iter().map(|url| {
            let (url, note) = url_path::dropped(url).map_err(|error| Problem::bad(&error))?;
            notes.extend(note);
            Ok(Endpoint::new(url))
        });
        let endpoints = servers.collect::<Result<_, Problem>>()?;
        let policy = of_uri(&uri)?;
        let _ = notes.iter().try_for_each(|note| match form {
            Form::Text => writeln!(io::stderr(), "failover: no equal: {note}"),
            Form::Json => writeln!(
                io::stderr(),
                "{}",
                json!({"event": "no-equal", "text": note})
            ),
        });
        return Ok((endpoints, policy));
    }
    let start_up = Limits::UNLIMITED.sweeps(Limit::AtMost(3));
    let policy = Policy::builder().start_up_limits(start_up).build();
    Ok((
        messages::endpoints(servers)?,
        policy.map_err(|error| Problem::bad(&error))?,
    ))
}

/// Options that stompit has are meant as stompit's, others as ActiveMQ's. A broker that refuses the login is
/// left alone for a while; stompit removes it, and ends when none is left.
fn of_uri(uri: &FailoverUri) -> Result<Policy, Problem> {
    let policy = match (uri.stompit(), uri.activemq()) {
        (Ok(stompit), _) => stompit.preset(),
        (Err(_), Ok(activemq)) => activemq.preset(),
        (Err(error), Err(_)) => return Err(Problem::bad(&error)),
    };
    let policy = policy.map_err(|error| Problem::bad(&error))?.policy;
    let policy = policy.to_builder().reactions(Reactions::default()).build();
    policy.map_err(|error| Problem::bad(&error))
}

fn link_policy(command: &StompCommand) -> Result<LinkPolicy, Problem> {
    // Both sides agree on heart-beats; how long a write may take is ours to say.
    let deadline = Heartbeat::builder().write_deadline(WRITE_DEADLINE).build();
    let policy = messages::patient()
        .heartbeat(deadline.map_err(|error| Problem::bad(&error))?)
        .replay(Replay::Bytes(LinkPolicy::BYTES));
    Ok(match command {
        StompCommand::Send { receipt, .. } => policy.reply(Reply::Within {
            deadline: *receipt,
            then: Late::Fault,
        }),
        StompCommand::Subscribe { .. } => policy,
    })
}

const WRITE_DEADLINE: Duration = Duration::from_secs(30);
