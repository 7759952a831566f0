//! A resolver that speaks DNS itself. (Feature `hickory`.)

use std::cmp::Reverse;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};
use std::{fmt, fs, io};

use failover_core::directory::Endpoint;
use hickory_resolver::config::{
    ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig,
};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::rdata::SRV;
use hickory_resolver::proto::rr::{RData, Record};
use hickory_resolver::{ResolverBuilder, TokioResolver};

use crate::resolve::{Resolve, Resolving};
use crate::system::again;

/// Asks name servers itself, by hickory: a look-up is a future like any other, without a thread, and
/// ends when it is dropped. IPv6 and IPv4 are asked for together, and IPv6 goes first in the race.
///
/// [`system`](Self::system) and [`asking`](Self::asking) keep no answers: each dial asks, so that a
/// server that moved is found; and as in the system's own resolver (`no-reload` in resolv.conf(5)), a
/// machine that moved asks the name servers of the network where it is now. [`new`](Self::new) takes any resolver of hickory's as it is, with its
/// cache.
///
/// It is also a source of endpoints: [`endpoints`](Self::endpoints) reads SRV records.
///
/// ```no_run
/// use failover_core::drive::Connector;
/// use transport_tcp::{Hickory, Tcp, TokioClock};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let names = Hickory::system()?;
/// let connector = Connector::builder(Tcp::new().resolver(names.clone()), TokioClock::new())
///     .endpoints(names.endpoints("tcp", "_nats._tcp.example.com").await?)
///     .build()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Hickory(Source);

#[derive(Clone)]
enum Source {
    Given(Arc<TokioResolver>),
    System(Arc<System>),
}

/// The system's configuration in use, and its files as they were when it was read.
struct System {
    read: Box<dyn Fn() -> io::Result<TokioResolver> + Send + Sync>,
    files: Vec<PathBuf>,
    used: Mutex<(Vec<Stamp>, Arc<TokioResolver>)>,
}

/// When a file was changed, and its length. None: it is not there.
type Stamp = Option<(Option<SystemTime>, u64)>;

/// Where the system keeps them in files; elsewhere it is read once.
const FILES: &[&str] = match cfg!(all(unix, not(target_vendor = "apple"))) {
    true => &["/etc/resolv.conf", "/etc/hosts"],
    false => &[],
};

impl Hickory {
    /// How long one server has for one answer, for [`asking`](Self::asking); it is then asked once more.
    /// Shorter than the 5 s of resolv.conf: the whole dial has no longer.
    pub const TIMEOUT: Duration = Duration::from_secs(2);

    /// As the system is configured: its name servers, search domains and hosts file, read now, and again
    /// when they have changed (where the system keeps them in files: not on Windows and Apple's). Those that
    /// cannot be read leave the earlier ones in use.
    ///
    /// # Errors
    /// The configuration cannot be read, or makes no sense.
    pub fn system() -> io::Result<Self> {
        let read = || Self::build(TokioResolver::builder_tokio().map_err(told)?);
        let system = System::new(FILES.iter().map(PathBuf::from).collect(), read)?;
        Ok(Self(Source::System(Arc::new(system))))
    }

    /// Asking these servers, over UDP and where an answer is too long over TCP, and nothing else: no
    /// hosts file, no search domain.
    ///
    /// # Errors
    /// hickory refuses it.
    pub fn asking(servers: impl IntoIterator<Item = SocketAddr>) -> io::Result<Self> {
        let servers = servers.into_iter().map(|address| {
            let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut way| {
                way.port = address.port();
                way
            });
            NameServerConfig::new(address.ip(), true, connections.into())
        });
        let config = ResolverConfig::from_parts(None, Vec::new(), servers.collect());
        let provider = TokioRuntimeProvider::default();
        let mut builder = TokioResolver::builder_with_config(config, provider);
        let options = builder.options_mut();
        options.use_hosts_file = ResolveHosts::Never;
        options.timeout = Self::TIMEOUT;
        options.attempts = 1;
        Self::build(builder).map(Self::new)
    }

    /// This resolver as it is: DNS over TLS, a cache, and whatever else hickory offers.
    #[must_use]
    pub fn new(resolver: TokioResolver) -> Self {
        Self(Source::Given(Arc::new(resolver)))
    }

    fn resolver(&self) -> Arc<TokioResolver> {
        match &self.0 {
            Source::Given(resolver) => Arc::clone(resolver),
            Source::System(system) => system.resolver(),
        }
    }

    fn build(mut builder: ResolverBuilder<TokioRuntimeProvider>) -> io::Result<TokioResolver> {
        let options = builder.options_mut();
        options.cache_size = 0;
        options.ip_strategy = LookupIpStrategy::Ipv6AndIpv4;
        builder.build().map_err(told)
    }

    /// The endpoints that the SRV records of this service name (`_service._proto.domain`), each as
    /// `scheme://target:port`: for a connector's list, or for
    /// [`Handle::replace`](failover_core::drive::Handle::replace) when they are read again.
    ///
    /// A priority is a tier: the lowest is 0, the next 1, whatever their numbers. A weight is a weight
    /// (for [`Walk::Weighted`](failover_core::policy::Walk); 0 counts as 1). Within a priority the
    /// heaviest goes first, then by name, so that the same records give the same list. The list is never
    /// empty, and as long as one DNS answer at most.
    ///
    /// With TLS the certificate must be for the target's name. Who can forge DNS can choose that name:
    /// where DNS is not trusted, give each endpoint a `ServerName` of your own.
    ///
    /// # Errors
    /// [`NotFound`](io::ErrorKind::NotFound): there are no such records, or they say that the service is
    /// not offered. Otherwise why there is no answer.
    ///
    /// # Cancel safety
    /// Dropping it ends the look-up.
    pub async fn endpoints(&self, scheme: &str, service: &str) -> io::Result<Vec<Endpoint>> {
        let answer = self.resolver().srv_lookup(service).await.map_err(told)?;
        let mut records: Vec<&SRV> = answer.answers().iter().filter_map(srv).collect();
        if records.iter().all(|record| record.target.is_root()) {
            let told = format!("`{service}` is not offered, say its SRV records");
            return Err(io::Error::new(io::ErrorKind::NotFound, told));
        }
        records.retain(|record| !record.target.is_root());
        records.sort_by_key(|record| {
            let place = (record.target.to_ascii(), record.port);
            (record.priority, Reverse(record.weight), place)
        });
        let mut endpoints = Vec::new();
        let (mut tier, mut priority) = (0_u8, records.first().map(|first| first.priority));
        for record in records {
            if priority.replace(record.priority) != Some(record.priority) {
                tier = tier.saturating_add(1);
            }
            endpoints.push(endpoint(scheme, record)?.tier(tier).weight(record.weight));
        }
        Ok(endpoints)
    }
}

impl Resolve for Hickory {
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> Resolving<'a> {
        Box::pin(async move {
            match self.resolver().lookup_ip(host).await {
                Ok(found) => Ok(found.iter().map(|ip| SocketAddr::new(ip, port)).collect()),
                // The name is there, and has no address.
                Err(error) if error.is_no_records_found() && !error.is_nx_domain() => {
                    Ok(Vec::new())
                }
                Err(error) => Err(told(error)),
            }
        })
    }
}

impl System {
    fn new(
        files: Vec<PathBuf>,
        read: impl Fn() -> io::Result<TokioResolver> + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let used = (stamps(&files), Arc::new(read()?));
        Ok(Self {
            read: Box::new(read),
            files,
            used: Mutex::new(used),
        })
    }

    /// Half-written ones that can be read are read again when they are whole: they change once more.
    fn resolver(&self) -> Arc<TokioResolver> {
        let now = stamps(&self.files);
        let (read, resolver) = self.used().clone();
        if read == now {
            return resolver;
        }
        // Files are read while nobody waits for the lock.
        let Ok(anew) = (self.read)().map(Arc::new) else {
            return resolver;
        };
        *self.used() = (now, Arc::clone(&anew));
        anew
    }

    fn used(&self) -> MutexGuard<'_, (Vec<Stamp>, Arc<TokioResolver>)> {
        // Nothing in it is ever half done.
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn stamps(files: &[PathBuf]) -> Vec<Stamp> {
    let stamp = |file: &PathBuf| {
        let metadata = fs::metadata(file).ok()?;
        Some((metadata.modified().ok(), metadata.len()))
    };
    files.iter().map(stamp).collect()
}

impl fmt::Debug for Hickory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hickory")
    }
}

fn srv(record: &Record) -> Option<&SRV> {
    let RData::SRV(srv) = &record.data else {
        return None;
    };
    Some(srv)
}

fn endpoint(scheme: &str, record: &SRV) -> io::Result<Endpoint> {
    let target = record.target.to_ascii();
    let url = format!(
        "{scheme}://{}:{}",
        target.trim_end_matches('.'),
        record.port
    );
    Endpoint::parse(&url).map_err(|error| {
        let told = format!("`{url}` of an SRV record: {error}");
        io::Error::new(io::ErrorKind::InvalidData, told)
    })
}

/// The same as an I/O error, with what [`Failure::from_io`](failover_core::failure::Failure::from_io)
/// looks at.
fn told(error: NetError) -> io::Error {
    if error.is_no_records_found() {
        return io::Error::new(io::ErrorKind::NotFound, "no such name");
    }
    if let NetError::Io(error) = &error {
        return again(error);
    }
    if matches!(error, NetError::Timeout) {
        return io::Error::new(io::ErrorKind::TimedOut, "no name server answers");
    }
    io::Error::other(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_s_configuration_is_read_again_when_it_has_changed_and_can_be_read() {
        let file = std::env::temp_dir().join(format!("resolv-{}", std::process::id()));
        let path = file.clone();
        // Each is known by its timeout.
        let read = move || {
            let seconds = fs::read_to_string(&path)?.parse();
            let seconds = seconds.map_err(|_| io::ErrorKind::InvalidData)?;
            let config = ResolverConfig::from_parts(None, Vec::new(), Vec::new());
            let provider = TokioRuntimeProvider::default();
            let mut builder = TokioResolver::builder_with_config(config, provider);
            builder.options_mut().timeout = Duration::from_secs(seconds);
            Hickory::build(builder)
        };
        fs::write(&file, "7").unwrap();
        let system = System::new(vec![file.clone()], read).unwrap();
        let asked = |text: &str| {
            fs::write(&file, text).unwrap();
            system.resolver().options().timeout.as_secs()
        };
        let read = [asked("7"), asked("none"), asked("86400")];
        fs::remove_file(&file).unwrap();
        assert_eq!(read, [7, 7, 86400]);
        assert_eq!(system.resolver().options().timeout.as_secs(), 86400);
    }
}
