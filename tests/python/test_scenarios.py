"""Feedback as it really comes: what each mode delivers, and what the router makes of it."""

import json
import sys
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from stageroute.cli import main
from stageroute.cli_common import gather
from stageroute.config.settings import Drift
from stageroute.datasets import OutcomeTable, routerbench_synthetic
from stageroute.datasets.streams import Stream, draw_stream
from stageroute.errors import InvalidInputError, MissingExtraError
from stageroute.lab.scenarios.feedback_modes import (
    CostsDelayed,
    Delayed,
    FeedbackMode,
    Immediate,
    Mailbox,
    Message,
    NoRewards,
    SomeRewards,
    TwiceShuffled,
)
from stageroute.lab.scenarios.paretobandit_service import ParetoBanditService
from stageroute.lab.scenarios.runs import ScenarioRun, collect_runs, drive, run_scenarios
from stageroute.lab.scenarios.scenarios import DRIFT, SCENARIOS, Scenario, ScenarioSettings
from stageroute.lab.scenarios.services import ServiceSettings, StageRouteService
from stageroute.lab.scenarios.worlds import World, change_world
from stageroute.policies import Limits
from stageroute.policies.rivals import paretobandit
from stageroute.workloads import PriceCut, SilentRegression

pytestmark = pytest.mark.slow

QUERIES = 2_000
BUDGET = 0.0003


def messages_of(mode: FeedbackMode, reward: float = 0.5) -> list[Message]:
    generator = np.random.default_rng(3)
    return [
        message
        for query in range(QUERIES)
        for message in mode.messages(query, reward, query * 1e-6, generator)
    ]


def test_at_once_and_late() -> None:
    for mode, delay in ((Immediate(), 0), (Delayed(200), 200), (Delayed(0), 0)):
        assert messages_of(mode) == [
            Message(query + delay, query, 0.5, query * 1e-6) for query in range(QUERIES)
        ]


def test_costs_late_and_rewards_never() -> None:
    late = messages_of(CostsDelayed(200))
    assert late[::2] == [Message(query, query, 0.5, None) for query in range(QUERIES)]
    assert late[1::2] == [Message(q + 200, q, None, q * 1e-6) for q in range(QUERIES)]
    assert messages_of(NoRewards()) == [Message(q, q, None, q * 1e-6) for q in range(QUERIES)]


def test_some_rewards_come_for_the_same_queries_whatever_was_decided() -> None:
    messages = messages_of(SomeRewards(0.1))
    assert [(m.at, m.query, m.cost) for m in messages] == [
        (query, query, query * 1e-6) for query in range(QUERIES)
    ]
    rated = [message.query for message in messages if message.reward is not None]
    assert abs(len(rated) - 0.1 * QUERIES) < 4 * np.sqrt(0.09 * QUERIES)
    assert rated == [m.query for m in messages_of(SomeRewards(0.1), 1.0) if m.reward is not None]


def test_every_message_twice_apart_and_in_disorder() -> None:
    messages = messages_of(TwiceShuffled(50))
    assert all((message.reward is None) != (message.cost is None) for message in messages)
    copies = Counter((message.query, message.reward is None) for message in messages)
    assert set(copies.values()) == {2}
    assert len(copies) == 2 * QUERIES
    delays = [message.at - message.query for message in messages]
    assert np.bincount(delays).min() > 0.8 * len(messages) / 51
    assert max(delays) == 50
    arrivals = [m.query for m in sorted(messages, key=lambda m: m.at) if m.reward is not None]
    assert np.mean(np.diff(arrivals) < 0) > 0.3


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: Delayed(-1), "queries = -1: must be a whole number of queries, not negative"),
        (lambda: CostsDelayed(True), "queries = True"),
        (lambda: TwiceShuffled(-2), "window = -2"),
        (lambda: SomeRewards(0.0), "share = 0.0: must be in (0, 1]; for none at all use NoRewards"),
        (lambda: SilentRegression(1.0), "factor = 1.0: must be in (0, 1)"),
        (lambda: PriceCut(0), "factor = 0: must be in (0, 1)"),
        (lambda: ScenarioSettings((), ("immediate",)), "limits = (): must name at least one"),
        (lambda: ScenarioSettings((Limits(1.0),), ("later",)), "scenarios = 'later': must be"),
        (lambda: ScenarioSettings((Limits(1.0),), services=("x",)), "services = 'x': must be"),
    ],
)  # fmt: skip
def test_bad_arguments(make: Any, text: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        make()
    assert text in str(caught.value)


def test_a_mailbox_delivers_in_order_and_forgets_nothing() -> None:
    mailbox = Mailbox()
    mailbox.post([Message(2, 0, 1.0, None), Message(1, 1, None, 0.1), Message(2, 2, 1.0, 0.2)])
    mailbox.post([Message(9, 3, 1.0, 0.2), Message(7, 4, None, 0.3)])
    assert mailbox.collect(0) == []
    assert [message.query for message in mailbox.collect(2)] == [0, 2]
    assert mailbox.collect(2) == []
    assert [message.query for message in mailbox.collect_rest()] == [1, 4, 3]
    assert mailbox.sent == {"rewards": 3, "costs": 4}


@cache
def built_in() -> OutcomeTable:
    return routerbench_synthetic()


def world(change: Any = None, num_queries: int = 4_000, budget: float = BUDGET) -> World:
    stream = draw_stream(built_in(), 5, num_queries=num_queries, num_initial=5)
    return change_world(stream, change, budget)


def start(world: World, **settings: Any) -> StageRouteService:
    limits = Limits(BUDGET, use_prices=True)
    return StageRouteService(known(world.stream, limits, Drift(), **settings))


def known(stream: Stream, limits: Limits, drift: Drift, **settings: Any) -> ServiceSettings:
    means = stream.regimes[0].reward, stream.regimes[0].cost
    return ServiceSettings(stream.table.models, *means, limits, 5, drift, **settings)


def test_what_changes_in_a_world_and_when() -> None:
    regression, cut = world(SilentRegression(0.5)), world(PriceCut(0.1))
    names = regression.stream.table.models
    assert regression.victim is not None
    assert cut.victim is not None
    assert names[regression.victim] == "zero-one-ai/Yi-34B-Chat"
    assert names[cut.victim] == "gpt-4-1106-preview"
    before = world().outcomes()
    for changed, kind, factor in ((regression, 0, 0.5), (cut, 1, 0.1)):
        expected = [matrix.copy() for matrix in before]
        expected[kind][2_000:, changed.victim] *= factor
        np.testing.assert_allclose(changed.outcomes(), expected, rtol=1e-15)
    assert cut.new_price() == (cut.victim, 0.1)
    with pytest.raises(InvalidInputError, match="only a PriceCut can be announced"):
        regression.new_price()
    # Where nothing is affordable the cheapest gets worse; where nothing is dear the dearest cheap.
    cheapest = world(SilentRegression(), budget=1e-6).victim
    assert cheapest == np.argmin(built_in().mean_cost()[:8])
    assert world(PriceCut(), budget=1.0).victim == cut.victim


@dataclass(frozen=True)
class FirstCopies:
    """A mode without the later copies of its messages."""

    mode: FeedbackMode

    def messages(self, *arguments: Any) -> list[Message]:
        first: dict[bool, Message] = {}
        for message in self.mode.messages(*arguments):
            kept = first.setdefault(message.reward is None, message)
            if message.at < kept.at:
                first[message.reward is None] = message
        return list(first.values())


def test_copies_are_typed_counted_and_change_nothing() -> None:
    scenario, place = SCENARIOS["twice_shuffled"], world()
    once = Scenario("once", FirstCopies(scenario.mode))
    services = start(place), start(place)
    mailboxes = Mailbox(), Mailbox()
    arms = [
        drive(service, how, place, mailbox, 8, 5)
        for service, how, mailbox in zip(services, (scenario, once), mailboxes, strict=True)
    ]
    np.testing.assert_array_equal(arms[0], arms[1])
    total = place.stream.num_queries
    assert mailboxes[0].sent == {"rewards": 2 * total, "costs": 2 * total}
    assert services[0].answers == {"counted": 2 * total, "repeated": 2 * total}
    assert services[1].answers["counted"] == 2 * total
    expected = {"rewards": total, "costs": total, "unknown": 0, "expired": 0, "evicted": 0}
    assert services[0].feedback() == expected | {"repeated": 2 * total}
    assert services[1].feedback() == expected | {"repeated": 0}
    for one, other in zip(*(service.router.models for service in services), strict=True):
        assert services[0].router.state(one.name) == services[1].router.state(other.name)
    # Same bills in the same order, but for those of one delivery: equal up to rounding.
    assert services[0].billed() == pytest.approx(services[1].billed(), rel=1e-12)


def test_an_announced_price_applies_to_the_next_query_and_bills_stay_right() -> None:
    place = world(PriceCut(0.1))
    service = start(place, has_prices=True)
    scenario = Scenario("late", Delayed(100), PriceCut(0.1), is_announced=True)
    arms = drive(service, scenario, place, Mailbox(), 8, 5)
    paid = place.outcomes()[1][np.arange(arms.size), arms].sum()
    assert service.billed() == pytest.approx(paid, rel=1e-9)
    after = (arms[2_000:2_200] == place.victim).mean()
    assert after > 5 * (arms[1_500:2_000] == place.victim).mean()


CHANGING = tuple(name for name, scenario in SCENARIOS.items() if scenario.change is not None)
STEADY = tuple(name for name, scenario in SCENARIOS.items() if scenario.spend_goal is not None)


def runs_of(scenarios: tuple[str, ...], budget: float) -> dict[str, list[ScenarioRun]]:
    settings = ScenarioSettings(
        (Limits(budget, use_prices=True),), scenarios=scenarios, seeds=(0, 1)
    )
    result = collect_runs(built_in(), settings, list(run_scenarios(built_in(), settings, 2)))
    return {name: result.of(name, "stageroute", budget) for name in scenarios}


def test_spend_holds_however_feedback_comes() -> None:
    for name, runs in runs_of(STEADY, BUDGET).items():
        goal = SCENARIOS[name].spend_goal
        assert goal is not None
        for run in runs:
            assert run.spend <= goal, name
            assert run.billed == pytest.approx(run.spent, rel=1e-9), name
            assert sum(run.decisions.values()) == 36_497
            assert run.feedback["rewards"] + run.feedback["costs"] + run.feedback[
                "repeated"
            ] == sum(run.sent.values()), name
            # Nor is the budget held by leaving it: only who knows nothing of quality does that.
            assert (run.spend > 0.99) == (name != "no_rewards"), name


def test_handling_drift_helps_and_being_told_helps_more() -> None:
    runs = runs_of(CHANGING, BUDGET)
    lost = {name: np.median([run.regret_after for run in runs[name]]) for name in runs}
    assert lost["regression_drift"] < 0.5 * lost["regression"]
    assert lost["price_cut_drift"] < 0.5 * lost["price_cut"]
    assert lost["price_cut_announced"] < lost["price_cut_drift"]
    assert max(run.spend for name in runs for run in runs[name]) <= 1.005


QUICK = ["--queries", "1500", "--stages", "5", "--seeds", "2", "--no-progress"]


@pytest.fixture
def table_file(small_table: OutcomeTable, tmp_path: Path) -> Path:
    path = tmp_path / "small.npz"
    table = small_table
    np.savez(path, models=list(table.models), reward=table.reward, cost=table.cost)
    return path


def test_the_command_and_that_workers_change_no_figure(
    table_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts, results = [], []
    for workers in ("1", "2"):
        path = tmp_path / f"{workers}.json"
        arguments = ["scenarios", *QUICK, "--data", str(table_file), "--workers", workers]
        options = ["--budget", "0.0003", "0.002", "--forget-per-stage", "0.9"]
        assert main([*arguments, *options, "--json", str(path)]) == 0
        text, errors = capsys.readouterr()
        assert errors == ""
        texts.append(text)
        results.append(json.loads(path.read_text()))
    assert texts[0] == texts[1]
    assert results[0] == results[1]
    for scenario in SCENARIOS.values():
        assert scenario.title in texts[0]
    for expected in ("T = 1,500", "K = 5", "b = 0.0003", "b = 0.002", "1.01 met", "prices known"):
        assert expected in texts[0]
    assert len(results[0]["runs"]) == 2 * len(SCENARIOS) * 2
    assert results[0]["settings"]["drift"]["forget_per_stage"] == 0.9
    assert results[0]["scenarios"]["delayed"]["mode"] == "Delayed(queries=200)"
    twice = [run for run in results[0]["runs"] if run["scenario"] == "twice_shuffled"]
    assert all(run["feedback"]["repeated"] == 3_000 for run in twice)


def test_an_interrupted_run_keeps_what_is_finished(capsys: pytest.CaptureFixture[str]) -> None:
    def runs() -> Any:
        yield 1
        raise KeyboardInterrupt

    assert gather(runs(), 3, no_progress=True) == ([1], True)
    assert "interrupted after 1 of 3 runs" in capsys.readouterr().err


def test_a_rival_that_is_not_installed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "pareto_bandit", None)
    with pytest.raises(MissingExtraError):
        paretobandit.require_installed()
    assert main(["scenarios", *QUICK, "--workers", "1", "--rivals"]) == 1
    assert "pip install 'stageroute[rivals]'" in capsys.readouterr().err


class Recorder:
    """Stands in for the classes of ParetoBandit: notes every call."""

    def __init__(self, calls: list[Any]) -> None:
        self.calls = calls
        self.registry: dict[str, Any] = {}

    def create(self, *, model_registry: dict[str, Any], **settings: Any) -> "Recorder":
        self.registry = dict(model_registry)
        self.calls.append(("create", settings))
        return self

    def register_model(self, name: str, **prices: float) -> None:
        self.registry[name] = prices

    def route(self, context: Any) -> tuple[str, Any]:
        name = next(iter(self.registry))
        log = SimpleNamespace(request_id=f"{len(self.calls)}", selected_model=name, cost_usd=0.0)
        return name, log

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments, **named: self.calls.append((name, arguments, named))


def test_what_reaches_paretobandit(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []
    recorder = Recorder(calls)
    parts: dict[str, dict[str, Any]] = {
        "pareto_bandit": {"BanditRouter": recorder},
        "pareto_bandit.budget_pacer": {"BudgetPacer": lambda **_: recorder},
        "pareto_bandit.config": {"BEST_K3_HPARAMS": {"forgetting_factor": 0.997}},
        "pareto_bandit.feature_service": {"FeatureService": recorder},
        "pareto_bandit.types": {"ExplorationRate": SimpleNamespace(BALANCED=1.0)},
    }
    for name, attributes in parts.items():
        module = ModuleType(name)
        vars(module).update(attributes)
        monkeypatch.setitem(sys.modules, name, module)
    table = built_in()
    service = ParetoBanditService(known(world().stream, Limits(BUDGET), DRIFT))
    service.begin_stage(np.arange(3))
    service.begin_stage(np.arange(5))
    assert list(recorder.registry) == list(table.models[:5])
    settings = next(named for call, *_, named in calls if call == "create")
    assert settings["priors"] == "none"
    assert settings["forgetting_factor"] == 0.997
    calls.clear()
    assert [service.route() for _ in range(3)] == [0, 0, 0]
    service.deliver([Message(0, 0, 0.5, 0.1), Message(0, 1, 1.0, None), Message(0, 2, None, 0.2)])
    service.announce_price(1, 0.5)
    (feedback, _, reward), (update, arguments, _), (observe, cost, _), (pricing, who, prices) = (
        calls
    )
    assert (feedback, reward) == ("process_feedback", {"reward": 0.5})
    assert (update, arguments[0], arguments[2]) == ("update", table.models[0], 1.0)
    assert (observe, cost) == ("observe", (0.2,))
    usd = table.mean_cost()[1] / 200 * 1e6 * 0.5
    assert (pricing, who) == ("update_model_pricing", (table.models[1],))
    fields = ("input_cost_per_m", "output_cost_per_m", "cost_per_1m_tokens")
    assert prices == dict.fromkeys(fields, usd)
    assert (service.decisions(), service.feedback()) == ({}, {})


def test_paretobandit_itself(table_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("pareto_bandit", reason="left out: stageroute[rivals] is not installed")
    arguments = ["scenarios", *QUICK, "--data", str(table_file), "--workers", "1", "--rivals"]
    assert main([*arguments, "--budget", "0.001"]) == 0
    text = capsys.readouterr().out
    assert text.count("  paretobandit") == len(SCENARIOS)
    assert "paretobandit, no rewards, means known: its priors come" in text
