"""The names that users import stay where they are."""

import stageroute

NAMES = {
    "ChangeTest", "Confidence", "Decision", "DecisionBatch", "DecisionLog", "Deployment",
    "DeploymentConstraints", "DeploymentSolution", "Drift", "FailureEffect", "FeedbackBatch",
    "Fleet", "HardLimit", "Health", "JournalSettings", "JsonLinesSink", "LimitState",
    "LoggedDecision", "Model", "ModelState", "ParquetSink", "Price", "RouterCounters",
    "RoutingSolution", "StagePlan", "StageRouter", "Tokens", "__version__", "errors",
    "solve_deployment", "solve_routing_lp",
}  # fmt: skip


def test_every_public_name_is_there_and_documented() -> None:
    assert set(stageroute.__all__) == NAMES
    for name in NAMES - {"__version__"}:
        assert getattr(stageroute, name).__doc__
