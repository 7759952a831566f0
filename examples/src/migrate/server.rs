//! One server: its URL with one of our schemes, and its own deadline.

use std::time::Duration;

use failover_core::config::{ServerForm, Span, UrlText};
use failover_core::directory::Url;
use failover_core::preset::PresetName;

use super::{Draft, IgnoredTable, MigrateError};

impl Draft {
    /// Adds a server, with its scheme as one of ours.
    pub(super) fn server(
        &mut self,
        url: &Url,
    ) -> Result<&mut ServerForm<IgnoredTable>, MigrateError> {
        let (scheme, port) = match url.scheme() {
            "nats" => ("tcp", Some(4222)),
            "http" => ("tcp", Some(80)),
            "https" => ("tls", Some(443)),
            "stomp" => ("tcp", Some(61_613)),
            "ssl" | "stomp+ssl" | "nio+ssl" => ("tls", None),
            "nio" | "auto" => ("tcp", None),
            // nats.go's default, whatever the scheme; those of WebSocket are known here too.
            ours @ ("tcp" | "tls") if self.name == PresetName::Nats => (ours, Some(4222)),
            ours @ ("tcp" | "tls" | "ws" | "wss") => (ours, None),
            other => {
                let problem = format!("there is no transport for `{other}`");
                return Err(MigrateError::input(url, problem));
            }
        };
        let (rest, deadline) = self.deadline(url)?;
        let port = url.port().or(port);
        if port.is_none() && matches!(scheme, "tcp" | "tls") {
            self.note(format!(
                "{}: no port is given, and none is assumed here: write one behind the host",
                url.authority()
            ));
        }
        let port = port.map(|port| format!(":{port}"));
        let host = url.clone().without_userinfo();
        let host = match (host.host().contains(':'), host.host()) {
            (true, host) => format!("[{host}]"),
            (false, host) => host.to_string(),
        };
        let user = url.userinfo().map(|user| format!("{}@", user.expose()));
        let rest = match scheme {
            "ws" | "wss" => rest.as_str(),
            _ if rest.is_empty() => "",
            _ => {
                self.note(format!(
                    "{}: path and query have no meaning over {scheme}",
                    url.authority()
                ));
                ""
            }
        };
        let text = format!(
            "{scheme}://{}{host}{}{rest}",
            user.unwrap_or_default(),
            port.unwrap_or_default()
        );
        let mut server = ServerForm::default();
        server.url = Some(UrlText(text.parse()?));
        server.deadline = deadline.map(Span);
        self.servers.push(server);
        let last = self.servers.len() - 1;
        Ok(&mut self.servers[last])
    }

    /// What stands behind the host, without ActiveMQ's `connectionTimeout`, and that.
    fn deadline(&mut self, url: &Url) -> Result<(String, Option<Duration>), MigrateError> {
        const OPTION: &str = "connectionTimeout=";
        let rest = url.rest();
        let (PresetName::ActiveMq, Some((path, query))) = (self.name, rest.split_once('?')) else {
            return Ok((rest.to_string(), None));
        };
        let (own, others): (Vec<&str>, Vec<&str>) =
            query.split('&').partition(|part| part.starts_with(OPTION));
        let rest = match others.as_slice() {
            [] => path.to_string(),
            others => format!("{path}?{}", others.join("&")),
        };
        let Some(millis) = own.first().and_then(|own| own.strip_prefix(OPTION)) else {
            return Ok((rest, None));
        };
        match millis.parse::<i64>() {
            Ok(..=0) => {
                self.note(format!(
                    "{}: a connectionTimeout of zero bounds nothing; here every dial has a deadline",
                    url.authority()
                ));
                Ok((rest, None))
            }
            Ok(millis) => Ok((rest, Some(Duration::from_millis(millis.unsigned_abs())))),
            Err(_) => {
                let problem = "connectionTimeout must be a whole number of milliseconds";
                Err(MigrateError::input(url.authority(), problem))
            }
        }
    }
}
