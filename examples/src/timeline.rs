//! The connector's events in two forms: lines for people, JSON lines for programs.

use std::fmt::{self, Write as _};
use std::sync::Arc;
use std::time::Duration;

use failover_core::directory::{Endpoint, Target};
use failover_core::drive::{Attempt, AttemptError, Event, NextDial, What};
use failover_core::failure::Failure;
use failover_core::machine::Why;
use failover_core::time::Time;
use serde_json::{Map, Value, json};

/// How events are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// One line an event, without colours.
    Plain,
    /// The same with the colours of a terminal.
    Coloured,
    /// One JSON object a line.
    Json,
}

impl Style {
    /// One event as one line, without the line's end. Nothing for an event that another one tells
    /// already: a dial that succeeded is told by the connection that it made.
    #[must_use]
    pub fn event(self, event: &Event) -> Option<String> {
        match self {
            Self::Json => Some(as_json(event).to_string()),
            Self::Plain | Self::Coloured => {
                let (mark, word, text) = in_words(&event.what)?;
                Some(self.line(event.at, mark, word, &text))
            }
        }
    }

    /// A line of the timeline for people.
    #[must_use]
    pub fn line(self, at: Time, mark: Mark, word: &str, text: &str) -> String {
        let seconds = at.since(Time::ZERO).as_secs_f64();
        let word = self.mark(mark, &format!("{word:<12}"));
        format!("{seconds:>8.3}  {word} {text}")
    }

    /// A text in the colour of this mark, where there are colours.
    #[must_use]
    pub fn mark(self, mark: Mark, text: &str) -> String {
        match self {
            Self::Coloured => format!("\x1b[{}m{text}\x1b[0m", mark.code()),
            Self::Plain | Self::Json => text.to_string(),
        }
    }
}

/// What a line means for its reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// Connected.
    Good,
    /// A connection lost, or the end.
    Bad,
    /// A dial that failed.
    Warning,
    /// Something that was done on purpose.
    Deed,
    /// Anything else.
    Note,
}

impl Mark {
    const fn code(self) -> &'static str {
        match self {
            Self::Good => "32",
            Self::Bad => "31",
            Self::Warning => "33",
            Self::Deed => "1;35",
            Self::Note => "2",
        }
    }
}

fn in_words(what: &What) -> Option<(Mark, &'static str, String)> {
    Some(match what {
        What::Attempt(attempt) => {
            let Err(error) = &attempt.outcome else {
                return None;
            };
            (
                Mark::Warning,
                "dial failed",
                failed_dial(attempt, error) + &then(attempt.next.as_ref()),
            )
        }
        What::Connected(link) => (Mark::Good, "connected", named(&link.target)),
        What::Reconnected(link) => (
            Mark::Good,
            "reconnected",
            format!("{}, the server that was lost", named(&link.target)),
        ),
        What::FailedOver { to, from } => (
            Mark::Good,
            "failed over",
            format!("{}, instead of {}", named(&to.target), from.name()),
        ),
        What::Disconnected {
            link,
            why,
            error,
            lived,
            next,
        } => {
            let name = link.target.endpoint().name();
            let reason = match (error, why) {
                (Some(error), _) => chain(error),
                (None, why) => said(why),
            };
            let text = format!("{name} after {}: {reason}", short(*lived));
            let (mark, word) = match why {
                Why::Lost(_) => (Mark::Bad, "lost"),
                Why::Left(_) | Why::ByUser | _ => (Mark::Note, "hung up"),
            };
            (mark, word, text + &then(next.as_ref()))
        }
        What::SessionGone => (
            Mark::Bad,
            "session gone",
            "the next connection begins a new one".to_string(),
        ),
        What::Switching { from, why } => {
            let name = from.target.endpoint().name();
            let text = format!("away from {name} ({}), which still stands", why.as_str());
            (Mark::Note, "switching", text)
        }
        What::Moved { to, from, why } => {
            let text = format!(
                "{}, from {} ({})",
                named(&to.target),
                from.name(),
                why.as_str()
            );
            (Mark::Good, "moved", text)
        }
        What::Draining { link, after } => {
            let name = link.target.endpoint().name();
            let text = format!("{name} will be left in {}", short(*after));
            (Mark::Warning, "draining", text)
        }
        What::Suspended { endpoint, until } => {
            let until = until.since(Time::ZERO).as_secs_f64();
            let text = format!("{} until {until:.3}", endpoint.name());
            (Mark::Note, "suspended", text)
        }
        What::SpareReady(link) => (Mark::Note, "spare", named(&link.target)),
        What::SpareLost { link, failure } => {
            let text = format!("{}: {failure}", link.target.endpoint().name());
            (Mark::Warning, "spare lost", text)
        }
        What::ListChanged { added, removed } | What::Discovered { added, removed, .. } => {
            (Mark::Note, "list changed", came_and_went(added, removed))
        }
        What::ListRefused { error } => (Mark::Bad, "list refused", error.to_string()),
        What::LateReport { .. } => (
            Mark::Note,
            "late report",
            "of a connection that is no more".to_string(),
        ),
        What::NotDriven => (
            Mark::Warning,
            "not driven",
            "spares, failback and a greatest age need `run`".to_string(),
        ),
        What::Held { target, by } => (
            Mark::Note,
            "held",
            format!("{} waits for the {}", target.endpoint().name(), by.as_str()),
        ),
        What::Starved => (
            Mark::Bad,
            "starved",
            "there is no endpoint to dial".to_string(),
        ),
        What::HookPanicked { message } => (
            Mark::Bad,
            "hook panic",
            message.clone().unwrap_or_else(|| "no message".to_string()),
        ),
        What::Closed(reason) => (Mark::Note, "closed", reason.to_string()),
        other => (Mark::Note, "event", format!("{other:?}")),
    })
}

fn came_and_went(added: &[Arc<Endpoint>], removed: &[Arc<Endpoint>]) -> String {
    let signed = |sign: char, endpoints: &[Arc<Endpoint>]| -> Vec<String> {
        let named = endpoints.iter().map(|endpoint| endpoint.name());
        named.map(|name| format!("{sign}{name}")).collect()
    };
    let both = [signed('+', added), signed('-', removed)].concat();
    match both.is_empty() {
        true => "nobody came or left".to_string(),
        false => both.join(" "),
    }
}

fn failed_dial(attempt: &Attempt, error: &AttemptError) -> String {
    let name = attempt.target.endpoint().name();
    let mut text = format!(
        "{name}: {} [dial {}, ",
        without_link(error.to_string()),
        attempt.number
    );
    if let Some(phase) = error.failure.phase {
        let _ = write!(text, "{phase}, ");
    }
    text + &short(attempt.took) + "]"
}

/// `primary (tcp://10.0.0.7:4222)`, or the URL alone where the name says no more.
fn named(target: &Target) -> String {
    let (name, url) = (target.endpoint().name(), target.to_string());
    if url.contains(name) && name.contains(':') {
        url
    } else {
        format!("{name} ({url})")
    }
}

fn said(why: &Why) -> String {
    match why {
        Why::Lost(failure) => failure.to_string(),
        Why::Left(what_for) => format!("left ({})", what_for.as_str()),
        Why::ByUser => "closed by this side".to_string(),
        other => format!("{other:?}"),
    }
}

fn then(next: Option<&NextDial>) -> String {
    match next {
        None => String::new(),
        Some(NextDial { target, wait, .. }) if wait.is_zero() => {
            format!("; next {} at once", target.endpoint().name())
        }
        Some(NextDial { target, wait, .. }) => {
            format!("; next {} in {}", target.endpoint().name(), short(*wait))
        }
    }
}

/// A duration as people read it: `3 ms`, `1.25 s`.
#[must_use]
pub fn short(duration: Duration) -> String {
    let millis = duration.as_secs_f64() * 1e3;
    if millis < 10.0 {
        format!("{millis:.1} ms")
    } else if millis < 1e3 {
        format!("{millis:.0} ms")
    } else {
        format!("{:.2} s", millis / 1e3)
    }
}

/// An error and its causes, each cause once. What it stands for, which some carry as their last cause, is
/// for machines.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        if error.is::<Failure>() {
            break;
        }
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    without_link(text)
}

/// rustls points to its manual, which is too long for a line.
fn without_link(mut text: String) -> String {
    if let Some(at) = text.find(": https://") {
        text.truncate(at);
    }
    text
}

fn as_json(event: &Event) -> Value {
    let mut line = Map::new();
    line.insert("at_ms".into(), millis_at(event.at));
    let mut put = |key: &str, value: Value| {
        line.insert(key.into(), value);
    };
    match &event.what {
        What::Attempt(attempt) => {
            put("event", "attempt".into());
            put_target(&mut put, &attempt.target);
            put("number", attempt.number.into());
            put("purpose", attempt.purpose.as_str().into());
            put("took_ms", millis(attempt.took));
            put("ok", attempt.outcome.is_ok().into());
            let phases = attempt.phases.iter();
            put(
                "phases",
                phases
                    .map(|&(phase, at)| json!({"phase": phase.as_str(), "at_ms": millis_at(at)}))
                    .collect(),
            );
            if let Some(address) = attempt.address {
                put("address", address.to_string().into());
            }
            if let Err(error) = &attempt.outcome {
                put_failure(&mut put, &error.failure, Some(error.to_string()));
            }
            put("next", next_as_json(attempt.next.as_ref()));
        }
        What::Connected(link) => {
            put("event", "connected".into());
            put_target(&mut put, &link.target);
        }
        What::Reconnected(link) => {
            put("event", "reconnected".into());
            put_target(&mut put, &link.target);
        }
        What::FailedOver { to, from } => {
            put("event", "failed-over".into());
            put_target(&mut put, &to.target);
            put("from", from.name().into());
        }
        What::Disconnected {
            link,
            why,
            error,
            lived,
            next,
        } => {
            put("event", "disconnected".into());
            put_target(&mut put, &link.target);
            put("lived_ms", millis(*lived));
            if let Why::Lost(failure) = why {
                put_failure(&mut put, failure, error.as_ref().map(|e| chain(e)));
            } else {
                put("error", said(why).into());
            }
            put("next", next_as_json(next.as_ref()));
        }
        What::SessionGone => put("event", "session-gone".into()),
        What::Switching { from, why } => {
            put("event", "switching".into());
            put_target(&mut put, &from.target);
            put("why", why.as_str().into());
        }
        What::Moved { to, from, why } => {
            put("event", "moved".into());
            put_target(&mut put, &to.target);
            put("from", from.name().into());
            put("why", why.as_str().into());
        }
        What::Draining { link, after } => {
            put("event", "draining".into());
            put_target(&mut put, &link.target);
            put("after_ms", millis(*after));
        }
        What::Suspended { endpoint, until } => {
            put("event", "suspended".into());
            put("endpoint", endpoint.name().into());
            put("until_ms", millis_at(*until));
        }
        What::SpareReady(link) => {
            put("event", "spare-ready".into());
            put_target(&mut put, &link.target);
        }
        What::SpareLost { link, failure } => {
            put("event", "spare-lost".into());
            put_target(&mut put, &link.target);
            put_failure(&mut put, failure, None);
        }
        What::ListChanged { added, removed } => {
            put("event", "list-changed".into());
            put("added", names(added));
            put("removed", names(removed));
        }
        What::Discovered {
            by,
            added,
            removed,
            refused,
        } => {
            put("event", "discovered".into());
            put_target(&mut put, &by.target);
            put("added", names(added));
            put("removed", names(removed));
            let refused = refused
                .iter()
                .map(|refused| json!({"address": refused.address, "because": refused.because.to_string()}));
            put("refused", refused.collect());
        }
        What::ListRefused { error } => {
            put("event", "list-refused".into());
            put("error", error.to_string().into());
        }
        What::LateReport { connection } => {
            put("event", "late-report".into());
            put("connection", connection.number().into());
        }
        What::NotDriven => put("event", "not-driven".into()),
        What::Held { target, by } => {
            put("event", "held".into());
            put("endpoint", target.endpoint().name().into());
            put("by", by.as_str().into());
        }
        What::Starved => put("event", "starved".into()),
        What::HookPanicked { message } => {
            put("event", "hook-panicked".into());
            put("error", json!(message));
        }
        What::Closed(reason) => {
            put("event", "closed".into());
            put("reason", reason.to_string().into());
        }
        other => put("event", format!("{other:?}").into()),
    }
    Value::Object(line)
}

fn names(endpoints: &[Arc<Endpoint>]) -> Value {
    endpoints.iter().map(|endpoint| endpoint.name()).collect()
}

fn put_target(put: &mut impl FnMut(&str, Value), target: &Target) {
    put("endpoint", target.endpoint().name().into());
    put("url", target.to_string().into());
}

fn put_failure(put: &mut impl FnMut(&str, Value), failure: &Failure, error: Option<String>) {
    put("kind", failure.kind.as_str().into());
    put("scope", failure.scope.as_str().into());
    put("phase", json!(failure.phase.map(|phase| phase.as_str())));
    put("error", error.unwrap_or_else(|| failure.to_string()).into());
}

fn next_as_json(next: Option<&NextDial>) -> Value {
    next.map_or(
        Value::Null,
        |next| json!({"endpoint": next.target.endpoint().name(), "wait_ms": millis(next.wait)}),
    )
}

/// A point in time as JSON: milliseconds since the clock's epoch.
#[must_use]
pub fn millis_at(at: Time) -> Value {
    millis(at.since(Time::ZERO))
}

/// A duration as JSON: milliseconds, to the microsecond.
#[must_use]
pub fn millis(duration: Duration) -> Value {
    json!((duration.as_secs_f64() * 1e6).round() / 1e3)
}

/// Rows under headings, columns as wide as they must be.
#[derive(Clone, Debug)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these headings.
    #[must_use]
    pub fn new<'a>(headings: impl IntoIterator<Item = &'a str>) -> Self {
        Self {
            rows: vec![headings.into_iter().map(str::to_string).collect()],
        }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for (number, row) in self.rows.iter().enumerate() {
            let cells = row.iter().zip(&widths);
            let line: Vec<String> = cells
                .map(|(cell, &width)| format!("{cell:<width$}"))
                .collect();
            writeln!(f, "  {}", line.join("   ").trim_end())?;
            if number == 0 {
                let rules: Vec<String> = widths.iter().map(|&width| "-".repeat(width)).collect();
                writeln!(f, "  {}", rules.join("   "))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_as_wide_as_its_widest_cell() {
        let mut table = Table::new(["what", "how long"]);
        table.row(["a long outage".to_string(), "3 ms".to_string()]);
        let text =
            "  what            how long\n  -------------   --------\n  a long outage   3 ms\n";
        assert_eq!(table.to_string(), text);
    }

    #[test]
    fn durations_are_short() {
        for (micros, text) in [
            (400, "0.4 ms"),
            (12_300, "12 ms"),
            (999_000, "999 ms"),
            (1_250_000, "1.25 s"),
        ] {
            assert_eq!(short(Duration::from_micros(micros)), text);
        }
    }
}
