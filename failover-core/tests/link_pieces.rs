//! The outbox, the flight and the requests: random lives of many connections against a model of what
//! the peer has received; then their rules one by one.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    missing_docs
)]

use std::collections::BTreeMap;
use std::time::Duration;

use failover_core::link::{
    Assurance, AtLoss, Bounds, Continuity, Dropped, Fate, Flight, Late, LinkPolicy, MessageId,
    Outbox, Overflow, Queue, Refusal, Replay, Reply, Requests, Resumption,
};
use failover_core::time::Time;
use proptest::prelude::*;

/// One step in the life of a link.
#[derive(Clone, Copy, Debug)]
enum Step {
    Push {
        size: u64,
        assured: bool,
    },
    /// Encode what may be encoded, up to so many messages.
    Load(u8),
    /// The transport takes so many bytes more of those that are encoded.
    Write(u8),
    /// The peer confirms one that it has: the n-th of those.
    Confirm(u8),
    /// It confirms all that it has.
    ConfirmAll,
    /// It confirms one of which it has read a part only.
    ConfirmEarly,
    Lose,
    Connect,
    Pass(u8),
}

/// A link as its pieces, and a peer that reads what is written.
struct World {
    policy: LinkPolicy,
    continuity: fn(&World) -> Continuity,
    queue: Queue<u64>,
    flight: Flight<u64>,
    connected: bool,
    /// Encoded on this connection: whose, and up to which byte.
    encoded: Vec<(MessageId, u64)>,
    written: u64,
    /// Confirmed on this connection before the transport had taken all of it.
    early: Vec<MessageId>,
    received: Vec<MessageId>,
    assured: BTreeMap<MessageId, bool>,
    fates: BTreeMap<MessageId, Fate>,
    now: Time,
}

impl World {
    fn new(policy: LinkPolicy, continuity: fn(&World) -> Continuity) -> Self {
        Self {
            policy,
            continuity,
            queue: Queue::new(&policy),
            flight: Flight::new(&policy),
            connected: false,
            encoded: Vec::new(),
            written: 0,
            early: Vec::new(),
            received: Vec::new(),
            assured: BTreeMap::new(),
            fates: BTreeMap::new(),
            now: Time::ZERO,
        }
    }

    fn step(&mut self, step: Step) {
        let fates = &mut self.fates;
        let mut tell = |id, fate| book(fates, id, fate);
        match step {
            Step::Push { size, assured } => {
                let number = self.queue.accepted();
                if let Ok(id) = self.queue.push(number, size, self.now, &mut tell) {
                    self.fates.insert(id, Fate::Queued);
                    self.assured.insert(id, assured);
                }
            }
            Step::Load(most) => (0..most).for_each(|_| self.load()),
            Step::Write(bytes) => self.write(u64::from(bytes)),
            Step::Confirm(nth) => {
                let id = self.received.iter().rev().nth(usize::from(nth)).copied();
                if let Some(id) = id.filter(|_| self.connected) {
                    let handed = self.flight.handle_confirmed(id, &mut tell);
                    assert_eq!(handed.messages, 0);
                }
            }
            Step::ConfirmEarly => self.confirm_early(),
            Step::ConfirmAll => {
                // Only what came over this connection: the peer may lack what was lost before.
                let here = self.encoded.iter().filter(|(_, end)| *end <= self.written);
                for id in here.map(|(id, _)| *id).collect::<Vec<_>>() {
                    let handed = self.flight.handle_confirmed(id, &mut tell);
                    assert_eq!(handed.messages, 0);
                }
            }
            Step::Lose => self.lose(),
            Step::Connect => self.connect(),
            Step::Pass(seconds) => {
                self.now = self.now + Duration::from_secs(u64::from(seconds));
                self.queue.expire(self.now, &mut tell);
            }
        }
        assert!(self.queue.bytes() <= self.policy.bytes());
        assert!(self.queue.messages() <= self.policy.bounds.messages);
        let queued = self.fates.values().filter(|fate| **fate == Fate::Queued);
        assert_eq!(
            u32::try_from(queued.count()).unwrap(),
            self.queue.messages()
        );
    }

    fn load(&mut self) {
        if !self.connected {
            return;
        }
        let before = self.encoded.last().map_or(0, |(_, end)| *end);
        if let Some((id, _)) = self.flight.next_again() {
            self.encoded.push((id, before + 10));
            self.flight.push_again(before + 10);
            return;
        }
        let Some(next) = self.queue.front() else {
            return;
        };
        let assurance = match self.assured[&next.id] {
            true => Assurance::Confirmed,
            false => Assurance::None,
        };
        if !self.flight.has_room(next.size, assurance) {
            return;
        }
        let entry = self.queue.take().unwrap();
        let end = before + 10 + entry.size;
        self.encoded.push((entry.id, end));
        self.flight.push(entry, assurance, end);
    }

    fn write(&mut self, bytes: u64) {
        if !self.connected {
            return;
        }
        let before = self.written;
        let end = self.encoded.last().map_or(0, |(_, end)| *end);
        self.written = (self.written + bytes).min(end);
        let whole = |end: &u64| before < *end && *end <= self.written;
        let whole = self.encoded.iter().filter(|(_, end)| whole(end));
        let whole = whole.filter(|(id, _)| !self.early.contains(id));
        self.received.extend(whole.map(|(id, _)| *id));
        let fates = &mut self.fates;
        let mut tell = |id, fate| book(fates, id, fate);
        let handed = self
            .flight
            .handle_written(self.written, self.now, &mut tell);
        self.queue.release(handed.messages, handed.bytes);
    }

    fn confirm_early(&mut self) {
        let written = self.written;
        let Some(at) = self.encoded.iter().position(|(_, end)| *end > written) else {
            return;
        };
        let (id, start) = (
            self.encoded[at].0,
            at.checked_sub(1).map_or(0, |at| self.encoded[at].1),
        );
        if written == start || self.early.contains(&id) {
            return;
        }
        self.early.push(id);
        self.received.push(id);
        let fates = &mut self.fates;
        let mut tell = |id, fate| book(fates, id, fate);
        let handed = self.flight.handle_confirmed(id, &mut tell);
        self.queue.release(handed.messages, handed.bytes);
    }

    fn lose(&mut self) {
        let fates = &mut self.fates;
        let mut tell = |id, fate| book(fates, id, fate);
        let unsent = self.flight.handle_lost(&mut tell);
        self.queue.put_back(unsent.into_iter());
        self.queue.handle_lost(&mut tell);
        self.connected = false;
        self.encoded.clear();
        self.early.clear();
        self.written = 0;
    }

    fn connect(&mut self) {
        if !self.connected {
            let continuity = (self.continuity)(self);
            let fates = &mut self.fates;
            let mut tell = |id, fate| book(fates, id, fate);
            self.flight.handle_connected(continuity, &mut tell);
            self.queue.handle_connected();
            self.connected = true;
        }
    }

    /// The world heals: all goes out and is confirmed.
    fn heal(&mut self) {
        self.connect();
        for _ in 0..2000 {
            self.step(Step::Load(8));
            self.step(Step::Write(255));
            self.step(Step::ConfirmAll);
        }
        assert_eq!(self.queue.messages(), 0);
        assert!(self.flight.is_written());
        assert_eq!(self.flight.unconfirmed(), 0);
    }

    fn times(&self, id: MessageId) -> usize {
        self.received.iter().filter(|other| **other == id).count()
    }

    /// What the fates say is what the peer has seen; every accepted message has its last one.
    fn judge_fates(&self) {
        for (id, fate) in &self.fates {
            assert!(fate.is_settled(), "{id}: {fate:?}");
            match fate {
                Fate::Dropped(_) => assert_eq!(self.times(*id), 0, "{id}"),
                _ => assert!(self.times(*id) >= 1, "{id}: {fate:?}"),
            }
        }
    }
}

fn book(fates: &mut BTreeMap<MessageId, Fate>, id: MessageId, fate: Fate) {
    let before = fates.insert(id, fate).unwrap();
    assert!(!before.is_settled(), "{id}: {before:?}, then {fate:?}");
    let grows = match (before, fate) {
        (Fate::Queued, Fate::Awaiting { sent }) => sent == 1,
        (Fate::Awaiting { sent: before }, Fate::Awaiting { sent }) => sent == before + 1,
        (Fate::Queued, Fate::Handed | Fate::Dropped(_)) => true,
        (Fate::Awaiting { .. }, Fate::Confirmed | Fate::Unconfirmed | Fate::Released) => true,
        _ => false,
    };
    assert!(grows, "{id}: {before:?}, then {fate:?}");
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..60_u64, any::<bool>()).prop_map(|(size, assured)| Step::Push { size, assured }),
        4 => (1..5_u8).prop_map(Step::Load),
        6 => (1..80_u8).prop_map(Step::Write),
        2 => (0..6_u8).prop_map(Step::Confirm),
        1 => Just(Step::ConfirmAll),
        1 => Just(Step::ConfirmEarly),
        2 => Just(Step::Lose),
        3 => Just(Step::Connect),
        1 => (1..4_u8).prop_map(Step::Pass),
    ];
    prop::collection::vec(step, 0..120)
}

fn overflow() -> impl Strategy<Value = Overflow> {
    prop_oneof![
        Just(Overflow::Reject),
        Just(Overflow::DropOldest),
        Just(Overflow::Wait { most: None }),
    ]
}

fn kept() -> LinkPolicy {
    LinkPolicy::OFF
        .outbox(Outbox::Keep { bytes: 150 })
        .bounds(Bounds::DEFAULT.messages(7))
}

fn stateless(_: &World) -> Continuity {
    Continuity::Stateless
}

/// The peer remembers the last message that it received of those that it is to confirm.
fn resumed(world: &World) -> Continuity {
    let received = world.received.iter().copied();
    Continuity::Resumed {
        received: received.filter(|id| world.assured[id]).max(),
    }
}

proptest! {
    #[test]
    fn without_replay_each_message_comes_at_most_once_and_in_order(
        steps in steps(),
        overflow in overflow(),
        age in prop::option::of(1..6_u64),
        outbox in prop_oneof![Just(Outbox::Off), Just(Outbox::Keep { bytes: 150 }), Just(Outbox::Wait { most: None })],
    ) {
        let bounds = kept().bounds.overflow(overflow).age(age.map(Duration::from_secs));
        let mut world = World::new(kept().outbox(outbox).bounds(bounds), stateless);
        steps.into_iter().for_each(|step| world.step(step));
        world.heal();
        world.judge_fates();
        prop_assert!(world.received.is_sorted_by(|a, b| a < b), "{:?}", world.received);
    }

    #[test]
    fn with_replay_each_message_comes_at_least_once_and_in_order(steps in steps(), most in 0..200_u64) {
        let mut world = World::new(kept().replay(Replay::Bytes(most)), stateless);
        steps.into_iter().for_each(|step| {
            world.step(match step {
                Step::Push { size, .. } => Step::Push { size, assured: true },
                other => other,
            });
        });
        world.heal();
        world.judge_fates();
        prop_assert!(world.fates.values().all(|fate| *fate == Fate::Confirmed));
        let mut firsts: Vec<MessageId> = Vec::new();
        for id in &world.received {
            if !firsts.contains(id) {
                firsts.push(*id);
            }
        }
        prop_assert!(firsts.is_sorted(), "{:?}", world.received);
        prop_assert_eq!(firsts.len(), world.fates.len());
    }

    #[test]
    fn a_session_that_goes_on_replays_nothing_that_the_peer_has(steps in steps()) {
        let mut world = World::new(kept().replay(Replay::Bytes(100)), resumed);
        steps.into_iter().for_each(|step| {
            world.step(match step {
                Step::Push { size, .. } => Step::Push { size, assured: true },
                other => other,
            });
        });
        world.heal();
        world.judge_fates();
        prop_assert!(world.received.is_sorted_by(|a, b| a < b), "{:?}", world.received);
        prop_assert_eq!(world.received.len(), world.fates.len());
    }

    #[test]
    fn a_ring_keeps_its_bound_and_every_fate_is_told(steps in steps(), most in 0..5_u32) {
        let mut world = World::new(kept().replay(Replay::Messages(most)), stateless);
        for step in steps {
            world.step(step);
            prop_assert!(world.flight.unconfirmed() <= most as usize);
        }
        world.heal();
        world.judge_fates();
    }
}

fn queue(policy: LinkPolicy) -> (Queue<&'static str>, Vec<(u64, Fate)>) {
    (Queue::new(&policy), Vec::new())
}

#[test]
fn at_the_bound_a_message_passes_and_one_byte_beyond_it_is_refused() {
    let (mut queue, mut told) = queue(LinkPolicy::OFF.outbox(Outbox::Keep { bytes: 10 }));
    let mut tell = |id: MessageId, fate| told.push((id.number(), fate));
    let too_large = queue.push("a", 11, Time::ZERO, &mut tell).unwrap_err();
    assert_eq!(too_large.refusal, Refusal::TooLarge { size: 11, most: 10 });
    queue.push("b", 10, Time::ZERO, &mut tell).unwrap();
    let full = queue.push("c", 1, Time::ZERO, &mut tell).unwrap_err();
    assert_eq!((full.message, full.refusal), ("c", Refusal::Full));
    assert_eq!((queue.bytes(), told), (10, vec![]));
}

#[test]
fn the_oldest_make_room_but_never_one_that_is_being_written() {
    let bounds = Bounds::DEFAULT.overflow(Overflow::DropOldest);
    let (mut queue, mut told) = queue(
        LinkPolicy::OFF
            .outbox(Outbox::Keep { bytes: 10 })
            .bounds(bounds),
    );
    let mut tell = |id: MessageId, fate| told.push((id.number(), fate));
    for message in ["a", "b", "c"] {
        queue.push(message, 3, Time::ZERO, &mut tell).unwrap();
    }
    queue.handle_connected();
    queue.take().unwrap();
    let full = queue.push("d", 8, Time::ZERO, &mut tell).unwrap_err();
    assert_eq!(full.refusal, Refusal::Full); // and nothing was dropped in vain
    queue.push("e", 7, Time::ZERO, &mut tell).unwrap();
    let dropped = Fate::Dropped(Dropped::Overflow);
    assert_eq!(told, [(2, dropped), (3, dropped)]);
}

#[test]
fn what_is_too_old_is_dropped_at_its_time_and_told() {
    let second = Duration::from_secs(1);
    let bounds = Bounds::DEFAULT.age(second);
    let (mut queue, mut told) = queue(
        LinkPolicy::OFF
            .outbox(Outbox::Keep { bytes: 10 })
            .bounds(bounds),
    );
    let mut tell = |id: MessageId, fate| told.push((id.number(), fate));
    queue.push("a", 1, Time::ZERO, &mut tell).unwrap();
    queue
        .push("b", 1, Time::ZERO + second / 2, &mut tell)
        .unwrap();
    assert_eq!(queue.next_wake(), Some(Time::ZERO + second));
    queue.expire(Time::ZERO + second, &mut tell);
    assert_eq!((queue.len(), queue.bytes()), (1, 1));
    assert_eq!(told, [(1, Fate::Dropped(Dropped::Age))]);
}

#[test]
fn an_outbox_that_is_off_refuses_without_a_connection_and_drops_what_a_loss_leaves() {
    let (mut queue, mut told) = queue(LinkPolicy::OFF);
    let mut tell = |id: MessageId, fate| told.push((id.number(), fate));
    let refused = queue.push("a", 1, Time::ZERO, &mut tell).unwrap_err();
    assert_eq!(refused.refusal, Refusal::NoConnection);
    queue.handle_connected();
    queue.push("b", 1, Time::ZERO, &mut tell).unwrap();
    queue.handle_lost(&mut tell);
    assert_eq!((queue.len(), queue.bytes()), (0, 0));
    assert_eq!(told, [(1, Fate::Dropped(Dropped::NoConnection))]);
}

/// A flight with messages 1 to 5 handed over, each to be confirmed.
fn five_sent(replay: Replay) -> (Flight<()>, Vec<(u64, Fate)>) {
    let policy = kept().replay(replay).outbox(Outbox::Keep { bytes: 1000 });
    let (mut queue, mut flight) = (Queue::new(&policy), Flight::new(&policy));
    queue.handle_connected();
    for end in 1..=5 {
        queue.push((), 1, Time::ZERO, &mut |_, _| {}).unwrap();
        flight.push(queue.take().unwrap(), Assurance::Confirmed, end);
    }
    let handed = flight.handle_written(5, Time::ZERO, &mut |_, _| {});
    assert_eq!((handed.messages, handed.bytes), (5, 5));
    (flight, Vec::new())
}

#[test]
fn a_session_is_resumed_resumed_with_loss_or_lost() {
    let third = MessageId::new(3);
    let resume = |replay, continuity| {
        let (mut flight, mut told) = five_sent(replay);
        let mut tell = |id: MessageId, fate| told.push((id.number(), fate));
        flight.handle_lost(&mut tell);
        let resumption = flight.handle_connected(continuity, &mut tell);
        let mut again = Vec::new();
        while let Some((id, ())) = flight.next_again() {
            again.push(id.number());
            flight.push_again(again.len() as u64);
        }
        (resumption, again, told)
    };
    let received = |id| Continuity::Resumed { received: id };

    let (resumption, again, told) = resume(Replay::Bytes(9), received(Some(third)));
    assert_eq!((resumption, again), (Resumption::Resumed, vec![4, 5]));
    assert_eq!(told, [1, 2, 3].map(|id| (id, Fate::Confirmed)));

    // The ring holds 3, 4 and 5: enough if the peer has 2, not if it has 1 or nothing.
    let (resumption, again, _) = resume(Replay::Messages(3), received(Some(MessageId::new(2))));
    assert_eq!((resumption, again), (Resumption::Resumed, vec![3, 4, 5]));
    for after in [None, Some(MessageId::new(1))] {
        let (resumption, again, _) = resume(Replay::Messages(3), received(after));
        let through = MessageId::new(2);
        assert_eq!(resumption, Resumption::ResumedWithLoss { after, through });
        assert_eq!(again, [3, 4, 5]);
    }

    let (resumption, again, told) = resume(Replay::Messages(3), Continuity::Lost);
    assert_eq!((resumption, again), (Resumption::SessionLost, vec![]));
    assert_eq!(told, [3, 4, 5].map(|id| (id, Fate::Unconfirmed)));

    // Without replay a loss settles them, and the session is resumed with loss.
    let (resumption, again, told) = resume(Replay::Off, received(Some(third)));
    let through = MessageId::new(5);
    let after = Some(third);
    assert_eq!(resumption, Resumption::ResumedWithLoss { after, through });
    assert_eq!((again.len(), told.len()), (0, 5));
}

#[test]
fn what_was_confirmed_out_of_order_leaves_room_and_is_passed_over_by_a_replay() {
    let (mut flight, mut told) = five_sent(Replay::Bytes(6));
    let mut tell = |id: MessageId, fate| told.push((id.number(), fate));
    for id in [2, 4].map(MessageId::new) {
        assert_eq!(flight.handle_confirmed(id, &mut tell).messages, 0);
    }
    assert_eq!(flight.unconfirmed(), 3);
    assert!(flight.has_room(3, Assurance::Confirmed));
    assert!(!flight.has_room(4, Assurance::Confirmed));

    flight.handle_lost(&mut tell);
    flight.handle_connected(Continuity::Stateless, &mut tell);
    let next = |flight: &Flight<()>| flight.next_again().map(|(id, ())| id.number());
    assert_eq!(next(&flight), Some(1));
    flight.push_again(1);
    assert_eq!(next(&flight), Some(3));
    // Also one that is the next.
    let _ = flight.handle_confirmed(MessageId::new(3), &mut tell);
    assert_eq!(next(&flight), Some(5));
    flight.refuse_again(&mut tell);
    assert_eq!((next(&flight), flight.is_written()), (None, false));
    assert_eq!(flight.handle_written(1, Time::ZERO, &mut tell).messages, 0);
    assert!(flight.is_written());

    let confirmed = [2, 4, 3].map(|id| (id, Fate::Confirmed));
    assert_eq!(told[..3], confirmed);
    assert_eq!(
        told[3..],
        [(5, Fate::Refused), (1, Fate::Awaiting { sent: 2 })]
    );
}

#[test]
fn a_mark_confirms_what_is_sent_and_what_is_still_being_written() {
    let policy = kept().replay(Replay::Bytes(100));
    let (mut queue, mut flight) = (Queue::new(&policy), Flight::new(&policy));
    queue.handle_connected();
    let assurances = [Assurance::Confirmed, Assurance::None, Assurance::Confirmed];
    for (at, assurance) in assurances.into_iter().chain(assurances).enumerate() {
        queue.push((), 10, Time::ZERO, &mut |_, _| {}).unwrap();
        flight.push(queue.take().unwrap(), assurance, 10 * (at as u64 + 1));
    }
    let mut told = Vec::new();
    let mut tell = |id: MessageId, fate| told.push((id.number(), fate));
    let handed = flight.handle_written(15, Time::ZERO, &mut tell);
    assert_eq!((handed.messages, handed.bytes), (1, 10));
    let handed = flight.handle_confirmed_through(MessageId::new(3), &mut tell);
    assert_eq!((handed.messages, handed.bytes), (2, 20));
    // Refused before it was written: the others go on.
    let handed = flight.handle_refused(MessageId::new(6), &mut tell);
    assert_eq!((handed.messages, handed.bytes), (1, 10));
    let handed = flight.handle_written(60, Time::ZERO, &mut tell);
    assert_eq!((handed.messages, handed.bytes), (2, 20));
    let awaiting = Fate::Awaiting { sent: 1 };
    let expected = [
        (1, awaiting),
        (1, Fate::Confirmed),
        (2, Fate::Handed),
        (3, awaiting),
        (3, Fate::Confirmed),
        (6, awaiting),
        (6, Fate::Refused),
        (4, awaiting),
        (5, Fate::Handed),
    ];
    assert_eq!(told, expected);
    assert_eq!(flight.unconfirmed(), 1);
    assert!(flight.has_room(90, Assurance::Confirmed));
    assert!(!flight.has_room(91, Assurance::Confirmed));
}

#[test]
fn no_more_goes_out_unconfirmed_than_can_be_replayed() {
    let (flight, _) = five_sent(Replay::Bytes(6));
    assert!(flight.has_room(1, Assurance::Confirmed));
    assert!(!flight.has_room(2, Assurance::Confirmed));
    assert!(flight.has_room(1000, Assurance::None));
    // One may always go, however large.
    let policy = kept().replay(Replay::Bytes(6));
    assert!(Flight::<()>::new(&policy).has_room(1000, Assurance::Confirmed));
}

#[test]
fn a_confirmation_that_does_not_come_is_told_or_a_fault() {
    let deadline = Duration::from_secs(2);
    let late = |then, replay| {
        let policy = kept()
            .reply(Reply::Within { deadline, then })
            .replay(replay);
        let (mut queue, mut flight) = (Queue::new(&policy), Flight::new(&policy));
        queue.handle_connected();
        queue.push((), 1, Time::ZERO, &mut |_, _| {}).unwrap();
        flight.push(queue.take().unwrap(), Assurance::Confirmed, 1);
        let _ = flight.handle_written(1, Time::ZERO, &mut |_, _| {});
        assert_eq!(flight.next_wake(), Some(Time::ZERO + deadline));
        let mut told = Vec::new();
        let mut tell = |id: MessageId, fate| told.push((id.number(), fate));
        let early = flight.poll_late(Time::ZERO + deadline / 2, &mut tell);
        assert_eq!(early, None);
        let late = flight.poll_late(Time::ZERO + deadline, &mut tell).unwrap();
        assert_eq!(late, (MessageId::new(1), then));
        assert_eq!(flight.poll_late(Time::ZERO + deadline, &mut tell), None);
        (flight.unconfirmed(), told)
    };
    let unconfirmed = vec![(1, Fate::Unconfirmed)];
    assert_eq!(late(Late::Report, Replay::Off), (0, unconfirmed.clone()));
    assert_eq!(late(Late::Fault, Replay::Off), (0, unconfirmed));
    // After the fault it is replayed.
    assert_eq!(late(Late::Fault, Replay::Bytes(10)), (1, vec![]));
}

#[test]
fn a_loss_fails_the_requests_that_were_sent_unless_they_may_wait() {
    let ids = [1, 2, 3].map(MessageId::new);
    let lost = |at_loss, first_unsent| {
        let mut requests = Requests::new(&LinkPolicy::OFF.at_loss(at_loss));
        for id in ids {
            requests.insert(id, Time::ZERO);
        }
        (requests.handle_lost(None, first_unsent), requests.len())
    };
    let mut requests = Requests::new(&LinkPolicy::OFF);
    for id in ids {
        requests.insert(id, Time::ZERO);
    }
    // The first was asked over a connection that is still listened to.
    assert_eq!(requests.handle_lost(Some(ids[0]), None), ids[1..]);
    assert_eq!(requests.oldest(), Some(ids[0]));
    assert_eq!(lost(AtLoss::Fail, Some(ids[2])), (ids[..2].to_vec(), 1));
    assert_eq!(lost(AtLoss::Fail, None), (ids.to_vec(), 0));
    assert_eq!(lost(AtLoss::Wait, None), (vec![], 3));
}
