//! Who looks after a connection that nobody uses yet.

use std::boxed::Box;
use std::task::{Context, Poll};

use crate::directory::Target;
use crate::drive::error::Loss;

/// Looks after one spare: notices that it has died, so that it is replaced before it is needed, and
/// pings it where the protocol wants that. A spare without a keeper is not looked at until it is the
/// connection.
///
/// Given to [`ConnectorBuilder::keeper`](crate::drive::ConnectorBuilder::keeper), which makes one for
/// each spare. A closure of this signature is a keeper, too; transport-tcp has ready ones.
///
/// # For implementers
///
/// * Ready says that the connection is no more, and why; it is then dropped. Pending leaves a waker
///   with whatever tells of its end, or with a timer of the ping.
/// * It is polled beside the connection in use, whenever the connector is, and once more, with a
///   waker that does nothing, when that was lost: before a spare takes its place.
/// * Take from the connection nothing that its session will want to read.
/// * A panic is told as [`What::HookPanicked`](crate::drive::What::HookPanicked); the spare then has no
///   keeper any more.
///
/// ```
/// use std::task::{Context, Poll};
/// use failover_core::drive::{Keep, Loss};
/// use failover_core::failure::{Failure, Kind};
/// # struct Conn;
/// # impl Conn { fn poll_closed(&mut self, _: &mut Context<'_>) -> Poll<()> { Poll::Pending } }
///
/// fn watch(conn: &mut Conn, cx: &mut Context<'_>) -> Poll<Loss> {
///     conn.poll_closed(cx).map(|()| Failure::new(Kind::Closed).into())
/// }
/// # fn is_a_keeper(_: impl Keep<Conn>) {}
/// # is_a_keeper(watch);
/// ```
pub trait Keep<T>: Send {
    /// Ready when this connection has died.
    fn poll_lost(&mut self, conn: &mut T, cx: &mut Context<'_>) -> Poll<Loss>;
}

impl<T, F> Keep<T> for F
where
    F: FnMut(&mut T, &mut Context<'_>) -> Poll<Loss> + Send,
{
    fn poll_lost(&mut self, conn: &mut T, cx: &mut Context<'_>) -> Poll<Loss> {
        self(conn, cx)
    }
}

/// Makes the keeper of a spare to this target.
pub(crate) type Keepers<T> = Box<dyn Fn(&Target) -> Box<dyn Keep<T>> + Send>;
