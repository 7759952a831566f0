#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod certificate;
mod client;
mod config;
mod disagreement;
mod error;
mod identity;
mod name;
mod pem;
mod pin;
mod provider;
mod session;
mod stream;
#[cfg(feature = "serde")]
mod table;
mod tls;
mod upgrade;
mod verify;

/// The TLS library; its types stand in this crate's interface.
pub use rustls;

pub use self::certificate::CertificateInfo;
pub use self::client::TlsClient;
pub use self::config::{Roots, TlsConfig, TlsConfigError, TlsVersion};
pub use self::disagreement::Disagreement;
pub use self::error::{CertificateCheck, ClientRefusal, TlsError};
pub use self::identity::Identity;
pub use self::name::{Alpn, ServerName, ServerNameError};
pub use self::pem::Pem;
pub use self::pin::{SpkiPin, SpkiPinError};
pub use self::provider::Provider;
pub use self::session::SessionInfo;
pub use self::stream::{Cause, SessionError, TlsStream};
#[cfg(feature = "serde")]
pub use self::table::{RootsName, TableError, TlsTable};
pub use self::tls::Tls;
pub use self::upgrade::{
    MaybeTls, Offer, Prelude, PreludeError, Upgrade, UpgradeError, Upgraded, read_line,
};
