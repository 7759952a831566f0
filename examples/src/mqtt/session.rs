//! One connection.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use failover_core::link::MessageId;
use failover_core::messaging::{Decoded, Echo, Heard, Passage, Session};

use crate::mqtt::error::MqttError;
use crate::mqtt::packet::{self, Delivery, Dup, Packet, PacketId, Retain};
use crate::mqtt::subscriptions::{Filters, NoRoom, Subscriptions};
use crate::mqtt::{Incoming, Publish, Qos};

/// One connection: what this broker knows of us, and what it has not acknowledged.
#[derive(Debug)]
pub struct MqttSession {
    subscriptions: Subscriptions,
    filters: Filters,
    /// The filters that this broker knows, and with which quality.
    told: BTreeMap<Arc<str>, Qos>,
    /// What is to be acknowledged, by the numbers on the wire.
    awaited: BTreeMap<PacketId, Awaited>,
    /// The number given last.
    last: PacketId,
    /// Who has the message that the last decode stopped at.
    have_it: BTreeSet<u64>,
    /// Messages that this broker has to hear an acknowledgement of.
    owed: Vec<PacketId>,
    /// Pings that this broker has not answered.
    pings: usize,
}

/// What the broker acknowledges.
#[derive(Debug)]
enum Awaited {
    Message(MessageId),
    Subscription(Arc<str>),
    Unsubscription,
}

impl MqttSession {
    pub(super) fn new(subscriptions: Subscriptions) -> Self {
        Self {
            subscriptions,
            filters: Filters::default(),
            told: BTreeMap::new(),
            awaited: BTreeMap::new(),
            last: 0,
            have_it: BTreeSet::new(),
            owed: Vec::new(),
            pings: 0,
        }
    }

    /// A number that no packet on its way has.
    fn number(&mut self, awaited: Awaited) -> Option<PacketId> {
        if self.awaited.len() == usize::from(PacketId::MAX) {
            return None;
        }
        loop {
            self.last = self.last.checked_add(1).unwrap_or(1);
            if !self.awaited.contains_key(&self.last) {
                self.awaited.insert(self.last, awaited);
                return Some(self.last);
            }
        }
    }

    fn hear(
        &mut self,
        packet: &Packet<'_>,
        heard: &mut Heard<(), MqttError>,
    ) -> Result<(), MqttError> {
        let nobody = |what| Err(MqttError::garbage(what, &[]));
        match packet {
            Packet::PubAck(id) => match self.awaited.remove(id) {
                Some(Awaited::Message(message)) => heard.confirmed(message),
                _ => return nobody("a PUBACK that nobody awaits"),
            },
            Packet::SubAck(id, codes) => match (self.awaited.remove(id), codes) {
                (Some(Awaited::Subscription(_)), [0 | 1]) => {}
                (Some(Awaited::Subscription(filter)), [0x80]) => {
                    let filter = filter.to_string();
                    heard.error(MqttError::NotSubscribed { filter });
                }
                _ => return nobody("a SUBACK that nobody awaits"),
            },
            Packet::UnsubAck(id) => match self.awaited.remove(id) {
                Some(Awaited::Unsubscription) => {}
                _ => return nobody("an UNSUBACK that nobody awaits"),
            },
            Packet::PingResp => match self.pings.checked_sub(1) {
                Some(left) => {
                    self.pings = left;
                    heard.pong();
                }
                None => return nobody("a PINGRESP that nobody awaits"),
            },
            Packet::ConnAck { .. } => return nobody("a second CONNACK"),
            Packet::Publish(_) => {}
        }
        Ok(())
    }

    /// Gives a message to its readers; it is acknowledged when all have it.
    fn deliver(&mut self, delivery: &Delivery<'_>) -> Result<(), NoRoom> {
        let incoming = Incoming {
            topic: delivery.topic.to_string(),
            payload: Bytes::copy_from_slice(delivery.payload),
            qos: match delivery.id {
                None => Qos::AtMostOnce,
                Some(_) => Qos::AtLeastOnce,
            },
            retained: delivery.retain == Retain::Yes,
            again: delivery.dup == Dup::Yes,
        };
        self.filters
            .deliver(&self.subscriptions.lock(), &incoming, &mut self.have_it)?;
        self.have_it.clear();
        self.owed.extend(delivery.id);
        Ok(())
    }

    /// Tells the broker of this filter what it does not know. `None` when no number is left for it.
    fn tell(&mut self, filter: &Arc<str>, out: &mut Vec<u8>) -> Option<()> {
        let wanted = self.filters.wanted(filter);
        if self.told.get(filter) == wanted.as_ref() {
            return Some(());
        }
        match wanted {
            Some(qos) => {
                let id = self.number(Awaited::Subscription(Arc::clone(filter)))?;
                packet::subscribe(id, filter, qos, out);
                self.told.insert(Arc::clone(filter), qos);
            }
            None => {
                let id = self.number(Awaited::Unsubscription)?;
                packet::unsubscribe(id, filter, out);
                self.told.remove(filter);
            }
        }
        Some(())
    }
}

impl Session for MqttSession {
    type Message = Publish;
    type Reply = ();
    type Error = MqttError;

    fn encode(
        &mut self,
        message_id: MessageId,
        message: &Publish,
        passage: Passage,
        out: &mut Vec<u8>,
    ) -> Result<(), MqttError> {
        let id = match message.qos {
            Qos::AtMostOnce => None,
            Qos::AtLeastOnce => {
                let number = self.number(Awaited::Message(message_id));
                Some(number.ok_or(MqttError::TooManyOnTheirWay)?)
            }
        };
        let delivery = Delivery {
            topic: &message.topic,
            id,
            dup: match passage {
                Passage::Again => Dup::Yes,
                Passage::First | _ => Dup::No,
            },
            retain: message.retain,
            payload: &message.payload,
        };
        packet::publish(&delivery, out);
        Ok(())
    }

    fn decode(
        &mut self,
        bytes: &[u8],
        heard: &mut Heard<(), MqttError>,
    ) -> Result<Decoded, MqttError> {
        let mut done = 0;
        while let Some((packet, len)) = packet::next(&bytes[done..])? {
            if let Packet::Publish(delivery) = &packet {
                if self.deliver(delivery).is_err() {
                    return Ok(Decoded::Blocked(done));
                }
            } else {
                self.hear(&packet, heard)?;
            }
            done += len;
        }
        Ok(Decoded::All(done))
    }

    fn control(&mut self, out: &mut Vec<u8>) {
        for id in self.owed.drain(..) {
            packet::puback(id, out);
        }
        self.filters.update(&self.subscriptions.look());
        for filter in self.filters.take_changed() {
            if self.tell(&filter, out).is_none() {
                // The next time.
                self.filters.put_back(filter);
            }
        }
    }

    fn ping(&mut self, out: &mut Vec<u8>) -> Echo {
        self.pings += 1;
        packet::pingreq(out);
        Echo::Pong
    }

    fn goodbye(&mut self, out: &mut Vec<u8>) {
        // Nothing may follow a DISCONNECT.
        self.control(out);
        packet::disconnect(out);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::task::Waker;

    use failover_core::messaging::Room;

    use super::*;
    use crate::mqtt::subscriptions::Subscription;

    #[test]
    fn what_no_number_is_left_for_is_told_when_there_is_one() {
        let subscriptions = Subscriptions::default();
        let mut session = MqttSession::new(subscriptions.clone());
        let to = |filter: &str| {
            let (filter, qos) = (filter.into(), Qos::AtMostOnce);
            let room = Room { items: 1, bytes: 1 };
            subscriptions.add(Subscription { filter, qos }, room, Waker::noop().clone())
        };
        let first = to("a");
        assert_eq!(
            told(&mut session),
            written(|out| packet::subscribe(1, "a", Qos::AtMostOnce, out))
        );
        for number in 2..=u64::from(PacketId::MAX) {
            let message = Publish::to("topic", "");
            let id = MessageId::new(number);
            session
                .encode(id, &message, Passage::First, &mut Vec::new())
                .unwrap();
        }
        drop(first);
        let _second = to("b");
        assert_eq!(told(&mut session), b"");
        hear(&mut session, b"\x40\x02\0\x07");
        assert_eq!(
            told(&mut session),
            written(|out| packet::unsubscribe(7, "a", out))
        );
        hear(&mut session, b"\xb0\x02\0\x07");
        assert_eq!(
            told(&mut session),
            written(|out| packet::subscribe(7, "b", Qos::AtMostOnce, out))
        );
        assert_eq!(told(&mut session), b"");
    }

    fn told(session: &mut MqttSession) -> Vec<u8> {
        written(|out| session.control(out))
    }

    fn hear(session: &mut MqttSession, packet: &[u8]) {
        session.decode(packet, &mut Heard::new()).unwrap();
    }

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut out = Vec::new();
        write(&mut out);
        out
    }
}
