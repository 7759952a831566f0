//! Servers on loopback for `failover probe`, each on a thread of its own.
#![allow(clippy::unwrap_used, dead_code, missing_docs)]

use std::fs;
use std::future::Future;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

/// An authority, and its certificate in a file.
pub(crate) struct Ca {
    issuer: CertifiedIssuer<'static, KeyPair>,
    pub(crate) file: PathBuf,
}

impl Ca {
    pub(crate) fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        let name = format!("authority {number}");
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let name = format!("failover-probe-{}-{number}.pem", std::process::id());
        let file = std::env::temp_dir().join(name);
        fs::write(&file, issuer.pem()).unwrap();
        Self { issuer, file }
    }

    pub(crate) fn server(&self, params: CertificateParams) -> Arc<ServerConfig> {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key);
        Arc::new(config.unwrap())
    }

    /// Probes while trusting this authority alone.
    pub(crate) fn probe(&self, urls: &[String], flags: &[&str]) -> (Option<i32>, Vec<Value>) {
        let mut arguments = vec!["probe", "--json", "--ca", self.file.to_str().unwrap()];
        arguments.extend(flags);
        arguments.extend(urls.iter().map(String::as_str));
        reports(&failover(&arguments))
    }
}

impl Drop for Ca {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.file);
    }
}

pub(crate) fn loopback() -> CertificateParams {
    CertificateParams::new(["127.0.0.1".to_string()]).unwrap()
}

pub(crate) fn failover(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_failover"));
    command.args(arguments).output().unwrap()
}

/// The exit code of a probe, and its lines of JSON.
pub(crate) fn reports(ran: &Output) -> (Option<i32>, Vec<Value>) {
    assert_eq!(String::from_utf8_lossy(&ran.stderr), "");
    let stdout = String::from_utf8_lossy(&ran.stdout);
    let lines = stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    (ran.status.code(), lines.collect())
}

/// A server on a thread of its own; its port.
pub(crate) fn serve<F: Future<Output = ()> + 'static>(
    each: impl Fn(TcpStream) -> F + Send + 'static,
) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let local = tokio::task::LocalSet::new();
        local.block_on(&runtime.unwrap(), async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).unwrap();
                tokio::task::spawn_local(each(stream));
            }
        });
    });
    port
}

pub(crate) fn serve_tls<F: Future<Output = ()> + 'static>(
    config: Arc<ServerConfig>,
    each: impl Fn(tokio_rustls::server::TlsStream<TcpStream>) -> F + Clone + Send + 'static,
) -> u16 {
    let acceptor = TlsAcceptor::from(config);
    serve(move |stream| {
        let (acceptor, each) = (acceptor.clone(), each.clone());
        async move {
            if let Ok(stream) = acceptor.accept(stream).await {
                each(stream).await;
            }
        }
    })
}

pub(crate) async fn until_end(mut stream: impl AsyncRead + Unpin) {
    while let Ok(1..) = stream.read(&mut [0; 1024]).await {}
}

pub(crate) async fn closes(mut stream: impl AsyncWrite + Unpin) {
    let _ = stream.shutdown().await;
}

pub(crate) async fn greets(mut stream: TcpStream) {
    let _ = stream.write_all(b"220 mail.example ready\r\n").await;
    until_end(stream).await;
}

pub(crate) async fn not_found(mut stream: TcpStream) {
    let _ = stream.read(&mut [0; 1024]).await;
    let _ = stream
        .write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        .await;
    until_end(stream).await;
}

pub(crate) async fn upgraded(stream: impl AsyncRead + AsyncWrite + Unpin) {
    use futures_util::StreamExt as _;
    let Ok(mut stream) = tokio_tungstenite::accept_async(stream).await else {
        return;
    };
    while let Some(Ok(_)) = stream.next().await {}
}

/// A port on which nobody listens.
pub(crate) fn nobody() -> u16 {
    let gone = TcpListener::bind("127.0.0.1:0").unwrap();
    gone.local_addr().unwrap().port()
}
