//! A policy from a file: `version`, `preset`, `[policy]`, as in a scenario; or a scenario itself.

use failover_core::preset::{Preset, PresetName};
use serde::Deserialize;
use toml::{Spanned, Table};

use crate::form;
use crate::scenario::{Scenario, ScenarioError, Source, VERSION};

/// A policy with its name and what it wants of the link.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct PolicyFile {
    /// What to call it.
    pub name: String,
    /// The policy, and the link policy of the preset that it is made of.
    pub preset: Preset,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    version: Spanned<u32>,
    #[serde(default)]
    about: String,
    preset: Option<Spanned<String>>,
    policy: Option<Spanned<Table>>,
}

impl PolicyFile {
    /// The preset of this name.
    ///
    /// # Errors
    /// Which presets there are.
    pub fn of_preset(name: &str) -> Result<Self, form::FormError> {
        // Complains of the name.
        let policy = form::policy(Some(name), &Table::new())?;
        let preset = Preset {
            policy,
            link: link_of(name),
        };
        Ok(Self {
            name: name.to_string(),
            preset,
        })
    }

    /// The policy that this text stands for; `file` is named in errors.
    ///
    /// # Errors
    /// The first thing that makes no sense, with its line and key.
    pub fn parse(file: &str, text: &str) -> Result<Self, ScenarioError> {
        let source = Source { file, text };
        let table: Table = text.parse().map_err(|error| source.unreadable(&error))?;
        if table.contains_key("until") {
            let scenario = Scenario::parse(file, text)?;
            let link = link_of(scenario.preset.as_deref().unwrap_or("default"));
            return Ok(Self {
                name: file.to_string(),
                preset: Preset {
                    policy: scenario.policy,
                    link,
                },
            });
        }
        let raw: Raw = toml::from_str(text).map_err(|error| source.unreadable(&error))?;
        if *raw.version.get_ref() != VERSION {
            let what = format!(
                "this tool reads version {VERSION}, not {}",
                raw.version.get_ref()
            );
            return Err(source.wrong(raw.version.span().start, "version", what));
        }
        let name = raw.preset.as_ref().map(|name| name.get_ref().as_str());
        let none = Table::new();
        let own = raw.policy.as_ref();
        let policy = form::policy(name, own.map_or(&none, |own| own.get_ref()));
        let policy = policy.map_err(|error| {
            if error.key == "preset" {
                let at = raw.preset.as_ref().map_or(0, |preset| preset.span().start);
                return source.wrong(at, "preset", error.what);
            }
            source.in_policy(own.map_or(0, |own| own.span().start), &error)
        })?;
        let about = raw.about.trim();
        Ok(Self {
            name: match about {
                "" => file.to_string(),
                about => format!("{file} ({about})"),
            },
            preset: Preset {
                policy,
                link: link_of(name.unwrap_or("default")),
            },
        })
    }
}

fn link_of(preset: &str) -> failover_core::link::LinkPolicy {
    let preset = preset.parse().map(PresetName::preset);
    preset.ok().and_then(Result::ok).unwrap_or_default().link
}
