//! Where the addresses of a name come from.

use std::future::{Future, ready};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;

/// The future of a look-up; see [`Resolve`].
pub type Resolving<'a> = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'a>>;

/// Finds the addresses of a name, anew at every dial.
///
/// The order of the answer is the preference; families are interleaved after it. An answer may carry
/// another port than the one asked for (SRV records do). A look-up has no deadline of its own, and
/// dropping it must not wait for it.
///
/// A closure that answers at once is one, too: a table for tests or a fixed deployment.
///
/// ```
/// use std::net::SocketAddr;
/// use transport_tcp::Tcp;
///
/// let table = |host: &str, port: u16| match host {
///     "broker" => Ok(vec![SocketAddr::from(([192, 0, 2, 7], port))]),
///     _ => Err(std::io::ErrorKind::NotFound.into()),
/// };
/// let dialer = Tcp::new().resolver(table);
/// ```
pub trait Resolve: Send + Sync {
    /// The addresses of this name, best first. None at all means that the name has none.
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> Resolving<'a>;
}

impl<F> Resolve for F
where
    F: Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync,
{
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> Resolving<'a> {
        Box::pin(ready(self(host, port)))
    }
}
