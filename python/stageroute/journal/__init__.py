"""The journal: every change of a router, kept; and its snapshots, in files and in the journal."""

from stageroute.journal.journal import Journal
from stageroute.journal.recovery import Recovered

__all__ = ["Journal", "Recovered"]
