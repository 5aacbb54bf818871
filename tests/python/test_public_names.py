"""The names that users import stay where they are, and say what they are."""

import importlib
import inspect

import pytest

NAMES = {
    "stageroute": """
        ChangeTest Confidence Decision DecisionBatch DecisionLog Deployment
        DeploymentConstraints DeploymentSolution Drift Event FailureEffect FeedbackBatch Fleet
        HardLimit Health JournalSettings JsonLinesSink LimitState LoggedDecision Model
        ModelState ParquetSink Price Recovery RouterCounters RoutingSolution StagePlan StageRouter
        Tokens __version__ errors models_from_litellm solve_deployment solve_routing_lp
    """,
    "stageroute.calls": """
        AnswerStream AsyncAnswerStream AsyncCall Call
    """,
    "stageroute.datasets": """
        OutcomeTable RELEASE_DATES RELEASE_ORDER ROUTERBENCH_MODELS Stream read_table
        routerbench_synthetic table_from_routerbench_frame
    """,
    "stageroute.drill": """
        DrillResult DrillSettings Environment Trace read_trace run_drill synthetic_trace
    """,
    "stageroute.errors": """
        AlreadyObservedError ClusterError DatasetError DecisionError DeploymentConflictError
        ExcludedError ExpiredDecisionError ForkedRouterError HardLimitError
        InvalidInputError JournalError
        JournalFullError JournalGapError JournalLockedError MissingExtraError ModelsDownError
        NoModelError OverlapError PolicyError ProviderError RateLimitedError RefusedError
        ResultsError SnapshotCorruptError SnapshotError SnapshotMismatchError SnapshotVersionError
        SolverError StageRouteError StalePlanError UnknownDecisionError UnknownModelError
        WorkerLostError
    """,
    "stageroute.off_policy": """
        Estimate Evaluation JoinedLog LoggedData MetricEvaluation Outcome Target as_target
        best_mixture evaluate read_log
    """,
    "stageroute.policies": """
        CONTEXTUAL GreedyPolicy Limits POLICIES Policy PublishedStageRoutePolicy RIVALS
        RULES RewardPrior Setting StageOraclePolicy StageRoutePolicy TheoryStageRoutePolicy
        UniformPolicy check_policy find_policy make_policy
    """,
    "stageroute.workloads": """
        Adversarial BetterNewcomer BuiltIn Change Changing Clocked Delayed HalfAtStart LargePool
        NeedleArrivals Noisy OtherPrices Outage PriceCut RandomArrivals Repeated SilentRegression
        SlowDecline Sparse StateOfTheArt TableFile Workload cube_root_stages parse_workload
        workload_from_json
    """,
}


@pytest.mark.parametrize("package", NAMES)
def test_every_public_name_is_there_and_documented(package: str) -> None:
    module, names = importlib.import_module(package), NAMES[package].split()
    starred = getattr(module, "__all__", [name for name in vars(module) if name[0] != "_"])
    assert sorted(starred) == names
    for name in names:
        thing = getattr(module, name)
        assert not callable(thing) or thing.__doc__, name
        methods = inspect.getmembers(thing, callable) if inspect.isclass(thing) else []
        for method, value in methods:
            assert method.startswith("_") or inspect.getdoc(value), (name, method)
