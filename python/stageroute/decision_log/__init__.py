"""The decision log: every decision with its grounds, written off the hot path."""

from stageroute.decision_log.batch import DecisionBatch, LoggedDecision
from stageroute.decision_log.log import DecisionLog
from stageroute.decision_log.sinks import JsonLinesSink, ParquetSink

__all__ = ["DecisionBatch", "DecisionLog", "JsonLinesSink", "LoggedDecision", "ParquetSink"]
