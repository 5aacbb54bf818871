//! What hard limits stand at: for every window of every limit, the sum of what its decisions were
//! billed, or may still be.

use stageroute_core::{AtLimit, HardLimit, Period};

/// An amount in nanodollars; what is spent or set aside is rounded up, but not for its
/// representation.
pub(crate) fn nano(usd: f64) -> i64 {
    let nano = usd * 1e9;
    let near = nano.round();
    let is_whole = (nano - near).abs() <= 8.0 * f64::EPSILON * nano;
    #[allow(clippy::cast_possible_truncation)]
    let whole = if is_whole { near } else { nano.ceil() } as i64;
    whole
}

/// So many windows that the clock has left are remembered.
const REMEMBERED: usize = 240;

#[derive(Debug, Clone, Copy)]
struct Window {
    start: f64,
    end: f64,
    sum: i64,
}

/// One limit.
#[derive(Debug, Clone)]
pub(crate) struct Limit {
    pub(crate) rule: HardLimit,
    pub(crate) most: i64,
    /// The first decision that it counts.
    pub(crate) since: u64,
    /// Every window that it was in, the present one last.
    windows: Vec<Window>,
    /// What was paid beside bills, each for every window that it counts in.
    paid: Vec<(f64, i64)>,
}

impl Limit {
    fn new(limit: HardLimit, since: u64) -> Self {
        let most = nano(limit.usd);
        Self { rule: limit, most, since, windows: Vec::new(), paid: Vec::new() }
    }

    /// What is committed in the present window.
    pub(crate) fn committed(&self) -> i64 {
        self.windows.last().map_or(0, |window| window.sum)
    }

    fn advance(&mut self, wall: f64, undated: i64) {
        let before = self.windows.last().copied();
        if before.is_some_and(|now| now.start <= wall && wall < now.end) {
            return;
        }
        let (start, end) = window(self.rule.period, wall);
        let known = self.windows.iter().position(|known| known.start == start);
        let is_remembered = known.is_some_and(|at| at + 1 + REMEMBERED >= self.windows.len());
        let window = known.map(|at| self.windows.remove(at)).filter(|_| is_remembered);
        let window = window.unwrap_or(Window { start, end, sum: 0 });
        self.windows.push(window);
        if undated > 0 {
            self.pay(wall, undated);
        }
    }

    fn pay(&mut self, wall: f64, amount: i64) {
        self.change(wall, amount);
        self.paid.push((wall, amount));
    }

    fn change(&mut self, made: f64, by: i64) {
        let holds = |window: &&mut Window| window.start <= made && made < window.end;
        if let Some(window) = self.windows.iter_mut().rev().find(holds) {
            window.sum += by;
        }
    }

    /// Adds up anew what the present window holds, from all decisions.
    pub(crate) fn recount(&self, amounts: impl Iterator<Item = (f64, i64)>) -> i64 {
        let Some(now) = self.windows.last() else { return 0 };
        let all = amounts.chain(self.paid.iter().copied());
        let within = all.filter(|&(made, _)| now.start <= made && made < now.end);
        within.map(|(_, amount)| amount).sum()
    }
}

/// All hard limits.
#[derive(Debug, Clone, Default)]
pub(crate) struct Money {
    pub(crate) limits: Vec<Limit>,
    /// Paid since the last query: it counts in the window of then and in that of the next query.
    undated: i64,
    /// The wall clock of the last query.
    pub(crate) wall: f64,
    /// Whether the clock has ever jumped: from then on the router may count more than this, never less.
    pub(crate) has_jumped: bool,
    /// Whether it has since the last query: then what is paid counts in the window of the next.
    has_moved: bool,
}

impl Money {
    pub(crate) fn new(limits: &[HardLimit]) -> Self {
        Self {
            limits: limits.iter().map(|&limit| Limit::new(limit, 0)).collect(),
            ..Self::default()
        }
    }

    pub(crate) fn is_off(&self) -> bool {
        self.limits.is_empty()
    }

    /// Other limits: one of a period that there was goes on, one of a new period starts at nothing.
    pub(crate) fn configure(&mut self, limits: &[HardLimit], next: u64) {
        let old = std::mem::take(&mut self.limits);
        let succeed = |&limit: &HardLimit| {
            let same = old.iter().find(|old| old.rule.period == limit.period);
            same.map_or_else(
                || Limit::new(limit, next),
                |old| Limit { rule: limit, most: nano(limit.usd), ..old.clone() },
            )
        };
        self.limits = limits.iter().map(succeed).collect();
    }

    /// A query comes.
    pub(crate) fn advance(&mut self, wall: f64) {
        for limit in &mut self.limits {
            limit.advance(wall, self.undated);
        }
        self.undated = 0;
        self.wall = wall;
        self.has_moved = false;
    }

    /// Whether a reservation fits into every limit that behaves so, or into all.
    pub(crate) fn fits(&self, reservation: i64, at_limit: Option<AtLimit>) -> bool {
        let mut limits = self
            .limits
            .iter()
            .filter(|limit| at_limit.is_none_or(|at_limit| limit.rule.at_limit == at_limit));
        reservation == 0 || limits.all(|limit| limit.committed() + reservation <= limit.most)
    }

    /// Whether an amount fits into every limit at a time, which may be after the last query.
    pub(crate) fn fits_at(&self, amount: i64, wall: f64) -> bool {
        let committed = |limit: &Limit| {
            let is_over = limit.windows.last().is_none_or(|window| wall >= window.end);
            if is_over { self.undated } else { limit.committed() }
        };
        self.limits.iter().all(|limit| amount <= (limit.most - committed(limit)).max(0))
    }

    pub(crate) fn reserve(&mut self, reservation: i64) {
        let wall = self.wall;
        self.limits.iter_mut().for_each(|limit| limit.change(wall, reservation));
    }

    /// A bill takes the place of a reservation made at `made` by the wall clock.
    pub(crate) fn bill(&mut self, id: u64, made: f64, reservation: i64, bill: i64) {
        for limit in self.limits.iter_mut().filter(|limit| id >= limit.since) {
            limit.change(made, bill - reservation);
        }
    }

    /// The wall clock jumps.
    pub(crate) fn jump(&mut self) {
        (self.has_jumped, self.has_moved) = (true, true);
    }

    /// What starting a set costs is paid at once.
    pub(crate) fn pay(&mut self, amount: i64) {
        self.undated += amount;
        if self.has_moved {
            return;
        }
        let wall = self.wall;
        let dated = self.limits.iter_mut().filter(|limit| !limit.windows.is_empty());
        dated.for_each(|limit| limit.pay(wall, amount));
    }
}

/// Start and end of the window that holds `now`.
fn window(period: Period, now: f64) -> (f64, f64) {
    const HOUR: f64 = 3_600.0;
    const DAY: f64 = 24.0 * HOUR;
    let of = |length: f64| {
        let start = (now / length).floor() * length;
        (start, start + length)
    };
    match period {
        Period::Hour => of(HOUR),
        Period::Day => of(DAY),
        Period::Week => {
            // The 5th of January 1970 was a Monday.
            let start = 4.0 * DAY + ((now - 4.0 * DAY) / (7.0 * DAY)).floor() * 7.0 * DAY;
            (start, start + 7.0 * DAY)
        }
        Period::Total => (f64::NEG_INFINITY, f64::INFINITY),
        Period::Month => {
            // Month by month since 1970.
            let mut start = 0.0;
            for year in 1970_u32.. {
                let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
                let february = if is_leap { 29.0 } else { 28.0 };
                let days = [31.0, february, 31.0, 30.0, 31.0, 30.0];
                for days in days.into_iter().chain([31.0, 31.0, 30.0, 31.0, 30.0, 31.0]) {
                    let end = start + days * DAY;
                    if now < end {
                        return (start, end);
                    }
                    start = end;
                }
            }
            (start, f64::INFINITY)
        }
    }
}
