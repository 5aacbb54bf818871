"""The journal: every change of a router, kept; and its snapshots, in files and in the journal."""
