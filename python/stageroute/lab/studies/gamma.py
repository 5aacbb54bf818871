"""How γ, the width of the confidence intervals, should scale with the budget b."""

from dataclasses import replace
from functools import lru_cache
from typing import Final

import numpy as np

from stageroute.config.confidence import Confidence
from stageroute.lab.columns import band, regret
from stageroute.lab.declared import Curves, LinesOf, Part
from stageroute.lab.episodes import Episode
from stageroute.lab.studies.episode import episode
from stageroute.lab.studies.gamma_rules import FIT, best_gammas, regret_by_gamma, rules_elsewhere
from stageroute.lab.study import Study, StudySettings
from stageroute.workloads import BuiltIn, StateOfTheArt, Workload

__all__ = ["Gamma"]

GAMMAS: Final = (0.003, 0.01, 0.03, 0.1, 0.2, 0.5, 1.0, 3.0)
SMALL_GAMMAS: Final = (0.01, 0.1, 1.0)

FAMILIES: Final = ("paper", "bernstein")
"""The paper's question is about its own bounds; ours are the other ones."""

LENGTHS: Final = (0.25, 2.0)
"""Horizons to test on, in multiples of T."""

HELD_OUT_SEEDS: Final = 10


class Gamma(Study):
    """A grid of γ and b on one workload, and the same grid on others to test what follows."""

    name = "gamma"
    title = "γ and the budget"
    question = "How should γ scale with the budget, and what does a rule for it gain?"

    full = StudySettings(budgets=(0.0002, 0.0003, 0.0006, 0.001, 0.002))

    over_gamma = LinesOf(
        "{bounds}: regret over γ", "γ", "regret, %", (Curves(band(regret), "budget", "b = {:g}"),),
        over="gamma", where={"where": FIT}, log_x=True, log_y=True,
    )  # fmt: skip
    parts = (
        Part(
            "{bounds}", (regret_by_gamma, rules_elsewhere, over_gamma, best_gammas), by=("bounds",)
        ),
    )

    def small(self, settings: StudySettings) -> StudySettings:
        """Return the setting for tests, with two budgets: a law needs them."""
        budgets = settings.budgets[1], settings.budgets[3]
        return replace(super().small(settings), budgets=budgets)

    def episodes(self, settings: StudySettings) -> list[Episode]:
        """Return the grid of γ, b and bounds: to fit on, then to test on."""
        return [
            found
            for where, changed in _places(settings)
            for seed in changed.seeds
            for budget in _budgets(settings, changed)
            for found in _grid(changed, budget, seed, where)
        ]


def _places(settings: StudySettings) -> list[tuple[str, StudySettings]]:
    """Return where the grid runs: what is fitted to, and what rules are tested on."""
    held = replace(settings, seeds=settings.seeds[:HELD_OUT_SEEDS])
    lengths = LENGTHS[:1] if settings.is_small else LENGTHS
    horizons = [round(settings.num_queries * length) for length in lengths]
    places = [(FIT, settings)]
    places += [(f"T = {horizon:,}", replace(held, num_queries=horizon)) for horizon in horizons]
    others: tuple[Workload, ...] = (BuiltIn(), StateOfTheArt())
    if settings.is_small:
        return places
    return places + [
        (workload.label, replace(held, workload=workload))
        for workload in others
        if workload != settings.workload
    ]


def _budgets(settings: StudySettings, changed: StudySettings) -> list[tuple[float, float]]:
    """Return budgets as settings have them, and in the same relation to the changed costs."""
    scale = 1.0
    if changed.workload != settings.workload:
        scale = _mean_cost(changed.workload) / _mean_cost(settings.workload)
    return [(budget, budget * scale) for budget in settings.budgets]


@lru_cache(maxsize=8)
def _mean_cost(workload: Workload) -> float:
    """Return the mean cost over the models, USD per query."""
    return float(np.mean(workload.table().mean_cost()))


def _grid(
    settings: StudySettings, budget: tuple[float, float], seed: int, where: str
) -> list[Episode]:
    gammas = SMALL_GAMMAS if settings.is_small else GAMMAS
    nominal, actual = budget
    return [
        episode(
            settings, "stageroute",
            replace(settings.at_budget(actual), confidence=Confidence(family, gamma=gamma)), seed,
            (
                ("where", where),
                ("bounds", family),
                ("nominal", nominal),
                ("gamma", gamma),
                ("mean_cost", _mean_cost(settings.workload)),
                ("candidates", float(settings.workload.table().num_models)),
            ),
        )
        for family in FAMILIES
        for gamma in gammas
    ]  # fmt: skip
