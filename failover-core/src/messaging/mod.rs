//! A message client over any connection: the link.
//!
//! Reconnecting is half of the work; the other half is what happens to the messages and to the
//! session. You bring a [`Protocol`] (how to log in) and its [`Session`] (how to encode and decode); any
//! dialer whose connections are a [`Wire`]; and a [`LinkPolicy`](crate::link::LinkPolicy). [`open`] gives
//! a [`Link`] to send with and a [`LinkDriver`] to spawn. It does no I/O of its own, reads no clock and
//! knows no runtime.
//!
//! Read [`Protocol`] and [`Session`] first, then [`Link`]. The sans-I/O pieces below are in
//! [`link`](crate::link).
//!
//! # What holds
//! * **No call waits for a dial**, unless the policy lets senders wait.
//! * **The outbox never holds more** than its bytes and messages. Sizes are counted before a message is
//!   accepted.
//! * **Nothing partial crosses** to the next connection: a message of which the transport has not taken
//!   everything goes out whole again, and counts as not sent.
//! * **Without replay** an accepted message comes at most once, and in order; **with replay** those with an
//!   [assurance](crate::link::Assurance) come at least once, the first of each in order.
//! * **No message is lost in silence**: its [`Ticket`] and the [`News`] tell its
//!   [fate](crate::link::Fate), and [`LinkCounters`] add up. That the *peer* has it, only a confirmation or an
//!   answer says: `Handed` is the transport's word, and final where the protocol has no
//!   [assurance](crate::link::Assurance).
//! * **Subscriptions come before messages** on each connection: [`Session::control`] is asked first.
//! * **Nobody waits for the old connection to close**: a stale, stuck or broken one is dropped, and the next
//!   dial begins. One that is left for a better one still hears the answers to what was asked over it, for
//!   the policy's [grace](crate::policy::Standing::grace); it then says goodbye and is read to its end, and what
//!   a full reader has not taken by then is given up. If a message lies half written on it then, it gets neither the rest
//!   nor a goodbye.
//! * **What comes in is bounded**: a frame by [`Login::most_frame`], a subscriber by the [`Room`] of its
//!   [`inbox`], answers to a peer that never reads by about 64 KiB.
//! * **A full reader hides no end**: while a session is [blocked](Decoded::Blocked), up to about 64 KiB are read
//!   ahead. Behind an end or a reset found there nothing goes out any more, and what was said before it waits for its
//!   reader for the policy's [grace](crate::policy::Standing::grace); then, or as soon as all is read, the link moves
//!   on. Behind more than 64 KiB nothing is read and no silence judged: a ping that cannot be written, or the write
//!   deadline, still ends the connection; a link with neither waits for its reader.
//!
//! What it does not do: it speaks to no [spare](crate::policy::Standing::spares) (its connector's
//! [keeper](crate::drive::Keep) may), and a message's `Drop` must not call the link.
//!
//! # A whole client
//! Lines over a wire. Each message is `<number> <text>`, and the server confirms it with `ok <number>`:
//!
//! ```
//! use failover_core::dial::DialContext;
//! use failover_core::directory::Target;
//! use failover_core::failure::{Classify, Failure, Kind};
//! use failover_core::link::{Assurance, MessageId};
//! use failover_core::messaging::{
//!     Decoded, Echo, Heard, Line, Passage, Protocol, Session, Welcome, Wire,
//! };
//!
//! struct Lines;
//! struct LinesSession;
//!
//! #[derive(Debug)]
//! enum LinesError { Io(std::io::Error), Nonsense }
//! # impl std::fmt::Display for LinesError {
//! #     fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { write!(f, "{self:?}") } }
//! # impl std::error::Error for LinesError {}
//! # impl From<std::io::Error> for LinesError {
//! #     fn from(error: std::io::Error) -> Self { Self::Io(error) } }
//!
//! impl Classify for LinesError {
//!     fn failure(&self) -> Failure {
//!         match self {
//!             Self::Io(error) => error.failure(),
//!             Self::Nonsense => Failure::new(Kind::Protocol),
//!         }
//!     }
//! }
//!
//! impl Protocol for Lines {
//!     type Message = String;
//!     type Reply = ();
//!     type Session = LinesSession;
//!     type Error = LinesError;
//!
//!     fn size(&self, message: &String) -> usize { message.len() }
//!
//!     fn assurance(&self, _: &String) -> Assurance { Assurance::Confirmed }
//!
//!     async fn login<W: Wire>(&self, line: &mut Line<W>, _: &Target, _: &DialContext)
//!         -> Result<Welcome<LinesSession>, LinesError>
//!     {
//!         line.write(b"hello\n").await?;
//!         match line.read_until(b"\n", 100).await?.as_slice() {
//!             b"welcome" => Ok(Welcome::new(LinesSession)),
//!             _ => Err(LinesError::Nonsense),
//!         }
//!     }
//! }
//!
//! impl Session for LinesSession {
//!     type Message = String;
//!     type Reply = ();
//!     type Error = LinesError;
//!
//!     fn encode(&mut self, id: MessageId, message: &String, _: Passage, out: &mut Vec<u8>)
//!         -> Result<(), LinesError>
//!     {
//!         out.extend_from_slice(format!("{id} {message}\n").as_bytes());
//!         Ok(())
//!     }
//!
//!     fn decode(&mut self, bytes: &[u8], heard: &mut Heard<(), LinesError>)
//!         -> Result<Decoded, LinesError>
//!     {
//!         let mut done = 0;
//!         while let Some(end) = bytes[done..].iter().position(|byte| *byte == b'\n') {
//!             let line = String::from_utf8_lossy(&bytes[done..done + end]);
//!             match line.strip_prefix("ok ").map(str::parse) {
//!                 Some(Ok(number)) => heard.confirmed(MessageId::new(number)),
//!                 Some(Err(_)) => return Err(LinesError::Nonsense),
//!                 None if line == "pong" => heard.pong(),
//!                 None => return Err(LinesError::Nonsense),
//!             }
//!             done += end + 1;
//!         }
//!         Ok(Decoded::All(done))
//!     }
//!
//!     fn ping(&mut self, out: &mut Vec<u8>) -> Echo {
//!         out.extend_from_slice(b"ping\n");
//!         Echo::Pong
//!     }
//! }
//!
//! # use std::future::{Ready, ready};
//! # use std::task::{Context, Poll, Waker};
//! # use failover_core::dial::Dial;
//! # use failover_core::drive::Clock;
//! # use failover_core::time::Time;
//! # struct Still;
//! # impl Clock for Still { type Sleep = Ready<()>;
//! #   fn now(&self) -> Time { Time::ZERO }
//! #   fn sleep_until(&self, _: Time) -> Ready<()> { ready(()) } }
//! # #[derive(Default)] struct Memory { said: Vec<u8>, unread: Vec<u8>, reader: Option<Waker>, over: bool }
//! # impl Wire for Memory {
//! #   fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<std::io::Result<usize>> {
//! #     if self.said.is_empty() && self.over { return Poll::Ready(Ok(0)); }
//! #     if self.said.is_empty() { self.reader = Some(cx.waker().clone()); return Poll::Pending; }
//! #     let count = self.said.len().min(into.len());
//! #     into[..count].copy_from_slice(&self.said[..count]); self.said.drain(..count);
//! #     Poll::Ready(Ok(count)) }
//! #   fn poll_write(&mut self, _: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
//! #     self.unread.extend_from_slice(bytes);
//! #     while let Some(end) = self.unread.iter().position(|byte| *byte == b'\n') {
//! #       let line: Vec<u8> = self.unread.drain(..=end).collect();
//! #       let line = String::from_utf8(line).unwrap();
//! #       let answer = match line.trim() { "hello" => "welcome\n".into(), "ping" => "pong\n".into(),
//! #         other => format!("ok {}\n", other.split(' ').next().unwrap()) };
//! #       self.said.extend_from_slice(answer.as_bytes()); }
//! #     self.reader.take().map(Waker::wake);
//! #     Poll::Ready(Ok(bytes.len())) }
//! #   fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<std::io::Result<()>> { Poll::Ready(Ok(())) }
//! #   fn poll_close(&mut self, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
//! #     self.over = true; Poll::Ready(Ok(())) } }
//! # struct Dialer; impl Dial for Dialer { type Conn = Memory; type Error = Failure;
//! #   async fn dial(&self, _: &Target, _: &DialContext) -> Result<Memory, Failure> { Ok(Memory::default()) } }
//! # let (dialer, clock) = (Dialer, Still);
//! use failover_core::directory::Endpoint;
//! use failover_core::drive::Connector;
//! use failover_core::link::{Fate, LinkPolicy, Outbox, Replay};
//! use failover_core::messaging::{Login, open};
//!
//! // The dialer is any whose connections are wires: `transport-tcp`'s `ByteStream`, say.
//! let connector = Connector::builder(Login::new(dialer, Lines), clock)
//!     .endpoint(Endpoint::parse("tcp://a.example:7000")?)
//!     .endpoint(Endpoint::parse("tcp://b.example:7000")?)
//!     .build()?;
//! let policy = LinkPolicy::OFF
//!     .outbox(Outbox::Keep { bytes: 1 << 20 })
//!     .replay(Replay::Bytes(1 << 16));
//! let (link, driver) = open(connector, policy);
//! # let executor = smol::LocalExecutor::new();
//! # smol::block_on(executor.run(async {
//! let driving = executor.spawn(driver.run());
//!
//! let ticket = link.try_send_tracked("good morning".to_string())?; // at once, connected or not
//! assert_eq!(ticket.settled().await, Fate::Confirmed);
//! link.drain().await?;
//! driving.await?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }))?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Recipes
//! * **Publish and subscribe** (NATS): keep the subscriptions in the protocol, behind a lock, each with the
//!   [`Feed`] of an [`inbox`]; the session keeps the set that *this* server knows, and
//!   [`control`](Session::control) writes the difference. So a new connection subscribes anew, a dropped
//!   reader ([`Feed::is_ended`]) unsubscribes, and there is one code path. Call [`Link::nudge`] after a
//!   change. A full queue is the session's decision: drop and tell ([`Heard::error`],
//!   [`Feed::push_over`]), or [`Decoded::Blocked`].
//! * **Requests**: put the message's number into the reply address (`_INBOX.<id>`, a correlation id), and
//!   tell [`Heard::reply`] when an answer to it comes.
//! * **Answers in order, without numbers** (Redis, SMTP): the session keeps a queue of what was asked. What
//!   [`encode`](Session::encode), [`control`](Session::control), [`ping`](Session::ping) and
//!   [`goodbye`](Session::goodbye) append stands on the wire in the order of the calls: push in it, in `encode`
//!   only for what is `Ok`, and pop in [`decode`](Session::decode). A request that is late or given up keeps its
//!   place.
//! * **Requests that must not come late or twice**: [`Outbox::Off`](crate::link::Outbox) (nothing waits for a
//!   connection), [`AtLoss::Fail`](crate::link::AtLoss), and no assurance.
//! * **A subscription that takes the whole connection** (Redis's `SUBSCRIBE`): a link of its own for it.
//! * **A server that is not ready** (loading, standby): fail the login with `Kind::Other` and
//!   [`retry_after`](crate::failure::Failure::retry_after), or `Kind::WrongRole`; in a session tell the replies
//!   first, then return the error from `decode`.
//! * **Words before TLS** (NATS's `INFO`): a layer below hears them (`transport_tls::Upgrade`), and
//!   [`Prefixed`] lets the login hear them again.
//! * **Receipts** (STOMP, MQTT QoS 1): answer [`Assurance::Confirmed`](crate::link::Assurance) for the
//!   messages that have one, write the number as the receipt's id, tell [`Heard::confirmed`]. Where the wire's
//!   ids are shorter than a number (MQTT's 16 bits), the session keeps a map.
//! * **Sessions that go on** (MQTT's clean start, a resume token): keep the token in the protocol, and say
//!   in the [`Welcome`] how the session [continues](crate::link::Continuity).
//! * **Heart-beats that are negotiated** (STOMP): [`negotiate`](crate::heartbeat::negotiate), then
//!   [`Welcome::agreed`].
//! * **Lame duck and server lists**: [`Heard::draining`], [`Heard::servers`].

mod active;
mod book;
mod desk;
mod driver;
mod error;
mod inbox;
mod line;
mod link;
mod login;
mod news;
mod protocol;
mod waiters;
mod wire;

pub use self::driver::{LinkDriver, open};
pub use self::error::{Ended, FlushError, LinkError, RequestError};
pub use self::inbox::{Feed, Inbox, Room, inbox};
pub use self::line::Line;
pub use self::link::Link;
pub use self::login::{LoggedIn, Login, LoginError};
pub use self::news::{LinkCounters, News, Span};
pub use self::protocol::{Decoded, Echo, Heard, Passage, Protocol, Pulse, Said, Session, Welcome};
pub use self::waiters::Ticket;
pub use self::wire::{Prefixed, Wire};
