//! Other systems' options as our TOML, and what has no equal.

mod options;
mod server;
mod synapse;

use std::fmt;

use failover_core::config::{
    ConfigError, Deployment, EndpointForm, FailoverUri, LinkForm, PolicyForm, ServerForm, UriError,
    VERSION, Worded,
};
use failover_core::directory::{Url, UrlError};
use failover_core::policy::PolicyError;
use failover_core::preset::{Preset, PresetName};
use serde::de::IgnoredAny;
use thiserror::Error;
use toml::{Table, Value};

/// The systems that can be migrated from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum System {
    /// nats.go: `Option=value`, one a line.
    Nats,
    /// stompit: a failover URI.
    Stompit,
    /// ActiveMQ: a failover URI.
    ActiveMq,
    /// Synapse: the XML of an endpoint.
    Synapse,
    /// Diffusion: `option=value`, one a line.
    Diffusion,
}

/// What became of another system's options.
#[derive(Clone, Debug, PartialEq)]
pub struct Migrated {
    /// Our file, with what has no equal as comments on top.
    pub toml: String,
    /// What has no equal, or not quite one.
    pub notes: Vec<String>,
}

/// Why nothing came of it.
#[derive(Debug, Error)]
pub enum MigrateError {
    /// The failover URI.
    #[error(transparent)]
    Uri(#[from] UriError),
    /// A server's URL.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// A value that no policy may have.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// The deployment that came of it is none.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// It could not be written.
    #[error("it cannot be written as TOML: {0}")]
    Write(#[from] toml::ser::Error),
    /// A line, an option or an element that makes no sense.
    #[error("{place}: {problem}")]
    Input {
        /// Where.
        place: String,
        /// What is wrong, and what would be right.
        problem: String,
    },
}

impl MigrateError {
    fn input(place: impl fmt::Display, problem: impl fmt::Display) -> Self {
        Self::Input {
            place: place.to_string(),
            problem: problem.to_string(),
        }
    }
}

/// Turns another system's options into our TOML.
///
/// ```
/// use examples::migrate::{System, migrate};
///
/// let migrated = migrate(System::Stompit, "failover:(tcp://a:61613,ssl://b:61614)?maxReconnects=10")?;
/// assert!(migrated.toml.contains("preset = \"stompit\""));
/// assert!(migrated.toml.contains("per_endpoint = 10"));
/// assert!(migrated.toml.contains("tls://b:61614"));
/// # Ok::<(), examples::migrate::MigrateError>(())
/// ```
///
/// # Errors
/// The first thing in the text that makes no sense. Credentials are not in it.
pub fn migrate(from: System, text: &str) -> Result<Migrated, MigrateError> {
    match from {
        System::Stompit => {
            let uri: FailoverUri = text.parse()?;
            let preset = uri.stompit()?.preset()?;
            Draft::of(PresetName::Stompit, preset, uri.servers())?.finish()
        }
        System::ActiveMq => activemq(text),
        System::Nats => options::nats(text)?.finish(),
        System::Diffusion => options::diffusion(text)?.finish(),
        System::Synapse => synapse::draft(text)?.finish(),
    }
}

fn activemq(text: &str) -> Result<Migrated, MigrateError> {
    let uri: FailoverUri = text.parse()?;
    let options = uri.activemq()?;
    let preset = options.preset()?;
    let mut draft = Draft::of(PresetName::ActiveMq, preset, uri.servers())?;
    let option = |name: &str| uri.options().iter().find(|(option, _)| option == name);
    if options.priority_backup {
        let preferred: FailoverUri = match option("priorityURIs") {
            Some((_, list)) => list.parse()?,
            None => uri.servers()[0].expose().parse()?,
        };
        for (server, url) in draft.servers.iter_mut().zip(uri.servers()) {
            server.tier = (!preferred.servers().contains(url)).then_some(1);
        }
    }
    for (name, why) in [
        ("warnAfterReconnectAttempts", "every attempt is an event"),
        (
            "updateURIsSupported",
            "the application hands pushed lists to the connector",
        ),
        (
            "updateURIsURL",
            "the application reads the file and hands the list to the connector",
        ),
        ("rebalanceUpdateURIs", "the application asks for a move"),
        ("reconnectSupported", "the application asks for a move"),
    ] {
        if option(name).is_some() {
            draft.note(format!("{name}: {why}"));
        }
    }
    draft.finish()
}

/// A deployment in the making.
struct Draft {
    name: PresetName,
    preset: Preset,
    servers: Vec<ServerForm<IgnoredTable>>,
    notes: Vec<String>,
}

/// Migrated servers have no table for transports.
type IgnoredTable = Table;

impl Draft {
    fn of(name: PresetName, preset: Preset, servers: &[Url]) -> Result<Self, MigrateError> {
        let mut draft = Self {
            name,
            preset,
            servers: Vec::new(),
            notes: Vec::new(),
        };
        for server in servers {
            draft.server(server)?;
        }
        Ok(draft)
    }

    fn note(&mut self, note: impl Into<String>) {
        let note = note.into();
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    /// The file. It is read again and checked before it is given out.
    fn finish(self) -> Result<Migrated, MigrateError> {
        let base = self.name.preset()?;
        let mut policy = changed(
            &Table::try_from(PolicyForm::from(&self.preset.policy))?,
            &Table::try_from(PolicyForm::from(&base.policy))?,
        );
        let mut preset = PolicyForm::default();
        preset.preset = Some(Worded(self.name));
        policy.extend(Table::try_from(preset)?);
        let link = changed(
            &Table::try_from(LinkForm::from(&self.preset.link))?,
            &Table::try_from(LinkForm::from(&base.link))?,
        );
        let servers = self.servers.into_iter().map(EndpointForm::Server);
        let mut file = Table::new();
        file.insert("version".into(), Value::Integer(VERSION.into()));
        let servers: Vec<Value> = servers.map(Value::try_from).collect::<Result<_, _>>()?;
        file.insert("endpoints".into(), Value::Array(servers));
        file.insert("policy".into(), Value::Table(policy));
        if !link.is_empty() {
            file.insert("link".into(), Value::Table(link));
        }
        let mut toml = String::new();
        for note in &self.notes {
            toml += &format!("# {note}\n");
        }
        toml += &toml::to_string(&file)?;
        let read: Deployment<IgnoredAny> = toml::from_str(&toml)
            .map_err(|error| MigrateError::input("the file that came of it", error.message()))?;
        read.check()?;
        if read.policy()? != self.preset.policy || read.link()? != self.preset.link {
            let problem = "it does not say the same: this is a bug of `migrate`";
            return Err(MigrateError::input("the file that came of it", problem));
        }
        Ok(Migrated {
            toml,
            notes: self.notes,
        })
    }
}

/// The keys that differ. Of a table in which keys stand for themselves, those of its keys that do.
fn changed(own: &Table, base: &Table) -> Table {
    const APART: [&str; 6] = [
        "order",
        "pace",
        "limits",
        "start_up_limits",
        "health",
        "standing",
    ];
    let mut changed_keys = Table::new();
    for (key, value) in own {
        let value = match (value, base.get(key)) {
            (value, Some(base)) if value == base => continue,
            (Value::Table(own), Some(Value::Table(base))) if APART.contains(&key.as_str()) => {
                Value::Table(changed(own, base))
            }
            (value, _) => value.clone(),
        };
        changed_keys.insert(key.clone(), value);
    }
    changed_keys
}
