"""Results of a study are the same bytes, whatever happened to the processes that made them."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stageroute.errors import ResultsError
from stageroute.lab.engines import local_engine
from stageroute.lab.results import read_results
from stageroute.lab.results_folder import open_results
from stageroute.lab.studies import STUDIES
from stageroute.lab.study import StudySettings, run_study

pytest.importorskip("pyarrow", reason="left out: stageroute[lab] is not installed")

POLICIES = ("stageroute", "greedy", "uniform", "oracle")
STUDY = ["study", "comparison", "--small", "--no-progress", "--policies", *POLICIES]
EPISODES = 16 * len(POLICIES)
KILLS = 4

Files = dict[str, bytes]


def start(folder: Path, workers: int) -> subprocess.Popen[str]:
    arguments = [*STUDY, "--seeds", "16", "--out", str(folder), "--workers", str(workers)]
    return subprocess.Popen(
        [sys.executable, "-m", "stageroute", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def whole(folder: Path, workers: int) -> Files:
    """Run the study, or what is left of it, to its end."""
    process = start(folder, workers)
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    assert not (folder / "finished.jsonl").exists()
    return results(folder)


def finished(folder: Path) -> int:
    path = folder / "finished.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def wait_for(process: subprocess.Popen[str], condition: Callable[[], bool]) -> None:
    while process.poll() is None and not condition():
        time.sleep(0.002)


def results(folder: Path) -> Files:
    return {name: (folder / name).read_bytes() for name in ("study.json", "episodes.parquet")}


def everything(folder: Path) -> Files:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return whole(tmp_path_factory.mktemp("undisturbed"), workers=1)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_killed_at_any_moment_it_goes_on(tmp_path: Path, undisturbed: Files, workers: int) -> None:
    """The first time before its first episode."""
    generator = random.Random(workers)
    folder = tmp_path / "results"
    kept = []
    for kill in range(KILLS + 1):
        process = start(folder, workers)
        more = finished(folder) + generator.randrange(EPISODES // KILLS)
        wait_for(process, lambda: finished(folder) > more if kill else folder.exists())  # noqa: B023
        time.sleep(generator.uniform(0.0, 0.01) if kill else 0.0)
        process.kill()
        process.communicate()
        kept.append(finished(folder))
    assert kept == sorted(kept)
    assert len({count for count in kept if 0 < count < EPISODES}) >= 2, kept
    assert whole(folder, workers) == undisturbed


@pytest.mark.slow
def test_ctrl_c_keeps_what_is_finished_and_says_how_to_go_on(
    tmp_path: Path, undisturbed: Files
) -> None:
    folder = tmp_path / "results"
    process = start(folder, workers=2)
    wait_for(process, lambda: finished(folder) >= 1)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    kept = finished(folder)
    assert 1 <= kept < EPISODES
    # The last one may have been written down without having been counted.
    rest = f" of {EPISODES} episodes are kept in {folder}: run it again to go on"
    said = [f"stageroute: interrupted; {count}{rest}" for count in (kept - 1, kept)]
    assert errors.strip() in said
    assert whole(folder, workers=2) == undisturbed


# Below, a smaller study in this process.


@pytest.fixture(scope="module")
def settings() -> StudySettings:
    return replace(STUDIES["comparison"].small, policies=POLICIES, num_queries=500, num_stages=3)


def run(folder: Path, settings: StudySettings) -> Files:
    run_study(STUDIES["comparison"], settings, folder, local_engine(1))
    return results(folder)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, settings: StudySettings) -> Path:
    """A finished study; do not write there."""
    folder = tmp_path_factory.mktemp("done")
    run(folder, settings)
    return folder


@pytest.fixture
def half_done(tmp_path: Path, settings: StudySettings) -> Path:
    """A study that was stopped after five of its twelve episodes."""
    folder = tmp_path / "half done"

    def stop(finished: int, _total: int) -> None:
        if finished == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_study(STUDIES["comparison"], settings, folder, local_engine(1), stop)
    assert finished(folder) == 5
    return folder


def test_a_torn_last_line_is_run_again(
    half_done: Path, done: Path, settings: StudySettings
) -> None:
    path = half_done / "finished.jsonl"
    os.truncate(path, path.stat().st_size - 100)
    assert run(half_done, settings) == results(done)


def test_a_crash_after_the_results_were_written_loses_nothing(
    tmp_path: Path, half_done: Path, done: Path, settings: StudySettings
) -> None:
    """Whatever of the last three files there is, the study ends the same."""
    lines = (half_done / "finished.jsonl").read_bytes()
    run(half_done, settings)
    (half_done / "finished.jsonl").write_bytes(lines)
    assert run(half_done, settings) == results(done)
    assert not (half_done / "finished.jsonl").exists()
    (half_done / "timings.json.new").write_text("{")
    (half_done / "episodes.parquet.new").write_text("PAR")
    assert run(half_done, settings) == results(done)
    assert set(read_results(half_done).timings) == {r.key for r in read_results(done).records}


def test_a_finished_study_does_not_run_again(done: Path, settings: StudySettings) -> None:
    before = everything(done)

    def refuse(*_: object) -> None:
        pytest.fail("an episode ran again")

    run_study(STUDIES["comparison"], settings, done, refuse)  # type: ignore[arg-type]
    assert everything(done) == before


Damage = Callable[[Path], object]


def rewritten(name: str, edit: Callable[[str], str]) -> Damage:
    return lambda folder: (folder / name).write_text(edit((folder / name).read_text()))


def header(**changes: object) -> Damage:
    return rewritten("study.json", lambda text: json.dumps(json.loads(text) | changes))


def line(position: int) -> Damage:
    def edit(text: str) -> str:
        lines = text.splitlines(keepends=True)
        lines[position] = lines[position].replace('"policy"', '"polity"')
        return "".join(lines) + "torn"

    return rewritten("finished.jsonl", edit)


def with_line_of_another_study(text: str) -> str:
    return text + re.sub(r'("key": ?)"\w+"', r'\1"0123456789"', text.splitlines(keepends=True)[0])


@pytest.mark.parametrize(
    ("spoil", "change", "message"),
    [
        *(
            (line(position), {}, rf"finished\.jsonl, line {position + 1}: .*polic")
            for position in (0, 2, 4)
        ),
        (
            rewritten("finished.jsonl", with_line_of_another_study),
            {},
            "line 6: .*no episode 0123456789",
        ),
        *(
            (header(**{name: value}), {}, rf"its {name} differs \({value!r} there")
            for name, value in (("version", "0.0.9"), ("format", 1), ("study", "another"))
        ),
        (rewritten("study.json", lambda _: ""), {}, r"study\.json"),
        (rewritten("study.json", lambda _: "[]"), {}, r"study\.json"),
        (rewritten("study.json", lambda text: text[: len(text) // 2]), {}, r"study\.json"),
        (lambda folder: (folder / "study.json").unlink(), {}, r"finished\.jsonl"),
        (Path.exists, {"num_queries": 501}, "settings differs .num_queries: 500 there, 501 now"),
        (Path.exists, {"seeds": (0, 1)}, r"seeds: \[0, 1, 2\] there, \[0, 1\] now"),
    ],
)
def test_what_does_not_fit_is_refused_and_left_as_it_was(
    half_done: Path, settings: StudySettings, spoil: Damage, change: dict[str, Any], message: str
) -> None:
    spoil(half_done)
    before = everything(half_done)
    with pytest.raises(ResultsError, match=message):
        run(half_done, replace(settings, **change))
    assert everything(half_done) == before


def test_a_foreign_folder_is_refused(
    tmp_path: Path, settings: StudySettings, cli: Callable[..., tuple[str, str]]
) -> None:
    (tmp_path / "thesis.tex").write_text("\\section{}")
    with pytest.raises(ResultsError, match=r"no study\.json but other files \(thesis\.tex\)"):
        run(tmp_path, settings)
    _, errors = cli(*STUDY, "--out", tmp_path, status=1)
    assert errors.startswith(f"stageroute: {tmp_path} holds no study.json")
    assert everything(tmp_path) == {"thesis.tex": b"\\section{}"}
    with pytest.raises(ResultsError, match="cannot be a folder of results"):
        run(tmp_path / "thesis.tex", settings)


@pytest.mark.parametrize("how", ["cut", "flipped", "empty", "of another study"])
def test_damaged_results_are_refused(
    tmp_path: Path, done: Path, settings: StudySettings, how: str
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(done, folder)
    path = folder / "episodes.parquet"
    content = bytearray(path.read_bytes())
    if how == "cut":
        path.write_bytes(content[:-50])
    elif how == "flipped":
        content[len(content) // 3] ^= 0x10
        path.write_bytes(content)
    elif how == "empty":
        path.write_bytes(b"")
    else:
        run(tmp_path / "other", replace(settings, num_queries=600))
        shutil.copy(tmp_path / "other" / "episodes.parquet", path)
    before = everything(folder)
    for read in (lambda: run(folder, settings), lambda: read_results(folder)):
        with pytest.raises(ResultsError, match=r"episodes\.parquet: .*; remove it and run"):
            read()
    assert everything(folder) == before
    path.unlink()
    assert run(folder, settings) == results(done)


def test_two_processes_cannot_work_on_one_folder(tmp_path: Path, settings: StudySettings) -> None:
    study = STUDIES["comparison"]
    episodes = study.episodes(settings)
    with (
        open_results(tmp_path, study.name, settings.to_json(), episodes),
        pytest.raises(ResultsError, match="another process works on this folder"),
        open_results(tmp_path, study.name, settings.to_json(), episodes),
    ):
        pytest.fail("it opened twice")
    run(tmp_path, settings)


def test_unfinished_results_cannot_be_read(half_done: Path, tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="its study was not finished"):
        read_results(half_done)
    with pytest.raises(ResultsError, match="no study ran there"):
        read_results(tmp_path)


def test_json_has_no_nan(tmp_path: Path, done: Path) -> None:
    values = read_results(done)
    values.records[0].stage_budget_price[0] = float("nan")
    episode = json.loads(json.dumps(values.to_json(), allow_nan=False))["episodes"][0]
    assert episode["stage_budget_price"][0] is None
