//! Branch and bound over live sets.
//!
//! Depth first: at each node the relaxation bounds what its sets can reach, sets next to the
//! relaxation's optimum are valued exactly, and arms whose fate the bound decides are fixed. One of
//! the others is then tried both ways; with an arm that is left out go those that are no better, since
//! in any set it could take their place. Only exact values of sets, that exchange, and bounds by weak
//! duality decide what is dropped.

use super::incumbent::Incumbent;
use super::problem::{DeploymentProblem, Goal};
use super::program::{Fate, Program};
use super::relaxation::Relaxation;
use super::sets::is_set;
use super::solve::SetSolver;
use crate::error::Error;
use crate::lp::RoutingLp;
use crate::tolerances::{COLUMN_TOLERANCE, OPTIMALITY_TOLERANCE};

/// Nodes after which a search ends in an error.
pub const NODE_LIMIT: u64 = 20_000_000;

/// Nodes between two looks at whether the caller wants an end.
const NODES_PER_LOOK: u64 = 256;

/// The branch and bound as a solver of sets.
pub struct BranchAndBound<'s> {
    should_stop: &'s mut dyn FnMut() -> bool,
    /// Nodes that all its searches took.
    pub nodes: u64,
}

impl<'s> BranchAndBound<'s> {
    /// `should_stop` is asked every few hundred nodes whether the search is to end in an error.
    pub fn new(should_stop: &'s mut dyn FnMut() -> bool) -> Self {
        Self { should_stop, nodes: 0 }
    }
}

impl SetSolver for BranchAndBound<'_> {
    type Error = Error;
    const NAME: &'static str = "native";
    const IS_EXACT: bool = true;

    /// The best set, ascending; its value is within [`OPTIMALITY_TOLERANCE`] of the optimum.
    ///
    /// # Errors
    /// [`Error::SearchStopped`] if `should_stop` said so, or after [`NODE_LIMIT`] nodes.
    fn best_set(
        &mut self,
        problem: &DeploymentProblem<'_>,
        goal: Goal,
        relaxed: Option<&RoutingLp>,
    ) -> Result<Option<Vec<usize>>, Error> {
        let sets = &problem.sets;
        let is_contradiction =
            sets.pinned.iter().zip(sets.forbidden).any(|(&pin, &not)| pin && not);
        let program = Program::new(problem, goal);
        if program.arms.is_empty() || is_contradiction {
            return Ok(None);
        }
        let mut search = Search::new(problem, goal, program);
        let relaxed = relaxed.filter(|_| goal == Goal::Best);
        if let Some((marginal, partner)) = relaxed.map(RoutingLp::basic_arms) {
            search.relaxation.start_from(marginal, partner);
        }
        if search.visit()?.is_some() {
            search.relaxation.drop_excluded();
            search.trail.clear();
            search.run(self.should_stop)?;
        }
        self.nodes += search.nodes;
        Ok(search.incumbent.into_set().map(|set| with_cheaper_arms(problem, set)))
    }
}

/// Exchanges arms for others that are no worse and cheaper, or alike and come first.
fn with_cheaper_arms(problem: &DeploymentProblem<'_>, mut set: Vec<usize>) -> Vec<usize> {
    let cost = problem.mixture.cost;
    for place in 0..set.len() {
        let mut best = set[place];
        for arm in 0..cost.len() {
            let is_before = (cost[arm], arm) < (cost[best], best);
            if is_before
                && problem.is_no_worse(arm, best)
                && !is_set(problem.sets.forbidden, arm)
                && !is_set(problem.sets.pinned, set[place])
                && !set.contains(&arm)
            {
                best = arm;
            }
        }
        set[place] = best;
    }
    set.sort_unstable();
    set
}

/// A decision that can still be made the other way.
struct Branch {
    arm: usize,
    other: Fate,
    /// How many decisions came before it.
    depth: usize,
}

struct Search<'a> {
    problem: &'a DeploymentProblem<'a>,
    relaxation: Relaxation,
    incumbent: Incumbent<'a>,
    /// The arms decided, in order.
    trail: Vec<usize>,
    branches: Vec<Branch>,
    nodes: u64,
    /// Free arms that the relaxation uses in part.
    fractional: Vec<usize>,
    set: Vec<usize>,
    sorted: Vec<usize>,
}

impl<'a> Search<'a> {
    fn new(problem: &'a DeploymentProblem<'a>, goal: Goal, program: Program) -> Self {
        let mut relaxation = Relaxation::new(program);
        for place in 0..relaxation.arms() {
            if is_set(problem.sets.pinned, relaxation.program.arms[place]) {
                relaxation.decide(place, Fate::Pinned);
            }
        }
        Self {
            problem,
            relaxation,
            incumbent: Incumbent::new(problem, goal),
            trail: Vec::new(),
            branches: Vec::new(),
            nodes: 0,
            fractional: Vec::new(),
            set: Vec::new(),
            sorted: Vec::new(),
        }
    }

    fn run(&mut self, should_stop: &mut dyn FnMut() -> bool) -> Result<(), Error> {
        loop {
            let is_look = self.nodes % NODES_PER_LOOK == 1;
            if is_look && should_stop() || self.nodes >= NODE_LIMIT {
                return Err(Error::SearchStopped { nodes: self.nodes });
            }
            if let Some((arm, fate)) = self.visit()? {
                let other = if fate == Fate::Pinned { Fate::Excluded } else { Fate::Pinned };
                self.branches.push(Branch { arm, other, depth: self.trail.len() });
                self.try_fate(arm, fate);
                continue;
            }
            let Some(Branch { arm, other, depth }) = self.branches.pop() else { return Ok(()) };
            self.take_back(depth);
            self.try_fate(arm, other);
        }
    }

    fn try_fate(&mut self, at: usize, fate: Fate) {
        self.decide(at, fate);
        if fate == Fate::Excluded {
            for other in 0..self.relaxation.arms() {
                let arms = &self.relaxation.program.arms;
                if self.relaxation.fate(other) == Fate::Free
                    && self.problem.is_no_worse(arms[at], arms[other])
                {
                    self.decide(other, Fate::Excluded);
                }
            }
        }
    }

    fn decide(&mut self, arm: usize, fate: Fate) {
        self.relaxation.decide(arm, fate);
        self.trail.push(arm);
    }

    fn take_back(&mut self, depth: usize) {
        for arm in self.trail.drain(depth..).rev() {
            self.relaxation.decide(arm, Fate::Free);
        }
    }

    /// What a bound must exceed for its sets to matter.
    fn enough(&self) -> f64 {
        self.incumbent.value() + OPTIMALITY_TOLERANCE
    }

    /// Works on the present node; an arm to branch on and the fate to try first, unless it is done.
    fn visit(&mut self) -> Result<Option<(usize, Fate)>, Error> {
        self.nodes += 1;
        if !self.relaxation.has_room() {
            return Ok(None);
        }
        let bound = self.relaxation.solve(self.enough());
        if bound <= self.enough() {
            return Ok(None);
        }
        self.offer_sets()?;
        if bound <= self.enough() || !self.fix(bound) {
            return Ok(None);
        }
        Ok(self.branching_arm())
    }

    /// Values sets of the pinned arms, those used in full, and as many of the others as there is room
    /// for, each of these first in one of the sets.
    fn offer_sets(&mut self) -> Result<(), Error> {
        self.list_fractional();
        let leads = self.fractional.len().max(1);
        for lead in 0..leads {
            self.collect_used();
            let whole = self.set.len();
            for place in 0..self.fractional.len() {
                let at = self.fractional[(lead + place) % leads];
                self.add_if_room(at);
            }
            let is_complete = self.set.len() == whole + self.fractional.len();
            self.add_providers();
            if !self.problem.sets.lacks_providers(&self.set) {
                self.sorted.clone_from(&self.set);
                self.sorted.sort_unstable();
                self.incumbent.offer(&self.sorted)?;
            }
            if is_complete {
                break;
            }
        }
        Ok(())
    }

    fn list_fractional(&mut self) {
        let Self { relaxation, fractional, .. } = self;
        fractional.clear();
        let is_part = |usage: f64| usage > COLUMN_TOLERANCE && usage < 1.0 - COLUMN_TOLERANCE;
        fractional.extend(
            (0..relaxation.arms())
                .filter(|&at| relaxation.fate(at) == Fate::Free && is_part(relaxation.usage(at))),
        );
        fractional.sort_by(|&a, &b| relaxation.usage(b).total_cmp(&relaxation.usage(a)));
    }

    /// The pinned arms and the free ones that are used in full.
    fn collect_used(&mut self) {
        self.set.clear();
        let Relaxation { program, .. } = &self.relaxation;
        self.set.extend(self.relaxation.pinned().iter().map(|&at| program.arms[at]));
        for at in 0..self.relaxation.arms() {
            let is_free = self.relaxation.fate(at) == Fate::Free;
            if is_free && self.relaxation.usage(at) >= 1.0 - COLUMN_TOLERANCE {
                self.add_if_room(at);
            }
        }
    }

    fn add_if_room(&mut self, at: usize) {
        let arm = self.relaxation.program.arms[at];
        if self.problem.sets.has_room(&self.set, arm) {
            self.set.push(arm);
        }
    }

    /// Adds arms of providers that are still asked for, those that lose least first.
    fn add_providers(&mut self) {
        while self.problem.sets.lacks_providers(&self.set) {
            let Some(at) = self.best_new_provider() else { return };
            self.set.push(self.relaxation.program.arms[at]);
        }
    }

    fn best_new_provider(&self) -> Option<usize> {
        let Self { problem, relaxation, set, .. } = self;
        let is_eligible = |&at: &usize| {
            let arm = relaxation.program.arms[at];
            relaxation.fate(at) == Fate::Free
                && problem.sets.brings_provider(set, arm)
                && problem.sets.has_room(set, arm)
        };
        let loss = |at: &usize| relaxation.loss_with(*at);
        (0..relaxation.arms())
            .filter(is_eligible)
            .min_by(|a, b| loss(a).total_cmp(&loss(b)).then(a.cmp(b)))
    }

    /// Fixes the arms of which one fate cannot lead to anything better; false if neither can.
    fn fix(&mut self, bound: f64) -> bool {
        let most = bound - self.enough();
        for at in 0..self.relaxation.arms() {
            if self.relaxation.fate(at) != Fate::Free {
                continue;
            }
            let is_needed = self.relaxation.loss_without(at) >= most;
            let is_useless = self.relaxation.loss_with(at) >= most;
            match (is_needed, is_useless) {
                (true, true) => return false,
                (true, false) => self.decide(at, Fate::Pinned),
                (false, true) => self.decide(at, Fate::Excluded),
                (false, false) => {}
            }
        }
        true
    }

    /// A free arm that the relaxation uses in part, the most used first; else one of a provider still
    /// asked for; else any.
    fn branching_arm(&mut self) -> Option<(usize, Fate)> {
        let is_free = |at: &usize| self.relaxation.fate(*at) == Fate::Free;
        if let Some(&at) = self.fractional.iter().find(|at| is_free(at)) {
            let is_mostly_used = self.relaxation.usage(at) >= 0.5;
            return Some((at, if is_mostly_used { Fate::Pinned } else { Fate::Excluded }));
        }
        self.collect_used();
        if self.problem.sets.lacks_providers(&self.set)
            && let Some(at) = self.best_new_provider()
        {
            return Some((at, Fate::Pinned));
        }
        let any = (0..self.relaxation.arms()).find(|at| self.relaxation.fate(*at) == Fate::Free);
        any.map(|at| (at, Fate::Excluded))
    }
}
