//! A sketch of NATS: subscriptions told in `control`, requests over one inbox, pings both ways, server
//! lists, lame duck, errors that leave the connection.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex};

use failover_core::dial::DialContext;
use failover_core::directory::Target;
use failover_core::failure::{Classify, Failure, Kind, Scope};
use failover_core::link::{MessageId, Refusal};
use failover_core::messaging::{
    Decoded, Echo, Feed, Heard, Inbox, Line, Link, Passage, Protocol, Room, Session, Welcome, Wire,
    inbox,
};
use thiserror::Error;

use crate::net::{Server, lock};

/// The client's side; it lasts from connection to connection.
pub struct Nats {
    pub password: String,
    shared: Arc<Mutex<Subscriptions>>,
}

#[derive(Default)]
struct Subscriptions {
    last: u64,
    live: BTreeMap<u64, Subscription>,
}

/// To what, and who reads it.
type Subscription = (String, Arc<Feed<Vec<u8>>>);

/// What is published; `answered` as a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publish {
    pub subject: String,
    pub payload: Vec<u8>,
    pub answered: bool,
}

pub fn publish(subject: &str, payload: impl Into<Vec<u8>>) -> Publish {
    Publish {
        subject: subject.to_string(),
        payload: payload.into(),
        answered: false,
    }
}

pub fn ask(subject: &str, payload: &str) -> Publish {
    Publish {
        answered: true,
        ..publish(subject, payload)
    }
}

#[derive(Debug, Error)]
pub enum NatsError {
    #[error("the connection failed")]
    Io(#[from] io::Error),
    #[error("the server says: {0}")]
    Said(String),
    #[error("this is no NATS: {0}")]
    Garbage(&'static str),
}

impl Classify for NatsError {
    fn failure(&self) -> Failure {
        match self {
            Self::Io(error) => error.failure(),
            Self::Said(text) if text.contains("Authorization") => {
                Failure::new(Kind::Auth).scope(Scope::Endpoint)
            }
            Self::Said(_) => Failure::new(Kind::Other),
            Self::Garbage(_) => Failure::new(Kind::Protocol),
        }
    }
}

pub const LARGEST: usize = 1000;

impl Nats {
    pub fn new(password: &str) -> Self {
        Self {
            password: password.to_string(),
            shared: Arc::default(),
        }
    }

    pub fn subscribe(link: &Link<Self>, subject: &str, items: usize) -> Inbox<Vec<u8>> {
        let room = Room {
            items,
            bytes: usize::MAX,
        };
        let (feed, reader) = inbox(room, link.waker());
        let mut subscriptions = lock(&link.protocol().shared);
        subscriptions.last += 1;
        let sid = subscriptions.last;
        let subscription = (subject.to_string(), Arc::new(feed));
        subscriptions.live.insert(sid, subscription);
        drop(subscriptions);
        link.nudge();
        reader
    }
}

impl Protocol for Nats {
    type Message = Publish;
    type Reply = Vec<u8>;
    type Session = NatsSession;
    type Error = NatsError;

    fn size(&self, message: &Publish) -> usize {
        message.payload.len()
    }

    fn check(&self, message: &Publish) -> Result<(), Refusal> {
        if message.subject.contains(' ') {
            let why = "a subject has no spaces";
            return Err(Refusal::Invalid { why });
        }
        Ok(())
    }

    async fn login<W: Wire>(
        &self,
        line: &mut Line<W>,
        _: &Target,
        _: &DialContext,
    ) -> Result<Welcome<NatsSession>, NatsError> {
        let info = line.read_until(b"\r\n", 4096).await?;
        if !info.starts_with(b"INFO ") {
            return Err(NatsError::Garbage("no INFO"));
        }
        let hello = format!("CONNECT {}\r\nPING\r\n", self.password);
        line.write(hello.as_bytes()).await?;
        let answer = line.read_until(b"\r\n", 4096).await?;
        match answer.as_slice() {
            b"PONG" => Ok(Welcome::new(NatsSession {
                shared: self.shared.clone(),
                told: BTreeSet::new(),
                owed: 0,
            })),
            _ => Err(NatsError::Said(text(&answer))),
        }
    }
}

pub struct NatsSession {
    shared: Arc<Mutex<Subscriptions>>,
    /// The subscriptions that this server knows; 0 is the inbox for answers.
    told: BTreeSet<u64>,
    /// Pings of the server that are not answered.
    owed: usize,
}

impl Session for NatsSession {
    type Message = Publish;
    type Reply = Vec<u8>;
    type Error = NatsError;

    fn encode(
        &mut self,
        id: MessageId,
        message: &Publish,
        _: Passage,
        out: &mut Vec<u8>,
    ) -> Result<(), NatsError> {
        let Publish {
            subject, payload, ..
        } = message;
        if payload.len() > LARGEST {
            return Err(NatsError::Said("Maximum Payload Violation".to_string()));
        }
        let reply = match message.answered {
            true => format!(" _INBOX.{id}"),
            false => String::new(),
        };
        let head = format!("PUB {subject}{reply} {}\r\n", payload.len());
        out.extend_from_slice(head.as_bytes());
        out.extend_from_slice(payload);
        out.extend_from_slice(b"\r\n");
        Ok(())
    }

    fn decode(
        &mut self,
        bytes: &[u8],
        heard: &mut Heard<Vec<u8>, NatsError>,
    ) -> Result<Decoded, NatsError> {
        let mut done = 0;
        loop {
            let rest = &bytes[done..];
            let Some(end) = rest.windows(2).position(|window| window == b"\r\n") else {
                return Ok(Decoded::All(done));
            };
            let head = text(&rest[..end]);
            let mut words = head.split(' ');
            match words.next().unwrap() {
                "PING" => self.owed += 1,
                "PONG" => heard.pong(),
                "INFO" => info(&head, heard),
                "-NO" => {
                    let id = words.next().and_then(|id| id.parse().ok());
                    heard.refused(MessageId::new(id.ok_or(NatsError::Garbage("-NO"))?));
                }
                "-ERR" if head.contains("Permissions") => heard.error(NatsError::Said(head)),
                "-ERR" => return Err(NatsError::Said(head)),
                "MSG" => {
                    let words: Vec<&str> = words.collect();
                    let [subject, sid, len] = words[..] else {
                        return Err(NatsError::Garbage("MSG"));
                    };
                    let len: usize = len.parse().map_err(|_| NatsError::Garbage("length"))?;
                    let Some(payload) = rest.get(end + 2..end + 2 + len) else {
                        return Ok(Decoded::All(done));
                    };
                    if rest.len() < end + len + 4 {
                        return Ok(Decoded::All(done));
                    }
                    if self.deliver(subject, sid, payload, heard).is_err() {
                        return Ok(Decoded::Blocked(done));
                    }
                    done += len + 2;
                }
                _ => return Err(NatsError::Garbage("no such word")),
            }
            done += end + 2;
        }
    }

    fn control(&mut self, out: &mut Vec<u8>) {
        for _ in 0..core::mem::take(&mut self.owed) {
            out.extend_from_slice(b"PONG\r\n");
        }
        if self.told.insert(0) {
            out.extend_from_slice(b"SUB _INBOX.* 0\r\n");
        }
        let mut subscriptions = lock(&self.shared);
        subscriptions.live.retain(|_, (_, feed)| !feed.is_ended());
        for (sid, (subject, _)) in &subscriptions.live {
            if self.told.insert(*sid) {
                out.extend_from_slice(format!("SUB {subject} {sid}\r\n").as_bytes());
            }
        }
        let is_live = |sid: &u64| *sid == 0 || subscriptions.live.contains_key(sid);
        self.told.retain(|sid| {
            let live = is_live(sid);
            if !live {
                out.extend_from_slice(format!("UNSUB {sid}\r\n").as_bytes());
            }
            live
        });
    }

    fn ping(&mut self, out: &mut Vec<u8>) -> Echo {
        out.extend_from_slice(b"PING\r\n");
        Echo::Pong
    }
}

impl NatsSession {
    fn deliver(
        &self,
        subject: &str,
        sid: &str,
        payload: &[u8],
        heard: &mut Heard<Vec<u8>, NatsError>,
    ) -> Result<(), Vec<u8>> {
        if let Some(id) = subject
            .strip_prefix("_INBOX.")
            .and_then(|id| id.parse().ok())
        {
            heard.reply(MessageId::new(id), payload.to_vec());
            return Ok(());
        }
        let sid: u64 = sid.parse().unwrap_or(0);
        let feed = lock(&self.shared)
            .live
            .get(&sid)
            .map(|(_, feed)| feed.clone());
        feed.map_or(Ok(()), |feed| feed.push(payload.to_vec(), payload.len()))
    }
}

fn info(head: &str, heard: &mut Heard<Vec<u8>, NatsError>) {
    if head.contains("ldm") {
        heard.draining();
    }
    if let Some((_, urls)) = head.split_once("urls=") {
        heard.servers(urls.split(',').map(str::to_string));
    }
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The server's side: it keeps what was published, answers requests, and logs what else it heard.
#[derive(Default)]
pub struct NatsServer {
    pub password: String,
    pub published: Vec<(usize, Vec<u8>)>,
    pub log: Vec<String>,
    /// Requests are not answered.
    pub mute: bool,
}

impl NatsServer {
    pub fn new(password: &str) -> Arc<Mutex<Self>> {
        let password = password.to_string();
        Arc::new(Mutex::new(Self {
            password,
            ..Self::default()
        }))
    }

    pub fn payloads(&self) -> Vec<String> {
        self.published
            .iter()
            .map(|(_, payload)| text(payload))
            .collect()
    }
}

impl Server for NatsServer {
    fn open(&mut self, _: usize, out: &mut Vec<u8>) {
        out.extend_from_slice(b"INFO {}\r\n");
    }

    fn hear(&mut self, conn: usize, unread: &mut Vec<u8>, out: &mut Vec<u8>) {
        while let Some(end) = unread.windows(2).position(|window| window == b"\r\n") {
            let head = text(&unread[..end]);
            let words: Vec<&str> = head.split(' ').collect();
            let mut done = end + 2;
            match words[..] {
                ["CONNECT", password] if password == self.password => {}
                ["CONNECT", _] => out.extend_from_slice(b"-ERR 'Authorization Violation'\r\n"),
                ["PING"] => out.extend_from_slice(b"PONG\r\n"),
                ["PUB", _, .., len] => {
                    let len: usize = len.parse().unwrap();
                    done += len + 2;
                    let Some(payload) = unread.get(end + 2..end + 2 + len) else {
                        return;
                    };
                    if unread.len() < done {
                        return;
                    }
                    if let ([_, _, reply, _], false) = (&words[..], self.mute) {
                        out.extend_from_slice(format!("MSG {reply} 0 {len}\r\n").as_bytes());
                        out.extend_from_slice(payload);
                        out.extend_from_slice(b"\r\n");
                    }
                    self.published.push((conn, payload.to_vec()));
                    self.log.push(format!("PUB {}", text(payload)));
                }
                _ => self.log.push(head.clone()),
            }
            unread.drain(..done);
        }
    }
}
