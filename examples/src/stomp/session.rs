//! One connection.

use bytes::Bytes;
use failover_core::link::MessageId;
use failover_core::messaging::{Decoded, Echo, Heard, Passage, Session};

use crate::roster::Told;
use crate::stomp::error::StompError;
use crate::stomp::frame::{Frame, Parser, beats, write};
use crate::stomp::subscriptions::{Subscriptions, Verdicts};
use crate::stomp::{AckMode, Incoming, Receipt, Send};

/// One connection: what this broker knows of us.
#[derive(Debug)]
pub struct StompSession {
    subscriptions: Subscriptions,
    parser: Parser,
    /// The subscriptions that this broker knows.
    told: Told,
    verdicts: Verdicts,
}

/// Whether a message found room.
enum Delivery {
    Done,
    NoRoom,
}

impl StompSession {
    pub(super) fn new(subscriptions: Subscriptions) -> Self {
        Self {
            subscriptions,
            parser: Parser::default(),
            told: Told::default(),
            verdicts: Verdicts::default(),
        }
    }
}

impl Session for StompSession {
    type Message = Send;
    type Reply = ();
    type Error = StompError;

    fn encode(
        &mut self,
        id: MessageId,
        message: &Send,
        _: Passage,
        out: &mut Vec<u8>,
    ) -> Result<(), StompError> {
        let (length, number) = (message.body.len().to_string(), id.to_string());
        let receipt = match message.receipt {
            Receipt::Wanted => Some(("receipt", number.as_str())),
            Receipt::None => None,
        };
        // Ours come first: of those with one name the first counts.
        let ours = [
            ("destination", message.destination.as_str()),
            ("content-length", length.as_str()),
        ];
        let theirs = message.headers.iter();
        let theirs = theirs.map(|(name, value)| (name.as_str(), value.as_str()));
        let headers = ours.into_iter().chain(receipt).chain(theirs);
        write("SEND", headers, &message.body, out);
        Ok(())
    }

    fn decode(
        &mut self,
        bytes: &[u8],
        heard: &mut Heard<(), StompError>,
    ) -> Result<Decoded, StompError> {
        let mut done = 0;
        loop {
            done += beats(&bytes[done..]);
            let Some((frame, len)) = self.parser.next(&bytes[done..])? else {
                return Ok(Decoded::All(done));
            };
            match frame.command {
                "MESSAGE" => match deliver(&self.subscriptions, &self.verdicts, &frame)? {
                    Delivery::Done => {}
                    Delivery::NoRoom => return Ok(Decoded::Blocked(done)),
                },
                "RECEIPT" => heard.confirmed(number(frame.demand("receipt-id")?)?),
                "ERROR" => {
                    if let Some(id) = frame.header("receipt-id") {
                        heard.refused(number(id)?);
                    }
                    return Err(StompError::Server(StompError::words(&frame)));
                }
                other => {
                    return Err(StompError::garbage("no such frame", other.as_bytes()));
                }
            }
            done += len;
        }
    }

    fn control(&mut self, out: &mut Vec<u8>) {
        let subscriptions = self.subscriptions.look();
        for one in self.told.begun(&subscriptions) {
            let (id, asked) = (one.number.to_string(), &one.what.asked);
            let ours = [
                ("id", id.as_str()),
                ("destination", asked.destination.as_str()),
                ("ack", asked.ack.as_str()),
            ];
            let theirs = asked.headers.iter();
            let theirs = theirs.map(|(name, value)| (name.as_str(), value.as_str()));
            write("SUBSCRIBE", ours.into_iter().chain(theirs), b"", out);
        }
        // A broker may refuse an acknowledgement for a subscription that has ended.
        for verdict in self.verdicts.take() {
            write(verdict.command, [("id", verdict.ack.as_str())], b"", out);
        }
        for number in self.told.ended(&subscriptions) {
            write(
                "UNSUBSCRIBE",
                [("id", number.to_string().as_str())],
                b"",
                out,
            );
        }
    }

    fn beat(&mut self, out: &mut Vec<u8>) -> Echo {
        out.push(b'\n');
        Echo::None
    }

    fn goodbye(&mut self, out: &mut Vec<u8>) {
        // Nothing may follow a DISCONNECT.
        self.control(out);
        write("DISCONNECT", [], b"", out);
    }
}

/// Gives a message to its subscriber; one that is gone wants it no more.
fn deliver(
    subscriptions: &Subscriptions,
    verdicts: &Verdicts,
    frame: &Frame<'_>,
) -> Result<Delivery, StompError> {
    let id = frame.demand("subscription")?;
    let subscriptions = subscriptions.lock();
    let subscription = id.parse().ok().and_then(|id: u64| subscriptions.get(id));
    let Some(subscription) = subscription else {
        return Ok(Delivery::Done);
    };
    let token = match subscription.what.asked.ack {
        AckMode::Auto => None,
        AckMode::Client | AckMode::ClientIndividual => {
            Some(subscription.what.token(frame.demand("ack")?, verdicts))
        }
    };
    let headers = frame.headers.iter();
    let headers: usize = headers.map(|(name, value)| name.len() + value.len()).sum();
    let incoming = Incoming {
        headers: frame.headers.clone(),
        body: Bytes::copy_from_slice(frame.body),
        token,
    };
    match subscription.feed.push(incoming, headers + frame.body.len()) {
        Ok(()) => Ok(Delivery::Done),
        Err(_) => Ok(Delivery::NoRoom),
    }
}

/// The message that a receipt is for.
fn number(id: &str) -> Result<MessageId, StompError> {
    let number = id.parse().map(MessageId::new);
    number.map_err(|_| StompError::garbage("a receipt that nobody asked for", id.as_bytes()))
}
