"""Faults that the simulator finds: each is put into a copy of the Rust code, which is simulated.

What `make test` simulates in a minute has to find every one of them. Run it by hand
(``python tests/mutation/simulator.py``, about ten minutes) when the simulator has changed.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).parents[2]
COPY: Final = ROOT / "out" / "simulated"
TARGET: Final = ROOT / "target" / "simulated"
COPIED: Final = ("Cargo.toml", "Cargo.lock", "rust", "tests/rust", "benches/rust", "README.md")
SIMULATE: Final = (
    *("cargo", "run", "--quiet", "--profile", "develop", "--package", "stageroute-sim", "--"),
    *("--worlds", "2500", "--steps", "8000"),
)


class Fault(NamedTuple):
    """A line that is changed, and what is wrong then."""

    what: str
    path: str
    before: str
    after: str


CORE: Final = "rust/core/src/"
FAULTS: Final = (
    Fault(
        "a hard limit lets a hundredth of a cent too much through",
        CORE + "guard.rs",
        "        reservation <= self.any\n",
        "        reservation.to_usd() <= self.any.to_usd() + 1e-4\n",
    ),
    Fault(
        "hard limits hold nothing back for open decisions",
        CORE + "guard.rs",
        "            window.committed.add(reservation);\n",
        "            window.committed.add(Nanodollars::default());\n",
    ),
    Fault(
        "a clock that comes back finds nothing spent",
        CORE + "window.rs",
        "known.map_or(Nanodollars::default(), |known| known.total())",
        "known.map_or(Nanodollars::default(), |_| Nanodollars::default())",
    ),
    Fault(
        "a limit per minute is off by one",
        CORE + "meters.rs",
        "        self.sum + amount <= limit\n",
        "        self.sum + amount <= limit + 1.0\n",
    ),
    Fault(
        "a minute has 55 seconds",
        CORE + "meters.rs",
        "const SLOTS: usize = 61;",
        "const SLOTS: usize = 56;",
    ),
    Fault(
        "one query too many is under way",
        CORE + "throughput.rs",
        "|limit| self.under_way >= limit)",
        "|limit| self.under_way > limit)",
    ),
    Fault(
        "a reward counts as often as it comes",
        CORE + "router/feedback.rs",
        "        if observation.reward.is_some() && open.has_reward {\n",
        "        if false {\n",
    ),
    Fault(
        "a decision that is evicted stays in flight",
        CORE + "router/feedback.rs",
        "            self.ledger.written_off += open.expected_cost;\n",
        "",
    ),
    Fault(
        "health never trips",
        CORE + "health.rs",
        "        if !(was_probe || is_over || is_too_often) {\n",
        "        if !was_probe || is_over || is_too_often {\n",
    ),
    Fault(
        "a probe is not waited for",
        CORE + "health.rs",
        "            self.probe_sent = Some(now);\n",
        "            self.probe_sent = None;\n",
    ),
    Fault(
        "a wait is too short by a tenth",
        CORE + "throughput.rs",
        "    if now + wait < time { wait.next_up() } else { wait.max(0.0) }\n",
        "    if now + wait < time { wait.next_up() } else { 0.9 * wait.max(0.0) }\n",
    ),
    Fault(
        "a snapshot forgets how far the wall clock is off",
        CORE + "router/later.rs",
        "            clock_offset: self.clock_offset,\n",
        "            clock_offset: 0.0,\n",
    ),
    Fault(
        "a batch that is refused keeps what it had claimed",
        CORE + "router/feedback.rs",
        "                open.has_reward &= observation.reward.is_none();\n",
        "",
    ),
    Fault(
        "an upgraded router draws from another sequence",
        CORE + "router/later.rs",
        "        let Some(second) = second else {\n",
        "        let Some(second) = second else {\n            self.sampler.unit();\n",
    ),
    Fault(
        "a damaged record ends a journal without a word",
        "rust/journal/src/tail.rs",
        "        let lost = after.saturating_sub(next_seq);\n",
        "        let lost = after.saturating_sub(next_seq) / 1000;\n",
    ),
)


def simulate(fault: Fault) -> str:
    """Return what the simulator says of a fault, empty if it finds nothing."""
    path = COPY / fault.path
    source = path.read_text(encoding="utf-8")
    if source.count(fault.before) != 1:
        raise SystemExit(f"{fault.path} has not once: {fault.before}")
    path.write_text(source.replace(fault.before, fault.after), encoding="utf-8")
    try:
        done = subprocess.run(
            SIMULATE,
            cwd=COPY,
            env=os.environ | {"CARGO_TARGET_DIR": str(TARGET)},
            check=False,
            capture_output=True,
            text=True,
        )
    finally:
        path.write_text(source, encoding="utf-8")
    found = [line for line in done.stderr.splitlines() if line.startswith("world ")]
    if done.returncode and not found:
        raise SystemExit(f"{fault.what}: {done.stderr}")
    return found[0] if found else ""


def main() -> None:
    """Try every fault, or those whose description has the words given."""
    shutil.rmtree(COPY, ignore_errors=True)
    for name in COPIED:
        source = ROOT / name
        (COPY / name).parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            # As new files, or cargo would take a fault of the last run for what is built.
            shutil.copytree(source, COPY / name, copy_function=shutil.copy)
        else:
            shutil.copy(source, COPY / name)
    words = " ".join(sys.argv[1:])
    missed = []
    for fault in FAULTS:
        if words in fault.what:
            found = simulate(fault)
            print(f"{fault.what}: {found[:160] or 'NOT FOUND'}", flush=True)
            missed += [] if found else [fault.what]
    if missed:
        raise SystemExit(f"not found: {', '.join(missed)}")


if __name__ == "__main__":
    main()
