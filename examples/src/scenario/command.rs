//! What users say to clients.

use failover_core::sim::{Whom, Word};
use failover_core::time::Time;
use toml::Spanned;

use super::raw::RawCommand;
use super::{Command, Reader, ScenarioError};

/// What a command needs to know.
#[derive(Clone, Copy)]
enum Needs {
    Nothing(Word),
    Endpoint(fn(usize) -> Word),
    /// An endpoint, or not.
    Perhaps(Word, fn(usize) -> Word),
}

const WORDS: &[(&str, Needs)] = &[
    (
        "reconnect",
        Needs::Perhaps(Word::Reconnect, Word::ReconnectTo),
    ),
    (
        "reconnect-elsewhere",
        Needs::Nothing(Word::ReconnectElsewhere),
    ),
    ("drain", Needs::Nothing(Word::Drain)),
    ("pause", Needs::Nothing(Word::Pause)),
    ("network-back", Needs::Nothing(Word::Resume)),
    ("add", Needs::Endpoint(Word::Add)),
    ("remove", Needs::Endpoint(Word::Remove)),
    ("off", Needs::Endpoint(Word::Off)),
    ("on", Needs::Endpoint(Word::On)),
    ("close", Needs::Nothing(Word::Close)),
];

/// Which numbers this many clients have.
#[must_use]
pub fn numbered(clients: usize) -> String {
    match clients {
        1 => "there is one client, number 0".to_string(),
        _ => format!("clients are numbered from 0, up to {}", clients - 1),
    }
}

impl Reader<'_> {
    pub(super) fn commands(
        &self,
        raw: &[Spanned<RawCommand>],
        clients: usize,
    ) -> Result<Vec<Command>, ScenarioError> {
        let mut before = Time::ZERO;
        let mut commands = Vec::new();
        for command in raw {
            let command = self.command(command.get_ref(), clients, before)?;
            before = command.at;
            commands.push(command);
        }
        Ok(commands)
    }

    fn command(
        &self,
        raw: &RawCommand,
        clients: usize,
        before: Time,
    ) -> Result<Command, ScenarioError> {
        let at = self
            .time("command.at", Some(&raw.at))?
            .unwrap_or(Time::ZERO);
        if at < before {
            let what = format!(
                "times are out of order: the command before it is at {before:?}, this one at {at:?}"
            );
            let place = raw.at.span().start;
            return Err(self.source.wrong(place, "command.at", what));
        }
        let needs = self.word("command.do", WORDS, &Some(raw.what.clone()))?;
        let endpoint = raw.endpoint.as_ref();
        let server = endpoint
            .map(|name| self.named("command.endpoint", name))
            .transpose()?;
        let what = raw.what.get_ref();
        let word = match (needs, server) {
            (Some(Needs::Nothing(word) | Needs::Perhaps(word, _)), None) => word,
            (Some(Needs::Endpoint(word) | Needs::Perhaps(_, word)), Some(server)) => word(server),
            (Some(Needs::Nothing(_)) | None, Some(_)) => {
                let place = endpoint.map_or(0, |name| name.span().start);
                let what = format!("{what:?} takes no endpoint");
                return Err(self.source.wrong(place, "command.endpoint", what));
            }
            (Some(Needs::Endpoint(_)) | None, None) => {
                let what = format!("{what:?} needs an endpoint");
                let place = raw.what.span().start;
                return Err(self.source.wrong(place, "command.endpoint", what));
            }
        };
        Ok(Command {
            at,
            whom: self.whom(raw.client.as_ref(), clients)?,
            word,
            words: match endpoint {
                Some(name) => format!("{what} {}", name.get_ref()),
                None => what.clone(),
            },
        })
    }

    fn whom(&self, client: Option<&Spanned<u32>>, clients: usize) -> Result<Whom, ScenarioError> {
        let Some(client) = client else {
            return Ok(Whom::All);
        };
        let number = usize::try_from(*client.get_ref()).unwrap_or(usize::MAX);
        if number >= clients {
            let what = numbered(clients);
            let place = client.span().start;
            return Err(self.source.wrong(place, "command.client", what));
        }
        Ok(Whom::Client(number))
    }
}
