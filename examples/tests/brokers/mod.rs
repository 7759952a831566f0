//! Real server programs on free ports of the loopback interface, clients of them, and a proxy that cuts
//! connections between the two.
#![allow(dead_code, unreachable_pub)]

pub mod mosquitto;
pub mod nats;
pub mod proxy;
pub mod rabbitmq;

use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use failover_core::messaging::{Inbox, Room};
use failover_core::policy::{Backoff, Jitter, Pace, Policy, PolicyBuilder};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ClientConfig;
use tokio::time::timeout;
use transport_tls::{Pem, Roots, TlsConfig};

/// For anything, on a machine that is busy.
pub const LONG: Duration = Duration::from_secs(30);

pub const ROOM: Room = Room {
    items: 10_000,
    bytes: 1 << 20,
};

pub async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(LONG, future).await.expect("it takes too long")
}

pub async fn next<T>(reader: &mut Inbox<T>) -> T {
    within(reader.next()).await.unwrap()
}

/// A policy for connections that are cut all the time: a millisecond before each sweep, whatever was before.
pub fn tireless() -> PolicyBuilder {
    Policy::builder()
        .pace(Pace::new(Backoff::Constant(Duration::from_millis(1))))
        .jitter(Jitter::None)
        .stable_after(Duration::ZERO)
}

pub fn signal(id: u32, signal: &str) {
    let sent = Command::new("kill")
        .args(["-s", signal, &id.to_string()])
        .status();
    assert!(sent.unwrap().success());
}

pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// A directory of its own, with an authority and a server certificate for 127.0.0.1.
pub struct Place {
    folder: PathBuf,
    authority: CertifiedIssuer<'static, KeyPair>,
}

impl Place {
    pub fn new() -> Arc<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("failover-brokers-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).unwrap();
        // Started as root, mosquitto becomes a user of its own, who has to read all this.
        fs::set_permissions(&folder, Permissions::from_mode(0o755)).unwrap();
        let authority = authority();
        let place = Self { folder, authority };
        place.write("ca.pem", &place.authority.pem());
        place.certify("server.pem");
        Arc::new(place)
    }

    /// Writes a new key and a certificate for it, of the authority that clients trust.
    pub fn certify(&self, name: &str) {
        self.write(name, &certificate(&self.authority));
    }

    /// The same of an authority that nobody trusts.
    pub fn certify_wrongly(&self, name: &str) {
        self.write(name, &certificate(&authority()));
    }

    /// What clients do TLS with.
    pub fn tls(&self) -> Arc<ClientConfig> {
        let authority = Roots::Only(Pem::File(self.path("ca.pem").into()));
        TlsConfig::new().roots(authority).build().unwrap()
    }

    pub fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    pub fn write(&self, name: &str, text: &str) -> String {
        let path = self.folder.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        self.path(name)
    }
}

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn certificate(authority: &CertifiedIssuer<'static, KeyPair>) -> String {
    let key = KeyPair::generate().unwrap();
    let server = CertificateParams::new(["127.0.0.1".to_string()]).unwrap();
    let server = server.signed_by(&key, authority).unwrap();
    server.pem() + &key.serialize_pem()
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}
