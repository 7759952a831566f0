//! Writes the comparison page to the standard output.

use std::io;
use std::process::ExitCode;

use clap::Parser;
use failover_bench::{compare, storm};

/// Measures our laws and our connector beside other crates', on this machine, on loopback alone, and writes
/// a page in Markdown to the standard output. It takes about three minutes.
#[derive(Parser)]
struct Arguments {}

fn main() -> ExitCode {
    let done = match storm::part() {
        Some(part) => part,
        None => {
            let Arguments {} = Arguments::parse();
            page()
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

fn page() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let page = runtime.block_on(compare::page())?;
    print!("{page}");
    Ok(())
}
