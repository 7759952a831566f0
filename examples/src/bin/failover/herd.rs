//! `failover herd` and `failover tune`.

use std::error::Error;
use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::time::Duration;

use examples::herd::tune::{Found, Goal, search};
use examples::herd::{self, Contestant, Herd};
use examples::plural::counted;
use examples::scenario::Scenario;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;

use crate::args::{HerdArguments, TuneArguments};
use crate::{Problem, simulate};

pub(crate) fn run(arguments: &HerdArguments) -> Result<(), Problem> {
    check_files(arguments)?;
    let scenario = simulate::changed(
        &arguments.scenario,
        arguments.world.seed,
        arguments.world.clients,
    )?;
    let contestants = match arguments.compare.as_slice() {
        [] => vec![herd::own(&scenario)],
        names => contestants(names)?,
    };
    let jobs = usize::from(arguments.world.jobs).min(contestants.len());
    let herds = play(&scenario, &contestants, jobs)?;
    if arguments.json {
        for herd in &herds {
            said(&herd.json().to_string());
        }
    } else {
        print(&scenario, &herds);
    }
    write_all(arguments, &scenario, &herds)?;
    if herds.iter().all(Herd::recovered) {
        Ok(())
    } else {
        Err(Problem::Told)
    }
}

pub(crate) fn tune(arguments: &TuneArguments) -> Result<(), Problem> {
    let scenario = simulate::changed(
        &arguments.scenario,
        arguments.world.seed,
        arguments.world.clients,
    )?;
    let share = arguments.share.parse().unwrap_or(99);
    let mut goal = Goal::new(share, arguments.within);
    if let Some(peak) = arguments.peak {
        goal = goal.peak(peak);
    }
    if let Some(why) = goal.out_of_reach(&scenario) {
        return Err(Problem::Failed(format!("no policy can do it: {why}")));
    }
    let jobs = usize::from(arguments.world.jobs);
    herd::check_memory(&scenario, jobs).map_err(|error| Problem::bad(&error))?;
    let bar = bar(1);
    let done = |n: usize, all: usize| {
        bar.set_length(u64::try_from(all).unwrap_or(u64::MAX));
        bar.set_position(u64::try_from(n).unwrap_or(u64::MAX));
    };
    let found = search(&scenario, &goal, jobs, &done).map_err(|error| Problem::failed(&error))?;
    bar.finish_and_clear();
    let tried = &found.tried;
    if arguments.json {
        for tried in tried.iter().chain(&found.dropped) {
            let mut line = tried.herd.json();
            line["reached"] = json!(goal.reached(&tried.herd));
            line["toml"] = json!(tried.toml);
            said(&line.to_string());
        }
    } else {
        print_tuned(&goal, &found, usize::from(arguments.best));
    }
    if tried.first().is_some_and(|best| goal.reached(&best.herd)) {
        Ok(())
    } else {
        Err(Problem::Told)
    }
}

fn print_tuned(goal: &Goal, found: &Found, best: usize) {
    let tried = &found.tried;
    let reached = tried.iter().filter(|t| goal.reached(&t.herd)).count();
    let all = tried.len();
    if let Some(dropped) = found.dropped.first() {
        said(&format!(
            "{} policies tried with {} clients of servers that take as many times less; the best {all} of them with all clients\n",
            all + found.dropped.len(),
            dropped.herd.clients,
        ));
    }
    match reached {
        0 => said(&format!(
            "none of these {all} policies reaches the goal; the nearest:\n"
        )),
        _ => said(&format!(
            "{reached} of these {all} policies reach the goal; those with the fewest dials:\n"
        )),
    }
    let shown: Vec<Herd> = tried.iter().take(best).map(|t| t.herd.clone()).collect();
    said(&herd::compared(&shown));
    for tried in tried.iter().take(best) {
        said(&format!("# {}\n{}", tried.herd.policy, tried.toml));
    }
}

fn contestants(names: &[String]) -> Result<Vec<Contestant>, Problem> {
    let named = |name: &String| Contestant::named(name).map_err(|error| Problem::bad(&error));
    names.iter().map(named).collect()
}

fn play(
    scenario: &Scenario,
    contestants: &[Contestant],
    jobs: usize,
) -> Result<Vec<Herd>, Problem> {
    for contestant in contestants {
        let played = scenario.under(contestant.policy.clone());
        herd::check_memory(&played, jobs).map_err(|error| Problem::bad(&error))?;
    }
    if let [only] = contestants {
        let bar = bar(1000);
        let herd = herd::run(scenario, only, &mut |progress| {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a part of one"
            )]
            bar.set_position((progress.part * 1000.0) as u64);
            bar.set_message(format!("{} connected", progress.connected));
        });
        bar.finish_and_clear();
        return Ok(vec![herd]);
    }
    let bar = bar(u64::try_from(contestants.len()).unwrap_or(u64::MAX));
    let done = |n: usize| bar.set_position(u64::try_from(n).unwrap_or(u64::MAX));
    let herds = herd::run_all(scenario, contestants, &[scenario.seed], jobs, &done);
    bar.finish_and_clear();
    Ok(herds)
}

/// Progress on the standard error, for a person at a terminal alone.
fn bar(length: u64) -> ProgressBar {
    let target = if io::stderr().is_terminal() {
        ProgressDrawTarget::stderr()
    } else {
        ProgressDrawTarget::hidden()
    };
    let bar = ProgressBar::with_draw_target(Some(length), target);
    let style = ProgressStyle::with_template("{wide_bar} {percent:>3} %  {elapsed}  {msg}");
    let bar = bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

fn print(scenario: &Scenario, herds: &[Herd]) {
    let about = match scenario.about.as_str() {
        "" => String::new(),
        about => format!("{about}\n"),
    };
    let clients = counted(scenario.clients, "client");
    let seed = scenario.seed.get();
    said(&format!("{about}{clients}, seed {seed}\n"));
    match herds {
        [only] => {
            said(&only.to_string());
            let millions = only.speed() / 1e6;
            said(&format!(
                "{} steps of the machines in {:.1} s, {:.1} s of a processor: {millions:.2} million a second of that",
                only.steps,
                only.took.as_secs_f64(),
                only.on_processor.as_secs_f64(),
            ));
        }
        several => said(herd::compared(several).trim_end()),
    }
}

/// The tables are on the standard output: nothing else goes there.
fn check_files(arguments: &HerdArguments) -> Result<(), Problem> {
    let files = [
        ("--plot", &arguments.plot),
        ("--csv", &arguments.csv),
        ("--rates", &arguments.rates),
    ];
    match files
        .iter()
        .find(|(_, path)| path.as_deref() == Some(Path::new("-")))
    {
        Some((option, _)) => Err(Problem::BadInput(format!(
            "{option} -: this is written to a file: name one; --json writes figures to the standard output"
        ))),
        None => Ok(()),
    }
}

/// Writes every file that is wanted, and tells of all that could not be.
fn write_all(
    arguments: &HerdArguments,
    scenario: &Scenario,
    herds: &[Herd],
) -> Result<(), Problem> {
    let sheets = [
        (&arguments.csv, herd::csv as fn(&[Herd]) -> String),
        (&arguments.rates, herd::rates),
    ];
    let sheets = sheets
        .into_iter()
        .filter_map(|(path, text)| Some((path.as_ref()?, Ok(text(herds)))));
    let plot = arguments.plot.as_ref();
    let plot = plot.map(|path| (path, picture(scenario, herds)));
    let failed: Vec<String> = plot
        .into_iter()
        .chain(sheets)
        .filter_map(|(path, text)| {
            let written = text.and_then(|text| Ok(fs::write(path, text)?));
            let error = written.err()?;
            Some(format!("{}: {error}", path.display()))
        })
        .collect();
    if failed.is_empty() {
        Ok(())
    } else {
        Err(Problem::Failed(failed.join("; ")))
    }
}

fn picture(scenario: &Scenario, herds: &[Herd]) -> Result<String, Box<dyn Error>> {
    let clients = counted(scenario.clients, "client");
    let title = match scenario.about.as_str() {
        "" => clients,
        about => format!("{about} ({clients})"),
    };
    Ok(herd::page(&title, herds)?)
}

/// Nobody may be listening any more; the exit code still speaks.
fn said(text: &str) {
    let _ = writeln!(io::stdout(), "{text}");
}
