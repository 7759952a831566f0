//! Takes the file when it has changed, or when somebody asks for it.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::sync::{Notify, watch};
use tokio::time::{MissedTickBehavior, interval};

use crate::bridge::board::Board;
use crate::bridge::journal::Journal;
use crate::bridge::plan::Plan;
use crate::bridge::source::{Source, SourceError, Watcher};
use crate::plural::counted;
use crate::timeline::{Mark, chain};

/// How often the file is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Looks after the file. A task of its own, so that a file system that hangs holds up no connection.
pub(crate) struct Reloader {
    pub(crate) source: Source,
    pub(crate) watcher: Watcher,
    pub(crate) plan: watch::Sender<Arc<Plan>>,
    pub(crate) board: Arc<Board>,
    pub(crate) journal: Journal,
}

impl Reloader {
    pub(crate) async fn run(mut self, asked: Arc<Notify>) {
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = asked.notified() => self.reload().await,
                _ = look.tick() => self.look().await,
            }
        }
    }

    /// Takes the file if it has changed.
    async fn look(&mut self) {
        let text = self.source.text().await;
        if let Some(text) = self.watcher.look(text) {
            self.take(text).await;
        }
    }

    /// Takes the file as it is.
    async fn reload(&mut self) {
        let text = self.source.text().await;
        self.watcher.tried(&text);
        self.take(text).await;
    }

    async fn take(&mut self, text: Result<String, SourceError>) {
        let made = match text {
            Ok(text) => self.source.plan(&text).await,
            Err(error) => Err(error),
        };
        let (board, journal) = (&self.board, &self.journal);
        match made {
            Ok(plan) => {
                let old = Arc::clone(&self.plan.borrow());
                let names = |of: &Plan, but: &Plan| -> Vec<String> {
                    let changed = of.endpoints().iter().filter(|one| !but.lists(one));
                    changed.map(|one| one.name().to_string()).collect()
                };
                let (came, left) = (names(&plan, &old), names(&old, &plan));
                let text = format!(
                    "{}; came: {}; left: {}",
                    counted(plan.endpoints().len(), "server"),
                    or_none(&came),
                    or_none(&left)
                );
                board.file_taken(|name| plan.endpoints().iter().any(|one| one.name() == name));
                journal.news(
                    Mark::Deed,
                    "file taken",
                    &text,
                    json!({"came": came, "left": left}),
                );
                self.plan.send_replace(Arc::new(plan));
            }
            Err(error) => {
                let why = chain(&error);
                let text = format!("{why}; the older one stays");
                journal.news(Mark::Bad, "file refused", &text, json!({"error": why}));
                board.file_refused(why);
            }
        }
    }
}

fn or_none(names: &[String]) -> String {
    match names.is_empty() {
        true => "none".to_string(),
        false => names.join(", "),
    }
}
