#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod clock;
mod connect;
mod error;
#[cfg(feature = "hickory")]
mod hickory;
mod keep;
mod options;
mod proxy;
mod resolve;
mod stream;
mod system;
#[cfg(feature = "serde")]
mod table;
mod tcp;
#[cfg(unix)]
mod unix;

#[cfg(feature = "hickory")]
pub use hickory_resolver;

pub use self::clock::{TokioClock, TokioSleep};
pub use self::error::{AddressError, TcpError};
#[cfg(feature = "hickory")]
pub use self::hickory::Hickory;
pub use self::keep::KeepTcp;
pub use self::options::{KeepAlive, TcpOptions};
pub use self::proxy::{Proxies, Proxy, ProxyError, ProxyUrlError};
pub use self::resolve::{Resolve, Resolving};
pub use self::stream::ByteStream;
pub use self::system::SystemResolver;
#[cfg(feature = "serde")]
pub use self::table::{KeepAliveForm, TableError, TcpTable};
pub use self::tcp::Tcp;
#[cfg(unix)]
pub use self::unix::{Unix, UnixError};
