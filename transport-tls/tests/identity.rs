//! Who the client says it is: keys in each form, refusals of both kinds, files that change.

#![allow(
    clippy::unwrap_used,
    reason = "test code outside of the test functions"
)]

mod peers;

use std::error::Error;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use failover_core::dial::{Dial, DialContext};
use failover_core::directory::Target;
use failover_core::failure::{Classify, Failure, Kind, Phase, Scope};
use peers::Ca;
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, date_time_ymd};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use transport_tcp::{Tcp, TcpError};
use transport_tls::rustls::HandshakeKind;
use transport_tls::{
    ClientRefusal, Identity, Pem, Roots, Tls, TlsConfig, TlsConfigError, TlsError, TlsStream,
    read_line,
};

const ADDRESS: &str = "127.0.0.1";

#[tokio::test]
async fn a_certificate_is_shown_whatever_the_form_of_its_key() {
    let (servers, clients) = (Ca::new(), Ca::new());
    let (address, _log) = peers::who(servers.server_for_clients_of(&clients, ADDRESS)).await;
    let (certificate, key) = clients.certified(client("joe"));
    for written in [key.serialize_pem(), sec1(&key)] {
        let identity = Identity::new(bytes(&certificate.pem()), bytes(&written));
        let tls = showing(&servers, Some(identity));
        assert_eq!(who_am_i(&tls, address).await.unwrap(), "joe");
    }
    // Both in one file, and others around them.
    let all = format!(
        "{}{}{}",
        key.serialize_pem(),
        certificate.pem(),
        text(clients.pem())
    );
    let tls = showing(&servers, Some(Identity::new(bytes(&all), bytes(&all))));
    assert_eq!(who_am_i(&tls, address).await.unwrap(), "joe");
}

#[test]
fn an_rsa_key_may_be_in_its_old_form() {
    let file = |name: &str| {
        Pem::File(
            Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("tests/fixtures")
                .join(name),
        )
    };
    let identity = Identity::new(file("rsa.pem"), file("rsa-pkcs1.key"));
    assert!(config(&Ca::new()).identity(identity).client().is_ok());
}

#[tokio::test]
async fn a_missing_certificate_is_an_error_of_the_first_read_with_its_failure_inside() {
    let (servers, clients) = (Ca::new(), Ca::new());
    let (address, _log) = peers::who(servers.server_for_clients_of(&clients, ADDRESS)).await;
    let error = who_am_i(&showing(&servers, None), address)
        .await
        .unwrap_err();
    check_refusal(
        &error,
        "the server demands a client certificate, and none was shown",
    );
}

#[tokio::test]
async fn a_certificate_of_an_unknown_authority_is_refused_so() {
    let (servers, clients) = (Ca::new(), Ca::new());
    let (address, _log) = peers::who(servers.server_for_clients_of(&clients, ADDRESS)).await;
    let stranger = identity_of(&Ca::new(), client("joe"));
    let error = who_am_i(&showing(&servers, Some(stranger)), address)
        .await
        .unwrap_err();
    check_refusal(
        &error,
        "the server does not know the authority of the client's certificate",
    );
}

#[tokio::test]
async fn an_expired_certificate_is_refused_so() {
    let (servers, clients) = (Ca::new(), Ca::new());
    let (address, _log) = peers::who(servers.server_for_clients_of(&clients, ADDRESS)).await;
    let mut params = client("joe");
    (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2020, 2, 2));
    let expired = identity_of(&clients, params);
    let error = who_am_i(&showing(&servers, Some(expired)), address)
        .await
        .unwrap_err();
    check_refusal(
        &error,
        "the server says that the client's certificate has expired",
    );
}

#[tokio::test]
async fn before_tls_1_3_a_refusal_is_an_error_of_the_dial() {
    let (servers, clients) = (Ca::new(), Ca::new());
    let server = servers.server_of_1_2_for_clients_of(&clients, ADDRESS);
    let (address, _log) = peers::who(server).await;
    let stranger = showing(&servers, Some(identity_of(&Ca::new(), client("joe"))));
    let error = dial(&stranger, address).await.unwrap_err();
    let TlsError::ClientCertificate { refusal, .. } = &error else {
        unreachable!("{error:?}");
    };
    assert_eq!(*refusal, ClientRefusal::UnknownAuthority);
    assert_eq!(error.failure(), benches());
}

#[tokio::test]
async fn before_tls_1_3_a_missing_certificate_is_an_error_of_the_dial() {
    let (servers, clients) = (Ca::new(), Ca::new());
    let server = servers.server_of_1_2_for_clients_of(&clients, ADDRESS);
    let (address, _log) = peers::who(server).await;
    let nobody = showing(&servers, None);
    for _ in 0..2 {
        let error = dial(&nobody, address).await.unwrap_err();
        let TlsError::ClientCertificate { refusal, .. } = &error else {
            unreachable!("{error:?}");
        };
        assert_eq!(*refusal, ClientRefusal::Missing);
    }
}

#[test]
fn a_key_that_is_none_or_anothers_is_named_and_never_shown() {
    let ca = Ca::new();
    let (certificate, key) = ca.certified(client("joe"));
    let other = KeyPair::generate().unwrap();
    let chain = || bytes(&certificate.pem());
    let encrypted =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    for (identity, told) in [
        (
            Identity::new(chain(), bytes(&other.serialize_pem())),
            "cannot be used with the client certificate",
        ),
        (Identity::new(chain(), chain()), "it holds certificates"),
        (Identity::new(chain(), bytes(encrypted)), "it is encrypted"),
        (Identity::new(chain(), bytes("")), "it is empty"),
        (
            Identity::new(bytes(&key.serialize_pem()), bytes(&key.serialize_pem())),
            "in the client certificate given: it holds a private key",
        ),
        (
            Identity::new(chain(), Pem::File("/does/not/exist".into())),
            "cannot read the client key file `/does/not/exist`",
        ),
    ] {
        let error = config(&ca).identity(identity.clone()).client().unwrap_err();
        assert!(error.to_string().contains(told), "{error}");
        let shown = format!("{error} {error:?} {identity:?}");
        let secret = key.serialize_pem();
        assert!(!shown.contains(secret.lines().nth(1).unwrap()), "{shown}");
    }
}

#[tokio::test]
async fn a_renewed_certificate_is_used_by_the_next_dial_without_old_tickets() {
    let (servers, clients) = (Ca::new(), Ca::new());
    let (address, _log) = peers::who(servers.server_for_clients_of(&clients, ADDRESS)).await;
    let files = Files::new("renewed");
    files.write(&clients, "joe");
    let tls = showing(&servers, Some(files.identity()));
    assert_eq!(
        who_and_how(&tls, address).await,
        ("joe".into(), HandshakeKind::Full)
    );
    assert_eq!(
        who_and_how(&tls, address).await,
        ("joe".into(), HandshakeKind::Resumed)
    );

    files.write(&clients, "jane");
    assert_eq!(
        who_and_how(&tls, address).await,
        ("jane".into(), HandshakeKind::Full)
    );
    assert_eq!(
        who_and_how(&tls, address).await,
        ("jane".into(), HandshakeKind::Resumed)
    );
}

#[tokio::test]
async fn a_half_written_renewal_leaves_the_old_one_in_use_and_says_so() {
    let (servers, clients) = (Ca::new(), Ca::new());
    let (address, _log) = peers::who(servers.server_for_clients_of(&clients, ADDRESS)).await;
    let files = Files::new("half");
    files.write(&clients, "joe");
    let shared = config(&servers)
        .identity(files.identity())
        .client()
        .unwrap();
    let tls = Tls::new(Tcp::new(), shared.clone());
    assert_eq!(who_am_i(&tls, address).await.unwrap(), "joe");
    assert!(shared.trouble().is_none());

    let (certificate, key) = clients.certified(client("jane"));
    std::fs::write(&files.chain, certificate.pem()).unwrap();
    assert_eq!(who_am_i(&tls, address).await.unwrap(), "joe");
    let trouble = shared.trouble().unwrap();
    assert!(
        matches!(*trouble, TlsConfigError::Identity { .. }),
        "{trouble}"
    );

    std::fs::write(&files.key, key.serialize_pem()).unwrap();
    assert_eq!(who_am_i(&tls, address).await.unwrap(), "jane");
    assert!(shared.trouble().is_none());
}

#[tokio::test]
async fn an_authority_that_changes_is_trusted_from_the_next_dial_on() {
    let (old, new) = (Ca::new(), Ca::new());
    let (address, _log) = peers::echo(new.server(ADDRESS)).await;
    let file = scratch("rotating").join("ca.pem");
    std::fs::write(&file, old.pem()).unwrap();
    let tls = TlsConfig::new().roots(Roots::Only(Pem::File(file.clone())));
    let tls = Tls::new(Tcp::new(), tls.client().unwrap());
    assert!(dial(&tls, address).await.is_err());
    std::fs::write(&file, new.pem()).unwrap();
    assert!(dial(&tls, address).await.is_ok());
}

/// A certificate and its key in files.
struct Files {
    chain: PathBuf,
    key: PathBuf,
}

impl Files {
    fn new(name: &str) -> Self {
        let own = scratch(name);
        Self {
            chain: own.join("client.pem"),
            key: own.join("client.key"),
        }
    }

    fn identity(&self) -> Identity {
        Identity::new(Pem::File(self.chain.clone()), Pem::File(self.key.clone()))
    }

    fn write(&self, ca: &Ca, name: &str) {
        let (certificate, key) = ca.certified(client(name));
        std::fs::write(&self.chain, certificate.pem()).unwrap();
        std::fs::write(&self.key, key.serialize_pem()).unwrap();
    }
}

fn client(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params
}

fn identity_of(ca: &Ca, params: CertificateParams) -> Identity {
    let (certificate, key) = ca.certified(params);
    Identity::new(bytes(&certificate.pem()), bytes(&key.serialize_pem()))
}

/// The key as SEC1: what PKCS#8 wraps, behind 26 bytes of header for the curve P-256.
fn sec1(key: &KeyPair) -> String {
    let der = key.serialize_der();
    let at = der
        .windows(5)
        .position(|part| part[0] == 0x30 && part[2..] == [2, 1, 1]);
    let inner = &der[at.unwrap()..][..usize::from(der[at.unwrap() + 1]) + 2];
    let encoded = data_encoding::BASE64.encode(inner);
    format!("-----BEGIN EC PRIVATE KEY-----\n{encoded}\n-----END EC PRIVATE KEY-----\n")
}

fn config(servers: &Ca) -> TlsConfig {
    TlsConfig::new().roots(Roots::Only(Pem::Bytes(servers.pem())))
}

fn showing(servers: &Ca, identity: Option<Identity>) -> Tls<Tcp> {
    let config = match identity {
        Some(identity) => config(servers).identity(identity),
        None => config(servers),
    };
    Tls::new(Tcp::new(), config.client().unwrap())
}

fn bytes(pem: &str) -> Pem {
    Pem::Bytes(pem.as_bytes().to_vec())
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

async fn dial(
    tls: &Tls<Tcp>,
    address: SocketAddr,
) -> Result<TlsStream<TcpStream>, TlsError<TcpError>> {
    let to = Target::parse(&format!("tls://{address}")).unwrap();
    tls.dial(&to, &DialContext::unbounded()).await
}

/// The name that the server has seen, or the error of the first read.
async fn who_am_i(tls: &Tls<Tcp>, address: SocketAddr) -> std::io::Result<String> {
    let mut told = String::new();
    let mut stream = dial(tls, address).await.unwrap();
    loop {
        match stream.read_u8().await? {
            b'\n' => return Ok(told),
            byte => told.push(byte.into()),
        }
    }
}

async fn who_and_how(tls: &Tls<Tcp>, address: SocketAddr) -> (String, HandshakeKind) {
    let mut stream = dial(tls, address).await.unwrap();
    let told = read_line(&mut stream, 80).await.unwrap();
    (told, stream.get_ref().1.handshake_kind().unwrap())
}

fn benches() -> Failure {
    Failure::new(Kind::Tls)
        .scope(Scope::Endpoint)
        .at(Phase::Tls)
}

#[track_caller]
fn check_refusal(error: &std::io::Error, told: &str) {
    assert_eq!(Failure::from_io(error), benches(), "{error:?}");
    assert_eq!(error.to_string(), told);
    let source = error.get_ref().and_then(Error::source).unwrap();
    assert!(source.to_string().contains("alert"), "{source}");
}

fn scratch(name: &str) -> PathBuf {
    let own = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
    std::fs::create_dir_all(&own).unwrap();
    own
}
