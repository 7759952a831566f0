//! `failover demo`.

use std::io::{self, Write};

use examples::demo::Demo;
use failover_core::policy::Seed;

use crate::args::DemoArguments;
use crate::record::Record;
use crate::{Problem, runtime, style};

pub(crate) fn run(arguments: &DemoArguments) -> Result<(), Problem> {
    let record = Record::create(arguments.record.as_deref())?;
    let demo = Demo {
        seed: arguments.seed.unwrap_or_else(short_seed),
        standby: arguments.standby,
        style: style(arguments.json, &io::stdout()),
        fault: None,
    };
    let mut out = io::stdout();
    let report = runtime()?
        .block_on(demo.run(&mut out))
        .map_err(|error| Problem::failed(&error))?;
    // Nobody may be listening any more (`failover demo | head`); the exit code still speaks.
    let _ = out.write_all(report.text(demo.style).as_bytes());
    record.write(report.recording.as_ref())?;
    if report.is_ok() {
        Ok(())
    } else {
        Err(Problem::Told)
    }
}

/// One that a person can type again.
fn short_seed() -> u64 {
    Seed::random().get() % 1_000_000
}
