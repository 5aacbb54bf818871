"""Did decisions get worse? StageRoute with every family of bounds; a baseline to compare with."""

from collections.abc import Iterator
from typing import Final

from stageroute.config.confidence import CONFIDENCE_FAMILIES, Confidence
from stageroute.lab.columns import key, mean, plain_regret, quantiles, worst
from stageroute.lab.declared import Part, TableOf
from stageroute.lab.episodes import Episode
from stageroute.lab.study import Study, StudySettings, every_policy

TABLE: Final = TableOf(
    "{policy}, b = {budget:g} USD per query, {seeds} seeds", ("bounds",),
    {
        "bounds": key("bounds"),
        "regret, %": quantiles(plain_regret),
        "spend / b": {
            "mean": mean("spend", ".3f"),
            "worst": worst("spend", ".3f"),
            "worst running": worst("worst_running_spend", ".3f"),
        },
    },
)  # fmt: skip


def _every_family(base: Episode, settings: StudySettings) -> Iterator[Episode]:
    """Yield every family as it is by default."""
    for episode in every_policy(base, settings):
        for family in CONFIDENCE_FAMILIES:
            yield episode.but({"bounds": family}, confidence=Confidence(family))


STUDY: Final = Study(
    "quality", "Quality of decisions",
    "Did decisions get worse? Compare two runs with 'stageroute compare'.",
    (Part("", (TABLE,), by=("budget", "policy")),),
    StudySettings(seeds=tuple(range(16)), num_queries=8_000, num_stages=16), _every_family,
)  # fmt: skip
