//! Handshakes in memory, without sockets: what a session saves the client.

use std::sync::Arc;
use std::time::Duration;

use failover_bench::tls::Identity;
use nix::time::{ClockId, clock_gettime};
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::{
    ClientConfig, ClientConnection, HandshakeKind, NamedGroup, ServerConfig, ServerConnection,
};
use transport_tls::{Pem, Provider, Roots, TlsConfig};

use crate::Outcome;
use crate::figures::{Goal, Table};

const TURNS: usize = 1001;
const ADDRESS: &str = "127.0.0.1";

pub(crate) fn measure(table: &mut Table) -> Outcome {
    let ring = Pair::new(Provider::Ring, NamedGroup::X25519)?;
    ring.measure(table, "ring", 0.55)?;
    #[cfg(feature = "post-quantum")]
    Pair::new(Provider::AwsLcRs, NamedGroup::X25519MLKEM768)?.measure(table, "aws-lc-rs", 0.60)?;
    Ok(())
}

/// So many handshakes of one kind, for whoever counts.
pub(crate) fn count(kind: &str, times: usize) -> Outcome {
    let pair = Pair::new(Provider::Ring, NamedGroup::X25519)?;
    let (client, kind) = match kind {
        "full" => (&pair.forgetful, HandshakeKind::Full),
        "resumed" => (&pair.client, HandshakeKind::Resumed),
        other => return Err(format!("`{other}` is neither `full` nor `resumed`").into()),
    };
    for _ in 0..times {
        pair.run(client, kind)?;
    }
    Ok(())
}

/// A client of ours, made once; the same without a memory for sessions; and their server.
struct Pair {
    client: Arc<ClientConfig>,
    forgetful: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
    group: NamedGroup,
}

impl Pair {
    fn new(provider: Provider, group: NamedGroup) -> Outcome<Self> {
        let identity = Identity::new(&[ADDRESS.parse()?])?;
        let roots = Roots::Only(Pem::Bytes(identity.pem().into_bytes()));
        let client = TlsConfig::new().roots(roots).provider(provider).build()?;
        let server = identity.server_by(Arc::clone(client.crypto_provider()))?;
        let mut forgetful = ClientConfig::clone(&client);
        forgetful.resumption = Resumption::disabled();
        let pair = Self {
            client,
            forgetful: Arc::new(forgetful),
            server,
            group,
        };
        // The first ticket.
        pair.run(&pair.client, HandshakeKind::Full)?;
        Ok(pair)
    }

    fn measure(&self, table: &mut Table, how: &str, goal: f64) -> Outcome {
        let mut pairs = Vec::new();
        for _ in 0..TURNS {
            let resumed = self.run(&self.client, HandshakeKind::Resumed)?;
            let full = self.run(&self.forgetful, HandshakeKind::Full)?;
            pairs.push((resumed, full));
        }
        let group = self.group.as_str().unwrap_or("?");
        table.compare(
            format!("resumed handshake in memory, the client's CPU ({how}, {group})"),
            &pairs,
            "full",
            Some(Goal::AtMost(goal)),
        );
        Ok(())
    }

    /// A handshake of this kind, and the client's processor time until its first data could be sent.
    fn run(&self, client: &Arc<ClientConfig>, kind: HandshakeKind) -> Outcome<Duration> {
        let mut server = ServerConnection::new(Arc::clone(&self.server))?;
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
        let group = client.negotiated_key_exchange_group();
        let found = (client.handshake_kind(), group.map(|group| group.name()));
        match found == (Some(kind), Some(self.group)) {
            true => Ok(took),
            false => {
                Err(format!("a handshake was {found:?}, not {kind:?}, {:?}", self.group).into())
            }
        }
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
