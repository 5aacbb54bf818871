"""The lab: studies of deployment-and-routing policies, with results that are kept.

A study is a list of episodes and a way to sum them up. An episode is one policy on one stream; it
is described by plain values, runs alone in any process, and always ends in the same record. What
is finished is written down at once, so that a study can be stopped, killed and resumed.
"""
