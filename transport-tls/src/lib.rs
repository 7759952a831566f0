#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod config;
mod error;
mod name;
mod tls;

/// The TLS library; its types stand in this crate's interface.
pub use rustls;

pub use self::config::{Pem, Roots, TlsConfig, TlsConfigError};
pub use self::error::{CertificateCheck, TlsError};
pub use self::name::{ServerName, ServerNameError};
pub use self::tls::Tls;
