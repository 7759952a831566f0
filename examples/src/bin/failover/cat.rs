//! `failover cat`.

use std::io;
use std::path::Path;

use examples::cat::{Cat, CatError, Told, Unconfirmed};
use examples::explain::print_jitter;
use examples::registry;
use failover_core::config::print_duration;
use failover_core::drive::Connector;
use failover_core::policy::{
    Backoff, Jitter, Limits, Order, Pace, Policy, PolicyError, Shuffle, Walk,
};
use transport_tcp::{ByteStream, TokioClock};

use crate::args::{CatArguments, OrderArgument};
use crate::deployed::{Deployed, wrong_in};
use crate::record::{Record, recorded};
use crate::{Problem, runtime, style};

pub(crate) fn run(arguments: &CatArguments) -> Result<(), Problem> {
    let record = arguments.record.as_deref();
    let connector = match &arguments.config {
        Some(file) => deployed(file, &arguments.set, record)?,
        None if !arguments.set.is_empty() => {
            let what = "--set changes a key of a file: name it with --config FILE.toml";
            return Err(Problem::BadInput(what.to_string()));
        }
        None => named(arguments)?,
    };
    let cat = Cat {
        linger: arguments.linger,
        unconfirmed: if arguments.resend {
            Unconfirmed::SentAgain
        } else {
            Unconfirmed::Counted
        },
        style: style(arguments.json, &io::stderr()),
        told: if arguments.verbose {
            Told::Everything
        } else {
            Told::Losses
        },
    };
    let record = Record::create(record)?;
    let handle = connector.handle();
    let carried = carry(cat, connector, arguments.record.is_some().then(interrupted));
    record.write(handle.recording().as_ref())?;
    carried
}

/// The servers of the URLs, with the policy of the flags.
fn named(arguments: &CatArguments) -> Result<Client, Problem> {
    let endpoints = arguments.trust.endpoints(&arguments.urls)?;
    let policy = policy(arguments)?;
    let tls = arguments.trust.config(&endpoints)?;
    let builder = Connector::builder(registry(tls), TokioClock::new());
    recorded(builder, arguments.record.as_deref())
        .endpoints(endpoints)
        .policy(policy)
        .build()
        .map_err(|error| Problem::bad(&error))
}

/// A whole deployment.
fn deployed(file: &Path, set: &[String], record: Option<&Path>) -> Result<Client, Problem> {
    let deployed = Deployed::read(file, set)?;
    let builder = Connector::builder(deployed.registry, TokioClock::new());
    recorded(builder, record)
        .endpoints(deployed.endpoints)
        .policy(deployed.policy)
        .build()
        .map_err(|error| wrong_in(file, &error))
}

type Client = Connector<failover_core::dial::Registry<ByteStream>, TokioClock>;

/// Who interrupts a client that records wants its record.
async fn interrupted() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}

fn carry(
    cat: Cat,
    connector: Client,
    interrupted: Option<impl Future<Output = ()>>,
) -> Result<(), Problem> {
    let runtime = runtime()?;
    let mut notes = io::stderr();
    let carried = runtime.block_on(async {
        let (input, output) = (tokio::io::stdin(), tokio::io::stdout());
        let carrying = cat.run(connector, input, output, &mut notes);
        let Some(interrupted) = interrupted else {
            return Some(carrying.await);
        };
        tokio::select! {
            carried = carrying => Some(carried),
            () = interrupted => None,
        }
    });
    // A read of the input may still be under way on another thread; nobody waits for it.
    runtime.shutdown_background();
    let Some(carried) = carried else {
        return Err(Problem::Failed("interrupted".to_string()));
    };
    match carried {
        Ok(_) => Ok(()),
        // Whoever reads has enough, as in `failover cat … | head`.
        Err(CatError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(Problem::failed(&error)),
    }
}

fn policy(arguments: &CatArguments) -> Result<Policy, Problem> {
    let (wait, cap) = (arguments.wait, arguments.cap);
    if wait > cap {
        return Err(Problem::BadInput(format!(
            "--wait {} is above --cap {}: raise --cap or lower --wait",
            print_duration(wait),
            print_duration(cap)
        )));
    }
    let walk = match arguments.order {
        OrderArgument::Listed => Walk::Listed,
        OrderArgument::Rotate => Walk::Rotate,
        OrderArgument::Shuffled => Walk::Shuffled(Shuffle::Once),
    };
    let backoff = Backoff::Exponential {
        base: wait,
        factor: arguments.factor,
    };
    Policy::builder()
        .order(Order::new(walk))
        .pace(Pace::new(backoff).min(arguments.min).cap(cap))
        .jitter(arguments.jitter)
        .tls_jitter(arguments.tls_jitter.unwrap_or(arguments.jitter))
        .limits(Limits::UNLIMITED.turns(arguments.max_reconnects))
        .start_up_limits(Limits::UNLIMITED.sweeps(arguments.start_sweeps))
        .deadline(arguments.deadline)
        .build()
        .map_err(|error| Problem::BadInput(by_flags(&error, arguments)))
}

/// The policy's refusal in the words of the flags.
fn by_flags(error: &PolicyError, arguments: &CatArguments) -> String {
    let flag = |jitter: &Jitter| match *jitter == arguments.jitter {
        true => format!("--jitter {}", print_jitter(*jitter)),
        false => format!("--tls-jitter {}", print_jitter(*jitter)),
    };
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "no flag leads to the others"
    )]
    match error {
        PolicyError::ZeroBase => {
            "--wait 0s: waits that are multiplied never grow from nothing; use --wait 1ms or more"
                .to_string()
        }
        PolicyError::FactorBelowOne { factor } => {
            format!("--factor {factor} would make each wait shorter: use at least 1")
        }
        PolicyError::MinAboveCap { min, cap } => {
            let (min, cap) = (print_duration(*min), print_duration(*cap));
            format!("--min {min} is above --cap {cap}: raise --cap or lower --min")
        }
        PolicyError::MinTooLong { min } => {
            format!(
                "--min {}: no wait is longer than 584 years",
                print_duration(*min)
            )
        }
        PolicyError::Proportion { p } => format!(
            "{} is more than the whole wait: use at most 100%",
            flag(&Jitter::Proportional(*p))
        ),
        PolicyError::NoRoomForJitter { jitter, min, cap } => format!(
            "{} has no room between --min {} and --cap {}: raise --cap, lower --min, or take less jitter",
            flag(jitter),
            print_duration(*min),
            print_duration(*cap)
        ),
        PolicyError::MinSwallowsJitter { jitter, wait, min } => format!(
            "of {} over waits of {} nothing lies above --min {}, so that all clients would wait alike: lower --min, or wait longer",
            flag(jitter),
            print_duration(*wait),
            print_duration(*min)
        ),
        PolicyError::ZeroStartUpLimit { .. } => {
            "--start-sweeps 0 would give up before the first try: use at least 1".to_string()
        }
        PolicyError::ZeroDeadline { deadline } => {
            let deadline = print_duration(*deadline);
            format!("--deadline {deadline} is below a millisecond: give a try at least that")
        }
        other => other.to_string(),
    }
}
