"""An OpenAI-compatible endpoint in a thread, which misbehaves as told and counts what it is asked."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

GOOD = json.dumps({"description": "Tools of steel.", "keywords": ["Hammer", "steel nail", "drill"]})


def reply(content, finish="stop"):
    """Return the body of a chat completion."""
    return {
        "id": "1",
        "object": "chat.completion",
        "created": 0,
        "model": "stub",
        "choices": [{"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": content}}],
        "usage": {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120},
    }


class Stub:
    """What the endpoint does: `act(question, times)` returns (status, headers, body) or None for silence."""

    def __init__(self, act):
        self.act = act
        self.lock = threading.Lock()
        self.asked = Counter()
        self.answered = Counter()
        self.bodies = []
        self.headers = []
        self.times = []
        self.running = self.most_running = 0
        self.closing = threading.Event()

    def serve(self, handler):
        body = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))
        question = body["messages"][0]["content"]
        with self.lock:
            self.asked[question] += 1
            self.bodies.append(body)
            self.headers.append(dict(handler.headers))
            self.times.append(time.monotonic())
            self.running += 1
            self.most_running = max(self.most_running, self.running)
            times = self.asked[question]
        try:
            action = self.act(question, times)
            if action is None:
                self.closing.wait(5)
                return
            self._send(handler, question, *action)
        finally:
            with self.lock:
                self.running -= 1

    def _send(self, handler, question, status, headers, body):
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        handler.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": len(content), **headers}.items():
            handler.send_header(name, str(value))
        handler.end_headers()
        handler.wfile.write(content)
        if status == 200:
            with self.lock:
                self.answered[question] += 1


@contextmanager
def serving(act):
    """Yield the stub and its address while it serves."""
    stub = Stub(act)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            stub.serve(self)

        def log_message(self, *arguments):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield stub, f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        stub.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()


def good(question, times):
    """Answer everything at once."""
    return 200, {}, reply(GOOD)
