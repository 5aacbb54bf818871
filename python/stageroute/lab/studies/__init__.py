"""The studies, by name."""

from types import MappingProxyType
from typing import Final

from stageroute.lab.studies.bench import Bench
from stageroute.lab.studies.budget_price import BudgetPrice
from stageroute.lab.studies.checks import Checks
from stageroute.lab.studies.comparison import Comparison
from stageroute.lab.studies.context import Context
from stageroute.lab.studies.feedback import Feedback
from stageroute.lab.studies.gamma import Gamma
from stageroute.lab.studies.newcomer import Newcomer
from stageroute.lab.studies.pools import Pools
from stageroute.lab.studies.quality import Quality
from stageroute.lab.studies.scaling import Scaling
from stageroute.lab.studies.scenarios import Scenarios
from stageroute.lab.studies.starts import Starts
from stageroute.lab.studies.sweeps import Sweeps
from stageroute.lab.study import Study

__all__ = ["STUDIES"]

STUDIES: Final = MappingProxyType[str, Study](
    {
        study.name: study
        for study in (
            Bench(),
            Comparison(),
            Scaling(),
            Sweeps(),
            Checks(),
            Gamma(),
            Context(),
            BudgetPrice(),
            Feedback(),
            Pools(),
            Starts(),
            Newcomer(),
            Scenarios(),
            Quality(),
        )
    }
)
