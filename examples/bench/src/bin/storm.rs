//! Thousands of real connections whose server dies and returns.

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use failover_bench::storm::{self, Figures, Over, Row, Run};

/// Thousands of real connections on loopback whose server is killed and returns.
///
/// For each kind of clients: how long until all are back, how many were accepted in the worst tenth of a
/// second, what it cost; and what the simulator says of the same storm, given the time that this server took
/// for each connection at first. Each kind runs in a process of its own, its server in another.
///
/// Exit code: 0 all came back, 1 some did not, or a run failed, 2 the system allows too few descriptors, or
/// bad arguments.
#[derive(Parser)]
struct Arguments {
    /// Clients over plain TCP. 0: no such storm.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(0..=50_000))]
    tcp: u32,
    /// Clients over TLS. 0: no such storm.
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(0..=20_000))]
    tls: u32,
    /// Milliseconds from the server's death to its next start.
    #[arg(long, value_name = "MS", default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..=300_000))]
    outage: u64,
    /// Seconds that the clients may take to come back.
    #[arg(long, value_name = "S", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=600))]
    within: u64,
    /// How many times each kind runs, in turn; the figures are the medians.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=20))]
    rounds: u32,
    /// Who the clients are: what `failover herd --compare` knows (full-jitter has our default's cap here),
    /// naive (connect, use, sleep a second, again), stubborn-io,
    /// async-nats-client (over TCP alone; its server speaks NATS).
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "NAME,…",
        default_value = "ours,full-jitter,decorrelated,constant,nats,naive"
    )]
    clients: Vec<String>,
    /// The seed of the first client.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// A line of JSON for each run instead of tables.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    if let Some(part) = storm::part() {
        return ended(part.map(|()| ExitCode::SUCCESS));
    }
    let arguments = Arguments::parse();
    for who in &arguments.clients {
        if let Err(error) = storm::check(who) {
            eprintln!("storm: --clients: {error}");
            return ExitCode::from(2);
        }
    }
    let most = arguments.tcp.max(arguments.tls);
    if let Err(error) = storm::descriptors(usize::try_from(most).unwrap_or(usize::MAX)) {
        eprintln!("storm: {error}");
        return ExitCode::from(2);
    }
    ended(storms(&arguments))
}

fn ended(end: io::Result<ExitCode>) -> ExitCode {
    end.unwrap_or_else(|error| {
        eprintln!("storm: {error}");
        ExitCode::FAILURE
    })
}

fn storms(arguments: &Arguments) -> io::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut recovered = true;
    for (over, clients) in [(Over::Tcp, arguments.tcp), (Over::Tls, arguments.tls)] {
        if clients > 0 {
            let rows = runtime.block_on(storm(arguments, over, clients))?;
            recovered &= rows.iter().all(Row::recovered);
            if !arguments.json {
                print(arguments, over, &rows);
            }
        }
    }
    Ok(ExitCode::from(u8::from(!recovered)))
}

/// All kinds of clients in turn, and again.
async fn storm(arguments: &Arguments, over: Over, clients: u32) -> io::Result<Vec<Row>> {
    let empty = |who: &String| Row {
        who: who.clone(),
        rounds: Vec::new(),
    };
    let mut rows: Vec<Row> = arguments.clients.iter().map(empty).collect();
    for round in 0..arguments.rounds {
        for row in &mut rows {
            let run = Run {
                who: row.who.clone(),
                over,
                clients: usize::try_from(clients).unwrap_or(usize::MAX),
                outage: Duration::from_millis(arguments.outage),
                within: Duration::from_secs(arguments.within),
                seed: arguments
                    .seed
                    .wrapping_add(u64::from(round) * u64::from(clients)),
            };
            let figures = run.go().await?;
            if arguments.json {
                println!("{}", serde_json::to_string(&figures)?);
            }
            row.rounds.push(figures);
        }
    }
    Ok(rows)
}

fn print(arguments: &Arguments, over: Over, rows: &[Row]) {
    let rounds = || rows.iter().flat_map(|row| &row.rounds);
    let clients = rounds().next().map_or(0, |figures| figures.run.clients);
    let name = match over {
        Over::Tcp => "plain TCP",
        Over::Tls => "TLS",
    };
    let longest = |figure: fn(&Figures) -> Duration| rounds().map(figure).max().unwrap_or_default();
    println!(
        "{clients} clients over {name}; the server was away for up to {:.2} s, and half of them knew after up \
         to {:.2} s; at first it took at most {:.0} µs for each; rounds: {}\n",
        longest(|f| f.away).as_secs_f64(),
        longest(|f| f.noticed).as_secs_f64(),
        longest(|f| f.work).as_secs_f64() * 1e6,
        arguments.rounds,
    );
    println!("{}", storm::table(rows));
    if let Some(goals) = storm::goals(rows) {
        println!("{goals}");
    }
}
