//! `failover mqtt`.

use std::time::Duration;

use clap::{Args, Subcommand};
use examples::mqtt::{Credentials, Incoming, Mqtt, MqttError, Publish, Qos, dialer, subscribe};
use failover_core::dial::Registry;
use failover_core::drive::Connector;
use failover_core::heartbeat::Heartbeat;
use failover_core::link::{Bounds, Late, LinkPolicy, Overflow, Replay, Reply};
use failover_core::messaging::{Link, Login, Room};
use failover_core::policy::{Limit, Limits, Overlap, Policy, Standing};
use serde_json::json;
use transport_tcp::{ByteStream, TokioClock};

use crate::Problem;
use crate::messages::{self, MessageArguments};
use crate::values::{duration, whole};

/// Publish to and subscribe at MQTT 3.1.1 brokers (mosquitto, RabbitMQ, …), failing over while it runs.
///
/// Subscriptions are made anew on each connection, in a clean session. What is published while there is none
/// waits; what the broker has not acknowledged when a connection is lost is published again on the next, so
/// that it may arrive twice (QoS 1).
///
/// Before the first connection it gives up when every server has failed three times; later never.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  failover mqtt -s mqtt://a.example -s wss://b.example/mqtt sub 'sensors/#'
  seq 1000 | failover mqtt -s ws://a.example:8080/ pub numbers
  failover mqtt -s mqtts://joe@a.example pub --qos 0 --retain lamp on    # the password in MQTT_PASSWORD

Exit codes: 0 it worked, 1 it failed, 2 the arguments make no sense.")]
pub(crate) struct MqttArguments {
    /// A broker: mqtt:// (or tcp://), mqtts:// (or tls://), ws:// or wss://; more than one may be given.
    /// Name and password stand before the host
    #[arg(
        short,
        long,
        value_name = "URL",
        default_value = "mqtt://127.0.0.1:1883",
        global = true
    )]
    server: Vec<String>,
    /// The name where a URL has none; the password is in the environment variable MQTT_PASSWORD
    #[arg(long, value_name = "NAME", global = true)]
    user: Option<String>,
    /// The client id; of two clients with one id a broker keeps the later [default: a random one]
    #[arg(long, value_name = "ID", global = true)]
    client_id: Option<String>,
    /// A broker that is silent for so many seconds is asked, and left after twice as many; 0 is never
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = whole::<u16>(0..=u64::from(u16::MAX)), global = true)]
    keep_alive: u16,
    /// Quality of service: 0 is at most once, 1 is at least once
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = whole::<u8>(0..=1), global = true)]
    qos: u8,
    #[command(flatten)]
    pub(crate) common: MessageArguments,
    #[command(subcommand)]
    command: MqttCommand,
}

#[derive(Debug, Subcommand)]
enum MqttCommand {
    /// Print what is published to a topic
    Sub {
        /// The topic filter; it may hold + and #
        filter: String,
        /// End after so many messages [default: never]
        #[arg(long, value_name = "N", value_parser = whole::<u64>(1..=u64::MAX))]
        count: Option<u64>,
    },
    /// Publish a message, or each line of the standard input
    Pub {
        /// The topic
        topic: String,
        /// The message [default: each line of the standard input is one]
        text: Option<String>,
        /// The broker keeps the last one for those who subscribe later
        #[arg(long)]
        retain: bool,
        /// How long an acknowledgement may take (QoS 1); then the next broker is tried
        #[arg(long, value_name = "TIME", value_parser = duration, default_value = "30s")]
        receipt: Duration,
    },
}

pub(crate) fn run(arguments: &MqttArguments) -> Result<(), Problem> {
    // A broker that refuses the one subscription there is goes on refusing it.
    let hopeless = |error: &MqttError| matches!(error, MqttError::NotSubscribed { .. });
    messages::run(
        connector(arguments)?,
        link_policy(&arguments.command)?,
        &arguments.common,
        hopeless,
        async |link, _| talk(link, arguments).await,
    )
}

type Dialer = Login<Registry<ByteStream>, Mqtt>;

fn connector(arguments: &MqttArguments) -> Result<Connector<Dialer, TokioClock>, Problem> {
    let start_up = Limits::UNLIMITED.sweeps(Limit::AtMost(3));
    // A second login with the same client id would end the first, where brokers share their sessions.
    let standing = Standing::default().overlap(Overlap::Forbidden);
    let policy = Policy::builder().start_up_limits(start_up);
    let policy = policy.standing(standing).build();
    let credentials = arguments.user.as_ref().map(|user| Credentials {
        user: user.clone(),
        password: std::env::var("MQTT_PASSWORD").unwrap_or_default(),
    });
    let mut mqtt = Mqtt::new()
        .credentials(credentials)
        .keep_alive(arguments.keep_alive);
    if let Some(id) = &arguments.client_id {
        mqtt = mqtt.client_id(id);
    }
    let login = Login::new(dialer(&arguments.common.tls()?), mqtt);
    Connector::builder(login, TokioClock::new())
        .endpoints(messages::endpoints(&arguments.server)?)
        .policy(policy.map_err(|error| Problem::bad(&error))?)
        .build()
        .map_err(|error| Problem::bad(&error))
}

fn link_policy(command: &MqttCommand) -> Result<LinkPolicy, Problem> {
    // The keep alive is said at the login; how long a write may take is ours to say.
    let deadline = Heartbeat::builder().write_deadline(WRITE_DEADLINE).build();
    let bounds = Bounds::DEFAULT.messages(MOST_MESSAGES);
    let policy = messages::patient()
        .heartbeat(deadline.map_err(|error| Problem::bad(&error))?)
        .bounds(bounds.overflow(Overflow::Wait { most: None }))
        .replay(Replay::Bytes(LinkPolicy::BYTES));
    Ok(match command {
        MqttCommand::Pub { receipt, .. } => policy.reply(Reply::Within {
            deadline: *receipt,
            then: Late::Fault,
        }),
        MqttCommand::Sub { .. } => policy,
    })
}

const WRITE_DEADLINE: Duration = Duration::from_secs(30);
/// The wire tells 65 535 packets apart, subscriptions among them.
const MOST_MESSAGES: u32 = 32_768;

/// What was received and not printed yet.
const ROOM: Room = Room {
    items: 1024,
    bytes: 8 << 20,
};

async fn talk(link: &Link<Mqtt>, arguments: &MqttArguments) -> Result<(), Problem> {
    let qos = match arguments.qos {
        0 => Qos::AtMostOnce,
        _ => Qos::AtLeastOnce,
    };
    match &arguments.command {
        MqttCommand::Sub { filter, count } => {
            let reader = subscribe(link, filter, qos, ROOM);
            let reader = reader.map_err(|error| Problem::bad(&error))?;
            messages::read(link, reader, *count, |incoming| print(&incoming, arguments)).await
        }
        MqttCommand::Pub {
            topic,
            text,
            retain,
            ..
        } => {
            let message = |text: String| {
                let message = Publish::to(topic, text.into_bytes()).qos(qos);
                match retain {
                    true => message.retained(),
                    false => message,
                }
            };
            messages::send_lines(link, text.as_deref(), message).await?;
            messages::drain(link).await?;
            let counters = link.counters();
            match counters.dropped + counters.unconfirmed + counters.refused {
                0 => Ok(()),
                some => Err(Problem::Failed(format!(
                    "{} not published",
                    messages::messages_were(some)
                ))),
            }
        }
    }
}

fn print(incoming: &Incoming, arguments: &MqttArguments) -> Result<(), Problem> {
    let Incoming {
        topic,
        payload,
        qos,
        retained,
        ..
    } = incoming;
    arguments.common.print(
        payload,
        |text| json!({"topic": topic, "qos": qos.as_u8(), "retained": retained, "payload": text}),
    )
}
