"""Files are whole or not there; what is no file is written to, and never replaced."""

import os
import threading
from pathlib import Path

from stageroute.files import write_json


def test_a_link_stays_a_link_and_its_file_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "file.json").write_text("old")
    link = tmp_path / "link.json"
    link.symlink_to(tmp_path / "file.json")
    write_json(link, [1])
    assert link.is_symlink()
    assert (tmp_path / "file.json").read_text() == "[\n 1\n]\n"
    assert len(list(tmp_path.iterdir())) == 2


def test_a_pipe_is_written_to_and_stays_a_pipe(tmp_path: Path) -> None:
    pipe, read = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()), daemon=True)
    reader.start()
    write_json(pipe, {"a": 1})
    reader.join(30)
    assert read == ['{\n "a": 1\n}\n']
    assert pipe.is_fifo()
