"""Somebody who answers HTTP in one way, whatever is asked: what the real service cannot be brought to say."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Answers(BaseHTTPRequestHandler):
    """Always the same."""

    status, media_type, answer = 200, "application/x-ndjson", b'{"row": 1, "id": "A-0", "status": 202}\n'

    def says(self) -> tuple[int, str, bytes]:
        """Status, media type and body."""
        return self.status, self.media_type, self.answer

    def do_POST(self) -> None:
        status, media_type, answer = self.says()
        self.send_response(status)
        self.send_header("Content-Type", media_type)
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(answer)

    def do_GET(self) -> None:
        self.do_POST()

    def do_PUT(self) -> None:
        self.do_POST()

    def log_message(self, *_: object) -> None:
        """Nothing on standard error, where the command speaks."""


@contextmanager
def answering(handler: type[Answers], **what: Any) -> Iterator[str]:
    kind = type("Chosen", (handler,), what)
    with ThreadingHTTPServer(("127.0.0.1", 0), kind) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
