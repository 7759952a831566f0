//! The WebSocket byte stream beside bare tokio-tungstenite: the time of a ping-pong, ours over
//! theirs, and the heap of an idle connection. You see one row for each size.
//!
//! Both ends live on one thread, so pin it to one CPU: `taskset -c 0`. With arguments (`ours` or
//! `bare`, a size, how many times) it only does that, to have its instructions counted.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicIsize, Ordering};
use std::time::{Duration, Instant};

use failover_core::dial::{Dial, DialContext};
use failover_core::directory::Target;
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, accept_async_with_config, client_async_with_config};
use transport_tcp::Tcp;
use transport_ws::{Ws, WsConfig, WsStream};

type Failed = Box<dyn std::error::Error>;
type Theirs = WebSocketStream<TcpStream>;

/// How often the contestants change places; odd, for the median.
const ROUNDS: usize = 101;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failed> {
    let asked: Vec<String> = std::env::args().skip(1).collect();
    if let [who, size, times] = asked.as_slice() {
        return count(who, size.parse()?, times.parse()?).await;
    }
    println!("| message | ours | bare, its defaults | ours / it | bare, our buffers | ours / it |");
    println!("|---|---|---|---|---|---|");
    for size in [64, 1024, 64 * 1024] {
        let port = echo().await?;
        let mut ours = ours(port, WsConfig::default()).await?;
        let mut plain = theirs(port, WebSocketConfig::default()).await?;
        let mut same = theirs(port, same_buffers()).await?;
        let times = (64 * 1024 * 64 / size).clamp(100, 1000);
        let (mut times_ours, mut times_plain, mut times_same) = (vec![], vec![], vec![]);
        for round in 0..ROUNDS {
            for place in 0..3 {
                match (round + place) % 3 {
                    0 => times_ours.push(ping_ours(&mut ours, size, times).await?),
                    1 => times_plain.push(ping_theirs(&mut plain, size, times).await?),
                    _ => times_same.push(ping_theirs(&mut same, size, times).await?),
                }
            }
        }
        println!(
            "| {size} B | {:.2} µs | {:.2} µs | {:.3} | {:.2} µs | {:.3} |",
            micros(&times_ours, times),
            micros(&times_plain, times),
            ratio(&times_ours, &times_plain),
            micros(&times_same, times),
            ratio(&times_ours, &times_same),
        );
    }
    heap().await
}

/// This many ping-pongs of one contestant, to be counted from outside.
async fn count(who: &str, size: usize, times: usize) -> Result<(), Failed> {
    let port = echo().await?;
    match who {
        "ours" => {
            let mut stream = ours(port, WsConfig::default()).await?;
            ping_ours(&mut stream, size, times).await?;
        }
        "bare" => {
            let mut stream = theirs(port, same_buffers()).await?;
            ping_theirs(&mut stream, size, times).await?;
        }
        other => return Err(format!("`{other}` is neither `ours` nor `bare`").into()),
    }
    Ok(())
}

/// Heap of a connection that has said and heard 1 KiB, and is idle: what dropping it frees. (The
/// server's end is another task's, which does not run meanwhile.)
async fn heap() -> Result<(), Failed> {
    println!("\n| idle connection | heap |\n|---|---|");
    let port = echo().await?;
    let small = WsConfig::default().read_buffer_size(4096);
    for (name, config) in [
        ("ours, default", WsConfig::default()),
        ("ours, 4 KiB read buffer", small),
    ] {
        let mut stream = ours(port, config).await?;
        ping_ours(&mut stream, 1024, 3).await?;
        println!("| {name} | {} B |", freed_by(stream));
    }
    let mut stream = theirs(port, WebSocketConfig::default()).await?;
    ping_theirs(&mut stream, 1024, 3).await?;
    println!("| bare, its defaults | {} B |", freed_by(stream));
    Ok(())
}

fn freed_by<T>(dropped: T) -> isize {
    let dropped = Box::new(dropped);
    let before = HEAP.load(Ordering::Relaxed);
    drop(dropped);
    before - HEAP.load(Ordering::Relaxed)
}

async fn ping_ours(
    stream: &mut WsStream<TcpStream>,
    size: usize,
    times: usize,
) -> Result<Duration, Failed> {
    let data = vec![7; size];
    let mut back = vec![0; size];
    let start = Instant::now();
    for _ in 0..times {
        stream.write_all(&data).await?;
        stream.read_exact(&mut back).await?;
    }
    Ok(start.elapsed())
}

/// The same for whoever has bytes and wants bytes.
async fn ping_theirs(stream: &mut Theirs, size: usize, times: usize) -> Result<Duration, Failed> {
    let data = vec![7; size];
    let mut back = vec![0; size];
    let start = Instant::now();
    for _ in 0..times {
        stream.send(Message::binary(data.to_vec())).await?;
        let message = stream.next().await.ok_or("the end")??;
        back.copy_from_slice(&message.into_data());
    }
    Ok(start.elapsed())
}

async fn echo() -> Result<u16, Failed> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = stream.set_nodelay(true);
            tokio::spawn(async move {
                let mut server = accept_async_with_config(stream, Some(same_buffers())).await?;
                while let Some(message) = server.next().await.transpose()? {
                    server.send(message).await?;
                }
                Ok::<_, tokio_tungstenite::tungstenite::Error>(())
            });
        }
    });
    Ok(port)
}

fn same_buffers() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(16 * 1024)
        .write_buffer_size(0)
}

async fn ours(port: u16, config: WsConfig) -> Result<WsStream<TcpStream>, Failed> {
    let to = Target::parse(&format!("ws://127.0.0.1:{port}/"))?;
    let ws = Ws::new(Tcp::new()).config(config);
    Ok(ws.dial(&to, &DialContext::unbounded()).await?)
}

async fn theirs(port: u16, config: WebSocketConfig) -> Result<Theirs, Failed> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.set_nodelay(true)?;
    let url = format!("ws://127.0.0.1:{port}/");
    Ok(client_async_with_config(url, stream, Some(config)).await?.0)
}

fn micros(times: &[Duration], each: usize) -> f64 {
    median(
        times
            .iter()
            .map(|time| time.as_secs_f64() * 1e6 / each as f64),
    )
}

/// The median of the ratios within a round.
fn ratio(ours: &[Duration], theirs: &[Duration]) -> f64 {
    let pairs = ours.iter().zip(theirs);
    median(pairs.map(|(ours, theirs)| ours.as_secs_f64() / theirs.as_secs_f64()))
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Bytes that are allocated now.
static HEAP: AtomicIsize = AtomicIsize::new(0);

struct Counting;

// SAFETY: the system's allocator does the work; counting changes nothing about it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HEAP.fetch_add(layout.size() as isize, Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        HEAP.fetch_sub(layout.size() as isize, Ordering::Relaxed);
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;
