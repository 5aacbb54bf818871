"""A provider on loopback that answers as its paths say, clients of it as plain as can be, and
routers over models that are named by such paths."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from http import HTTPStatus
from http.client import HTTPConnection, HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from stageroute import Model, Price, StageRouter, Tokens

USAGE = {"prompt_tokens": 1_000, "completion_tokens": 200}
ANSWER = {"choices": [{"message": {"content": "yes"}}], "usage": USAGE}
CHUNK = {"choices": [{"delta": {"content": "ye"}}]}
OVERLOADED = {"type": "error", "error": {"type": "overloaded_error", "message": "overloaded"}}

STREAMS: dict[str, list[dict[str, Any]]] = {
    "stream": [CHUNK] * 3 + [{"choices": [], "usage": USAGE}],
    "breaks": [CHUNK, OVERLOADED],
    "overloaded": [OVERLOADED],
    "endless": [CHUNK] * 100_000,
}


class _Handler(BaseHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        what = self.path.strip("/").split("/")[-1]
        if what.isdigit():
            self.send_response(int(what))
            self.send_header("Retry-After", "7")
            self.end_headers()
        elif what == "hangs":
            self.server.released.wait(10.0)  # type: ignore[attr-defined]
        elif what in STREAMS:
            self.send_response(200)
            self.end_headers()
            for chunk in STREAMS[what]:
                try:
                    self.wfile.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")
                except OSError:
                    return
        elif what == "answers":
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(ANSWER).encode())
        # Anything else ends the connection without a word.


@contextmanager
def provider() -> Iterator[int]:
    """Serve, and give the port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    server.released = threading.Event()  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.server_port
    finally:
        server.released.set()  # type: ignore[attr-defined]
        server.shutdown()
        thread.join()
        server.server_close()


class HttpError(Exception):
    """An error of either client."""

    def __init__(self, status_code: int, headers: Any = None) -> None:
        super().__init__(status_code)
        self.status_code, self.headers = status_code, headers


def get(port: int, what: str, timeout: float = 5.0) -> Any:
    """Ask; the answer's JSON, or an iterator of the events of a stream."""
    with closing(HTTPConnection("127.0.0.1", port, timeout=timeout)) as connection:
        connection.request("GET", f"/{what}")
        response = connection.getresponse()
    if what in STREAMS:
        return _events(response)
    with response:
        if response.status == HTTPStatus.OK:
            return json.load(response)
        raise HttpError(response.status, response.headers)


def _events(response: HTTPResponse) -> Iterator[Any]:
    with response:
        for line in response:
            if line.startswith(b"data: "):
                yield json.loads(line[6:])


async def get_async(port: int, what: str) -> Any:
    """As `get`, on an event loop."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(f"GET /{what} HTTP/1.0\r\n\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).split()
        status = int(head[1])
        answer = b"" if what in STREAMS else await reader.read()
    except BaseException:
        writer.close()
        raise
    if what in STREAMS:
        return _async_events(reader, writer)
    writer.close()
    if status == HTTPStatus.OK:
        return json.loads(answer)
    raise HttpError(status)


async def _async_events(reader: Any, writer: Any) -> AsyncIterator[Any]:
    try:
        while line := await reader.readline():
            if line.startswith(b"data: "):
                yield json.loads(line[6:])
    finally:
        writer.close()


PRICE = Price(1.0, 5.0)
BILL = PRICE.bill(Tokens(1_000, 200))


class Clock:
    """A clock that sleeping moves."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    async def sleep_async(self, seconds: float) -> None:
        self.sleep(seconds)
        await asyncio.sleep(0)


def a_router(*names: str, clock: Clock | None = None, **fields: Any) -> StageRouter:
    """Make a router of models at one price, the first of which is asked first."""
    models = [
        Model(
            name,
            price=PRICE,
            expected_tokens=Tokens(1_000, 200),
            expected_reward=1.0 - 0.2 * place,
            expected_reward_weight=1_000_000,
            max_concurrent=4,
            **fields,
        )
        for place, name in enumerate(names)
    ]
    return StageRouter(models, budget=1.0, max_deployed=len(names), seed=1, clock=clock or Clock())


def failures(router: StageRouter) -> dict[str, int]:
    return {reason: times for reason, times in router.counters.failures.items() if times}


def assert_nothing_is_under_way(router: StageRouter) -> None:
    assert [router.state(model.name).under_way for model in router.models] == [0] * len(
        router.models
    )
