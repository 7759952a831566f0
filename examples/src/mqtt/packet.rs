//! What stands on the wire: a type with flags, a length, the rest. (MQTT 3.1.1, chapters 2 and 3)

use crate::mqtt::Qos;
use crate::mqtt::error::MqttError;

/// The longest text and the largest packet that the lengths on the wire can say.
pub(super) const LONGEST_TEXT: usize = 65_535;
pub(super) const LARGEST: usize = 268_435_455;

/// The number of a packet that is acknowledged; never 0.
pub(super) type PacketId = u16;

/// One packet that the broker sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Packet<'a> {
    ConnAck {
        code: u8,
    },
    Publish(Delivery<'a>),
    PubAck(PacketId),
    /// One code for each filter: the granted quality, or 0x80.
    SubAck(PacketId, &'a [u8]),
    UnsubAck(PacketId),
    PingResp,
}

/// A `PUBLISH`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Delivery<'a> {
    pub(super) topic: &'a str,
    /// With quality 1: what it is acknowledged with.
    pub(super) id: Option<PacketId>,
    pub(super) dup: Dup,
    pub(super) retain: Retain,
    pub(super) payload: &'a [u8],
}

/// Whether it may have been sent before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dup {
    No,
    Yes,
}

/// Whether the broker keeps it for later subscribers, or has kept it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Retain {
    No,
    Yes,
}

/// The first packet and how many bytes it has; nothing if it is not whole.
pub(super) fn next(bytes: &[u8]) -> Result<Option<(Packet<'_>, usize)>, MqttError> {
    let Some((&first, rest)) = bytes.split_first() else {
        return Ok(None);
    };
    // What no broker may send is told before its length is waited for.
    let (kind, flags) = (first >> 4, first & 0x0f);
    match (kind, flags) {
        (2 | 4 | 9 | 11 | 13, 0) | (3, _) => {}
        _ => return Err(MqttError::garbage("no such packet", bytes)),
    }
    let Some((length, digits)) = length(rest)? else {
        return Ok(None);
    };
    let Some(body) = rest.get(digits..digits + length) else {
        return Ok(None);
    };
    let wrong = || MqttError::garbage("a packet of a wrong length", bytes);
    let packet = match (kind, body) {
        (2, [_, code]) => Packet::ConnAck { code: *code },
        (3, _) => Packet::Publish(delivery(flags, body)?),
        (4, &[high, low]) => Packet::PubAck(number(high, low)?),
        (9, &[high, low, ref codes @ ..]) => Packet::SubAck(number(high, low)?, codes),
        (11, &[high, low]) => Packet::UnsubAck(number(high, low)?),
        (13, []) => Packet::PingResp,
        _ => return Err(wrong()),
    };
    Ok(Some((packet, 1 + digits + length)))
}

/// Seven bits a byte, the lowest first, four bytes at most; and how many bytes it has.
fn length(bytes: &[u8]) -> Result<Option<(usize, usize)>, MqttError> {
    let mut length = 0;
    for (at, byte) in bytes.iter().take(4).enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Ok(Some((length, at + 1)));
        }
    }
    match bytes.len() {
        0..4 => Ok(None),
        _ => Err(MqttError::garbage("a length that is none", bytes)),
    }
}

fn delivery(flags: u8, body: &[u8]) -> Result<Delivery<'_>, MqttError> {
    let wrong = |what| MqttError::garbage(what, body);
    let (topic, rest) = text(body).ok_or_else(|| wrong("a topic that is none"))?;
    let topic = std::str::from_utf8(topic).map_err(|_| wrong("a topic that is no UTF-8"))?;
    let (id, payload) = match ((flags >> 1) & 3, rest) {
        (0, payload) => (None, payload),
        (1, &[high, low, ref payload @ ..]) => (Some(number(high, low)?), payload),
        (1, _) => return Err(wrong("a message without its number")),
        _ => return Err(wrong("a quality of service that nobody asked for")),
    };
    Ok(Delivery {
        topic,
        id,
        dup: if flags & 8 == 0 { Dup::No } else { Dup::Yes },
        retain: if flags & 1 == 0 {
            Retain::No
        } else {
            Retain::Yes
        },
        payload,
    })
}

/// A text with its length before it, and what follows.
fn text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
}

fn number(high: u8, low: u8) -> Result<PacketId, MqttError> {
    match PacketId::from_be_bytes([high, low]) {
        0 => Err(MqttError::garbage("a packet with the number 0", &[])),
        id => Ok(id),
    }
}

/// What a client says first.
#[derive(Clone, Copy)]
pub(super) struct Connect<'a> {
    pub(super) client: &'a str,
    /// In seconds; 0 is never.
    pub(super) keep_alive: u16,
    pub(super) user: Option<&'a str>,
    pub(super) password: Option<&'a str>,
}

impl Connect<'_> {
    /// Writes it, for a clean session.
    pub(super) fn write(&self, out: &mut Vec<u8>) -> Result<(), MqttError> {
        // A password without a name is against the protocol.
        let user = self.user.or(self.password.map(|_| ""));
        let mut flags = 0x02;
        flags |= user.map_or(0, |_| 0x80);
        flags |= self.password.map_or(0, |_| 0x40);
        let mut body = Vec::new();
        push_text("MQTT", &mut body);
        body.extend_from_slice(&[4, flags]);
        body.extend_from_slice(&self.keep_alive.to_be_bytes());
        for field in [Some(self.client), user, self.password]
            .into_iter()
            .flatten()
        {
            if field.len() > LONGEST_TEXT || field.contains('\0') {
                return Err(MqttError::BadCredentials);
            }
            push_text(field, &mut body);
        }
        push_head(0x10, body.len(), out);
        out.extend_from_slice(&body);
        Ok(())
    }
}

/// Writes a `PUBLISH`.
pub(super) fn publish(delivery: &Delivery<'_>, out: &mut Vec<u8>) {
    let Delivery {
        topic,
        id,
        dup,
        retain,
        payload,
    } = *delivery;
    let dup = if dup == Dup::Yes { 0x08 } else { 0 };
    let retain = if retain == Retain::Yes { 0x01 } else { 0 };
    let quality = if id.is_some() { 0x02 } else { 0 };
    let number = if id.is_some() { 2 } else { 0 };
    let length = 2 + topic.len() + number + payload.len();
    push_head(0x30 | dup | quality | retain, length, out);
    push_text(topic, out);
    if let Some(id) = id {
        out.extend_from_slice(&id.to_be_bytes());
    }
    out.extend_from_slice(payload);
}

/// Writes a `PUBACK`.
pub(super) fn puback(id: PacketId, out: &mut Vec<u8>) {
    push_head(0x40, 2, out);
    out.extend_from_slice(&id.to_be_bytes());
}

/// Writes a `SUBSCRIBE` to one filter.
pub(super) fn subscribe(id: PacketId, filter: &str, qos: Qos, out: &mut Vec<u8>) {
    push_head(0x82, 2 + 2 + filter.len() + 1, out);
    out.extend_from_slice(&id.to_be_bytes());
    push_text(filter, out);
    out.push(qos.as_u8());
}

/// Writes an `UNSUBSCRIBE` from one filter.
pub(super) fn unsubscribe(id: PacketId, filter: &str, out: &mut Vec<u8>) {
    push_head(0xa2, 2 + 2 + filter.len(), out);
    out.extend_from_slice(&id.to_be_bytes());
    push_text(filter, out);
}

/// Writes a `PINGREQ`.
pub(super) fn pingreq(out: &mut Vec<u8>) {
    push_head(0xc0, 0, out);
}

/// Writes a `DISCONNECT`.
pub(super) fn disconnect(out: &mut Vec<u8>) {
    push_head(0xe0, 0, out);
}

fn push_head(first: u8, mut length: usize, out: &mut Vec<u8>) {
    out.push(first);
    loop {
        let digit = (length & 0x7f) as u8;
        length >>= 7;
        if length == 0 {
            out.push(digit);
            return;
        }
        out.push(digit | 0x80);
    }
}

/// Texts are checked where they come in: none is longer than its length can say.
fn push_text(text: &str, out: &mut Vec<u8>) {
    let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(&text.as_bytes()[..usize::from(length)]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn delivery() -> impl Strategy<Value = (String, Option<PacketId>, bool, bool, Vec<u8>)> {
        let payload = prop::collection::vec(any::<u8>(), 0..400);
        let id = prop::option::of(1..=u16::MAX);
        ("[a-z/äß]{1,40}", id, any::<bool>(), any::<bool>(), payload)
    }

    proptest! {
        #[test]
        fn what_is_published_is_read_back_when_its_last_byte_is_there_and_not_before(
            (topic, id, dup, retain, payload) in delivery(),
            behind in prop::collection::vec(any::<u8>(), 0..5),
        ) {
            let sent = Delivery {
                topic: &topic,
                id,
                dup: if dup { Dup::Yes } else { Dup::No },
                retain: if retain { Retain::Yes } else { Retain::No },
                payload: &payload,
            };
            let mut wire = Vec::new();
            publish(&sent, &mut wire);
            let whole = wire.len();
            for len in 0..whole {
                prop_assert_eq!(next(&wire[..len]).unwrap(), None);
            }
            wire.extend(behind);
            prop_assert_eq!(next(&wire).unwrap(), Some((Packet::Publish(sent), whole)));
        }

        #[test]
        fn lengths_are_read_back(len in 0..=LARGEST) {
            let mut wire = Vec::new();
            push_head(0x30, len, &mut wire);
            prop_assert_eq!(length(&wire[1..]).unwrap(), Some((len, wire.len() - 1)));
        }

        #[test]
        fn any_bytes_are_a_packet_an_error_or_too_few_and_never_more_than_there_are(
            bytes in prop::collection::vec(any::<u8>(), 0..64),
        ) {
            if let Ok(Some((_, len))) = next(&bytes) {
                prop_assert!(len <= bytes.len() && len > 1);
            }
        }
    }

    #[test]
    fn a_greeting_stands_on_the_wire_as_in_the_standard() {
        let connect = Connect {
            client: "me",
            keep_alive: 60,
            user: Some("joe"),
            password: Some("pw"),
        };
        let mut wire = Vec::new();
        connect.write(&mut wire).unwrap();
        let expected = b"\x10\x17\0\x04MQTT\x04\xc2\0\x3c\0\x02me\0\x03joe\0\x02pw";
        assert_eq!(wire, expected);
    }

    #[test]
    fn answers_are_read() {
        for (wire, packet) in [
            (&b"\x20\x02\0\x05"[..], Packet::ConnAck { code: 5 }),
            (b"\x40\x02\x01\x02", Packet::PubAck(258)),
            (b"\x90\x03\0\x01\x80", Packet::SubAck(1, &[0x80])),
            (b"\xb0\x02\0\x07", Packet::UnsubAck(7)),
            (b"\xd0\0", Packet::PingResp),
        ] {
            assert_eq!(next(wire).unwrap(), Some((packet, wire.len())));
            assert_eq!(next(&wire[..wire.len() - 1]).unwrap(), None);
        }
    }

    #[test]
    fn nonsense_is_an_error_and_never_a_wait_for_more() {
        for wire in [
            &b"HTTP/1.1 400 Bad Request\r\n"[..],
            b"\x21",
            b"\x10",
            b"\x30\xff\xff\xff\xff",
            b"\x40\x02\0\0",
            b"\x40\x03\0\x01\x02",
            b"\x36\x05\0\x01a\0\x01",
            b"\x32\x03\0\x01a",
            b"\x30\x03\0\x02a",
            b"\x30\x03\0\x01\xff",
            b"\xd0\x01a",
        ] {
            assert!(next(wire).is_err(), "{wire:x?}");
        }
    }
}
