//! A TCP proxy that cuts connections at random bytes, both ways.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};

/// A TCP proxy that cuts each connection after as many bytes to and from its server as it draws from a seed,
/// with a FIN or an RST; until it is [healed](Self::heal).
pub struct Proxy {
    pub address: SocketAddr,
    healed: Arc<AtomicBool>,
    cuts: Arc<AtomicU32>,
}

impl Proxy {
    /// In front of a port of the loopback interface; up to so many bytes pass each way.
    pub async fn new(port: u16, seed: u64, most: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let proxy = Self {
            address,
            healed: Arc::default(),
            cuts: Arc::default(),
        };
        let (healed, cuts) = (Arc::clone(&proxy.healed), Arc::clone(&proxy.cuts));
        tokio::spawn(async move {
            let mut draws = Draws(seed);
            while let Ok((client, _)) = listener.accept().await {
                client.set_nodelay(true).unwrap();
                let fate = match healed.load(Ordering::Relaxed) {
                    true => Fate::WHOLE,
                    false => draws.fate(most),
                };
                let cuts = Arc::clone(&cuts);
                tokio::spawn(async move {
                    if carry(client, port, fate).await != End::Own {
                        cuts.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        proxy
    }

    /// Connections from now on are whole.
    pub fn heal(&self) {
        self.healed.store(true, Ordering::Relaxed);
    }

    /// How many connections it has cut.
    pub fn cuts(&self) -> u32 {
        self.cuts.load(Ordering::Relaxed)
    }
}

/// What befalls a connection.
#[derive(Clone, Copy)]
struct Fate {
    /// So many bytes pass from the client, and from the server.
    up: u64,
    down: u64,
    end: End,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// By one of its ends.
    Own,
    /// By us, with a FIN or an RST.
    Fin,
    Rst,
}

impl Fate {
    const WHOLE: Self = Self {
        up: u64::MAX,
        down: u64::MAX,
        end: End::Own,
    };
}

/// SplitMix64: the same seed, the same cuts.
struct Draws(u64);

impl Draws {
    fn fate(&mut self, most: u64) -> Fate {
        Fate {
            up: self.below(most),
            down: self.below(most),
            end: match self.below(2) {
                0 => End::Fin,
                _ => End::Rst,
            },
        }
    }

    fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % most
    }
}

/// Until either end closes it or it is cut. How it ended.
async fn carry(mut client: TcpStream, port: u16, fate: Fate) -> End {
    let Ok(mut server) = TcpStream::connect(("127.0.0.1", port)).await else {
        return End::Own;
    };
    server.set_nodelay(true).unwrap();
    let ended = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        tokio::select! {
            passed = pass(from_client, to_server, fate.up) => passed,
            passed = pass(from_server, to_client, fate.down) => passed,
        }
    };
    match ended {
        Passed::ToItsEnd => End::Own,
        Passed::ToTheCut => {
            if fate.end == End::Rst {
                client.set_zero_linger().unwrap();
                server.set_zero_linger().unwrap();
            }
            fate.end
        }
    }
}

enum Passed {
    ToItsEnd,
    ToTheCut,
}

async fn pass(mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, most: u64) -> Passed {
    let mut left = most;
    let mut buffer = [0; 4096];
    while left > 0 {
        let room = buffer
            .len()
            .min(usize::try_from(left).unwrap_or(usize::MAX));
        let Ok(count @ 1..) = from.read(&mut buffer[..room]).await else {
            return Passed::ToItsEnd;
        };
        if to.write_all(&buffer[..count]).await.is_err() {
            return Passed::ToItsEnd;
        }
        left -= count as u64;
    }
    Passed::ToTheCut
}
