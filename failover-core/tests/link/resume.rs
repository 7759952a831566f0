//! A protocol whose sessions go on: a token, and the server's last-received mark.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use failover_core::dial::DialContext;
use failover_core::directory::Target;
use failover_core::failure::{Classify, Failure, Kind};
use failover_core::link::{
    Assurance, AtLoss, Continuity, Fate, LinkPolicy, MessageId, Replay, Resumption,
};
use failover_core::messaging::{
    Decoded, Heard, Inbox, Line, News, Passage, Protocol, Session, Ticket, Welcome, Wire,
};
use proptest::prelude::*;
use thiserror::Error;

use crate::nats::text;
use crate::net::{self, Net, Server, WELL, lock};
use crate::{Carried, carry, kept};

#[tokio::test(start_paused = true)]
async fn a_resumed_session_gets_what_it_lacks_and_nothing_twice() {
    let mut play = Play::after_five(Replay::Messages(3), |server| server.forget_after(3)).await;
    assert_eq!(play.resumption().await, Resumption::Resumed);
    assert_eq!(play.bodies(), ["1", "2", "3", "4", "5"]);
    let fates = [
        Fate::Released,
        Fate::Released,
        Fate::Confirmed,
        Fate::Confirmed,
        Fate::Confirmed,
    ];
    assert_eq!(play.fates(), fates);
}

#[tokio::test(start_paused = true)]
async fn what_the_ring_does_not_hold_any_more_is_a_resumption_with_loss() {
    let mut play = Play::after_five(Replay::Messages(3), |server| server.forget_after(1)).await;
    let expected = Resumption::ResumedWithLoss {
        after: Some(MessageId::new(1)),
        through: MessageId::new(2),
    };
    assert_eq!(play.resumption().await, expected);
    assert_eq!(play.bodies(), ["1", "3", "4", "5"]);
    assert_eq!(play.fates()[2..], [Fate::Confirmed; 3]);
}

#[tokio::test(start_paused = true)]
async fn a_lost_session_tells_each_message_that_it_took_along_and_goes_on() {
    let mut play = Play::after_five(Replay::Messages(3), |server| {
        server.sessions = BTreeMap::new()
    })
    .await;
    assert_eq!(play.resumption().await, Resumption::SessionLost);
    // They belonged to the old session, and are not replayed into the new one.
    assert_eq!(play.fates()[2..], [Fate::Unconfirmed; 3]);
    assert_eq!(play.carried.link.counters().unconfirmed, 3);
    let after = play.carried.link.try_send_tracked("6".into()).unwrap();
    assert_eq!(after.settled().await, Fate::Confirmed);
    assert_eq!(play.bodies(), ["6"]);
    assert_eq!(lock(&play.server).sessions.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn without_replay_a_resumed_session_is_told_what_is_missing() {
    let mut play = Play::after_five(Replay::Off, |server| server.forget_after(3)).await;
    let expected = Resumption::ResumedWithLoss {
        after: Some(MessageId::new(3)),
        through: MessageId::new(5),
    };
    assert_eq!(play.resumption().await, expected);
    assert_eq!(play.fates(), [Fate::Unconfirmed; 5]);
    assert_eq!(play.bodies(), ["1", "2", "3"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn within_a_session_every_message_comes_once_and_in_order_whatever_breaks(
        cuts in prop::collection::vec((1..30_usize, 0..150_usize, 0..100_usize), 0..8),
        count in 1..30_usize,
    ) {
        let bodies = paused(async move {
            let server = RingServer::new();
            let net = Net::default().host("a", &server);
            net.next(cuts.into_iter().map(|(grain, cut_written, cut_read)| net::Fate {
                grain, cut_written, cut_read, ..WELL
            }));
            let policy = kept().replay(Replay::Bytes(1000)).at_loss(AtLoss::Wait);
            let Carried { link, .. } = carry(&net, "a", Ring::default(), policy);
            for number in 0..count {
                link.try_send(number.to_string()).unwrap();
                tokio::task::yield_now().await;
            }
            link.flush().await.unwrap();
            assert_eq!(link.counters().confirmed, count as u64);
            let server = lock(&server);
            let sessions = server.sessions.values();
            sessions.flat_map(|session| session.clone()).map(|(_, body)| body).collect::<Vec<_>>()
        });
        let expected: Vec<String> = (0..count).map(|number| number.to_string()).collect();
        prop_assert_eq!(bodies, expected);
    }
}

fn paused<T>(future: impl Future<Output = T>) -> T {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_time().start_paused(true).build().unwrap();
    let most = Duration::from_secs(3600);
    runtime.block_on(async { tokio::time::timeout(most, future).await.unwrap() })
}

/// Five messages were sent and not confirmed, the server died and came back.
struct Play {
    server: Arc<Mutex<RingServer>>,
    carried: Carried<Ring>,
    news: Inbox<News<RingError>>,
    tickets: Vec<Ticket<Ring>>,
}

impl Play {
    async fn after_five(replay: Replay, damage: impl FnOnce(&mut RingServer)) -> Self {
        let server = RingServer::new();
        lock(&server).mute = true;
        let net = Net::default().host("a", &server);
        let policy: LinkPolicy = kept().replay(replay).at_loss(AtLoss::Wait);
        let carried = carry(&net, "a", Ring::default(), policy);
        let mut news = carried.link.news();
        let tickets: Vec<_> = ["1", "2", "3", "4", "5"]
            .into_iter()
            .map(|body| carried.link.try_send_tracked(body.into()).unwrap())
            .collect();
        assert_eq!(next_resumption(&mut news).await, Resumption::Fresh);
        crate::pass(crate::SECOND).await;
        assert_eq!(lock(&server).bodies().len(), 5);
        net.kill("a");
        damage(&mut lock(&server));
        lock(&server).mute = false;
        net.revive("a");
        Self {
            server,
            carried,
            news,
            tickets,
        }
    }

    /// How the next connection begins, once it has done all it can.
    async fn resumption(&mut self) -> Resumption {
        let resumption = next_resumption(&mut self.news).await;
        self.carried.link.flush().await.unwrap();
        resumption
    }

    fn bodies(&self) -> Vec<String> {
        lock(&self.server).bodies()
    }

    fn fates(&self) -> Vec<Fate> {
        self.tickets.iter().map(Ticket::fate).collect()
    }
}

async fn next_resumption(news: &mut Inbox<News<RingError>>) -> Resumption {
    loop {
        if let News::Connected { resumption, .. } = news.next().await.unwrap() {
            return resumption;
        }
    }
}

/// `hello <token>`, answered by `again <last received>` or `new <token>`; then `<number> <body>`, answered
/// by `got <number>`.
#[derive(Default)]
struct Ring {
    token: Mutex<u64>,
}

#[derive(Debug, Error)]
enum RingError {
    #[error("the connection failed")]
    Io(#[from] io::Error),
    #[error("this is no answer: {0}")]
    Garbage(String),
}

impl Classify for RingError {
    fn failure(&self) -> Failure {
        match self {
            Self::Io(error) => error.failure(),
            Self::Garbage(_) => Failure::new(Kind::Protocol),
        }
    }
}

/// A word and its number.
fn said(line: &[u8]) -> Result<(String, u64), RingError> {
    let line = text(line);
    let said = line.split_once(' ').and_then(|(word, number)| {
        let number = number.parse().ok()?;
        Some((word.to_string(), number))
    });
    said.ok_or(RingError::Garbage(line))
}

impl Protocol for Ring {
    type Message = String;
    type Reply = ();
    type Session = RingSession;
    type Error = RingError;

    fn size(&self, message: &String) -> usize {
        message.len()
    }

    fn assurance(&self, _: &String) -> Assurance {
        Assurance::Confirmed
    }

    async fn login<W: Wire>(
        &self,
        line: &mut Line<W>,
        _: &Target,
        _: &DialContext,
    ) -> Result<Welcome<RingSession>, RingError> {
        let token = *lock(&self.token);
        line.write(format!("hello {token}\n").as_bytes()).await?;
        let answer = line.read_until(b"\n", 100).await?;
        let continuity = match said(&answer)? {
            (word, mark) if word == "again" => Continuity::Resumed {
                received: (mark > 0).then(|| MessageId::new(mark)),
            },
            (_, new) => {
                *lock(&self.token) = new;
                match token {
                    0 => Continuity::Stateless,
                    _ => Continuity::Lost,
                }
            }
        };
        Ok(Welcome::new(RingSession).continuity(continuity))
    }
}

struct RingSession;

impl Session for RingSession {
    type Message = String;
    type Reply = ();
    type Error = RingError;

    fn encode(
        &mut self,
        id: MessageId,
        message: &String,
        _: Passage,
        out: &mut Vec<u8>,
    ) -> Result<(), RingError> {
        out.extend_from_slice(format!("{id} {message}\n").as_bytes());
        Ok(())
    }

    fn decode(
        &mut self,
        bytes: &[u8],
        heard: &mut Heard<(), RingError>,
    ) -> Result<Decoded, RingError> {
        let mut done = 0;
        while let Some(end) = bytes[done..].iter().position(|byte| *byte == b'\n') {
            let (_, number) = said(&bytes[done..done + end])?;
            heard.confirmed(MessageId::new(number));
            done += end + 1;
        }
        Ok(Decoded::All(done))
    }
}

/// What it received in each session, by the session's token.
#[derive(Default)]
struct RingServer {
    sessions: BTreeMap<u64, Vec<(u64, String)>>,
    tokens: u64,
    /// The session of each connection.
    of: BTreeMap<usize, u64>,
    /// It confirms nothing.
    mute: bool,
}

impl RingServer {
    fn new() -> Arc<Mutex<Self>> {
        Arc::default()
    }

    /// It had not written down what came after this message.
    fn forget_after(&mut self, last: u64) {
        let sessions = self.sessions.values_mut();
        sessions.for_each(|session| session.retain(|(number, _)| *number <= last));
    }

    fn bodies(&self) -> Vec<String> {
        let sessions = self.sessions.values().flatten();
        sessions.map(|(_, body)| body.clone()).collect()
    }

    fn hello(&mut self, conn: usize, token: u64) -> String {
        if let Some(session) = self.sessions.get(&token) {
            self.of.insert(conn, token);
            let mark = session.last().map_or(0, |(number, _)| *number);
            return format!("again {mark}\n");
        }
        self.tokens += 1;
        self.of.insert(conn, self.tokens);
        self.sessions.insert(self.tokens, Vec::new());
        format!("new {}\n", self.tokens)
    }
}

impl Server for RingServer {
    fn hear(&mut self, conn: usize, unread: &mut Vec<u8>, out: &mut Vec<u8>) {
        while let Some(end) = unread.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = unread.drain(..=end).collect();
            let line = text(&line[..end]);
            let (first, rest) = line.split_once(' ').unwrap();
            if first == "hello" {
                let answer = self.hello(conn, rest.parse().unwrap());
                out.extend_from_slice(answer.as_bytes());
                continue;
            }
            let session = self.sessions.get_mut(&self.of[&conn]).unwrap();
            session.push((first.parse().unwrap(), rest.to_string()));
            if !self.mute {
                out.extend_from_slice(format!("got {first}\n").as_bytes());
            }
        }
    }
}
