"""`check_policy`: which policies pass, and that each rule finds those that break it."""

import importlib.util

import pytest

import wrong_policies
from stageroute.errors import InvalidInputError, PolicyError
from stageroute.policies import CONTEXTUAL, POLICIES, RIVALS, RULES, Policy, check_policy

EXEMPT = {
    "thompson": {"frequency"},
    "static": {"caps"},
    "oracle-family": {"outcomes", "caps"},
    "oracle-family-own-budget": {"outcomes", "caps"},
    "oracle-task": {"outcomes", "caps"},
}
"""Every exception there is: a new one must be written down here too."""

# LiteLLM's own types, read by pydantic.
pytestmark = pytest.mark.filterwarnings("ignore:Item .* on TypedDict class:UserWarning")


@pytest.mark.parametrize("name", [*POLICIES, *CONTEXTUAL])
def test_every_policy_keeps_the_rules(name: str) -> None:
    check_policy(name)


def test_exceptions_are_few_and_have_reasons() -> None:
    exempt = {
        name: getattr(policy, "exempt", {}) for name, policy in {**POLICIES, **CONTEXTUAL}.items()
    }
    assert {name: set(rules) for name, rules in exempt.items() if rules} == EXEMPT
    assert all(len(why) > 20 for rules in exempt.values() for why in rules.values())


@pytest.mark.parametrize("name", RIVALS)
def test_rivals_keep_the_rules_that_they_know_of(name: str) -> None:
    module = {"paretobandit": "pareto_bandit"}.get(name.split("-")[0], name.split("-")[0])
    if importlib.util.find_spec(module) is None:
        pytest.skip("left out: stageroute[rivals] is not installed")
    check_policy(name)


SAID: dict[type[Policy], str] = {
    wrong_policies.IgnoresCaps: "policy 'caps' breaks the rule 'caps' .* in stage 0, query 99: "
    "expected at most 51 of 100 queries for model-c, seen 100",
    wrong_policies.DeploysTooMany: "in stage 2, query 200: expected at most 3, seen 4",
    wrong_policies.ForgetsRetirements: "in stage 4, query 400: expected models of model-a, "
    "model-c, .*, seen model-a, model-b, model-c",
    wrong_policies.ServesByOthers: "in stage 0, query [0-9]+: expected model-a, model-b, seen "
    "model-c",
    wrong_policies.DependsOnHashes: "in another process: expected the same decisions, seen other "
    "decisions",
}


@pytest.mark.parametrize("policy", wrong_policies.WRONG)
def test_a_policy_that_breaks_a_rule_is_told_which_and_where(policy: type[Policy]) -> None:
    rule = policy.name
    with pytest.raises(PolicyError, match=SAID.get(policy, "in ")) as caught:
        check_policy(policy)
    assert (caught.value.policy, caught.value.rule) == (policy.name, rule)
    assert RULES[rule] in str(caught.value)


def test_every_rule_has_a_policy_that_breaks_it() -> None:
    assert {policy.name for policy in wrong_policies.WRONG} == set(RULES)


def test_a_policy_written_in_python_passes() -> None:
    check_policy(wrong_policies.EvenPolicy)
    check_policy("wrong_policies:EvenPolicy")
    check_policy(lambda setting: wrong_policies.EvenPolicy(setting))


def test_what_a_policy_is_exempt_from_is_not_checked() -> None:
    check_policy(wrong_policies.Unbound)
    with pytest.raises(InvalidInputError, match="exempt names cap; the rules are candidates"):
        check_policy(wrong_policies.Misspelt)
