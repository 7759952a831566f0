//! What dialers share: the loaded configuration, and each server's tickets.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use failover_core::dial::DialContext;
use failover_core::directory::{CertificateName, Target};
use failover_core::failure::Phase;
use rustls::ClientConfig;
use rustls::client::Resumption;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::oneshot;
use tokio_rustls::TlsConnector;

use crate::config::{Base, TlsConfig, TlsConfigError};
use crate::error::TlsError;
use crate::identity::Shown;
use crate::name::{Alpn, ServerName};
use crate::pem::Stamp;
use crate::stream::TlsStream;
use crate::verify::Witness;

/// The most servers whose tickets are remembered; one more, and the least recently used is
/// forgotten.
const MOST_SERVERS: usize = 1024;
/// The library keeps up to 8 tickets of TLS 1.3 per name.
const SESSIONS: usize = 8;

/// A TLS configuration at work, shared by all dialers of a kind (clones are the same one): make it
/// with [`TlsConfig::client`], once.
///
/// * **Sessions** are resumed on a reconnect. Tickets are kept per host and port, not per name, so that
///   servers that share a name do not use up each other's. A handshake that TLS itself ends (by an alert
///   of either side) drops those of its server, as RFC 5246, section 7.2.2, demands: where a server falls
///   over them, the next handshake is a full one.
/// * **Files** are looked at before each handshake and read again when one has changed: a renewed
///   certificate is used by the next dial, and all tickets are dropped, because they vouch for the
///   old identity. If the new files are no good (half written, say), the old ones stay in use,
///   [`trouble`](Self::trouble) tells why, and the next dial looks again.
/// * **The platform's store** is read at the first handshake, on a thread of its own: who never dials
///   over TLS needs none. Where it is made of files, it is looked at as these are.
///
/// It may also be an option of an endpoint, which then beats the dialer's.
#[derive(Clone)]
pub struct TlsClient(Arc<Shared>);

struct Shared {
    source: Source,
    state: Mutex<State>,
    /// Held while files are read: a thousand dials at once read them once.
    reading: tokio::sync::Mutex<()>,
}

enum Source {
    /// rustls's own; nothing is read, and its tickets are its own affair.
    Given(Arc<ClientConfig>),
    Made(TlsConfig),
}

#[derive(Default)]
struct State {
    loaded: Option<Loaded>,
    servers: BTreeMap<String, Server>,
    trouble: Option<Arc<TlsConfigError>>,
    /// How often the files were read, well or badly.
    readings: u64,
    /// Counts handshakes: who was used last.
    clock: u64,
}

#[derive(Clone)]
struct Loaded {
    base: Base,
    stamps: Vec<Option<Stamp>>,
}

/// The configuration for one server: the common one, with tickets and a witness of its own.
#[derive(Clone)]
struct Server {
    config: Arc<ClientConfig>,
    witness: Option<Arc<Witness>>,
    shown: Option<Arc<Shown>>,
    used: u64,
}

impl TlsClient {
    #[inline]
    pub(crate) fn made(config: TlsConfig) -> Result<Self, TlsConfigError> {
        if !config.has_nothing_to_check() {
            config.check()?;
        }
        Ok(Self::new(Source::Made(config)))
    }

    #[inline]
    fn new(source: Source) -> Self {
        Self(Arc::new(Shared {
            source,
            state: Mutex::default(),
            reading: tokio::sync::Mutex::default(),
        }))
    }

    /// Why the files as they are now are not in use, if they are not. Looked at by each handshake.
    #[must_use]
    pub fn trouble(&self) -> Option<Arc<TlsConfigError>> {
        self.0.state().trouble.clone()
    }

    /// Reads its files and the platform's store now. Otherwise the first handshake does, and takes that much
    /// longer.
    ///
    /// # Errors
    /// When there is nothing to do TLS with: a file or the store is no good and never was.
    ///
    /// # Cancel safety
    /// Dropping it does no harm; what is being read comes into use when it is read.
    pub async fn load(&self) -> Result<(), Arc<TlsConfigError>> {
        self.read_changes().await;
        let state = self.0.state();
        match (&self.0.source, &state.loaded) {
            (Source::Made(_), None) => Err(state.why_not_loaded()),
            (Source::Made(_), Some(_)) | (Source::Given(_), _) => Ok(()),
        }
    }

    /// The same configuration with a memory of its own: its first handshake with each server is a full one.
    /// What was read is not read again. Of a `ClientConfig` that was given, the way to resume is replaced:
    /// sessions are kept in memory, as by default.
    #[must_use]
    pub fn anew(&self) -> Self {
        match &self.0.source {
            Source::Given(config) => {
                let mut config = ClientConfig::clone(config);
                config.resumption = Resumption::in_memory_sessions(SESSIONS);
                Self::new(Source::Given(Arc::new(config)))
            }
            Source::Made(config) => {
                let client = Self::new(Source::Made(config.clone()));
                client.0.state().loaded.clone_from(&self.0.state().loaded);
                client
            }
        }
    }

    /// A TLS session with the target over this stream.
    pub(crate) async fn handshake<S, E>(
        &self,
        stream: S,
        to: &Target,
        cx: &DialContext,
    ) -> Result<TlsStream<S>, TlsError<E>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let client = to.option::<Self>().unwrap_or(self);
        let name = server_name(to)?;
        let place = to.url().authority();
        cx.enter(Phase::Tls);
        let server = client.server(&place).await.map_err(TlsError::Config)?;
        let connector = TlsConnector::from(server.config);
        let connecting = match to.option::<Alpn>() {
            Some(Alpn(protocols)) => connector
                .with_alpn(protocols.clone())
                .connect(name.to_rustls(), stream),
            None => connector.connect(name.to_rustls(), stream),
        };
        match connecting.await {
            Ok(stream) => {
                // What it lacked did no harm, and says nothing of the next handshake.
                if let Some(shown) = &server.shown {
                    shown.take_lack();
                }
                Ok(TlsStream::new(stream))
            }
            // A handshake at the same time may have left its notes: they are of the same server.
            Err(error) => {
                let seen = server.witness.map(|witness| witness.refused());
                let lacks = server.shown.is_some_and(|shown| shown.take_lack());
                let error = TlsError::handshake(place.clone(), error, seen.unwrap_or_default());
                if !matches!(error, TlsError::Ended { .. }) {
                    client.0.state().servers.remove(&place);
                }
                Err(if lacks { error.of_lack() } else { error })
            }
        }
    }

    async fn server(&self, place: &str) -> Result<Server, Arc<TlsConfigError>> {
        self.read_changes().await;
        self.0.server(place)
    }

    /// Reads the files if they are not in use as they are now.
    async fn read_changes(&self) {
        let Source::Made(config) = &self.0.source else {
            return;
        };
        let (is_fresh, readings) = self.0.look(&config.stamps());
        if !is_fresh {
            let _turn = self.0.reading.lock().await;
            // Somebody else may have read them in the meantime; if they were no good, they are not
            // better for us.
            if self.0.state().readings == readings {
                self.read(config.stamps()).await;
            }
        }
    }

    /// Reads on a thread of its own: a store has hundreds of files, and a file may be far away.
    async fn read(&self, stamps: Vec<Option<Stamp>>) {
        let shared = Arc::clone(&self.0);
        let (done, loaded) = oneshot::channel();
        let again = stamps.clone();
        let reading = move || {
            shared.load(stamps);
            // Whoever gave up meanwhile does not listen any more.
            let _ = done.send(());
        };
        match thread::Builder::new()
            .name("tls-files".to_string())
            .spawn(reading)
        {
            Ok(_detached) => {
                let _ = loaded.await;
            }
            Err(_) => self.0.load(again),
        }
    }
}

impl Shared {
    fn load(&self, stamps: Vec<Option<Stamp>>) {
        let Source::Made(config) = &self.source else {
            return;
        };
        let read = config.load();
        let mut state = self.state();
        state.readings += 1;
        match read {
            Ok(base) => {
                state.loaded = Some(Loaded { base, stamps });
                state.trouble = None;
                state.servers.clear();
            }
            Err(error) => state.trouble = Some(Arc::new(error)),
        }
    }

    /// Whether the files as they are now are in use, and how often they have been read.
    fn look(&self, stamps: &[Option<Stamp>]) -> (bool, u64) {
        let state = self.state();
        (state.is_loaded_from(stamps), state.readings)
    }

    fn server(&self, place: &str) -> Result<Server, Arc<TlsConfigError>> {
        if let Source::Given(config) = &self.source {
            return Ok(Server {
                config: Arc::clone(config),
                witness: None,
                shown: None,
                used: 0,
            });
        }
        self.state().server(place)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in it is ever half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_loaded_from(&self, stamps: &[Option<Stamp>]) -> bool {
        let loaded = self.loaded.as_ref();
        loaded.is_some_and(|loaded| loaded.stamps == stamps)
    }

    fn server(&mut self, place: &str) -> Result<Server, Arc<TlsConfigError>> {
        let Some(loaded) = &self.loaded else {
            return Err(self.why_not_loaded());
        };
        self.clock += 1;
        if let Some(server) = self.servers.get_mut(place) {
            server.used = self.clock;
            return Ok(server.clone());
        }
        let server = Server::new(&loaded.base, self.clock);
        if self.servers.len() >= MOST_SERVERS {
            self.forget_oldest();
        }
        self.servers.insert(place.to_string(), server.clone());
        Ok(server)
    }

    /// Loading is over, and it failed.
    fn why_not_loaded(&self) -> Arc<TlsConfigError> {
        let trouble = self.trouble.clone();
        trouble.unwrap_or_else(|| Arc::new(never_loaded()))
    }

    fn forget_oldest(&mut self) {
        let oldest = self.servers.iter().min_by_key(|(_, server)| server.used);
        if let Some(place) = oldest.map(|(place, _)| place.clone()) {
            self.servers.remove(&place);
        }
    }
}

impl Server {
    fn new(base: &Base, used: u64) -> Self {
        let witness = Arc::new(Witness::new(base.checks.clone()));
        let mut config = base.config.clone();
        config.resumption = Resumption::in_memory_sessions(SESSIONS);
        config
            .dangerous()
            .set_certificate_verifier(Arc::<Witness>::clone(&witness));
        let shown = Arc::new(Shown::new(config.client_auth_cert_resolver));
        config.client_auth_cert_resolver = Arc::<Shown>::clone(&shown);
        Self {
            config: Arc::new(config),
            witness: Some(witness),
            shown: Some(shown),
            used,
        }
    }
}

fn never_loaded() -> TlsConfigError {
    TlsConfigError::Unreadable {
        place: "the TLS files".to_string(),
        source: io::Error::other("the thread that reads them ended"),
    }
}

/// The name that the target's certificate must carry.
pub(crate) fn server_name<E>(to: &Target) -> Result<ServerName, TlsError<E>> {
    if let Some(name) = to.option::<ServerName>() {
        return Ok(name.clone());
    }
    let host = match to.option::<CertificateName>() {
        Some(CertificateName(inherited)) => inherited,
        None => to.url().host(),
    };
    match host.parse() {
        Ok(address) => Ok(ServerName::of_address(address)),
        Err(_) => ServerName::of_host(host).map_err(TlsError::Name),
    }
}

impl From<Arc<ClientConfig>> for TlsClient {
    fn from(config: Arc<ClientConfig>) -> Self {
        Self::new(Source::Given(config))
    }
}

impl fmt::Debug for TlsClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut told = f.debug_tuple("TlsClient");
        if let Source::Made(config) = &self.0.source {
            told.field(config);
        }
        told.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Roots;
    use crate::pem::Pem;

    fn client() -> TlsClient {
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let ca = params
            .self_signed(&rcgen::KeyPair::generate().unwrap())
            .unwrap();
        let roots = Roots::Only(Pem::Bytes(ca.pem().into_bytes()));
        TlsConfig::new().roots(roots).client().unwrap()
    }

    #[tokio::test]
    async fn dials_at_once_read_the_files_once() {
        let client = client();
        let (one, two, three) = tokio::join!(
            client.server("a:1"),
            client.server("b:1"),
            client.server("a:1")
        );
        assert!(two.is_ok());
        assert!(Arc::ptr_eq(&one.unwrap().config, &three.unwrap().config));
        assert_eq!(client.0.state().readings, 1);
    }

    #[tokio::test]
    async fn a_client_made_anew_shares_what_was_read_and_no_tickets() {
        let client = client();
        client.load().await.unwrap();
        let first = client.server("a:1").await.unwrap();
        let anew = client.anew();
        let second = anew.server("a:1").await.unwrap();
        assert!(!Arc::ptr_eq(&first.config, &second.config));
        assert_eq!((client.0.state().readings, anew.0.state().readings), (1, 0));
    }

    #[tokio::test]
    async fn the_least_recently_used_server_is_forgotten() {
        let client = client();
        let kept = client.server("kept:1").await.unwrap();
        for port in 0..MOST_SERVERS {
            client.server(&format!("other:{port}")).await.unwrap();
            client.server("kept:1").await.unwrap();
        }
        assert_eq!(client.0.state().servers.len(), MOST_SERVERS);
        assert!(!client.0.state().servers.contains_key("other:0"));
        let again = client.server("kept:1").await.unwrap();
        assert!(Arc::ptr_eq(&kept.config, &again.config));
    }
}
