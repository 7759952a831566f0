//! A deployment's file that a subcommand is given.

use std::error::Error;
use std::fs;
use std::path::Path;

use examples::deployment::Change;
use examples::timeline::chain;
use failover_core::config::Deployment;
use failover_core::dial::Registry;
use failover_core::directory::Endpoint;
use failover_core::policy::Policy;
use transport_tcp::ByteStream;
use transport_ws::deploy::{self, Tables};

use crate::Problem;

/// A deployment that was read and checked whole.
pub(crate) struct Deployed {
    /// The default tables.
    pub(crate) tables: Tables,
    pub(crate) registry: Registry<ByteStream>,
    pub(crate) endpoints: Vec<Endpoint>,
    pub(crate) policy: Policy,
}

impl Deployed {
    /// The deployment in this file, with what the environment and these flags change.
    pub(crate) fn read(file: &Path, set: &[String]) -> Result<Self, Problem> {
        let deployment = read(file, set)?;
        let registry = deploy::registry(&deployment).map_err(|error| wrong_in(file, &error))?;
        let endpoints = deploy::endpoints(&deployment, &registry);
        Ok(Self {
            endpoints: endpoints.map_err(|error| wrong_in(file, &error))?,
            policy: deployment
                .policy()
                .map_err(|error| wrong_in(file, &error))?,
            tables: deployment.transport.unwrap_or_default(),
            registry,
        })
    }
}

/// What is wrong with what stands in this file.
pub(crate) fn wrong_in(file: &Path, error: &dyn Error) -> Problem {
    Problem::BadInput(format!("{}: {}", file.display(), chain(error)))
}

fn read(file: &Path, set: &[String]) -> Result<Deployment<Tables>, Problem> {
    let name = file.display().to_string();
    let text =
        fs::read_to_string(file).map_err(|error| Problem::BadInput(format!("{name}: {error}")))?;
    examples::deployment::read(&name, &text, &changes(set)?).map_err(|error| Problem::bad(&error))
}

/// What the environment and these flags change in a deployment.
pub(crate) fn changes(set: &[String]) -> Result<Vec<Change>, Problem> {
    let variables = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let mut changes = Change::from_environment(variables).map_err(|error| Problem::bad(&error))?;
    for text in set {
        changes.push(Change::parse("--set", text).map_err(|error| Problem::bad(&error))?);
    }
    Ok(changes)
}
