//! A policy from a file: a deployment's, a scenario's, or the `[policy]` alone.

use failover_core::config::{Deployment, EndpointForm, LinkForm, PolicyForm, VERSION};
use failover_core::policy::PolicyError;
use failover_core::preset::{Preset, PresetName};
use serde::Deserialize;
use serde::de::IgnoredAny;
use toml::Spanned;
use toml::de::DeTable;

use crate::scenario::{Scenario, ScenarioError, Source};

/// A policy with its name and what it wants of the link.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct PolicyFile {
    /// What to call it.
    pub name: String,
    /// The policy, and the link policy that goes with it.
    pub preset: Preset,
    /// How many endpoints the file lists; zero, if none.
    pub endpoints: usize,
}

/// A deployment with an `about`; it may have no endpoints yet.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    version: Spanned<u32>,
    #[serde(default)]
    about: String,
    endpoints: Option<Vec<EndpointForm<IgnoredAny>>>,
    policy: Option<PolicyForm>,
    link: Option<LinkForm>,
    #[serde(rename = "transport")]
    _transport: Option<IgnoredAny>,
}

impl PolicyFile {
    /// The policy of this preset.
    ///
    /// # Errors
    /// When the preset's own policy is refused.
    pub fn of_preset(name: PresetName) -> Result<Self, PolicyError> {
        Ok(Self {
            name: name.as_str().to_string(),
            preset: name.preset()?,
            endpoints: 0,
        })
    }

    /// The policy that this text stands for; `file` is named in errors.
    ///
    /// # Errors
    /// The first thing that makes no sense, with its line and key.
    pub fn parse(file: &str, text: &str) -> Result<Self, ScenarioError> {
        let source = Source { file, text };
        let table = DeTable::parse(text).map_err(|error| source.unreadable(&error))?;
        if table.get_ref().contains_key("until") {
            let scenario = Scenario::parse(file, text)?;
            let listed = scenario.endpoints.iter();
            return Ok(Self {
                name: file.to_string(),
                endpoints: listed.filter(|named| named.server.configured).count(),
                preset: Preset {
                    policy: scenario.policy,
                    link: scenario.link,
                },
            });
        }
        let raw: Raw = toml::from_str(text).map_err(|error| source.unreadable(&error))?;
        source.version(&raw.version)?;
        let name = match raw.about.trim() {
            "" => file.to_string(),
            about => format!("{file} ({about})"),
        };
        let endpoints = raw.endpoints.as_ref().map_or(0, Vec::len);
        let preset = source.check(&raw.deployment())?;
        Ok(Self {
            name,
            preset,
            endpoints,
        })
    }
}

impl Raw {
    fn deployment(self) -> Deployment<IgnoredAny> {
        let mut deployment = Deployment::default();
        deployment.version = Some(VERSION);
        deployment.policy = self.policy;
        deployment.link = self.link;
        deployment.endpoints = self.endpoints;
        deployment
    }
}
