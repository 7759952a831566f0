//! What servers do, span by span.

use std::time::Duration;

use failover_core::config::Word;
use failover_core::failure::{Failure, Kind, Phase, Scope};
use failover_core::machine::Verdict;
use failover_core::policy::Ratio;
use failover_core::sim::{Deed, Meets, Part};
use failover_core::time::Time;
use toml::Spanned;

use super::error::told;
use super::raw::RawSpan;
use super::{Act, Named, Reader, ScenarioError, What, word};
use crate::timeline::short;

/// What a span may say, and which keys belong to it beside `endpoint`, `endpoints`.
struct Does {
    word: &'static str,
    when: When,
    needs: &'static [&'static str],
    may: &'static [&'static str],
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum When {
    /// From here to there; dials meet something else.
    Dials,
    /// From here to there; it can take more or less.
    Capacity,
    /// At one time.
    Once,
}

const DOES: &[Does] = &[
    does("accept", When::Dials, &[], &["after", "route", "clients"]),
    does(
        "accept-and-drop",
        When::Dials,
        &["lives"],
        &[
            "after", "route", "clients", "kind", "code", "scope", "verdict",
        ],
    ),
    does("refuse", When::Dials, &[], &["after", "route", "clients"]),
    does(
        "down",
        When::Dials,
        &[],
        &["after", "clients", "kind", "code", "verdict"],
    ),
    does("time-out", When::Dials, &["after"], &["route", "clients"]),
    does(
        "mute",
        When::Dials,
        &[],
        &["route", "clients", "noticed_after"],
    ),
    does(
        "reject",
        When::Dials,
        &[],
        &[
            "after",
            "route",
            "clients",
            "kind",
            "code",
            "scope",
            "retry_after",
        ],
    ),
    does(
        "tls-error",
        When::Dials,
        &[],
        &["after", "route", "clients", "scope"],
    ),
    does(
        "busy",
        When::Dials,
        &["retry_after"],
        &["after", "route", "clients"],
    ),
    does("lame-duck", When::Dials, &["to"], &[]),
    does(
        "capacity",
        When::Capacity,
        &[],
        &["connections", "work", "queue"],
    ),
    does(
        "drop",
        When::Once,
        &[],
        &["clients", "kind", "code", "scope", "verdict"],
    ),
    does("push", When::Once, &["list"], &[]),
];

const fn does(
    word: &'static str,
    when: When,
    needs: &'static [&'static str],
    may: &'static [&'static str],
) -> Does {
    Does {
        word,
        when,
        needs,
        may,
    }
}

const VERDICTS: &[(&str, Verdict)] = &[
    ("as-policy", Verdict::AsPolicy),
    ("retry", Verdict::Retry),
    ("next", Verdict::Next),
    ("suspend", Verdict::Suspend),
    ("remove", Verdict::Remove),
    ("stop", Verdict::Stop),
];

/// The numbers of Synapse and what they mean here.
const CODES: &[(u32, Kind)] = &[
    (101_000, Kind::Reset),
    (101_001, Kind::Reset),
    (101_500, Kind::Reset),
    (101_501, Kind::Reset),
    (101_503, Kind::Refused),
    (101_504, Kind::Timeout),
    (101_505, Kind::Closed),
    (101_506, Kind::Protocol),
    (101_507, Kind::Cancelled),
    (101_508, Kind::Timeout),
    (303_000, Kind::NoneReady),
];

/// All clients, where a percentage was read as millionths.
const ALL_CLIENTS: u32 = 100 * 1_000_000;

/// A span that holds on one endpoint.
struct Holds {
    server: usize,
    route: Option<u8>,
    /// Only this part of the clients.
    part: Option<Part>,
    when: When,
    from: Time,
    to: Time,
    line: usize,
}

impl Reader<'_> {
    pub(super) fn acts(
        &self,
        spans: &[Spanned<RawSpan>],
        endpoints: &[Named],
    ) -> Result<Vec<Act>, ScenarioError> {
        let mut held: Vec<Holds> = Vec::new();
        let mut ends = Vec::new();
        let mut begins = Vec::new();
        for span in spans {
            let place = span.span().start;
            let span = span.get_ref();
            let does = self.does(span)?;
            let (from, to) = self.times(span, does)?;
            let part = self.part(span)?;
            for server in self.servers(span, place, endpoints)? {
                let holds = Holds {
                    server,
                    route: span.route.as_ref().map(|route| *route.get_ref()),
                    part,
                    when: does.when,
                    from,
                    to,
                    line: self.source.line(place),
                };
                self.fits(&held, &holds, span, endpoints)?;
                self.begin(span, does, &holds, endpoints, &mut begins)?;
                if to < Time::MAX {
                    end(does, &holds, endpoints, &mut ends);
                }
                held.push(holds);
            }
        }
        // At one time: what ends is over, then what begins has begun, then connections are lost.
        ends.extend(begins);
        ends.sort_by_key(|act| (act.at, rank(&act.deed)));
        Ok(ends)
    }

    /// What it does, with no key too few or too many.
    fn does(&self, span: &RawSpan) -> Result<&'static Does, ScenarioError> {
        let words: Vec<(&'static str, &Does)> = DOES.iter().map(|d| (d.word, d)).collect();
        let given = span.does.get_ref();
        let place = span.does.span().start;
        let does =
            word(&words, given).map_err(|what| self.source.wrong(place, "world.does", what))?;
        let times: &[&str] = match does.when {
            When::Dials | When::Capacity => &["from", "to"],
            When::Once => &["at"],
        };
        let keys = span.keys();
        for (key, at) in &keys {
            if !does.needs.contains(key) && !does.may.contains(key) && !times.contains(key) {
                let what = format!("{given:?} has no such key");
                return Err(self.source.wrong(*at, &format!("world.{key}"), what));
            }
        }
        let needs = times.iter().take(1).chain(does.needs);
        for key in needs {
            if !keys.iter().any(|(there, _)| there == key) {
                let what = format!("{given:?} needs it");
                return Err(self.source.wrong(place, &format!("world.{key}"), what));
            }
        }
        if does.word == "reject" && span.kind.is_none() && span.code.is_none() {
            let what = "\"reject\" needs a kind, or a numeric code";
            return Err(self.source.wrong(place, "world.kind", what));
        }
        Ok(does)
    }

    fn times(&self, span: &RawSpan, does: &Does) -> Result<(Time, Time), ScenarioError> {
        if does.when == When::Once {
            let at = self.time("world.at", span.at.as_ref())?.unwrap_or_default();
            return Ok((at, Time::MAX));
        }
        let from = self
            .time("world.from", span.from.as_ref())?
            .unwrap_or_default();
        let to = self
            .time("world.to", span.to.as_ref())?
            .unwrap_or(Time::MAX);
        if to <= from {
            let place = span.to.as_ref().map_or(0, |to| to.span().start);
            let what = format!("times are out of order: from {from:?} to {to:?}");
            return Err(self.source.wrong(place, "world.to", what));
        }
        Ok((from, to))
    }

    /// The part of the clients that a span is about, if not all.
    fn part(&self, span: &RawSpan) -> Result<Option<Part>, ScenarioError> {
        let Some(clients) = &span.clients else {
            return Ok(None);
        };
        let wrong = |what: String| {
            let place = clients.span().start;
            Err(self.source.wrong(place, "world.clients", what))
        };
        if span.route.is_some() {
            return wrong(
                "a part of the clients meets the same on every route: write `route` or `clients`"
                    .into(),
            );
        }
        let text = clients.get_ref();
        let percent = |text: &str| {
            let number = text.trim().strip_suffix('%')?.trim().parse();
            let number = number.ok().map(Ratio::ppm)?;
            (number <= ALL_CLIENTS).then(|| Ratio::from_ppm(number / 100))
        };
        let part = match text.split_once('-') {
            None => percent(text).map(|to| (Ratio::ZERO, to)),
            Some((from, to)) => percent(from).zip(percent(to)),
        };
        match part {
            Some((from, to)) if from.ppm() < to.ppm() => Ok(Some(Part::first(to).after(from))),
            Some(_) | None => wrong(format!(
                "{:?} is no part of the clients: write a percentage above 0 and up to 100, such as \"30%\", or from one to another, such as \"30%-50%\"",
                told(text)
            )),
        }
    }

    fn servers(
        &self,
        span: &RawSpan,
        place: usize,
        endpoints: &[Named],
    ) -> Result<Vec<usize>, ScenarioError> {
        let names: Vec<_> = span.endpoint.iter().chain(&span.endpoints).collect();
        let mut servers = Vec::new();
        for name in &names {
            let server = self.named("world.endpoint", name)?;
            let routes = endpoints.get(server).map_or(0, |named| named.routes.len());
            if let Some(route) = &span.route
                && usize::from(*route.get_ref()) >= routes
            {
                let what = format!("routes are numbered from 0, and this endpoint has {routes}");
                let place = route.span().start;
                return Err(self.source.wrong(place, "world.route", what));
            }
            servers.push(server);
        }
        if let (true, Some(route)) = (names.is_empty(), &span.route) {
            let place = route.span().start;
            let what = "a route belongs to an endpoint: name it";
            return Err(self.source.wrong(place, "world.route", what));
        }
        if names.is_empty() {
            servers.extend(0..endpoints.len());
        }
        servers.sort_unstable();
        if servers.windows(2).any(|two| two[0] == two[1]) {
            let what = "an endpoint is named twice";
            return Err(self.source.wrong(place, "world.endpoints", what));
        }
        Ok(servers)
    }

    /// Refuses a span that begins before an earlier one, or contradicts it.
    fn fits(
        &self,
        held: &[Holds],
        holds: &Holds,
        span: &RawSpan,
        endpoints: &[Named],
    ) -> Result<(), ScenarioError> {
        let name = endpoints.get(holds.server).map_or("", |named| &named.name);
        let start = span.from.as_ref().or(span.at.as_ref());
        let place = start.map_or(0, |start| start.span().start);
        let key = match holds.when {
            When::Dials | When::Capacity => "world.from",
            When::Once => "world.at",
        };
        let own = held.iter().filter(|other| {
            (other.server, other.when, other.route, other.part.is_some())
                == (holds.server, holds.when, holds.route, holds.part.is_some())
        });
        for other in own {
            if other.from > holds.from {
                let what = format!(
                    "times are out of order: {name} did something at {:?} in line {} already",
                    other.from, other.line
                );
                return Err(self.source.wrong(place, key, what));
            }
            if holds.when != When::Once && holds.from < other.to {
                let what = format!(
                    "the world contradicts itself: what {name} does in line {} lasts until {:?}",
                    other.line, other.to
                );
                return Err(self.source.wrong(place, key, what));
            }
        }
        Ok(())
    }

    /// Adds what a span does at its beginning, and in it.
    fn begin(
        &self,
        span: &RawSpan,
        does: &Does,
        holds: &Holds,
        endpoints: &[Named],
        acts: &mut Vec<Act>,
    ) -> Result<(), ScenarioError> {
        let server = holds.server;
        let name = endpoints.get(server).map_or("", |named| &named.name);
        let failure = self.failure(span, does)?;
        let verdict = self.word("world.verdict", VERDICTS, &span.verdict)?;
        let lose = |failure, verdict| match holds.part {
            None => Deed::Drop(failure, verdict),
            Some(part) => Deed::PartDrop(part, failure, verdict),
        };
        let lost = lose(failure, verdict.unwrap_or_default());
        let (more, deed) = match does.word {
            "push" => self.pushed(span)?,
            "capacity" => (String::new(), What::Deed(self.capacity_of(span)?)),
            "drop" => (format!(" ({failure})"), What::Deed(lost)),
            _ => {
                let verdict = verdict.unwrap_or_default();
                let usual = endpoints.get(server).map_or(Duration::ZERO, |n| n.latency);
                let (meets, more) = self.meets(span, does, failure, verdict, usual)?;
                let deed = match (holds.part, holds.route) {
                    (Some(part), _) => Deed::PartMeets(part, Some(meets)),
                    (None, None) => Deed::Meets(meets),
                    (None, Some(route)) => Deed::RouteMeets(route, Some(meets)),
                };
                (more, What::Deed(deed))
            }
        };
        let act = |at, words, deed| Act {
            at,
            server,
            words,
            deed,
        };
        let to_whom = match &span.clients {
            None => String::new(),
            Some(part) => format!(" to {} of the clients", part.get_ref()),
        };
        let words = Some(format!("{name}: {}{more}{to_whom}", does.word));
        acts.push(act(holds.from, words, deed));
        match does.word {
            "down" => acts.push(act(holds.from, None, What::Deed(lost))),
            "lame-duck" => {
                acts.push(act(holds.from, None, What::Deed(Deed::Drain)));
                let closed = Deed::Drop(Failure::new(Kind::Closed), Verdict::AsPolicy);
                acts.push(act(holds.to, None, What::Deed(closed)));
            }
            _ => {}
        }
        let noticed = self.duration("world.noticed_after", span.noticed_after.as_ref())?;
        if let Some(after) = noticed {
            let stale = Failure::new(Kind::Stale).at(Phase::Session);
            let lost = lose(stale, Verdict::AsPolicy);
            let at = holds.from + after;
            if at >= holds.to {
                let what = "by then it is not mute any more";
                let place = span.noticed_after.as_ref().map_or(0, |n| n.span().start);
                return Err(self.source.wrong(place, "world.noticed_after", what));
            }
            acts.push(act(at, None, What::Deed(lost)));
        }
        Ok(())
    }

    fn pushed(&self, span: &RawSpan) -> Result<(String, What), ScenarioError> {
        let list = span.list.as_deref().unwrap_or(&[]);
        let servers: Result<Vec<usize>, _> = list
            .iter()
            .map(|name| self.named("world.list", name))
            .collect();
        let names: Vec<&str> = list.iter().map(|name| name.get_ref().as_str()).collect();
        Ok((format!(" {}", names.join(", ")), What::Push(servers?)))
    }

    fn capacity_of(&self, span: &RawSpan) -> Result<Deed, ScenarioError> {
        let (work, queue) = (span.work.as_ref(), span.queue.as_ref());
        self.capacity("world", span.connections.as_ref(), work, queue)
            .map(Deed::Capacity)
    }

    /// What dials meet, and what is to be said of it.
    fn meets(
        &self,
        span: &RawSpan,
        does: &Does,
        failure: Failure,
        verdict: Verdict,
        usual: Duration,
    ) -> Result<(Meets, String), ScenarioError> {
        let after = self
            .duration("world.after", span.after.as_ref())?
            .unwrap_or(usual);
        let in_time = if after.is_zero() {
            String::new()
        } else {
            format!(" after {}", short(after))
        };
        Ok(match does.word {
            "accept" => (Meets::Accept { after }, in_time),
            "accept-and-drop" => {
                let lives = self.duration("world.lives", span.lives.as_ref())?;
                let lives = lives.unwrap_or_default();
                let meets = Meets::AcceptAndDrop {
                    after,
                    lives,
                    failure,
                    verdict,
                };
                (meets, format!(" after {} ({failure})", short(lives)))
            }
            "mute" => (Meets::Mute, String::new()),
            "down" | "refuse" => (
                Meets::fail(after, Failure::new(Kind::Refused).at(Phase::Connect)),
                in_time,
            ),
            _ => (
                Meets::fail(after, failure),
                format!("{in_time} ({failure})"),
            ),
        })
    }

    /// The failure that a span speaks of; the usual one of its deed, where it says nothing.
    fn failure(&self, span: &RawSpan, does: &Does) -> Result<Failure, ScenarioError> {
        let usual = match does.word {
            "time-out" => Failure::new(Kind::Timeout).at(Phase::Connect),
            "tls-error" => Failure::new(Kind::Tls)
                .at(Phase::Tls)
                .scope(Scope::Endpoint),
            "busy" => Failure::new(Kind::Upgrade).at(Phase::Upgrade).code(503),
            "lame-duck" => Failure::new(Kind::Draining).at(Phase::Login),
            "reject" => Failure::new(Kind::Other).at(Phase::Login),
            _ => Failure::new(Kind::Reset),
        };
        let mut failure = usual;
        if let Some(code) = &span.code {
            let code = *code.get_ref();
            failure = failure.code(code);
            let known = CODES.iter().find(|(known, _)| *known == code);
            failure.kind = known.map_or(Kind::Other, |(_, kind)| *kind);
        }
        if let Some(kind) = self.word("world.kind", Kind::WORDS, &span.kind)? {
            failure.kind = kind;
        }
        if failure.kind == Kind::Auth {
            failure.scope = Scope::Endpoint;
        }
        if let Some(scope) = self.word("world.scope", Scope::WORDS, &span.scope)? {
            failure.scope = scope;
        }
        if let Some(after) = self.duration("world.retry_after", span.retry_after.as_ref())? {
            failure = failure.retry_after(after);
        }
        Ok(failure)
    }
}

/// What is done first at one time.
fn rank(what: &What) -> u8 {
    match what {
        What::Deed(Deed::Drop(..) | Deed::PartDrop(..) | Deed::Drain) | What::Push(_) => 1,
        What::Deed(_) => 0,
    }
}

/// What was before the span is again.
fn end(does: &Does, holds: &Holds, endpoints: &[Named], acts: &mut Vec<Act>) {
    let Some(named) = endpoints.get(holds.server) else {
        return;
    };
    let usual = Meets::Accept {
        after: named.latency,
    };
    let (word, deed) = match (does.when, holds.part, holds.route) {
        (When::Once, _, _) => return,
        (When::Capacity, _, _) => ("its usual capacity", Deed::Capacity(named.server.capacity)),
        (When::Dials, Some(part), _) => ("the same to all clients", Deed::PartMeets(part, None)),
        (When::Dials, None, None) => ("accept", Deed::Meets(usual)),
        (When::Dials, None, Some(route)) => ("accept", Deed::RouteMeets(route, None)),
    };
    acts.push(Act {
        at: holds.to,
        server: holds.server,
        words: Some(format!("{}: {word}", named.name)),
        deed: What::Deed(deed),
    });
}
