#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod clock;
mod error;
mod stream;
mod tcp;

pub use self::clock::{TokioClock, TokioSleep};
pub use self::error::{AddressError, TcpError};
pub use self::stream::ByteStream;
pub use self::tcp::Tcp;
