"""Files are whole or not there; snapshots in them are whole or refused."""

import json
import os
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stageroute import __version__
from stageroute.errors import (
    InvalidInputError,
    SnapshotCorruptError,
    SnapshotError,
    SnapshotMismatchError,
    SnapshotVersionError,
)
from stageroute.files import write_json
from stageroute.journal.snapshot_file import dumps, loads, require_fingerprint, write

HEADER = {"fingerprint": "b = 0.001", "models": ["a", "β"], "nothing": None, "share": 0.1}
BODY = bytes(range(256)) + b"\n" * 3


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "router.snapshot"
    write(path, HEADER, BODY)
    return path


def test_what_is_written_is_read(file: Path) -> None:
    data = file.read_bytes()
    header, body = loads(data, str(file))
    assert body == BODY
    assert header.items() >= HEADER.items()
    assert header["library"] == __version__
    assert (header["format"], header["length"]) == (1, len(BODY))
    # A person can read the header.
    magic, line = data.split(b"\n")[:2]
    assert magic == b"stageroute snapshot"
    assert json.loads(line) == header


@pytest.mark.slow
@given(
    st.dictionaries(st.text(), st.none() | st.booleans() | st.integers() | st.floats(-1, 1)),
    st.binary(),
)
def test_any_header_and_body(header: dict[str, object], body: bytes) -> None:
    header = {f"my {key}": value for key, value in header.items()}
    found, state = loads(dumps(header, body), "it")
    assert state == body
    assert header.items() <= found.items()


def test_a_file_cut_anywhere_is_refused(file: Path) -> None:
    data = file.read_bytes()
    for length in range(len(data)):
        with pytest.raises(SnapshotCorruptError, match="it is cut short"):
            loads(data[:length], "it")
    with pytest.raises(SnapshotCorruptError, match="was extended: 260 bytes of state, not 259"):
        loads(data + b"\0", "it")


def test_a_file_with_any_byte_changed_is_refused(file: Path) -> None:
    data = bytearray(file.read_bytes())
    for place in range(len(data)):
        for bits in (0x01, 0x80):
            data[place] ^= bits
            with pytest.raises(SnapshotError):
                loads(bytes(data), "it")
            data[place] ^= bits


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (b"[]", "does not read as one"),
        (b"{}", "does not read as one"),
        (b'{"format":true,"length":0}', "does not read as one"),
        (b"[" * 100_000, "does not read as one"),
        (b"\xff", "does not read as one"),
        (b'{"format":1,"length":"0"}', "lacks a length"),
        (b'{"format":1,"length":0}', "SHA-256 does not fit"),
        (b'{"format":1,"length":-1}', "was extended"),
        (b'{"format":1,"length":1}', "cut short: 0 bytes of state, not 1"),
    ],
)
def test_strange_headers_are_refused(header: bytes, message: str) -> None:
    with pytest.raises(SnapshotCorruptError, match=message):
        loads(b"stageroute snapshot\n" + header + b"\nsha\n", "it")
    with pytest.raises(SnapshotCorruptError, match="something does not start as a snapshot"):
        loads(b"PK\x03\x04 something else", "something")


def test_a_later_format_is_refused_whatever_else_it_changes() -> None:
    header = {"format": 2, "library": "9.1.0", "length": "many"}
    data = b"stageroute snapshot\n" + json.dumps(header).encode() + b"\nbody"
    with pytest.raises(SnapshotVersionError, match=r"format 2, written by stageroute 9\.1\.0; .*1"):
        loads(data, "it")


def test_another_configuration_is_shown_beside_this_one() -> None:
    require_fingerprint("it", ["b = 0", "b = 1"], "b = 0")
    with pytest.raises(SnapshotMismatchError, match=r"(?s)it belongs .*there: b = 2\n.*b = 1"):
        require_fingerprint("it", ["b = 1"], "b = 2")


def test_fields_that_are_filled_in_cannot_be_given(tmp_path: Path) -> None:
    path = tmp_path / "new"
    with pytest.raises(InvalidInputError, match=r"header has \['format', 'length'\]"):
        write(path, {"format": 1, "length": 3}, b"")
    assert not path.exists()


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
