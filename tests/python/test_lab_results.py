"""Results of a study are the same bytes, whatever happened to the processes that made them."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from stageroute.cli import main
from stageroute.errors import ResultsError
from stageroute.lab.engines import local_engine
from stageroute.lab.results import read_results
from stageroute.lab.results_folder import open_results
from stageroute.lab.studies.comparison import Comparison
from stageroute.lab.study import StudySettings, run_study

pytest.importorskip("pyarrow", reason="left out: stageroute[lab] is not installed")

POLICIES = ("stageroute", "greedy", "uniform", "oracle")
STUDY = [
    "study",
    "comparison",
    "--small",
    "--seeds",
    "16",
    "--no-progress",
    "--policies",
    *POLICIES,
]
EPISODES = 16 * len(POLICIES)
KILLS = 4
"""For each number of workers."""

Files = dict[str, bytes]


def start(folder: Path, workers: int) -> subprocess.Popen[str]:
    arguments = [*STUDY, "--out", str(folder), "--workers", str(workers)]
    return subprocess.Popen(
        [sys.executable, "-m", "stageroute", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


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
    folder = tmp_path_factory.mktemp("undisturbed")
    process = start(folder, workers=1)
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    assert not (folder / "finished.jsonl").exists()
    return results(folder)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_killed_at_any_moment_it_goes_on(tmp_path: Path, undisturbed: Files, workers: int) -> None:
    generator = random.Random(workers)
    folder = tmp_path / "results"
    kept = []
    for _ in range(KILLS):
        process = start(folder, workers)
        more = finished(folder) + generator.randrange(EPISODES // KILLS)
        wait_for(process, lambda more=more: finished(folder) > more)  # type: ignore[misc]
        time.sleep(generator.uniform(0.0, 0.01))
        process.kill()
        process.communicate()
        kept.append(finished(folder))
    assert kept == sorted(kept)
    assert len({count for count in kept if 0 < count < EPISODES}) >= 2, kept
    process = start(folder, workers)
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    assert results(folder) == undisturbed


@pytest.mark.slow
def test_killed_before_its_first_episode_it_begins_anew(tmp_path: Path, undisturbed: Files) -> None:
    folder = tmp_path / "results"
    process = start(folder, workers=1)
    wait_for(process, folder.exists)
    process.kill()
    process.communicate()
    process = start(folder, workers=2)
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    assert results(folder) == undisturbed


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
    process = start(folder, workers=2)
    process.communicate()
    assert results(folder) == undisturbed


# Below, a smaller study in this process.


@pytest.fixture(scope="module")
def settings() -> StudySettings:
    study = Comparison()
    small = study.small(study.settings())
    return replace(small, policies=POLICIES, num_queries=500, num_stages=3)


def run(folder: Path, settings: StudySettings) -> Files:
    run_study(Comparison(), settings, folder, local_engine(1))
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
        run_study(Comparison(), settings, folder, local_engine(1), stop)
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

    run_study(Comparison(), settings, done, refuse)  # type: ignore[arg-type]
    assert everything(done) == before


@pytest.mark.parametrize("position", [0, 2, 4])
def test_a_damaged_line_is_named(half_done: Path, settings: StudySettings, position: int) -> None:
    path = half_done / "finished.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    lines[position] = lines[position].replace('"policy"', '"polity"')
    path.write_text("".join(lines) + "torn")
    before = everything(half_done)
    with pytest.raises(ResultsError, match=rf"finished\.jsonl, line {position + 1}: .*polic"):
        run(half_done, settings)
    assert everything(half_done) == before


def test_an_episode_of_another_study_is_refused(half_done: Path, settings: StudySettings) -> None:
    path = half_done / "finished.jsonl"
    line = json.loads(path.read_text().splitlines()[0])
    line["record"]["key"] = "0123456789"
    with path.open("a") as file:
        file.write(json.dumps(line) + "\n")
    with pytest.raises(ResultsError, match=r"line 6: .*no episode 0123456789"):
        run(half_done, settings)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_queries": 501}, "its settings differs .num_queries: 500 there, 501 now"),
        ({"seeds": (0, 1)}, r"seeds: \[0, 1, 2\] there, \[0, 1\] now"),
    ],
)
def test_other_settings_are_refused(
    half_done: Path, settings: StudySettings, change: dict[str, object], message: str
) -> None:
    before = everything(half_done)
    with pytest.raises(ResultsError, match=message):
        run(half_done, replace(settings, **change))  # type: ignore[arg-type]
    assert everything(half_done) == before


@pytest.mark.parametrize(
    ("name", "value"), [("version", "0.0.9"), ("format", 1), ("study", "another")]
)
def test_another_version_format_or_study_is_refused(
    half_done: Path, settings: StudySettings, name: str, value: object
) -> None:
    header = json.loads((half_done / "study.json").read_text())
    (half_done / "study.json").write_text(json.dumps(header | {name: value}))
    before = everything(half_done)
    with pytest.raises(ResultsError, match=rf"its {name} differs \({value!r} there"):
        run(half_done, settings)
    assert everything(half_done) == before


@pytest.mark.parametrize("content", ["", "[]", '{"format": 1, "st'])
def test_a_damaged_header_is_refused(
    half_done: Path, settings: StudySettings, content: str
) -> None:
    (half_done / "study.json").write_text(content)
    with pytest.raises(ResultsError, match=r"study\.json"):
        run(half_done, settings)


def test_a_foreign_folder_is_refused(tmp_path: Path, settings: StudySettings) -> None:
    (tmp_path / "thesis.tex").write_text("\\section{}")
    with pytest.raises(ResultsError, match=r"no study\.json but other files \(thesis\.tex\)"):
        run(tmp_path, settings)
    assert everything(tmp_path) == {"thesis.tex": b"\\section{}"}
    with pytest.raises(ResultsError, match="cannot be a folder of results"):
        run(tmp_path / "thesis.tex", settings)


def test_finished_episodes_without_their_header_are_refused(
    half_done: Path, settings: StudySettings
) -> None:
    (half_done / "study.json").unlink()
    with pytest.raises(ResultsError, match=r"finished\.jsonl"):
        run(half_done, settings)


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
    study = Comparison()
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


def test_the_command_reports_a_refusal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "notes").touch()
    assert main([*STUDY, "--out", str(tmp_path)]) == 1
    assert capsys.readouterr().err.startswith(f"stageroute: {tmp_path} holds no study.json")


def test_json_has_no_nan(tmp_path: Path, done: Path) -> None:
    values = read_results(done)
    values.records[0].stage_budget_price[0] = float("nan")
    episode = json.loads(json.dumps(values.to_json(), allow_nan=False))["episodes"][0]
    assert episode["stage_budget_price"][0] is None
