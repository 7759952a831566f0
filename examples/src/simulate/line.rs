//! What happened, in two forms: a line for people, a JSON object for programs.

use std::fmt::Write as _;

use failover_core::endpoint::EndpointId;
use failover_core::failure::Failure;
use failover_core::machine::{AttemptEnded, DialOrder, Event, Link, Planned, Why};
use failover_core::sim::Fleet;
use failover_core::time::Time;
use serde_json::{Map, Value, json};

use crate::scenario::{Named, Scenario};
use crate::timeline::{Mark, Style, millis, millis_at, short};

/// Something that happened at some time.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Line<'a> {
    /// When.
    pub at: Time,
    /// To which client, from 0; nothing, if the world did it.
    pub client: Option<usize>,
    pub(crate) names: Option<&'a dyn Names>,
    /// What.
    pub said: Said<'a>,
}

/// Who is meant by an id.
pub(crate) trait Names: std::fmt::Debug {
    /// The name of what a client calls so.
    fn name(&self, client: usize, endpoint: EndpointId) -> Option<&str>;
    /// Its routes, as they may be shown.
    fn routes(&self, client: usize, endpoint: EndpointId) -> &[String];
    /// How many clients there are.
    fn clients(&self) -> usize;
}

/// The names of a scenario.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cast<'a> {
    pub(crate) scenario: &'a Scenario,
    pub(crate) fleet: &'a Fleet,
}

impl Cast<'_> {
    fn server(&self, client: usize, endpoint: EndpointId) -> Option<&Named> {
        let server = self.fleet.server(client, endpoint)?;
        self.scenario.endpoints.get(server)
    }
}

impl Names for Cast<'_> {
    fn name(&self, client: usize, endpoint: EndpointId) -> Option<&str> {
        Some(&self.server(client, endpoint)?.name)
    }

    fn routes(&self, client: usize, endpoint: EndpointId) -> &[String] {
        let server = self.server(client, endpoint);
        server.map_or(&[][..], |named| &named.routes)
    }

    fn clients(&self) -> usize {
        self.scenario.clients
    }
}

/// What happened.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Said<'a> {
    /// A server does something else from now on.
    World(&'a str),
    /// A user, or the network, said something.
    Command(&'a str),
    /// A dial begins.
    Dial(DialOrder),
    /// The machine tells it.
    Event(Event),
}

impl Line<'_> {
    /// For people, without the line's end. Nothing where the next line says it all.
    #[must_use]
    pub fn text(&self, style: Style) -> Option<String> {
        let (mark, word, text) = match &self.said {
            Said::World(words) => (Mark::Deed, "world", (*words).to_string()),
            Said::Command(words) => (Mark::Deed, "command", (*words).to_string()),
            Said::Dial(order) => (Mark::Note, "dial", self.dial(order)),
            Said::Event(event) => self.event(event)?,
        };
        let client = match (self.client, self.names) {
            (Some(client), Some(names)) if names.clients() > 1 => format!("[{client}] "),
            _ => String::new(),
        };
        Some(style.line(self.at, mark, word, &(client + &text)))
    }

    /// For programs.
    #[must_use]
    pub fn json(&self) -> Value {
        let mut line = Map::new();
        line.insert("at_ms".into(), millis_at(self.at));
        if let Some(client) = self.client {
            line.insert("client".into(), client.into());
        }
        let mut put = |key: &str, value: Value| {
            line.insert(key.into(), value);
        };
        match &self.said {
            Said::World(words) => {
                let (endpoint, does) = words.split_once(": ").unwrap_or(("", words));
                put("event", "world".into());
                put("endpoint", endpoint.into());
                put("does", does.into());
            }
            Said::Command(words) => {
                put("event", "command".into());
                put("do", (*words).into());
            }
            Said::Dial(order) => {
                put("event", "dial".into());
                self.put_order(&mut put, order);
                put("deadline_ms", millis_at(order.deadline));
            }
            Said::Event(event) => self.put_event(&mut put, event),
        }
        Value::Object(line)
    }

    pub(crate) fn name(&self, endpoint: EndpointId) -> String {
        let (client, names) = (self.client.unwrap_or(0), self.names);
        let name = names.and_then(|names| names.name(client, endpoint));
        name.map_or_else(|| endpoint.to_string(), str::to_string)
    }

    /// The name, and the route where there are several.
    pub(crate) fn over(&self, endpoint: EndpointId, route: u8) -> String {
        let name = self.name(endpoint);
        let client = self.client.unwrap_or(0);
        let routes = self
            .names
            .map_or(&[][..], |names| names.routes(client, endpoint));
        match routes.get(usize::from(route)) {
            Some(url) if routes.len() > 1 => format!("{name} ({url})"),
            _ => name,
        }
    }

    fn dial(&self, order: &DialOrder) -> String {
        let name = self.over(order.endpoint, order.route);
        format!("{name} [dial {}, {}]", order.number, order.purpose.as_str())
    }

    fn then(&self, next: Option<&Planned>) -> String {
        let Some(next) = next else {
            return String::new();
        };
        let name = self.over(next.endpoint, next.route);
        if next.wait.is_zero() {
            format!("; next {name} at once")
        } else {
            format!("; next {name} in {}", short(next.wait))
        }
    }

    fn event(&self, event: &Event) -> Option<(Mark, &'static str, String)> {
        let link = |link: &Link| self.over(link.endpoint, link.route);
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "the rarer ones have a match below"
        )]
        Some(match event {
            Event::Attempt(ended) => return self.attempt(ended),
            Event::Connected(to) => (Mark::Good, "connected", link(to)),
            Event::Reconnected(to) => (
                Mark::Good,
                "reconnected",
                format!("{}, the server that was lost", link(to)),
            ),
            Event::FailedOver { to, from } => (
                Mark::Good,
                "failed over",
                format!("{}, instead of {}", link(to), self.name(*from)),
            ),
            Event::Disconnected {
                link: lost,
                why,
                lived,
                next,
            } => {
                let (mark, word) = match why {
                    Why::Lost(_) => (Mark::Bad, "lost"),
                    Why::Left(_) | Why::ByUser | _ => (Mark::Note, "hung up"),
                };
                let name = self.name(lost.endpoint);
                let text = format!("{name} after {}: {}", short(*lived), reason(why));
                (mark, word, text + &self.then(next.as_ref()))
            }
            Event::SessionGone => (
                Mark::Bad,
                "session gone",
                "the next connection begins a new one".to_string(),
            ),
            Event::Closed(reason) => (Mark::Bad, "closed", reason.to_string()),
            other => self.rarer_event(other),
        })
    }

    fn rarer_event(&self, event: &Event) -> (Mark, &'static str, String) {
        let link = |link: &Link| self.over(link.endpoint, link.route);
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "the others are told elsewhere"
        )]
        match event {
            Event::Switching { from, why } => (
                Mark::Note,
                "switching",
                format!("away from {} ({})", link(from), why.as_str()),
            ),
            Event::Moved { to, from, why } => (
                Mark::Good,
                "moved",
                format!("{}, from {} ({})", link(to), self.name(*from), why.as_str()),
            ),
            Event::Draining { link: from, after } => (
                Mark::Warning,
                "draining",
                format!("{} will be left in {}", link(from), short(*after)),
            ),
            Event::Suspended { endpoint, until } => {
                let until = until.since(Time::ZERO).as_secs_f64();
                let text = format!("{} until {until:.3}", self.name(*endpoint));
                (Mark::Note, "suspended", text)
            }
            Event::SpareReady(to) => (Mark::Note, "spare", link(to)),
            Event::SpareLost {
                link: lost,
                failure,
            } => (
                Mark::Warning,
                "spare lost",
                format!("{}: {failure}", link(lost)),
            ),
            Event::Starved => (
                Mark::Bad,
                "starved",
                "there is no endpoint to dial".to_string(),
            ),
            other => (Mark::Note, "event", format!("{other:?}")),
        }
    }

    /// A dial that succeeded is told by the connection that it made.
    fn attempt(&self, ended: &AttemptEnded) -> Option<(Mark, &'static str, String)> {
        let failure = ended.outcome.err()?;
        let mut text = self.over(ended.order.endpoint, ended.order.route);
        let _ = write!(text, ": {failure} [dial {}, ", ended.order.number);
        text += &short(ended.took);
        text.push(']');
        text += &self.then(ended.next.as_ref());
        Some((Mark::Warning, "dial failed", text))
    }

    fn put_order(&self, put: &mut impl FnMut(&str, Value), order: &DialOrder) {
        put("endpoint", self.name(order.endpoint).into());
        put("route", order.route.into());
        put("attempt", order.attempt.number().into());
        put("number", order.number.into());
        put("purpose", order.purpose.as_str().into());
    }

    fn put_link(&self, put: &mut impl FnMut(&str, Value), link: &Link) {
        put("endpoint", self.name(link.endpoint).into());
        put("route", link.route.into());
        put("attempt", link.attempt.number().into());
    }

    fn put_next(&self, put: &mut impl FnMut(&str, Value), next: Option<&Planned>) {
        let value = next.map_or(Value::Null, |next| {
            json!({
                "endpoint": self.name(next.endpoint),
                "route": next.route,
                "wait_ms": millis(next.wait),
            })
        });
        put("next", value);
    }

    fn put_event(&self, put: &mut impl FnMut(&str, Value), event: &Event) {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "the rarer ones have a match below"
        )]
        match event {
            Event::Attempt(ended) => {
                put("event", "attempt".into());
                self.put_order(put, &ended.order);
                put("took_ms", millis(ended.took));
                put("ok", ended.outcome.is_ok().into());
                if let Err(failure) = &ended.outcome {
                    put_failure(put, failure);
                }
                self.put_next(put, ended.next.as_ref());
            }
            Event::Connected(link) => {
                put("event", "connected".into());
                self.put_link(put, link);
            }
            Event::Reconnected(link) => {
                put("event", "reconnected".into());
                self.put_link(put, link);
            }
            Event::FailedOver { to, from } => {
                put("event", "failed-over".into());
                self.put_link(put, to);
                put("from", self.name(*from).into());
            }
            Event::Disconnected {
                link,
                why,
                lived,
                next,
            } => {
                put("event", "disconnected".into());
                self.put_link(put, link);
                put("lived_ms", millis(*lived));
                match why {
                    Why::Lost(failure) => put_failure(put, failure),
                    Why::Left(_) | Why::ByUser | _ => put("reason", reason(why).into()),
                }
                self.put_next(put, next.as_ref());
            }
            Event::Suspended { endpoint, until } => {
                put("event", "suspended".into());
                put("endpoint", self.name(*endpoint).into());
                put("until_ms", millis_at(*until));
            }
            Event::Closed(why) => {
                put("event", "closed".into());
                put("reason", why.to_string().into());
            }
            other => self.put_rarer_event(put, other),
        }
    }

    fn put_rarer_event(&self, put: &mut impl FnMut(&str, Value), event: &Event) {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "the others are told elsewhere"
        )]
        match event {
            Event::SessionGone => put("event", "session-gone".into()),
            Event::Switching { from, why } => {
                put("event", "switching".into());
                self.put_link(put, from);
                put("reason", why.as_str().into());
            }
            Event::Moved { to, from, why } => {
                put("event", "moved".into());
                self.put_link(put, to);
                put("from", self.name(*from).into());
                put("reason", why.as_str().into());
            }
            Event::Draining { link, after } => {
                put("event", "draining".into());
                self.put_link(put, link);
                put("after_ms", millis(*after));
            }
            Event::SpareReady(link) => {
                put("event", "spare-ready".into());
                self.put_link(put, link);
            }
            Event::SpareLost { link, failure } => {
                put("event", "spare-lost".into());
                self.put_link(put, link);
                put_failure(put, failure);
            }
            Event::Starved => put("event", "starved".into()),
            other => put("event", format!("{other:?}").into()),
        }
    }
}

fn reason(why: &Why) -> String {
    match why {
        Why::Lost(failure) => failure.to_string(),
        Why::Left(what_for) => format!("left ({})", what_for.as_str()),
        Why::ByUser => "closed by the user".to_string(),
        other => format!("{other:?}"),
    }
}

fn put_failure(put: &mut impl FnMut(&str, Value), failure: &Failure) {
    put("reason", failure.to_string().into());
    put("kind", failure.kind.as_str().into());
    put("scope", failure.scope.as_str().into());
    put("phase", json!(failure.phase.map(|phase| phase.as_str())));
    if let Some(code) = failure.code {
        put("code", code.into());
    }
    if let Some(after) = failure.retry_after {
        put("retry_after_ms", millis(after));
    }
}
