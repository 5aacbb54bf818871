"""Golden files: what an earlier version wrote is read, and the router goes on as that one did."""

import json
import shutil
from collections.abc import Callable
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest

from make_golden import FOLDER, answer_to_json, end_to_json
from stageroute import StageRouter
from stageroute.errors import StageRouteError
from stageroute.router import facts as formats
from stageroute.router.facts import STATE_VERSION

VERSIONS: Final = tuple(FOLDER.with_name(f"version_{v + 1}") for v in range(STATE_VERSION))

REMEDY: Final = (
    "what an earlier version wrote is no longer read as it was meant: if the state is to change, "
    "raise STATE_VERSION, run `make golden`, and say so in the changelog"
)


def reopen(version: Path, kind: str, folder: Path, clock: Callable[[], float]) -> StageRouter:
    """Open a copy of a golden file."""
    for path in version.glob(f"{kind}*"):
        shutil.copy(path, folder)
    if kind == "snapshot":
        return StageRouter.restore(folder / kind, controller="inline", clock=clock)
    facts, _ = formats.decode((version / "snapshot").read_bytes(), "snapshot")
    settings = {field.name: getattr(facts.settings, field.name) for field in fields(facts.settings)}
    journal = folder / kind
    return StageRouter(facts.models, **settings, journal=journal, controller="inline", clock=clock)


def answer_of(router: StageRouter, name: str, args: list[Any], kwargs: dict[str, Any]) -> list[Any]:
    # JSON has no tuples.
    kwargs = kwargs | ({"tokens": tuple(kwargs["tokens"])} if kwargs.get("tokens") else {})
    try:
        return answer_to_json(getattr(router, name)(*args, **kwargs))
    except StageRouteError as error:
        return answer_to_json(error)


def test_every_version_of_the_state_has_golden_files() -> None:
    found = [json.loads((v / "next.json").read_text())["state_version"] for v in VERSIONS]
    assert found == [v + 1 for v in range(STATE_VERSION)], "run `make golden`"


@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)
@pytest.mark.parametrize("kind", ["snapshot", "closed", "killed"])
def test_a_router_goes_on_from_what_was_written_then(
    kind: str, version: Path, tmp_path: Path
) -> None:
    golden = json.loads((version / "next.json").read_text())
    clock = [golden["calls"][0][0]]
    with reopen(version, kind, tmp_path, lambda: clock[0]) as router:
        for number, (now, name, args, kwargs, answer) in enumerate(golden["calls"]):
            clock[0] = now
            found = answer_of(router, name, args, kwargs)
            assert leaves(found) == almost(answer), (number, name, REMEDY)
        end = json.loads(json.dumps(end_to_json(router)))
    assert leaves(as_then(end, golden["end"])) == almost(golden["end"]), REMEDY


def as_then(now: Any, then: Any) -> Any:
    """Leave out what a router says of itself that it did not say then."""
    if isinstance(then, dict):
        return {name: as_then(now[name], value) for name, value in then.items()}
    if isinstance(then, list):
        return [as_then(*pair) for pair in zip(now, then, strict=False)]
    return now


def almost(values: Any) -> list[Any]:
    """Expect these values, up to how another machine rounds logarithms."""
    close = partial(pytest.approx, rel=1e-9)
    return [close(leaf) if isinstance(leaf, float) else leaf for leaf in leaves(values)]


def leaves(values: Any) -> list[Any]:
    """List the values of nested JSON, with the names of fields."""
    if isinstance(values, dict):
        return [leaf for name, value in values.items() for leaf in (name, *leaves(value))]
    if isinstance(values, list):
        return [leaf for value in values for leaf in leaves(value)]
    return [values]
