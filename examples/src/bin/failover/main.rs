//! `failover`: see it work (`demo`), use it (`cat`), put it before a program (`bridge`), look at servers (`probe`), take over what you had (`migrate`), try a policy
//! (`simulate`), see a million clients run it (`herd`, `tune`), read it (`explain`), prove it (`verify`).

mod args;
mod bridge;
mod cat;
mod demo;
mod deployed;
mod herd;
mod messages;
mod migrate;
mod mqtt;
mod nats;
mod policy;
mod probe;
mod record;
mod servers;
mod simulate;
mod stomp;
mod values;

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};
use examples::timeline::{Style, chain};
use serde_json::json;
use tokio::runtime::{Builder, Runtime};

use crate::args::{Arguments, Command};
use crate::values::{with_negative_numbers, without_passwords};

fn main() -> ExitCode {
    let known = with_negative_numbers(Arguments::command());
    let read = known.try_get_matches();
    let arguments = match read.and_then(|matches| Arguments::from_arg_matches(&matches)) {
        Ok(arguments) => arguments,
        Err(error) => return refused(&error),
    };
    let json = arguments.command.json();
    let done = match arguments.command {
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Bridge(arguments) => bridge::run(&arguments),
        Command::Cat(arguments) => cat::run(&arguments),
        Command::Migrate(arguments) => migrate::run(&arguments),
        Command::Probe(arguments) => probe::run(&arguments),
        Command::Mqtt(arguments) => mqtt::run(&arguments),
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
            problem.tell(json);
            ExitCode::from(problem.code())
        }
    }
}

/// Why the exit code is not 0.
enum Problem {
    /// It did not work.
    Failed(String),
    /// The same, and all that is to be said was said.
    Told,
    /// It ended in another way than well, which this code says; all that is to be said was said.
    Ended(u8),
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

    fn code(&self) -> u8 {
        match self {
            Self::Failed(_) | Self::Told => 1,
            Self::BadInput(_) => 2,
            Self::Ended(code) => *code,
        }
    }

    fn tell(&self, form: Form) {
        if let Self::BadInput(text) | Self::Failed(text) = self {
            let line = match form {
                Form::Text => format!("failover: {text}"),
                Form::Json => failed_as_json(text, self.code()),
            };
            let _ = writeln!(io::stderr(), "{line}");
        }
    }
}

/// In what form a failure is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Text,
    Json,
}

/// What clap makes of the arguments: a request for help, or a refusal.
fn refused(error: &clap::Error) -> ExitCode {
    let code = u8::try_from(error.exit_code()).unwrap_or(2);
    let given: Vec<String> = std::env::args_os()
        .skip(1)
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let mut before = given.iter().take_while(|word| *word != "--");
    let rendered = error.render().to_string();
    let text = without_passwords(&rendered, &given);
    if error.use_stderr() && before.any(|word| word == "--json") {
        let said = text.split("\n\n").next().unwrap_or(&text);
        let words: Vec<&str> = said
            .trim_start_matches("error: ")
            .split_whitespace()
            .collect();
        let _ = writeln!(io::stderr(), "{}", failed_as_json(&words.join(" "), code));
    } else if text == rendered {
        let _ = error.print();
    } else {
        let _ = write!(io::stderr(), "{text}");
    }
    ExitCode::from(code)
}

fn failed_as_json(text: &str, code: u8) -> String {
    json!({"event": "failed", "error": text, "exit_code": code}).to_string()
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
