//! `failover nats`.

use std::time::Duration;

use clap::{Args, Subcommand};
use examples::nats::{Incoming, Nats, NatsError, Publish, dialer, policy, subscribe};
use failover_core::drive::Connector;
use failover_core::heartbeat::Heartbeat;
use failover_core::link::{Late, LinkPolicy, Reply};
use failover_core::messaging::{Link, Login, RequestError, Room};
use failover_core::policy::{Limit, Limits};
use serde_json::json;
use transport_tcp::TokioClock;

use crate::Problem;
use crate::messages::{self, MessageArguments, messages_were};
use crate::values::{duration, whole};

/// Publish to, subscribe to and ask NATS servers, failing over while it runs.
///
/// Subscriptions are made anew on each connection; what is published while there is none waits. A message
/// that was handed to a connection before its loss may or may not have arrived.
///
/// Before the first connection it gives up when every server has failed three times; later never.
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
    #[command(flatten)]
    pub(crate) common: MessageArguments,
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
        #[arg(long, value_name = "N", value_parser = whole::<u64>(1..=u64::MAX))]
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
    let common = &arguments.common;
    let start_up = Limits::UNLIMITED.sweeps(Limit::AtMost(3));
    let policy = policy().start_up_limits(start_up).build();
    let login = Login::new(dialer(&common.tls()?), Nats::new("failover"));
    let connector = Connector::builder(login, TokioClock::new())
        .endpoints(messages::endpoints(&arguments.server)?)
        .policy(policy.map_err(|error| Problem::bad(&error))?)
        .build()
        .map_err(|error| Problem::bad(&error))?;
    // What the server refuses to publish or to hand out it goes on refusing.
    let hopeless = |error: &NatsError| matches!(error, NatsError::Server(_));
    messages::run(
        connector,
        link_policy(&arguments.command),
        common,
        hopeless,
        async |link, _| talk(link, arguments).await,
    )
}

fn link_policy(command: &NatsCommand) -> LinkPolicy {
    let policy = messages::patient().heartbeat(Heartbeat::default());
    match command {
        NatsCommand::Request { timeout, .. } => policy.reply(Reply::Within {
            deadline: *timeout,
            then: Late::Discard,
        }),
        NatsCommand::Sub { .. } | NatsCommand::Pub { .. } => policy,
    }
}

/// What was received and not printed yet.
const ROOM: Room = Room {
    items: 65_536,
    bytes: 64 << 20,
};

async fn talk(link: &Link<Nats>, arguments: &NatsArguments) -> Result<(), Problem> {
    let print = |incoming: Incoming| {
        let Incoming { subject, reply, .. } = &incoming;
        let value = |text: &str| json!({"subject": subject, "reply": reply, "payload": text});
        arguments.common.print(&incoming.payload, value)
    };
    match &arguments.command {
        NatsCommand::Sub { subject, count } => {
            let reader = subscribe(link, subject, ROOM).map_err(|error| Problem::bad(&error))?;
            messages::read(link, reader, *count, print).await
        }
        NatsCommand::Pub { subject, text } => {
            let message = |text: String| Publish::to(subject, text.into_bytes());
            messages::send_lines(link, text.as_deref(), message).await?;
            // What the server refuses it says before it answers.
            let flushed = link.flush().await;
            flushed.map_err(|error| Problem::failed(&error))?;
            messages::drain(link).await?;
            match link.counters().dropped {
                0 => Ok(()),
                some => Err(Problem::Failed(format!("{} not sent", messages_were(some)))),
            }
        }
        NatsCommand::Request { subject, text, .. } => {
            let asked = Publish::request(subject, text.clone().into_bytes());
            let answer = link.request(asked).await;
            if let Err(RequestError::Refused(refused)) = &answer {
                return Err(messages::refused(refused));
            }
            let answer = answer.map_err(|error| Problem::failed(&error))?;
            if let Some(status) = answer.status {
                let text = format!("nobody answers `{subject}` (status {status})");
                return Err(Problem::Failed(text));
            }
            print(answer)
        }
    }
}
