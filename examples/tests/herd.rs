//! What is promised of a herd: the same clients as `simulate`, results that follow from closed forms,
//! known results of others, and what our own default does in an outage.
#![allow(clippy::print_stdout, clippy::unwrap_used, missing_docs)]

use std::process::Command;
use std::time::Duration;

use examples::herd::{self, Contestant, Herd};
use examples::scenario::Scenario;
use examples::simulate;
use failover_core::policy::{
    Backoff, Every, Jitter, Limit, Order, Pace, Policy, Ratio, Seed, Shuffle, Walk,
};

#[test]
fn counts_what_simulate_tells_of_the_same_scenario() {
    let world = world(1, "tls", "30s", "20s");
    let herd = play(&world, &herd::own(&world));
    let mut lines = 0;
    let summary = simulate::play::<()>(&world, &mut |_| {
        lines += 1;
        Ok(())
    });
    let summary = summary.unwrap();
    assert!(lines > 10);
    assert_eq!(herd.dials(), summary.dials);
    assert_eq!(herd.waited.longest, summary.longest_outage);
    assert_eq!(herd.connected, summary.connected);
}

#[test]
fn the_result_depends_on_the_seed_and_not_on_how_many_run_at_a_time() {
    let world = world(500, "tls", "5s", "20s");
    let names = ["ours", "nats", "full-jitter", "stompit"];
    let all: Vec<Contestant> = names.map(|name| Contestant::named(name).unwrap()).into();
    let seeds = [Seed::new(1), Seed::new(2)];
    let text = |jobs| {
        let herds = herd::run_all(&world, &all, &seeds, jobs, &|_| {});
        let lines = herds.iter().map(|herd| herd.json().to_string());
        lines.collect::<Vec<_>>()
    };
    let alone = text(1);
    assert_eq!(alone, text(3));
    assert_ne!(alone[0], alone[1], "two seeds");
}

#[test]
fn without_jitter_everybody_comes_back_in_the_same_instant() {
    let world = free_world(10_000, "2s");
    let herd = play(&world, &laws(constant(700), Jitter::None));
    // All of them, in one stretch, at each try.
    assert_eq!(per_bin(&herd, herd.peak()), 10_000.0);
}

#[test]
fn a_jitter_of_twenty_percent_still_clumps_after_three_waits_and_full_jitter_does_not() {
    let world = free_world(20_000, "14s");
    let clumped = |jitter| {
        let herd = play(&world, &laws(doubling(1000), jitter));
        // After the second wait: the fullest stretch over a fair share.
        let dials: Vec<u64> = herd.bins.iter().map(|bin| bin.dials).collect();
        let late = &dials[400 + 35..400 + 140];
        let most = late.iter().max().copied().unwrap();
        most as f64 * late.len() as f64 / late.iter().sum::<u64>() as f64
    };
    let twenty = clumped(Jitter::Proportional(Ratio::from_ppm(200_000)));
    let full = clumped(Jitter::Full);
    println!("fullest stretch over a fair share: ±20 % {twenty:.2}, full jitter {full:.2}");
    assert!(twenty > 1.5 * full, "{twenty} {full}");
}

#[test]
fn full_jitter_fills_its_window_evenly() {
    // One wait, uniform in [0, 4 s), to a server that is back after a millisecond: of 40 000 dials each
    // tenth of a second has a fortieth, that is 1000, give or take five standard deviations.
    let world = free_world(40_000, "1ms");
    let herd = play(&world, &laws(constant(4000), Jitter::Full));
    for bin in &herd.bins[400..440] {
        assert!((840..1_160).contains(&bin.dials), "{}", bin.dials);
    }
    // About ten came within the millisecond, and drew again.
    let late: u64 = herd.bins[440..].iter().map(|bin| bin.dials).sum();
    assert!(late < 40, "{late}");
}

#[test]
fn the_ladder_knocks_evenly_for_an_outage_of_any_length() {
    for (from, until) in [("30s", 300), ("300s", 3000)] {
        let world = free_world(20_000, from);
        let herd = play(&world, &Contestant::named("ours").unwrap());
        // Eight seconds on each step, at the end of the outage: each tenth has an eightieth.
        let dials = herd.bins[400 + until - 80..400 + until].iter();
        let (least, most) = dials.fold((u64::MAX, 0), |(least, most), bin| {
            (least.min(bin.dials), most.max(bin.dials))
        });
        println!("{from}: {least} to {most} dials in a tenth of a second, 250 is even");
        assert!(least > 170 && most < 330, "{least} {most}");
    }
}

/// What our default is there for: a hundred thousand clients, a server that takes ten in a
/// millisecond.
#[test]
fn after_an_outage_all_are_back_in_the_time_that_the_server_needs() {
    let hold = Policy::default().pace().cap.as_secs_f64();
    let clients = 100_000;
    for outage in ["30s", "300s"] {
        for (scheme, most) in [("tls", 0.55), ("tcp", 0.85)] {
            let world = world(clients, scheme, outage, "60s");
            let ours = play(&world, &Contestant::named("ours").unwrap());
            let cap = Policy::default().pace().cap;
            let full = play(&world, &laws_capped(doubling(100), Jitter::Full, cap));
            let back = ours.back_after(100).unwrap().as_secs_f64();
            let floor = 10.0_f64.max(hold);
            let arrivals = peak_after_healing(&ours) * hold / f64::from(clients);
            // The connection before the outage is not one of them.
            let attempts = (ours.dials_each() - 1.0) / (full.dials_each() - 1.0);
            println!(
                "{scheme} {outage}: back {:.3} of the floor, peak {arrivals:.2} of even, attempts {attempts:.2} of full jitter's",
                back / floor
            );
            assert!(back <= 1.10 * floor, "{back}");
            assert!(arrivals <= 1.2, "{arrivals}");
            assert!(attempts <= most, "{attempts}");
            // No SYN is dropped: no dial runs out of time, and none fails once the server is back.
            assert_eq!(ours.servers[0].timed_out, 0);
            let healed = ours.healed_at.unwrap().as_nanos() / 100_000_000;
            let after = ours.bins.iter().skip(usize::try_from(healed).unwrap());
            assert_eq!(after.map(|bin| bin.failed).sum::<u64>(), 0);
        }
    }
}

#[test]
fn a_blip_of_a_second_is_over_in_little_more_than_a_second() {
    let world = free_world(10_000, "1s");
    let herd = play(&world, &Contestant::named("ours").unwrap());
    let back = herd.back_after(100).unwrap();
    println!("back {back:?} after the blip");
    assert!(back <= Duration::from_millis(1_200), "{back:?}");
}

#[test]
fn who_does_not_come_back_is_told_and_the_play_ends() {
    let text = "version = 1\nuntil = \"2m\"\nclients = 50\n\
        [[endpoints]]\nurl = \"tcp://a:1\"\n[[world]]\nfrom = \"10s\"\ndoes = \"down\"\n";
    let world = Scenario::parse("endless.toml", text).unwrap();
    let herd = play(&world, &herd::own(&world));
    assert!(!herd.recovered());
    assert_eq!(herd.back_after(50), None);
    let told = herd.to_string();
    assert!(told.contains("NOT RECOVERED: 50 clients"), "{told}");
    let never = "the world never healed: a:1 is still down at the end";
    assert!(told.contains(never), "{told}");
    assert!(!told.contains("had healed"), "{told}");
    assert_eq!(herd.json()["healed_at_ms"], serde_json::Value::Null);
    assert_eq!(herd.peak_of_return(), 0.0);
}

#[test]
fn a_herd_that_does_not_fit_into_memory_is_refused_with_the_estimate() {
    let mut world = world(1, "tcp", "1s", "1s");
    world.clients = usize::MAX / 4096;
    let error = herd::check_memory(&world, 1).unwrap_err().to_string();
    assert!(error.contains(" MB are free: at most "), "{error}");

    world.clients = 1_000;
    let bytes = herd::check_memory_of(&world, 1, u64::MAX).unwrap();
    assert!(herd::check_memory_of(&world, 1, bytes).is_ok());
    let error = herd::check_memory_of(&world, 2, bytes).unwrap_err();
    assert_eq!((error.bytes, error.free), (2 * bytes, bytes));
    assert!(error.to_string().ends_with("at most 500 fit"), "{error}");
}

#[test]
fn an_unknown_policy_names_the_nearest() {
    let error = Contestant::named("ful-jitter").unwrap_err().to_string();
    assert!(error.contains("did you mean \"full-jitter\"?"), "{error}");
}

#[test]
fn the_picture_has_a_curve_for_each_server_and_says_what_is_seen() {
    let world = world(200, "tls", "5s", "20s");
    let herds = [play(&world, &herd::own(&world))];
    let page = herd::page("What \"happens\" <here>", &herds).unwrap();
    assert!(page.starts_with("<svg"), "{page}");
    for text in ["dials a second", "connections", "seconds", "&lt;here&gt;"] {
        assert!(page.contains(text), "{text}");
    }
    assert!(page.matches("<polyline").count() >= 2);
    let rows = herd::rates(&herds);
    assert_eq!(rows.lines().count(), herds[0].bins.len() + 1);
}

#[test]
fn the_sheet_has_every_figure_of_the_json_of_each_policy_and_server() {
    let world = world(200, "tls", "5s", "20s");
    let herds = ["ours", "nats"].map(|name| play(&world, &Contestant::named(name).unwrap()));
    let sheet = herd::csv(&herds);
    let rows: Vec<Vec<&str>> = sheet
        .lines()
        .map(|line| line.split(',').collect())
        .collect();
    assert_eq!(rows.len(), 1 + 2 * 2);
    let json = herds[1].json();
    let cell = |row: usize, key: &str| {
        let column = rows[0].iter().position(|head| *head == key).unwrap();
        rows[row][column].to_string()
    };
    for (key, value) in json.as_object().unwrap() {
        if !value.is_array() && !value.is_string() {
            let told = if value.is_null() {
                String::new()
            } else {
                value.to_string()
            };
            assert_eq!(cell(3, key), told, "{key}");
        }
    }
    assert_eq!((rows[3][0], rows[3][1]), ("nats", ""));
    assert_eq!((rows[4][0], rows[4][1]), ("nats", "a"));
    for (key, value) in json["servers"][0].as_object().unwrap() {
        if key != "name" {
            assert_eq!(cell(4, key), value.to_string(), "{key}");
        }
    }
}

#[test]
fn simulate_tells_of_each_client_what_the_herd_counts_of_it() {
    let world = world(40, "tls", "30s", "20s");
    let herd = play(&world, &herd::own(&world));
    let traces = (0..world.clients).map(|client| simulate::trace(&world, client));
    let dials: usize = traces.map(|trace| trace.dials().count()).sum();
    assert_eq!(herd.dials(), u64::try_from(dials).unwrap());
}

#[test]
fn a_constant_delay_is_a_row_of_spikes_that_far_apart() {
    // Everybody is lost at 40 s, which is the lost server's turn, and dials every 700 ms until 42 s.
    let world = free_world(1_000, "2s");
    let herd = play(&world, &laws(constant(700), Jitter::None));
    let spikes: Vec<(usize, u64)> = herd.bins.iter().map(|bin| bin.dials).enumerate().collect();
    let late = spikes.into_iter().skip(400).filter(|(_, dials)| *dials > 0);
    let spikes: Vec<(usize, u64)> = late.collect();
    assert_eq!(spikes, [(407, 1_000), (414, 1_000), (421, 1_000)]);
}

#[test]
fn decorrelated_jitter_spreads_the_first_waits_best() {
    let busiest = |name: &str| {
        let world = free_world(20_000, "20s");
        let herd = play(&world, &Contestant::named(name).unwrap());
        // Two seconds after the loss, which was the lost server's turn: each dial follows a wait.
        let bins = herd.bins[400..420].iter();
        bins.map(|bin| bin.dials).max().unwrap()
    };
    let [decorrelated, full, equal] = ["decorrelated", "full-jitter", "equal-jitter"].map(busiest);
    println!("fullest tenth of a second: decorrelated {decorrelated}, full {full}, equal {equal}");
    assert!(decorrelated < full && decorrelated < equal);
}

#[test]
fn a_law_that_is_compared_jitters_over_tls_as_over_tcp() {
    // A server that takes all at once: but for the jitter, TLS is no different from TCP.
    let played = |name: &str, scheme: &str| {
        let world = scenario(200, scheme, "20s", "60s", "");
        let herd = play(&world, &Contestant::named(name).unwrap());
        (herd.dials(), herd.back, herd.waited)
    };
    for name in [
        "full-jitter",
        "equal-jitter",
        "decorrelated",
        "constant",
        "grpc",
        "async-nats",
    ] {
        assert_eq!(played(name, "tls"), played(name, "tcp"), "{name}");
    }
    assert_ne!(played("full-jitter", "tls"), played("equal-jitter", "tls"));
}

#[test]
fn a_shipped_herd_shows_what_it_is_there_for() {
    let rolling = shipped("rolling-restart", 6_000);
    assert!(rolling.recovered());
    let (most, least) = (rolling.imbalance().unwrap(), rolling.emptiest().unwrap());
    assert!(
        most > 1.5 && least < 0.1,
        "who was restarted last is left empty: {most} {least}"
    );

    let slow = shipped("slow-server", 6_000);
    assert!(slow.recovered());
    let taken = |n: usize| slow.servers[n].accepted_peak;
    assert!(taken(2) < 0.6 * taken(0), "{} {}", taken(2), taken(0));

    let full = shipped("connection-limits", 6_000);
    assert!(full.recovered());
    let refused: u64 = full.servers[1..].iter().map(|s| s.refused).sum();
    assert!(refused > 1_000, "{refused}");
    assert!(full.servers.iter().all(|server| server.held <= 2_500));
    assert!(
        (3_900..4_100).contains(&full.least),
        "a third was lost: {}",
        full.least
    );
}

#[test]
fn a_partition_costs_its_part_of_the_clients_their_servers_and_the_others_nothing() {
    let herd = shipped("partition", 6_000);
    assert!(herd.recovered());
    // Two of three servers, for three tenths of the clients.
    let lost = herd.clients - herd.least;
    assert!((1_000..1_400).contains(&lost), "{lost}");
    let dials = herd.dials() - u64::try_from(herd.clients).unwrap();
    assert!(dials >= u64::try_from(lost).unwrap());
    // The third one takes them; nobody goes back.
    assert!(herd.servers[2].held > 3_000, "{}", herd.servers[2].held);
}

#[test]
fn the_first_client_of_a_herd_lives_as_the_only_one_of_a_scenario() {
    // Client 0 of a herd is the client of a scenario of one, where the servers have room for all.
    let text = |clients: u32| {
        format!(
            "version = 1\nuntil = \"90s\"\nclients = {clients}\n[[endpoints]]\nurl = \"tls://a:1\"\n\
             [[endpoints]]\nurl = \"tls://b:1\"\n[[world]]\nfrom = \"20s\"\nto = \"50s\"\ndoes = \"down\"\n"
        )
    };
    let one = Scenario::parse("one", &text(1)).unwrap();
    let many = Scenario::parse("many", &text(50)).unwrap();
    assert_eq!(
        simulate::trace(&one, 0).steps,
        simulate::trace(&many, 0).steps
    );
}

#[test]
fn the_figures_are_told_and_every_good_file_is_written_where_another_cannot_be() {
    let folder = std::env::temp_dir().join(format!("failover-herd-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let rates = folder.join("rates.csv");
    let scenario = concat!(env!("CARGO_MANIFEST_DIR"), "/herds/outage.toml");
    let mut tool = Command::new(env!("CARGO_BIN_EXE_failover"));
    tool.args([
        "herd",
        scenario,
        "--clients",
        "20",
        "--plot",
        "/nowhere/a.svg",
    ]);
    tool.args(["--csv", "/nowhere/b.csv", "--rates"])
        .arg(&rates);
    let out = tool.output().unwrap();
    let written = std::fs::read_to_string(&rates);
    std::fs::remove_dir_all(&folder).unwrap();
    assert_eq!(out.status.code(), Some(1));
    let told = String::from_utf8(out.stdout).unwrap();
    assert!(told.contains("all are back"), "{told}");
    let error = String::from_utf8(out.stderr).unwrap();
    for file in ["/nowhere/a.svg: ", "/nowhere/b.csv: "] {
        assert!(error.contains(file), "{error}");
    }
    assert!(written.unwrap().starts_with("policy,at_ms,server,"));
}

/// A herd that is shipped, with so many clients of servers that take as many times less.
fn shipped(name: &str, clients: usize) -> Herd {
    let path = format!("{}/herds/{name}.toml", env!("CARGO_MANIFEST_DIR"));
    let mut world = Scenario::parse(name, &std::fs::read_to_string(path).unwrap()).unwrap();
    let times = u32::try_from(world.clients / clients).unwrap();
    world.clients = clients;
    for named in &mut world.endpoints {
        let mut capacity = named.server.capacity;
        capacity.work *= times;
        if let Limit::AtMost(most) = capacity.connections {
            capacity.connections = Limit::AtMost(most / times);
        }
        named.server = named.server.capacity(capacity);
    }
    let own = herd::own(&world);
    let herd = play(&world, &own);
    println!("{name}\n{herd}\n");
    herd
}

/// Clients of one server that takes ten in a millisecond, from 40 s on away for so long.
fn world(clients: u32, scheme: &str, outage: &str, after: &str) -> Scenario {
    scenario(clients, scheme, outage, after, "work = \"100us\"\n")
}

/// The same, but the server takes all at once.
fn free_world(clients: u32, outage: &str) -> Scenario {
    scenario(clients, "tcp", outage, "60s", "")
}

fn scenario(clients: u32, scheme: &str, outage: &str, after: &str, capacity: &str) -> Scenario {
    let span = |text: &str| failover_core::config::parse_duration(text).unwrap();
    // All are connected by then, and for longer than it takes to be stable.
    let start = Duration::from_secs(40);
    let (healed, until) = (start + span(outage), start + span(outage) + span(after));
    let text = format!(
        "version = 1\nuntil = \"{}ms\"\nclients = {clients}\nstart_over = \"20s\"\n\
         [[endpoints]]\nname = \"a\"\nurl = \"{scheme}://a:1\"\n[servers.a]\n{capacity}\
         [[world]]\nfrom = \"{}ms\"\nto = \"{}ms\"\ndoes = \"down\"\n",
        until.as_millis(),
        start.as_millis(),
        healed.as_millis(),
    );
    Scenario::parse("herd.toml", &text).unwrap()
}

fn play(world: &Scenario, contestant: &Contestant) -> Herd {
    herd::run(world, contestant, &mut |_| {})
}

fn laws(backoff: Backoff, jitter: Jitter) -> Contestant {
    laws_capped(backoff, jitter, Duration::from_secs(60))
}

fn laws_capped(backoff: Backoff, jitter: Jitter, cap: Duration) -> Contestant {
    let policy = Policy::builder()
        .order(Order::new(Walk::Shuffled(Shuffle::EachLoss)))
        .pace(Pace::new(backoff).every(Every::Sweep).cap(cap))
        .jitter(jitter)
        .build();
    Contestant::new("a law", policy.unwrap())
}

fn constant(millis: u64) -> Backoff {
    Backoff::Constant(Duration::from_millis(millis))
}

fn doubling(millis: u64) -> Backoff {
    Backoff::Exponential {
        base: Duration::from_millis(millis),
        factor: Ratio::TWO,
    }
}

fn per_bin(herd: &Herd, per_second: f64) -> f64 {
    per_second * herd.bin.as_secs_f64()
}

/// The highest rate of dials after the world had healed, in a second.
fn peak_after_healing(herd: &Herd) -> f64 {
    let healed = herd.healed_at.unwrap().as_nanos() / 100_000_000;
    let bins = herd.bins.iter().skip(usize::try_from(healed).unwrap());
    bins.map(|bin| bin.dials).max().unwrap() as f64 * 10.0
}
