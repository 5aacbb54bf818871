//! The one map from names of models to arms.

use std::collections::HashMap;

use stageroute_core::ArmIndex;

use crate::error::Error;

/// The name of each arm, and the arm of each name: the last one that was given it.
///
/// A label is a name in the form that callers want it back: an `Arc<str>`, or an object of another
/// language.
#[derive(Debug)]
pub struct Names<L> {
    labels: Vec<L>,
    arms: HashMap<Box<str>, ArmIndex>,
}

impl<L> Default for Names<L> {
    fn default() -> Self {
        Self { labels: Vec::new(), arms: HashMap::new() }
    }
}

impl<L> Names<L> {
    /// How many arms have a name.
    #[must_use]
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether no arm has a name.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The label of an arm.
    ///
    /// # Panics
    /// If there is no such arm.
    #[must_use]
    #[inline]
    pub fn label(&self, arm: ArmIndex) -> &L {
        &self.labels[arm]
    }

    /// The arm of a name, if a model has it.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<ArmIndex> {
        self.arms.get(name).copied()
    }

    /// The arm of a name.
    ///
    /// # Errors
    /// [`Error::UnknownModel`].
    pub fn find(&self, name: &str) -> Result<ArmIndex, Error> {
        self.get(name).ok_or_else(|| self.unknown(name))
    }

    /// Names the next arm, whatever arm had the name before.
    ///
    /// # Errors
    /// [`Error::Refused`] for more arms than there are numbers.
    pub(crate) fn add(&mut self, name: &str, label: L) -> Result<(), Error> {
        self.arms.insert(name.into(), self.labels.len().try_into()?);
        self.labels.push(label);
        Ok(())
    }

    #[cold]
    fn unknown(&self, name: &str) -> Error {
        let mut known: Vec<(&ArmIndex, &str)> =
            self.arms.iter().map(|(name, arm)| (arm, &**name)).collect();
        known.sort_unstable();
        let known: Vec<&str> = known.into_iter().map(|(_, name)| name).collect();
        Error::UnknownModel { name: name.to_owned(), known: known.join(", ") }
    }
}
