//! `failover nats`.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use crate::values::duration;
use clap::{Args, Subcommand};
use examples::nats::{Incoming, Nats, Publish, dialer, subscribe};
use failover_core::directory::Endpoint;
use failover_core::drive::{Connector, Events};
use failover_core::heartbeat::Heartbeat;
use failover_core::link::{AtLoss, Bounds, Late, LinkPolicy, Outbox, Overflow, Reply};
use failover_core::messaging::{Inbox, Link, Login, News, Room, open};
use failover_core::policy::{Limit, Limits, Policy};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader};
use transport_tcp::TokioClock;
use transport_tls::{Pem, Roots, TlsConfig};

use crate::{Problem, runtime, style};

/// Publish to, subscribe to and ask NATS servers, failing over while it runs.
///
/// Subscriptions are made anew on each connection; what is published while there is none waits. A message
/// that was handed to a connection before its loss may or may not have arrived.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  failover nats -s nats://a.example -s tls://b.example:4222 sub 'orders.>'
  seq 1000 | failover nats -s ws://a.example:8080/ pub numbers
  failover nats request time.now '' --timeout 500ms

Exit codes: 0 it worked, 1 it failed, 2 the arguments make no sense.")]
pub(crate) struct NatsArguments {
    /// A server: nats:// (TLS if it demands it), tls://, tls-first://, ws:// or wss://; more than one
    /// may be given. Name and password, or a token, stand before the host
    #[arg(
        short,
        long,
        value_name = "URL",
        default_value = "nats://127.0.0.1:4222",
        global = true
    )]
    server: Vec<String>,
    /// Trust the authorities in this PEM file, and no others [default: the system's]
    #[arg(long, value_name = "FILE", global = true)]
    ca: Option<PathBuf>,
    /// Tell everything that happens on standard error
    #[arg(short, long, global = true)]
    verbose: bool,
    /// Write JSON lines
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    command: NatsCommand,
}

#[derive(Debug, Subcommand)]
enum NatsCommand {
    /// Print what is published to a subject
    Sub {
        /// The subject; it may hold * and >
        subject: String,
        /// End after so many messages [default: never]
        #[arg(long, value_name = "N")]
        count: Option<u64>,
    },
    /// Publish a message, or each line of the standard input
    Pub {
        /// The subject
        subject: String,
        /// The message [default: each line of the standard input is one]
        text: Option<String>,
    },
    /// Ask, and print the answer
    Request {
        /// The subject
        subject: String,
        /// The question
        text: String,
        /// How long the answer may take
        #[arg(long, value_name = "TIME", value_parser = duration, default_value = "5s")]
        timeout: Duration,
    },
}

pub(crate) fn run(arguments: &NatsArguments) -> Result<(), Problem> {
    let mut tls = TlsConfig::new();
    if let Some(file) = &arguments.ca {
        tls = tls.roots(Roots::Only(Pem::File(file.clone())));
    }
    let tls = tls.build().map_err(|error| Problem::bad(&error))?;
    let endpoints: Result<Vec<Endpoint>, _> = arguments
        .server
        .iter()
        .map(|url| Endpoint::parse(url))
        .collect();
    let start_up = Limits::UNLIMITED.sweeps(Limit::AtMost(3));
    let policy = Policy::builder().start_up_limits(start_up).build();
    let login = Login::new(dialer(&tls), Nats::new("failover"));
    let mut connector = Connector::builder(login, TokioClock::new())
        .endpoints(endpoints.map_err(|error| Problem::bad(&error))?)
        .policy(policy.map_err(|error| Problem::bad(&error))?)
        .build()
        .map_err(|error| Problem::bad(&error))?;
    let events = connector.events();

    let runtime = runtime()?;
    let done = runtime.block_on(async {
        let (link, driver) = open(connector, link_policy(&arguments.command));
        let news = link.news();
        let driving = tokio::spawn(driver.run());
        let telling = tokio::spawn(tell(arguments.verbose, arguments.json, events, news));
        let done = talk(&link, &arguments.command, arguments.json).await;
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

/// Who publishes faster than the server reads waits for room.
fn link_policy(command: &NatsCommand) -> LinkPolicy {
    let policy = LinkPolicy::OFF
        .heartbeat(Heartbeat::default())
        .outbox(Outbox::Keep {
            bytes: LinkPolicy::BYTES,
        })
        .bounds(Bounds::DEFAULT.overflow(Overflow::Wait { most: None }))
        .at_loss(AtLoss::Wait);
    match command {
        NatsCommand::Request { timeout, .. } => policy.reply(Reply::Within {
            deadline: *timeout,
            then: Late::Discard,
        }),
        NatsCommand::Sub { .. } | NatsCommand::Pub { .. } => policy,
    }
}

async fn talk(link: &Link<Nats>, command: &NatsCommand, json: bool) -> Result<(), Problem> {
    match command {
        NatsCommand::Sub { subject, count } => {
            let room = Room {
                items: 65_536,
                bytes: 64 << 20,
            };
            let mut reader =
                subscribe(link, subject, room).map_err(|error| Problem::bad(&error))?;
            let mut left = count.unwrap_or(u64::MAX);
            while left > 0 {
                tokio::select! {
                    Some(incoming) = reader.next() => print(&incoming, json)?,
                    ended = link.ended() => return Err(Problem::failed(&ended)),
                }
                left -= 1;
            }
            link.drain().await.map_err(|error| Problem::failed(&error))
        }
        NatsCommand::Pub { subject, text } => {
            publish(link, subject, text.as_deref()).await?;
            link.drain()
                .await
                .map_err(|error| Problem::failed(&error))?;
            match link.counters().dropped {
                0 => Ok(()),
                some => Err(Problem::Failed(format!("{some} messages were not sent"))),
            }
        }
        NatsCommand::Request { subject, text, .. } => {
            let asked = Publish::request(subject, text.clone().into_bytes());
            let answer = link.request(asked).await;
            let answer = answer.map_err(|error| Problem::failed(&error))?;
            if let Some(status) = answer.status {
                let text = format!("nobody answers `{subject}` (status {status})");
                return Err(Problem::Failed(text));
            }
            print(&answer, json)
        }
    }
}

async fn publish(link: &Link<Nats>, subject: &str, text: Option<&str>) -> Result<(), Problem> {
    let send = async |text: String| {
        let sent = link.send(Publish::to(subject, text.into_bytes())).await;
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

fn print(incoming: &Incoming, json: bool) -> Result<(), Problem> {
    let text = String::from_utf8_lossy(&incoming.payload);
    let mut out = io::stdout().lock();
    let written = if json {
        let Incoming { subject, reply, .. } = incoming;
        writeln!(
            out,
            "{}",
            json!({"subject": subject, "reply": reply, "payload": text})
        )
    } else {
        out.write_all(&incoming.payload)
            .and_then(|()| out.write_all(b"\n"))
    };
    written
        .and_then(|()| out.flush())
        .map_err(|error| Problem::failed(&error))
}

/// What is lost is told in any case.
async fn tell(
    verbose: bool,
    json: bool,
    mut events: Events,
    mut news: Inbox<News<examples::nats::NatsError>>,
) {
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

fn of_news(news: &News<examples::nats::NatsError>) -> Option<String> {
    match news {
        News::Dropped { messages, why } => Some(format!(
            "{} messages were not sent ({})",
            messages.count,
            why.as_str()
        )),
        News::Error(error) => Some(error.to_string()),
        News::Connected { .. }
        | News::Unconfirmed { .. }
        | News::Refused { .. }
        | News::Late { .. }
        | News::Unexpected { .. }
        | _ => None,
    }
}
