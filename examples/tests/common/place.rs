//! A directory for one test.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;
use transport_tls::{Pem, Roots, TlsClient, TlsConfig};

/// A directory of its own, with an authority (`ca.pem`) and a server certificate for 127.0.0.1 (`server.pem`).
pub(crate) struct Place {
    folder: PathBuf,
    authority: CertifiedIssuer<'static, KeyPair>,
}

impl Place {
    pub(crate) fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("failover-test-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).unwrap();
        // Started as root, mosquitto becomes a user of its own, who has to read all this.
        fs::set_permissions(&folder, Permissions::from_mode(0o755)).unwrap();
        let authority = authority(&format!("authority {number}"));
        let place = Self { folder, authority };
        place.write("ca.pem", &place.authority.pem());
        place.certify("server.pem");
        place
    }

    /// Writes a new key and a certificate for it, of the authority that clients trust.
    pub(crate) fn certify(&self, name: &str) {
        self.certify_for(name, "127.0.0.1");
    }

    /// The same for this host, and no other.
    pub(crate) fn certify_for(&self, name: &str, host: &str) {
        self.write(name, &certificate(&self.authority, host));
    }

    /// The same of an authority that nobody trusts.
    pub(crate) fn certify_wrongly(&self, name: &str) {
        self.write(name, &certificate(&authority("a stranger"), "127.0.0.1"));
    }

    /// What clients do TLS with.
    pub(crate) fn tls(&self) -> TlsClient {
        let authority = Roots::Only(Pem::File(self.path("ca.pem").into()));
        TlsConfig::new().roots(authority).client().unwrap()
    }

    /// What a server in this process does it with.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        let file = self.path("server.pem");
        let chain = vec![CertificateDer::from_pem_file(&file).unwrap()];
        let key = PrivateKeyDer::from_pem_file(&file).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> String {
        let path = self.folder.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        self.path(name)
    }
}

fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn certificate(authority: &CertifiedIssuer<'static, KeyPair>, host: &str) -> String {
    let key = KeyPair::generate().unwrap();
    let server = CertificateParams::new([host.to_string()]).unwrap();
    let server = server.signed_by(&key, authority).unwrap();
    server.pem() + &key.serialize_pem()
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}
