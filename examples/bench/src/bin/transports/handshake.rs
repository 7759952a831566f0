//! Handshakes in memory, without sockets: what a session saves the client.

use std::sync::Arc;
use std::time::Duration;

use failover_bench::tls::Identity;
use nix::time::{ClockId, clock_gettime};
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, HandshakeKind, ServerConfig, ServerConnection};
use transport_tls::{Pem, Provider, Roots, TlsConfig};

use crate::Outcome;
use crate::figures::{Goal, Table};

const TURNS: usize = 1001;
const ADDRESS: &str = "127.0.0.1";

pub(crate) fn measure(table: &mut Table) -> Outcome {
    let ring = Pair::new(Provider::Ring)?;
    ring.measure(table, "ring, X25519", 0.55)?;
    #[cfg(feature = "post-quantum")]
    Pair::new(post_quantum())?.measure(table, "aws-lc-rs, X25519MLKEM768", 0.60)?;
    Ok(())
}

/// With the hybrid group alone: where there are others, a client offers them first.
#[cfg(feature = "post-quantum")]
fn post_quantum() -> Provider {
    use rustls::crypto::aws_lc_rs;
    let mut provider = aws_lc_rs::default_provider();
    provider.kx_groups = vec![aws_lc_rs::kx_group::X25519MLKEM768];
    Provider::Custom(Arc::new(provider))
}

/// So many handshakes of one kind, for whoever counts.
pub(crate) fn count(kind: &str, times: usize) -> Outcome {
    let pair = Pair::new(Provider::Ring)?;
    let (client, kind) = match kind {
        "full" => (&pair.forgetful, HandshakeKind::Full),
        "resumed" => (&pair.client, HandshakeKind::Resumed),
        other => return Err(format!("`{other}` is neither `full` nor `resumed`").into()),
    };
    for _ in 0..times {
        run(client, &pair.server, kind)?;
    }
    Ok(())
}

/// A client of ours, made once; the same without a memory for sessions; and their server.
struct Pair {
    client: Arc<ClientConfig>,
    forgetful: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
}

impl Pair {
    fn new(provider: Provider) -> Outcome<Self> {
        let identity = Identity::new(&[ADDRESS.parse()?])?;
        let roots = Roots::Only(Pem::Bytes(identity.pem().into_bytes()));
        let client = TlsConfig::new().roots(roots).provider(provider).build()?;
        let server = identity.server_by(Arc::clone(client.crypto_provider()))?;
        let mut forgetful = ClientConfig::clone(&client);
        forgetful.resumption = Resumption::disabled();
        // The first ticket.
        run(&client, &server, HandshakeKind::Full)?;
        Ok(Self {
            client,
            forgetful: Arc::new(forgetful),
            server,
        })
    }

    fn measure(&self, table: &mut Table, how: &str, goal: f64) -> Outcome {
        let mut pairs = Vec::new();
        for _ in 0..TURNS {
            let resumed = run(&self.client, &self.server, HandshakeKind::Resumed)?;
            let full = run(&self.forgetful, &self.server, HandshakeKind::Full)?;
            pairs.push((resumed, full));
        }
        table.compare(
            format!("resumed handshake in memory, the client's CPU ({how})"),
            &pairs,
            "full",
            Some(Goal::AtMost(goal)),
        );
        Ok(())
    }
}

/// A handshake, and the client's processor time until its first data could be sent.
fn run(
    client: &Arc<ClientConfig>,
    server: &Arc<ServerConfig>,
    kind: HandshakeKind,
) -> Outcome<Duration> {
    let mut server = ServerConnection::new(Arc::clone(server))?;
    let began = cpu()?;
    let mut client = ClientConnection::new(Arc::clone(client), ServerName::try_from(ADDRESS)?)?;
    let mut took = cpu()? - began;
    let (mut there, mut back) = (Vec::new(), Vec::new());
    while client.is_handshaking() {
        let began = cpu()?;
        client_step(&mut client, &back, &mut there)?;
        took += cpu()? - began;
        back.clear();
        step(&mut server, &there, &mut back)?;
        there.clear();
    }
    // The tickets, which come after.
    step(&mut client, &back, &mut there)?;
    match client.handshake_kind() {
        Some(found) if found == kind => Ok(took),
        found => Err(format!("a handshake was {found:?}, not {kind:?}").into()),
    }
}

/// The client's part alone, for whoever counts instructions.
#[inline(never)]
fn client_step(client: &mut ClientConnection, from: &[u8], to: &mut Vec<u8>) -> Outcome {
    step(client, from, to)
}

/// Reads what came, and writes what there is to say.
fn step<D>(
    side: &mut impl std::ops::DerefMut<Target = rustls::ConnectionCommon<D>>,
    mut from: &[u8],
    to: &mut Vec<u8>,
) -> Outcome {
    while !from.is_empty() {
        side.read_tls(&mut from)?;
        side.process_new_packets()?;
    }
    while side.wants_write() {
        side.write_tls(to)?;
    }
    Ok(())
}

/// Of this thread: what others do on the machine does not count.
fn cpu() -> Outcome<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?.into())
}
