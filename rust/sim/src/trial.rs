//! The router under test, its twin, and its journal.
//!
//! A *twin* was restored from the router's state and gets the same calls: it answers the same, bit by
//! bit, and ends in the same state.

use stageroute_core::{ArmIndex, ArmSpec, Call, Error, LogBatch, Router, StepClock};
use stageroute_live::{Live, Moment};

use crate::broken::{Broken, Checked, ensure};
use crate::dice::Dice;
use crate::store::{Store, name_of};

pub(crate) struct Trial {
    live: Live<()>,
    twin: Option<Twin>,
    store: Option<Store>,
}

struct Twin {
    router: Router,
    /// Whether its state is to be the router's, byte by byte: one that was upgraded has forgotten what
    /// the earlier version did not know.
    is_exact: bool,
}

impl Trial {
    pub(crate) fn new(router: Router, is_journaled: bool) -> Checked<Self> {
        let mut live = Live::new(router);
        let store = is_journaled.then(|| Store::create(&mut live)).transpose()?;
        Ok(Self { live, twin: None, store })
    }

    pub(crate) fn router(&self) -> &Router {
        self.live.router()
    }

    /// Makes a call, of router and twin.
    pub(crate) fn apply<C: Call>(&mut self, call: &C) -> Checked<Result<C::Answer, Error>>
    where
        C::Answer: PartialEq + std::fmt::Debug,
    {
        let answer = refused(self.live.apply(call, b""))?;
        self.mirror(call, &answer)?;
        if let Some(store) = &mut self.store {
            store.note(&self.live)?;
        }
        Ok(answer)
    }

    pub(crate) fn add_arm(&mut self, spec: &ArmSpec) -> Checked<Result<(), Error>> {
        let name = name_of(self.router().len());
        let arm = ArmIndex::try_from(self.router().len()).map_err(Broken::by)?;
        let answer = refused(self.live.add_model(&name, (), spec, b""))?;
        self.mirror(spec, &answer.clone().map(|()| arm))?;
        if let Some(store) = &mut self.store {
            store.note(&self.live)?;
        }
        Ok(answer)
    }

    fn mirror<C: Call>(&mut self, call: &C, answer: &Result<C::Answer, Error>) -> Checked
    where
        C::Answer: PartialEq + std::fmt::Debug,
    {
        let Some(twin) = &mut self.twin else { return Ok(()) };
        let other = call.apply(&mut twin.router);
        // A number that is none equals nothing, not even itself.
        let is_same = other == *answer || format!("{other:?}") == format!("{answer:?}");
        ensure!(is_same, "a restored twin answered {other:?}, not {answer:?}");
        Ok(())
    }

    /// Reads a clock that shows `wall`.
    pub(crate) fn read_clock(&mut self, wall: f64) -> Checked<f64> {
        let before = self.router().clock_offset();
        let now = self.live.time(Moment::At(wall, None)).map_err(Broken::by)?;
        let offset = self.router().clock_offset();
        if offset != before {
            self.mirror(&StepClock(offset), &Ok(()))?;
        }
        Ok(now)
    }

    /// What was logged holds what was drawn, and distributions.
    pub(crate) fn check_log(&mut self) -> Checked {
        let mut batch = LogBatch::default();
        self.live.drain_log(&mut batch);
        let ends = batch.decisions.iter().skip(1).map(|next| next.first_arm);
        for (logged, end) in batch.decisions.iter().zip(ends.chain([batch.arms.len()])) {
            let arms = &batch.arms[logged.first_arm..end];
            let sum: f64 = arms.iter().map(|arm| arm.probability).sum();
            let drawn = arms.iter().find(|arm| arm.arm == logged.decision.arm);
            let is_right = (sum - 1.0).abs() < 1e-9
                && arms.iter().all(|arm| arm.probability >= 0.0)
                && drawn.is_some_and(|arm| arm.probability == logged.decision.probability);
            ensure!(is_right, "logged {logged:?} of {arms:?}");
        }
        Ok(())
    }

    pub(crate) fn state(&self) -> Checked<Vec<u8>> {
        self.router().to_bytes().map_err(Broken::by)
    }

    /// Makes a twin from a snapshot; the one before it has ended in the same state.
    pub(crate) fn fork(&mut self) -> Checked {
        self.end_twin()?;
        let state = self.state()?;
        let router = Router::from_bytes(&state).map_err(Broken::by)?;
        let again = router.to_bytes().map_err(Broken::by)?;
        ensure!(again == state, "a restored router has another state");
        self.twin = Some(Twin { router, is_exact: true });
        Ok(())
    }

    /// Makes a twin from the state as the first version would have written it.
    pub(crate) fn upgrade(&mut self) -> Checked {
        self.end_twin()?;
        let router = upgraded(self.router())?;
        self.twin = Some(Twin { router, is_exact: false });
        Ok(())
    }

    fn end_twin(&mut self) -> Checked {
        let Some(twin) = self.twin.take() else { return Ok(()) };
        let state = twin.router.to_bytes().map_err(Broken::by)?;
        let is_same = !twin.is_exact || state == self.state()?;
        ensure!(
            is_same,
            "a restored twin ended elsewhere: {}",
            difference(&twin.router, self.router())
        );
        Ok(())
    }

    /// The process dies, and another one goes on from its journal. True if there is one.
    pub(crate) fn crash(&mut self, dice: &mut Dice) -> Checked<bool> {
        let state = self.state()?;
        let Some(store) = &mut self.store else { return Ok(false) };
        self.live = store.recover(dice, &state)?;
        Ok(true)
    }

    pub(crate) fn end(&mut self) -> Checked {
        self.end_twin()
    }
}

/// The router that reads the state as the first version would have written it.
pub(crate) fn upgraded(router: &Router) -> Checked<Router> {
    let first = postcard::to_allocvec(router).map_err(Broken::by)?;
    Router::from_bytes(&first).map_err(Broken::by)
}

/// Where two routers differ first.
fn difference(a: &Router, b: &Router) -> String {
    let (a, b) = (format!("{a:?}"), format!("{b:?}"));
    let same = a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count();
    let around = |text: &str| text.get(same.saturating_sub(80)..same + 40).map(str::to_owned);
    format!("{:?}, not {:?}", around(&a), around(&b))
}

/// What the router itself answered.
fn refused<T>(answer: Result<T, stageroute_live::Error>) -> Checked<Result<T, Error>> {
    match answer {
        Ok(answer) => Ok(Ok(answer)),
        Err(stageroute_live::Error::Refused(error)) => Ok(Err(error)),
        Err(error) => Err(Broken::by(error)),
    }
}
