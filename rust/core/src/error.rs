//! The one error type of the crate.

use thiserror::Error as ThisError;

use crate::arm_index::ArmIndex;

/// Everything that can go wrong. No state has changed when one of these is returned.
#[derive(Debug, Clone, PartialEq, ThisError)]
pub enum Error {
    /// A number breaks the rule of its argument.
    #[error("{argument} = {value}: {rule}")]
    InvalidNumber {
        /// Name of the argument, as the caller wrote it.
        argument: &'static str,
        /// The value given.
        value: f64,
        /// The rule that it breaks.
        rule: &'static str,
    },
    /// A number inside an array breaks the rule of its argument.
    #[error("{argument}[{index}] = {value}: {rule}")]
    InvalidElement {
        /// Name of the argument, as the caller wrote it.
        argument: &'static str,
        /// Where in the array.
        index: usize,
        /// The value given.
        value: f64,
        /// The rule that it breaks.
        rule: &'static str,
    },
    /// An array has the wrong length.
    #[error("{argument} has {actual} elements; it must have {expected}, {rule}")]
    WrongLength {
        /// Name of the argument.
        argument: &'static str,
        /// Its length.
        actual: usize,
        /// The length it must have.
        expected: usize,
        /// Why it must have that length.
        rule: &'static str,
    },
    /// There is no arm where at least one is needed.
    #[error("{argument} is empty: there must be at least one arm")]
    NoArms {
        /// Name of the argument.
        argument: &'static str,
    },
    /// An index names no arm.
    #[error("{argument} names arm {arm}; this instance has {arms} arms, numbered from 0")]
    UnknownArm {
        /// Name of the argument.
        argument: &'static str,
        /// The arm given.
        arm: ArmIndex,
        /// How many arms there are.
        arms: usize,
    },
    /// More arms than have numbers.
    #[error("there are 2^32 arms already: no more can be added")]
    TooManyArms,
    /// An arm is named twice where each may stand once.
    #[error("{argument} names arm {arm} twice; each arm may be named once")]
    DuplicateArm {
        /// Name of the argument.
        argument: &'static str,
        /// The arm given twice.
        arm: ArmIndex,
    },
    /// An arm that has retired was asked for.
    #[error("{argument} names arm {arm}, which has retired")]
    RetiredArm {
        /// Name of the argument.
        argument: &'static str,
        /// The retired arm.
        arm: ArmIndex,
    },
    /// An arm that has not retired was to come back.
    #[error("{argument} names arm {arm}, which is in service")]
    ActiveArm {
        /// Name of the argument.
        argument: &'static str,
        /// The arm.
        arm: ArmIndex,
    },
    /// Tokens where an arm learns USD, or the other way round.
    #[error("{argument} of arm {arm}: {rule}")]
    WrongPricing {
        /// Name of the argument.
        argument: &'static str,
        /// The arm.
        arm: ArmIndex,
        /// The rule that is broken.
        rule: &'static str,
    },
    /// Feedback for a decision that was never made.
    #[error("decision {id} was never issued by this router; the next id is {next}")]
    UnknownDecision {
        /// The id given.
        id: u64,
        /// The id that the next decision will have.
        next: u64,
    },
    /// Feedback for a decision whose entry was evicted.
    #[error(
        "decision {id} has expired: only the last {capacity} decisions are kept open{}; raise \
         open_decisions{} if feedback is later than that",
        if max_age.is_finite() { format!(", for at most {max_age} s") } else { String::new() },
        if max_age.is_finite() { " or max_age" } else { "" }
    )]
    ExpiredDecision {
        /// The id given.
        id: u64,
        /// How many decisions are kept open.
        capacity: usize,
        /// For how long.
        max_age: f64,
    },
    /// Feedback of one kind given twice.
    #[error("the {kind} of decision {id} was already observed; the first value stands")]
    AlreadyObserved {
        /// The id given.
        id: u64,
        /// `reward` or `cost`.
        kind: &'static str,
    },
    /// What is wrong with the first bad element of a batch.
    #[error("element {index}: {error}; nothing of the batch was counted")]
    InBatch {
        /// Which element.
        index: usize,
        /// What is wrong with it.
        error: Box<Self>,
    },
    /// No arm is live.
    #[error(
        "no arm is live: none was deployed, or all have left since; end the stage to deploy others"
    )]
    NoLiveArm,
    /// Every live arm that may serve the query is at a limit of requests, tokens or queries under
    /// way.
    #[error(
        "every live model that may serve this query is at a throughput limit; {}",
        retry(*.retry_after)
    )]
    AtTrafficLimit {
        /// Seconds until one of them has room, if that does not depend on answers still to come.
        retry_after: Option<f64>,
    },
    /// Every live arm that may serve the query is cooling down after failures.
    #[error("every live model that may serve this query is cooling down after failures; {}", retry(Some(*.retry_after)))]
    AllCooling {
        /// Seconds until one of them may be tried again.
        retry_after: f64,
    },
    /// What the query could cost would break a hard limit.
    #[error(
        "the hard limit of {usd} USD per {period} leaves no room for what this query could cost; {}",
        retry(*.retry_after)
    )]
    AtHardLimit {
        /// The limit, USD.
        usd: f64,
        /// Its window.
        period: &'static str,
        /// Seconds until the window ends, if it does.
        retry_after: Option<f64>,
    },
    /// Starting a live set would break a hard limit.
    #[error(
        "starting these models costs {usd} USD, and the hard limit of {limit} USD per {period} has {left} \
         USD left: start fewer, or raise the limit"
    )]
    StartAboveLimit {
        /// What starting costs, USD.
        usd: f64,
        /// The limit, USD.
        limit: f64,
        /// Its window.
        period: &'static str,
        /// What is left of it, USD.
        left: f64,
    },
    /// No live arm satisfies what was asked of this query.
    #[error(
        "no live model may serve this query: all {live} are excluded by allowed, max_cost, the \
         number of tokens, or a budget of 0"
    )]
    AllExcluded {
        /// How many arms are live.
        live: usize,
    },
    /// A query is larger than any live arm takes.
    #[error(
        "no live model may serve this query: it has {tokens} tokens, and none takes more than {most} \
         (max_tokens or context_window, tokens_per_minute)"
    )]
    TooLarge {
        /// Its tokens, input and output together.
        tokens: f64,
        /// The most that some live arm takes.
        most: f64,
    },
    /// Feedback whose cost cannot be understood.
    #[error("{0}")]
    InvalidFeedback(&'static str),
    /// A snapshot that does not hold a router.
    #[error("the snapshot does not hold a router: {0}")]
    BadSnapshot(String),
    /// The simplex did not end within its pivot limit; a defect, never an answer.
    #[error("the routing LP with {arms} arms did not end within {limit} pivots")]
    PivotLimit {
        /// Arms in the LP.
        arms: usize,
        /// The limit.
        limit: usize,
    },
    /// The search for a live set was ended before its answer was proven.
    #[error(
        "the search for a live set ended without a proven optimum, after {nodes} nodes; raise \
         time_limit, lower the number of candidates, or use solver = 'highs'"
    )]
    SearchStopped {
        /// Sets of live sets looked at.
        nodes: u64,
    },
    /// A replay was ended by its caller.
    #[error("the replay was stopped after {queries} queries")]
    ReplayStopped {
        /// How many queries were replayed.
        queries: usize,
    },
    /// A solver of sets is wrong by more than rounding; a defect, never an answer.
    #[error("{solver} chose a set as the {goal} one that is {status} when judged exactly")]
    ContradictedSolver {
        /// The solver.
        solver: &'static str,
        /// What it was asked for.
        goal: &'static str,
        /// The status of its set.
        status: &'static str,
    },
}

fn retry(after: Option<f64>) -> String {
    after.map_or_else(
        || "try again when answers have come".to_owned(),
        |seconds| format!("try again in {seconds:.3} s"),
    )
}

// Here and not beside `ArmIndex`, which errors name: files do not import each other in circles.
impl TryFrom<usize> for ArmIndex {
    type Error = Error;

    fn try_from(index: usize) -> Result<Self, Error> {
        u32::try_from(index).map(Self).map_err(|_| Error::TooManyArms)
    }
}
