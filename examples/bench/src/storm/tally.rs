//! What the clients of a storm count.

use std::io;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use failover_core::failure::Kind;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::Notify;

/// Counted by all clients of one process.
#[derive(Default)]
pub(crate) struct Tally {
    up: AtomicUsize,
    dials: AtomicU64,
    refused: AtomicU64,
    failed: AtomicU64,
    /// When clients came to be connected, in order.
    returns: Mutex<Vec<Instant>>,
    /// When clients saw that they were not any more, in order.
    losses: Mutex<Vec<Instant>>,
    changed: Notify,
}

impl Tally {
    pub(crate) fn dials(&self) -> u64 {
        self.dials.load(Relaxed)
    }

    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Relaxed)
    }

    /// Failures of other kinds.
    pub(crate) fn failed(&self) -> u64 {
        self.failed.load(Relaxed)
    }

    pub(crate) fn connected(&self) -> usize {
        self.up.load(Relaxed)
    }

    pub(crate) fn take_losses(&self) -> Vec<Instant> {
        std::mem::take(&mut self.losses.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn take_returns(&self) -> Vec<Instant> {
        std::mem::take(&mut self.returns.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits until so many are connected.
    pub(crate) async fn reach(&self, clients: usize) {
        while self.connected() < clients {
            self.changed.notified().await;
        }
    }

    pub(crate) fn dial(&self) {
        self.dials.fetch_add(1, Relaxed);
    }

    pub(crate) fn dial_failed(&self, kind: Kind) {
        let which = match kind {
            Kind::Refused => &self.refused,
            _ => &self.failed,
        };
        which.fetch_add(1, Relaxed);
    }

    pub(crate) fn up(&self) {
        self.up.fetch_add(1, Relaxed);
        let mut returns = self.returns.lock().unwrap_or_else(PoisonError::into_inner);
        returns.push(Instant::now());
        drop(returns);
        self.changed.notify_one();
    }

    /// A connection is lost. One that was lost before it was greeted was never counted.
    pub(crate) fn down(&self) {
        let lost = self
            .up
            .fetch_update(Relaxed, Relaxed, |up| up.checked_sub(1));
        if lost.is_ok() {
            let mut losses = self.losses.lock().unwrap_or_else(PoisonError::into_inner);
            losses.push(Instant::now());
        }
    }

    /// Waits until a client is connected; says when the last one was.
    pub(crate) async fn returned(&self) -> Instant {
        loop {
            if let Some(at) = self.take_returns().pop() {
                return at;
            }
            self.changed.notified().await;
        }
    }

    /// Sits on a connection until it is lost, which is always an error.
    pub(crate) async fn sit(&self, mut conn: impl AsyncRead + Unpin) -> io::Result<()> {
        conn.read_u8().await?;
        self.up();
        let lost = conn.read_u8().await;
        self.down();
        lost.and(Err(io::ErrorKind::InvalidData.into()))
    }
}
