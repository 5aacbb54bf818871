//! A router is a function of its commands: snapshots, replayed commands, and bytes that are neither.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod life;

use life::{Life, config};
use stageroute_core::{ArmIndex, Call, Command, Decision, Error, LogBatch, Query, Router, Sampler};

const KINDS: std::ops::Range<u64> = 0..24;

/// What a command did, with all that a caller could see of it.
fn outcome(router: &mut Router, command: &Command<'_>) -> String {
    match command {
        Command::Route(query) => format!("{:?}", query.apply(router).map(bits)),
        Command::ObserveMany(batch) => format!("{:?}", batch.apply(router)),
        _ => format!("{:?}", command.apply(router)),
    }
}

/// Bit by bit.
fn bits(decision: Decision) -> (u64, usize, u64, u64, u64, u8) {
    let Decision { id, arm, probability, stage, budget_price, reasons } = decision;
    (id, arm.index(), probability.to_bits(), stage, budget_price.to_bits(), reasons.bits())
}

/// Commands of a life from birth, and the router that they make.
fn live(kind: u64, steps: usize) -> (Vec<Command<'static>>, Router) {
    let mut router = Router::new(config(kind)).unwrap();
    let mut life = Life::new(kind);
    let mut commands = Vec::new();
    for _ in 0..steps {
        let command = life.next(&router);
        outcome(&mut router, &command);
        commands.push(command);
    }
    (commands, router)
}

/// The lives are as full as they are meant to be.
#[test]
fn a_life_has_seen_everything() {
    let mut all = [0_u64; 16];
    for kind in KINDS {
        let (_, router) = live(kind, 3_000);
        let c = router.counters();
        let failures: u64 = c.failures.iter().sum();
        let counts = [
            c.optimal,
            c.throttled,
            c.budget_infeasible,
            c.cap_infeasible,
            c.restricted,
            c.refused_traffic,
            c.refused_cooling,
            c.refused_hard_limit,
            c.refused_excluded,
            c.rewards,
            c.costs,
            c.repeated,
            c.unknown,
            c.expired,
            c.evicted,
            failures + c.cooldowns,
        ];
        assert!(router.ledger().queries > 300, "{kind}: {c:?}");
        for (sum, count) in all.iter_mut().zip(counts) {
            *sum += count;
        }
    }
    assert!(all.iter().all(|&count| count > 50), "{all:?}");
}

/// A router restored at any point goes on exactly as the one that was never stopped.
#[test]
fn a_restored_router_goes_on_where_the_other_stood() {
    for kind in KINDS {
        let mut router = Router::new(config(kind)).unwrap();
        let (mut life, mut stops) = (Life::new(kind), Sampler::new(kind + 100));
        let mut restored = Router::from_bytes(&router.to_bytes().unwrap()).unwrap();
        for step in 0..10_000 {
            let command = life.next(&router);
            assert_eq!(outcome(&mut restored, &command), outcome(&mut router, &command));
            let is_stop = stops.unit() < 0.01;
            if is_stop || step % 50 == 0 {
                let bytes = router.to_bytes().unwrap();
                assert!(bytes == restored.to_bytes().unwrap(), "{kind}, {step}: {command:?}");
                if is_stop {
                    restored = Router::from_bytes(&bytes).unwrap();
                    assert!(bytes == restored.to_bytes().unwrap());
                }
            }
        }
    }
}

/// Commands written down, read back and done again on the state that they began from lead to the
/// same bytes; those that failed fail again.
#[test]
fn recorded_commands_make_the_same_router() {
    for kind in KINDS {
        let (commands, router) = live(kind, 3_000);
        let mut journal = Vec::new();
        for command in &commands {
            command.encode(&mut journal);
        }
        let mut replayed = Router::new(config(kind)).unwrap();
        let (mut rest, mut failed) = (journal.as_slice(), 0);
        for command in &commands {
            let (decoded, after) = Command::decode(rest).unwrap();
            assert_eq!(format!("{decoded:?}"), format!("{command:?}"));
            failed += usize::from(decoded.apply(&mut replayed).is_err());
            rest = after;
        }
        assert!(rest.is_empty() && failed > 100, "{failed}");
        assert!(replayed.to_bytes().unwrap() == router.to_bytes().unwrap(), "{kind}");
    }
}

#[test]
fn logs_are_no_part_of_the_state() {
    let (commands, router) = live(6, 1_000);
    let mut drained = Router::new(config(6)).unwrap();
    let mut batch = LogBatch::default();
    for command in &commands {
        outcome(&mut drained, command);
        drained.drain_log(&mut batch);
    }
    assert!(drained.to_bytes().unwrap() == router.to_bytes().unwrap());
}

// ---- bytes that are no router -----------------------------------------------------------------

/// What can be called is called; nothing may panic.
fn exercise(router: &mut Router, kind: u64, steps: usize) {
    let mut life = Life::new(kind);
    for _ in 0..steps {
        let command = life.next(router);
        outcome(router, &command);
        let now = router.clock() + 1.0;
        let _ = router.route(&Query::at(now));
    }
    for arm in ArmIndex::first(router.len()) {
        let _ = (router.arm(arm), router.planned_share(arm), router.learner().expected_cost(arm));
    }
    let _ = (router.limits().count(), router.paced_budget(), router.is_stage_due());
    router.drain_log(&mut LogBatch::default());
    router.to_bytes().unwrap();
}

#[test]
fn truncated_and_extended_snapshots_are_refused() {
    for kind in 0..4 {
        let (_, router) = live(kind, 400);
        let mut bytes = router.to_bytes().unwrap();
        let is_taken = |length: &usize| match Router::from_bytes(&bytes[..*length]) {
            Ok(_) => true,
            Err(Error::BadSnapshot(_)) => false,
            Err(error) => panic!("{error}"),
        };
        let taken: Vec<usize> = (0..bytes.len()).filter(is_taken).collect();
        // States as the first version wrote them: without a count that is a byte long here, and with it.
        assert!(matches!(taken[..], [first, second] if second == first + 1), "{taken:?}");
        bytes.push(0);
        let error = Router::from_bytes(&bytes).unwrap_err();
        assert_eq!(error.to_string(), "the snapshot does not hold a router: 1 bytes are left over");
    }
}

/// Whichever bit is flipped: an error, or a router whose calls do not panic.
#[test]
fn flipped_bits_never_lead_to_a_panic() {
    let (mut refused, mut lived) = (0, 0);
    for kind in 0..4 {
        let (_, router) = live(kind, 300);
        let bytes = router.to_bytes().unwrap();
        let mut chance = Sampler::new(kind);
        let mut try_bytes = |bytes: &[u8], steps| match Router::from_bytes(bytes) {
            Ok(mut router) => {
                exercise(&mut router, kind, steps);
                lived += 1;
            }
            Err(_) => refused += 1,
        };
        for place in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[place] ^= 1 << (place % 8);
            try_bytes(&flipped, 40);
            flipped[place] = [0, 0xff, 0x7f, 0x80][place % 4];
            try_bytes(&flipped, 10);
        }
        for _ in 0..1_000 {
            let mut torn = bytes.clone();
            for _ in 0..3 {
                #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
                let mut draw = |n: usize| (chance.unit() * n as f64) as usize;
                let place = draw(torn.len());
                match draw(3) {
                    0 => torn[place] = u8::try_from(draw(256)).unwrap(),
                    1 => drop(torn.remove(place)),
                    _ => torn.insert(place, u8::try_from(draw(256)).unwrap()),
                }
            }
            try_bytes(&torn, 40);
        }
    }
    println!("{refused} refused, {lived} lived");
    assert!(refused > 1_000 && lived > 1_000, "{refused} {lived}");
}

#[test]
fn decoding_garbage_never_panics() {
    let mut chance = Sampler::new(1);
    let (_, router) = live(1, 500);
    let (mut decoded, mut applied) = (0, 0);
    for _ in 0..200_000 {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let garbage: Vec<u8> = (0..40).map(|_| (chance.unit() * 256.0) as u8).collect();
        let mut garbage = garbage;
        garbage[0] %= 12;
        if chance.unit() < 0.5 {
            for byte in &mut garbage[1..] {
                *byte %= 4;
            }
        }
        let Ok((command, _)) = Command::decode(&garbage) else { continue };
        decoded += 1;
        let mut again = Vec::new();
        command.encode(&mut again);
        let back = Command::decode(&again).unwrap().0;
        assert_eq!(format!("{back:?}"), format!("{command:?}"));
        if decoded % 10 == 0 {
            let mut router = router.clone();
            applied += usize::from(command.apply(&mut router).is_ok());
            let _ = router.route(&Query::at(router.clock()));
        }
    }
    assert!(decoded > 10_000 && applied > 100, "{decoded} {applied}");
    assert!(Command::decode(&[]).is_err() && Command::decode(&[99, 0, 0]).is_err());
}
