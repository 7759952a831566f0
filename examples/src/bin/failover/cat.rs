//! `failover cat`.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::sync::Arc;

use examples::cat::{Cat, CatError, Told, Unconfirmed};
use examples::registry;
use examples::timeline::{Style, chain};
use failover_core::directory::{Endpoint, Url};
use failover_core::drive::Connector;
use failover_core::policy::{Backoff, Limits, Order, Pace, Policy, Shuffle, Walk};
use serde_json::json;
use transport_tcp::{ByteStream, TokioClock};
use transport_tls::rustls::crypto::ring;
use transport_tls::rustls::{ClientConfig, RootCertStore};
use transport_tls::{Pem, Roots, ServerName, TlsConfig};

use crate::args::{CatArguments, OrderArgument};
use crate::{Problem, runtime, style};

pub(crate) fn run(arguments: &CatArguments) -> Result<(), Problem> {
    let endpoints = endpoints(arguments)?;
    let policy = policy(arguments)?;
    let tls = tls(arguments, &endpoints)?;
    let connector = Connector::builder(registry(tls), TokioClock::new())
        .endpoints(endpoints)
        .policy(policy)
        .build()
        .map_err(|error| Problem::bad(&error))?;
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
    carry(cat, connector)
}

type Client = Connector<failover_core::dial::Registry<ByteStream>, TokioClock>;

fn carry(cat: Cat, connector: Client) -> Result<(), Problem> {
    let runtime = runtime()?;
    let mut notes = io::stderr();
    let carried = runtime.block_on(cat.run(
        connector,
        tokio::io::stdin(),
        tokio::io::stdout(),
        &mut notes,
    ));
    // A read of the input may still be under way on another thread; nobody waits for it.
    runtime.shutdown_background();
    match carried {
        Ok(_) => Ok(()),
        // Whoever reads has enough, as in `failover cat … | head`.
        Err(CatError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(failed(cat.style, &error)),
    }
}

fn failed(style: Style, error: &CatError) -> Problem {
    if style == Style::Json {
        let line = json!({"event": "failed", "error": chain(error)});
        let _ = writeln!(io::stderr(), "{line}");
        return Problem::Told;
    }
    Problem::failed(error)
}

/// Each server is named after its URL, without credentials.
fn endpoints(arguments: &CatArguments) -> Result<Vec<Endpoint>, Problem> {
    let mut names = BTreeSet::new();
    let mut endpoints = Vec::new();
    for text in &arguments.urls {
        let url: Url = text.parse().map_err(|error| Problem::bad(&error))?;
        let shown = url.to_string();
        let mut name = shown.clone();
        // Two URLs may differ in what is not shown.
        let mut number = 2;
        while !names.insert(name.clone()) {
            name = format!("{shown} ({number})");
            number += 1;
        }
        let mut endpoint = Endpoint::new(url).named(name);
        if let Some(name) = &arguments.server_name {
            let name: ServerName = name.parse().map_err(|error| Problem::bad(&error))?;
            endpoint = endpoint.with(name);
        }
        endpoints.push(endpoint);
    }
    Ok(endpoints)
}

fn policy(arguments: &CatArguments) -> Result<Policy, Problem> {
    let (wait, cap) = (arguments.wait, arguments.cap);
    if wait > cap {
        return Err(Problem::BadInput(format!(
            "--wait is {wait:?}, which is above --cap ({cap:?}): raise --cap or lower --wait"
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
        .map_err(|error| Problem::bad(&error))
}

/// The platform's authorities are read only when a server needs them.
fn tls(arguments: &CatArguments, endpoints: &[Endpoint]) -> Result<Arc<ClientConfig>, Problem> {
    let config = TlsConfig::new();
    if let Some(file) = &arguments.ca {
        let only = Roots::Only(Pem::File(file.clone()));
        let built = config.roots(only).build();
        return built.map_err(|error| Problem::bad(&error));
    }
    let mut urls = endpoints.iter().flat_map(Endpoint::routes);
    if urls.any(|url| ["tls", "wss"].contains(&url.scheme())) {
        return config.build().map_err(|error| Problem::failed(&error));
    }
    let provider = Arc::new(ring::default_provider());
    let trusting_nobody = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Problem::failed(&error))?
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    Ok(Arc::new(trusting_nobody))
}
