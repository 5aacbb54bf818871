"""Files of a journal, spoilt: what is missing is an error. `journal_mutations` makes thousands."""

from journal_mutations import try_mutations


def test_no_damage_takes_an_acknowledged_call_without_an_error() -> None:
    counts = try_mutations(120, seed=2)
    results = {result for _, result in counts}
    assert results == {"refused", "whole"}, counts
