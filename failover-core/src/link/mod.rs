//! What a message client does over a connection: as a value, and as pieces that do no I/O.
//!
//! [`LinkPolicy`] says what is wanted. The pieces do it, each usable alone, without a clock or a
//! runtime:
//!
//! * [`Queue`]: messages accepted and not yet handed to a transport, bounded in bytes, number and age;
//! * [`Flight`]: messages that are being written, and those whose confirmation is awaited; after a
//!   loss it says what goes out whole again, what is replayed, and what nobody knows;
//! * [`Requests`]: which answers are awaited, and until when;
//! * [`heartbeat`](crate::heartbeat): whether the peer is still there.
//!
#![cfg_attr(
    feature = "std",
    doc = "[`messaging`](crate::messaging) puts them together over a connector."
)]
//!
//! # A message's fate
//! A message that was accepted is told of until its fate is settled ([`Fate::is_settled`]): by the
//! closure that the pieces take, or by a ticket of the link. None vanishes: what was accepted is
//! queued, in flight, handed over, confirmed, unconfirmed or dropped for a stated reason.
//! A peer may confirm before the transport has told that it took the last byte: then a message is handed over and
//! confirmed at once.
//!
//! ```text
//!             push            written                confirmed
//!  (refused) <---- Queued ------------> Awaiting ------------------> Confirmed
//!                   | ^  \                 | \ loss, without replay
//!          dropped: | |   \ not assured    |  `----------------------> Unconfirmed
//!          age, ... | |    `-> Handed      |
//!                   v | loss in the midst  `-- loss, with replay: written again
//!              Dropped `----------------
//! ```

use alloc::collections::VecDeque;

mod flight;
mod message;
mod policy;
mod queue;
mod requests;

pub use self::flight::{Assurance, Continuity, Flight, Handed, Resumption};
pub use self::message::{Dropped, Entry, Fate, MessageId};
pub use self::policy::{AtLoss, Bounds, Late, LinkPolicy, Outbox, Overflow, Replay, Reply};
pub use self::queue::{Queue, Refusal, Refused};
pub use self::requests::Requests;

/// So many places are kept when none is taken.
const KEPT: usize = 64;

/// Gives back what a burst took, when it is over. Seldom: what few messages at a time take is kept.
fn shrink<T>(places: &mut VecDeque<T>) {
    if places.is_empty() && places.capacity() > 4 * KEPT {
        places.shrink_to(KEPT);
    }
}
