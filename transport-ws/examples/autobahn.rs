//! A client for Autobahn's fuzzing server: it echoes each case's messages through the message view.
//! You see the number of cases; the server writes the report. See the crate's README.

use failover_core::dial::{Dial, DialContext};
use failover_core::directory::Target;
use futures_util::{SinkExt, StreamExt};
use transport_tcp::Tcp;
use transport_ws::{Message, MessageStream, SessionError, Ws, WsConfig};

type Conn = MessageStream<tokio::net::TcpStream>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = std::env::args().nth(1);
    let server = server.unwrap_or_else(|| "ws://127.0.0.1:9001".to_owned());
    // The largest case is a message of 16 MiB.
    let config = WsConfig::default().max_message_size(16 << 20);
    let ws = Ws::new(Tcp::new()).config(config).messages();
    let dial = async |path: &str| {
        let to = Target::parse(&format!("{server}{path}"))?;
        let conn = ws.dial(&to, &DialContext::unbounded()).await?;
        Ok::<Conn, Box<dyn std::error::Error>>(conn)
    };

    let mut asked = dial("/getCaseCount").await?;
    let Some(Message::Text(count)) = asked.next().await.transpose()? else {
        return Err("the server tells no number of cases".into());
    };
    let count: u32 = count.parse()?;
    for case in 1..=count {
        let conn = dial(&format!("/runCase?case={case}&agent=transport-ws")).await?;
        // How a case ends is in the report.
        let _ = echo(conn).await;
    }
    let mut done = dial("/updateReports?agent=transport-ws").await?;
    while let Some(Ok(_)) = done.next().await {}
    eprintln!("{count} cases");
    Ok(())
}

async fn echo(mut conn: Conn) -> Result<(), SessionError> {
    while let Some(message) = conn.next().await.transpose()? {
        if message.is_text() || message.is_binary() {
            conn.send(message).await?;
        }
    }
    Ok(())
}
