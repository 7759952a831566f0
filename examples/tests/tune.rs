//! What `failover tune` tries, and what it gives to be pasted.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use examples::herd::tune::candidates;
use examples::scenario::Scenario;

#[test]
fn the_keys_of_each_candidate_pasted_into_its_scenario_make_the_policy_that_was_tried() {
    for own in [
        "",
        "preset = \"nats\"\nstable_after = \"3s\"\n",
        "preset = \"stompit\"\nlimits = { turns = 7 }\n",
    ] {
        let world = read(&format!("[policy]\n{own}"));
        let all = candidates(&world).unwrap();
        assert!(all.len() > 50, "{}", all.len());
        for (contestant, keys) in all {
            let pasted = keys.replacen("[policy]\n", &format!("[policy]\n{own}"), 1);
            assert_eq!(read(&pasted).policy, contestant.policy, "{pasted}");
        }
    }
}

fn read(policy: &str) -> Scenario {
    let text = format!(
        "version = 1\nuntil = \"1m\"\nendpoints = [\"tls://a:7443\"]\n\n{policy}\n\
         [[world]]\nfrom = \"10s\"\nto = \"20s\"\ndoes = \"down\"\n"
    );
    Scenario::parse("world", &text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}
