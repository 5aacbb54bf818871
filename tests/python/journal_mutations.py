"""Spoils the files of journals, and counts acknowledged calls that are gone without an error.

``python tests/python/journal_mutations.py [--mutations 7500] [--seed 1]`` makes many such tries;
`test_journal_mutations` makes a few of them. Each takes the files that a router left (killed early,
killed later, killed in its second life, closed), spoils one of them or exchanges it for another,
and opens the journal: either all acknowledged calls are back, or that is an error with a type.

One thing nothing can tell: all files as they were at one earlier moment. So what takes the place of
a file is from before a commit that the others have.
"""

import argparse
import logging
import random
import tempfile
from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from stageroute import HardLimit, JournalSettings, Model, StageRouter
from stageroute.errors import StageRouteError

if TYPE_CHECKING:
    from collections.abc import Callable

FILES: Final = ("journal", "journal-wal", "journal-tail")
BLOCK: Final = 512


@dataclass(frozen=True)
class Scene:
    """Files that a router left, what they were earlier, and what it had acknowledged."""

    files: dict[str, bytes]
    earlier: dict[str, bytes]
    calls: int


def open_router(folder: Path, **settings: bool) -> StageRouter:
    where = JournalSettings(
        folder / "journal",
        tail_bytes=1 << 14,
        commit_seconds=5.0,
        compact_bytes=1 << 20,
        **settings,  # type: ignore[arg-type]
    )
    return StageRouter(
        [Model("a", max_cost=0.01), Model("b", max_cost=0.01)],
        budget=0.01,
        max_deployed=2,
        hard_limits=[HardLimit(100.0, "total")],
        journal=where,
        seed=1,
    )


def work(router: StageRouter, calls: int) -> None:
    for _ in range(calls):
        router.observe(router.route(), cost=2.0**-10)


def files_in(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def make_scene(folder: Path, lives: list[list[int]], end: str) -> Scene:
    """Have a router called so often, with a commit between each two; in each life it is killed."""
    earlier: dict[str, bytes] = {}
    for life in lives:
        router = open_router(folder)
        for number, calls in enumerate(life):
            if number:
                router.flush()
            if number == len(life) - 2:
                earlier = files_in(folder)
            work(router, calls)
        if life is lives[-1] and end == "closed":
            router.close()
        else:
            assert router._journal is not None
            router._journal.abandon()
            router.close()
    return Scene(files_in(folder), earlier, sum(map(sum, lives)))


def scenes() -> list[Scene]:
    """Make all scenes, each in a folder of its own."""
    made = []
    for lives, end in [
        ([[60]], "killed"),
        ([[20, 30, 25]], "killed"),
        ([[20, 90, 90, 90, 25]], "killed"),
        ([[20, 30], [10, 20, 15]], "killed"),
        ([[20, 40], [30, 10]], "closed"),
    ]:
        with tempfile.TemporaryDirectory() as folder:
            made.append(make_scene(Path(folder), lives, end))
    return made


def flip(generator: random.Random, data: bytes) -> bytes:
    at = generator.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << generator.randrange(8)]) + data[at + 1 :]


def cut(generator: random.Random, data: bytes) -> bytes:
    return data[: generator.randrange(len(data))]


def clear_block(generator: random.Random, data: bytes) -> bytes:
    at = generator.randrange(len(data)) // BLOCK * BLOCK
    return data[:at] + bytes(len(data[at : at + BLOCK])) + data[at + BLOCK :]


def swap_blocks(generator: random.Random, data: bytes) -> bytes:
    blocks = [data[at : at + BLOCK] for at in range(0, len(data), BLOCK)]
    one, other = generator.randrange(len(blocks)), generator.randrange(len(blocks))
    blocks[one], blocks[other] = blocks[other], blocks[one]
    return b"".join(blocks)


def spoil(
    generator: random.Random, scene: Scene, others: list[Scene]
) -> tuple[str, dict[str, bytes]]:
    """Return what was done, and the files after it."""
    files = dict(scene.files)
    name = generator.choice([name for name in FILES if files.get(name)])
    spoilt: dict[str, Callable[[], bytes | None]] = {
        "flip": partial(flip, generator, files[name]),
        "cut": partial(cut, generator, files[name]),
        "clear a block": partial(clear_block, generator, files[name]),
        "swap two blocks": partial(swap_blocks, generator, files[name]),
        "earlier file": lambda: scene.earlier.get(name),
        "another journal's file": lambda: generator.choice(others).files.get(name),
        "delete": lambda: None,
    }
    kind = generator.choices([*spoilt, "swap two files"], [8, 4, 2, 2, 1, 1, 1, 1])[0]
    if kind == "swap two files":
        other = generator.choice(FILES)
        files[name], files[other] = files.get(other, b""), files[name]
    else:
        data = spoilt[kind]()
        files.pop(name) if data is None else files.update({name: data})
    return f"{kind}: {name}", files


def outcome(files: dict[str, bytes], calls: int) -> str:
    """Open these files; say what came of it."""
    with tempfile.TemporaryDirectory() as folder:
        for name, data in files.items():
            (Path(folder) / name).write_bytes(data)
        try:
            router = open_router(Path(folder))
        except StageRouteError:
            return "refused"
        except Exception as error:  # noqa: BLE001  # what is looked for
            return f"untyped {type(error).__name__}"
        with router:
            counters = router.counters
        is_whole = (counters.queries, counters.billed) == (calls, calls * 2.0**-10)
        return "whole" if is_whole else "lost without an error"


def try_mutations(number: int, seed: int) -> Counter[tuple[str, str]]:
    """Count the outcomes by what was done."""
    generator = random.Random(seed)
    all_scenes = scenes()
    counts: Counter[tuple[str, str]] = Counter()
    for _ in range(number):
        scene = generator.choice(all_scenes)
        others = [other for other in all_scenes if other is not scene]
        what, files = spoil(generator, scene, others)
        counts[what, outcome(files, scene.calls)] += 1
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mutations", type=int, default=7500)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    logging.getLogger("stageroute").setLevel(logging.CRITICAL)
    counts = try_mutations(arguments.mutations, arguments.seed)
    for (what, result), number in sorted(counts.items()):
        print(f"{number:6} {what}: {result}")
    for result in sorted({result for _, result in counts}):
        total = sum(number for (_, found), number in counts.items() if found == result)
        print(f"{total:6} of {arguments.mutations}: {result}")


if __name__ == "__main__":
    main()
