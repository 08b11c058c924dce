# SPDX-License-Identifier: Apache-2.0
"""A server of OpenAI's interface on loopback, for chat completions and batches, that also misbehaves as it is told."""

import hashlib
import itertools
import json
import math
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from email.message import Message
from email.parser import BytesParser
from email.policy import HTTP
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

CHAT = "/v1/chat/completions"
# What an error answer has: status, code, type, message.
ERRORS = {
    "429": (429, "rate_limit_exceeded", "requests", "Rate limit reached, wait a moment"),
    "429 seconds": (429, "rate_limit_exceeded", "requests", "Rate limit reached, wait a moment"),
    "429 date": (429, "rate_limit_exceeded", "requests", "Rate limit reached, wait a moment"),
    "429 quota": (429, "insufficient_quota", "insufficient_quota", "You exceeded your current quota"),
    "500": (500, None, "server_error", "The server had an error while processing your request"),
    "503": (503, None, "server_error", "The engine is currently overloaded"),
    "408": (408, None, "timeout", "The request took too long"),
    "401": (401, "invalid_api_key", "invalid_request_error", "Incorrect API key provided"),
    "404": (404, "model_not_found", "invalid_request_error", "The model does not exist or you have no access to it"),
    "context length": (400, "context_length_exceeded", "invalid_request_error", "The context window is too short"),
    # As llama.cpp's server says it.
    "context size": (400, 400, "exceed_context_size_error", "request exceeds the available context size, increase it"),
}
# What becomes of the connection or of the whole answer. All of them come after the question was answered and counted.
TRANSPORT = ("cut before headers", "cut in body", "slow", "html", "redirect")
# What is wrong in the answer of the model.
CONTENT = (
    *("invalid json", "wrong schema", "outside range", "overlap", "gap", "another's numbers", "unknown keys"),
    *("truncated", "refusal", "content filter", "empty content", "null content"),
)
BATCH = ("batch failed", "batch expired")
KINDS = (*ERRORS, *TRANSPORT, *CONTENT, *BATCH)
POINTS = ("arrived", "before answer", "answered")
_PIECE = re.compile(r"\w{1,6}|[^\w\s]")
_REFUSAL = "I'm sorry, I can't help with that."
_PAGE = b"<!DOCTYPE html><html><body><h1>Sign in to the network</h1></body></html>"


def count_tokens(text: str) -> int:
    """Returns how many pieces a text has: marks of punctuation, and at most six letters of a word."""
    return len(_PIECE.findall(text))


def question_of(body: Mapping[str, Any]) -> str:
    """Returns the digest of a request's model and messages."""
    return _digest(json.dumps([body.get("model"), body.get("messages")], sort_keys=True).encode())


@dataclass
class Faults:
    """
    What goes wrong. Whether it does is a function of the seed, the question, and how often it was asked before, so
    that neither the order nor the number of clients changes it; but that files and batches are numbered as they come.

    Args:
        rates: How likely each of [`KINDS`] is, 0 to 1; together at most 1.
        seed: Another one, other questions that go wrong.
        times: How often one question goes wrong at most; None for no end.
        retry_after: Seconds that a client is told to wait; as a date, up to the next whole second.
        slow_s: Seconds that a slow answer takes.
    """

    rates: Mapping[str, float] = field(default_factory=dict)
    seed: int = 0
    times: int | None = None
    retry_after: float = 0.05
    slow_s: float = 0.3

    def __post_init__(self):
        if unknown := set(self.rates) - set(KINDS):
            raise ValueError(f"faults {sorted(unknown)} are not known, expected some of {', '.join(KINDS)}")
        if sum(self.rates.values()) > 1 + 1e-9:
            raise ValueError(f"the rates of faults come to {sum(self.rates.values())}, expected at most 1")

    def decide(self, question: str, asked: int, kinds: tuple[str, ...]) -> str | None:
        """Returns what of `kinds` goes wrong with a question that was `asked` so many times before."""
        if self.times is not None and asked >= self.times:
            return None
        drawn = int(_digest(f"{self.seed} {question} {asked}".encode()), 16) / 16**16
        for kind, rate in sorted(self.rates.items()):
            drawn -= rate
            if drawn < 0:
                return kind if kind in kinds else None
        return None


@dataclass
class Record:
    """
    A request, or a line of a batch.

    Args:
        number: In order of arrival, from 0.
        method, path: What was asked; for a line of a batch "BATCH" and where it was to go.
        question: Digest of model and messages; of what is not a chat, of method, path and content.
        stage: Name of the JSON schema asked for; None where none was.
        authorization: The header, as it was sent.
        status: Of the answer; None while there is none, and where none was sent.
        fault: What went wrong; None where nothing did.
        finish_reason: Of a completion.
        usage: Tokens that this cost, answered or not; None where the model was not asked.
        whole: Whether the whole answer was written to a client that was still there, and not killed upon it.
        arrived, finished: Seconds of `time.monotonic`.
    """

    number: int
    method: str
    path: str
    question: str = ""
    stage: str | None = None
    authorization: str | None = None
    status: int | None = None
    fault: str | None = None
    finish_reason: str | None = None
    usage: dict[str, int] | None = None
    whole: bool = False
    arrived: float = 0.0
    finished: float | None = None


@dataclass
class Answer:
    content: bytes
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


class RequestError(Exception):
    """What is answered with a status that is no success."""

    def __init__(self, status: int, message: str, code: str | int | None = None, kind: str = "invalid_request_error"):
        super().__init__(message)
        self.status, self.code, self.kind = status, code, kind

    @property
    def body(self) -> dict[str, Any]:
        return {"error": {"message": str(self), "type": self.kind, "param": None, "code": self.code}}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def setup(self):
        super().setup()
        self.server.owner.connections.add(self.connection)

    def finish(self):
        self.server.owner.connections.discard(self.connection)
        super().finish()

    def _serve(self):
        owner = self.server.owner
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        record = owner.arrive(self.command, urlsplit(self.path).path, self.headers, body)
        try:
            owner.reach("arrived", record)
            answer = owner.answer(record, self.path, self.headers, body)
            owner.reach("before answer", record)
            self._send(answer, record)
            owner.reach("answered", record)
        finally:
            record.finished = record.finished or time.monotonic()

    do_GET = do_POST = do_DELETE = _serve

    def _send(self, answer: Answer, record: Record) -> None:
        if record.fault == "cut before headers" or self._is_gone():
            return self._hang_up()
        record.status = answer.status
        self.send_response(answer.status)
        told = {"Content-Type": "application/json", "Content-Length": str(len(answer.content))}
        for name, value in (told | answer.headers).items():
            self.send_header(name, value)
        if record.fault == "cut in body":
            self.end_headers()
            self.wfile.write(answer.content[: len(answer.content) // 2])
            return self._hang_up()
        # Before it is: who has the answer finds the record as it stays.
        record.whole, record.finished = True, time.monotonic()
        try:
            self.end_headers()
            self.wfile.write(answer.content)
        except OSError:
            record.whole = False
            raise

    def _is_gone(self) -> bool:
        try:
            return not self.connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            return True

    def _hang_up(self) -> None:
        self.close_connection = True
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, *arguments):
        pass


class Server(ThreadingHTTPServer):
    request_queue_size = 64

    def handle_error(self, request, client_address):
        pass  # the client went away


class ScriptedServer:
    """
    Answers as OpenAI's server does, with what `oracle(stage, request)` says: of the name of the JSON schema asked for
    and of the first message of the user that is a JSON object (empty where none is). What it returns becomes JSON; a
    string is sent as it is.

    `log` has a record a request, `errors` what this server itself stumbled on.

    Args:
        oracle: Called from several threads at once.
        faults: What goes wrong by chance; see `fail_next` for what goes wrong next.
        models: Those that are served.
        api_key: That is asked for; None takes any and none.
        context_length: Tokens that question and answer have together at most; None for no end.
        polls: How often a batch is asked after until it is done.
    """

    def __init__(
        self,
        oracle: Callable[[str | None, dict[str, Any]], Any],
        faults: Faults | None = None,
        models: tuple[str, ...] = ("scripted",),
        api_key: str | None = None,
        context_length: int | None = None,
        polls: int = 3,
    ):
        self.oracle, self.faults, self.models, self.api_key = oracle, faults or Faults(), models, api_key
        self.context_length, self.polls = context_length, polls
        self.log: list[Record] = []
        self.errors: list[Exception] = []
        self.connections: set[socket.socket] = set()
        self.files: dict[str, tuple[dict[str, Any], bytes]] = {}
        self.batches: dict[str, dict[str, Any]] = {}
        self.kills: list[float] = []  # when a callback of `kill_after` ran
        self._asked: Counter[str] = Counter()
        self._coming: list[tuple[str | None, str]] = []
        self._planned: list[list[Any]] = []
        self._chosen: dict[int, Callable[[], None]] = {}
        self._plans: dict[str, dict[str, Any]] = {}  # of batches, what no client sees
        self._file_numbers, self._lock = itertools.count(1), threading.RLock()
        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.owner = self
        self.base_url = f"http://127.0.0.1:{self.server.server_port}/v1"

    def __enter__(self) -> "ScriptedServer":
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *exception) -> None:
        self.server.shutdown()
        self.server.server_close()
        for connection in list(self.connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def fail_next(self, *kinds: str | None, path: str | None = None) -> None:
        """
        The next requests whose path holds `path`, by default chats, or batches for what goes wrong with them, go wrong
        so, one each; None is one that does not.
        """
        if unknown := {kind for kind in kinds if kind is not None} - set(KINDS):
            raise ValueError(f"faults {sorted(unknown)} are not known, expected some of {', '.join(KINDS)}")
        with self._lock:
            self._coming += [(kind, path or ("/v1/batches" if kind in BATCH else CHAT)) for kind in kinds]

    def kill_after(
        self,
        number: int,
        point: Literal["arrived", "before answer", "answered"],
        callback: Callable[[], None],
        path: str = CHAT,
    ) -> None:
        """
        Runs a callback, such as one that kills the client, when the request of this number is at this point. Requests
        are counted from now, from 1, those whose path holds `path`.
        """
        if point not in POINTS:
            raise ValueError(f"point is {point!r}, expected one of {', '.join(POINTS)}")
        with self._lock:
            self._planned.append([number, point, callback, path])

    def asked(self, question: str | Mapping[str, Any]) -> int:
        """Returns how often a question was asked, given its digest or a request that asks it."""
        question = question if isinstance(question, str) else question_of(question)
        with self._lock:
            return self._asked[question]

    def repeated(self, grace_s: float = 0.0) -> list[str]:
        """
        Returns the questions whose whole answer, a finished one without a fault, was delivered more than once. What
        was under way when a client was killed, or written less than `grace_s` seconds before, counts as undelivered:
        nobody can tell whether that client had time to store it.
        """
        with self._lock:
            delivered = Counter(
                record.question
                for record in self.log
                if record.whole and record.finish_reason == "stop" and record.fault in (None, "slow")
                if not any(record.arrived <= kill <= record.finished + grace_s for kill in self.kills)
            )
        return [question for question, times in delivered.items() if times > 1]

    def spent(self) -> tuple[int, int]:
        """Returns the tokens of all questions and of all answers, delivered or not."""
        with self._lock:
            used = [record.usage for record in self.log if record.usage]
        return sum(one["prompt_tokens"] for one in used), sum(one["completion_tokens"] for one in used)

    def followed(self) -> list[Record]:
        """Returns what arrived where a redirect pointed to."""
        with self._lock:
            return [record for record in self.log if record.path.startswith("/elsewhere")]

    # What the handler asks for.

    def arrive(self, method: str, path: str, headers: Message, body: bytes) -> Record:
        """Writes a request down and decides what goes wrong with it."""
        record = Record(0, method, path, authorization=headers.get("Authorization"), arrived=time.monotonic())
        is_chat, content = path == CHAT, _parsed(body)
        if is_chat:
            record.question, record.stage = question_of(content), _stage(content)
        else:
            part = _file_of(headers, body)[1] if path == "/v1/files" and method == "POST" else body
            record.question = _digest(f"{method} {path} ".encode() + part)
        kinds = (*ERRORS, *TRANSPORT, *(CONTENT if is_chat else ()), *(BATCH if path == "/v1/batches" else ()))
        with self._lock:
            record.number = len(self.log)
            self.log.append(record)
            asked = self._asked[record.question]
            self._asked[record.question] += 1
            record.fault = self.faults.decide(record.question, asked, kinds)
            for place, (kind, where) in enumerate(self._coming):
                if where in path and (kind not in BATCH or method == "POST"):
                    record.fault = kind
                    del self._coming[place]
                    break
            for plan in self._planned:
                if plan[3] in path:
                    plan[0] -= 1
                    if plan[0] == 0:
                        self._chosen[record.number] = (plan[1], plan[2])
            self._planned = [plan for plan in self._planned if plan[0] > 0]
        return record

    def reach(self, point: str, record: Record) -> None:
        """Runs the callback that waits for a request at this point."""
        chosen = self._chosen.get(record.number)
        if chosen and chosen[0] == point:
            with self._lock:
                self.kills.append(time.monotonic())
                record.whole = False
            chosen[1]()

    def answer(self, record: Record, address: str, headers: Message, body: bytes) -> Answer:
        """Carries a request out, or what is to go wrong instead."""
        try:
            if record.fault in ERRORS:
                return self._fail(record.fault)
            found = self._route(record, urlsplit(address), headers, body)
        except RequestError as error:
            return Answer(json.dumps(error.body).encode(), error.status)
        except Exception as error:
            self.errors.append(error)
            return Answer(json.dumps({"error": {"message": f"{type(error).__name__}: {error}"}}).encode(), 500)
        if record.fault == "slow":
            time.sleep(self.faults.slow_s)
        if record.fault == "html":
            return Answer(_PAGE, 200, {"Content-Type": "text/html"})
        if record.fault == "redirect":  # to another name of this machine
            place = f"http://localhost:{self.server.server_port}/elsewhere{urlsplit(address).path}"
            return Answer(b"", 307, {"Location": place})
        return found if isinstance(found, Answer) else Answer(json.dumps(found).encode())

    def _fail(self, kind: str) -> Answer:
        status, code, error_type, message = ERRORS[kind]
        headers = {}
        if kind == "429 seconds":
            headers["Retry-After"] = f"{self.faults.retry_after:g}"
        elif kind == "429 date":
            headers["Retry-After"] = formatdate(math.ceil(time.time() + self.faults.retry_after), usegmt=True)
        return Answer(json.dumps(RequestError(status, message, code, error_type).body).encode(), status, headers)

    def _route(self, record: Record, url: Any, headers: Message, body: bytes) -> Any:
        if self.api_key is not None and record.authorization != f"Bearer {self.api_key}":
            raise RequestError(401, ERRORS["401"][3], "invalid_api_key")
        match record.method, url.path.removeprefix("/elsewhere").strip("/").split("/")[1:]:
            case "POST", ["chat", "completions"]:
                return self._complete(record, _checked(_parsed(body), body))
            case "GET", ["models"]:
                models = [{"id": name, "object": "model", "created": 0, "owned_by": "tests"} for name in self.models]
                return {"object": "list", "data": models}
            case "POST", ["files"]:
                fields, content, name = _file_of(headers, body)
                if fields.get("purpose") != "batch":
                    raise RequestError(400, f"purpose is {fields.get('purpose')!r}, expected 'batch'")
                return self._store(content, name, "batch")
            case "GET", ["files", name]:
                return self._file(name)[0]
            case "DELETE", ["files", name]:
                self._file(name)
                del self.files[name]
                return {"id": name, "object": "file", "deleted": True}
            case "GET", ["files", name, "content"]:
                return Answer(self._file(name)[1], 200, {"Content-Type": "application/octet-stream"})
            case "POST", ["batches"]:
                return self._begin(record, _parsed(body))
            case "GET", ["batches"]:
                return self._list(parse_qs(url.query))
            case "GET", ["batches", name]:
                return self._poll(name)
            case "POST", ["batches", name, "cancel"]:
                return self._cancel(name)
        raise RequestError(404, f"Unknown request: {record.method} {url.path}")

    # Chat.

    def _complete(self, record: Record, body: dict[str, Any]) -> dict[str, Any]:
        """Answers a chat; writes down in the record what it costs."""
        if body.get("model") not in self.models:
            raise RequestError(404, f"The model `{body.get('model')}` does not exist", "model_not_found")
        asked = sum(4 + count_tokens(_text(message)) for message in body["messages"])
        limit = body.get("max_completion_tokens", body.get("max_tokens"))
        limit = math.inf if limit is None else limit
        if self.context_length is not None and asked + (0 if limit == math.inf else limit) > self.context_length:
            message = f"This model's maximum context length is {self.context_length} tokens, but you asked for "
            raise RequestError(400, f"{message}{asked} and more", "context_length_exceeded")
        if self.context_length is not None:
            limit = min(limit, self.context_length - asked)
        objects = [_parsed(_text(message).encode()) for message in body["messages"] if message["role"] == "user"]
        found = self.oracle(_stage(body), next((one for one in objects if one), {}))
        found = _spoiled(found, record.fault) if isinstance(found, dict) else found
        content, refusal, reason = found if isinstance(found, str) else json.dumps(found), None, "stop"
        if record.fault == "invalid json":
            content = content[:-1] + ",}"
        elif record.fault == "truncated":
            limit = min(limit, count_tokens(content) // 2)
        elif record.fault == "refusal":
            content, refusal = None, _REFUSAL
        elif record.fault == "content filter":
            content, reason = content[: len(content) // 3], "content_filter"
        elif record.fault in ("empty content", "null content"):
            content = "" if record.fault == "empty content" else None
        if content and count_tokens(content) > limit:
            ends = [piece.end() for piece in _PIECE.finditer(content)]
            content, reason = content[: ends[limit - 1] if limit > 0 else 0], "length"
        answered = count_tokens(content or refusal or "")
        record.usage = {"prompt_tokens": asked, "completion_tokens": answered, "total_tokens": asked + answered}
        record.finish_reason = reason
        message = {"role": "assistant", "content": content, "refusal": refusal}
        return {
            "id": f"chatcmpl-{record.number}",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": body["model"],
            "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": reason}],
            "usage": record.usage,
        }

    # Batches.

    def _file(self, name: str) -> tuple[dict[str, Any], bytes]:
        if name not in self.files:
            raise RequestError(404, f"No such File object: {name}")
        return self.files[name]

    def _store(self, content: bytes, filename: str, purpose: str) -> dict[str, Any]:
        with self._lock:
            name = f"file-{next(self._file_numbers)}"
            told = {"id": name, "object": "file", "bytes": len(content), "created_at": int(time.time())}
            told |= {"filename": filename, "purpose": purpose, "status": "processed"}
            self.files[name] = told, content
        return told

    def _begin(self, record: Record, body: dict[str, Any]) -> dict[str, Any]:
        content = self._file(str(body.get("input_file_id")))[1]
        expected = {"endpoint": CHAT, "completion_window": "24h"}
        if wrong := {key: body.get(key) for key, value in expected.items() if body.get(key) != value}:
            raise RequestError(400, f"A batch has {wrong}, expected {expected}")
        lines, errors = _batch_lines(content)
        if record.fault == "batch failed":
            errors = [{"code": "invalid_request", "line": None, "message": "The batch failed", "param": None}]
        with self._lock:
            name = f"batch_{len(self.batches) + 1}"
            batch = {"id": name, "object": "batch", "status": "validating", "created_at": int(time.time())}
            batch |= {"metadata": body.get("metadata"), "errors": None, "output_file_id": None, "error_file_id": None}
            batch |= {key: body[key] for key in ("input_file_id", "endpoint", "completion_window")}
            batch["request_counts"] = {"total": 0, "completed": 0, "failed": 0}
            self.batches[name] = batch
            self._plans[name] = {"lines": lines, "errors": errors, "polls": 0, "expires": False}
            self._plans[name]["authorization"] = record.authorization
            self._plans[name]["expires"] = record.fault == "batch expired"
            return dict(batch)

    def _batch(self, name: str) -> dict[str, Any]:
        if name not in self.batches:
            raise RequestError(404, f"No batch found with id '{name}'.")
        return self.batches[name]

    def _list(self, query: dict[str, list[str]]) -> dict[str, Any]:
        """The newest first, as OpenAI does, from after the batch that is named."""
        with self._lock:
            found = [dict(batch) for batch in reversed(self.batches.values())]
        if "after" in query:
            found = found[[batch["id"] for batch in found].index(query["after"][0]) + 1 :]
        limit = int(query.get("limit", ["20"])[0])
        more = {"has_more": len(found) > limit}
        found = found[:limit]
        ends = {"first_id": found[0]["id"], "last_id": found[-1]["id"]} if found else {}
        return {"object": "list", "data": found} | ends | more

    def _poll(self, name: str) -> dict[str, Any]:
        """Moves a batch on, each time that it is asked after."""
        with self._lock:
            batch, plan, now = self._batch(name), self._plans.get(name, {}), int(time.time())
            if batch["status"] == "cancelling":
                batch |= {"status": "cancelled", "cancelled_at": now}
            elif batch["status"] in ("validating", "in_progress", "finalizing"):
                plan["polls"] += 1
                if plan["errors"]:
                    errors = {"object": "list", "data": plan["errors"]}
                    batch |= {"status": "failed", "failed_at": now, "errors": errors}
                elif plan["polls"] < self.polls:
                    batch["status"] = "finalizing" if plan["polls"] == self.polls - 1 > 1 else "in_progress"
                    batch["request_counts"] = {"total": len(plan["lines"]), "completed": 0, "failed": 0}
                else:
                    kind = "expired" if plan["expires"] else "completed"
                    self._execute(batch, plan, is_whole=not plan["expires"], code="batch_expired")
                    batch |= {"status": kind, f"{kind}_at": now}
            return dict(batch)

    def _cancel(self, name: str) -> dict[str, Any]:
        with self._lock:
            batch = self._batch(name)
            if batch["status"] not in ("validating", "in_progress", "finalizing"):
                raise RequestError(409, f"Cannot cancel a batch with status '{batch['status']}'.")
            if batch["status"] != "validating":
                self._execute(batch, self._plans[name], is_whole=False, code="batch_cancelled")
            batch |= {"status": "cancelling", "cancelling_at": int(time.time())}
            return dict(batch)

    def _execute(self, batch: dict[str, Any], plan: dict[str, Any], is_whole: bool, code: str) -> None:
        """Answers the lines of a batch, or the first half of them, and writes its files in an order of their own."""
        lines = plan["lines"]
        done = len(lines) if is_whole else (len(lines) + 1) // 2
        output, errors = [], []
        for place, line in enumerate(lines):
            told = {"id": f"batch_req_{batch['id']}_{place}", "custom_id": line["custom_id"]}
            if place >= done:
                error = {"code": code, "message": "This request could not be executed before the batch ended."}
                errors.append(told | {"response": None, "error": error})
                continue
            status, body = self._answer_line(line["body"], plan["authorization"])
            response = {"status_code": status, "request_id": told["id"], "body": body}
            (output if status == 200 else errors).append(told | {"response": response, "error": None})
        for key, kept in ("output_file_id", output), ("error_file_id", errors):
            kept.sort(key=lambda told: _digest(told["custom_id"].encode()))
            if kept:
                content = "".join(json.dumps(told) + "\n" for told in kept).encode()
                batch[key] = self._store(content, f"{batch['id']}_{key}.jsonl", "batch_output")["id"]
        batch["request_counts"] = {"total": len(lines), "completed": len(output), "failed": len(errors)}

    def _answer_line(self, body: dict[str, Any], authorization: str | None) -> tuple[int, dict[str, Any]]:
        question = question_of(body)
        record = Record(len(self.log), "BATCH", CHAT, question, _stage(body), authorization, arrived=time.monotonic())
        record.fault = self.faults.decide(question, self._asked[question], (*ERRORS, *CONTENT))
        self._asked[question] += 1
        self.log.append(record)
        try:
            if record.fault in ERRORS:
                status, code, kind, message = ERRORS[record.fault]
                raise RequestError(status, message, code, kind)
            record.status, answer = 200, self._complete(record, _checked(body, b"{}"))
        except RequestError as error:
            record.status, answer = error.status, error.body
        record.whole, record.finished = True, time.monotonic()  # it stays on the server
        return record.status, answer


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _parsed(body: bytes) -> dict[str, Any]:
    """A JSON object; empty where it is none."""
    try:
        found = json.loads(body or b"{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _stage(body: Mapping[str, Any]) -> str | None:
    try:
        return body["response_format"]["json_schema"]["name"]
    except (KeyError, TypeError):
        return None


def _text(message: Mapping[str, Any]) -> str:
    content = message.get("content") or ""
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


def _checked(body: dict[str, Any], sent: bytes) -> dict[str, Any]:
    """A chat request, looked over as OpenAI's server does."""
    messages = body.get("messages")
    if not body or not sent:
        raise RequestError(400, "We could not parse the JSON body of your request")
    if not isinstance(messages, list) or not messages:
        raise RequestError(400, "messages is not a list of at least one message")
    for message in messages:
        if not isinstance(message, dict) or message.get("role") not in ("system", "developer", "user", "assistant"):
            raise RequestError(400, f"A message has no role that is known: {message!r:.100}")
    if "max_tokens" in body and "max_completion_tokens" in body:
        raise RequestError(400, "max_tokens and max_completion_tokens are both set, expected one of them")
    for name in ("max_tokens", "max_completion_tokens"):
        limit = body.get(name)
        if limit is not None and (type(limit) is not int or limit < 1):
            raise RequestError(400, f"{name} is {limit!r}, expected a whole number above zero")
    if body.get("stream"):
        raise RequestError(400, "Streams are not served here")
    form = body.get("response_format")
    if form is not None and form.get("type") == "json_schema":
        schema = form.get("json_schema") or {}
        if not isinstance(schema.get("schema"), dict) or not re.fullmatch(r"[\w-]{1,64}", str(schema.get("name"))):
            raise RequestError(400, "response_format.json_schema has no name or no schema")
    return body


def _spoiled(answer: dict[str, Any], kind: str | None) -> dict[str, Any]:
    """An answer to one of the stages with something wrong in it."""
    answer = json.loads(json.dumps(answer))  # a copy
    name = next((name for name in ("phases", "segments", "captions") if name in answer), None)
    if kind == "wrong schema":
        return {"result": list(answer.values())}
    if kind == "unknown keys":
        for entry in [answer, *(answer[name] if name else [])]:
            entry["note"] = "unasked"
        return answer
    if name is None or kind not in ("outside range", "overlap", "gap", "another's numbers"):
        return answer
    if kind == "another's numbers":
        return _shifted(answer, 1 + max(_numbers(answer), default=0) - min(_numbers(answer), default=0))
    name = name if answer[name] else "outside"
    entries = answer.get(name) or []
    if not entries:
        return answer
    if kind == "outside range":
        key = "last" if "last" in entries[-1] else "number"
        entries[-1][key] += 1000
    elif kind == "overlap":
        entries.append(entries[-1])
    else:
        entries.pop()
    return answer


def _numbers(answer: Any) -> list[int]:
    """All numbers of sentences or segments in an answer."""
    if isinstance(answer, list):
        return [number for entry in answer for number in _numbers(entry)]
    if not isinstance(answer, dict):
        return []
    own = [answer[key] for key in ("number", "first", "last") if key in answer]
    return own + [number for value in answer.values() if isinstance(value, list) for number in _numbers(value)]


def _shifted(answer: Any, by: int) -> Any:
    if isinstance(answer, list):
        return [_shifted(entry, by) for entry in answer]
    if not isinstance(answer, dict):
        return answer
    return {
        key: value + by if key in ("number", "first", "last") else _shifted(value, by) for key, value in answer.items()
    }


def _file_of(headers: Message, body: bytes) -> tuple[dict[str, str], bytes, str]:
    """Fields, content and name of an uploaded file."""
    kind = headers.get("Content-Type") or ""
    message = BytesParser(policy=HTTP).parsebytes(f"Content-Type: {kind}\r\n\r\n".encode() + body)
    fields, content, filename = {}, None, ""
    for part in message.iter_parts():
        name = part.get_param("name", header="Content-Disposition")
        sent = part.get_payload(decode=True)
        if part.get_filename() is None:
            fields[name] = sent.decode()
        else:
            content, filename = sent, part.get_filename()
    if content is None:
        raise RequestError(400, "'file' is a required property")
    return fields, content, filename


def _batch_lines(content: bytes) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The requests of a batch, and what is wrong with them."""
    lines, errors, seen = [], [], set()
    for number, text in enumerate(content.splitlines(), 1):
        line, code = _parsed(text), None
        if not isinstance(line.get("body"), dict) or not isinstance(line.get("custom_id"), str):
            code, message = "invalid_json_line", "This line is not a request"
        elif line["custom_id"] in seen:
            code, message = "duplicate_custom_id", "The custom_id for this request is a duplicate of another"
        elif (line.get("method"), line.get("url")) != ("POST", CHAT):
            code, message = "mismatched_endpoint", "The URL provided for this request is not the batch's"
        if code:
            errors.append({"code": code, "line": number, "message": message, "param": None})
        else:
            seen.add(line["custom_id"])
            lines.append(line)
    if not lines and not errors:
        errors.append({"code": "empty_file", "line": None, "message": "The batch has no requests", "param": None})
    return lines, errors
