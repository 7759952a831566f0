//! Proxies of both kinds.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};

use failover_core::testing::conformance::PeerLog;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::TcpStream;
use transport_tcp::Proxy;

use super::listen;

/// A proxy of each kind that finds hosts like this and wants a login, and their logs.
pub(crate) async fn that_find(
    find: impl Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Clone + Send + Sync + 'static,
) -> [(Proxy, PeerLog); 2] {
    let (http, http_log) = http_that(find.clone(), Some("Basic am9lOmh1bnRlcjI=")).await;
    let (socks, socks_log) = socks_that(find, Some(("joe", "hunter2"))).await;
    let url = |scheme, address| format!("{scheme}://joe:hunter2@{address}").parse().unwrap();
    [
        (url("http", http), http_log),
        (url("socks5", socks), socks_log),
    ]
}

/// An HTTP proxy that wants this `Proxy-Authorization`, if any.
pub(crate) async fn http(login: Option<&'static str>) -> (SocketAddr, PeerLog) {
    http_that(by_the_system, login).await
}

/// A SOCKS5 proxy that wants this user and password, if any.
pub(crate) async fn socks(login: Option<(&'static str, &'static str)>) -> (SocketAddr, PeerLog) {
    socks_that(by_the_system, login).await
}

fn by_the_system(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    Ok((host, port).to_socket_addrs()?.collect())
}

async fn http_that(
    find: impl Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Clone + Send + Sync + 'static,
    login: Option<&'static str>,
) -> (SocketAddr, PeerLog) {
    listen(move |stream| {
        let find = find.clone();
        async move {
            // An error ends the connection: so do proxies.
            let _ = serve_http(stream, find, login).await;
        }
    })
    .await
}

async fn serve_http(
    mut client: TcpStream,
    find: impl Fn(&str, u16) -> io::Result<Vec<SocketAddr>>,
    login: Option<&str>,
) -> io::Result<()> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        head.push(client.read_u8().await?.into());
    }
    let wanted =
        login.is_none_or(|login| head.contains(&format!("Proxy-Authorization: {login}\r\n")));
    let to = head
        .strip_prefix("CONNECT ")
        .and_then(|rest| rest.split(' ').next())
        .and_then(|to| to.rsplit_once(':'));
    let (host, port) = to.unwrap_or_default();
    let found = find(
        host.trim_matches(['[', ']']),
        port.parse().unwrap_or_default(),
    );
    let answer: &[u8] = match (wanted, connect(found).await) {
        (false, _) => b"HTTP/1.1 407 Who are you?\r\nContent-Length: 0\r\n\r\n",
        (true, Err(_)) => b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n",
        (true, Ok(mut server)) => {
            client
                .write_all(b"HTTP/1.1 200 OK\r\nVia: test\r\n\r\n")
                .await?;
            copy_bidirectional(&mut client, &mut server).await?;
            return Ok(());
        }
    };
    client.write_all(answer).await
}

async fn socks_that(
    find: impl Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Clone + Send + Sync + 'static,
    login: Option<(&'static str, &'static str)>,
) -> (SocketAddr, PeerLog) {
    listen(move |stream| {
        let find = find.clone();
        async move {
            let _ = serve_socks(stream, find, login).await;
        }
    })
    .await
}

async fn serve_socks(
    mut client: TcpStream,
    find: impl Fn(&str, u16) -> io::Result<Vec<SocketAddr>>,
    login: Option<(&str, &str)>,
) -> io::Result<()> {
    let _version = client.read_u8().await?;
    let methods = read_counted(&mut client).await?;
    let method = if login.is_some() { 2 } else { 0 };
    if !methods.contains(&method) {
        return client.write_all(&[5, 0xff]).await;
    }
    client.write_all(&[5, method]).await?;
    if let Some((user, password)) = login {
        let _version = client.read_u8().await?;
        let fits = read_counted(&mut client).await? == user.as_bytes();
        let fits = read_counted(&mut client).await? == password.as_bytes() && fits;
        client.write_all(&[1, u8::from(!fits)]).await?;
        if !fits {
            return Ok(());
        }
    }
    client.read_exact(&mut [0; 3]).await?;
    let host = match client.read_u8().await? {
        1 => std::net::Ipv4Addr::from_bits(client.read_u32().await?).to_string(),
        _ => String::from_utf8(read_counted(&mut client).await?).unwrap(),
    };
    let port = client.read_u16().await?;
    match connect(find(&host, port)).await {
        Err(_) => client.write_all(&[5, 5, 0, 1, 0, 0, 0, 0, 0, 0]).await,
        Ok(mut server) => {
            client.write_all(&[5, 0, 0, 1, 127, 0, 0, 1, 0, 1]).await?;
            copy_bidirectional(&mut client, &mut server).await?;
            Ok(())
        }
    }
}

async fn read_counted(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; stream.read_u8().await?.into()];
    stream.read_exact(&mut bytes).await?;
    Ok(bytes)
}

async fn connect(found: io::Result<Vec<SocketAddr>>) -> io::Result<TcpStream> {
    TcpStream::connect(&found?[..]).await
}
