//! A deployment's file, with what the command line and the environment change in it.

use failover_core::config::{Deployment, VERSION};
use toml::{Table, Value};
use transport_ws::deploy::Tables;

use crate::scenario::{ScenarioError, Source, other_version, plain};
use crate::url_path;

/// Variables of the environment that begin so change a deployment: `FAILOVER__POLICY__DEADLINE=3s` is
/// `policy.deadline = "3s"`.
pub const PREFIX: &str = "FAILOVER__";

/// One key that is given another value.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Where it was said: a flag or a variable. For errors.
    said: String,
    /// The key, from the outermost table on.
    path: Vec<String>,
    value: Value,
}

/// Why a change of a key cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{said}: write KEY=VALUE, such as `policy.pace.cap=5s`")]
#[non_exhaustive]
pub struct NoChange {
    /// What was said, up to the value.
    pub said: String,
}

impl Change {
    /// `policy.pace.cap=5s`: a number or `true` is one, all else is a text.
    ///
    /// # Errors
    /// When it is not KEY=VALUE. The value is not repeated: it may be a secret.
    pub fn parse(flag: &str, text: &str) -> Result<Self, NoChange> {
        let no = |key: &str| NoChange {
            said: format!("{flag} {key}"),
        };
        let (key, value) = text.split_once('=').ok_or_else(|| no("…"))?;
        let path: Vec<String> = key.trim().split('.').map(str::to_string).collect();
        // A URL where a key is expected may hold a password.
        if key.contains(['@', ':', '/']) {
            return Err(no("…"));
        }
        if path.iter().any(String::is_empty) {
            return Err(no(key));
        }
        Ok(Self {
            said: format!("{flag} {}", key.trim()),
            path,
            value: value_of(value.trim()),
        })
    }

    /// The changes that these variables of the environment make, in the order of their names.
    ///
    /// # Errors
    /// A name without a key.
    pub fn from_environment(
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Vec<Self>, NoChange> {
        let mut own: Vec<(String, String)> = variables
            .into_iter()
            .filter(|(name, _)| name.starts_with(PREFIX))
            .collect();
        own.sort_unstable();
        own.into_iter()
            .map(|(name, value)| {
                let key = name.strip_prefix(PREFIX).unwrap_or(&name);
                let path: Vec<String> = key.split("__").map(str::to_ascii_lowercase).collect();
                if path.iter().any(String::is_empty) {
                    return Err(NoChange { said: name });
                }
                Ok(Self {
                    said: name,
                    path,
                    value: value_of(&value),
                })
            })
            .collect()
    }

    fn apply(&self, table: &mut Table) -> Result<(), String> {
        let Some((last, tables)) = self.path.split_last() else {
            return Ok(());
        };
        let mut table = table;
        for name in tables {
            let inner = table
                .entry(name.clone())
                .or_insert_with(|| Value::Table(Table::new()));
            table = inner
                .as_table_mut()
                .ok_or_else(|| format!("{}: `{name}` is not a table", self.said))?;
        }
        table.insert(last.clone(), self.value.clone());
        Ok(())
    }
}

/// Reads a deployment; `file` is named in errors. Changes are applied in their order, and the whole
/// is checked, files that it names included, when the transports are made of it.
///
/// # Errors
/// The first thing that makes no sense: with its line and key if it is the file's own, with the flag or
/// variable if a change does not fit in, with its table alone if the changed file as a whole makes no
/// sense.
pub fn read(
    file: &str,
    text: &str,
    changes: &[Change],
) -> Result<Deployment<Tables>, ScenarioError> {
    let source = Source { file, text };
    let read: Deployment<Tables> =
        toml::from_str(text).map_err(|error| source.unreadable(&error))?;
    let checked = |deployment: &Deployment<Tables>| {
        if let Some(version) = deployment.version.filter(|version| *version != VERSION) {
            return Err(source.wrong_in("version", &other_version(version)));
        }
        source.check(deployment)?;
        refuse_paths(&source, deployment)
    };
    let wrong_in_file = match (checked(&read), changes) {
        (checked, []) => return checked.map(|()| read),
        (checked, _) => checked.err(),
    };
    let mut table: Table = text.parse().map_err(|error| source.unreadable(&error))?;
    let mut changed = read;
    for change in changes {
        let wrong = |what: String| ScenarioError {
            file: file.to_string(),
            line: None,
            key: String::new(),
            what,
        };
        change.apply(&mut table).map_err(wrong)?;
        changed = Value::Table(table.clone())
            .try_into()
            .map_err(|error: toml::de::Error| {
                let told = plain(error.message());
                wrong(format!("{}: {told}", change.said))
            })?;
    }
    match checked(&changed) {
        // Nothing that was changed has to do with it.
        Err(error) if wrong_in_file.as_ref() == Some(&error) => Err(error),
        Err(error) => Err(ScenarioError {
            line: None,
            ..error
        }),
        Ok(()) => Ok(changed),
    }
}

/// Refuses what no stream of bytes can ask for. Schemes of one's own are not read from files here.
fn refuse_paths(source: &Source<'_>, deployment: &Deployment<Tables>) -> Result<(), ScenarioError> {
    for form in deployment.endpoints.iter().flatten() {
        let endpoint = form.endpoint();
        let endpoint =
            endpoint.map_err(|error| source.wrong_in("endpoints", &error.to_string()))?;
        if let Some(told) = endpoint.routes().iter().find_map(url_path::refused) {
            let what = format!("endpoint `{}`: {told}", endpoint.name());
            return Err(source.wrong_in("endpoints", &what));
        }
    }
    Ok(())
}

fn value_of(text: &str) -> Value {
    if let Ok(number) = text.parse::<i64>() {
        return Value::Integer(number);
    }
    match text {
        "true" => Value::Boolean(true),
        "false" => Value::Boolean(false),
        text => Value::String(text.to_string()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use super::*;

    const FILE: &str = "version = 1\nendpoints = [\"tcp://a:1\"]\n[policy]\ndeadline = \"9s\"\n";

    fn changed(set: &[&str], variables: &[(&str, &str)]) -> Result<Deployment<Tables>, String> {
        let owned = |(name, value): &(&str, &str)| (name.to_string(), value.to_string());
        let mut changes = Change::from_environment(variables.iter().map(owned)).unwrap();
        changes.extend(set.iter().map(|set| Change::parse("--set", set).unwrap()));
        read("deploy.toml", FILE, &changes).map_err(|error| error.to_string())
    }

    #[test]
    fn a_flag_beats_the_environment_and_the_environment_beats_the_file() {
        let deadline = |deployment: Deployment<Tables>| deployment.policy().unwrap().deadline();
        let variable = ("FAILOVER__POLICY__DEADLINE", "7s");
        let file = changed(&[], &[]).unwrap();
        assert_eq!(deadline(file), Duration::from_secs(9));
        let environment = changed(&[], &[variable]).unwrap();
        assert_eq!(deadline(environment), Duration::from_secs(7));
        let flag = changed(&["policy.deadline=5s"], &[variable]).unwrap();
        assert_eq!(deadline(flag), Duration::from_secs(5));
    }

    #[test]
    fn a_key_that_is_not_there_names_the_nearest_and_who_said_it() {
        let error = changed(&["policy.dedline=5s"], &[]).unwrap_err();
        assert!(
            error.starts_with("deploy.toml: --set policy.dedline"),
            "{error}"
        );
        assert!(error.contains("did you mean `deadline`?"), "{error}");
        let error = changed(&[], &[("FAILOVER__POLICY__PACE__CUP", "5s")]).unwrap_err();
        assert!(error.contains("FAILOVER__POLICY__PACE__CUP"), "{error}");
    }

    #[test]
    fn another_version_is_refused_at_its_line_and_one_that_a_flag_gives_without_one() {
        let text = FILE.replace("version = 1", "# Ours.\nversion = 2");
        let error = read("deploy.toml", &text, &[]).unwrap_err().to_string();
        let words = "version: this file has `version = 2`, this program reads `version = 1`";
        assert_eq!(error, format!("deploy.toml:2: {words}"));
        let error = changed(&["version=2"], &[]).unwrap_err();
        assert_eq!(error, format!("deploy.toml: {words}"));
    }

    #[test]
    fn the_shipped_deployment_makes_a_registry_and_endpoints() {
        let text = include_str!("../deployments/mixed.toml");
        let deployment = read("mixed.toml", text, &[]).unwrap();
        let registry = transport_ws::deploy::registry(&deployment).unwrap();
        let endpoints = transport_ws::deploy::endpoints(&deployment, &registry).unwrap();
        assert_eq!(endpoints.len(), 2);
        assert_eq!(endpoints[0].routes().len(), 3);
    }

    #[test]
    fn the_example_of_the_page_about_transports_is_read() {
        let page = include_str!("../../docs/transports.md");
        let example = page.split("```toml\n").nth(1).unwrap();
        let text = example.split("```").next().unwrap();
        let deployment = read("transports.md", text, &[]).unwrap();
        assert_eq!(deployment.endpoints.unwrap().len(), 2);
    }

    #[test]
    fn a_secret_value_is_not_repeated() {
        let error = Change::parse("--set", "=tls://joe:hunter2@a").unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{error}");
        let error = changed(&["policy.deadline=joe:hunter2@a"], &[]).unwrap_err();
        assert!(!error.contains("hunter2"), "{error}");
    }
}
