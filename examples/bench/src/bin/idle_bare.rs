//! One idle socket subscribed at a NATS server, as `idle_ours` is a client of ours: the runtime alone.

use std::error::Error;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let server = std::env::args().nth(1).ok_or("which server?")?;
    let mut stream = TcpStream::connect(server).await?;
    stream
        .write_all(b"CONNECT {\"verbose\":false}\r\nSUB idle 1\r\nPING\r\n")
        .await?;
    println!("ready");
    let mut buffer = [0; 4096];
    while stream.read(&mut buffer).await? > 0 {
        stream.write_all(b"PONG\r\n").await?;
    }
    Err("the server ended the connection".into())
}
