//! A sketch of STOMP: receipts as confirmations, negotiated heart-beats, a farewell. Frames are
//! `COMMAND\nheader:value\n\nbody\0`.

use std::io;
use std::sync::{Arc, Mutex};

use failover_core::dial::DialContext;
use failover_core::directory::Target;
use failover_core::failure::{Classify, Failure, Kind, Scope};
use failover_core::heartbeat::{Offer, negotiate};
use failover_core::link::{Assurance, MessageId};
use failover_core::messaging::{
    Decoded, Echo, Heard, Line, Passage, Protocol, Session, Welcome, Wire,
};
use thiserror::Error;

use crate::nats::text;
use crate::net::Server;

pub struct Stomp {
    /// What we say of our heart-beats, in milliseconds.
    pub beats: (u64, u64),
}

/// A body for `/queue/a`, with a receipt.
pub type Body = String;

#[derive(Debug, Error)]
pub enum StompError {
    #[error("the connection failed")]
    Io(#[from] io::Error),
    #[error("the server refuses: {0}")]
    Refused(String),
    #[error("this is no STOMP")]
    Garbage,
}

impl Classify for StompError {
    fn failure(&self) -> Failure {
        match self {
            Self::Io(error) => error.failure(),
            Self::Refused(_) => Failure::new(Kind::Auth).scope(Scope::Endpoint),
            Self::Garbage => Failure::new(Kind::Protocol),
        }
    }
}

impl Protocol for Stomp {
    type Message = Body;
    type Reply = ();
    type Session = StompSession;
    type Error = StompError;

    fn size(&self, message: &Body) -> usize {
        message.len()
    }

    fn assurance(&self, _: &Body) -> Assurance {
        Assurance::Confirmed
    }

    async fn login<W: Wire>(
        &self,
        line: &mut Line<W>,
        _: &Target,
        _: &DialContext,
    ) -> Result<Welcome<StompSession>, StompError> {
        let (sends, wants) = self.beats;
        let hello = format!("CONNECT\nheart-beat:{sends},{wants}\n\n\0");
        line.write(hello.as_bytes()).await?;
        let frame = text(&line.read_until(b"\0", 4096).await?);
        if frame.starts_with("ERROR") {
            return Err(StompError::Refused(frame));
        }
        let theirs = header(&frame, "heart-beat").and_then(|beats| beats.split_once(','));
        let (theirs_send, theirs_want) = theirs.ok_or(StompError::Garbage)?;
        let number = |text: &str| text.parse().map_err(|_| StompError::Garbage);
        let theirs = Offer::from_millis(number(theirs_send)?, number(theirs_want)?);
        let agreed = negotiate(Offer::from_millis(sends, wants), theirs);
        Ok(Welcome::new(StompSession).agreed(agreed.heartbeat()))
    }
}

fn header<'a>(frame: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = frame.lines();
    lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
}

pub struct StompSession;

impl Session for StompSession {
    type Message = Body;
    type Reply = ();
    type Error = StompError;

    fn encode(
        &mut self,
        id: MessageId,
        message: &Body,
        _: Passage,
        out: &mut Vec<u8>,
    ) -> Result<(), StompError> {
        out.extend_from_slice(format!("SEND\nreceipt:{id}\n\n{message}\0").as_bytes());
        Ok(())
    }

    fn decode(
        &mut self,
        bytes: &[u8],
        heard: &mut Heard<(), StompError>,
    ) -> Result<Decoded, StompError> {
        let mut done = 0;
        loop {
            // Beats between frames are line feeds.
            done += bytes[done..]
                .iter()
                .take_while(|byte| **byte == b'\n')
                .count();
            let Some(end) = bytes[done..].iter().position(|byte| *byte == 0) else {
                return Ok(Decoded::All(done));
            };
            let frame = text(&bytes[done..done + end]);
            match frame.lines().next() {
                Some("RECEIPT") => {
                    let id = header(&frame, "receipt-id").and_then(|id| id.parse().ok());
                    heard.confirmed(MessageId::new(id.ok_or(StompError::Garbage)?));
                }
                Some("ERROR") => return Err(StompError::Refused(frame)),
                _ => return Err(StompError::Garbage),
            }
            done += end + 1;
        }
    }

    fn beat(&mut self, out: &mut Vec<u8>) -> Echo {
        out.push(b'\n');
        Echo::None
    }

    fn goodbye(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"DISCONNECT\n\n\0");
    }
}

/// It keeps the bodies, sends receipts and counts beats.
#[derive(Default)]
pub struct StompServer {
    pub bodies: Vec<String>,
    pub beats: usize,
    pub goodbyes: usize,
    /// Receipts are not sent.
    pub mute: bool,
}

impl StompServer {
    pub fn new() -> Arc<Mutex<Self>> {
        Arc::default()
    }
}

impl Server for StompServer {
    fn hear(&mut self, _: usize, unread: &mut Vec<u8>, out: &mut Vec<u8>) {
        loop {
            let beats = unread.iter().take_while(|byte| **byte == b'\n').count();
            self.beats += beats;
            unread.drain(..beats);
            let Some(end) = unread.iter().position(|byte| *byte == 0) else {
                return;
            };
            let frame: Vec<u8> = unread.drain(..=end).collect();
            let frame = text(&frame[..end]);
            let (head, body) = frame.split_once("\n\n").unwrap();
            match head.lines().next().unwrap() {
                "CONNECT" => out.extend_from_slice(b"CONNECTED\nheart-beat:1000,1000\n\n\0"),
                "DISCONNECT" => self.goodbyes += 1,
                _ => {
                    self.bodies.push(body.to_string());
                    if let (Some(id), false) = (header(head, "receipt"), self.mute) {
                        out.extend_from_slice(format!("RECEIPT\nreceipt-id:{id}\n\n\0").as_bytes());
                    }
                }
            }
        }
    }
}
