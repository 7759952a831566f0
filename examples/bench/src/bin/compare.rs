//! Writes the comparison page to the standard output.

use std::process::ExitCode;

use clap::Parser;
use failover_bench::{compare, storm};

/// Measures our laws and our connector beside other crates', on this machine, on loopback alone, and writes
/// a page in Markdown to the standard output. It takes about six minutes.
#[derive(Parser)]
struct Arguments {}

fn main() -> ExitCode {
    let done = match storm::part().or_else(compare::part) {
        Some(part) => part,
        None => {
            let Arguments {} = Arguments::parse();
            compare::page().map(|page| print!("{page}"))
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("compare: {error}");
            ExitCode::FAILURE
        }
    }
}
