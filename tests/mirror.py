"""A server on the loopback that cuts connections, and a progress that counts bytes."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np

from medfeat.types import SilentProgress


@dataclass
class Mirror:
    """A server on the loopback that can be told to misbehave."""

    content: bytes
    resumes: bool = True
    status: int = 200
    cut_after: list[int] = field(default_factory=list)
    requests: list[str | None] = field(default_factory=list)
    served: list[bytes] = field(default_factory=list)
    open: threading.Event = field(default_factory=threading.Event)
    url: str = ""

    @property
    def md5(self) -> str:
        return hashlib.md5(self.content).hexdigest()

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


def _handler(mirror: Mirror) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.headers.get("Range")
            mirror.requests.append(asked)
            body = mirror.served.pop(0) if mirror.served else mirror.content
            if mirror.status != 200:
                self.send_error(mirror.status)
                return
            start = int(re.match(r"bytes=(\d+)-", asked).group(1)) if asked and mirror.resumes else 0
            if start and start >= len(body):
                self.send_response(416)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
            self.send_header("Content-Length", str(len(body) - start))
            self.end_headers()
            mirror.open.wait(60)
            stop = mirror.cut_after.pop(0) if mirror.cut_after else len(body)
            self.wfile.write(body[start : start + stop])

        def log_message(self, *args: object) -> None:
            """Stay silent."""

    return Handler


@contextmanager
def serving() -> Iterator[Mirror]:
    """Serve a million random bytes."""
    mirror = Mirror(np.random.default_rng(0).bytes(1_000_000))
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(mirror))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    mirror.open.set()
    mirror.url = f"http://127.0.0.1:{server.server_port}/file.npz"
    try:
        yield mirror
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass(frozen=True)
class CountedBytes(SilentProgress):
    """Counts the bytes it is told of."""

    seen: dict[str, int | str] = field(default_factory=dict)

    def start(self, total: int, label: str, unit: str = "images") -> None:
        self.seen.update(total=total, done=0, unit=unit)

    def advance(self, count: int) -> None:
        self.seen["done"] += count
