//! Everything that can be done to a router, as calls and as data.
//!
//! A router is a state machine without a clock or a source of chance of its own: the same commands
//! from the same state give the same decisions, bit by bit. A journal of commands is therefore a
//! journal of the router. A [`Call`] is done in one way only, whether it is made for the first time or
//! repeated from a journal.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::arm_index::ArmIndex;
use crate::decision::{Decision, Query};
use crate::error::Error;
use crate::pacing::StartCost;
use crate::router::{
    ArmSettings, ArmSpec, Batch, FailureReason, Observation, Router, RouterConfig, Terms,
};
use crate::tariff::Usage;

/// One call of a router that changes its state.
pub trait Call {
    /// What it answers.
    type Answer;

    /// Whether it ends or prolongs the stage.
    const ENDS_STAGE: bool = false;

    /// Does it.
    ///
    /// # Errors
    /// As the method of [`Router`] that it stands for.
    fn apply(&self, router: &mut Router) -> Result<Self::Answer, Error>;

    /// The call as data; what it refers to is borrowed.
    fn as_command(&self) -> Command<'_>;
}

/// Implements [`Call`] for one that is copied into its [`Command`].
macro_rules! call {
    ($call:ident => $command:ident, $answer:ty, |$this:ident, $router:ident| $done:expr) => {
        impl Call for $call {
            type Answer = $answer;

            #[inline]
            fn apply(&self, $router: &mut Router) -> Result<$answer, Error> {
                let $this = self;
                $done
            }

            fn as_command(&self) -> Command<'_> {
                Command::$command(*self)
            }
        }
    };
}

impl Call for Query<'_> {
    type Answer = Decision;

    #[inline]
    fn apply(&self, router: &mut Router) -> Result<Decision, Error> {
        router.route(self)
    }

    fn as_command(&self) -> Command<'_> {
        let allowed = self.allowed.as_deref().map(Cow::Borrowed);
        Command::Route(Query { allowed, ..*self })
    }
}

/// [`Router::observe`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Observe {
    /// When, seconds of Unix time.
    pub now: f64,
    /// What.
    pub observation: Observation,
}

call!(Observe => Observe, (), |call, router| router.observe(call.now, &call.observation));

/// [`Router::observe_all`] or [`Router::observe_each`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ObserveMany<'a> {
    /// When, seconds of Unix time.
    pub now: f64,
    /// What.
    pub observations: Cow<'a, [Observation]>,
    /// Whether all are counted or none.
    pub all_or_none: bool,
}

impl Call for ObserveMany<'_> {
    type Answer = Batch;

    fn apply(&self, router: &mut Router) -> Result<Batch, Error> {
        let Self { now, ref observations, all_or_none } = *self;
        let answer = if all_or_none {
            let counted = observations.len() as u64;
            let done = router.observe_all(now, observations);
            done.map(|()| Batch { counted, ..Batch::default() })
        } else {
            router.observe_each(now, observations)
        };
        answer.map_err(|(index, error)| Error::InBatch { index, error: Box::new(error) })
    }

    fn as_command(&self) -> Command<'_> {
        let observations = Cow::Borrowed(&*self.observations);
        Command::ObserveMany(ObserveMany { observations, ..*self })
    }
}

/// [`Router::fail`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Fail {
    /// When, seconds of Unix time.
    pub now: f64,
    /// The decision.
    pub id: u64,
    /// Why.
    pub reason: FailureReason,
    /// What was billed, USD.
    pub cost: Option<f64>,
    /// For how long the provider wants no traffic, seconds.
    pub retry_after: Option<f64>,
}

call!(Fail => Fail, (), |call, router| {
    let Fail { now, id, reason, cost, retry_after } = *call;
    router.fail(now, id, reason, cost, retry_after)
});

/// [`Router::release`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Release {
    /// When, seconds of Unix time.
    pub now: f64,
    /// The decision.
    pub id: u64,
}

call!(Release => Release, (), |call, router| router.release(call.now, call.id));

// [`Router::add_arm`].
call!(ArmSpec => AddArm, ArmIndex, |call, router| router.add_arm(call));

/// [`Router::set_arm`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SetArm {
    /// The arm.
    pub arm: ArmIndex,
    /// Its new settings.
    pub settings: ArmSettings,
}

call!(SetArm => SetArm, (), |call, router| router.set_arm(call.arm, call.settings));

/// [`Router::retire_arm`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RetireArm(
    /// The arm.
    pub ArmIndex,
);

call!(RetireArm => RetireArm, (), |call, router| router.retire_arm(call.0));

/// [`Router::set_budget`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SetBudget(
    /// USD per query.
    pub f64,
);

call!(SetBudget => SetBudget, (), |call, router| router.set_budget(call.0));

/// [`Router::publish`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Publish<'a> {
    /// The live set.
    pub deployed: Cow<'a, [ArmIndex]>,
    /// What starting it costs.
    pub start: StartCost,
}

impl Call for Publish<'_> {
    type Answer = ();

    const ENDS_STAGE: bool = true;

    fn apply(&self, router: &mut Router) -> Result<(), Error> {
        router.publish(&self.deployed, self.start).map(drop)
    }

    fn as_command(&self) -> Command<'_> {
        Command::Publish(Publish { deployed: Cow::Borrowed(&*self.deployed), start: self.start })
    }
}

/// [`Router::extend_stage`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExtendStage;

impl Call for ExtendStage {
    type Answer = ();

    const ENDS_STAGE: bool = true;

    fn apply(&self, router: &mut Router) -> Result<(), Error> {
        router.extend_stage();
        Ok(())
    }

    fn as_command(&self) -> Command<'_> {
        Command::ExtendStage(*self)
    }
}

/// [`Router::step_clock`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct StepClock(
    /// What the wall clock shows more than the router's, seconds.
    pub f64,
);

call!(StepClock => StepClock, (), |call, router| router.step_clock(call.0));

/// [`Router::end_cooldown`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct EndCooldown {
    /// When.
    pub now: f64,
    /// The arm.
    pub arm: ArmIndex,
}

call!(EndCooldown => EndCooldown, (), |call, router| router.end_cooldown(call.now, call.arm));

/// [`Router::configure`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Configure(
    /// The new settings.
    pub Box<RouterConfig>,
);

impl Call for Configure {
    type Answer = ();

    fn apply(&self, router: &mut Router) -> Result<(), Error> {
        router.configure((*self.0).clone())
    }

    fn as_command(&self) -> Command<'_> {
        Command::Configure(self.clone())
    }
}

/// [`Router::revive_arm`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ReviveArm(
    /// The arm.
    pub ArmIndex,
);

call!(ReviveArm => ReviveArm, (), |call, router| router.revive_arm(call.0));
/// [`Router::change_budget`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ChangeBudget {
    /// USD per query.
    pub budget: f64,
    /// Whether over- and underspend so far is carried over.
    pub carry: bool,
}

call!(ChangeBudget => ChangeBudget, (), |call, router| router.change_budget(call.budget, call.carry));

/// [`Router::correct`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Correct {
    /// When, seconds of Unix time.
    pub now: f64,
    /// The decision.
    pub id: u64,
    /// What it was billed after all, USD.
    pub cost: f64,
}

call!(Correct => Correct, (), |call, router| router.correct(call.now, call.id, call.cost));

/// [`Router::note_quota`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct NoteQuota {
    /// When.
    pub now: f64,
    /// The arm.
    pub arm: ArmIndex,
    /// How many queries its provider will still take, …
    pub left: u32,
    /// … for so many seconds.
    pub reset: f64,
}

call!(NoteQuota => NoteQuota, (), |call, router| {
    router.note_quota(call.now, call.arm, call.left, call.reset)
});
/// [`Router::add_model`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AddModel(
    /// The arm.
    pub Box<(ArmSpec, Terms)>,
);

impl Call for AddModel {
    type Answer = ArmIndex;

    fn apply(&self, router: &mut Router) -> Result<ArmIndex, Error> {
        router.add_model(&self.0.0, &self.0.1)
    }

    fn as_command(&self) -> Command<'_> {
        Command::AddModel(self.clone())
    }
}

/// [`Router::set_model`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SetModel {
    /// The arm.
    pub arm: ArmIndex,
    /// Its new settings and terms.
    pub to: Box<(ArmSettings, Terms)>,
}

impl Call for SetModel {
    type Answer = ();

    fn apply(&self, router: &mut Router) -> Result<(), Error> {
        router.set_model(self.arm, self.to.0, &self.to.1)
    }

    fn as_command(&self) -> Command<'_> {
        Command::SetModel(self.clone())
    }
}

/// [`Router::observe_usage`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ObserveUsage {
    /// When, seconds of Unix time.
    pub now: f64,
    /// What.
    pub report: Box<(Observation, Usage)>,
}

impl Call for ObserveUsage {
    type Answer = ();

    fn apply(&self, router: &mut Router) -> Result<(), Error> {
        router.observe_usage(self.now, &self.report.0, &self.report.1)
    }

    fn as_command(&self) -> Command<'_> {
        Command::ObserveUsage(self.clone())
    }
}

/// Any call, as data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
// Each stands for the call of its name.
#[allow(missing_docs)]
pub enum Command<'a> {
    Route(Query<'a>),
    Observe(Observe),
    ObserveMany(ObserveMany<'a>),
    Fail(Fail),
    Release(Release),
    AddArm(ArmSpec),
    SetArm(SetArm),
    RetireArm(RetireArm),
    SetBudget(SetBudget),
    Publish(Publish<'a>),
    ExtendStage(ExtendStage),
    StepClock(StepClock),
    EndCooldown(EndCooldown),
    Configure(Configure),
    ReviveArm(ReviveArm),
    Correct(Correct),
    ChangeBudget(ChangeBudget),
    NoteQuota(NoteQuota),
    AddModel(AddModel),
    SetModel(SetModel),
    ObserveUsage(ObserveUsage),
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

    /// Does it once more. Errors are those of the call: it had them the first time too.
    ///
    /// # Errors
    /// As the call.
    pub fn apply(&self, router: &mut Router) -> Result<(), Error> {
        match self {
            Self::Route(call) => call.apply(router).map(drop),
            Self::Observe(call) => call.apply(router),
            Self::ObserveMany(call) => call.apply(router).map(drop),
            Self::Fail(call) => call.apply(router),
            Self::Release(call) => call.apply(router),
            Self::AddArm(call) => call.apply(router).map(drop),
            Self::SetArm(call) => call.apply(router),
            Self::RetireArm(call) => call.apply(router),
            Self::SetBudget(call) => call.apply(router),
            Self::Publish(call) => call.apply(router),
            Self::ExtendStage(call) => call.apply(router),
            Self::StepClock(call) => call.apply(router),
            Self::EndCooldown(call) => call.apply(router),
            Self::Configure(call) => call.apply(router),
            Self::ReviveArm(call) => call.apply(router),
            Self::Correct(call) => call.apply(router),
            Self::ChangeBudget(call) => call.apply(router),
            Self::NoteQuota(call) => call.apply(router),
            Self::AddModel(call) => call.apply(router).map(drop),
            Self::SetModel(call) => call.apply(router),
            Self::ObserveUsage(call) => call.apply(router),
        }
    }
}
