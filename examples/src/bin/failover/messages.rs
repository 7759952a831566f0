//! What the clients of message protocols have in common: `nats`, `stomp` and `mqtt`.

use std::error::Error;
use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;
use examples::timeline::chain;
use failover_core::dial::Dial;
use failover_core::directory::{Endpoint, Url};
use failover_core::drive::{Connector, Events};
use failover_core::link::{AtLoss, Bounds, LinkPolicy, Outbox, Overflow, Refusal, Refused};
use failover_core::messaging::{Inbox, Link, LoggedIn, Login, News, Protocol, Wire, open};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use transport_tcp::TokioClock;
use transport_tls::{Pem, Roots, TlsClient, TlsConfig};

use crate::servers::refuse_path_of_bytes;
use crate::values::file;
use crate::{Problem, runtime, style};

/// Whom to trust, and what is told.
#[derive(Args, Debug)]
pub(crate) struct MessageArguments {
    /// Trust the authorities in this PEM file, and no others [default: the system's]
    #[arg(long, value_parser = file(), value_name = "FILE", global = true)]
    ca: Option<PathBuf>,
    /// Tell everything that happens on standard error
    #[arg(short, long, global = true)]
    verbose: bool,
    /// Write JSON lines
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

impl MessageArguments {
    pub(crate) fn tls(&self) -> Result<TlsClient, Problem> {
        let mut tls = TlsConfig::new();
        if let Some(file) = &self.ca {
            tls = tls.roots(Roots::Only(Pem::File(file.clone())));
        }
        tls.client().map_err(|error| Problem::bad(&error))
    }

    /// Prints what came in: as it is, or this value.
    pub(crate) fn print(
        &self,
        bytes: &[u8],
        value: impl FnOnce(&str) -> Value,
    ) -> Result<(), Problem> {
        let mut out = io::stdout().lock();
        let written = if self.json {
            writeln!(out, "{}", value(&String::from_utf8_lossy(bytes)))
        } else {
            out.write_all(bytes).and_then(|()| out.write_all(b"\n"))
        };
        let written = written.and_then(|()| out.flush());
        written.map_err(|error| Problem::failed(&error))
    }
}

pub(crate) fn endpoints(urls: &[String]) -> Result<Vec<Endpoint>, Problem> {
    let endpoint = |text: &String| {
        let url: Url = text.parse().map_err(|error| Problem::bad(&error))?;
        refuse_path_of_bytes(&url)?;
        Ok(Endpoint::new(url))
    };
    urls.iter().map(endpoint).collect()
}

/// Who sends faster than the server reads waits for room, and who waits stays through a loss.
pub(crate) fn patient() -> LinkPolicy {
    LinkPolicy::OFF
        .outbox(Outbox::Keep {
            bytes: LinkPolicy::BYTES,
        })
        .bounds(Bounds::DEFAULT.overflow(Overflow::Wait { most: None }))
        .at_loss(AtLoss::Wait)
}

/// Talks over a link, tells what happens, and ends. An error that leaves the connection and is `hopeless` ends it
/// at once.
pub(crate) fn run<D, P>(
    mut connector: Connector<Login<D, P>, TokioClock>,
    policy: LinkPolicy,
    arguments: &MessageArguments,
    hopeless: fn(&P::Error) -> bool,
    talk: impl AsyncFnOnce(&Link<P>, Events) -> Result<(), Problem>,
) -> Result<(), Problem>
where
    D: Dial + 'static,
    D::Conn: Wire,
    P: Protocol,
    Login<D, P>: Dial<Conn = LoggedIn<D::Conn, P::Session>>,
{
    let (told, heard) = (connector.events(), connector.events());
    let runtime = runtime()?;
    let done = runtime.block_on(async {
        let (link, driver) = open(connector, policy);
        let (news, mut errors) = (link.news(), link.news());
        let driving = tokio::spawn(driver.run());
        let telling = tokio::spawn(tell(
            arguments.verbose,
            arguments.json,
            told,
            news,
            hopeless,
        ));
        let done = tokio::select! {
            // In this order: what was refused on the way is no success.
            biased;
            problem = given_up(&mut errors, hopeless) => Err(problem),
            done = talk(&link, heard) => done,
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

async fn given_up<E: Error>(news: &mut Inbox<News<E>>, hopeless: fn(&E) -> bool) -> Problem {
    while let Some(news) = news.next().await {
        if let News::Error(error) = news
            && hopeless(&error)
        {
            return Problem::failed(&*error);
        }
    }
    std::future::pending().await
}

/// Sends the text, or each line of the standard input.
pub(crate) async fn send_lines<P: Protocol>(
    link: &Link<P>,
    text: Option<&str>,
    message: impl Fn(String) -> P::Message,
) -> Result<(), Problem> {
    let send = async |text: String| {
        let sent = link.send(message(text)).await;
        sent.map(drop).map_err(|error| refused(&error))
    };
    if let Some(text) = text {
        return send(text.to_string()).await;
    }
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    loop {
        let line = lines.next_line().await;
        match line.map_err(|error| Problem::failed(&error))? {
            Some(line) => send(line).await?,
            None => return Ok(()),
        }
    }
}

/// A message that no server would take was not worth sending; another one might have been taken.
pub(crate) fn refused<M>(refused: &Refused<M>) -> Problem {
    match matches!(refused.refusal, Refusal::Invalid { .. }) {
        true => Problem::bad(refused),
        false => Problem::failed(refused),
    }
}

/// Hands on what comes in, up to this many, and leaves in order.
pub(crate) async fn read<P: Protocol, T>(
    link: &Link<P>,
    mut reader: Inbox<T>,
    count: Option<u64>,
    mut each: impl FnMut(T) -> Result<(), Problem>,
) -> Result<(), Problem> {
    for _ in 0..count.unwrap_or(u64::MAX) {
        tokio::select! {
            Some(incoming) = reader.next() => each(incoming)?,
            ended = link.ended() => return Err(Problem::failed(&ended)),
        }
    }
    drain(link).await
}

pub(crate) async fn drain<P: Protocol>(link: &Link<P>) -> Result<(), Problem> {
    link.drain().await.map_err(|error| Problem::failed(&error))
}

/// What is lost is told in any case; what ends the program it says itself.
async fn tell<E: Error>(
    verbose: bool,
    json: bool,
    mut events: Events,
    mut news: Inbox<News<E>>,
    hopeless: fn(&E) -> bool,
) {
    let style = style(json, &io::stderr());
    loop {
        let line = tokio::select! {
            Some(event) = events.next(), if verbose => style.event(&event),
            next = news.next() => match next {
                Some(News::Error(error)) if hopeless(&error) => None,
                Some(news) => of_news(&news).map(|(event, text, count)| match json {
                    true => json!({"event": event, "text": text, "messages": count}).to_string(),
                    false => text,
                }),
                None => return,
            },
        };
        if let Some(line) = line {
            let _ = writeln!(io::stderr(), "{line}");
        }
    }
}

/// `1 message was`, `2 messages were`.
pub(crate) fn messages_were(count: u64) -> String {
    match count {
        1 => "1 message was".to_string(),
        _ => format!("{count} messages were"),
    }
}

/// The event's name, what is said, and how many messages it is about.
fn of_news<E: Error>(news: &News<E>) -> Option<(&'static str, String, u64)> {
    let about =
        |event, count, what: &str| Some((event, format!("{} {what}", messages_were(count)), count));
    match news {
        News::Dropped { messages, why } => {
            let what = format!("not sent ({})", why.as_str());
            about("messages-dropped", messages.count, &what)
        }
        News::Refused { messages } => about("messages-refused", messages.count, "refused"),
        News::Unconfirmed { messages } => {
            about("messages-unconfirmed", messages.count, "not confirmed")
        }
        News::Error(error) => Some(("error", chain(&**error), 0)),
        News::Connected { .. } | News::Late { .. } | News::Unexpected { .. } | _ => None,
    }
}
