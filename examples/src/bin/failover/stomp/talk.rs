//! What is said over the link, and what is told of it.

use std::io::{self, Write};
use std::time::Duration;

use examples::stomp::{AckMode, Incoming, Send, Stomp, StompError, Subscribe, subscribe};
use failover_core::drive::{Events, What};
use failover_core::failure::Kind;
use failover_core::machine::Why;
use failover_core::messaging::{Inbox, Link, News, Room};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::stomp::StompCommand;
use crate::{Problem, style};

pub(super) async fn talk(
    link: &Link<Stomp>,
    command: &StompCommand,
    json: bool,
) -> Result<(), Problem> {
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
pub(super) async fn refused(link: &Link<Stomp>, mut events: Events) -> Problem {
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
pub(super) async fn tell(
    verbose: bool,
    json: bool,
    mut events: Events,
    mut news: Inbox<News<StompError>>,
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
