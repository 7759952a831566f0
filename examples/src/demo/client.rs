//! The demo's session: numbered lines out, the same lines back, every byte compared.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use failover_core::attempt::AttemptId;
use failover_core::drive::Established;
use failover_core::failure::{Classify, Failure, Kind};
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout_at};
use transport_tcp::ByteStream;

/// A line goes out this often.
pub(crate) const EVERY: Duration = Duration::from_millis(20);

/// An echo that takes longer than this means that the server is silent: a loss. The bound within
/// which a stall is noticed.
pub(crate) const ECHO_WITHIN: Duration = Duration::from_millis(750);

/// What the client has seen so far, over all connections.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    /// The connection in use, or used last.
    pub(crate) link: Option<AttemptId>,
    /// When the session before it ended.
    pub(crate) ended: Option<Instant>,
    /// How long after that end it was handed to its own session.
    pub(crate) handed_after: Option<Duration>,
    /// Lines whose echo came back on it.
    pub(crate) on_link: u64,
    /// Lines sent, on all connections.
    pub(crate) sent: u64,
    /// Lines whose echo came back right.
    pub(crate) echoed: u64,
    /// Bytes of those.
    pub(crate) bytes: u64,
    /// The first byte that was wrong.
    pub(crate) wrong: Option<Wrong>,
}

/// A byte that should have been another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("byte {at} of the echo of line {line} is {got:#04x}, {}", should_be(*expected))]
pub(crate) struct Wrong {
    line: u64,
    at: usize,
    got: u8,
    /// Nothing, if no echo was due at all.
    expected: Option<u8>,
}

fn should_be(expected: Option<u8>) -> String {
    expected.map_or_else(
        || "but nothing was due".to_string(),
        |byte| format!("should be {byte:#04x}"),
    )
}

/// Why a session of the demo ended.
#[derive(Debug, Error)]
pub(crate) enum EchoError {
    #[error("the server closed the connection")]
    Closed,
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("no echo for {within:?}, though the connection stands")]
    Silent { within: Duration },
    #[error("wrong echo: {0}")]
    Wrong(Wrong),
}

impl Classify for EchoError {
    fn failure(&self) -> Failure {
        match self {
            Self::Closed => Failure::new(Kind::Closed),
            Self::Io(error) => Failure::from_io(error),
            Self::Silent { .. } => Failure::new(Kind::Stale),
            Self::Wrong(_) => Failure::new(Kind::Protocol),
        }
    }
}

/// Talks over one connection until it is lost.
pub(crate) async fn exchange(
    established: Established<ByteStream>,
    tally: watch::Sender<Tally>,
    seed: u64,
) -> Result<(), EchoError> {
    let id = established.id();
    tally.send_modify(|tally| {
        tally.handed_after = tally.ended.take().map(|ended| ended.elapsed());
        tally.link = Some(id);
        tally.on_link = 0;
    });
    let ended = talk(established.conn, &tally, seed).await;
    if let Err(EchoError::Wrong(wrong)) = &ended {
        tally.send_modify(|tally| tally.wrong = tally.wrong.or(Some(*wrong)));
    }
    tally.send_modify(|tally| tally.ended = Some(Instant::now()));
    ended
}

async fn talk(
    mut conn: ByteStream,
    tally: &watch::Sender<Tally>,
    seed: u64,
) -> Result<(), EchoError> {
    let mut due = Due::default();
    let silent = EchoError::Silent {
        within: ECHO_WITHIN,
    };
    let mut buffer = [0; 4096];
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let deadline = due.deadline();
        tokio::select! {
            // What has come is read before the deadline is asked: a slow machine is no silence.
            biased;
            read = conn.read(&mut buffer) => {
                let n = read?;
                if n == 0 {
                    return Err(EchoError::Closed);
                }
                let lines = due.compare(&buffer[..n]).map_err(EchoError::Wrong)?;
                tally.send_modify(|tally| {
                    tally.on_link += lines;
                    tally.echoed += lines;
                    tally.bytes += n as u64;
                });
            }
            () = sleep_until(deadline), if !due.lines.is_empty() => return Err(silent),
            _ = ticks.tick() => {
                let number = tally.borrow().sent;
                tally.send_modify(|tally| tally.sent += 1);
                let text = line(seed, number);
                let sent = Instant::now();
                due.lines.push_back(Line { number, text: text.clone(), sent });
                let written = async {
                    conn.write_all(text.as_bytes()).await?;
                    conn.flush().await
                };
                let Ok(written) = timeout_at(sent + ECHO_WITHIN, written).await else {
                    return Err(silent);
                };
                written?;
            }
        }
    }
}

/// The lines that were sent and have not come back, oldest first.
#[derive(Debug, Default)]
struct Due {
    lines: VecDeque<Line>,
    /// How much of the first has come back.
    at: usize,
    /// The number of the line that came back last.
    last: u64,
}

#[derive(Debug)]
struct Line {
    number: u64,
    text: String,
    sent: Instant,
}

impl Due {
    /// When the oldest echo is overdue.
    fn deadline(&self) -> Instant {
        let oldest = self.lines.front().map(|line| line.sent);
        oldest.unwrap_or_else(Instant::now) + ECHO_WITHIN
    }

    /// Compares what came with what is due; says how many lines are complete now.
    fn compare(&mut self, bytes: &[u8]) -> Result<u64, Wrong> {
        let mut complete = 0;
        for &got in bytes {
            let at = self.at;
            let Some(line) = self.lines.front() else {
                return Err(Wrong {
                    line: self.last,
                    at,
                    got,
                    expected: None,
                });
            };
            let expected = line.text.as_bytes().get(at).copied();
            if expected != Some(got) {
                let line = line.number;
                return Err(Wrong {
                    line,
                    at,
                    got,
                    expected,
                });
            }
            self.at += 1;
            if self.at == line.text.len() {
                self.last = line.number;
                self.lines.pop_front();
                self.at = 0;
                complete += 1;
            }
        }
        Ok(complete)
    }
}

/// `number payload checksum`: the payload depends on seed and number, its length too.
fn line(seed: u64, number: u64) -> String {
    let word = mix(seed ^ mix(number));
    let payload = format!("{word:016x}").repeat(1 + usize::from(word.to_le_bytes()[0]) % 8);
    let body = format!("{number:08} {payload}");
    format!("{body} {:016x}\n", checksum(body.as_bytes()))
}

/// The finalizer of SplitMix64.
fn mix(word: u64) -> u64 {
    let word = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

/// FNV-1a: a reader of the wire can check a line by itself.
fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(numbers: std::ops::Range<u64>) -> (Due, Vec<u8>) {
        let mut due = Due::default();
        let mut wire = Vec::new();
        for number in numbers {
            let text = line(7, number);
            wire.extend_from_slice(text.as_bytes());
            let sent = Instant::now();
            due.lines.push_back(Line { number, text, sent });
        }
        (due, wire)
    }

    #[tokio::test]
    async fn an_echo_may_come_in_any_pieces() {
        let whole = due(0..5).1.len();
        for size in [1, 3, 40, whole] {
            let (mut due, wire) = due(0..5);
            let complete: u64 = wire.chunks(size).map(|c| due.compare(c).unwrap()).sum();
            assert_eq!(complete, 5, "in pieces of {size}");
            assert!(due.lines.is_empty());
        }
    }

    #[tokio::test]
    async fn any_wrong_byte_is_found_wherever_it_is() {
        let (_, wire) = due(0..3);
        for at in 0..wire.len() {
            let (mut due, mut wire) = due(0..3);
            wire[at] ^= 0x10;
            assert!(due.compare(&wire).is_err(), "byte {at}");
        }
    }

    #[tokio::test]
    async fn a_line_left_out_or_sent_twice_is_found() {
        let (mut due_all, _) = due(0..3);
        assert!(due_all.compare(line(7, 1).as_bytes()).is_err());

        let (mut due_one, wire) = due(0..1);
        assert_eq!(due_one.compare(&wire), Ok(1));
        let extra = due_one.compare(&wire).unwrap_err();
        assert!(extra.to_string().ends_with("but nothing was due"));
    }
}
