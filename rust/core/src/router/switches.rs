//! Which guards are on.

/// Which guards are on.
// Four facts, each of which may be so or not whatever the others are: no state machine.
#[allow(clippy::struct_excessive_bools)]
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Gates {
    /// Whether any live arm needs to be looked at before each decision.
    pub(super) any: bool,
    /// Whether any live arm has limits on its traffic.
    pub(super) traffic: bool,
    /// Whether anything is known against a live arm.
    pub(super) trouble: bool,
    /// Whether any arm has failed of late or is a newcomer, live or not.
    pub(super) unproven: bool,
    /// When trouble is next looked at.
    pub(super) trouble_due: f64,
}
