//! What a protocol brings: a login, and a session that encodes and decodes.

use std::future::Future;
use std::string::String;
use std::vec::Vec;

use crate::dial::DialContext;
use crate::directory::Target;
use crate::failure::Classify;
use crate::heartbeat::Heartbeat;
use crate::link::{Assurance, Continuity, MessageId, Refusal};
use crate::messaging::line::Line;
use crate::messaging::wire::Wire;

/// A message protocol: how to log in, and what lasts from one connection to the next (credentials,
/// subscriptions, a resume token).
///
/// It is shared by the user's half, the logins and the sessions; what changes in it needs a lock of its
/// own, held briefly.
///
/// # For implementers
/// * [`login`](Self::login) is the outermost layer of the dial: its deadline is the dial's, its errors
///   answer [`Classify`] (wrong password: `Kind::Auth` of scope endpoint; wrong role:
///   `Kind::WrongRole`), and "connected" is told only when it is done.
/// * Do not resubscribe in it: the [`Session`] does that in its first [`control`](Session::control),
///   which goes out before any message. (Where the peer takes subscriptions before it has answered the
///   login, the login may ask that session's `control` itself and save a round trip.)
/// * Ask for credentials at every login: they may have changed.
/// * Say what it waits for with [`DialContext::awaits`]: a login that a mute server holds up is then told so.
pub trait Protocol: Send + Sync + 'static {
    /// What a user sends.
    type Message: Send + 'static;
    /// What a request is answered with.
    type Reply: Send + 'static;
    /// What is known of one connection.
    type Session: Session<Message = Self::Message, Reply = Self::Reply, Error = Self::Error>;
    /// What may go wrong in a login or a session.
    type Error: core::error::Error + Classify + Send + Sync + 'static;

    /// How many bytes this message counts in the outbox: about those that it has on the wire.
    fn size(&self, message: &Self::Message) -> usize;

    /// Whether the peer will confirm this message. Default: none.
    fn assurance(&self, _message: &Self::Message) -> Assurance {
        Assurance::None
    }

    /// Whether it can be sent at all: asked when a user sends, so that what no server would take is
    /// refused at the call. Default: everything.
    ///
    /// # Errors
    /// Why not ([`Refusal::TooLarge`], [`Refusal::Invalid`]).
    fn check(&self, _message: &Self::Message) -> Result<(), Refusal> {
        Ok(())
    }

    /// Logs in over a fresh connection.
    ///
    /// # Cancel safety
    /// Dropping the future drops the connection.
    ///
    /// # Errors
    /// When the server refuses, breaks the protocol, or the connection fails.
    fn login<W: Wire>(
        &self,
        line: &mut Line<W>,
        to: &Target,
        cx: &DialContext,
    ) -> impl Future<Output = Result<Welcome<Self::Session>, Self::Error>> + Send;
}

/// One connection of a protocol: it encodes and decodes, does no I/O and knows no time.
///
/// All bytes go into `out`, an append-only buffer; what stood in it before stays.
pub trait Session: Send + 'static {
    /// As [`Protocol::Message`].
    type Message;
    /// As [`Protocol::Reply`].
    type Reply;
    /// As [`Protocol::Error`].
    type Error;

    /// Writes one message as a whole.
    ///
    /// # Errors
    /// When it cannot be sent over this connection: the message is dropped and told, the connection
    /// stays, and what was appended is taken back.
    fn encode(
        &mut self,
        id: MessageId,
        message: &Self::Message,
        passage: Passage,
        out: &mut Vec<u8>,
    ) -> Result<(), Self::Error>;

    /// Takes as many whole frames from the beginning of `bytes` as are there, and says what it heard.
    /// What it leaves comes again, with more behind it. If the bytes are as many as a frame may have
    /// and none is whole, the connection is given up. It is asked once right after the login, also without
    /// bytes, so that a session can tell what the login heard (a list of servers in a greeting), and again after
    /// [`Decoded::Blocked`], also without bytes.
    ///
    /// # Errors
    /// When the peer broke the protocol or ended the session: the connection is lost with this error. An
    /// error that leaves it usable is told with [`Heard::error`].
    fn decode(
        &mut self,
        bytes: &[u8],
        heard: &mut Heard<Self::Reply, Self::Error>,
    ) -> Result<Decoded, Self::Error>;

    /// Writes what is owed beside messages: subscriptions that the server does not know yet, answers to
    /// its pings, acknowledgements. Asked before messages are written, after each decode and after
    /// [`Link::nudge`](crate::messaging::Link::nudge), several times a turn: when there is nothing it must look
    /// at nothing, however many subscriptions there are. The first one
    /// subscribes anew.
    fn control(&mut self, _out: &mut Vec<u8>) {}

    /// Writes something that the peer answers, if the protocol has it; the answer is told with
    /// [`Heard::pong`]. It serves the heartbeat, and a flush as proof that the peer has read all before it.
    fn ping(&mut self, _out: &mut Vec<u8>) -> Echo {
        Echo::None
    }

    /// Writes a sign of life that needs no answer, and says whether one comes all the same. Default: a ping.
    fn beat(&mut self, out: &mut Vec<u8>) -> Echo {
        self.ping(out)
    }

    /// Asked once when the connection is left and another takes over: it may still listen for answers to what
    /// was asked over it, for the policy's [grace](crate::policy::Standing::grace). Unsubscribe here, so that
    /// nothing comes twice; [`control`](Self::control) is asked on, for pings and acknowledgements, and must not
    /// subscribe again. Where no request has an answer (STOMP, MQTT) there is nothing to listen for, and the goodbye
    /// behind it ends the subscriptions. Default: nothing.
    fn leave(&mut self, _out: &mut Vec<u8>) {}

    /// Writes a farewell, if the protocol has one.
    fn goodbye(&mut self, _out: &mut Vec<u8>) {}
}

/// How often a message was written before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Passage {
    /// Never as a whole.
    First,
    /// It is replayed: the peer may have it. (MQTT's DUP)
    Again,
}

/// How far a decode came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Decoded {
    /// So many bytes are done; the next frame is not whole yet.
    All(usize),
    /// So many bytes are done, and the next frame finds no room in its subscriber's queue: nothing is
    /// decoded until [`Link::nudge`](crate::messaging::Link::nudge) or the reader of an
    /// [`Inbox`](crate::messaging::Inbox) makes room: no answers either, so that no late one judges the peer. About
    /// 64 KiB are read ahead: within them the heartbeat's silence counts as ever, and an end of the connection
    /// after the policy's grace; beyond them nothing is read, and no silence is judged. The frame comes again as a
    /// whole: a session that gave it to some of its subscribers keeps in mind to whom.
    Blocked(usize),
}

/// Whether a ping is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Echo {
    /// The peer answers, in the order of the pings.
    Pong,
    /// It does not.
    None,
}

/// What a login gives.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Welcome<S> {
    /// The connection's session.
    pub session: S,
    /// How the connection is watched.
    pub pulse: Pulse,
    /// Whether the session before goes on.
    pub continuity: Continuity,
}

impl<S> Welcome<S> {
    /// A stateless session, watched as the policy says.
    #[must_use]
    pub const fn new(session: S) -> Self {
        Self {
            session,
            pulse: Pulse::AsPolicy,
            continuity: Continuity::Stateless,
        }
    }

    /// The same, watched as both sides agreed ([`negotiate`](crate::heartbeat::negotiate)); nothing: not
    /// at all. The policy's write deadline stays.
    #[must_use]
    pub fn agreed(mut self, heartbeat: Option<Heartbeat>) -> Self {
        self.pulse = Pulse::Agreed(heartbeat);
        self
    }

    /// The same, going on like this.
    #[must_use]
    pub const fn continuity(mut self, continuity: Continuity) -> Self {
        self.continuity = continuity;
        self
    }
}

/// How a connection is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Pulse {
    /// As the link policy says. The default.
    #[default]
    AsPolicy,
    /// As both sides agreed at the login.
    Agreed(Option<Heartbeat>),
}

/// What a session heard in the bytes that it decoded, in their order.
///
/// Messages for subscribers do not go through here: the session puts them into the
/// [`Inbox`](crate::messaging::inbox) of each.
#[derive(Debug)]
pub struct Heard<R, E> {
    said: Vec<Said<R, E>>,
}

/// One thing that was heard.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Said<R, E> {
    /// See [`Heard::confirmed`].
    Confirmed(MessageId),
    /// See [`Heard::confirmed_through`].
    ConfirmedThrough(MessageId),
    /// See [`Heard::refused`].
    Refused(MessageId),
    /// See [`Heard::reply`].
    Reply(MessageId, R),
    /// See [`Heard::pong`].
    Pong,
    /// See [`Heard::draining`].
    Draining,
    /// See [`Heard::servers`].
    Servers(Vec<String>),
    /// See [`Heard::error`].
    Error(E),
}

impl<R, E> Heard<R, E> {
    /// Nothing yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { said: Vec::new() }
    }

    /// The peer has confirmed this message. (A receipt)
    pub fn confirmed(&mut self, id: MessageId) {
        self.said.push(Said::Confirmed(id));
    }

    /// It has confirmed this message and all before it. (A sequence number)
    pub fn confirmed_through(&mut self, id: MessageId) {
        self.said.push(Said::ConfirmedThrough(id));
    }

    /// It has refused this message for good.
    pub fn refused(&mut self, id: MessageId) {
        self.said.push(Said::Refused(id));
    }

    /// It has answered the request that was this message; that confirms the message, too.
    pub fn reply(&mut self, to: MessageId, reply: R) {
        self.said.push(Said::Reply(to, reply));
    }

    /// It has answered the oldest ping that was not answered.
    pub fn pong(&mut self) {
        self.said.push(Said::Pong);
    }

    /// The server drains (a lame duck): it is left as the policy says.
    pub fn draining(&mut self) {
        self.said.push(Said::Draining);
    }

    /// The server says which servers there are, as URLs or as `host:port`.
    pub fn servers(&mut self, list: impl IntoIterator<Item = String>) {
        self.said.push(Said::Servers(list.into_iter().collect()));
    }

    /// Something went wrong that concerns no single message, and the connection stays: told as
    /// [`News::Error`](crate::messaging::News::Error).
    pub fn error(&mut self, error: E) {
        self.said.push(Said::Error(error));
    }

    /// Takes out what was heard.
    pub fn drain(&mut self) -> impl Iterator<Item = Said<R, E>> {
        self.said.drain(..)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.said.is_empty()
    }
}

impl<R, E> Default for Heard<R, E> {
    fn default() -> Self {
        Self::new()
    }
}
