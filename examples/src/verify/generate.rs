//! Random worlds, as the text of a scenario.

use std::fmt::Write as _;
use std::time::Duration;

use failover_core::config::{PolicyForm, print_duration};
use failover_core::policy::Policy;
use serde::Serialize;

/// When the random part of a world ends.
const STORM: u64 = 60_000;

/// The most time that is played after a world has healed, and the longest outage.
pub(super) const LONGEST: Duration = Duration::from_secs(30 * 86_400);

/// A scenario that is not written yet: what happens in it can be left out piece by piece.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    policy: String,
    seed: u64,
    endpoints: String,
    pieces: Vec<String>,
    healed: Duration,
    until: Duration,
    heals: bool,
}

#[derive(Serialize)]
struct Whole {
    policy: PolicyForm,
}

/// The generator of `SplitMix64`.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let word = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        let at = usize::try_from(self.below(u64::try_from(of.len()).unwrap_or(1))).unwrap_or(0);
        of.get(at).copied().unwrap_or("")
    }
}

impl Draft {
    /// A world in which anything happens for a minute, and nothing after it.
    pub(super) fn random(policy: &Policy, seed: u64) -> Result<Self, toml::ser::Error> {
        let mut dice = Dice(seed);
        let endpoints = 1 + dice.below(4);
        let mut draft = Self::new(policy, seed, endpoints, Duration::from_millis(STORM))?;
        for endpoint in 0..endpoints {
            let mut at = dice.below(10_000);
            while at < STORM {
                let ends = (at + 1 + dice.below(15_000)).min(STORM);
                draft.pieces.push(span_of(&mut dice, endpoint, at, ends));
                at = ends + dice.below(15_000);
            }
        }
        let mut at = 0;
        for _ in 0..dice.below(6) {
            at += dice.below(15_000);
            let word = dice.one(&[
                "reconnect",
                "reconnect-elsewhere",
                "drain",
                "off",
                "on",
                "network-back",
                "pause",
            ]);
            if at >= STORM {
                break;
            }
            let named = dice.below(endpoints);
            let endpoint = match word {
                "off" | "on" => format!("endpoint = \"e{named}\"\n"),
                _ => String::new(),
            };
            draft.heals &= !matches!(word, "off" | "pause");
            let piece = format!("[[command]]\nat = \"{at}ms\"\ndo = \"{word}\"\n{endpoint}");
            draft.pieces.push(piece);
        }
        Ok(draft)
    }

    /// A world in which all servers are away for this long, after a connection proved stable.
    pub(super) fn outage(policy: &Policy, outage: Duration) -> Result<Self, toml::ser::Error> {
        let from = policy.stable_after().min(Duration::from_secs(3600)) + Duration::from_secs(1);
        let to = from.saturating_add(outage);
        let mut draft = Self::new(policy, 1, 2, to)?;
        draft.pieces.push(format!(
            "[[world]]\nfrom = \"{}\"\nto = \"{}\"\ndoes = \"down\"\n",
            print_duration(from),
            print_duration(to)
        ));
        Ok(draft)
    }

    fn new(
        policy: &Policy,
        seed: u64,
        endpoints: u64,
        healed: Duration,
    ) -> Result<Self, toml::ser::Error> {
        let whole = Whole {
            policy: PolicyForm::from(policy),
        };
        let mut list = String::new();
        for number in 0..endpoints {
            let scheme = if number % 2 == 1 { "tls" } else { "tcp" };
            let _ = write!(
                list,
                "[[endpoints]]\nname = \"e{number}\"\nurl = \"{scheme}://e{number}:1\"\n\n"
            );
        }
        let count = u32::try_from(endpoints).unwrap_or(u32::MAX);
        let rest = policy.health().maximum.min(Duration::from_secs(86_400));
        let until = healed.saturating_add(
            policy
                .recovery_bound(count)
                .saturating_add(rest * 2)
                .min(LONGEST),
        );
        Ok(Self {
            policy: toml::to_string(&whole)?,
            seed,
            endpoints: list,
            pieces: Vec::new(),
            healed,
            until,
            heals: policy.health().maximum <= Duration::from_secs(86_400),
        })
    }

    pub(super) fn len(&self) -> usize {
        self.pieces.len()
    }

    pub(super) fn without(&self, at: usize) -> Self {
        let mut smaller = self.clone();
        smaller.pieces.remove(at);
        smaller
    }

    /// Whether nothing stands in the way of a connection after the storm.
    pub(super) fn heals(&self) -> bool {
        self.heals
    }

    pub(super) fn healed(&self) -> Duration {
        self.healed
    }

    pub(super) fn text(&self) -> String {
        self.described("A generated world.")
    }

    pub(super) fn described(&self, about: &str) -> String {
        let about = serde_json::Value::from(about.replace('\n', " "));
        format!(
            "version = 1\nabout = {about}\nseed = {}\nuntil = \"{}\"\n\n{}\n{}{}",
            self.seed & (u64::MAX >> 1),
            print_duration(self.until),
            self.policy,
            self.endpoints,
            self.pieces.join("\n")
        )
    }
}

fn span_of(dice: &mut Dice, endpoint: u64, from: u64, to: u64) -> String {
    let does = dice.one(&[
        "refuse",
        "down",
        "mute",
        "accept-and-drop",
        "reject",
        "time-out",
        "tls-error",
        "busy",
        "lame-duck",
    ]);
    let millis = dice.below(4_000);
    let more = match does {
        "accept-and-drop" => format!("lives = \"{millis}ms\"\n"),
        "time-out" => format!("after = \"{millis}ms\"\n"),
        "busy" => format!("retry_after = \"{millis}ms\"\n"),
        "reject" => {
            let kind = dice.one(&["auth", "protocol", "other", "closed", "timeout"]);
            format!("kind = \"{kind}\"\nafter = \"{}ms\"\n", dice.below(50))
        }
        _ => String::new(),
    };
    format!(
        "[[world]]\nendpoint = \"e{endpoint}\"\nfrom = \"{from}ms\"\nto = \"{to}ms\"\ndoes = \"{does}\"\n{more}"
    )
}
