//! What makes no sense is refused by the tool as a whole: exit code 2, an error that says where and
//! what would be right, nothing on the standard output, no file written, no password told.
#![allow(clippy::unwrap_used, missing_docs)]

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

/// A scenario that makes no sense, from its second line on, and what is said of it.
const SCENARIOS: [(&str, &str); 29] = [
    ("untill = \"10s\"", "did you mean `until`?"),
    ("until = \"10\"", "file.toml:2: until: "),
    (
        "until = 10",
        "file.toml:2: until: it is 10, it must be a text: a time with its unit, such as \"10s\"",
    ),
    (
        "until = \"9s\"\nendpoints = [\"tcp://a:1\"]\n[[world]]\nendpoint = \"joe:secret@a\"\nfrom = \"1s\"\ndoes = \"mute\"",
        "file.toml:5: world.endpoint: no endpoint",
    ),
    (
        "until = \"9s\"\nendpoints = [\"tcp://a:1\"]\n[[world]]\nfrom = \"1s\"\ndoes = \"joe:secret@a\"",
        "file.toml:6: world.does: ",
    ),
    (
        "until = \"1s\"\nendpoints = [\"tcp://a:70000\"]",
        "file.toml:3: endpoints: ",
    ),
    ("until = \"1s\"\nendpoints = []", "at least one"),
    (
        "until = \"1s\"\nendpoints = [\"tcp://a:1\"]\n[[world]]\nendpoint = \"b:1\"\nfrom = \"1s\"\ndoes = \"mute\"",
        "file.toml:5: world.endpoint: no endpoint is called \"b:1\"",
    ),
    (
        "until = \"1s\"\nendpoints = [\"tcp://a:1\"]\n[servers.b]\nlisted = false",
        "no endpoint is called \"b\"",
    ),
    (
        "until = \"9s\"\nendpoints = [\"tcp://a:1\"]\n[[world]]\nfrom = \"2s\"\nto = \"1s\"\ndoes = \"mute\"",
        "times are out of order",
    ),
    (
        "until = \"9s\"\nendpoints = [\"tcp://a:1\"]\n[[world]]\nfrom = \"1s\"\nto = \"4s\"\ndoes = \"mute\"\n[[world]]\nfrom = \"3s\"\ndoes = \"refuse\"",
        "the world contradicts itself",
    ),
    ("until = \"9s\"\n[policy\n", "file.toml:3: "),
    (
        "until = \"9s\"\n[policy]\nreactions = [{ kind = \"auth\" }]",
        "file.toml:3: policy: reactions: the key `reaction` is missing",
    ),
    (
        "",
        "file.toml: the key `until` is missing: a scenario says how long it is",
    ),
    (
        "until = \"9s\"\nclients = \"many\"",
        "file.toml:3: clients: it is \"many\", it must be a whole number from 0 to 4294967295",
    ),
    (
        "until = \"9s\"\nseed = 1.5",
        "file.toml:3: seed: it is 1.5, it must be a whole number, 0 or more",
    ),
    (
        "until = \"9s\"\nservers = { \"a:1\" = {\n  latency = 3 } }",
        "file.toml:4: servers: it is 3, it must be a text: a time",
    ),
    // Keys that users make up may hold a password.
    (
        "until = \"9s\"\nservers = { \"tcp://joe:secret@a:1\" = { latency = 3 } }",
        "file.toml:3: servers: it is 3, it must be a text: a time",
    ),
    (
        "until = \"9s\"\n[servers.\"10.0.0.1:1\"]\nlatency = 3",
        "file.toml:4: servers: it is 3, it must be a text: a time",
    ),
    // A time is wanted only where a text is.
    (
        "until = \"9s\"\n[servers]\nwork = 3",
        "file.toml:4: servers.work: it is 3, it must be a table\n",
    ),
    (
        "until = \"9s\"\nuntil = \"9s\"",
        "file.toml:3: until: duplicate key\n",
    ),
    (
        "until = 1979-05-27",
        "file.toml:2: until: it is a date, it must be a text: a time",
    ),
    (
        "until = \"9s\"\nseed = 99999999999999999999",
        "file.toml:3: seed: it is 99999999999999999999, it must be a whole number from 0 to 18446744073709551615",
    ),
    (
        "until = \"9s\"\n[servers]\na = 3",
        "file.toml:4: servers.a: it is 3, it must be a table",
    ),
    (
        "until = \"9s\"\n[[world]]\nat = \"1s\"",
        "file.toml:3: world: the key `does` is missing",
    ),
    (
        "until = \"9s\"\n[[world]]\ndose = \"mute\"",
        "file.toml:4: world: unknown key `dose`: did you mean `does`?",
    ),
    (
        "until = \"9s\"\nseed = \"tcp://joe:secret@a\"",
        "file.toml:3: seed: ",
    ),
    (
        "until = \"9s\"\npolicy = \"tcp://joe:secret@a\"",
        "file.toml:3: policy: ",
    ),
    (
        "until = \"9s\"\n[link]\nheartbeat = { interval = 30 }",
        "link.heartbeat.interval: the duration 30 has no unit",
    ),
];

#[test]
fn a_scenario_that_makes_no_sense_is_not_played_at_all() {
    let folder = Folder::new("scenarios");
    for (rest, said) in SCENARIOS {
        let file = folder.write(format!("version = 1\n{rest}\n").as_bytes());
        let trace = folder.0.join("trace.jsonl");
        let out = tool(&["simulate", &file, "--trace", &trace.to_string_lossy()]);
        refused(&out, said, rest);
        assert!(!trace.exists(), "{rest}");
    }
}

#[test]
fn a_file_that_is_no_text_or_not_there_is_named() {
    let folder = Folder::new("files");
    let deep = "[".repeat(100_000);
    for (text, said) in [
        (&b"\xff\xfe\x00"[..], "file.toml: "),
        (
            &b""[..],
            "file.toml: this file has no version, this program reads `version = 1`",
        ),
        (&b"\0\0\0"[..], "file.toml:1: "),
        (deep.as_bytes(), "file.toml:1: "),
    ] {
        let file = folder.write(text);
        for command in ["simulate", "explain", "verify", "herd"] {
            refused(&tool(&[command, &file]), said, command);
        }
        for command in ["cat", "probe"] {
            refused(&tool(&[command, "--config", &file]), said, command);
        }
        let bridge = tool(&["bridge", "--check", "--config", &file]);
        refused(&bridge, said, "bridge");
    }
    for command in ["simulate", "explain", "verify", "herd"] {
        refused(
            &tool(&[command, "/nowhere/at-all.toml"]),
            "/nowhere/at-all.toml: ",
            command,
        );
    }
}

#[test]
fn a_policy_that_makes_no_sense_is_refused_by_explain_and_by_verify() {
    let folder = Folder::new("policies");
    for (text, said) in [
        (
            "version = 1\n[policy]\ndeadline = 5",
            "file.toml:3: policy.deadline: the duration 5 has no unit",
        ),
        (
            "version = 1\n[policy]\ndeadline = \"5\"",
            "file.toml:3: policy.deadline: `5` is not a duration",
        ),
        (
            "version = 1\n[policy]\ndedline = \"5s\"",
            "did you mean `deadline`?",
        ),
        (
            "version = 1\n[policy]\npreset = \"stomp\"",
            "did you mean `stompit`?",
        ),
        ("version = 1\nversion = 1", "file.toml:2: "),
        (
            "[policy]\npreset = \"nats\"",
            "file.toml: this file has no version, this program reads `version = 1`",
        ),
        (
            "version = 2",
            "file.toml:1: version: this file has `version = 2`, this program reads `version = 1`",
        ),
        (
            "version = 1\nendpoints = [{ url = \"tcp://a:1\", class = 2 }]",
            "file.toml:2: endpoints: ",
        ),
    ] {
        let file = folder.write(text.as_bytes());
        for command in ["explain", "verify"] {
            refused(&tool(&[command, &file]), said, text);
        }
    }
}

/// The second line and what follows, and what is said of it, whoever reads the file.
const VALUES: [(&str, &str); 16] = [
    (
        "[[endpoints]]\nurl = \"tcp://a:1\"\n\ntier = 300",
        "file.toml:5: endpoints.tier: it is 300, it must be a whole number from 0 to 255",
    ),
    (
        "[[endpoints]]\nurl = \"tcp://a:1\"\n[[endpoints]]\nurl = \"tcp://b:1\"\nweight = \"heavy\"",
        "file.toml:6: endpoints.weight: it is \"heavy\", it must be a whole number from 0 to 65535",
    ),
    (
        "endpoints = [\n  \"tcp://a:1\",\n  { url = 3 },\n]",
        "file.toml:4: endpoints.url: it is 3, it must be a text",
    ),
    (
        "[policy]\nrace = { most = 2, stagger = 3 }",
        "file.toml:3: policy.race.stagger: the duration 3 has no unit",
    ),
    (
        "[policy]\nturn_deadline = 5",
        "file.toml:3: policy.turn_deadline: the duration 5 has no unit",
    ),
    (
        "[link]\nheartbeat = true",
        "file.toml:3: link.heartbeat: it is true, it must be \"off\", or a table or text",
    ),
    (
        "endpoints = 99999999999999999999",
        "file.toml:2: endpoints: it is 99999999999999999999, it must be a list",
    ),
    (
        "endpoints = [1979-05-27]",
        "file.toml:2: endpoints: it is a date, which nothing here is: write a text in quotes",
    ),
    // What is wrong as a whole only.
    (
        "endpoints = [\"tcp://a:1\"]\n[policy.pace]\nmin = \"2s\"\ncap = \"1s\"",
        "file.toml:3: policy: pace: min is 2s, which is above cap (1s)",
    ),
    (
        "endpoints = [\"tcp://a:1\"]\n[policy]\njitter = \"3s\"\npace = { law = \"constant\", wait = \"1s\", cap = \"2s\" }",
        "file.toml:3: policy: jitter: 3s has no room between min (0s) and cap (2s)",
    ),
    (
        "endpoints = [{ url = \"tcp://a:1\", deadline = \"0s\" }]",
        "file.toml:2: endpoints: endpoint `a:1`: its deadline is 0s; give",
    ),
    // What may hold a password is not repeated, but where it stands is told.
    (
        "[policy]\ndeadline = \"1s\"\n[[endpoints]]\nurl = \"tcp://a:1\"\n\ntier = \"joe:secret@a\"",
        "file.toml:7: endpoints.tier: it is wrong, and no more is told",
    ),
    (
        "\nendpoints = \"tcp://joe:secret@a\"",
        "file.toml:3: endpoints: it is wrong, and no more is told",
    ),
    (
        "\nendpoints = [\"tcp://joe:secret@a:x\"]",
        "file.toml:3: endpoints: `tcp://***@a:x` is not an endpoint's URL: the port is `x`",
    ),
    (
        "[[endpoints]]\nname = \"tcp://joe:secret@a:1\"\nurl = \"tcp://a:1\"",
        "file.toml:2: endpoints: the endpoint's `name` holds a login",
    ),
    (
        "[[endpoints]]\nname = \"wss://a/?token=secret\"\nurl = \"tcp://a:1\"",
        "file.toml:2: endpoints: the endpoint's `name` holds a login",
    ),
];

#[test]
fn a_wrong_value_is_told_in_plain_words_with_its_line_and_its_key_by_every_tool() {
    let folder = Folder::new("values");
    for (rest, said) in VALUES {
        let file = folder.write(format!("version = 1\n{rest}\n").as_bytes());
        refused(&tool(&["explain", &file]), said, rest);
        refused(&tool(&["cat", "--config", &file]), said, rest);
    }
    for (rest, said) in [
        (
            "alpn = \"joe:secret@a\"",
            "file.toml:3: transport.tls.alpn: it is wrong, and no more is told",
        ),
        (
            "pins = \"x\"",
            "file.toml:3: transport.tls.pins: it is \"x\", it must be a list",
        ),
        (
            "ca = 3",
            "file.toml:3: transport.tls.ca: it is 3, it must be the path of a file",
        ),
    ] {
        let file = folder.write(format!("version = 1\n[transport.tls]\n{rest}\n").as_bytes());
        refused(&tool(&["cat", "--config", &file]), said, rest);
    }
}

#[test]
fn options_of_other_systems_that_make_no_sense_are_not_migrated() {
    let evil = "<!DOCTYPE x [<!ENTITY a SYSTEM \"file:///etc/passwd\">]><endpoint><address uri=\"&a;\"/></endpoint>";
    for (from, text, said) in [
        ("stompit", "failover:(tcp://a:1", "has no partner"),
        ("stompit", "failover:tcp://a:1)", "has no partner"),
        (
            "activemq",
            "failover:(tcp://a:1)?randomize=true&randomize=true",
            "twice",
        ),
        (
            "activemq",
            "failover:(tcp://a:1)?randomize=%zz",
            "bad escape",
        ),
        ("activemq", "failover:(tcp://a:70000)", "from 1 to 65535"),
        (
            "activemq",
            "failover:(tcp://joe:secret@a:70000)",
            "from 1 to 65535",
        ),
        (
            "activemq",
            "failover:(tcp://a:1)?initialReconnectDelay=secret",
            "is `***`, it must be a whole number",
        ),
        ("nats", "tcp://joe:secret@a:1=1", "no option `***`"),
        ("synapse", evil, "DTD"),
        (
            "synapse",
            "<endpoint><adress uri='tcp://a:1'/></endpoint>",
            "adress",
        ),
        ("nats", "Servers=nats://a\nReconnectWait=2", "ReconnectWait"),
    ] {
        let out = tool(&["migrate", "--from", from, "--text", text]);
        refused(&out, said, text);
    }
}

#[test]
fn a_herd_that_cannot_be_is_refused_before_it_starts() {
    let folder = Folder::new("herds");
    let text = |clients: &str, server: &str| {
        format!(
            "version = 1\nuntil = \"1m\"\n{clients}\n[[endpoints]]\nname = \"a\"\nurl = \"tcp://a:1\"\n{server}\n"
        )
    };
    let none = "clients: 0 is not between 1 and 4294967295";
    let full = "servers.connections: a server that holds no connection";
    for (clients, server, said) in [
        ("clients = 0", "", none),
        ("", "[servers.a]\nconnections = 0", full),
        // Terabytes.
        ("clients = 4294967295", "", "4294967295 clients take about "),
    ] {
        let file = folder.write(text(clients, server).as_bytes());
        for command in ["herd", "simulate"] {
            refused(&tool(&[command, &file]), said, command);
        }
        refused(&tool(&["tune", &file, "--within", "9s"]), said, "tune");
    }
    let file = folder.write(text("", "").as_bytes());
    let said = "--client 1: there is one client, number 0";
    refused(&tool(&["simulate", &file, "--client", "1"]), said, said);
    for command in ["herd", "simulate"] {
        let out = tool(&[command, &file, "--clients", "4294967295"]);
        refused(&out, " MB are free: at most ", command);
        let out = tool(&[command, &file, "--clients", "0"]);
        assert_eq!(out.status.code(), Some(2));
    }
}

#[test]
fn a_herd_is_refused_where_the_address_space_is_limited_and_not_begun() {
    let herd = concat!(env!("CARGO_MANIFEST_DIR"), "/herds/outage.toml");
    let script = "ulimit -v 1000000; exec \"$0\" herd \"$1\" --clients 5000000";
    let mut shell = Command::new("sh");
    let out = shell.args(["-c", script, env!("CARGO_BIN_EXE_failover"), herd]);
    refused(
        &out.output().unwrap(),
        "and 1024 MB are free: at most ",
        "ulimit",
    );
}

#[test]
fn a_figure_that_asks_for_nothing_and_a_file_that_is_none_are_refused_before_anything_is_played() {
    let herd = concat!(env!("CARGO_MANIFEST_DIR"), "/herds/outage.toml");
    for (arguments, said) in [
        (
            &["tune", herd, "--within", "0s"][..],
            "it must be above zero, such as 30s",
        ),
        (
            &["tune", herd, "--within", "9s", "--best", "0"],
            "it must be a whole number from 1 to 65535",
        ),
        (
            &["herd", herd, "--csv", "-"],
            "--csv -: this is written to a file",
        ),
        (
            &["herd", herd, "--plot", "-"],
            "--plot -: this is written to a file",
        ),
        (
            &["herd", herd, "--rates", "-"],
            "--rates -: this is written to a file",
        ),
    ] {
        let out = tool(arguments);
        let error = String::from_utf8_lossy(&out.stderr);
        assert_eq!(out.status.code(), Some(2), "{arguments:?}\n{error}");
        assert!(error.contains(said), "{arguments:?}\n{error}");
        assert_eq!(out.stdout, b"", "{arguments:?}");
    }
}

#[test]
fn a_password_in_the_wrong_place_is_not_told() {
    let folder = Folder::new("misplaced");
    let file = folder.write(b"version = 1\n");
    let url = "tcp://joe:secret@a:1";
    let slash = "tcp:/joe:secret@a:1";
    let a_file = "it is a URL, a file is expected here";
    let cases: &[(&[&str], &str)] = &[
        (&["probe", slash], "has no host"),
        (&["cat", slash], "has no host"),
        (&["nats", "sub", "x", "-s", "nats:/secret@a:1"], "no host"),
        (&["simulate", url], a_file),
        (&["simulate", "--replay", url], a_file),
        (&["herd", url], a_file),
        (&["explain", url], a_file),
        (&["verify", url], a_file),
        (&["cat", "--config", url], a_file),
        (&["bridge", "--check", "--config", slash], a_file),
        (&["probe", "--ca", url, "tls://a:1"], a_file),
        (&["nats", "--ca", url, "sub", "x"], a_file),
        (
            &["migrate", "--from", "stompit", url],
            "failover: URI is expected",
        ),
        (&["cat", "--deadline", url, "tcp://a:1"], "'tcp://***@a:1'"),
        (
            &["cat", "--deadline=tcp://joe:secret@a:1"],
            "'tcp://***@a:1'",
        ),
        (&["cat", "--json", "--deadline", url], "'tcp://***@a:1'"),
        (&[url], "unrecognized subcommand 'tcp://***@a:1'"),
        (
            &["cat", "--config", &file, "--set", "tcp://joe:secret@a=1"],
            "write KEY=VALUE",
        ),
    ];
    for (arguments, said) in cases {
        not_told(&tool(arguments), said, &format!("{arguments:?}"));
    }
    let headers = "version = 1\n[[endpoints]]\nurl = \"ws://a:1\"\n[transport.ws]\nheaders = \"Bearer secret\"\n";
    let file = folder.write(headers.as_bytes());
    let out = tool(&["cat", "--config", &file]);
    not_told(&out, "headers = { Authorization = { env =", "headers");
    let headers = headers.replace(
        "\"Bearer secret\"",
        "{ \"Authorization: Bearer secret\" = 3 }",
    );
    let file = folder.write(headers.as_bytes());
    let unknown = headers
        .replace("headers = { ", "")
        .replace(" = 3 }", " = 3");
    let beside = Folder::new("beside");
    let other = beside.write(unknown.as_bytes());
    let said = "transport.ws: unknown key `***`: the keys here are";
    not_told(
        &tool(&["cat", "--config", &other]),
        said,
        "no header's name",
    );
    for arguments in [
        &["cat", "--config", &file][..],
        &["cat", "--json", "--config", &file],
    ] {
        not_told(
            &tool(arguments),
            "file.toml:5: transport.ws.headers: it is 3",
            "a header's name",
        );
    }
}

#[test]
fn a_path_that_nobody_would_ask_for_is_refused_and_one_of_websocket_is_not() {
    for (arguments, said) in [
        (
            "nats -s nats://joe:secret@a/x?token=secret pub s t",
            "`nats://***@a/x?***` has a path or query, which nats cannot ask for: write `nats://a`, or `ws://…`",
        ),
        ("nats -s tls-first://a/x pub s t", "or `wss://…`"),
        (
            "mqtt -s mqtts://a/mqtt pub s t",
            "which mqtts cannot ask for",
        ),
        (
            "stomp -s stomp://a/ws send /q t",
            "which stomp cannot ask for",
        ),
        (
            "stomp -s tcp://a:1?wireFormat.x=1 send /q t",
            "which tcp cannot ask for: write `tcp://a:1`\n",
        ),
    ] {
        let arguments: Vec<&str> = arguments.split(' ').collect();
        refused(&tool(&arguments), said, &format!("{arguments:?}"));
    }
    let folder = Folder::new("paths");
    let check = |url: &str| {
        let file = folder.write(format!("version = 1\nendpoints = [\"{url}\"]\n").as_bytes());
        tool(&["bridge", "--check", "--config", &file])
    };
    let said = "file.toml:2: endpoints: endpoint `a:1`: `tls://a:1/feed` has a path or query, which tls \
                cannot ask for: write `tls://a:1`, or `wss://…` for WebSocket";
    refused(&check("tls://a:1/feed"), said, "tls");
    assert_eq!(check("ws://a:1/feed").status.code(), Some(0));
    assert_eq!(check("tcp://a:1/").status.code(), Some(0));
}

#[test]
fn options_of_a_broker_s_own_in_a_failover_uri_are_noted_and_left_out() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = port.local_addr().unwrap();
    drop(port);
    let uri = format!(
        "failover:(tcp://joe:secret@{closed}?wireFormat.maxInactivityDuration=30000)?startupMaxReconnectAttempts=1"
    );
    let note = format!("{closed}: path and query have no meaning over tcp");
    for flags in [&["--json"][..], &[]] {
        let arguments = [&["stomp", "-s", &uri], flags, &["send", "/q", "t"]].concat();
        let out = tool(&arguments);
        let error = String::from_utf8_lossy(&out.stderr);
        assert_eq!(
            out.status.code(),
            Some(1),
            "the broker was dialled: {error}"
        );
        let first = error.lines().next().unwrap();
        match flags {
            [] => assert_eq!(first, format!("failover: no equal: {note}")),
            _ => assert_eq!(first, format!(r#"{{"event":"no-equal","text":"{note}"}}"#)),
        }
        assert!(!error.contains("secret"), "{error}");
    }
}

#[test]
fn what_the_command_line_does_not_change_keeps_its_line() {
    let folder = Folder::new("changed");
    let text =
        "version = 1\nendpoints = [\"tcp://a:1\"]\n[policy.pace]\nmin = \"2s\"\ncap = \"1s\"\n";
    let file = folder.write(text.as_bytes());
    let cat = |set: &str| tool(&["cat", "--config", &file, "--set", set]);
    let said = "file.toml:3: policy: pace: min is 2s, which is above cap (1s)";
    refused(&cat("policy.deadline=3s"), said, "the file's own mistake");
    let said = "file.toml: policy: pace: min is 3s, which is above cap (1s)";
    refused(&cat("policy.pace.min=3s"), said, "the flag's mistake");
}

#[test]
fn none_of_what_must_be_there_is_refused() {
    for (arguments, said) in [
        (
            "nats sub x --count 0",
            "it must be a whole number, 1 or more",
        ),
        (
            "mqtt sub x --count 0",
            "it must be a whole number, 1 or more",
        ),
        (
            "stomp subscribe /x --count 0",
            "it must be a whole number, 1 or more",
        ),
        (
            "bridge --max-connections 0",
            "it must be a whole number, 1 or more",
        ),
        (
            "bridge --max-dials 0",
            "it must be a whole number, 1 or more",
        ),
        (
            "verify --preset nats --worlds 0",
            "'0' for '--worlds <N>': it must be a whole number from 1 to 4294967295",
        ),
        (
            "verify --preset nats --worlds -1",
            "'-1' for '--worlds <N>': it must be a whole number",
        ),
        (
            "verify --preset nats --seed x",
            "it must be a whole number, 0 or more",
        ),
        (
            "verify --preset nats --seed 18446744073709551616",
            "it must be a whole number from 0 to 18446744073709551615",
        ),
        (
            "cat --wait -1s tcp://a:1",
            "'-1s' for '--wait <TIME>': `-1s` is not a duration",
        ),
        (
            "cat --jitter -1s tcp://a:1",
            "'-1s' for '--jitter <JITTER>'",
        ),
        ("cat --wait -1 tcp://a:1", "'-1' for '--wait <TIME>'"),
        ("cat --max-reconnects -1 tcp://a:1", "is not a limit"),
        ("probe --expiring -1 tcp://a:1", "it must be a whole number"),
        (
            "probe --deadline 0s tcp://a:1",
            "--deadline 0s is below a millisecond",
        ),
        (
            "tune a.toml --within 9s --peak -5",
            "it must be a number above 0",
        ),
        ("mqtt sub x --qos 2", "it must be 0 or 1"),
        ("verify --preset nats --survive 0s", "use at least 1ms"),
        ("verify --preset nats --survive 31d", "use at most 30d"),
        (
            "bridge --config a --listen 127.0.0.1:0 --status x",
            "write an address and a port such as `127.0.0.1:8222`",
        ),
        (
            "migrate --from nats --text Timeout=2s",
            "write `Servers=nats://host:4222`",
        ),
        ("cat", "--config"),
        ("probe", "--config"),
    ] {
        let arguments: Vec<&str> = arguments.split(' ').collect();
        not_told(&tool(&arguments), said, &format!("{arguments:?}"));
    }
}

fn not_told(out: &Output, said: &str, of: &str) {
    let error = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(2), "{of}\n{error}");
    assert!(error.contains(said), "{of}\n{error}");
    assert!(!error.contains("secret"), "{of}\n{error}");
    assert_eq!(out.stdout, b"", "{of}");
}

fn refused(out: &Output, said: &str, of: &str) {
    not_told(out, said, of);
    let error = String::from_utf8_lossy(&out.stderr);
    assert!(error.starts_with("failover: "), "{of}\n{error}");
    assert!(error.trim_end().lines().count() <= 1, "{error}");
}

fn tool(arguments: &[&str]) -> Output {
    let mut tool = Command::new(env!("CARGO_BIN_EXE_failover"));
    tool.args(arguments).output().unwrap()
}

/// A folder of its own, which goes with it.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("failover-bad-input-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, text: &[u8]) -> String {
        let path = self.0.join("file.toml");
        fs::write(&path, text).unwrap();
        path.to_string_lossy().into_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
