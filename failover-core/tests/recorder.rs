//! The flight recorder: what it kept plays again exactly, over random policies, weather, commands,
//! changes and hooks; it is written and read back; secrets are never in it.
#![cfg(feature = "serde")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    missing_docs
)]

mod support;

use std::fmt::Write as _;
use std::time::Duration;

use failover_core::directory::{Endpoint, Target};
use failover_core::drive::{Line, Loss, ReadError, Recorder, Recording, What};
use failover_core::endpoint::{EndpointId, Traits};
use failover_core::failure::Failure;
use failover_core::machine::{self, Change, CloseReason, Input, Output};
use failover_core::policy::{
    Choice, ChoiceAsked, DelayAnswer, DelayAsked, Hooks, JudgeAsked, Policy, Reaction,
};
use failover_core::sim::Command;
use failover_core::testing::{Case, Dialled, Step, strategy};
use failover_core::time::Time;
use proptest::prelude::*;

use self::support::{SECOND, connector, listed, script};

mod replay {
    use super::*;

    proptest! {
        #[test]
        fn a_record_plays_again_what_the_connector_told(case in strategy::any_case()) {
            let dialled = case.dialled_with(WHOLE, case.delays).unwrap();
            let recording = dialled.recording.clone().unwrap();
            prop_assert_eq!(recording.dropped(), 0);
            prop_assert_eq!(live(&dialled), again(&recording));
        }

        /// A ring of any size: what is left of it is the end of what was told.
        #[test]
        fn a_ring_that_was_full_plays_again_from_its_checkpoint(
            case in strategy::any_case(),
            entries in 0..60_usize,
        ) {
            let dialled = case.dialled_with(Recorder::new(entries), case.delays).unwrap();
            let recording = dialled.recording.clone().unwrap();
            prop_assert!(recording.entries().len() <= entries.max(2));
            let (told, kept) = (live(&dialled), again(&recording));
            prop_assert!(told.ends_with(&kept), "told {told:#?}\nkept {kept:#?}");
            let whole = case.dialled_with(WHOLE, case.delays).unwrap().recording.unwrap();
            let all = recording.dropped() + recording.entries().len() as u64;
            prop_assert_eq!(all, whole.entries().len() as u64);
            prop_assert!(recording.dropped() == 0 || recording.entries().len() >= entries / 2);
            // The same when it was written and read.
            prop_assert_eq!(again(&read(&text(&recording)).unwrap()), kept);
        }

        #[test]
        fn hooks_with_any_answers_are_not_needed_to_play_again(
            case in strategy::any_case(),
            seed in any::<u64>(),
            entries in prop_oneof![Just(10_000), 2..50_usize],
        ) {
            let policy = case.policy.to_builder();
            let pace = case.policy.pace().custom(failover_core::policy::CustomDelay::Bounded);
            let policy = policy.pace(pace).build().unwrap();
            let case = Case { policy: policy.into(), ..case };
            let dialled = case.dialled_with(Recorder::new(entries), Capricious(seed)).unwrap();
            let recording = read(&text(&dialled.recording.clone().unwrap())).unwrap();
            let (told, kept) = (live(&dialled), again(&recording));
            prop_assert!(told.ends_with(&kept), "told {told:#?}\nkept {kept:#?}");
        }
    }

    proptest! {
        /// So many that those that left are forgotten several times, before and after a checkpoint.
        #[test]
        fn a_record_of_servers_that_come_and_go_plays_again(
            case in strategy::any_case(),
            mut moments in prop::collection::vec(0..30_000_u64, 20..60),
            entries in prop_oneof![Just(10_000), 2..80_usize],
        ) {
            let mut case = case;
            case.commands.retain(|(_, command)| !matches!(command, Command::Close));
            moments.sort_unstable();
            for (gone, millis) in (0..).zip(moments) {
                let at = Time::ZERO + Duration::from_millis(millis);
                // The stage gives the ids.
                let add = Change::Add(Traits::new(EndpointId::new(0)));
                let remove = Change::Remove(EndpointId::new(gone));
                case.commands.extend([add, remove].map(|change| (at, Command::Change(change))));
            }
            let dialled = case.dialled_with(Recorder::new(entries), case.delays).unwrap();
            let recording = dialled.recording.clone().unwrap();
            let (told, kept) = (live(&dialled), again(&recording));
            prop_assert!(told.ends_with(&kept), "told {told:#?}\nkept {kept:#?}");
            prop_assert_eq!(again(&read(&text(&recording)).unwrap()), kept);
        }
    }

    #[test]
    fn the_cases_have_overflow_and_hooks_that_speak() {
        let mut runner = proptest::test_runner::TestRunner::deterministic();
        let (mut spoke, mut full, mut kinds) = (0, 0, std::collections::BTreeSet::new());
        for seed in 0..2000 {
            let case = proptest::strategy::ValueTree::current(
                &strategy::any_case().new_tree(&mut runner).unwrap(),
            );
            let dialled = case
                .dialled_with(Recorder::new(100), Capricious(seed))
                .unwrap();
            let recording = dialled.recording.unwrap();
            full += usize::from(recording.dropped() > 0);
            for entry in recording.entries() {
                spoke += usize::from(!entry.hooks.is_empty());
                kinds.insert(
                    format!("{:?}", entry.input)
                        .split([' ', '(', '{'])
                        .next()
                        .unwrap()
                        .to_string(),
                );
            }
        }
        assert!(spoke > 50 && full > 10, "{spoke} spoke, {full} full");
        for kind in [
            "Wake",
            "Connected",
            "Failed",
            "Learned",
            "Lost",
            "Drain",
            "Reconnect",
            "Pause",
            "Resume",
            "Change",
            "Close",
        ] {
            assert!(kinds.contains(kind), "no {kind} in {kinds:?}");
        }
    }
}

mod text_form {
    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            case in strategy::any_case(),
            entries in prop_oneof![Just(10_000), 2..50_usize],
            seed in any::<u64>(),
        ) {
            let dialled = case.dialled_with(Recorder::new(entries), Capricious(seed)).unwrap();
            let recording = dialled.recording.unwrap();
            let written = text(&recording);
            let again = read(&written).unwrap();
            prop_assert_eq!(&again, &recording);
            prop_assert_eq!(text(&again), written);
        }

        #[test]
        fn a_record_that_was_cut_is_refused_with_the_line(
            case in strategy::any_case(),
            at in any::<prop::sample::Index>(),
        ) {
            let written = text(&case.dialled().unwrap().recording.unwrap());
            let cut = at.index(written.len() - 1);
            if !written.is_char_boundary(cut) {
                return Ok(());
            }
            let cut = &written[..cut];
            let error = read(cut).unwrap_err();
            let lines = cut.lines().count() as u64;
            prop_assert!((lines..=lines + 1).contains(&error.line), "{error} of {lines} lines");
        }

        /// A line is gone, stands twice, or changed places with its neighbour; a byte is another.
        #[test]
        fn an_edited_record_is_refused_or_plays_without_harm(
            case in strategy::any_case(),
            entries in 2..50_usize,
            at in any::<prop::sample::Index>(),
            how in 0..4_u8,
            byte in 32..127_u8,
        ) {
            let dialled = case.dialled_with(Recorder::new(entries), case.delays).unwrap();
            let written = text(&dialled.recording.unwrap());
            let mut lines: Vec<String> = written.lines().map(String::from).collect();
            let n = at.index(lines.len());
            match how {
                0 => drop(lines.remove(n)),
                1 => lines.insert(n, lines[n].clone()),
                2 => lines.swap(n, n.saturating_sub(1)),
                _ => {
                    let mut bytes = lines[n].clone().into_bytes();
                    let at = at.index(bytes.len());
                    bytes[at] = byte;
                    lines[n] = String::from_utf8(bytes).unwrap();
                }
            }
            if let Ok(recording) = read(&lines.join("\n")) {
                recording.replay().unwrap().for_each(drop);
            } else {
                prop_assert_ne!(&lines.join("\n"), written.trim_end());
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_wrong_with_a_line_is_said() {
        let good = text(&connected_and_closed(Recorder::default()).await);
        let lines: Vec<&str> = good.lines().collect();
        assert!(
            lines[0].starts_with(r#"{"line":"recording","version":1,"#),
            "{}",
            lines[0]
        );
        let version = good.replacen(r#""version":1"#, r#""version":2"#, 1);
        let kind = good.replacen(r#""line":"endpoint""#, r#""line":"endpiont""#, 1);
        let input = good.replacen(r#""input":"start""#, r#""input":"begin""#, 1);
        let key = good.replacen(
            r#""at":0,"input":"start""#,
            r#""at":0,"why":1,"input":"start""#,
            1,
        );
        let seed = good.replacen(r#""seed":"#, r#""sede":"#, 1);
        let last = lines[..lines.len() - 1].join("\n");
        let without_input = [&lines[..2], &lines[3..]].concat().join("\n");
        let after_end = format!("{good}{}\n", lines[1]);
        let early = lines[1..].join("\n");
        for (text, line, said) in [
            (
                version.as_str(),
                1,
                "this is version 2 of the format, and version 1 is read here",
            ),
            (&kind, 2, "unknown variant `endpiont`"),
            (&input, 3, "unknown variant `begin`"),
            (&key, 3, "unknown field `why`"),
            (&seed, 1, "unknown field `sede`"),
            (
                &last,
                lines.len(),
                "the record ends here, but its last line (`end`) is missing: it was cut",
            ),
            (
                &without_input,
                lines.len() - 1,
                "the end speaks of 3 inputs, and there are 2",
            ),
            (
                &after_end,
                lines.len() + 1,
                "there is a line after the last one (`end`)",
            ),
            (&early, 1, "a record begins with a line `recording`"),
            ("", 1, "it was cut"),
            ("dear diary\n", 1, "expected value"),
        ] {
            let error = read(text).unwrap_err();
            assert_eq!(error.line, line as u64, "{error}");
            assert!(error.to_string().contains(said), "{error}");
        }
    }
}

mod of_a_connector {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_is_read_through_the_handle_the_connector_and_at_the_end() {
        let script = script().host("a", [Step::Fail(failure())]);
        let limits = failover_core::policy::Limits::UNLIMITED;
        let policy = listed()
            .start_up_limits(limits.turns(failover_core::policy::Limit::AtMost(3)))
            .build()
            .unwrap();
        let mut connector = connector(&script, "a")
            .policy(policy)
            .recorder(Recorder::default())
            .build()
            .unwrap();
        let handle = connector.handle();
        assert_eq!(handle.recording().unwrap().entries(), []);
        let gave_up = connector.connect().await.unwrap_err();
        let recording = gave_up.recording().unwrap();
        assert_eq!(connector.recording().as_ref(), Some(&recording));
        drop(connector);
        assert_eq!(handle.recording(), Some(recording.clone()));
        let last = again(&recording).pop().unwrap();
        assert!(last.ends_with("closed: 3 failed turns in a row"), "{last}");
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_recorder_there_is_no_record() {
        let script = script().host("a", [Step::Accept]);
        let mut connector = connector(&script, "a").build().unwrap();
        connector.connect().await.unwrap();
        assert_eq!(connector.recording(), None);
        assert_eq!(connector.handle().recording(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_list_that_a_server_pushed_and_endpoints_that_left_are_known_by_name() {
        let script = script()
            .host("a", [Step::Accept])
            .host("b", [Step::Accept])
            .host("c", [Step::Accept]);
        let mut connector = connector(&script, "a")
            .recorder(Recorder::default())
            .build()
            .unwrap();
        let handle = connector.handle();
        let mut events = connector.events();
        let link = connector.connect().await.unwrap();
        handle.learn(link.id(), ["b:1"]);
        let _ = tokio::time::timeout(SECOND, connector.hung_up()).await;
        handle
            .add(Endpoint::parse("tcp://joe:hunter2@c:1/?token=hunter2").unwrap())
            .unwrap();
        handle.remove("a:1").unwrap();
        let _ = tokio::time::timeout(SECOND, connector.hung_up()).await;
        connector.connect().await.unwrap();
        let recording = read(&text(&connector.recording().unwrap())).unwrap();
        let names: Vec<&str> = recording
            .endpoints()
            .map(|(_, known)| &*known.name)
            .collect();
        assert_eq!(names, ["a:1", "b:1", "c:1"]);
        let mut told = Vec::new();
        while let Some(event) = events.try_next() {
            told.extend(of_live(event.at, &event.what));
        }
        assert_eq!(again(&recording), told);
        assert!(told.last().unwrap().contains("moved"), "{told:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_shared_with_others_is_in_it() {
        use failover_core::drive::{DialLimiter, SharedHealth};
        let script = script()
            .host("a", [Step::FailAfter(SECOND / 2, failure())])
            .host("b", [Step::AcceptAfter(SECOND / 2)]);
        let suspends = failover_core::policy::Reactions::default()
            .on(failover_core::policy::On::ANY, Reaction::Suspend);
        let limiter = DialLimiter::new(std::num::NonZeroUsize::new(1).unwrap(), script.clock());
        let health = SharedHealth::new(script.clock());
        let build = || {
            connector(&script, "a b")
                .policy(listed().reactions(suspends.clone()).build().unwrap())
                .limiter(&limiter)
                .shared_health(&health)
                .recorder(Recorder::default())
                .build()
                .unwrap()
        };
        let (mut one, mut other) = (build(), build());
        let handles = [one.handle(), other.handle()];
        let (one, other) = tokio::join!(
            async move { (one.connect().await.unwrap(), one) },
            async move { (other.connect().await.unwrap(), other) },
        );
        let recordings = handles.map(|handle| read(&text(&handle.recording().unwrap())).unwrap());
        let has = |is: fn(&Input) -> bool| {
            let entries = recordings.iter().flat_map(|recording| recording.entries());
            entries.map(|entry| entry.input).any(|input| is(&input))
        };
        assert!(has(|input| matches!(input, Input::Held { .. })));
        assert!(has(|input| matches!(input, Input::Begun { .. })));
        assert!(has(|input| matches!(input, Input::Rests { .. })));
        for recording in &recordings {
            again(recording);
        }
        drop((one, other));
    }

    #[tokio::test(start_paused = true)]
    async fn a_hook_that_panics_is_recorded_with_the_answer_that_was_taken() {
        struct Panics;
        impl Hooks for Panics {
            fn judge(&mut self, _: &JudgeAsked) -> Reaction {
                panic!("hunter2")
            }
        }
        let script = script().host("a", [Step::Fail(failure()), Step::Accept]);
        let mut connector = connector(&script, "a")
            .hooks(Panics)
            .recorder(Recorder::default())
            .build()
            .unwrap();
        connector.connect().await.unwrap();
        let text = text(&connector.recording().unwrap());
        assert!(!text.contains("hunter2"), "{text}");
        again(&read(&text).unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_list_plays_again_from_its_start_and_later_only_where_it_was_recorded() {
        let hosts: Vec<String> = (0..80).map(|n| format!("h{n}")).collect();
        for (entries, replays) in [(4096, true), (8, false)] {
            let script = script();
            let mut connector = connector(&script, &hosts.join(" "))
                .recorder(Recorder::new(entries))
                .build()
                .unwrap();
            let _ = tokio::time::timeout(10 * SECOND, connector.connect()).await;
            let recording = connector.recording().unwrap();
            again(&recording);
            let read = read(&text(&recording)).unwrap();
            assert_eq!(read.replay().is_some(), replays, "{entries}");
            assert_eq!(read.entries(), recording.entries());
        }
    }
}

mod secrets {
    use super::*;

    proptest! {
        #[test]
        fn none_is_ever_written(
            secret in "[A-Za-z0-9]{12}",
            place in 0..6_u8,
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .start_paused(true)
                .build()
                .unwrap();
            let text = runtime.block_on(with_a_secret(&secret, place));
            prop_assert!(!text.contains(&secret), "{text}");
            prop_assert!(text.lines().count() > 5);
        }
    }

    async fn with_a_secret(secret: &str, place: u8) -> String {
        let url = match place {
            0 => format!("tcp://{secret}@a:1"),
            1 => format!("tcp://joe:{secret}@a:1"),
            2 => format!("tcp://{secret}:x@a:1/path?y"),
            3 => format!("tcp://a:1/path?token={secret}"),
            4 => format!("tcp://a:1/?{secret}#{secret}"),
            _ => "tcp://a:1".to_string(),
        };
        let script = script()
            .host("a", [Step::Fail(failure()), Step::Accept])
            .host("b", [Step::Accept]);
        let endpoint = || Endpoint::parse(&url).unwrap().with(secret.to_string());
        let mut connector = connector(&script, "b")
            .endpoint(endpoint())
            .recorder(Recorder::default())
            .build()
            .unwrap();
        let handle = connector.handle();
        let link = connector.connect().await.unwrap();
        let mut other = endpoint().named("other");
        other = other.or_via(url.replace("a:1", "d:1").parse().unwrap());
        handle.replace([other]);
        handle.learn(link.id(), [&*url, &*format!("tcp://{secret}@e:1")]);
        let _ = tokio::time::timeout(SECOND, connector.hung_up()).await;
        let error = std::io::Error::other(secret.to_string());
        connector.lost(link.id(), Loss::from(error));
        let _ = tokio::time::timeout(SECOND, connector.connect()).await;
        let recording = connector.recording().unwrap();
        format!("{}{recording:?}", text(&recording))
    }
}

/// A ring that no case fills.
const WHOLE: Recorder = Recorder::new(1 << 20);

/// Hooks that answer whatever comes to their mind.
struct Capricious(u64);

impl Capricious {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }

    fn time(&mut self) -> Duration {
        match self.below(6) {
            0 => Duration::MAX,
            1 => Duration::ZERO,
            _ => Duration::from_micros(self.below(3_000_000)),
        }
    }
}

impl Hooks for Capricious {
    fn delay(&mut self, _: &DelayAsked) -> DelayAnswer {
        match self.below(3) {
            0 => DelayAnswer::AsSuggested,
            1 => DelayAnswer::Exactly(self.time()),
            _ => DelayAnswer::PlusJitter(self.time()),
        }
    }

    fn choose(&mut self, asked: &ChoiceAsked) -> Choice {
        let any = EndpointId::new(u32::try_from(self.below(7)).unwrap());
        match self.below(4) {
            0 => Choice::AsSuggested,
            1 => Choice::Endpoint(any),
            2 => Choice::EndpointAfter(any, self.time()),
            _ => Choice::Endpoint(asked.suggested),
        }
    }

    fn judge(&mut self, asked: &JudgeAsked) -> Reaction {
        match self.below(12) {
            0 => Reaction::Mark,
            1 => Reaction::Suspend,
            2 => Reaction::Remove,
            3 if self.below(10) == 0 => Reaction::Stop,
            4 | 5 => Reaction::Next,
            _ => asked.suggested,
        }
    }
}

fn failure() -> Failure {
    Failure::new(failover_core::failure::Kind::Refused).retry_after(Duration::MAX)
}

async fn connected_and_closed(recorder: Recorder) -> Recording {
    let script = script().host("a", [Step::Accept]);
    let mut connector = connector(&script, "a").recorder(recorder).build().unwrap();
    connector.connect().await.unwrap();
    connector.close();
    connector.recording().unwrap()
}

fn text(recording: &Recording) -> String {
    let mut text = String::new();
    for line in recording.lines() {
        writeln!(text, "{}", serde_json::to_string(&line).unwrap()).unwrap();
    }
    text
}

fn read(text: &str) -> Result<Recording, ReadError> {
    Recording::read(text.lines().map(serde_json::from_str::<Line>))
}

/// What the connector told of its machine, in words.
fn live(dialled: &Dialled) -> Vec<String> {
    let told = dialled.told.iter();
    told.filter_map(|event| of_live(event.at, &event.what))
        .collect()
}

/// What the machine tells when the record is played again. It must be what was recorded.
fn again(recording: &Recording) -> Vec<String> {
    let mut told = Vec::new();
    for step in recording.replay().unwrap() {
        assert!(step.is_the_same(), "{step:?}");
        for output in &step.outputs {
            if let Output::Event(event) = output {
                told.push(of_machine(step.entry.at, event, recording));
            }
        }
    }
    told
}

fn of_live(at: Time, what: &What) -> Option<String> {
    let over = |target: &Target| format!("{}/{}", target.endpoint().name(), target.route());
    let said = match what {
        What::Attempt(attempt) => {
            let outcome = attempt.outcome.as_ref().err().map(|error| error.failure);
            let next = attempt
                .next
                .as_ref()
                .map(|next| (over(&next.target), next.wait));
            format!(
                "attempt {} {} {} {:?} {:?} {:?} {next:?}",
                attempt.id,
                over(&attempt.target),
                attempt.number,
                attempt.purpose,
                outcome.map(brief),
                attempt.took,
            )
        }
        What::Connected(link) => format!("connected {} {}", link.id, over(&link.target)),
        What::Reconnected(link) => format!("reconnected {} {}", link.id, over(&link.target)),
        What::FailedOver { to, from } => {
            format!("failed over {} {} {}", to.id, over(&to.target), from.name())
        }
        What::Disconnected {
            link,
            why,
            lived,
            next,
            ..
        } => {
            let next = next.as_ref().map(|next| (over(&next.target), next.wait));
            format!(
                "disconnected {} {} {lived:?} {next:?}",
                link.id,
                reason(why)
            )
        }
        What::SessionGone => "session gone".to_string(),
        What::Switching { from, why } => format!("switching {} {why:?}", from.id),
        What::Moved { to, from, why } => {
            format!(
                "moved {} {} {} {why:?}",
                to.id,
                over(&to.target),
                from.name()
            )
        }
        What::Draining { link, after } => format!("draining {} {after:?}", link.id),
        What::Suspended { endpoint, until } => format!("suspended {} {until:?}", endpoint.name()),
        What::SpareReady(link) => format!("spare {} {}", link.id, over(&link.target)),
        What::SpareLost { link, failure } => format!("spare lost {} {}", link.id, brief(*failure)),
        What::Starved => "starved".to_string(),
        What::Closed(reason) => closed(reason),
        _ => return None,
    };
    Some(format!("{at:?} {said}"))
}

fn of_machine(at: Time, event: &machine::Event, recording: &Recording) -> String {
    use machine::Event;
    let name = |id| recording.endpoint(id).unwrap().name.clone();
    let over = |id, route: u8| format!("{}/{route}", name(id));
    let to = |link: &machine::Link| format!("{} {}", link.attempt, over(link.endpoint, link.route));
    let after = |next: &Option<machine::Planned>| {
        next.map(|next| (over(next.endpoint, next.route), next.wait))
    };
    let said = match event {
        Event::Attempt(ended) => format!(
            "attempt {} {} {} {:?} {:?} {:?} {:?}",
            ended.order.attempt,
            over(ended.order.endpoint, ended.order.route),
            ended.order.number,
            ended.order.purpose,
            ended.outcome.err().map(brief),
            ended.took,
            after(&ended.next),
        ),
        Event::Connected(link) => format!("connected {}", to(link)),
        Event::Reconnected(link) => format!("reconnected {}", to(link)),
        Event::FailedOver { to: link, from } => format!("failed over {} {}", to(link), name(*from)),
        Event::Disconnected {
            link,
            why,
            lived,
            next,
        } => {
            format!(
                "disconnected {} {} {lived:?} {:?}",
                link.attempt,
                reason(why),
                after(next)
            )
        }
        Event::SessionGone => "session gone".to_string(),
        Event::Switching { from, why } => format!("switching {} {why:?}", from.attempt),
        Event::Moved {
            to: link,
            from,
            why,
        } => format!("moved {} {} {why:?}", to(link), name(*from)),
        Event::Draining { link, after } => format!("draining {} {after:?}", link.attempt),
        Event::Suspended { endpoint, until } => format!("suspended {} {until:?}", name(*endpoint)),
        Event::SpareReady(link) => format!("spare {}", to(link)),
        Event::SpareLost { link, failure } => {
            format!("spare lost {} {}", link.attempt, brief(*failure))
        }
        Event::Starved => "starved".to_string(),
        Event::Closed(reason) => closed(reason),
        other => panic!("unexpected: {other:?}"),
    };
    format!("{at:?} {said}")
}

/// Without the phase, which the connector knows better than the machine when a deadline passes, and a
/// hint beyond 584 years.
fn brief(failure: Failure) -> String {
    format!("{:?} {:?} {:?}", failure.kind, failure.scope, failure.code)
}

fn reason(why: &machine::Why) -> String {
    match why {
        machine::Why::Lost(failure) => brief(*failure),
        other => format!("{other:?}"),
    }
}

fn closed(reason: &CloseReason) -> String {
    match reason {
        CloseReason::Fatal(failure) => format!("closed: {}", brief(*failure)),
        other => format!("closed: {other}"),
    }
}

#[test]
fn a_policy_of_a_record_is_the_policy() {
    let policy = Policy::default();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let recording = runtime.block_on(async {
        let script = script().host("a", [Step::Accept]);
        let builder = connector(&script, "a").policy(policy.clone());
        let mut connector = builder.recorder(Recorder::default()).build().unwrap();
        connector.connect().await.unwrap();
        connector.recording().unwrap()
    });
    assert_eq!(read(&text(&recording)).unwrap().policy(), &policy);
}
