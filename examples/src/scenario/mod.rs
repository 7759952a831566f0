//! A scenario: a policy, endpoints, clients, and a world that does things to them.
//!
//! `docs/scenario.md` is its reference. [`Scenario::parse`] reads one, all or nothing;
//! [`simulate`](crate::simulate) plays it.

mod command;
mod error;
mod raw;
mod span;

use std::collections::BTreeMap;
use std::time::Duration;

use failover_core::directory::{Url, UrlError};
use failover_core::endpoint::{EndpointId, MAX_ROUTES, Security, Traits};
use failover_core::policy::{Limit, Policy, Seed};
use failover_core::sim::{Capacity, Deed, Fleet, Meets, Server, Whom, Word};
use failover_core::time::Time;
use toml::{Spanned, Table};

pub use self::error::ScenarioError;
pub(crate) use self::error::Source;
use self::raw::{Raw, RawEndpoint, Text};
use crate::{form, span as text};

/// The version of the format that this tool reads.
pub const VERSION: u32 = 1;
/// The most clients of one scenario.
pub const MOST_CLIENTS: u32 = 1_000_000;

/// A scenario without contradictions.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Scenario {
    /// What it shows.
    pub about: String,
    /// The preset that its policy is made of, if it names one.
    pub preset: Option<String>,
    /// The policy of every client.
    pub policy: Policy,
    /// The seed of the first client, from which all others follow.
    pub seed: Seed,
    /// How many clients there are.
    pub clients: usize,
    /// Over which time they start.
    pub start_over: Duration,
    /// When it ends.
    pub until: Time,
    /// The servers.
    pub endpoints: Vec<Named>,
    /// What the servers do, in order of time.
    pub acts: Vec<Act>,
    /// What the users say, in order of time.
    pub commands: Vec<Command>,
}

/// A server with its name.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Named {
    /// Its name.
    pub name: String,
    /// Its routes, as they are written.
    pub routes: Vec<String>,
    /// What it is.
    pub server: Server,
    /// How long an ordinary dial takes.
    pub latency: Duration,
}

/// Something that a server does at some time.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Act {
    /// When.
    pub at: Time,
    /// Which server.
    pub server: usize,
    /// What, in words. Nothing, where it is only a part of what was told already.
    pub words: Option<String>,
    /// What.
    pub deed: What,
}

/// What a server does.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum What {
    /// A deed.
    Deed(Deed),
    /// It pushes this list of servers to its clients.
    Push(Vec<usize>),
}

/// Something that is said to clients at some time.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Command {
    /// When.
    pub at: Time,
    /// To whom.
    pub whom: Whom,
    /// What.
    pub word: Word,
    /// What, as it is written.
    pub words: String,
}

impl Scenario {
    /// The scenario that this text stands for; `file` is named in errors.
    ///
    /// # Errors
    /// The first thing that makes no sense, with its line and key.
    pub fn parse(file: &str, text: &str) -> Result<Self, ScenarioError> {
        let source = Source { file, text };
        let raw: Raw = toml::from_str(text).map_err(|error| source.unreadable(&error))?;
        let reader = Reader {
            source,
            names: BTreeMap::new(),
        };
        reader.scenario(raw)
    }

    /// Its world, with everything planned and every client told to start.
    #[must_use]
    pub fn fleet(&self) -> Fleet {
        let servers = self.endpoints.iter().map(|named| named.server).collect();
        let mut fleet = Fleet::new(self.policy.clone(), servers, self.clients, self.seed);
        for (server, named) in self.endpoints.iter().enumerate() {
            let usual = Meets::Accept {
                after: named.latency,
            };
            fleet.deed(Time::ZERO, server, Deed::Meets(usual));
        }
        for act in &self.acts {
            match &act.deed {
                What::Deed(deed) => fleet.deed(act.at, act.server, *deed),
                What::Push(list) => fleet.push(act.at, act.server, list.iter().copied()),
            }
        }
        for command in &self.commands {
            fleet.word(command.at, command.whom, command.word);
        }
        fleet.start_over(self.start_over);
        fleet
    }
}

fn security(url: &Url) -> Security {
    match url.scheme() {
        "tls" | "wss" | "https" | "ssl" => Security::Tls,
        _ => Security::Plain,
    }
}

/// Reads a scenario; knows the names of its endpoints.
struct Reader<'a> {
    source: Source<'a>,
    names: BTreeMap<String, usize>,
}

impl Reader<'_> {
    fn scenario(mut self, raw: Raw) -> Result<Scenario, ScenarioError> {
        if *raw.version.get_ref() != VERSION {
            let what = format!(
                "this tool reads version {VERSION}, not {}",
                raw.version.get_ref()
            );
            return Err(self.source.wrong(raw.version.span().start, "version", what));
        }
        let clients = match &raw.clients {
            None => 1,
            Some(clients) => match *clients.get_ref() {
                n @ 1..=MOST_CLIENTS => usize::try_from(n).unwrap_or(usize::MAX),
                n => {
                    let what = format!("{n} is not between 1 and {MOST_CLIENTS}");
                    return Err(self.source.wrong(clients.span().start, "clients", what));
                }
            },
        };
        let policy = self.policy(raw.preset.as_ref(), raw.policy.as_ref())?;
        let until = self.time("until", Some(&raw.until))?.unwrap_or_default();
        let mut endpoints = Vec::new();
        for endpoint in &raw.endpoint {
            let named = self.endpoint(endpoint, policy.classes().len())?;
            self.names.insert(named.name.clone(), endpoints.len());
            endpoints.push(named);
        }
        if !endpoints.iter().any(|named| named.server.configured) {
            let what = "there must be at least one that is listed from the start";
            return Err(self.source.wrong(0, "endpoint", what));
        }
        Ok(Scenario {
            about: raw.about.trim().to_string(),
            preset: raw.preset.as_ref().map(|name| name.get_ref().clone()),
            policy,
            seed: Seed::new(raw.seed.unwrap_or(1)),
            clients,
            start_over: self
                .duration("start_over", raw.start_over.as_ref())?
                .unwrap_or_default(),
            until,
            acts: self.acts(&raw.world, &endpoints)?,
            commands: self.commands(&raw.command, clients)?,
            endpoints,
        })
    }

    fn policy(
        &self,
        preset: Option<&Spanned<String>>,
        own: Option<&Spanned<Table>>,
    ) -> Result<Policy, ScenarioError> {
        let name = preset.map(|name| name.get_ref().as_str());
        let none = Table::new();
        let table = own.map_or(&none, |own| own.get_ref());
        form::policy(name, table).map_err(|error| {
            if error.key == "preset" {
                let at = preset.map_or(0, |preset| preset.span().start);
                return self.source.wrong(at, "preset", error.what);
            }
            let at = own.map_or(0, |own| own.span().start);
            self.source.in_policy(at, &error)
        })
    }

    fn endpoint(&self, raw: &Spanned<RawEndpoint>, classes: usize) -> Result<Named, ScenarioError> {
        let at = raw.span().start;
        let raw = raw.get_ref();
        let routes: Vec<&Spanned<String>> = raw.url.iter().chain(&raw.routes).collect();
        let Some(first) = routes.first() else {
            let what = "it needs a url, such as \"tcp://a:4222\", or routes, a list of them";
            return Err(self.source.wrong(at, "endpoint.url", what));
        };
        if routes.len() > MAX_ROUTES {
            let what = format!("at most {MAX_ROUTES}");
            return Err(self.source.wrong(at, "endpoint.routes", what));
        }
        let mut traits = Traits::new(EndpointId::new(0)).tier(raw.tier.unwrap_or(0));
        let mut written = Vec::new();
        let mut name = String::new();
        for route in &routes {
            let url = self.url(route)?;
            if name.is_empty() {
                name = url.authority();
            }
            traits = traits.route(security(&url));
            written.push(url.to_string());
        }
        if let Some(given) = &raw.name {
            name.clone_from(given.get_ref());
        }
        let named_at = raw.name.as_ref().unwrap_or(first).span().start;
        if name.is_empty() || self.names.contains_key(&name) {
            let what = format!("each endpoint has a name of its own, and {name:?} is taken");
            return Err(self.source.wrong(named_at, "endpoint.name", what));
        }
        if let Some(weight) = &raw.weight {
            traits = traits.weight(*weight.get_ref());
        }
        if let Some(class) = &raw.class {
            if usize::from(*class.get_ref()) > classes {
                let what = format!("the policy has {classes} classes, numbered from 1");
                return Err(self
                    .source
                    .wrong(class.span().start, "endpoint.class", what));
            }
            traits = traits.class(*class.get_ref());
        }
        if let Some(deadline) = self.duration("endpoint.deadline", raw.deadline.as_ref())? {
            traits = traits.deadline(deadline);
        }
        let capacity = self.capacity(
            "endpoint",
            raw.connections.as_ref(),
            raw.work.as_ref(),
            raw.queue.as_ref(),
        )?;
        let server = Server::new(traits).capacity(capacity);
        Ok(Named {
            name,
            routes: written,
            server: match raw.listed {
                Some(false) => server.unlisted(),
                Some(true) | None => server,
            },
            latency: self
                .duration("endpoint.latency", raw.latency.as_ref())?
                .unwrap_or_default(),
        })
    }

    fn url(&self, route: &Spanned<String>) -> Result<Url, ScenarioError> {
        route.get_ref().parse().map_err(|error: UrlError| {
            let what = crate::timeline::chain(&error);
            self.source.wrong(route.span().start, "endpoint.url", what)
        })
    }

    fn capacity(
        &self,
        table: &str,
        connections: Option<&Spanned<u32>>,
        work: Option<&Spanned<String>>,
        queue: Option<&Spanned<String>>,
    ) -> Result<Capacity, ScenarioError> {
        let mut capacity = Capacity::UNLIMITED;
        if let Some(connections) = connections {
            capacity.connections = Limit::AtMost(*connections.get_ref());
        }
        if let Some(work) = self.duration(&format!("{table}.work"), work)? {
            capacity.work = work;
        }
        if let Some(queue) = self.duration(&format!("{table}.queue"), queue)? {
            capacity.queue = queue;
        }
        Ok(capacity)
    }

    /// The number of the endpoint that is named.
    fn named(&self, key: &str, name: &Spanned<String>) -> Result<usize, ScenarioError> {
        let typed = name.get_ref();
        self.names.get(typed).copied().ok_or_else(|| {
            let known: Vec<&str> = self.names.keys().map(String::as_str).collect();
            let near = crate::near::nearest(typed, known.iter().copied());
            let hint = near.map_or(String::new(), |near| format!(" (did you mean {near:?}?)"));
            let shown = known.get(..20).map_or_else(
                || known.join(", "),
                |some| format!("{} and more", some.join(", ")),
            );
            let what = format!("no endpoint is called {typed:?}{hint}; there are {shown}");
            self.source.wrong(name.span().start, key, what)
        })
    }

    fn duration(
        &self,
        key: &str,
        given: Option<&Spanned<String>>,
    ) -> Result<Option<Duration>, ScenarioError> {
        given
            .map(|given| {
                text::duration(given.get_ref()).map_err(|what| {
                    let what = format!("{:?}: {what}", given.get_ref());
                    self.source.wrong(given.span().start, key, what)
                })
            })
            .transpose()
    }

    fn time(
        &self,
        key: &str,
        given: Option<&Spanned<String>>,
    ) -> Result<Option<Time>, ScenarioError> {
        Ok(self
            .duration(key, given)?
            .map(|duration| Time::ZERO + duration))
    }

    /// One of these words.
    fn word<T: Copy>(
        &self,
        key: &str,
        words: &[(&'static str, T)],
        given: &Text,
    ) -> Result<Option<T>, ScenarioError> {
        let Some(given) = given else {
            return Ok(None);
        };
        let found = form::word(words, given.get_ref());
        found
            .map(Some)
            .map_err(|what| self.source.wrong(given.span().start, key, what))
    }
}
