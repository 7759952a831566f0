//! `failover explain` and `failover verify`.

use std::fs;
use std::io::{self, Write};
use std::time::Duration;

use examples::explain;
use examples::plural::counted;
use examples::policy_file::PolicyFile;
use examples::verify::{Verdict, Verify, in_step};
use failover_core::config::{nearest, print_duration};
use failover_core::endpoint::Security;
use failover_core::preset::PresetName;

use crate::Problem;
use crate::args::{ExplainArguments, VerifyArguments, WhichPolicy};

/// For how many endpoints a policy is explained, where nobody says how many there are.
const ENDPOINTS: usize = 3;
/// For how many at most.
const MOST_ENDPOINTS: usize = 64;

pub(crate) fn explain(arguments: &ExplainArguments) -> Result<(), Problem> {
    let policy = read(&arguments.which)?;
    let endpoints = match (arguments.endpoints, policy.endpoints) {
        (Some(asked), _) => usize::from(asked),
        (None, 0) => ENDPOINTS,
        (None, listed) => listed.min(MOST_ENDPOINTS),
    };
    let explained = explain::explain(&policy.name, &policy.preset, endpoints);
    if let Some(path) = &arguments.plot {
        let page = explained.plot().map_err(|error| Problem::failed(&error))?;
        fs::write(path, page)
            .map_err(|error| Problem::Failed(format!("{}: {error}", path.display())))?;
    }
    if arguments.json {
        said(&explained.json().to_string());
    } else {
        said(&explained.to_string());
    }
    Ok(())
}

pub(crate) fn verify(arguments: &VerifyArguments) -> Result<(), Problem> {
    if let Some(outage) = arguments.survive {
        possible(outage)?;
    }
    let policy = read(&arguments.which)?;
    let verify = Verify {
        worlds: arguments.worlds,
        seed: arguments.seed,
        survive: arguments.survive,
    };
    let verdict = verify.run(&policy.preset.policy);
    match verdict.map_err(|error| Problem::failed(&error))? {
        Verdict::Holds { steps, cut } => {
            let cut = match cut {
                0 => String::new(),
                _ => format!(
                    "; {cut} of them were left before their end, because too much happened there: \
                     whether the client recovers was not asked in these"
                ),
            };
            said(&format!(
                "{}: every law holds in {}, {} of the machine{cut}",
                policy.name,
                counted(arguments.worlds, "world"),
                counted(steps, "step"),
            ));
            for (security, violation) in in_step(&policy.preset.policy) {
                let over = match security {
                    Security::Plain => "plain",
                    Security::Tls => "TLS",
                };
                said(&format!(
                    "note: {} does not hold over {over}: {}: clients that lost one server together knock together, jitter would spread them",
                    violation.law, violation.what
                ));
            }
            Ok(())
        }
        Verdict::Broken {
            violation,
            scenario,
        } => {
            if let Some(scenario) = scenario {
                match &arguments.write {
                    Some(path) => fs::write(path, scenario)
                        .map_err(|error| Problem::Failed(format!("{}: {error}", path.display())))?,
                    None => said(scenario.trim_end()),
                }
            }
            Err(Problem::Failed(format!("{}: {violation}", policy.name)))
        }
        other => Err(Problem::Failed(format!("{other:?}"))),
    }
}

/// An outage that can be played.
fn possible(outage: Duration) -> Result<(), Problem> {
    let given = print_duration(outage);
    if outage < Duration::from_millis(1) {
        let what = format!("--survive {given} is no outage: use at least 1ms");
        return Err(Problem::BadInput(what));
    }
    if outage > Verify::LONGEST {
        let most = Verify::LONGEST.as_secs() / 86_400;
        let what = format!("--survive {given} is longer than can be played: use at most {most}d");
        return Err(Problem::BadInput(what));
    }
    Ok(())
}

/// Nobody may be listening any more; the exit code still speaks.
fn said(text: &str) {
    let _ = writeln!(io::stdout(), "{text}");
}

fn read(which: &WhichPolicy) -> Result<PolicyFile, Problem> {
    if let Some(name) = &which.preset {
        let known = PresetName::ALL.map(PresetName::as_str);
        let preset = name.parse().map_err(|_| {
            let near = nearest(name, known);
            let hint = near.map_or(String::new(), |near| format!(" (did you mean {near:?}?)"));
            let all = known.join(", ");
            Problem::BadInput(format!(
                "no preset is called {name:?}{hint}; there are {all}"
            ))
        })?;
        return PolicyFile::of_preset(preset).map_err(|error| Problem::bad(&error));
    }
    let Some(path) = &which.file else {
        return Err(Problem::BadInput("name a file, or --preset".to_string()));
    };
    let name = path.display().to_string();
    let text =
        fs::read_to_string(path).map_err(|error| Problem::BadInput(format!("{name}: {error}")))?;
    PolicyFile::parse(&name, &text).map_err(|error| Problem::bad(&error))
}
