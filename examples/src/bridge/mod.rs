//! `failover bridge`: for programs that cannot be changed. Each local connection is carried to a server of a
//! deployment, over its transports, by its policy.
//!
//! It does **not** understand what passes. So a connection that breaks is closed to its program, which
//! connects anew and is carried to the next server; only before the first byte has passed can another
//! server take its place unseen. Each client has a connector of its own; health, permits and the budget of
//! retries are shared, so that a dead server is found out once and not by everyone.

mod board;
mod carry;
mod client;
mod http;
mod journal;
mod numbers;
mod outcome;
mod page;
mod pages;
mod plan;
mod reload;
mod session;
mod source;
mod view;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use failover_core::drive::{BudgetRules, DialLimiter, RetryBudget, SharedHealth};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use self::board::{Board, Fixed};
use self::carry::Patience;
use self::client::Client;
pub use self::client::{Local, NoPlace, Place};
pub use self::journal::{Journal, Told};
use self::pages::answer;
use self::plan::Common;
pub use self::plan::{Plan, PlanError};
use self::reload::Reloader;
use self::session::{Shared, Stop, serve};
use self::source::Watcher;
pub use self::source::{Loaded, Source, SourceError};
use self::view::for_people;
use crate::timeline::Mark;

/// The bounds of a bridge.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Bounds {
    /// How many programs may be connected at once. Others wait in the listener's backlog.
    pub clients: NonZeroUsize,
    /// How many dials may be in flight at once, over all clients.
    pub dials: NonZeroUsize,
    /// How long a connection may stand over which nothing passes. None: for ever.
    pub idle: Option<Duration>,
    /// How long a server may take for its first byte, where it speaks first. None: for ever.
    pub greeting: Option<Duration>,
    /// How long connections may finish, when the bridge is to end or their server leaves the list.
    pub grace: Duration,
}

impl Bounds {
    /// Without a bound on silence.
    #[must_use]
    pub const fn new(clients: NonZeroUsize, dials: NonZeroUsize, grace: Duration) -> Self {
        Self {
            clients,
            dials,
            idle: None,
            greeting: None,
            grace,
        }
    }

    /// The same, ending connections over which nothing passes for so long.
    #[must_use]
    pub const fn idle(mut self, idle: Option<Duration>) -> Self {
        self.idle = idle;
        self
    }

    /// The same, for servers that speak first: one that has said nothing for so long is left for the next.
    #[must_use]
    pub const fn greeting(mut self, greeting: Option<Duration>) -> Self {
        self.greeting = greeting;
        self
    }
}

/// What a bridge is asked to do while it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ask {
    /// Read the file now, and what it names, whether or not it has changed.
    Reload,
    /// End: take no more clients, let those that are there finish. Asked twice: end at once.
    Stop,
}

/// How a bridge ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ended {
    /// Every client had finished.
    Finished,
    /// So many were cut off when the grace was over.
    CutOff(usize),
    /// It was asked twice, and cut off so many.
    AtOnce(usize),
}

/// How long the listener rests when nothing can be accepted (no descriptors left).
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);
/// How long sessions that were told to end may take.
const LAST_MOMENT: Duration = Duration::from_secs(1);

/// Programs on one side, servers on the other. See the [module](self).
pub struct Bridge {
    local: Local,
    status: Option<TcpListener>,
    reloader: Reloader,
    stop: watch::Sender<Stop>,
    shared: Shared,
    room: Arc<Semaphore>,
}

impl Bridge {
    /// A bridge from these listeners to the servers of this file, which was read from `source`.
    #[must_use]
    pub fn new(
        local: Local,
        status: Option<TcpListener>,
        source: Source,
        loaded: Loaded,
        bounds: Bounds,
        journal: Journal,
    ) -> Self {
        let board = Arc::new(Board::new(Fixed {
            listening: local.name().to_string(),
            file: source.path().display().to_string(),
            most_clients: bounds.clients.get(),
            began: Instant::now(),
            began_at: SystemTime::now(),
        }));
        let clock = journal.clock();
        let common = Common {
            clock,
            health: SharedHealth::new(clock),
            limiter: DialLimiter::new(bounds.dials, clock),
            budget: RetryBudget::new(BudgetRules::default(), clock),
            metrics: Arc::clone(&board.numbers) as _,
        };
        let (plan, plans) = watch::channel(Arc::new(loaded.plan));
        let (stop, stops) = watch::channel(Stop::No);
        Self {
            local,
            status,
            reloader: Reloader {
                source,
                watcher: Watcher::new(loaded.text),
                plan,
                board: Arc::clone(&board),
                journal: journal.clone(),
            },
            stop,
            shared: Shared {
                board,
                journal,
                common: Arc::new(common),
                plan: plans,
                stop: stops,
                patience: Patience {
                    idle: bounds.idle,
                    greeting: bounds.greeting,
                },
                grace: bounds.grace,
            },
            room: Arc::new(Semaphore::new(bounds.clients.get())),
        }
    }

    /// Carries until it is asked to stop. Dropping the sender of `asks` asks for it, too.
    ///
    /// # Cancel safety
    /// Dropping the future cuts everybody off.
    pub async fn run(mut self, mut asks: mpsc::Receiver<Ask>) -> Ended {
        let mut background = JoinSet::new();
        if let Some(status) = self.status.take() {
            let shared = self.shared.clone();
            background.spawn(http::serve(status, move |asked| answer(&shared, asked)));
        }
        let reload = Arc::new(Notify::new());
        background.spawn(self.reloader.run(Arc::clone(&reload)));
        let mut sessions = JoinSet::new();
        loop {
            tokio::select! {
                biased;
                ask = asks.recv() => match ask {
                    Some(Ask::Reload) => reload.notify_one(),
                    Some(Ask::Stop) | None => break,
                },
                Some(_) = sessions.join_next(), if !sessions.is_empty() => {}
                (client, place) = next(&self.local, &self.room, &self.shared) => {
                    let shared = self.shared.clone();
                    sessions.spawn(async move {
                        serve(client, shared).await;
                        drop(place);
                    });
                }
            }
        }
        let Self {
            local,
            stop,
            shared,
            ..
        } = self;
        drop(local);
        shut_down(sessions, &shared, &stop, asks).await
    }
}

/// The next program, and its place among those that may be there.
async fn next(
    local: &Local,
    room: &Arc<Semaphore>,
    shared: &Shared,
) -> (Client, OwnedSemaphorePermit) {
    loop {
        let place = match Arc::clone(room).try_acquire_owned() {
            Ok(place) => place,
            Err(_) => {
                if shared.board.is_full() {
                    let most = shared.board.fixed.most_clients;
                    let are = match most {
                        1 => "1 client is".to_string(),
                        _ => format!("{most} clients are"),
                    };
                    let text = format!("{are} connected: others wait until one ends");
                    let fields = json!({"max_connections": most});
                    shared.journal.news(Mark::Warning, "full", &text, fields);
                }
                match Arc::clone(room).acquire_owned().await {
                    Ok(place) => place,
                    Err(_) => return std::future::pending().await,
                }
            }
        };
        shared.board.has_room();
        match local.accept().await {
            Ok(client) => {
                shared.board.accepts();
                return (client, place);
            }
            Err(error) => {
                if shared.board.accept_fails() {
                    let text = format!("cannot accept: {error}; it is tried again and again");
                    let fields = json!({"error": error.to_string()});
                    shared.journal.news(Mark::Bad, "accept", &text, fields);
                }
                sleep(ACCEPT_AGAIN).await;
            }
        }
    }
}

async fn shut_down(
    mut sessions: JoinSet<()>,
    shared: &Shared,
    stop: &watch::Sender<Stop>,
    mut asks: mpsc::Receiver<Ask>,
) -> Ended {
    while sessions.try_join_next().is_some() {}
    shared.board.drains();
    let grace = for_people(shared.grace);
    let count = sessions.len();
    let text = format!("no new clients; {count} may finish within {grace}");
    let fields = json!({"clients": count, "grace_s": shared.grace.as_secs_f64()});
    shared.journal.news(Mark::Deed, "stopping", &text, fields);
    // Those that have no server yet end at once.
    stop.send_replace(Stop::Draining);
    let asked_again = async {
        while let Some(ask) = asks.recv().await {
            if ask == Ask::Stop {
                return;
            }
        }
        std::future::pending().await
    };
    let ended = tokio::select! {
        biased;
        () = async { while sessions.join_next().await.is_some() {} } => Ended::Finished,
        () = asked_again => Ended::AtOnce(0),
        () = sleep(shared.grace) => Ended::CutOff(0),
    };
    let left = sessions.len();
    stop.send_replace(Stop::Now);
    let all = async { while sessions.join_next().await.is_some() {} };
    let _ = timeout(LAST_MOMENT, all).await;
    let ended = match ended {
        Ended::Finished => Ended::Finished,
        Ended::CutOff(_) => Ended::CutOff(left),
        Ended::AtOnce(_) => Ended::AtOnce(left),
    };
    let text = match ended {
        Ended::Finished => "every client had finished".to_string(),
        Ended::CutOff(1) => "1 client was cut off: the grace was over".to_string(),
        Ended::CutOff(left) => format!("{left} clients were cut off: the grace was over"),
        Ended::AtOnce(1) => "1 client was cut off: asked twice".to_string(),
        Ended::AtOnce(left) => format!("{left} clients were cut off: asked twice"),
    };
    let left = json!({"cut_off": left});
    shared.journal.news(Mark::Deed, "stopped", &text, left);
    ended
}
