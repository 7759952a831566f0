//! `failover migrate`: reads, asks the library, writes.

use std::io::{self, Read, Write};
use std::path::Path;

use examples::migrate::{System, migrate};

use crate::Problem;
use crate::args::{MigrateArguments, SystemArgument};

pub(crate) fn run(arguments: &MigrateArguments) -> Result<(), Problem> {
    let text = read(arguments)?;
    let system = match arguments.from {
        SystemArgument::Nats => System::Nats,
        SystemArgument::Stompit => System::Stompit,
        SystemArgument::Activemq => System::ActiveMq,
        SystemArgument::Synapse => System::Synapse,
        SystemArgument::Diffusion => System::Diffusion,
    };
    let migrated = migrate(system, &text).map_err(|error| {
        let file = arguments.file.as_ref().filter(|file| !is_uri(file));
        let place = file.map_or(String::new(), |file| format!("{}: ", file.display()));
        Problem::BadInput(format!("{place}{error}"))
    })?;
    let _ = migrated
        .notes
        .iter()
        .try_for_each(|note| writeln!(io::stderr(), "failover: no equal: {note}"));
    io::stdout()
        .write_all(migrated.toml.as_bytes())
        .map_err(|error| Problem::failed(&error))
}

/// Whether the options themselves stand where a file is expected.
fn is_uri(file: &Path) -> bool {
    file.to_string_lossy().starts_with("failover:")
}

fn read(arguments: &MigrateArguments) -> Result<String, Problem> {
    if let Some(text) = &arguments.text {
        return Ok(text.clone());
    }
    match &arguments.file {
        Some(uri) if is_uri(uri) => Ok(uri.to_string_lossy().into_owned()),
        Some(file) => std::fs::read_to_string(file)
            .map_err(|error| Problem::BadInput(format!("{}: {error}", file.display()))),
        None => {
            let mut text = String::new();
            io::stdin()
                .read_to_string(&mut text)
                .map_err(|error| Problem::failed(&error))?;
            Ok(text)
        }
    }
}
