"""Policies by name: the registry's own, and those of others as ``module:Class``."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from stageroute.datasets import OutcomeTable
from stageroute.datasets.streams import draw_stream
from stageroute.errors import InvalidInputError
from stageroute.policies import (
    CONTEXTUAL,
    POLICIES,
    RIVALS,
    Limits,
    Setting,
    UniformPolicy,
    find_policy,
    make_policy,
)

OWN = """
from stageroute.policies import Policy, UniformPolicy

class Even(UniformPolicy):
    name = "even"

class Unfinished(Policy):
    name = "unfinished"

    def route(self, row):
        return 0, 1.0, 0.0

class Single(UniformPolicy):
    name = "single"

    def mixture(self, candidates):
        live, probabilities = super().mixture(candidates)
        probabilities[:] = 0.0
        probabilities[live[0]] = 1.0
        return live, probabilities

answer = 42
"""


@pytest.fixture
def own_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module of someone else's with policies."""
    (tmp_path / "own_policies.py").write_text(OWN)
    (tmp_path / "broken_policies.py").write_text("import there_is_no_such_package\n")
    monkeypatch.syspath_prepend(tmp_path)
    return "own_policies"


def test_names_are_unique() -> None:
    names = [*POLICIES, *CONTEXTUAL, *RIVALS]
    assert len(set(names)) == len(names)


def test_a_policy_of_ones_own_is_made(own_module: str, small_table: OutcomeTable) -> None:
    setting = Setting(draw_stream(small_table, 1), Limits(0.001), 1, 3)
    policy = make_policy(f"{own_module}:Even", setting)
    assert policy.name == "even"
    assert isinstance(policy, UniformPolicy)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "x",
            "policy = 'x': must be one of stageroute.*paretobandit.*litellm-usage; or module:Class",
        ),
        ("stagerout", "policy = 'stagerout': did you mean 'stageroute'[?] It must be one of"),
        ("ucb-1", "did you mean 'ucb1'"),
        ("own_polices:Even", "module 'own_polices' cannot be imported .No module.*PYTHONPATH"),
        (":Even", "module '' cannot be imported"),
        ("broken_policies:Even", "cannot be imported .No module named 'there_is_no_such_package'"),
        ("own_policies:Evn", "'own_policies' has no 'Evn'; did you mean own_policies:Even"),
        ("own_policies:", "has no ''; its policies: UniformPolicy, Even, Unfinished, Single"),
        ("own_policies:answer", "must be a subclass of stageroute.policies.Policy"),
        ("own_policies:Policy", "must be a subclass of"),
        ("own_policies:Unfinished", "the class lacks begin_stage, observe"),
    ],
)
@pytest.mark.usefixtures("own_module")
def test_what_is_wrong_with_a_name(name: str, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        find_policy(name)


def test_the_command_finds_policies_in_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Callable[..., tuple[str, str]]
) -> None:
    (tmp_path / "policies_here.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    command = ["replay", "--queries", "100", "--stages", "2", "--initial-models", "11"]
    command += ["--out", "decisions.csv", "--policy"]
    text, _ = cli(*command, "policies_here:Single")
    assert len((tmp_path / "decisions.csv").read_text().splitlines()) == 101
    assert "rule caps broken 2 times: no model serves more" in text
    _, errors = cli(*command, "policies_here:Singel", status=1)
    assert "did you mean policies_here:Single?" in errors
