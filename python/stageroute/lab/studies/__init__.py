"""The studies, by name."""

from types import MappingProxyType
from typing import Final

from stageroute.lab.studies import (
    bench,
    budget_price,
    checks,
    comparison,
    context,
    feedback,
    gamma,
    newcomer,
    pools,
    quality,
    robustness,
    scaling,
    scenarios,
    starts,
    sweeps,
)
from stageroute.lab.study import Study

ALL: Final = (
    bench, comparison, scaling, sweeps, checks, gamma, context, budget_price, feedback, pools,
    starts, newcomer, scenarios, robustness, quality,
)  # fmt: skip

STUDIES: Final = MappingProxyType[str, Study]({each.STUDY.name: each.STUDY for each in ALL})
