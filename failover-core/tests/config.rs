//! Configuration: round trips (L16), bad input, the `failover:` URI.
#![cfg(feature = "serde")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    missing_docs
)]

use std::time::Duration;

use failover_core::config::{
    Deployment, FailoverUri, LinkForm, PolicyForm, parse_duration, print_duration,
};
use failover_core::link::{AtLoss, Bounds, Late, LinkPolicy, Outbox, Overflow, Replay, Reply};
use failover_core::policy::{
    Failback, Health, Limit, MaxAge, On, Overlap, Policy, Reaction, Reactions, Resume, Standing,
};
use failover_core::preset::PresetName;
use failover_core::race::{Race, Stagger};
use failover_core::testing::{Case, laws};
use proptest::prelude::*;
use serde::de::IgnoredAny;

type Plain = Deployment<IgnoredAny>;

mod round_trip {
    use super::*;

    fn check(policy: &Policy) {
        let form = PolicyForm::from(policy);
        let toml = laws::l16_round_trip(
            &form,
            |form| toml::to_string(form).unwrap(),
            |text| toml::from_str(text),
        );
        assert_eq!(toml, Ok(()));
        let print = |policy: &Policy| serde_json::to_string(&PolicyForm::from(policy)).unwrap();
        let json = laws::l16_round_trip(policy, print, |text| {
            let form: PolicyForm = serde_json::from_str(text).map_err(|e| e.to_string())?;
            form.policy().map_err(|e| e.to_string())
        });
        assert_eq!(json, Ok(()));
        assert_eq!(form.policy().as_ref(), Ok(policy));
    }

    proptest! {
        #[test]
        fn l16_every_policy_is_read_back(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            check(&Case::from_bytes(&bytes).policy);
        }

        #[test]
        fn every_duration_is_read_back(nanos in any::<u64>(), seconds in any::<u64>()) {
            for duration in [
                Duration::from_nanos(nanos),
                Duration::new(seconds, u32::try_from(nanos % 1_000_000_000).unwrap()),
            ] {
                prop_assert_eq!(parse_duration(&print_duration(duration)), Ok(duration));
            }
        }

        #[test]
        fn no_text_breaks_the_duration_parser(text in ".{0,40}") {
            let _ = parse_duration(&text);
        }
    }

    #[test]
    fn every_preset_is_read_back_and_can_be_named() {
        for name in PresetName::ALL {
            let preset = name.preset().unwrap();
            check(&preset.policy);
            let text =
                format!("version = 1\nendpoints = [\"tcp://a:1\"]\npolicy.preset = \"{name}\"");
            let deployment: Plain = toml::from_str(&text).unwrap();
            deployment.check().unwrap();
            assert_eq!(deployment.policy().unwrap(), preset.policy);
            assert_eq!(deployment.link().unwrap(), preset.link);
        }
    }

    #[test]
    fn parts_that_cases_do_not_have_are_read_back() {
        let reactions = Reactions::default()
            .on(On::code(101_503), Reaction::Suspend)
            .on(On::ANY, Reaction::Stop);
        let class = failover_core::policy::Class::default()
            .reactions(reactions.clone())
            .health(Health::default().retries(3))
            .per_endpoint(Limit::AtMost(7));
        let trained = Stagger::TRAINED;
        check(
            &Policy::builder()
                .reactions(reactions)
                .class(class)
                .race(Race::new(3, trained).unwrap())
                .resume(Resume::new(Duration::from_secs(60), Duration::from_secs(5)))
                .turn_deadline(Duration::from_secs(9))
                .standing(
                    Standing::default()
                        .spares(2)
                        .failback(Failback::default())
                        .max_age(MaxAge::new(Duration::from_secs(3_600))),
                )
                .build()
                .unwrap(),
        );
        let forbidden = Standing::default().overlap(Overlap::Forbidden);
        check(&Policy::builder().standing(forbidden).build().unwrap());
    }

    #[test]
    fn every_link_policy_is_read_back() {
        let outboxes = [
            Outbox::Off,
            Outbox::Keep { bytes: 1 << 40 },
            Outbox::Wait { most: None },
            Outbox::Wait {
                most: Some(Duration::from_millis(1)),
            },
        ];
        let replays = [Replay::Off, Replay::Bytes(9), Replay::Messages(256)];
        let reply = Reply::Within {
            deadline: Duration::from_secs(3),
            then: Late::Fault,
        };
        for outbox in outboxes {
            for replay in replays {
                for reply in [Reply::Off, reply] {
                    for heartbeat in [None, Some(failover_core::heartbeat::Heartbeat::NATS)] {
                        let link = LinkPolicy::OFF
                            .outbox(outbox)
                            .replay(replay)
                            .reply(reply)
                            .heartbeat(heartbeat);
                        let text = toml::to_string(&LinkForm::from(&link)).unwrap();
                        let read: LinkForm = toml::from_str(&text).unwrap();
                        assert_eq!(read.link(LinkPolicy::OFF), Ok(link), "{text}");
                        let nats = PresetName::Nats.preset().unwrap().link;
                        assert_eq!(read.link(nats), Ok(link), "nothing of the base is left");
                    }
                }
            }
        }
    }

    #[test]
    fn every_bound_of_a_link_is_read_back_and_nonsense_refused() {
        let second = Duration::from_secs(1);
        let overflows = [
            Overflow::Reject,
            Overflow::DropOldest,
            Overflow::Wait { most: None },
            Overflow::Wait { most: Some(second) },
        ];
        for overflow in overflows {
            for (age, at_loss) in [(None, AtLoss::Fail), (Some(second), AtLoss::Wait)] {
                let bounds = Bounds::DEFAULT.messages(7).age(age).overflow(overflow);
                let link = LinkPolicy::OFF.bounds(bounds).at_loss(at_loss);
                let text = toml::to_string(&LinkForm::from(&link)).unwrap();
                let read: LinkForm = toml::from_str(&text).unwrap();
                assert_eq!(read.link(LinkPolicy::OFF), Ok(link), "{text}");
                let other = Overflow::Wait { most: Some(second) };
                let other = LinkPolicy::OFF.bounds(Bounds::DEFAULT.age(second).overflow(other));
                assert_eq!(read.link(other), Ok(link), "nothing of the base is left");
            }
        }
        let refused = |text: &str| {
            let form: LinkForm = toml::from_str(text).unwrap();
            form.link(LinkPolicy::OFF).unwrap_err().to_string()
        };
        assert!(refused("bounds.messages = 0").contains("at least 1"));
        let patience = refused("bounds.patience = \"1s\"");
        assert!(patience.contains("overflow"), "{patience}");
    }

    #[test]
    fn a_deployment_is_read_back_with_its_transports_tables() {
        let text = r#"
            version = 1
            endpoints = [
                "tcp://joe:secret@a:1",
                { name = "b", url = "wss://b/feed", routes = ["tls://b:7443"], tier = 1, weight = 3, deadline = "2s", class = 1, transport = { ca = "b.pem" } },
            ]
            [policy]
            preset = "nats"
            stable_after = "10s"
            pace = { wait = "1s" }
            classes = [{ per_endpoint = 3 }]
            [transport]
            ca = "all.pem"
        "#;
        let deployment: Deployment<std::collections::BTreeMap<String, String>> =
            toml::from_str(text).unwrap();
        deployment.check().unwrap();
        assert_eq!(deployment.transport.as_ref().unwrap()["ca"], "all.pem");
        assert!(!format!("{deployment:?}").contains("secret"));
        let directory = deployment
            .directory_with(|endpoint, own| endpoint.with(own.cloned()))
            .unwrap();
        let b = directory.get(directory.find("b").unwrap()).unwrap();
        assert_eq!((b.overrides().tier, b.routes().len()), (1, 2));
        let written = toml::to_string(&deployment).unwrap();
        assert_eq!(
            toml::from_str::<Deployment<_>>(&written).unwrap(),
            deployment
        );
        let json = serde_json::to_string(&deployment).unwrap();
        assert_eq!(
            serde_json::from_str::<Deployment<_>>(&json).unwrap(),
            deployment
        );
    }
}

mod overrides {
    use super::*;
    use failover_core::endpoint::Security;
    use failover_core::policy::{Backoff, Jitter, Ratio};

    fn policy(text: &str) -> Policy {
        toml::from_str::<PolicyForm>(text)
            .unwrap()
            .policy()
            .unwrap()
    }

    #[test]
    fn a_key_changes_that_key_alone() {
        let nats = PresetName::Nats.preset().unwrap().policy;
        let changed = policy("preset = \"nats\"\nlimits = { per_endpoint = \"unlimited\" }");
        let limits = nats.limits().per_endpoint(Limit::Unlimited);
        assert_eq!(changed, nats.to_builder().limits(limits).build().unwrap());
    }

    #[test]
    fn the_jitter_of_plain_dials_says_nothing_about_tls() {
        let nats = PresetName::Nats.preset().unwrap().policy;
        let changed = policy("preset = \"nats\"\njitter = \"none\"");
        assert_eq!(changed.jitter(Security::Plain), Jitter::None);
        assert_eq!(changed.jitter(Security::Tls), nats.jitter(Security::Tls));
    }

    #[test]
    fn a_law_keeps_what_it_has_in_common_with_the_presets() {
        let changed = policy("preset = \"activemq\"\npace = { factor = 1.5 }");
        let expected = Backoff::Exponential {
            base: Duration::from_millis(10),
            factor: Ratio::from_ppm(1_500_000),
        };
        assert_eq!(changed.pace().backoff, expected);
        let other = policy("preset = \"activemq\"\npace = { law = \"constant\", wait = \"1s\" }");
        assert_eq!(
            other.pace().backoff,
            Backoff::Constant(Duration::from_secs(1))
        );
    }
}

mod bad_input {
    use super::*;

    fn refused(text: &str) -> String {
        match toml::from_str::<Plain>(text) {
            Err(error) => error.message().to_string(),
            Ok(deployment) => deployment.check().unwrap_err().to_string(),
        }
    }

    #[test]
    fn errors_say_what_is_wrong_and_what_would_be_right() {
        let head = "version = 1\nendpoints = [\"tcp://a:1\"]\n";
        for (text, parts) in [
            (
                "[policy]\ndedline = \"5s\"",
                ["`dedline`", "did you mean `deadline`?"],
            ),
            (
                "[policy.pace]\ncapp = \"5s\"",
                ["`capp`", "did you mean `cap`?"],
            ),
            (
                "[policy]\ncolour = 1",
                ["`colour`", "the keys here are `preset`"],
            ),
            ("[policy]\ndeadline = 250", ["250 has no unit", "\"250ms\""]),
            (
                "[policy]\ndeadline = \"250\"",
                ["`250` is not a duration", "`250ms`"],
            ),
            (
                "[policy]\njitter = \"half\"",
                ["`half` is not a jitter", "\"20%\""],
            ),
            (
                "[policy]\nstart = \"cascad\"",
                ["`cascad`", "did you mean `cascade`?"],
            ),
            (
                "[policy]\npreset = \"natz\"",
                ["`natz`", "did you mean `nats`?"],
            ),
            (
                "[policy.limits]\nturns = -1",
                ["`-1` is not a limit", "\"unlimited\""],
            ),
            (
                "[policy.pace]\nwait = \"1s\"",
                [
                    "`wait` has no meaning for the law phase-ladder",
                    "`spread` and `tls_spread`",
                ],
            ),
            (
                "[policy.pace]\nlaw = \"constant\"",
                ["the key `wait` is missing", "wait = \"2s\""],
            ),
            (
                "[policy.pace]\nlaw = \"exponential\"\nbase = \"1s\"\nfactor = 0.5",
                ["the factor is 0.5", "at least 1"],
            ),
            (
                "[policy]\nreactions = [{ kind = \"auth\" }]",
                ["`reaction` is missing", "reaction = \"suspend\""],
            ),
            ("[policy.race]\nmost = 0", ["most is 0", "at least 1"]),
            (
                "[link.outbox]\nkeep = 1\nwait = \"1s\"",
                ["link.outbox", "one of"],
            ),
            (
                "[link.heartbeat]\ninterval = \"0s\"",
                ["heartbeat: watch is 0s", "at least 1ms"],
            ),
        ] {
            let error = refused(&format!("{head}{text}"));
            for part in parts {
                assert!(error.contains(part), "{text}\n{error}\nlacks {part}");
            }
        }
        for (text, part) in [
            ("endpoints = [\"tcp://a:1\"]", "no version"),
            ("version = 2\nendpoints = [\"tcp://a:1\"]", "`version = 2`"),
            ("version = 1", "no endpoint"),
            (
                "version = 1\nendpoints = [\"tcp://a:70000\"]",
                "from 1 to 65535",
            ),
            ("version = 1\nendpoints = [{ tier = 1 }]", "has no `url`"),
            (
                "version = 1\nendpoints = [{ url = \"tcp://a:1\", class = 1 }]",
                "no class 1",
            ),
            (
                "version = 1\nendpoints = [\"tcp://a:1\", \"tcp://a:1\"]",
                "tcp://a:1",
            ),
            ("version = 1\nversion = 1", "duplicate key"),
        ] {
            let error = refused(text);
            assert!(error.contains(part), "{text}\n{error}");
        }
        let twice = serde_json::from_str::<Plain>(r#"{"version":1,"version":1}"#);
        assert!(twice.unwrap_err().to_string().contains("stands here twice"));
    }

    #[test]
    fn an_error_shows_no_credentials() {
        for text in [
            "version = 1\nendpoints = [\"tcp://joe:secret@\"]",
            "version = 1\nendpoints = [\"tcp://a:1\"]\npolicy.deadline = \"tcp://joe:secret@h\"",
            "version = 1\nendpoints = [\"tcp://a:1\"]\npolicy.start = \"joe:secret@h\"",
            "version = 1\nendpoints = [\"tcp://a:1\"]\n\"joe:secret@h\" = 1",
            "version = \"tcp://joe:secret@h\"",
            "version = 1\nendpoints = \"tcp://joe:secret@h:1\"",
            "version = 1\nendpoints = [{ url = \"tcp://a:1\", tier = \"tcp://joe:secret@h:1\" }]",
            "version = 1\nendpoints = [\"tcp://joe:secret@h:1\", \"tcp://joe:secret@h:1\"]",
            "version = 1\nendpoints = [{ url = \"tcp://a:1\", name = \"tcp://joe:secret@h:1\" }]",
        ] {
            let error = refused(text);
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn an_error_knows_its_line() {
        let text = "version = 1\nendpoints = [\"tcp://a:1\"]\n[policy]\ndedline = \"5s\"";
        let span = toml::from_str::<Plain>(text).unwrap_err().span().unwrap();
        let line = text[..span.start].matches('\n').count() + 1;
        assert!((3..=4).contains(&line), "{line}");
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_reader(text in "(version = 1|\\[policy\\]|pace|=|\"|\\{|\\}|\\[|\\]|1s|,|\n| ){0,30}") {
            if let Ok(deployment) = toml::from_str::<Plain>(&text) {
                let _ = deployment.check();
            }
        }
    }
}

mod uri {
    use super::*;

    fn read(text: &str) -> FailoverUri {
        text.parse().unwrap()
    }

    fn servers(text: &str) -> Vec<String> {
        read(text)
            .servers()
            .iter()
            .map(|url| url.expose())
            .collect()
    }

    #[test]
    fn its_forms_are_read() {
        let two = ["tcp://a:1", "tcp://b:2"];
        for text in [
            "failover:(tcp://a:1,tcp://b:2)",
            "failover://(tcp://a:1,tcp://b:2)?randomize=false",
            "failover:tcp://a:1,tcp://b:2",
            "FAILOVER:( tcp://a:1 , tcp://b:2 )",
            "tcp://a:1,tcp://b:2",
            "failover:(failover:(tcp://a:1),tcp://b:2)",
        ] {
            assert_eq!(servers(text), two, "{text}");
        }
        assert_eq!(
            servers("failover:(ssl://a:1?x=(1,2)&y=3,tcp://b:2)?nested.y=4&nested.z=5"),
            ["ssl://a:1?x=(1,2)&y=3&z=5", "tcp://b:2?y=4&z=5"]
        );
    }

    #[test]
    fn its_options_are_those_of_the_two_systems() {
        let stompit = read("failover:(tcp://a:1)?initialReconnectDelay=20&maxReconnectDelay=5000&useExponentialBackOff=false&reconnectDelayExponent=1.5&maxReconnects=10&randomize=false").stompit().unwrap();
        assert_eq!(stompit.initial_reconnect_delay, Duration::from_millis(20));
        assert_eq!((stompit.max_reconnects, stompit.randomize), (10, false));
        let activemq = read("failover:(tcp://a:1)?backup=true&backupPoolSize=2&timeout=-1&trackMessages=true&priorityURIs=tcp%3A%2F%2Fa%3A1&maxReconnectAttempts=0").activemq().unwrap();
        assert_eq!(
            (activemq.backup_pool_size, activemq.max_cache_size),
            (2, 131_072)
        );
        assert_eq!(
            (activemq.timeout, activemq.max_reconnect_attempts),
            (None, 0)
        );
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_what_would() {
        for (text, part) in [
            ("failover:(tcp://a:1", "has no partner"),
            ("failover:(tcp://a:1))", "behind the list"),
            ("failover:()", "names no server"),
            ("", "names no server"),
            ("failover:(tcp://a:70000)", "from 1 to 65535"),
            (
                "failover:(tcp://a:1)?randomize=true&randomize=false",
                "twice",
            ),
            ("failover:(tcp://a:1)?randomize=%2", "bad escape"),
            ("failover:(tcp://a:1)?randomize", "has no value"),
            (
                "failover:(failover:(tcp://a:1)?randomize=true)",
                "options of its own",
            ),
            ("tcp://a:1)", "has no partner"),
        ] {
            let error = text.parse::<FailoverUri>().unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
        for (text, part) in [
            ("maxReconects=1", "did you mean `maxReconnects`?"),
            ("maxReconnects=many", "a whole number"),
            ("randomize=yes", "true or false"),
            ("reconnectDelayExponent=NaN", "a decimal number"),
            ("initialReconnectDelay=-1", "milliseconds"),
        ] {
            let uri = read(&format!("failover:(tcp://a:1)?{text}"));
            let error = uri.stompit().unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
        let deep = "failover:(".repeat(1_000) + "tcp://a:1" + &")".repeat(1_000);
        assert!(deep.parse::<FailoverUri>().is_err());
    }

    #[test]
    fn a_server_that_is_wrong_shows_no_piece_of_a_password() {
        for text in [
            "failover:(tcp://joe:hunter2,s3cret@a:1)",
            "failover:(tcp://a`:1?x=1)?nested.y=ssl://joe:hunter2@b",
            "tcp://joe:hunter2,@a:1",
            "hunter2?x`y z@b:2tls://joe:hunter2@b:2",
        ] {
            let error = text.parse::<FailoverUri>().unwrap_err();
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains("hunter2"), "{text}: {shown}");
            assert!(!shown.contains("s3cret"), "{text}: {shown}");
        }
    }

    #[test]
    fn credentials_are_not_shown() {
        let uri = read("failover:(tcp://joe:secret@a:1?password=secret)?randomize=true");
        assert!(!format!("{uri} {uri:?}").contains("secret"));
        assert!(uri.expose().contains("joe:secret@a"));
        for options in [
            "priorityURIs=tcp://joe:secret@b:1",
            "password=secret",
            "tcp://joe:secret@b:1=x",
        ] {
            let uri = read(&format!("failover:(tcp://a:1)?{options}&randomize=true"));
            let shown = format!("{uri} {uri:?}");
            assert!(
                !shown.contains("secret") && shown.contains("randomize=true"),
                "{shown}"
            );
        }
        let error = "failover:(tcp://joe:secret@a:x)"
            .parse::<FailoverUri>()
            .unwrap_err();
        assert!(!error.to_string().contains("secret"));
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_back(
            hosts in prop::collection::vec("(tcp|ssl)://([a-z]{1,5}(:[a-z]{1,3})?@)?[a-z]{1,8}:[1-9][0-9]{0,3}(\\?[a-z]=\\([a-z],[a-z]\\))?", 1..6),
            options in prop::collection::btree_map("[a-zA-Z]{1,8}", "[ -~é]{0,8}", 0..4),
        ) {
            let mut uri = format!("failover:({})", hosts.join(","));
            for (at, (name, value)) in options.iter().enumerate() {
                uri.push(if at == 0 { '?' } else { '&' });
                uri += &format!("{name}=");
                uri.extend(value.bytes().map(|byte| format!("%{byte:02x}")));
            }
            let read: FailoverUri = uri.parse().unwrap();
            let given: std::collections::BTreeMap<_, _> = read.options().iter().cloned().collect();
            prop_assert_eq!(given, options);
            prop_assert_eq!(read.expose().parse::<FailoverUri>(), Ok(read));
        }

        #[test]
        fn no_text_breaks_it(text in "(failover:|//|\\(|\\)|,|\\?|&|=|%|tcp://a:1|nested\\.|é| ){0,24}") {
            if let Ok(uri) = text.parse::<FailoverUri>() {
                let again = uri.expose().parse::<FailoverUri>();
                prop_assert_eq!(again, Ok(uri.clone()));
                let _ = (uri.stompit(), uri.activemq());
            }
        }
    }
}

#[test]
fn ten_thousand_endpoints_are_read_soon() {
    let urls: Vec<String> = (0..10_000)
        .map(|n| format!("\"tls://host-{n}.example.org:7443\""))
        .collect();
    let text = format!("version = 1\nendpoints = [{}]", urls.join(",\n"));
    let list = urls.join(",").replace('"', "");
    let began = std::time::Instant::now();
    let deployment: Plain = toml::from_str(&text).unwrap();
    let read = began.elapsed();
    deployment.check().unwrap();
    let checked = began.elapsed();
    assert_eq!(list.parse::<FailoverUri>().unwrap().servers().len(), 10_000);
    println!(
        "TOML {read:?}, checked {checked:?}, with a plain list {:?}",
        began.elapsed()
    );
    // Generous: a debug build on a busy machine. In release it takes some 20 ms.
    assert!(began.elapsed() < Duration::from_secs(10));
}

mod the_reference {
    use super::*;
    use failover_core::config::{
        BoundsForm, ClassForm, FailbackForm, HealthForm, HeartbeatForm, LimitsForm, MaxAgeForm,
        OrderForm, OutboxForm, PaceForm, RaceForm, RawReaction, ReplayForm, ReplyForm, ResumeForm,
        ServerForm, StandingForm,
    };

    #[test]
    fn has_every_key_and_no_other() {
        let text = include_str!("../../docs/reference.md");
        let sections: Vec<&str> = text.split("\n## ").skip(1).collect();
        let forms = [
            ("The file", Plain::KEYS),
            ("`endpoints[]`", ServerForm::<()>::KEYS),
            ("`policy`", PolicyForm::KEYS),
            ("`policy.order`", OrderForm::KEYS),
            ("`policy.pace`", PaceForm::KEYS),
            (
                "`policy.limits`, `policy.start_up_limits`",
                LimitsForm::KEYS,
            ),
            ("`policy.health`", HealthForm::KEYS),
            ("`policy.reactions[]`", RawReaction::KEYS),
            ("`policy.classes[]`", ClassForm::KEYS),
            ("`policy.standing`", StandingForm::KEYS),
            ("`policy.standing.failback`", FailbackForm::KEYS),
            ("`policy.standing.max_age`", MaxAgeForm::KEYS),
            ("`policy.race`", RaceForm::KEYS),
            ("`policy.resume`", ResumeForm::KEYS),
            ("`link`", LinkForm::KEYS),
            ("`link.heartbeat`", HeartbeatForm::KEYS),
            ("`link.outbox`", OutboxForm::KEYS),
            ("`link.reply`", ReplyForm::KEYS),
            ("`link.replay`", ReplayForm::KEYS),
            ("`link.bounds`", BoundsForm::KEYS),
        ];
        assert_eq!(sections.len(), forms.len());
        for (title, keys) in forms {
            let mut found = sections.iter();
            let section = found.find(|section| section.lines().next() == Some(title));
            let section = section.unwrap_or_else(|| panic!("no section {title}"));
            let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
            let described: Vec<&str> = rows.filter_map(|row| row.split('`').next()).collect();
            assert_eq!(described, keys, "{title}");
        }
    }

    /// The words of a text that are spelt like a law's function.
    fn checkers(text: &str) -> std::collections::BTreeSet<&str> {
        let words = text.split(|c: char| !c.is_alphanumeric() && c != '_');
        words
            .filter(|word| {
                let number = word.strip_prefix('l').and_then(|rest| rest.get(..3));
                number.is_some_and(|number| {
                    number[..2].parse::<u8>().is_ok() && number.ends_with('_')
                })
            })
            .collect()
    }

    #[test]
    fn the_page_of_the_laws_has_every_checker_and_says_which_are_in_all() {
        let page = include_str!("../../docs/laws.md");
        let code = include_str!("../src/testing/laws/mod.rs");
        let (reexports, rest) = code.split_once("pub const ALL").unwrap();
        let reexports = reexports.split_once("pub use").unwrap().1;
        assert_eq!(checkers(page), checkers(reexports));

        let rows = page.lines().filter(|line| line.contains("| `l"));
        let in_all = rows.filter(|row| row.split('|').rev().nth(2) == Some(" yes "));
        let in_all: std::collections::BTreeSet<&str> = in_all.flat_map(checkers).collect();
        let all = checkers(rest.split_once("];").unwrap().0);
        assert_eq!(all.len(), laws::ALL.len());
        assert_eq!(in_all, all);
    }

    #[test]
    fn the_pages_name_no_key_that_is_not_there() {
        let known = |table: &str| match table {
            "order" => OrderForm::KEYS,
            "pace" => PaceForm::KEYS,
            "limits" | "start_up_limits" => LimitsForm::KEYS,
            "health" => HealthForm::KEYS,
            "standing" => StandingForm::KEYS,
            "resume" => ResumeForm::KEYS,
            "race" => RaceForm::KEYS,
            "link" => LinkForm::KEYS,
            "heartbeat" => HeartbeatForm::KEYS,
            "outbox" => OutboxForm::KEYS,
            "reply" => ReplyForm::KEYS,
            "replay" => ReplayForm::KEYS,
            _ => &[],
        };
        let mut seen = 0;
        for page in [
            include_str!("../../docs/coming-from-activemq.md"),
            include_str!("../../docs/coming-from-diffusion.md"),
            include_str!("../../docs/coming-from-nats.md"),
            include_str!("../../docs/coming-from-stompit.md"),
            include_str!("../../docs/coming-from-synapse.md"),
            include_str!("../../docs/which-policy.md"),
        ] {
            for code in page.split('`').skip(1).step_by(2) {
                let path: Vec<&str> = code.split(' ').next().unwrap().split('.').collect();
                for pair in path.windows(2) {
                    let keys = known(pair[0]);
                    assert!(
                        keys.is_empty() || pair[1] == "*" || keys.contains(&pair[1]),
                        "{code}"
                    );
                    seen += usize::from(!keys.is_empty());
                }
            }
        }
        assert!(seen > 40, "{seen}");
    }

    #[test]
    fn the_examples_of_the_pages_are_read() {
        for page in [
            include_str!("../../docs/coming-from-activemq.md"),
            include_str!("../../docs/coming-from-diffusion.md"),
            include_str!("../../docs/coming-from-nats.md"),
            include_str!("../../docs/coming-from-stompit.md"),
            include_str!("../../docs/coming-from-synapse.md"),
        ] {
            let example = page
                .split("```toml\n")
                .nth(1)
                .unwrap()
                .split("```")
                .next()
                .unwrap();
            let deployment: Plain = toml::from_str(example).unwrap();
            deployment.check().unwrap();
        }
    }
}
