//! What an idle connection keeps on the heap, counted by the allocator.

#![allow(
    unsafe_code,
    clippy::unwrap_used,
    reason = "an allocator that counts; test code"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use failover_core::dial::{Dial, DialContext};
use failover_core::directory::Target;
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use transport_tcp::Tcp;
use transport_ws::{Ws, WsConfig};

#[tokio::test]
async fn an_idle_connection_takes_at_most_20_kib_by_default_and_5_kib_if_asked() {
    for (config, most) in [
        (WsConfig::default(), 20 * 1024),
        (WsConfig::default().read_buffer_size(3 * 1024), 5 * 1024),
    ] {
        // However full the read buffer was when the last message came.
        for messages in 1..40 {
            let size = idle(config.clone(), messages).await;
            assert!(
                (1000..=most).contains(&size),
                "{size} bytes of at most {most}"
            );
        }
    }
}

/// What a connection keeps that has said and heard this many messages.
async fn idle(config: WsConfig, messages: usize) -> isize {
    let ws = Ws::new(Tcp::new()).config(config);
    let port = echo().await;
    let to = Target::parse(&format!("ws://127.0.0.1:{port}/")).unwrap();
    let mut stream = ws.dial(&to, &DialContext::unbounded()).await.unwrap();
    // A frame of 512 bytes: the read buffer is now and then exactly full.
    let mut back = [0; 508];
    for _ in 0..messages {
        stream.write_all(&[7; 508]).await.unwrap();
        stream.read_exact(&mut back).await.unwrap();
    }
    // Idle is who waits for more.
    let wait = std::time::Duration::from_millis(1);
    let nothing = tokio::time::timeout(wait, stream.read_u8()).await;
    assert!(nothing.is_err());
    // The stream itself counts, too: wherever it lives, that is on a heap.
    let stream = Box::new(stream);
    let before = HEAP.get();
    drop(stream);
    before - HEAP.get()
}

async fn echo() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut server = tokio_tungstenite::accept_async(stream).await.unwrap();
        while let Some(Ok(message)) = server.next().await {
            let _ = server.send(message).await;
        }
    });
    port
}

struct Counting;

thread_local! {
    /// What this thread has allocated and not freed.
    static HEAP: Cell<isize> = const { Cell::new(0) };
}

fn count(bytes: isize) {
    let _ = HEAP.try_with(|heap| heap.set(heap.get() + bytes));
}

// SAFETY: the system's allocator does the work; counting changes nothing about it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(-layout.size().cast_signed());
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;
