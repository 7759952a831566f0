//! `failover mqtt`.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use examples::mqtt::{Credentials, Incoming, Mqtt, MqttError, Publish, Qos, dialer, subscribe};
use failover_core::directory::Endpoint;
use failover_core::drive::{Connector, Events};
use failover_core::heartbeat::Heartbeat;
use failover_core::link::{AtLoss, Bounds, LinkPolicy, Outbox, Overflow, Replay};
use failover_core::messaging::{Inbox, Link, Login, News, Room, open};
use failover_core::policy::{Limit, Limits, Overlap, Policy, Standing};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader};
use transport_tcp::TokioClock;
use transport_tls::{Pem, Roots, TlsConfig};

use crate::{Problem, runtime, style};

/// Publish to and subscribe at MQTT 3.1.1 brokers (mosquitto, RabbitMQ, …), failing over while it runs.
///
/// Subscriptions are made anew on each connection, in a clean session. What is published while there is none
/// waits; what the broker has not acknowledged when a connection is lost is published again on the next, so
/// that it may arrive twice (QoS 1).
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
    #[arg(long, value_name = "SECONDS", default_value_t = 10, global = true)]
    keep_alive: u16,
    /// Quality of service: 0 is at most once, 1 is at least once
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(0..=1), global = true)]
    qos: u8,
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
    command: MqttCommand,
}

#[derive(Debug, Subcommand)]
enum MqttCommand {
    /// Print what is published to a topic
    Sub {
        /// The topic filter; it may hold + and #
        filter: String,
        /// End after so many messages [default: never]
        #[arg(long, value_name = "N")]
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
    },
}

pub(crate) fn run(arguments: &MqttArguments) -> Result<(), Problem> {
    let mut connector = connector(arguments)?;
    let events = connector.events();
    let link_policy = link_policy()?;

    let runtime = runtime()?;
    let done = runtime.block_on(async {
        let (link, driver) = open(connector, link_policy);
        let news = link.news();
        let driving = tokio::spawn(driver.run());
        let telling = tokio::spawn(tell(arguments.verbose, arguments.json, events, news));
        let done = talk(&link, arguments).await;
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

type Dialer = Login<failover_core::dial::Registry<transport_tcp::ByteStream>, Mqtt>;

fn connector(arguments: &MqttArguments) -> Result<Connector<Dialer, TokioClock>, Problem> {
    let mut tls = TlsConfig::new();
    if let Some(file) = &arguments.ca {
        tls = tls.roots(Roots::Only(Pem::File(file.clone())));
    }
    let tls = tls.build().map_err(|error| Problem::bad(&error))?;
    let servers = arguments.server.iter();
    let endpoints: Result<Vec<Endpoint>, _> = servers.map(|url| Endpoint::parse(url)).collect();
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
    Connector::builder(Login::new(dialer(&tls), mqtt), TokioClock::new())
        .endpoints(endpoints.map_err(|error| Problem::bad(&error))?)
        .policy(policy.map_err(|error| Problem::bad(&error))?)
        .build()
        .map_err(|error| Problem::bad(&error))
}

/// Who publishes faster than the broker reads waits for room.
fn link_policy() -> Result<LinkPolicy, Problem> {
    // The keep alive is said at the login; how long a write may take is ours to say.
    let deadline = Heartbeat::builder().write_deadline(WRITE_DEADLINE).build();
    let bounds = Bounds::DEFAULT.messages(MOST_MESSAGES);
    Ok(LinkPolicy::OFF
        .heartbeat(deadline.map_err(|error| Problem::bad(&error))?)
        .outbox(Outbox::Keep {
            bytes: LinkPolicy::BYTES,
        })
        .bounds(bounds.overflow(Overflow::Wait { most: None }))
        .replay(Replay::Bytes(LinkPolicy::BYTES))
        .at_loss(AtLoss::Wait))
}

const WRITE_DEADLINE: Duration = Duration::from_secs(30);
/// The wire tells 65 535 packets apart, subscriptions among them.
const MOST_MESSAGES: u32 = 32_768;

async fn talk(link: &Link<Mqtt>, arguments: &MqttArguments) -> Result<(), Problem> {
    let qos = match arguments.qos {
        0 => Qos::AtMostOnce,
        _ => Qos::AtLeastOnce,
    };
    match &arguments.command {
        MqttCommand::Sub { filter, count } => {
            let reader = subscribe(link, filter, qos, ROOM);
            let reader = reader.map_err(|error| Problem::bad(&error))?;
            read(link, reader, *count, arguments.json).await?;
            let drained = link.drain().await;
            drained.map_err(|error| Problem::failed(&error))
        }
        MqttCommand::Pub {
            topic,
            text,
            retain,
        } => {
            let message = |text: String| {
                let message = Publish::to(topic, text.into_bytes()).qos(qos);
                match retain {
                    true => message.retained(),
                    false => message,
                }
            };
            publish(link, message, text.as_deref()).await?;
            let drained = link.drain().await;
            drained.map_err(|error| Problem::failed(&error))?;
            let counters = link.counters();
            match counters.dropped + counters.unconfirmed + counters.refused {
                0 => Ok(()),
                some => Err(Problem::Failed(format!(
                    "{some} messages were not published"
                ))),
            }
        }
    }
}

/// What was received and not printed yet.
const ROOM: Room = Room {
    items: 1024,
    bytes: 8 << 20,
};

async fn read(
    link: &Link<Mqtt>,
    mut reader: Inbox<Incoming>,
    count: Option<u64>,
    json: bool,
) -> Result<(), Problem> {
    let mut left = count.unwrap_or(u64::MAX);
    while left > 0 {
        tokio::select! {
            Some(incoming) = reader.next() => print(&incoming, json)?,
            ended = link.ended() => return Err(Problem::failed(&ended)),
        }
        left -= 1;
    }
    Ok(())
}

async fn publish(
    link: &Link<Mqtt>,
    message: impl Fn(String) -> Publish,
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

fn print(incoming: &Incoming, json: bool) -> Result<(), Problem> {
    let mut out = io::stdout().lock();
    let written = if json {
        let Incoming {
            topic,
            payload,
            qos,
            retained,
            ..
        } = incoming;
        let payload = String::from_utf8_lossy(payload);
        let line = json!({
            "topic": topic, "qos": qos.as_u8(), "retained": retained, "payload": payload,
        });
        writeln!(out, "{line}")
    } else {
        out.write_all(&incoming.payload)
            .and_then(|()| out.write_all(b"\n"))
    };
    written
        .and_then(|()| out.flush())
        .map_err(|error| Problem::failed(&error))
}

/// What is lost is told in any case.
async fn tell(verbose: bool, json: bool, mut events: Events, mut news: Inbox<News<MqttError>>) {
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

fn of_news(news: &News<MqttError>) -> Option<String> {
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
