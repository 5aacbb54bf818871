//! Which guards are on.

/// Which guards are on.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Gates {
    /// Whether any live arm needs to be looked at before each decision.
    pub(super) any: bool,
    /// Whether any live arm has limits on its traffic.
    pub(super) traffic: bool,
    /// Whether anything is known against a live arm.
    pub(super) trouble: bool,
    /// When trouble is next looked at.
    pub(super) trouble_due: f64,
}
