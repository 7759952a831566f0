//! One connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use failover_core::link::MessageId;
use failover_core::messaging::{Decoded, Echo, Heard, Passage, Session};

use crate::nats::error::NatsError;
use crate::nats::parse::{self, Message, Op};
use crate::nats::subscriptions::{ANSWERS, Subscriptions, deliver};
use crate::nats::{Incoming, Kind, Publish};
use crate::roster::Told;

/// One connection: what this server knows of us.
#[derive(Debug)]
pub struct NatsSession {
    subscriptions: Subscriptions,
    inbox: String,
    max_payload: Arc<AtomicUsize>,
    stage: Stage,
    /// The subscriptions that this server knows.
    told: Told,
    /// Its pings that are not answered.
    owed: usize,
    /// The servers that it named in its greeting, until they are told.
    servers: Vec<String>,
}

/// What this server is told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// It does not know yet where answers come to.
    New,
    /// Who is subscribed.
    Tells,
    /// Another has taken over.
    Left,
}

impl NatsSession {
    pub(super) fn new(
        subscriptions: Subscriptions,
        inbox: String,
        max_payload: Arc<AtomicUsize>,
        servers: Vec<String>,
    ) -> Self {
        Self {
            subscriptions,
            inbox,
            max_payload,
            stage: Stage::New,
            told: Told::default(),
            owed: 0,
            servers,
        }
    }

    fn hear(&mut self, message: &Message<'_>, heard: &mut Heard<Incoming, NatsError>) {
        let incoming = Incoming {
            subject: message.subject.to_string(),
            reply: message.reply.map(str::to_string),
            status: message.status,
            payload: Bytes::copy_from_slice(message.payload),
        };
        if message.sid == ANSWERS {
            let number = message.subject.strip_prefix(&self.inbox);
            if let Some(number) = number.and_then(|number| number.parse().ok()) {
                heard.reply(MessageId::new(number), incoming);
            }
        } else if let Some(subject) = deliver(&mut self.subscriptions.lock(), message.sid, incoming)
        {
            heard.error(NatsError::SlowConsumer { subject });
        }
    }
}

impl Session for NatsSession {
    type Message = Publish;
    type Reply = Incoming;
    type Error = NatsError;

    fn encode(
        &mut self,
        id: MessageId,
        message: &Publish,
        _: Passage,
        out: &mut Vec<u8>,
    ) -> Result<(), NatsError> {
        let (size, most) = (
            message.payload.len(),
            self.max_payload.load(Ordering::Relaxed),
        );
        if size > most {
            return Err(NatsError::TooLarge { size, most });
        }
        out.extend_from_slice(b"PUB ");
        out.extend_from_slice(message.subject.as_bytes());
        out.push(b' ');
        if message.kind == Kind::Request {
            out.extend_from_slice(self.inbox.as_bytes());
            push_number(id.number(), out);
            out.push(b' ');
        }
        push_number(size as u64, out);
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(&message.payload);
        out.extend_from_slice(b"\r\n");
        Ok(())
    }

    fn decode(
        &mut self,
        bytes: &[u8],
        heard: &mut Heard<Incoming, NatsError>,
    ) -> Result<Decoded, NatsError> {
        let mut done = 0;
        while let Some((op, len)) = parse::next(&bytes[done..])? {
            match op {
                Op::Message(message) => self.hear(&message, heard),
                Op::Ping => self.owed += 1,
                Op::Pong => heard.pong(),
                Op::Ok => {}
                Op::Err(text) if NatsError::leaves_the_connection(&text) => {
                    heard.error(NatsError::Server(text));
                }
                Op::Err(text) => return Err(NatsError::Server(text)),
                Op::Info(info) => {
                    if let Some(most) = info.max_payload {
                        self.max_payload.store(most, Ordering::Relaxed);
                    }
                    self.servers = info.connect_urls;
                    if info.ldm {
                        heard.draining();
                    }
                }
            }
            done += len;
        }
        if !self.servers.is_empty() {
            heard.servers(std::mem::take(&mut self.servers));
        }
        Ok(Decoded::All(done))
    }

    fn control(&mut self, out: &mut Vec<u8>) {
        for _ in 0..std::mem::take(&mut self.owed) {
            out.extend_from_slice(b"PONG\r\n");
        }
        match self.stage {
            Stage::Left => return,
            Stage::Tells => {}
            Stage::New => {
                self.stage = Stage::Tells;
                out.extend_from_slice(format!("SUB {}* {ANSWERS}\r\n", self.inbox).as_bytes());
            }
        }
        let subscriptions = self.subscriptions.look();
        for one in self.told.begun(&subscriptions) {
            let (subject, sid) = (&one.what.subject, ANSWERS + one.number);
            out.extend_from_slice(format!("SUB {subject} {sid}\r\n").as_bytes());
        }
        unsubscribe(self.told.ended(&subscriptions), out);
    }

    fn leave(&mut self, out: &mut Vec<u8>) {
        self.stage = Stage::Left;
        unsubscribe(self.told.forget(), out);
    }

    fn ping(&mut self, out: &mut Vec<u8>) -> Echo {
        out.extend_from_slice(b"PING\r\n");
        Echo::Pong
    }
}

fn unsubscribe(numbers: impl IntoIterator<Item = u64>, out: &mut Vec<u8>) {
    for number in numbers {
        out.extend_from_slice(format!("UNSUB {}\r\n", ANSWERS + number).as_bytes());
    }
}

/// Decimal, without an allocation.
fn push_number(mut number: u64, out: &mut Vec<u8>) {
    let mut digits = [b'0'; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] += (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_in_decimal() {
        for number in [0, 7, 10, 99, 100, 12_345, u64::MAX] {
            let mut out = Vec::new();
            push_number(number, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), number.to_string());
        }
    }
}
