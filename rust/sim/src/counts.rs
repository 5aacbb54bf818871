//! What was simulated, and which faults.

/// Declares the counts: the struct, their names and their sum over worlds.
macro_rules! counts {
    ($($(#[$meta:meta])* $name:ident: $label:literal),* $(,)?) => {
        /// Counts of one world, or of many.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        pub(crate) struct Counts {
            $($(#[$meta])* pub(crate) $name: u64,)*
        }

        impl Counts {
            pub(crate) fn add(&mut self, other: &Self) {
                $(self.$name += other.$name;)*
            }

            pub(crate) fn named(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$(($label, self.$name)),*].into_iter()
            }
        }
    };
}

counts! {
    worlds: "worlds",
    seconds: "simulated seconds",
    decisions: "decisions",
    refusals: "queries refused",
    feedback: "feedback counted",
    late: "late feedback",
    missing: "missing feedback",
    repeated: "repeated feedback",
    wrong: "wrong feedback",
    corrected: "corrected bills",
    failures: "failures of providers",
    outages: "outages of providers",
    jumps: "jumps of the clock",
    backwards: "times told backwards",
    pauses: "long pauses",
    operations: "calls of operators",
    configured: "changed settings",
    nonsense: "nonsense calls",
    forks: "forks by snapshot",
    upgrades: "upgrades from version 1",
    crashes: "crashes",
    damages: "damaged journals",
    retries: "waits that were tried",
    audits: "audits",
    recounts: "recounts",
}
