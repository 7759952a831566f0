//! One connection.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use failover_core::link::MessageId;
use failover_core::messaging::{Decoded, Echo, Heard, Passage, Session};

use crate::mqtt::error::MqttError;
use crate::mqtt::packet::{self, Delivery, Dup, Packet, PacketId, Retain};
use crate::mqtt::subscriptions::{NoRoom, Subscriptions, deliver, wanted};
use crate::mqtt::{Incoming, Publish, Qos};

/// One connection: what this broker knows of us, and what it has not acknowledged.
#[derive(Debug)]
pub struct MqttSession {
    subscriptions: Subscriptions,
    /// The filters that this broker knows, and with which quality.
    told: BTreeMap<String, Qos>,
    /// The version of the subscriptions that was told.
    seen: Option<u64>,
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
    Subscription(String),
    Unsubscription,
}

impl MqttSession {
    pub(super) fn new(subscriptions: Subscriptions) -> Self {
        Self {
            subscriptions,
            told: BTreeMap::new(),
            seen: None,
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
        deliver(&self.subscriptions.lock(), &incoming, &mut self.have_it)?;
        self.have_it.clear();
        self.owed.extend(delivery.id);
        Ok(())
    }

    fn subscribe(&mut self, filter: String, qos: Qos, out: &mut Vec<u8>) {
        match self.number(Awaited::Subscription(filter.clone())) {
            Some(id) => {
                packet::subscribe(id, &filter, qos, out);
                self.told.insert(filter, qos);
            }
            // No number is left: the next time.
            None => self.seen = None,
        }
    }

    fn unsubscribe(&mut self, filter: &str, out: &mut Vec<u8>) {
        // With no number left the broker sends on what nobody reads.
        if let Some(id) = self.number(Awaited::Unsubscription) {
            packet::unsubscribe(id, filter, out);
        }
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
        let wanted = {
            let subscriptions = self.subscriptions.look();
            let version = subscriptions.version();
            if self.seen == Some(version) {
                return;
            }
            self.seen = Some(version);
            wanted(&subscriptions)
        };
        let told = std::mem::take(&mut self.told);
        for filter in told.keys().filter(|filter| !wanted.contains_key(*filter)) {
            self.unsubscribe(filter, out);
        }
        for (filter, qos) in wanted {
            if told.get(&filter) == Some(&qos) {
                self.told.insert(filter, qos);
            } else {
                self.subscribe(filter, qos, out);
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
