//! The scenario as it is written, key by key, with its places in the file.

use std::collections::BTreeMap;

use failover_core::config::{EndpointForm, LinkForm, PolicyForm};
use serde::Deserialize;
use serde::de::IgnoredAny;
use toml::Spanned;

pub(super) type Text = Option<Spanned<String>>;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    pub(super) version: Spanned<u32>,
    #[serde(default)]
    pub(super) about: String,
    pub(super) seed: Option<u64>,
    pub(super) clients: Option<Spanned<u32>>,
    pub(super) start_over: Text,
    pub(super) until: Spanned<String>,
    pub(super) policy: Option<Spanned<PolicyForm>>,
    pub(super) link: Option<Spanned<LinkForm>>,
    /// The transports' own: nothing is dialled here.
    #[serde(rename = "transport")]
    pub(super) _transport: Option<IgnoredAny>,
    #[serde(default)]
    pub(super) endpoints: Vec<Spanned<EndpointForm<IgnoredAny>>>,
    #[serde(default)]
    pub(super) servers: BTreeMap<String, Spanned<RawServer>>,
    #[serde(default)]
    pub(super) world: Vec<Spanned<RawSpan>>,
    #[serde(default)]
    pub(super) command: Vec<Spanned<RawCommand>>,
}

/// What the server of an endpoint is like.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawServer {
    pub(super) listed: Option<bool>,
    pub(super) latency: Text,
    pub(super) connections: Option<Spanned<u32>>,
    pub(super) work: Text,
    pub(super) queue: Text,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSpan {
    pub(super) endpoint: Text,
    #[serde(default)]
    pub(super) endpoints: Vec<Spanned<String>>,
    pub(super) route: Option<Spanned<u8>>,
    pub(super) clients: Text,
    pub(super) from: Text,
    pub(super) to: Text,
    pub(super) at: Text,
    pub(super) does: Spanned<String>,
    pub(super) after: Text,
    pub(super) lives: Text,
    pub(super) kind: Text,
    pub(super) code: Option<Spanned<u32>>,
    pub(super) scope: Text,
    pub(super) retry_after: Text,
    pub(super) verdict: Text,
    pub(super) noticed_after: Text,
    pub(super) list: Option<Vec<Spanned<String>>>,
    pub(super) connections: Option<Spanned<u32>>,
    pub(super) work: Text,
    pub(super) queue: Text,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawCommand {
    pub(super) at: Spanned<String>,
    #[serde(rename = "do")]
    pub(super) what: Spanned<String>,
    pub(super) endpoint: Text,
    pub(super) client: Option<Spanned<u32>>,
}

impl RawSpan {
    /// The keys that are there, of those that belong to some deeds only, with their places.
    pub(super) fn keys(&self) -> Vec<(&'static str, usize)> {
        let at = |text: &Text| text.as_ref().map(|text| text.span().start);
        let number = |number: &Option<Spanned<u32>>| number.as_ref().map(|n| n.span().start);
        let list = self.list.as_ref().map(|list| {
            let first = list.first();
            first.map_or(self.does.span().start, |name| name.span().start)
        });
        [
            ("route", self.route.as_ref().map(|n| n.span().start)),
            ("clients", at(&self.clients)),
            ("from", at(&self.from)),
            ("to", at(&self.to)),
            ("at", at(&self.at)),
            ("after", at(&self.after)),
            ("lives", at(&self.lives)),
            ("kind", at(&self.kind)),
            ("code", number(&self.code)),
            ("scope", at(&self.scope)),
            ("retry_after", at(&self.retry_after)),
            ("verdict", at(&self.verdict)),
            ("noticed_after", at(&self.noticed_after)),
            ("list", list),
            ("connections", number(&self.connections)),
            ("work", at(&self.work)),
            ("queue", at(&self.queue)),
        ]
        .into_iter()
        .filter_map(|(key, at)| Some((key, at?)))
        .collect()
    }
}
