//! `failover bridge`.

use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use examples::bridge::{Ask, Bounds, Bridge, Ended, Journal, Local, Place, Source, Told};
use examples::plural::counted;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

use crate::deployed::changes;
use crate::values::{at_least_one, duration, file, socket};
use crate::{Problem, runtime, style};

/// For programs that cannot be changed: carries local connections to the servers of a deployment, over
/// its transports, by its policy.
///
/// Each program that connects gets a connection to the server that the policy chooses. If that breaks,
/// the program's connection is reset; it connects anew, and is carried to the next server. The file is read
/// again when it changes. docs/bridge.md has all of it.
#[derive(Args, Debug)]
#[command(after_help = "\
Signals: SIGHUP reads the file now. SIGINT and SIGTERM end it: nobody new, --grace for those who are there;
a second one ends it at once.

Examples:
  failover bridge --config deploy.toml --listen 127.0.0.1:4222
  failover bridge --config deploy.toml --listen unix:/run/broker.sock --status 127.0.0.1:8222
  failover bridge --config deploy.toml --check && kill -HUP \"$(pidof failover)\"
  curl http://127.0.0.1:8222/          # who is connected to which server, and why

Exit codes: 0 it was asked to end and every client had finished, 1 it failed, 2 the file or the arguments
make no sense, 3 clients were cut off when the grace was over, 130 and 143 the second SIGINT or SIGTERM.")]
pub(crate) struct BridgeArguments {
    /// The deployment: servers, transports, policy; docs/reference.md has every key
    #[arg(long, value_parser = file(), value_name = "FILE.toml")]
    config: PathBuf,
    /// Change a key of that file: `policy.deadline=2s`. The variable FAILOVER__POLICY__DEADLINE of the
    /// environment does the same; the flag beats it
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Where programs connect: 127.0.0.1:4222, or unix:/path
    #[arg(long, value_name = "ADDRESS", required_unless_present = "check")]
    listen: Option<Place>,
    /// Where the page, /health and /metrics are: 127.0.0.1:8222 [default: nowhere]
    #[arg(long, value_parser = socket, value_name = "ADDRESS")]
    status: Option<SocketAddr>,
    /// Only check the file, and what it names
    #[arg(long, conflicts_with_all = ["listen", "status"])]
    check: bool,

    /// How many programs may be connected at once; others wait until one ends. Each takes two
    /// descriptors
    #[arg(long, value_parser = at_least_one(), value_name = "N", default_value = "500")]
    max_connections: NonZeroUsize,
    /// How many dials may be in flight at once, over all programs
    #[arg(long, value_parser = at_least_one(), value_name = "N", default_value = "64")]
    max_dials: NonZeroUsize,
    /// How long a program waits for a server, where the file's limits do not say it
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "30s")]
    wait: Duration,
    /// End connections over which nothing passes for so long [default: never]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    idle: Option<Duration>,
    /// The servers speak first (NATS, MySQL, SMTP, SSH, …): one that has said nothing for so long is left for
    /// the next, as one that cannot be reached [default: never]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    greeting: Option<Duration>,
    /// How long connections may finish when it is asked to end, or when their server leaves the file
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "5s")]
    grace: Duration,

    /// Tell every connection and every dial on standard error, not only news
    #[arg(short, long)]
    verbose: bool,
    /// Write what goes to standard error as JSON lines
    #[arg(long)]
    pub(crate) json: bool,
}

pub(crate) fn run(arguments: &BridgeArguments) -> Result<(), Problem> {
    for (flag, time) in [
        ("--wait", Some(arguments.wait)),
        ("--idle", arguments.idle),
        ("--greeting", arguments.greeting),
    ] {
        if time == Some(Duration::ZERO) {
            let what = format!("{flag} 0s would end every connection at once: use at least 1ms");
            return Err(Problem::BadInput(what));
        }
    }
    if !arguments.check {
        let clients = arguments.max_connections.get() as u64;
        descriptors(2 * clients + arguments.max_dials.get() as u64 + SPARE_DESCRIPTORS)?;
    }
    let changes = changes(&arguments.set)?;
    let source = Source::new(&arguments.config, changes, arguments.wait);
    let runtime = runtime()?;
    let ended = runtime.block_on(carry(arguments, source));
    // A name may still be looked up on another thread; nobody waits for it.
    runtime.shutdown_background();
    match ended? {
        None => Ok(()),
        Some(code) => Err(Problem::Ended(code)),
    }
}

/// For what is neither a client's nor a dial's: listeners, the page, the file, the resolver.
const SPARE_DESCRIPTORS: u64 = 64;

/// Sees to it that there are as many descriptors as can be needed. Without one for the server's side, a
/// client that was let in could only wait.
#[cfg(unix)]
fn descriptors(needed: u64) -> Result<(), Problem> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= needed) {
        return Ok(());
    }
    let raised = Rlimit {
        current: Some(needed),
        ..limit
    };
    if limit.maximum.is_none_or(|most| most >= needed)
        && setrlimit(Resource::Nofile, raised).is_ok()
    {
        return Ok(());
    }
    let most = limit.maximum.or(limit.current).unwrap_or_default();
    Err(Problem::BadInput(format!(
        "--max-connections and --max-dials need {needed} descriptors, this process may have {most}: \
         lower them, or raise `ulimit -Hn`"
    )))
}

#[cfg(not(unix))]
fn descriptors(_: u64) -> Result<(), Problem> {
    Ok(())
}

/// The exit code, if it is not 0.
async fn carry(arguments: &BridgeArguments, source: Source) -> Result<Option<u8>, Problem> {
    let loaded = source.load().await.map_err(|error| Problem::bad(&error))?;
    let told = match arguments.verbose {
        true => Told::Everything,
        false => Told::News,
    };
    let style = style(arguments.json, &io::stderr());
    let journal =
        Journal::new(style, told, io::stderr()).map_err(|error| Problem::failed(&error))?;
    let servers = loaded.servers();
    let file = arguments.config.display().to_string();
    let Some(listen) = &arguments.listen else {
        let text = format!("{file}: {}, nothing is wrong", counted(servers, "server"));
        journal.good("checked", &text, json!({"file": file, "servers": servers}));
        journal.finish();
        return Ok(None);
    };
    // Before anything is told: whoever reads that it listens may send a signal.
    let (asks, last) = signals()?;
    let local = Local::bind(listen)
        .await
        .map_err(|error| Problem::Failed(format!("cannot listen on {}: {error}", shown(listen))))?;
    let status = match arguments.status {
        Some(address) => Some(status(address, &journal).await?),
        None => None,
    };
    let text = format!(
        "{}, for {} of {file}",
        local.name(),
        counted(servers, "server")
    );
    let fields = json!({"address": local.name(), "file": file, "servers": servers});
    journal.good("listening", &text, fields);
    if !local.is_local() {
        let what =
            "--listen: whoever reaches this machine speaks to the servers with the file's identity";
        journal.warn("open", what);
    }
    let bounds = Bounds::new(
        arguments.max_connections,
        arguments.max_dials,
        arguments.grace,
    );
    let bounds = bounds.idle(arguments.idle).greeting(arguments.greeting);
    let bridge = Bridge::new(local, status, source, loaded, bounds, journal.clone());
    let ended = bridge.run(asks).await;
    journal.finish();
    Ok(match ended {
        Ended::Finished => None,
        Ended::CutOff(_) => Some(3),
        Ended::AtOnce(_) => Some(last.borrow().unwrap_or(130)),
        _ => Some(1),
    })
}

async fn status(address: SocketAddr, journal: &Journal) -> Result<TcpListener, Problem> {
    let cannot = |error: io::Error| {
        Problem::Failed(format!("cannot listen on {address} for --status: {error}"))
    };
    let listener = TcpListener::bind(address).await.map_err(cannot)?;
    let address = listener.local_addr().map_err(cannot)?;
    let text = format!("http://{address}/");
    journal.good("status", &text, json!({"address": address.to_string()}));
    if !address.ip().is_loopback() {
        journal.warn(
            "open",
            "--status: whoever reaches this machine reads the page",
        );
    }
    Ok(listener)
}

fn shown(place: &Place) -> String {
    match place {
        Place::Tcp(address) => address.to_string(),
        Place::Unix(path) => format!("unix:{}", path.display()),
        other => format!("{other:?}"),
    }
}

type Asks = (mpsc::Receiver<Ask>, watch::Receiver<Option<u8>>);

/// What signals ask for, and the exit code that the last one to end it stands for.
#[cfg(unix)]
fn signals() -> Result<Asks, Problem> {
    use tokio::signal::unix::{SignalKind, signal};

    let listen = |kind| signal(kind).map_err(|error| Problem::failed(&error));
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut terminate = listen(SignalKind::terminate())?;
    let mut hang_up = listen(SignalKind::hangup())?;
    let (ask, asks) = mpsc::channel(4);
    let (code, last) = watch::channel(None);
    tokio::spawn(async move {
        loop {
            let (asked, meaning) = tokio::select! {
                Some(()) = interrupt.recv() => (Ask::Stop, Some(130)),
                Some(()) = terminate.recv() => (Ask::Stop, Some(143)),
                Some(()) = hang_up.recv() => (Ask::Reload, None),
                else => return,
            };
            if meaning.is_some() {
                code.send_replace(meaning);
            }
            if ask.send(asked).await.is_err() {
                return;
            }
        }
    });
    Ok((asks, last))
}

#[cfg(not(unix))]
fn signals() -> Result<Asks, Problem> {
    let (ask, asks) = mpsc::channel(4);
    let (code, last) = watch::channel(None);
    tokio::spawn(async move {
        while tokio::signal::ctrl_c().await.is_ok() {
            code.send_replace(Some(130));
            if ask.send(Ask::Stop).await.is_err() {
                return;
            }
        }
    });
    Ok((asks, last))
}
