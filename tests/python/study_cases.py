"""What tests of several studies share."""

from collections.abc import Callable

from stageroute.lab.episodes import Record
from stageroute.lab.results import StudyResults
from stageroute.lab.studies import STUDIES
from stageroute.lab.summary import LineFigure, Summary


def changed(results: StudyResults, change: Callable[[Record], Record], copies: int = 1) -> Summary:
    """Sum up records that were changed, so many times each."""
    records = [change(record) for record in results.records for _ in range(copies)]
    study = STUDIES[results.study]
    return study.summarise(StudyResults(results.study, "0", results.settings, records))


def assert_well_formed(summary: Summary) -> None:
    """Assert that findings are sentences, and tables and figures complete."""
    assert summary.findings
    for finding in summary.findings:
        assert finding.endswith(".")
        assert "nan" not in finding.split()
    for table in summary.tables:
        assert table.rows
        assert {len(row) for row in table.rows} == {len(table.columns)}
        assert not table.heads or sum(width for _, width in table.heads) == len(table.columns)
    for figure in summary.figures:
        if isinstance(figure, LineFigure):
            assert figure.curves
            for curve in figure.curves:
                assert len(curve.x) == len(curve.y) > 0
    assert len({table.title for table in summary.tables}) == len(summary.tables)
    assert len({(figure.part, figure.title) for figure in summary.figures}) == len(summary.figures)
