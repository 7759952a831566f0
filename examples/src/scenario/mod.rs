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

use failover_core::config::{FormError, PolicyForm, nearest, parse_duration};
use failover_core::directory::{Directory, Endpoint, Url};
use failover_core::endpoint::{EndpointId, Security, Traits};
use failover_core::link::LinkPolicy;
use failover_core::policy::{Limit, Policy, Seed};
use failover_core::preset::PresetName;
use failover_core::sim::{Capacity, Deed, Fleet, Meets, Server, Whom, Word};
use failover_core::time::Time;
use toml::Spanned;

pub use self::command::numbered;
pub use self::error::ScenarioError;
use self::error::told;
pub(crate) use self::error::{Source, other_version, plain};
use self::raw::{Raw, RawServer, Text};
pub use failover_core::config::VERSION;

/// The most clients of one scenario: they are numbered in 32 bits. Whether so many fit into memory is
/// asked before they are made ([`check_memory`](crate::herd::check_memory)).
pub const MOST_CLIENTS: u32 = u32::MAX;

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
    /// What every client does over its connection. Not enforced yet.
    pub link: LinkPolicy,
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

    /// The same world, its clients under this policy.
    #[must_use]
    pub fn under(&self, policy: Policy) -> Self {
        Self {
            policy,
            ..self.clone()
        }
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

impl Named {
    fn of(endpoint: &Endpoint) -> Self {
        let own = endpoint.overrides();
        let mut traits = Traits::new(EndpointId::new(0))
            .tier(own.tier)
            .weight(own.weight)
            .class(own.class);
        for route in endpoint.routes() {
            traits = traits.route(security(route));
        }
        if let Some(deadline) = own.deadline {
            traits = traits.deadline(deadline);
        }
        Self {
            name: endpoint.name().to_string(),
            routes: endpoint.routes().iter().map(Url::to_string).collect(),
            server: Server::new(traits),
            latency: Duration::ZERO,
        }
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
        self.source.version(&raw.version)?;
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
        let at = |span: Option<std::ops::Range<usize>>| span.map_or(0, |span| span.start);
        let policy_at = at(raw.policy.as_ref().map(Spanned::span));
        let form = raw.policy.as_ref().map(Spanned::get_ref);
        let policy = form.map_or_else(|| Ok(Policy::default()), PolicyForm::policy);
        let policy = policy.map_err(|error| self.policy_error(policy_at, &error))?;
        let preset = form.and_then(|form| form.preset);
        let link = self.link(preset.map_or(PresetName::Default, |name| name.0), &raw)?;
        let until = self.time("until", Some(&raw.until))?.unwrap_or_default();
        let endpoints = self.endpoints(&raw, policy.classes().len())?;
        Ok(Scenario {
            about: raw.about.trim().to_string(),
            preset: preset.map(|name| name.0.as_str().to_string()),
            policy,
            link,
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

    fn link(&self, preset: PresetName, raw: &Raw) -> Result<LinkPolicy, ScenarioError> {
        let base = preset.preset().map_err(FormError::from);
        let base = base.map_err(|error| self.policy_error(0, &error))?.link;
        let Some(form) = &raw.link else {
            return Ok(base);
        };
        form.get_ref().link(base).map_err(|error| {
            let at = form.span().start;
            self.source.in_table(at, "link", &error.to_string())
        })
    }

    /// What is wrong with the policy, whose table begins here.
    fn policy_error(&self, at: usize, error: &FormError) -> ScenarioError {
        self.source.in_table(at, "policy", &error.to_string())
    }

    /// The endpoints in the order of the file, with what their servers are like.
    fn endpoints(&mut self, raw: &Raw, classes: usize) -> Result<Vec<Named>, ScenarioError> {
        let mut all = Vec::new();
        for form in &raw.endpoints {
            let at = form.span().start;
            let wrong = |key, what: String| Err(self.source.wrong(at, key, what));
            let endpoint = match form.get_ref().endpoint() {
                Ok(endpoint) => endpoint,
                Err(error) => return wrong("endpoints", error.to_string()),
            };
            let class = endpoint.overrides().class;
            if usize::from(class) > classes {
                let what =
                    format!("there is no class {class}: the policy has {classes}, numbered from 1");
                return wrong("endpoints.class", what);
            }
            if self.names.contains_key(endpoint.name()) {
                let what = format!(
                    "each endpoint has a name of its own, and {:?} is taken",
                    endpoint.name()
                );
                return wrong("endpoints.name", what);
            }
            self.names.insert(endpoint.name().to_string(), all.len());
            all.push(endpoint);
        }
        let mut named: Vec<Named> = all.iter().map(Named::of).collect();
        let at = raw.endpoints.first().map_or(0, |form| form.span().start);
        if let Err(error) = Directory::new(all) {
            return Err(self.source.wrong(at, "endpoints", error.to_string()));
        }
        for (name, raw) in &raw.servers {
            let server = self.known("servers", name, raw.span().start)?;
            if let Some(named) = named.get_mut(server) {
                self.server(raw.get_ref(), named)?;
            }
        }
        if !named.iter().any(|named| named.server.configured) {
            let what = "there must be at least one that is listed from the start";
            return Err(self.source.wrong(at, "endpoints", what));
        }
        Ok(named)
    }

    fn server(&self, raw: &RawServer, named: &mut Named) -> Result<(), ScenarioError> {
        let (work, queue) = (raw.work.as_ref(), raw.queue.as_ref());
        let capacity = self.capacity("servers", raw.connections.as_ref(), work, queue)?;
        named.server = named.server.capacity(capacity);
        if raw.listed == Some(false) {
            named.server = named.server.unlisted();
        }
        if let Some(latency) = self.duration("servers.latency", raw.latency.as_ref())? {
            named.latency = latency;
        }
        Ok(())
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
            if *connections.get_ref() == 0 {
                let at = connections.span().start;
                let what = "a server that holds no connection is one that refuses: let it `refuse`, or give it at least 1";
                let key = format!("{table}.connections");
                return Err(self.source.wrong(at, &key, what));
            }
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
        self.known(key, name.get_ref(), name.span().start)
    }

    fn known(&self, key: &str, typed: &str, at: usize) -> Result<usize, ScenarioError> {
        self.names.get(typed).copied().ok_or_else(|| {
            let known: Vec<&str> = self.names.keys().map(String::as_str).collect();
            let near = nearest(typed, known.iter().copied());
            let hint = near.map_or(String::new(), |near| format!(" (did you mean {near:?}?)"));
            let shown = known.get(..20).map_or_else(
                || known.join(", "),
                |some| format!("{} and more", some.join(", ")),
            );
            let typed = told(typed);
            let what = format!("no endpoint is called {typed:?}{hint}; there are {shown}");
            self.source.wrong(at, key, what)
        })
    }

    fn duration(
        &self,
        key: &str,
        given: Option<&Spanned<String>>,
    ) -> Result<Option<Duration>, ScenarioError> {
        given
            .map(|given| {
                let place = given.span().start;
                parse_duration(given.get_ref())
                    .map_err(|error| self.source.wrong(place, key, error.to_string()))
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
        let found = word(words, given.get_ref());
        found
            .map(Some)
            .map_err(|what| self.source.wrong(given.span().start, key, what))
    }
}

/// What a word stands for, or which words there are.
fn word<T: Copy>(words: &[(&'static str, T)], text: &str) -> Result<T, String> {
    let found = words.iter().find(|(word, _)| *word == text);
    found.map(|(_, value)| *value).ok_or_else(|| {
        let all: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let near = nearest(text, all.iter().copied());
        let hint = near.map_or(String::new(), |near| format!(" (did you mean {near:?}?)"));
        format!("{:?} is none of {}{hint}", told(text), all.join(", "))
    })
}
