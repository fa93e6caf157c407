//! Whole histories of several executions, with everything that can go wrong, in one thread and
//! repeatable: the real engine, machine, slots, loader and journal on a real database; only the
//! order of things, time and work are simulated.
//!
//! A history is told by its seed. One that fails prints it; `LIMELIGHT_SIMULATION_SEED=N` plays that
//! one alone, `LIMELIGHT_SIMULATIONS=N` plays more of them (`make simulate`).

mod checks;
mod journal;
mod plan;
mod work;
mod world;

use std::{env, panic::AssertUnwindSafe};

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

use self::world::{Base, World};

/// Histories in a usual run.
const HISTORIES: u64 = 400;
/// Steps of a history until everything is brought to its end.
const STEPS: usize = 120;

fn number(variable: &str) -> Option<u64> {
    env::var(variable).ok()?.parse().ok()
}

fn play(base: &mut Base, seed: u64) {
    let mut rng = StdRng::seed_from_u64(seed);
    let steps = rng.random_range(10..STEPS);
    let mut world = World::new(base, rng);
    for _ in 0..steps {
        world.step();
    }
    world.finish();
    world.check();
}

#[test]
fn no_history_loses_doubles_or_leaks_anything() {
    super::super::supervisor::install_panic_hook();
    let mut base = Base::new();
    let seeds = match number("LIMELIGHT_SIMULATION_SEED") {
        Some(seed) => seed..seed + 1,
        None => {
            let first = rand::random::<u32>().into();
            first..first + number("LIMELIGHT_SIMULATIONS").unwrap_or(HISTORIES)
        }
    };
    for seed in seeds {
        let played = std::panic::catch_unwind(AssertUnwindSafe(|| play(&mut base, seed)));
        if let Err(panic) = played {
            let text = panic
                .downcast_ref::<String>()
                .cloned()
                .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            panic!(
                "the history of seed {seed} went wrong: {}\nplay it again with \
                 LIMELIGHT_SIMULATION_SEED={seed}",
                text.unwrap_or_default()
            );
        }
    }
}
