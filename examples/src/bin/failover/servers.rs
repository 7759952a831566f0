//! Servers given as URLs, and whom to trust.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use examples::url_path;
use failover_core::directory::{Endpoint, Url};
use transport_tls::rustls::crypto::ring;
use transport_tls::rustls::{ClientConfig, RootCertStore};
use transport_tls::{Pem, Roots, ServerName, TlsConfig};

use crate::Problem;
use crate::values::file;

/// Whose certificates are good.
#[derive(Args, Debug)]
pub(crate) struct TrustArguments {
    /// Trust the authorities in this PEM file, and no others [default: the system's]
    #[arg(long, value_parser = file(), value_name = "FILE")]
    ca: Option<PathBuf>,
    /// The name in the servers' certificates [default: the URL's host]
    #[arg(long, value_name = "NAME")]
    server_name: Option<String>,
}

impl TrustArguments {
    /// The servers at these URLs, each named after its URL, without credentials.
    pub(crate) fn endpoints(&self, urls: &[String]) -> Result<Vec<Endpoint>, Problem> {
        let mut names = BTreeSet::new();
        let mut endpoints = Vec::new();
        for text in urls {
            let url: Url = text.parse().map_err(|error| Problem::bad(&error))?;
            refuse_path_of_bytes(&url)?;
            let shown = url.to_string();
            let mut name = shown.clone();
            // Two URLs may differ in what is not shown.
            let mut number = 2;
            while !names.insert(name.clone()) {
                name = format!("{shown} ({number})");
                number += 1;
            }
            let mut endpoint = Endpoint::new(url).named(name);
            if let Some(name) = &self.server_name {
                let name: ServerName = name.parse().map_err(|error| Problem::bad(&error))?;
                endpoint = endpoint.with(name);
            }
            endpoints.push(endpoint);
        }
        self.refuse_trust_without_tls(&endpoints)?;
        Ok(endpoints)
    }

    fn refuse_trust_without_tls(&self, endpoints: &[Endpoint]) -> Result<(), Problem> {
        let flags = [
            ("--ca", self.ca.is_some()),
            ("--server-name", self.server_name.is_some()),
        ];
        let Some((flag, _)) = flags.iter().find(|(_, given)| *given) else {
            return Ok(());
        };
        if any_tls(endpoints) {
            return Ok(());
        }
        Err(Problem::BadInput(format!(
            "{flag} says whose certificate is good, but no URL has one: write `tls://` or `wss://`, or leave {flag} out"
        )))
    }

    /// What TLS is to trust.
    pub(crate) fn tls(&self) -> TlsConfig {
        match &self.ca {
            Some(file) => TlsConfig::new().roots(Roots::Only(Pem::File(file.clone()))),
            None => TlsConfig::new(),
        }
    }

    /// The same, read. The platform's authorities are read only when a server needs them.
    pub(crate) fn config(&self, endpoints: &[Endpoint]) -> Result<Arc<ClientConfig>, Problem> {
        if any_tls(endpoints) {
            return self.tls().build().map_err(|error| match self.ca {
                Some(_) => Problem::bad(&error),
                None => Problem::failed(&error),
            });
        }
        let provider = Arc::new(ring::default_provider());
        let trusting_nobody = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| Problem::failed(&error))?
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        Ok(Arc::new(trusting_nobody))
    }
}

/// A stream of bytes has no path: whoever writes one means WebSocket.
pub(crate) fn refuse_path_of_bytes(url: &Url) -> Result<(), Problem> {
    url_path::refused(url).map_or(Ok(()), |told| Err(Problem::BadInput(told)))
}

fn any_tls(endpoints: &[Endpoint]) -> bool {
    let mut urls = endpoints.iter().flat_map(Endpoint::routes);
    urls.any(|url| ["tls", "wss"].contains(&url.scheme()))
}
