//! An invariant that does not hold.

use std::fmt;

/// What was found wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Broken(pub(crate) String);

pub(crate) type Checked<T = ()> = Result<T, Broken>;

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// For what must not fail at all.
impl Broken {
    pub(crate) fn by(error: impl fmt::Display) -> Self {
        Self(error.to_string())
    }
}

/// Ends the world unless something holds.
macro_rules! ensure {
    ($holds:expr, $($message:tt)+) => {
        let holds: bool = $holds;
        if !holds {
            return Err($crate::broken::Broken(format!($($message)+)));
        }
    };
}

pub(crate) use ensure;
