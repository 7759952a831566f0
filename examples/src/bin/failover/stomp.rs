//! `failover stomp`.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use examples::span::duration;
use examples::stomp::{
    AckMode, Credentials, Incoming, Send, Stomp, StompError, Subscribe, dialer, subscribe,
};
use failover_core::config::FailoverUri;
use failover_core::directory::Endpoint;
use failover_core::drive::{Connector, Events, What};
use failover_core::failure::Kind;
use failover_core::heartbeat::Heartbeat;
use failover_core::link::{AtLoss, Bounds, Late, LinkPolicy, Outbox, Overflow, Replay, Reply};
use failover_core::machine::Why;
use failover_core::messaging::{Inbox, Link, Login, News, Room, open};
use failover_core::policy::{Limit, Limits, Policy, Reactions};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader};
use transport_tcp::TokioClock;
use transport_tls::{Pem, Roots, TlsConfig};

use crate::{Problem, runtime, style};

/// Send to and subscribe at STOMP 1.2 brokers (RabbitMQ, ActiveMQ, …), failing over while it runs.
///
/// Subscriptions are made anew on each connection. What is sent while there is none waits; what the broker
/// has not confirmed with a receipt when a connection is lost is sent again on the next, so that it may
/// arrive twice.
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
    /// Trust the authorities in this PEM file, and no others [default: the system's]
    #[arg(long, value_name = "FILE", global = true)]
    ca: Option<PathBuf>,
    /// Tell everything that happens on standard error
    #[arg(short, long, global = true)]
    verbose: bool,
    /// Write JSON lines
    #[arg(long, global = true)]
    json: bool,
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
        #[arg(long, value_name = "N")]
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
    let mut tls = TlsConfig::new();
    if let Some(file) = &arguments.ca {
        tls = tls.roots(Roots::Only(Pem::File(file.clone())));
    }
    let tls = tls.build().map_err(|error| Problem::bad(&error))?;
    let (endpoints, policy) = deployment(&arguments.server)?;
    let credentials = arguments.login.as_ref().map(|login| Credentials {
        login: login.clone(),
        passcode: std::env::var("STOMP_PASSCODE").unwrap_or_default(),
    });
    let (sends, wants) = arguments.heart_beat;
    let stomp = Stomp::new()
        .credentials(credentials)
        .host(&arguments.vhost)
        .heart_beat(sends, wants);
    let mut connector = Connector::builder(Login::new(dialer(&tls), stomp), TokioClock::new())
        .endpoints(endpoints)
        .policy(policy)
        .build()
        .map_err(|error| Problem::bad(&error))?;
    let (events, losses) = (connector.events(), connector.events());
    let link_policy = link_policy(&arguments.command)?;

    let runtime = runtime()?;
    let done = runtime.block_on(async {
        let (link, driver) = open(connector, link_policy);
        let news = link.news();
        let driving = tokio::spawn(driver.run());
        let telling = tokio::spawn(tell(arguments.verbose, arguments.json, events, news));
        let done = tokio::select! {
            done = talk(&link, &arguments.command, arguments.json) => done,
            problem = refused(&link, losses) => Err(problem),
        };
        drop(link);
        let gave_up = driving.await.ok().and_then(Result::err);
        let _ = telling.await;
        match gave_up {
            Some(gave_up) => Err(Problem::failed(&gave_up)),
            None => done,
        }
    });
    // A read of the input may still be under way on another thread; nobody waits for it.
    runtime.shutdown_background();
    done
}

/// The brokers, and the policy: of a failover URI as it says, otherwise ours, which gives up at the start
/// when nobody was there three times.
fn deployment(servers: &[String]) -> Result<(Vec<Endpoint>, Policy), Problem> {
    if let [uri] = servers
        && uri.starts_with("failover:")
    {
        let uri: FailoverUri = uri.parse().map_err(|error| Problem::bad(&error))?;
        let endpoints = uri.servers().iter().cloned().map(Endpoint::new).collect();
        return Ok((endpoints, of_uri(&uri)?));
    }
    let endpoints: Result<_, _> = servers.iter().map(|url| Endpoint::parse(url)).collect();
    let start_up = Limits::UNLIMITED.sweeps(Limit::AtMost(3));
    let policy = Policy::builder().start_up_limits(start_up).build();
    Ok((
        endpoints.map_err(|error| Problem::bad(&error))?,
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

/// Who sends faster than the broker reads waits for room.
fn link_policy(command: &StompCommand) -> Result<LinkPolicy, Problem> {
    // Both sides agree on heart-beats; how long a write may take is ours to say.
    let deadline = Heartbeat::builder().write_deadline(WRITE_DEADLINE).build();
    let policy = LinkPolicy::OFF
        .heartbeat(deadline.map_err(|error| Problem::bad(&error))?)
        .outbox(Outbox::Keep {
            bytes: LinkPolicy::BYTES,
        })
        .bounds(Bounds::DEFAULT.overflow(Overflow::Wait { most: None }))
        .replay(Replay::Bytes(LinkPolicy::BYTES))
        .at_loss(AtLoss::Wait);
    Ok(match command {
        StompCommand::Send { receipt, .. } => policy.reply(Reply::Within {
            deadline: *receipt,
            then: Late::Fault,
        }),
        StompCommand::Subscribe { .. } => policy,
    })
}

const WRITE_DEADLINE: Duration = Duration::from_secs(30);

async fn talk(link: &Link<Stomp>, command: &StompCommand, json: bool) -> Result<(), Problem> {
    match command {
        StompCommand::Send {
            destination,
            text,
            header,
            ..
        } => {
            let message = |text: String| {
                let message = Send::to(destination, text.into_bytes());
                let headers = header.iter();
                headers.fold(message, |message, (name, value)| {
                    message.header(name, value)
                })
            };
            send(link, message, text.as_deref()).await?;
            let drained = link.drain().await;
            drained.map_err(|error| Problem::failed(&error))?;
            let counters = link.counters();
            match counters.accepted - counters.confirmed {
                0 => Ok(()),
                some => Err(Problem::Failed(format!(
                    "{some} messages were not confirmed"
                ))),
            }
        }
        StompCommand::Subscribe {
            destination,
            ack,
            header,
            count,
        } => {
            let what = Subscribe::to(destination, AckMode::from(*ack));
            let headers = header.iter();
            let what = headers.fold(what, |what, (name, value)| what.header(name, value));
            let reader = subscribe(link, what, ROOM).map_err(|error| Problem::bad(&error))?;
            read(link, reader, *count, json).await?;
            let drained = link.drain().await;
            drained.map_err(|error| Problem::failed(&error))
        }
    }
}

/// When broker after broker answers what we say with an `ERROR` at once, there is no use in saying it again: a
/// destination that is none, one that we may not use. They do not tell which message they mean.
async fn refused(link: &Link<Stomp>, mut events: Events) -> Problem {
    let (mut in_a_row, mut confirmed) = (0, 0);
    while let Some(event) = events.next().await {
        let What::Disconnected {
            why: Why::Lost(failure),
            error: Some(error),
            lived,
            ..
        } = event.what
        else {
            continue;
        };
        let before = std::mem::replace(&mut confirmed, link.counters().confirmed);
        if failure.kind != Kind::Other || lived > AT_ONCE || confirmed > before {
            in_a_row = 0;
            continue;
        }
        in_a_row += 1;
        if in_a_row == MOST_ERRORS {
            return Problem::failed(&error);
        }
    }
    std::future::pending().await
}

/// A connection that lived longer did some good.
const AT_ONCE: Duration = Duration::from_secs(10);
const MOST_ERRORS: u32 = 3;

/// What was received and not printed yet.
const ROOM: Room = Room {
    items: 1024,
    bytes: 8 << 20,
};

async fn send(
    link: &Link<Stomp>,
    message: impl Fn(String) -> Send,
    text: Option<&str>,
) -> Result<(), Problem> {
    let send = async |text: String| {
        let sent = link.send(message(text)).await;
        sent.map(|_| ()).map_err(|error| Problem::failed(&error))
    };
    if let Some(text) = text {
        return send(text.to_string()).await;
    }
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines
        .next_line()
        .await
        .map_err(|error| Problem::failed(&error))?
    {
        send(line).await?;
    }
    Ok(())
}

/// Prints and then acknowledges. An acknowledgement that comes too late is the broker's to repair: it
/// delivers the message again.
async fn read(
    link: &Link<Stomp>,
    mut reader: Inbox<Incoming>,
    count: Option<u64>,
    json: bool,
) -> Result<(), Problem> {
    let mut left = count.unwrap_or(u64::MAX);
    while left > 0 {
        tokio::select! {
            Some(mut incoming) = reader.next() => {
                print(&incoming, json)?;
                if let Some(token) = incoming.token.take() {
                    let _ = token.ack();
                }
            }
            ended = link.ended() => return Err(Problem::failed(&ended)),
        }
        left -= 1;
    }
    Ok(())
}

fn print(incoming: &Incoming, json: bool) -> Result<(), Problem> {
    let mut out = io::stdout().lock();
    let written = if json {
        let body = String::from_utf8_lossy(&incoming.body);
        let headers: serde_json::Map<_, _> = incoming
            .headers
            .iter()
            .rev()
            .map(|(name, value)| (name.clone(), json!(value)))
            .collect();
        writeln!(out, "{}", json!({"headers": headers, "body": body}))
    } else {
        out.write_all(&incoming.body)
            .and_then(|()| out.write_all(b"\n"))
    };
    written
        .and_then(|()| out.flush())
        .map_err(|error| Problem::failed(&error))
}

/// What is lost is told in any case.
async fn tell(verbose: bool, json: bool, mut events: Events, mut news: Inbox<News<StompError>>) {
    let style = style(json, &io::stderr());
    loop {
        let line = tokio::select! {
            Some(event) = events.next(), if verbose => style.event(&event),
            next = news.next() => match next {
                Some(news) => of_news(&news),
                None => return,
            },
        };
        if let Some(line) = line {
            let _ = writeln!(io::stderr(), "{line}");
        }
    }
}

fn of_news(news: &News<StompError>) -> Option<String> {
    match news {
        News::Dropped { messages, why } => Some(format!(
            "{} messages were not sent ({})",
            messages.count,
            why.as_str()
        )),
        News::Refused { messages } => Some(format!("{} messages were refused", messages.count)),
        News::Unconfirmed { messages } => {
            Some(format!("{} messages were not confirmed", messages.count))
        }
        News::Error(error) => Some(error.to_string()),
        News::Connected { .. } | News::Late { .. } | News::Unexpected { .. } | _ => None,
    }
}
