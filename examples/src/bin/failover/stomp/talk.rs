//! What is said over the link.

use std::time::Duration;

use examples::stomp::{AckMode, Incoming, Send, Stomp, Subscribe, subscribe};
use failover_core::drive::{Events, What};
use failover_core::failure::Kind;
use failover_core::machine::Why;
use failover_core::messaging::{Link, Room};
use serde_json::json;

use crate::Problem;
use crate::messages;
use crate::stomp::{StompArguments, StompCommand};

pub(super) async fn talk(link: &Link<Stomp>, arguments: &StompArguments) -> Result<(), Problem> {
    match &arguments.command {
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
            messages::send_lines(link, text.as_deref(), message).await?;
            messages::drain(link).await?;
            let counters = link.counters();
            match counters.accepted - counters.confirmed {
                0 => Ok(()),
                some => Err(Problem::Failed(format!(
                    "{} not confirmed",
                    messages::messages_were(some)
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
            messages::read(link, reader, *count, |incoming| take(incoming, arguments)).await
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

/// Prints and then acknowledges. An acknowledgement that comes too late is the broker's to repair: it
/// delivers the message again.
fn take(mut incoming: Incoming, arguments: &StompArguments) -> Result<(), Problem> {
    arguments.common.print(&incoming.body, |body| {
        let headers = incoming.headers.iter().rev();
        let headers = headers.map(|(name, value)| (name.clone(), json!(value)));
        let headers: serde_json::Map<_, _> = headers.collect();
        json!({"headers": headers, "body": body})
    })?;
    if let Some(token) = incoming.token.take() {
        let _ = token.ack();
    }
    Ok(())
}
