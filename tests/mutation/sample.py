"""Mutation testing on a seeded sample: how many small faults in the Rust code do its tests notice?

cargo-mutants lists every mutant of the files named in `.cargo/mutants.toml`. A sample of them is
drawn, and each is run against the tests of its own area only: tests of other parts may not help.
Survivors that were looked at are in `survivors.toml`, with reasons. Fails if a survivor is not
there, or if the share of mutants killed is below the least score.
"""

import argparse
import collections
import functools
import json
import os
import random
import re
import resource
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[2]
OUT = ROOT / "out" / "mutants"
RESULTS = OUT / "results.json"
TARGET = ROOT / "target" / "mutants"
LEAST_SCORE = 0.9
# A mutant that allocates without end must not take the machine's memory.
MEMORY_BYTES = 8 << 30


class Area(NamedTuple):
    """Files that begin alike, and what tests them."""

    package: str
    tests: tuple[str, ...]


AREAS = {
    "rust/core/src/lp/": Area(
        "stageroute-core", ("consistency", "lp_examples", "lp_properties", "lp_vectors")
    ),
    "rust/core/src/confidence.rs": Area("stageroute-core", ("statistics",)),
    "rust/core/src/stats.rs": Area("stageroute-core", ("drift", "statistics")),
    "rust/core/src/router/consistency.rs": Area("stageroute-core", ("consistency",)),
    "rust/core/src/router/f": Area(
        "stageroute-core", ("feedback", "guard", "health", "router", "throughput")
    ),
    "rust/core/src/router/": Area(
        "stageroute-core",
        ("feedback", "guard", "health", "queries", "router", "router_state", "throughput"),
    ),
    "rust/core/src/": Area(
        "stageroute-core", ("change_test", "consistency", "drift", "router", "statistics", "usage")
    ),
    "rust/journal/src/": Area("stageroute-journal", ("journal",)),
}
# Slow without optimisation: simulations whose findings are others' too, if not in figures.
SKIPPED = (
    "a_limit_on_requests_is_used_under_overload",
    "a_restored_router_goes_on_where_the_other_stood",
    "changes_are_found_soon",
    "flipped_bits_never_lead_to_a_panic",
    "no_window_ever_exceeds_its_limit",
    "one_unlucky_start_locks_an_arm_out_only_as_published",
    "the_bill_does_not_drift",
)

OUTCOMES = ("caught", "timeout", "missed", "unviable")

Mutant = dict[str, Any]


def mutants() -> list[Mutant]:
    """Every mutant, in the order of the source."""
    listed = subprocess.run(
        ["cargo", "mutants", "--list", "--json"], cwd=ROOT, check=True, stdout=subprocess.PIPE
    )
    found: list[Mutant] = json.loads(listed.stdout)
    return found


def area_of(mutant: Mutant) -> str:
    return next(area for area in AREAS if mutant["file"].startswith(area))


def run(area: str, names: list[str], others: set[str]) -> dict[str, str]:
    """Run these mutants of one area, and none of other files; return the outcome of each."""
    output = OUT / area.replace("/", "_")
    output.mkdir(parents=True, exist_ok=True)
    wanted = "^(" + "|".join(map(re.escape, names)) + ")$"
    command = ["cargo", "mutants", "--output", str(output), "--re", wanted]
    command += [f"--package={AREAS[area].package}"]
    # The tool lets every deleted field pass, whatever names it is given.
    command += [f"--exclude={file}" for file in sorted(others)]
    command += [f"--cargo-arg=--test={test}" for test in AREAS[area].tests]
    command += ["--", "--", *(f"--skip={test}" for test in SKIPPED)]
    finished = subprocess.run(command, cwd=ROOT, env=os.environ | {"CARGO_TARGET_DIR": str(TARGET)})
    # 2: some survived. 3: some timed out.
    if finished.returncode not in (0, 2, 3):
        sys.exit(f"cargo mutants ended with exit code {finished.returncode}")
    return {
        name: outcome
        for outcome in OUTCOMES
        for name in (output / "mutants.out" / f"{outcome}.txt").read_text().splitlines()
        if name in names
    }


def reasons() -> dict[str, str]:
    """Why known survivors survive, by their keys."""
    survivors = tomllib.loads((Path(__file__).parent / "survivors.toml").read_text())["survivor"]
    return {
        f"{s['file']}: {s['line']}: {s['column']}: {s['change']}": f"{s['kind']}: {s['reason']}"
        for s in survivors
    }


def rank(mutant: Mutant, seed: int) -> float:
    """A random number that depends on the mutant alone: other code may change, the sample stays."""
    return random.Random(f"{seed} {place(mutant)}").random()


def place(mutant: Mutant) -> tuple[str, str, str]:
    """File, source line and change."""
    line = source(mutant["file"])[mutant["span"]["start"]["line"] - 1].strip()
    return mutant["file"], line, mutant["name"].split(": ", 1)[1]


def key(mutant: Mutant) -> str:
    """What names a mutant wherever its line moves to."""
    file, line, change = place(mutant)
    start = mutant["span"]["start"]
    column = start["column"] - source(file)[start["line"] - 1].index(line)
    return f"{file}: {line}: {column}: {change}"


@functools.cache
def source(file: str) -> list[str]:
    return (ROOT / file).read_text().splitlines()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=1, help="of the sample")
    parser.add_argument("--size", type=int, default=320, help="mutants in the sample")
    parser.add_argument("--area", choices=AREAS, help="only mutants of this area")
    parser.add_argument("--iterate", action="store_true", help="skip what earlier runs killed")
    arguments = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    started = time.monotonic()

    population = mutants()
    sample = sorted(population, key=lambda mutant: rank(mutant, arguments.seed))[: arguments.size]
    sample = [mutant for mutant in sample if arguments.area in (None, area_of(mutant))]
    found = json.loads(RESULTS.read_text()) if arguments.iterate and RESULTS.exists() else {}
    for area in AREAS:
        keys = {mutant["name"]: key(mutant) for mutant in sample if area_of(mutant) == area}
        left = [name for name in keys if found.get(keys[name], "missed") == "missed"]
        others = {mutant["file"] for mutant in population} - {name.split(":")[0] for name in left}
        outcomes = run(area, left, others) if left else {}
        found |= {keys[name]: outcome for name, outcome in outcomes.items()}
        RESULTS.write_text(json.dumps(found, indent=1))
    minutes = (time.monotonic() - started) / 60

    known = reasons()
    counts = collections.Counter(found[key(mutant)] for mutant in sample)
    survivors = [key(mutant) for mutant in sample if found[key(mutant)] == "missed"]
    for survivor in survivors:
        print(f"survived: {survivor}\n    {known.get(survivor, 'NO REASON GIVEN')}")
    killed = counts["caught"] + counts["timeout"]
    score = killed / (killed + len(survivors))
    print(
        f"sample {len(sample)} of {len(population)}, seed {arguments.seed}: killed {killed} "
        f"({counts['timeout']} by timeout), survived {len(survivors)}, does not compile "
        f"{counts['unviable']}; score {score:.1%}; {minutes:.0f} min"
    )
    unexplained = sum(survivor not in known for survivor in survivors)
    if unexplained or score < LEAST_SCORE:
        sys.exit(
            f"{unexplained} survivors without a reason; the score must reach {LEAST_SCORE:.0%}"
        )


if __name__ == "__main__":
    main()
