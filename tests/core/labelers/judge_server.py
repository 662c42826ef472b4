"""A real HTTP server on this machine that speaks chat completions and does to each request what a test wrote down."""

import json
import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MODEL = "judge-1"


@dataclass
class Reply:
    """What the server does with one call: a status with headers and a body, a delay, or a cut connection."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    is_cut: bool = False


def letter(p_first: float = 0.9, *, tokens_in: int = 200) -> Reply:
    """A letter with its log-probabilities."""
    chances = {"A": p_first, "B": 1 - p_first}
    tops = [{"token": token, "logprob": math.log(chance), "bytes": None} for token, chance in chances.items()]
    return completion("A", logprobs={"content": [{**tops[0], "top_logprobs": tops}]}, tokens_in=tokens_in)


def completion(text, *, logprobs=None, finish_reason="stop", tokens_in=200, tokens_out=5, refusal=None) -> Reply:
    message = {"role": "assistant", "content": text, "refusal": refusal}
    choice = {"index": 0, "message": message, "finish_reason": finish_reason, "logprobs": logprobs}
    usage = {"prompt_tokens": tokens_in, "completion_tokens": tokens_out, "total_tokens": tokens_in + tokens_out}
    return Reply(
        body={
            "id": "c",
            "object": "chat.completion",
            "created": 1,
            "model": MODEL,
            "choices": [choice],
            "usage": usage,
        }
    )


def error(status: int, message: str, **headers: str) -> Reply:
    return Reply(status=status, body={"error": {"message": message}}, headers=headers)


@dataclass
class Judge:
    """A running server: where it is, and every call that it got."""

    url: str
    calls: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)


@contextmanager
def serving(answer: Callable[[dict[str, Any], int], Reply]) -> Iterator[Judge]:
    """Serve until the block ends; `answer` gets each call's JSON and how many calls there were before it."""
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._send(
                Reply(
                    body={"object": "list", "data": [{"id": MODEL, "object": "model", "created": 1, "owned_by": "us"}]}
                )
            )

        def do_POST(self) -> None:
            call = json.loads(self.rfile.read(int(self.headers["content-length"])))
            with lock:
                number = len(judge.calls)
                judge.calls.append(call)
                judge.keys.append(self.headers.get("authorization", ""))
            self._send(answer(call, number))

        def _send(self, reply: Reply) -> None:
            time.sleep(reply.seconds)
            if reply.is_cut:
                self.close_connection = True
                self.connection.close()
                return
            content = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
            self.send_response(reply.status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            for name, value in reply.headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *words: object) -> None:
            """Tests read what was called, not a log."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

        def handle_error(self, request: object, client_address: object) -> None:
            """A client that hung up is what some tests are about."""

    server = Server(("127.0.0.1", 0), Handler)
    judge = Judge(url=f"http://127.0.0.1:{server.server_address[1]}/v1")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield judge
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
