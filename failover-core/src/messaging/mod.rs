//! A message client over any connection: the link.

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
