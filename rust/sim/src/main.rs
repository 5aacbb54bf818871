//! `stageroute-sim`: years of routers, with all their faults, in minutes.
//!
//! A *world* is a router with its journal, its providers, operators and clocks, all of them made from
//! one seed: what it does follows from the seed alone. Whatever the router answers is held against a
//! model that is slow and obvious (`model/`). In the spirit of the simulators of `FoundationDB` and
//! `TigerBeetle`.
//!
//! `cargo run --release -p stageroute-sim -- --seed 7` lives in world 7, and `--trace 0` prints its calls.

#![forbid(unsafe_code)]

mod broken;
mod counts;
mod dice;
mod draw;
mod due;
mod feedback;
mod model;
mod operators;
mod plan;
mod store;
mod trial;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Command, ExitCode};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;
use std::{io, thread};

use counts::Counts;
use world::World;

/// After so many failures something is broken that more of them tell nothing new of.
const ENOUGH: usize = 5;

const HELP: &str = "\
Simulate routers, and check all that they do.

  --seed N      the first world (default 1)
  --worlds N    how many worlds, one for each seed (default 1)
  --steps N     queries in each of them (default 20000)
  --jobs N      threads (default 1)
  --trace STEP  print the calls of a world from this step on
";

/// Worlds to live in.
#[derive(Debug, Clone, Copy)]
struct Tour {
    seed: u64,
    worlds: u64,
    steps: u64,
    jobs: u64,
    trace: Option<u64>,
}

impl Tour {
    fn parse() -> Result<Self, pico_args::Error> {
        let mut args = pico_args::Arguments::from_env();
        if args.contains("--help") {
            print!("{HELP}");
            std::process::exit(0);
        }
        let tour = Self {
            seed: args.opt_value_from_str("--seed")?.unwrap_or(1),
            worlds: args.opt_value_from_str("--worlds")?.unwrap_or(1),
            steps: args.opt_value_from_str("--steps")?.unwrap_or(20_000),
            jobs: args.opt_value_from_str("--jobs")?.unwrap_or(1),
            trace: args.opt_value_from_str("--trace")?,
        };
        let rest = args.finish();
        if rest.is_empty() { Ok(tour) } else { Err(pico_args::Error::MissingArgument) }
    }

    /// Lives in one world; what was found wrong, if anything was, and how to see it again.
    fn visit(self, seed: u64) -> Result<Counts, String> {
        let mut place = None;
        let lived = catch_unwind(AssertUnwindSafe(|| {
            let world = place.insert(World::new(seed, self.trace)?);
            world.run(self.steps).map(|()| world.counts)
        }));
        let step = place.map_or(0, |world| world.step);
        let found = match lived {
            Ok(Ok(counts)) => return Ok(counts),
            Ok(Err(broken)) => broken.to_string(),
            Err(_) => "a panic: see above".to_owned(),
        };
        let (commit, from) = (commit(), step.saturating_sub(20));
        Err(format!(
            "world {seed} at {commit}, step {step}: {found}\n  again: cargo run --release -p stageroute-sim -- \
             --seed {seed} --steps {} --trace {from}",
            self.steps
        ))
    }
}

/// The version that is simulated.
fn commit() -> String {
    let git = Command::new("git").args(["describe", "--always", "--dirty"]).output();
    let name = git.ok().and_then(|output| String::from_utf8(output.stdout).ok());
    name.map_or_else(|| "an unknown commit".to_owned(), |name| name.trim().to_owned())
}

fn main() -> io::Result<ExitCode> {
    let tour = match Tour::parse() {
        Ok(tour) => tour,
        Err(error) => {
            eprint!("{error}\n\n{HELP}");
            return Ok(ExitCode::from(2));
        }
    };
    let (next, started) = (AtomicU64::new(tour.seed), Instant::now());
    let total = Mutex::new((Counts::default(), Vec::new()));
    thread::scope(|scope| {
        for _ in 0..tour.jobs {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    let failed = total.lock().map_or(ENOUGH, |total| total.1.len());
                    if seed - tour.seed >= tour.worlds || failed >= ENOUGH {
                        break;
                    }
                    let visit = tour.visit(seed);
                    let Ok(mut total) = total.lock() else { break };
                    match visit {
                        Ok(counts) => total.0.add(&counts),
                        Err(failure) => {
                            eprintln!("{failure}");
                            total.1.push(seed);
                        }
                    }
                }
            });
        }
    });
    let (counts, failed) = total.into_inner().map_err(io::Error::other)?;
    if tour.trace.is_none() {
        for (name, count) in counts.named() {
            println!("{name:>26} {count}");
        }
        println!("{:>26} {:.0}", "seconds it took", started.elapsed().as_secs_f64());
    }
    println!("{:>26} {}", "worlds that failed", failed.len());
    Ok(if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Worlds with all kinds of faults, lived in twice.
    #[test]
    fn a_seed_makes_one_world_only() {
        let tour = Tour { seed: 1, worlds: 40, steps: 1_000, jobs: 1, trace: None };
        let live = || (1..=tour.worlds).map(|seed| tour.visit(seed)).collect::<Vec<_>>();
        let lives = live();
        assert_eq!(lives, live());
        let mut total = Counts::default();
        for counts in lives.into_iter().flatten() {
            total.add(&counts);
        }
        let missing: Vec<_> = total.named().filter(|&(_, count)| count == 0).collect();
        assert!(total.worlds == 40 && missing.is_empty(), "never: {missing:?}");
    }
}
