//! Random graphs under random commands, results, times and crashes: what must always hold.

mod world;

use std::collections::BTreeSet;

use limelight_engine::{Command, Definition};
use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};
use serde_json::{Value, json};

use self::world::World;

/// A node in the making: kind, needs among those before it, and its policies.
type Sketch = (u8, u16, u8, u8, bool, u8);

fn sketch() -> impl Strategy<Value = Sketch> {
    (0..5u8, any::<u16>(), 0..4u8, 0..5u8, any::<bool>(), 0..8u8)
}

fn draw(sketches: &[Sketch]) -> Definition {
    let mut nodes = serde_json::Map::new();
    for (place, &(kind, needs, retry, when, may_fail, timeout)) in sketches.iter().enumerate() {
        let mut node = match kind {
            0 => json!({"kind": "noop"}),
            1 | 2 => json!({"kind": "command", "run": "work {{ params.p }}"}),
            3 => json!({"kind": "sleep", "duration_s": 5}),
            _ => json!({"kind": "approval", "message": "May {{ params.p }}?"}),
        };
        let needs: Vec<usize> = (0..place).filter(|n| needs >> (n % 16) & 3 == 3).collect();
        node["needs"] = needs.iter().map(|&n| name(n)).collect();
        match retry {
            0 => node["retry"] = json!("never"),
            1 => node["retry"] = json!({"max_attempts": 3, "backoff_s": 2}),
            2 => node["retry"] = json!({"max_attempts": 2, "backoff_s": 0}),
            _ => {}
        }
        match (when, needs.last()) {
            (0, _) => node["when"] = json!("params.p == 'other'"),
            (1, Some(&need)) => {
                node["when"] = json!(format!("nodes.{}.status == 'completed'", name(need)));
            }
            (2, Some(&need)) => {
                // Fails where the other gave no such output.
                node["when"] = json!(format!("nodes.{}.outputs.n > 1", name(need)));
            }
            _ => {}
        }
        if may_fail {
            node["on_failure"] = json!("continue");
        }
        if timeout < 2 {
            node["timeout_s"] = json!(3);
        }
        nodes.insert(name(place), node);
    }
    let document = json!({"name": "w", "params": {"p": {"default": "it's"}}, "nodes": nodes});
    Definition::parse(&document.to_string()).unwrap()
}

fn name(place: usize) -> String {
    format!("n{place:02}")
}

/// What happens next; the number picks among what there is.
fn step() -> impl Strategy<Value = (u8, usize)> {
    (0..40u8, 0..1000usize)
}

fn perform(world: &mut World, (what, pick): (u8, usize)) {
    let node = pick % world.size();
    let by = "u".to_owned();
    match what {
        0..=6 => world.grant(pick),
        7..=13 => world.complete(pick),
        14..=16 => world.fail(pick, "exit_code", true),
        17 => world.fail(pick, "exit_code", false),
        18 => world.fail(pick, "interrupted", true),
        19..=24 => world.fire_next(),
        25 => world.fire_any_old(pick),
        26 => world.try_command(Command::Pause { by }),
        27..=28 => world.try_command(Command::Resume { by }),
        29 if pick < 300 => world.try_command(Command::Cancel { by }),
        30..=31 => {
            let node = world.id(node);
            world.try_command(Command::RetryNode { node, by });
        }
        32..=33 => {
            let (node, comment) = (world.id(node), None);
            world.try_command(Command::Approve { node, by, comment });
        }
        34 => {
            let (node, comment) = (world.id(node), Some("no".to_owned()));
            world.try_command(Command::Reject { node, by, comment });
        }
        35 => world.report_progress(pick),
        36 => world.report_late(pick),
        37 => world.crash(),
        _ => world.pass(pick as i64 * 7),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_run_keeps_its_promises(
        sketches in prop::collection::vec(sketch(), 1..14),
        steps in prop::collection::vec(step(), 0..120),
    ) {
        let mut world = World::new(draw(&sketches));
        world.start();
        for step in steps {
            perform(&mut world, step);
        }
        world.finish();
    }

    #[test]
    fn a_cancelled_run_starts_nothing_ever_after(
        sketches in prop::collection::vec(sketch(), 1..14),
        before in prop::collection::vec(step(), 0..40),
        after in prop::collection::vec(step(), 1..40),
    ) {
        let mut world = World::new(draw(&sketches));
        world.start();
        for step in before {
            perform(&mut world, step);
        }
        world.try_command(Command::Cancel { by: "u".to_owned() });
        let cancelled = world.is_cancelled();
        let events = world.event_count();
        for step in after {
            perform(&mut world, step);
        }
        if cancelled {
            prop_assert_eq!(world.event_count(), events);
            prop_assert!(!world.has_work());
        }
    }

    #[test]
    fn no_text_whatever_breaks_the_parser(text in "\\PC*|[ -~\\n]{0,200}") {
        let _ = Definition::parse(&text);
    }
}

/// Promises kept where nothing happens prove nothing: the random runs must go everywhere.
#[test]
fn the_random_runs_see_every_kind_of_event_and_of_end() {
    let mut runner = TestRunner::deterministic();
    let strategy = (
        prop::collection::vec(sketch(), 1..14),
        prop::collection::vec(step(), 0..120),
    );
    let mut seen = BTreeSet::new();
    for _ in 0..200 {
        let (sketches, steps) = strategy.new_tree(&mut runner).unwrap().current();
        let mut world = World::new(draw(&sketches)).unchecked();
        world.start();
        for step in steps {
            perform(&mut world, step);
        }
        world.finish();
        seen.extend(world.sights());
    }
    let expected = [
        "end cancelled",
        "end completed",
        "end failed",
        "error condition",
        "error exit_code",
        "error interrupted",
        "error rejected",
        "error timeout",
        "node:cancelled",
        "node:completed",
        "node:failed",
        "node:progress",
        "node:queued",
        "node:retrying",
        "node:skipped",
        "node:started",
        "node:waiting",
        "reset",
        "skipped by condition",
        "skipped upstream",
        "workflow:cancelled",
        "workflow:completed",
        "workflow:failed",
        "workflow:paused",
        "workflow:resumed",
        "workflow:started",
    ];
    let seen: Vec<_> = seen.iter().map(String::as_str).collect();
    assert_eq!(seen, expected);
}

#[test]
fn a_thousand_wide_join_is_one_pass() {
    let mut nodes = serde_json::Map::new();
    let names: Vec<_> = (0..1000).map(|n| format!("f{n:04}")).collect();
    nodes.insert("root".to_owned(), json!({"kind": "noop"}));
    for name in &names {
        nodes.insert(name.clone(), json!({"kind": "noop", "needs": ["root"]}));
    }
    nodes.insert("join".to_owned(), json!({"kind": "noop", "needs": names}));
    let document: Value = json!({"name": "wide", "nodes": nodes});
    let definition = Definition::parse(&document.to_string()).unwrap();
    let mut world = World::new(definition).unchecked();
    world.start();
    world.finish();
    assert_eq!(world.event_count(), 2 + 2 * 1002);
}
