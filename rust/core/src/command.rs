//! Everything that can be done to a router, as data.
//!
//! A router is a state machine without a clock or a source of chance of its own: the same commands
//! from the same state give the same decisions, bit by bit. A journal of commands is therefore a
//! journal of the router.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::arm_index::ArmIndex;
use crate::decision::Query;
use crate::error::Error;
use crate::pacing::StartCost;
use crate::router::{ArmSettings, ArmSpec, FailureReason, Observation, Router};

/// One call of a router that changes its state. `now` is in seconds of Unix time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Command<'a> {
    /// [`Router::route`].
    Route(Query<'a>),
    /// [`Router::observe`].
    Observe {
        /// When.
        now: f64,
        /// What.
        observation: Observation,
    },
    /// [`Router::observe_all`] or [`Router::observe_each`].
    ObserveMany {
        /// When.
        now: f64,
        /// What.
        observations: Cow<'a, [Observation]>,
        /// Whether all are counted or none.
        all_or_none: bool,
    },
    /// [`Router::fail`].
    Fail {
        /// When.
        now: f64,
        /// The decision.
        id: u64,
        /// Why.
        reason: FailureReason,
        /// What was billed, USD.
        cost: Option<f64>,
        /// For how long the provider wants no traffic, seconds.
        retry_after: Option<f64>,
    },
    /// [`Router::release`].
    Release {
        /// When.
        now: f64,
        /// The decision.
        id: u64,
    },
    /// [`Router::add_arm`].
    AddArm(ArmSpec),
    /// [`Router::set_arm`].
    SetArm {
        /// The arm.
        arm: ArmIndex,
        /// Its new settings.
        settings: ArmSettings,
    },
    /// [`Router::retire_arm`].
    RetireArm(ArmIndex),
    /// [`Router::set_budget`].
    SetBudget(f64),
    /// [`Router::publish`].
    Publish {
        /// The live set.
        deployed: Cow<'a, [ArmIndex]>,
        /// What starting it costs.
        start: StartCost,
    },
    /// [`Router::extend_stage`].
    ExtendStage,
}

impl Command<'_> {
    /// Appends the command to `buffer`, in a form that [`Command::decode`] of the same version
    /// understands.
    pub fn encode(&self, buffer: &mut Vec<u8>) {
        // Writing to memory cannot fail, for no part of a command is of unknown length.
        *buffer = postcard::to_extend(self, std::mem::take(buffer)).unwrap_or_default();
    }

    /// The command at the front of `bytes`, and what follows it.
    ///
    /// # Errors
    /// [`Error::BadSnapshot`] if there is none.
    pub fn decode(bytes: &[u8]) -> Result<(Command<'static>, &[u8]), Error> {
        postcard::take_from_bytes(bytes).map_err(|error| Error::BadSnapshot(error.to_string()))
    }

    /// Does it, once more. Errors are those of the call: it had them the first time too.
    ///
    /// # Errors
    /// As the call.
    pub fn apply(&self, router: &mut Router) -> Result<(), Error> {
        match self {
            Self::Route(query) => router.route(query).map(drop),
            Self::Observe { now, observation } => router.observe(*now, observation),
            Self::ObserveMany { now, observations, all_or_none: true } => {
                router.observe_all(*now, observations).map_err(|(_, error)| error)
            }
            Self::ObserveMany { now, observations, all_or_none: false } => {
                router.observe_each(*now, observations).map(drop).map_err(|(_, error)| error)
            }
            Self::Fail { now, id, reason, cost, retry_after } => {
                router.fail(*now, *id, *reason, *cost, *retry_after)
            }
            Self::Release { now, id } => router.release(*now, *id),
            Self::AddArm(spec) => router.add_arm(spec).map(drop),
            Self::SetArm { arm, settings } => router.set_arm(*arm, *settings),
            Self::RetireArm(arm) => router.retire_arm(*arm),
            Self::SetBudget(budget) => router.set_budget(*budget),
            Self::Publish { deployed, start } => router.publish(deployed, *start).map(drop),
            Self::ExtendStage => {
                router.extend_stage();
                Ok(())
            }
        }
    }
}
