//! What a `LinkPolicy` wants, as sentences.

use failover_core::config::print_duration as short;
use failover_core::link::{Bounds, LinkPolicy, Outbox, Overflow, Replay, Reply};

use crate::plural::counted;

/// What happens to messages beyond the bound.
fn beyond(bounds: &Bounds) -> String {
    let age = bounds
        .age
        .map_or(String::new(), |age| format!(", for {} at most", short(age)));
    let full = match bounds.overflow {
        Overflow::DropOldest => "; beyond, the oldest are dropped".to_string(),
        Overflow::Wait { most: None } => "; beyond, the sender waits".to_string(),
        Overflow::Wait { most: Some(most) } => {
            format!("; beyond, the sender waits, at most {}", short(most))
        }
        Overflow::Reject | _ => "; beyond, sending fails".to_string(),
    };
    format!("{age}{full}")
}

/// So many bytes, as people read them.
fn size(bytes: u64) -> String {
    let unit = [(1 << 20, "MiB"), (1 << 10, "KiB")];
    let whole = unit
        .iter()
        .find(|(of, _)| bytes >= *of && bytes.is_multiple_of(*of));
    whole.map_or(counted(bytes, "byte"), |(of, name)| {
        format!("{} {name}", bytes / of)
    })
}

/// What is wanted of the link.
pub(super) fn link(link: &LinkPolicy) -> Vec<String> {
    let mut words = Vec::new();
    if let Some(heartbeat) = link.heartbeat {
        words.push(match heartbeat.bound() {
            Some(bound) => format!("A silent peer is noticed within {}.", short(bound)),
            None => "It sends heartbeats and expects none.".to_string(),
        });
    }
    match link.outbox {
        Outbox::Keep { bytes } => words.push(format!(
            "Messages sent while there is no connection are kept, up to {}{}.",
            size(bytes),
            beyond(&link.bounds)
        )),
        Outbox::Wait { most: None } => {
            words.push("A sender waits until there is a connection.".to_string());
        }
        Outbox::Wait { most: Some(most) } => words.push(format!(
            "A sender waits for a connection, at most {}.",
            short(most)
        )),
        Outbox::Off | _ => {}
    }
    if let Reply::Within { deadline, then } = link.reply {
        let then = format!("{then:?}").to_lowercase();
        words.push(format!("A reply has {}, then: {then}.", short(deadline)));
    }
    match link.replay {
        Replay::Bytes(bytes) => words.push(format!(
            "Messages that are not confirmed are sent again, the latest {}.",
            size(bytes)
        )),
        Replay::Messages(1) => {
            words.push("The latest message is sent again, unless it was received.".to_string());
        }
        Replay::Messages(messages) => words.push(format!(
            "The latest {messages} messages are sent again, from the last one received."
        )),
        Replay::Off | _ => {}
    }
    words
}
