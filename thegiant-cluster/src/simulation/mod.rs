//! A simulation of members, with virtual clocks and everything that can go wrong.
//!
//! Each seed is another world, which is the same in each run. Requests and answers are lost or delayed, processes crash, pause and leave, the store
//! is away, and clocks run at different speeds.

mod node;
mod random;
mod world;

use std::time::Duration;

use self::world::{Seen, World};

const LEASE: Duration = Duration::from_secs(3);

/// Disturbs the members of a world for some time.
fn disturb(world: &mut World) {
    let nodes = world.nodes.len() as u64;
    for _ in 0..40 {
        let node = world.random.below(nodes) as usize;
        match world.random.below(10) {
            0 => world.crash(node),
            1 => world.leave(node),
            2..4 => {
                let time = world.random.millis(0, 12_000);
                world.pause(node, time);
            }
            4 if world.random.percent(50) => {
                let time = world.random.millis(0, 9_000);
                world.stop_store(time);
            }
            _ => world.start(node),
        }
        let time = world.random.millis(0, 4_000);
        world.run(time);
    }
}

/// Returns the world with this seed after it was disturbed.
fn disturbed(seed: u64, names: &[&'static str], partitions: u16, drift: u32) -> World {
    let mut world = World::new(seed, names, partitions, drift);
    disturb(&mut world);
    world
}

/// How many seeds to try. A greater number is for a long run.
fn seeds() -> u64 {
    std::env::var("THEGIANT_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(60)
}

#[test]
fn no_partition_has_two_owners_and_all_are_served_again() {
    let mut all = Seen::default();
    for seed in 0..seeds() {
        let names = &["a", "b", "c", "d", "e"][..2 + (seed % 4) as usize];
        let partitions = 1 + (seed * 7 % 12) as u16;
        // A tenth is allowed between two clocks.
        let mut world = disturbed(seed, names, partitions, 4);
        world.calm_down();
        world.run(LEASE * 20);
        assert!(world.seen.violations.is_empty(), "seed {seed}: {:?}", world.seen.violations);
        let shares = world.shares();
        let (most, least) = (shares.iter().max(), shares.iter().min());
        assert_eq!(shares.iter().sum::<usize>(), usize::from(partitions), "seed {seed}: {shares:?}");
        assert!(most.zip(least).is_some_and(|(most, least)| most - least <= 1), "seed {seed}: {shares:?}");
        all.opens += world.seen.opens;
        all.commits += world.seen.commits;
        all.refused_commits += world.seen.refused_commits;
        all.late_effects += world.seen.late_effects;
        all.failures += world.seen.failures;
    }
    let counts = [all.opens, all.commits, all.refused_commits, all.late_effects, all.failures];
    assert!(counts.iter().all(|count| *count > 0), "{all:?}");
}

/// Two processes have the name `a`.
#[test]
fn a_name_that_two_processes_have_gives_no_partition_two_owners() {
    let mut failures = 0;
    for seed in 0..seeds() {
        let world = disturbed(seed, &["a", "b", "a"], 6, 4);
        assert!(world.seen.violations.is_empty(), "seed {seed}: {:?}", world.seen.violations);
        failures += world.seen.failures;
    }
    assert!(failures > 0);
}

/// Shows that the simulation would find a mistake of the protocol.
#[test]
fn clocks_that_are_too_fast_are_found_out() {
    let violates = |seed| !disturbed(seed, &["a", "b", "c"], 6, 40).seen.violations.is_empty();
    assert!((0..seeds()).any(violates));
}
