//! `failover cat`: standard input and output through the first server that answers, failing over
//! while it runs.
//!
//! A stream of bytes knows no acknowledgements. So whatever was handed to a transport is
//! *unconfirmed* when the connection is lost: it may have arrived wholly, in part, or not at all.

mod session;
mod supply;

use std::fmt;
use std::io::{self, Write};
use std::time::Duration;

use failover_core::dial::Dial;
use failover_core::drive::{Clock, Connector, Established, Events, GiveUp};
use serde_json::json;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};

use self::session::{End, SessionError, Sink, talk};
use self::supply::{Supply, Unsettled};
use crate::plural::counted;
use crate::timeline::{Style, chain};

pub use self::supply::RESEND_BOUND;

/// How input and output are carried.
#[derive(Clone, Copy, Debug)]
pub struct Cat {
    /// How long the servers may be silent after the end of the input before it is over.
    pub linger: Duration,
    /// What happens to input that was handed over when a connection is lost.
    pub unconfirmed: Unconfirmed,
    /// How reports are written.
    pub style: Style,
    /// Whether every event is told, or losses only.
    pub told: Told,
}

/// What happens to unconfirmed input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unconfirmed {
    /// It is counted, and not sent again: some may be lost.
    Counted,
    /// The last [`RESEND_BOUND`] bytes are sent again on the next connection: some may arrive
    /// twice.
    SentAgain,
}

/// After so long without a connection it says that it still tries.
const PATIENCE: Duration = Duration::from_secs(3);

/// What is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// Each loss, and what it means for the input.
    Losses,
    /// The whole timeline as well.
    Everything,
}

/// What was carried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Carried {
    /// Bytes handed to a transport, those sent again included.
    pub sent: u64,
    /// Bytes written to the output.
    pub received: u64,
    /// Connections that there were.
    pub connections: u64,
}

/// Why it did not end well.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CatError {
    /// No server could be reached, as often as the policy allows.
    #[error("{}", all_of(.0))]
    GaveUp(GiveUp),
    /// A connection broke after the end of the input: whether all of it arrived is unknown.
    #[error("the connection to {server} broke after the end of the input: {reason}")]
    BrokeAtEnd {
        /// To whom.
        server: String,
        /// Why.
        reason: String,
    },
    /// The input cannot be read.
    #[error("cannot read the input")]
    Input(#[source] io::Error),
    /// The output cannot be written.
    #[error("cannot write the output")]
    Output(#[source] io::Error),
}

impl Cat {
    /// Carries the input to whichever server is connected and its answers to the output. `notes`
    /// is for reports. Success is: the input has ended, all of it was handed over, and then the
    /// server closed or was silent for the time of [`linger`](Self::linger).
    ///
    /// # Errors
    /// When the connector gives up, when a connection breaks after the end of the input, or when
    /// input or output fails.
    pub async fn run<D, C>(
        self,
        mut connector: Connector<D, C>,
        input: impl AsyncRead + Unpin,
        output: impl AsyncWrite + Unpin,
        notes: &mut (dyn Write + Send),
    ) -> Result<Carried, CatError>
    where
        D: Dial + 'static,
        D::Conn: AsyncRead + AsyncWrite + Unpin,
        C: Clock,
    {
        let mut notes = Notes {
            cat: self,
            events: connector.events(),
            out: notes,
        };
        let mut supply = Supply::new(input, self.unconfirmed);
        let mut sink = Sink::new(output);
        let mut connections = 0;
        let ended = loop {
            let established = match notes.connected(&mut connector).await {
                Ok(established) => established,
                Err(gave_up) => break Err(CatError::GaveUp(gave_up)),
            };
            connections += 1;
            let id = established.id();
            let server = established.target().to_string();
            let end = talk(established.conn, &mut supply, &mut sink, self.linger).await;
            match end {
                End::Silent => break Ok(()),
                End::Input(error) => break Err(CatError::Input(error)),
                End::Output(error) => break Err(CatError::Output(error)),
                End::Lost(SessionError::Closed) if supply.is_done() => break Ok(()),
                End::Lost(error) => {
                    let reason = chain(&error);
                    let done = supply.is_done();
                    notes.lost(&server, &reason, &supply.unsettled(), done);
                    if done {
                        break Err(CatError::BrokeAtEnd { server, reason });
                    }
                    supply.begin_again();
                    connector.lost(id, error);
                }
            }
        };
        connector.close();
        notes.tell_events();
        ended.map(|()| Carried {
            sent: supply.sent(),
            received: sink.received(),
            connections,
        })
    }
}

/// Where reports go. Reports that cannot be written are left out.
struct Notes<'a> {
    cat: Cat,
    events: Events,
    out: &'a mut (dyn Write + Send),
}

impl Notes<'_> {
    /// The next connection; what happens meanwhile is told as it happens.
    async fn connected<D: Dial + 'static, C: Clock>(
        &mut self,
        connector: &mut Connector<D, C>,
    ) -> Result<Established<D::Conn>, GiveUp> {
        let patience = tokio::time::sleep(PATIENCE);
        tokio::pin!(patience);
        let mut is_told = self.cat.told == Told::Everything;
        loop {
            // A `connect` that is dropped goes on at the next call.
            let event = tokio::select! {
                biased;
                event = self.events.next() => event,
                connected = connector.connect() => {
                    self.tell_events();
                    return connected;
                }
                () = &mut patience, if !is_told => {
                    is_told = true;
                    self.waits();
                    continue;
                }
            };
            match event {
                Some(event) => self.tell(self.cat.style.event(&event)),
                None => return connector.connect().await,
            }
        }
    }

    fn tell_events(&mut self) {
        while let Some(event) = self.events.try_next() {
            self.tell(self.cat.style.event(&event));
        }
    }

    fn tell(&mut self, line: Option<String>) {
        if let (Told::Everything, Some(line)) = (self.cat.told, line) {
            self.write(&line);
        }
    }

    /// Nobody is to wonder whether it hangs.
    fn waits(&mut self) {
        let line = match self.cat.style {
            Style::Json => json!({"event": "waits", "for_ms": PATIENCE.as_millis()}).to_string(),
            Style::Plain | Style::Coloured => {
                format!(
                    "failover: no server after {} s; still trying (-v tells each try)",
                    PATIENCE.as_secs()
                )
            }
        };
        self.write(&line);
    }

    fn lost(&mut self, server: &str, reason: &str, input: &Unsettled, done: bool) {
        let line = match self.cat.style {
            Style::Json => json!({
                "event": "loss",
                "url": server,
                "error": reason,
                "never_handed_over": input.kept,
                "unconfirmed": input.handed,
                "sent_again": if done { 0 } else { input.again },
                "mid_line": input.mid_line,
            })
            .to_string(),
            Style::Plain | Style::Coloured => {
                format!(
                    "failover: lost {server}: {reason}; {}",
                    account(input, done)
                )
            }
        };
        self.write(&line);
    }

    fn write(&mut self, line: &str) {
        let _ = writeln!(self.out, "{line}").and_then(|()| self.out.flush());
    }
}

/// What a loss means for the input.
fn account(input: &Unsettled, done: bool) -> String {
    let Unsettled {
        kept,
        handed,
        again,
        mid_line,
    } = *input;
    let kept = match kept {
        0 => "nothing is waiting to be sent".to_string(),
        1 => "1 byte was never handed over and goes to the next connection".to_string(),
        _ => format!("{kept} bytes were never handed over and go to the next connection"),
    };
    let handed = match (handed, again) {
        (0, _) => "nothing is unconfirmed".to_string(),
        (1, _) if done => "1 byte is unconfirmed".to_string(),
        (1, 0) => "1 byte was handed over, unconfirmed, and is not sent again".to_string(),
        (1, _) => "1 unconfirmed byte is sent again".to_string(),
        (_, _) if done => format!("{handed} bytes are unconfirmed"),
        (_, 0) => format!("{handed} bytes were handed over, unconfirmed, and are not sent again"),
        (_, _) if again == handed => format!("{handed} unconfirmed bytes are sent again"),
        (_, 1) => format!("of {handed} unconfirmed bytes the last is sent again"),
        (_, _) => format!("of {handed} unconfirmed bytes the last {again} are sent again"),
    };
    let cut = if mid_line && !done {
        "; the cut is in the middle of a line"
    } else {
        ""
    };
    format!("{kept}; {handed}{cut}")
}

/// Every endpoint's last error on a line of its own.
fn all_of(gave_up: &GiveUp) -> impl fmt::Display {
    let mut text = format!("gave up: {}", gave_up.reason);
    for report in &gave_up.endpoints {
        let dials = counted(report.dials, "dial");
        text.push_str(&format!("\n  {report} ({dials})"));
    }
    text
}
