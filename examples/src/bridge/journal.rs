//! What the bridge tells on standard error: a line for people, or JSON.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use failover_core::drive::{Clock, Event};
use serde_json::{Map, Value, json};
use transport_tcp::TokioClock;

use crate::timeline::{Mark, Style};

/// Where the bridge tells what happens. Clones write to the same place.
///
/// A thread of its own writes, so that whoever reads too slowly holds up no connection: what does not
/// fit among the 1024 lines that wait is left out, and counted.
#[derive(Clone)]
pub struct Journal {
    inside: Arc<Inside>,
}

struct Inside {
    style: Style,
    told: Told,
    clock: TokioClock,
    lines: Mutex<Option<SyncSender<String>>>,
    done: Mutex<Receiver<()>>,
    left_out: AtomicU64,
}

/// How much is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Told {
    /// What concerns an operator: servers that fail and come back, connections that broke, the file.
    News,
    /// Every connection and every dial as well.
    Everything,
}

/// How many lines wait for their reader.
const WAITING: usize = 1024;

impl Journal {
    /// Writes to `out` from a thread that this starts. Times count from now.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn new(style: Style, told: Told, out: impl Write + Send + 'static) -> io::Result<Self> {
        let (lines, waiting) = sync_channel(WAITING);
        let (finish, done) = sync_channel(1);
        std::thread::Builder::new()
            .name("journal".to_string())
            .spawn(move || {
                write_all(waiting, out);
                let _ = finish.send(());
            })?;
        Ok(Self {
            inside: Arc::new(Inside {
                style,
                told,
                clock: TokioClock::new(),
                lines: Mutex::new(Some(lines)),
                done: Mutex::new(done),
                left_out: AtomicU64::new(0),
            }),
        })
    }

    /// The clock that lines are timed by.
    pub(crate) fn clock(&self) -> TokioClock {
        self.inside.clock
    }

    /// How many lines were left out.
    #[must_use]
    pub fn left_out(&self) -> u64 {
        self.inside.left_out.load(Ordering::Relaxed)
    }

    /// Waits until all is written, for a second at most. What is told later is not written.
    pub fn finish(&self) {
        drop(locked(&self.inside.lines).take());
        let _ = locked(&self.inside.done).recv_timeout(Duration::from_secs(1));
    }

    /// Something that is as it should be: a word for the column, a sentence for people, fields for
    /// programs.
    pub fn good(&self, word: &'static str, text: &str, fields: Value) {
        self.news(Mark::Good, word, text, fields);
    }

    /// Something that an operator should know.
    pub fn warn(&self, word: &'static str, text: &str) {
        self.news(Mark::Warning, word, text, json!({}));
    }

    /// News: a word for the column, a sentence for people, fields for programs.
    pub(crate) fn news(&self, mark: Mark, word: &'static str, text: &str, fields: Value) {
        let line = match self.inside.style {
            Style::Json => self.as_json(word, text, fields),
            style @ (Style::Plain | Style::Coloured) => {
                style.line(self.inside.clock.now(), mark, word, text)
            }
        };
        self.write(line);
    }

    /// The same, where everything is told: elsewhere the sentence and the fields are not made.
    pub(crate) fn detail(
        &self,
        mark: Mark,
        word: &'static str,
        line: impl FnOnce() -> (String, Value),
    ) {
        if self.inside.told == Told::Everything {
            let (text, fields) = line();
            self.news(mark, word, &text, fields);
        }
    }

    /// An event of a connection's connector, where everything is told.
    pub(crate) fn event(&self, connection: u64, event: &Event) {
        if self.inside.told != Told::Everything {
            return;
        }
        let Some(line) = self.inside.style.event(event) else {
            return;
        };
        self.write(match self.inside.style {
            Style::Json => match serde_json::from_str::<Map<String, Value>>(&line) {
                Ok(mut line) => {
                    line.insert("connection".to_string(), connection.into());
                    Value::Object(line).to_string()
                }
                Err(_) => line,
            },
            Style::Plain | Style::Coloured => format!("{line} (#{connection})"),
        });
    }

    fn as_json(&self, word: &str, text: &str, fields: Value) -> String {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH);
        let mut line = json!({
            "event": word.replace(' ', "-"),
            "unix_s": unix.unwrap_or_default().as_secs_f64(),
            "text": text,
        });
        if let (Value::Object(line), Value::Object(fields)) = (&mut line, fields) {
            line.extend(fields);
        }
        line.to_string()
    }

    fn write(&self, line: String) {
        if let Some(lines) = &*locked(&self.inside.lines)
            && let Err(TrySendError::Full(_)) = lines.try_send(line)
        {
            self.inside.left_out.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn write_all(lines: Receiver<String>, mut out: impl Write) {
    for line in lines {
        // Whoever does not want to read is not asked again, line by line.
        let _ = writeln!(out, "{line}").and_then(|()| out.flush());
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// A reader that takes nothing until it is let go.
    struct Stuck(Receiver<()>);

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.0.recv();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_is_stuck_holds_nobody_up_and_what_it_misses_is_counted() {
        let (let_go, stuck) = sync_channel(0);
        let journal = Journal::new(Style::Json, Told::News, Stuck(stuck)).unwrap();
        let lines = WAITING as u64 + 100;
        for number in 0..lines {
            journal.news(Mark::Note, "line", "", json!({"number": number}));
        }
        // One line may be in the writer's hands.
        assert!((99..=100).contains(&journal.left_out()));
        drop(let_go);
        journal.finish();
    }

    #[test]
    fn a_detail_is_made_only_where_everything_is_told() {
        for (told, times) in [(Told::News, 0), (Told::Everything, 1)] {
            let journal = Journal::new(Style::Plain, told, io::sink()).unwrap();
            let mut made = 0;
            journal.detail(Mark::Note, "word", || {
                made += 1;
                ("a sentence".to_string(), json!({}))
            });
            assert_eq!(made, times, "{told:?}");
        }
    }
}
