//! How much traffic a provider really takes, learnt from its refusals.
//!
//! A provider that refuses for too much traffic says that a limit is reached, or only that it had a
//! bad moment. The two differ in what follows: beyond a limit most queries are refused, and fewer
//! queries are refused less. So a few refusals among many answers change nothing; when refusals
//! pile up beyond what is usual for the arm, its traffic is held to what was accepted in the last
//! minute. From there it rises, slowly at first and faster as long as nothing is refused, as CUBIC does
//! (Ha, Rhee & Xu 2008), and falls to what is measured at the next refusals.

use serde::{Deserialize, Serialize};

use crate::checks::{is_time, sound};
use crate::error::Error;
use crate::meters::Minute;

/// Weight of an answer in the share of refusals that is recent, and in the one that is usual.
const RECENT_WEIGHT: f64 = 1.0 / 16.0;
const USUAL_WEIGHT: f64 = 1.0 / 512.0;

/// Recent share of refusals at which traffic is held, if that is well above what is usual: without a
/// limit yet, and where one is known.
const FIRST_SHARE: f64 = 0.35;
const LATER_SHARE: f64 = 0.1;
/// How often as much as is usual it must be.
const BEYOND_USUAL: f64 = 3.0;

/// What a limit grows by in the first minute without refusals, as a part of itself; in each further
/// minute twice as much.
const GROWTH: f64 = 0.05;
/// For how long it does not grow after it was lowered, seconds: twice as long each time that it is found
/// where it was.
const HOLD: f64 = 60.0;
const LONGEST_HOLD: f64 = 240.0;
const SAME: f64 = 0.2;
/// A limit that was guessed, since not all of the last minute was counted, doubles in so many seconds.
const GUESS_DOUBLES_IN: f64 = 10.0;
const MINUTE: f64 = 60.0;

/// An arm is like new after so long without a refusal, seconds.
const FORGOTTEN_AFTER: f64 = 3_600.0;

/// With more than so many queries left an arm need not be watched.
const MANY_LEFT: u32 = 100;

/// What a provider has said that it will still take.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Quota {
    left: u32,
    until: f64,
}

/// What is known of the limit of an arm's provider.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Limiter {
    /// Queries sent and not refused.
    sent: Minute,
    /// Since when they are counted.
    since: f64,
    recent: f64,
    usual: f64,
    /// Queries per minute when that was last lowered, if they are held to any number.
    per_minute: Option<f64>,
    /// Whether that was measured over a whole minute.
    is_measured: bool,
    lowered: f64,
    hold: f64,
    quota: Option<Quota>,
    /// When a query was sent that was let through, and when one was refused; the last of each.
    accepted: f64,
    refused: f64,
}

impl Limiter {
    /// `counted` is what the arm was sent in the last minute, and since when that was counted.
    pub(crate) fn new(counted: Option<(&Minute, f64)>, now: f64) -> Self {
        let (sent, since) =
            counted.map_or((Minute::new(now), now), |(sent, since)| (sent.clone(), since));
        Self {
            sent,
            since: since.max(now - MINUTE).max(0.0),
            recent: 0.0,
            usual: 0.0,
            per_minute: None,
            is_measured: false,
            lowered: now,
            hold: HOLD,
            quota: None,
            accepted: 0.0,
            refused: 0.0,
        }
    }

    /// Queries per minute that the arm is held to; infinite if to no number.
    pub(crate) fn per_minute(&self, now: f64) -> f64 {
        let Some(limit) = self.per_minute else { return f64::INFINITY };
        let quiet = now - self.lowered;
        if self.is_measured {
            limit * (1.0 + GROWTH * (doubled(quiet - self.hold, MINUTE) - 1.0))
        } else {
            limit * doubled(quiet, GUESS_DOUBLES_IN)
        }
    }

    /// Whether another query may be sent.
    pub(crate) fn admits(&mut self, now: f64) -> bool {
        let is_used_up = self.quota.is_some_and(|quota| quota.left == 0 && now < quota.until);
        !is_used_up && self.sent.has_room(1.0, self.per_minute(now), now)
    }

    /// When another query may be sent.
    pub(crate) fn opens(&mut self, now: f64) -> f64 {
        let refilled = self.quota.filter(|quota| quota.left == 0).map_or(now, |quota| quota.until);
        self.sent.opens(1.0, self.per_minute(now), now).max(refilled)
    }

    pub(crate) fn note_sent(&mut self, now: f64) {
        let _ = self.sent.has_room(1.0, f64::INFINITY, now);
        self.sent.take(1.0);
        if let Some(quota) = &mut self.quota {
            quota.left = quota.left.saturating_sub(1);
        }
    }

    /// Whether an arm that its provider will still take so many queries of has to be watched.
    pub(crate) fn is_few(left: u32) -> bool {
        left < MANY_LEFT
    }

    /// Takes a provider at its word: it will take so many queries more until a time. The latest word
    /// counts.
    pub(crate) fn note_quota(&mut self, left: u32, until: f64) {
        self.quota = Self::is_few(left).then_some(Quota { left, until });
    }

    /// Whether nothing is left to be known of it.
    pub(crate) fn is_over(&self, now: f64) -> bool {
        now - self.refused >= FORGOTTEN_AFTER && self.quota.is_none_or(|quota| quota.until <= now)
    }

    fn note(&mut self, is_refusal: f64) {
        self.recent += RECENT_WEIGHT * (is_refusal - self.recent);
        self.usual += USUAL_WEIGHT * (is_refusal - self.usual);
    }

    /// Counts an answer, or a failure of another kind: the query was let through.
    pub(crate) fn note_accepted(&mut self, sent: f64) {
        self.note(0.0);
        self.accepted = self.accepted.max(sent);
    }

    /// Counts a refusal of a query sent at `sent`. A provider that says for how long it wants no traffic
    /// has a limit: one that had a bad moment could not know. True if a limit was learnt.
    pub(crate) fn note_refused(&mut self, says_how_long: bool, sent: f64, now: f64) -> bool {
        if sent >= self.since {
            self.sent.correct(sent, -1.0, now);
        }
        self.note(1.0);
        self.refused = now;
        let share = if self.per_minute.is_some() { LATER_SHARE } else { FIRST_SHARE };
        // What was sent before the limit was lowered says nothing of it.
        let is_news = self.per_minute.is_none() || sent > self.lowered;
        let is_whole_minute = now - self.since >= MINUTE;
        let is_limit = (says_how_long && is_whole_minute)
            || self.recent >= share.max(BEYOND_USUAL * self.usual);
        if is_news && is_limit {
            // Where nothing has been let through since, the last minute saw another limit.
            let is_measured =
                is_whole_minute && (self.per_minute.is_none() || self.accepted > self.lowered);
            let (accepted, halved) = (self.sent.sum(), self.per_minute(now) / 2.0);
            let limit = if is_measured { accepted } else { accepted.min(halved) }.max(1.0);
            let is_same = self.per_minute.is_some_and(|old| (old - limit).abs() <= SAME * limit);
            let has_grown = now - self.lowered > self.hold;
            self.hold = match (is_same, has_grown) {
                (true, true) => (2.0 * self.hold).min(LONGEST_HOLD),
                (true, false) => self.hold,
                (false, _) => HOLD,
            };
            (self.per_minute, self.is_measured, self.lowered) = (Some(limit), is_measured, now);
            self.recent = self.usual;
        }
        is_news && is_limit
    }

    /// Checks what was deserialised.
    pub(crate) fn check_soundness(&self, now: f64) -> Result<(), Error> {
        let is_share = |share: f64| (0.0..=1.0).contains(&share);
        let is_sound = self.sent.is_sound(now)
            && is_share(self.recent)
            && is_share(self.usual)
            && self.per_minute.is_none_or(|limit| limit.is_finite() && limit >= 1.0)
            && self.quota.is_none_or(|quota| is_time(quota.until))
            && [self.since, self.lowered, self.accepted, self.refused]
                .iter()
                .all(|&t| is_time(t) && t <= now);
        sound(is_sound, "the refusals of an arm")
    }
}

/// What 1 becomes in `elapsed` seconds, if it doubles at the end of each `period`.
fn doubled(elapsed: f64, period: f64) -> f64 {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let periods = (elapsed / period).clamp(0.0, 60.0) as u32;
    (1_u64 << periods) as f64
}
