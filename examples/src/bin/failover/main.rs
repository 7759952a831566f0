//! `failover`: see it work (`demo`), use it (`cat`), take over what you had (`migrate`), try a policy
//! (`simulate`), see a million clients run it (`herd`, `tune`), read it (`explain`), prove it (`verify`).

mod args;
mod cat;
mod demo;
mod herd;
mod migrate;
mod nats;
mod policy;
mod simulate;
mod stomp;
mod values;

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use clap::Parser;
use examples::timeline::{Style, chain};
use tokio::runtime::{Builder, Runtime};

use crate::args::{Arguments, Command};

fn main() -> ExitCode {
    // Bad arguments end here, with exit code 2.
    let arguments = Arguments::parse();
    let done = match arguments.command {
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Cat(arguments) => cat::run(&arguments),
        Command::Migrate(arguments) => migrate::run(&arguments),
        Command::Nats(arguments) => nats::run(&arguments),
        Command::Simulate(arguments) => simulate::run(&arguments),
        Command::Stomp(arguments) => stomp::run(&arguments),
        Command::Herd(arguments) => herd::run(&arguments),
        Command::Tune(arguments) => herd::tune(&arguments),
        Command::Explain(arguments) => policy::explain(&arguments),
        Command::Verify(arguments) => policy::verify(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            if let Problem::BadInput(text) | Problem::Failed(text) = &problem {
                let _ = writeln!(io::stderr(), "failover: {text}");
            }
            problem.code()
        }
    }
}

/// Why the exit code is not 0.
enum Problem {
    /// It did not work.
    Failed(String),
    /// The same, and all that is to be said was said.
    Told,
    /// What was asked for makes no sense.
    BadInput(String),
}

impl Problem {
    fn failed(error: &dyn std::error::Error) -> Self {
        Self::Failed(chain(error))
    }

    fn bad(error: &dyn std::error::Error) -> Self {
        Self::BadInput(chain(error))
    }

    fn code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Failed(_) | Self::Told => 1,
            Self::BadInput(_) => 2,
        })
    }
}

fn runtime() -> Result<Runtime, Problem> {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Problem::failed(&error))
}

/// JSON when asked for, colours for a person at a terminal who does not refuse them.
fn style(json: bool, terminal: &impl IsTerminal) -> Style {
    if json {
        Style::Json
    } else if terminal.is_terminal() && std::env::var_os("NO_COLOR").is_none() {
        Style::Coloured
    } else {
        Style::Plain
    }
}
