//! `failover simulate`.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Write};
use std::path::Path;

use examples::herd;
use examples::recording;
use examples::scenario::{Command, Scenario, numbered};
use examples::simulate::{self, Line};
use examples::timeline::Style;
use failover_core::drive::Recording;
use failover_core::policy::Seed;
use failover_core::sim::Whom;
use serde_json::Value;

use crate::args::SimulateArguments;
use crate::{Problem, style};

pub(crate) fn run(arguments: &SimulateArguments) -> Result<(), Problem> {
    match (&arguments.scenario, &arguments.replay) {
        (Some(scenario), _) => play(arguments, scenario),
        (None, Some(record)) => replay(record, arguments.trace.as_deref()),
        (None, None) => Err(Problem::BadInput("name a scenario".to_string())),
    }
}

/// Plays what a flight recorder kept.
fn replay(record: &Path, trace: Option<&Path>) -> Result<(), Problem> {
    let name = record.display().to_string();
    let recording = if record.as_os_str() == "-" {
        recording::read("standard input", io::stdin().lock())
    } else {
        let file = File::open(record);
        let file = file.map_err(|error| Problem::BadInput(format!("{name}: {error}")))?;
        recording::read(&name, BufReader::new(file))
    };
    let recording = recording.map_err(|error| Problem::bad(&error))?;
    let told = Told::new(trace)?;
    let mut out = BufWriter::new(io::stdout().lock());
    match tell_recording(&recording, told, &mut out).and_then(|end| out.flush().map(|()| end)) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(Problem::failed(&error)),
        Ok(end) if end.is_the_same() => Ok(()),
        Ok(_) => Err(Problem::Told),
    }
}

fn tell_recording(
    recording: &Recording,
    mut told: Told,
    out: &mut impl Write,
) -> io::Result<recording::End> {
    let style = told.style();
    if style != Style::Json {
        writeln!(out, "{}\n", recording::heading(recording))?;
    }
    let mut lines: Option<&mut dyn Write> = match &mut told {
        Told::Both(file) => Some(file),
        Told::Text | Told::Lines => None,
    };
    let mut write = |text: Option<String>, json: &dyn Fn() -> Value| -> io::Result<()> {
        if let Some(file) = &mut lines {
            writeln!(file, "{}", json())?;
        }
        match (style, text) {
            (Style::Json, _) => writeln!(out, "{}", json()),
            (_, Some(text)) => writeln!(out, "{text}"),
            (_, None) => Ok(()),
        }
    };
    write(None, &|| recording::header(recording))?;
    let end = recording::play(recording, &mut |told| {
        write(told.text(style), &|| told.json())
    })?;
    write(Some(format!("\n{end}")), &|| end.json())?;
    if let Told::Both(file) = &mut told {
        file.flush()?;
    }
    Ok(end)
}

fn play(arguments: &SimulateArguments, scenario: &Path) -> Result<(), Problem> {
    let scenario = changed(scenario, arguments.seed, arguments.clients)?;
    let client = client(arguments, &scenario)?;
    herd::check_memory(&scenario, 1).map_err(|error| Problem::bad(&error))?;
    let told = Told::new(arguments.trace.as_deref())?;
    let mut out = BufWriter::new(io::stdout().lock());
    match tell(&scenario, client, told, &mut out).and_then(|()| out.flush()) {
        // Whoever reads has enough, as in `failover simulate … | head`.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        Err(error) => return Err(Problem::failed(&error)),
        Ok(()) => {}
    }
    if let Some(path) = &arguments.plot {
        let page = simulate::plot(&scenario, client.unwrap_or(0));
        let page = page.map_err(|error| Problem::failed(&error))?;
        fs::write(path, page).map_err(|error| unwritten(path, &error))?;
    }
    if arguments.laws {
        let client = client.unwrap_or(0);
        simulate::check(&scenario, client)
            .map_err(|violation| Problem::Failed(format!("client {client}: {violation}")))?;
        // Among JSON lines there is no place for it; the exit code says the same.
        if arguments.trace.as_deref() != Some(Path::new("-")) {
            let _ = writeln!(io::stdout(), "client {client}: every law holds");
        }
    }
    Ok(())
}

/// Where the trace goes.
enum Told {
    /// A timeline.
    Text,
    /// A timeline, and JSON lines into a file.
    Both(BufWriter<File>),
    /// JSON lines instead of a timeline.
    Lines,
}

impl Told {
    fn new(trace: Option<&Path>) -> Result<Self, Problem> {
        Ok(match trace {
            Some(path) if path.as_os_str() == "-" => Self::Lines,
            Some(path) => {
                let file = File::create(path).map_err(|error| unwritten(path, &error))?;
                Self::Both(BufWriter::new(file))
            }
            None => Self::Text,
        })
    }

    fn style(&self) -> Style {
        match self {
            Self::Lines => Style::Json,
            Self::Text | Self::Both(_) => style(false, &io::stdout()),
        }
    }
}

/// The scenario in this file, with another seed and another number of clients where they are given.
pub(crate) fn changed(
    path: &Path,
    seed: Option<u64>,
    clients: Option<u32>,
) -> Result<Scenario, Problem> {
    let mut scenario = read(path)?;
    if let Some(seed) = seed {
        scenario.seed = Seed::new(seed);
    }
    if let Some(clients) = clients {
        scenario.clients = usize::try_from(clients).unwrap_or(usize::MAX);
    }
    let gone =
        |command: &&Command| matches!(command.whom, Whom::Client(n) if n >= scenario.clients);
    if let Some(command) = scenario.commands.iter().find(gone) {
        return Err(Problem::BadInput(format!(
            "--clients {}: the scenario says {:?} to a client beyond that",
            scenario.clients, command.words
        )));
    }
    Ok(scenario)
}

/// Reads a scenario from a file.
fn read(path: &Path) -> Result<Scenario, Problem> {
    let name = path.display().to_string();
    let text =
        fs::read_to_string(path).map_err(|error| Problem::BadInput(format!("{name}: {error}")))?;
    Scenario::parse(&name, &text).map_err(|error| Problem::bad(&error))
}

/// The client whose life is told, if it is one.
fn client(arguments: &SimulateArguments, scenario: &Scenario) -> Result<Option<usize>, Problem> {
    match arguments.client {
        Some(client) if client >= scenario.clients => Err(Problem::BadInput(format!(
            "--client {client}: {}",
            numbered(scenario.clients)
        ))),
        Some(client) => Ok(Some(client)),
        None => Ok((scenario.clients == 1).then_some(0)),
    }
}

fn unwritten(path: &Path, error: &io::Error) -> Problem {
    Problem::Failed(format!("{}: {error}", path.display()))
}

fn tell(
    scenario: &Scenario,
    client: Option<usize>,
    mut told: Told,
    out: &mut impl Write,
) -> io::Result<()> {
    let style = told.style();
    if style != Style::Json {
        writeln!(out, "{}\n", simulate::heading(scenario))?;
    }
    let mut file = match &mut told {
        Told::Both(file) => Some(file),
        Told::Text | Told::Lines => None,
    };
    if let Some(file) = &mut file {
        writeln!(file, "{}", simulate::header(scenario))?;
    } else if style == Style::Json {
        writeln!(out, "{}", simulate::header(scenario))?;
    }
    let mut line = |line: &Line<'_>| -> io::Result<()> {
        let chosen = client.is_none_or(|n| line.client.is_none_or(|of| of == n));
        if let Some(file) = &mut file {
            writeln!(file, "{}", line.json())?;
        }
        if style == Style::Json {
            if chosen {
                writeln!(out, "{}", line.json())?;
            }
        } else if chosen
            && (client.is_some() || line.client.is_none())
            && let Some(text) = line.text(style)
        {
            writeln!(out, "{text}")?;
        }
        Ok(())
    };
    let summary = simulate::play(scenario, &mut line)?;
    if let Some(file) = &mut file {
        writeln!(file, "{}", summary.json())?;
        file.flush()?;
    }
    if style == Style::Json {
        return writeln!(out, "{}", summary.json());
    }
    if client.is_none() {
        write!(out, "\n{}", summary.stretches())?;
    }
    writeln!(out, "\n{summary}")
}
