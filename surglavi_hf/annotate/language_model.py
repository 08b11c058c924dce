# SPDX-License-Identifier: Apache-2.0
"""A language model behind a server of OpenAI's kind: vLLM, llama.cpp, Ollama, endpoints of the Hub, OpenAI."""

import ipaddress
import json
import os
import re
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from ..files import printable
from ..named_values import each_once
from ..options import option
from .ledger import Usage
from .questions import Question, Reply

_OPENAI = "api.openai.com"
_KEY_VARIABLE = "OPENAI_API_KEY"
_TOO_LONG = re.compile(r"context.{0,20}(length|size|window)|maximum context|too long|too many tokens", re.IGNORECASE)
_FILTERED = re.compile(r"content[_ ](filter|policy|management)|safety", re.IGNORECASE)
_MOST_TOKENS = 10**9
_SECRET = re.compile(r"key|secret|passw|auth|header|credential|token$")
_LIMITS = ("max_tokens", "max_completion_tokens")  # of an answer


@dataclass(frozen=True)
class ServerOptions:
    """Which language model answers, how it is asked, and what that may cost."""

    base_url: str | None = option(
        None,
        "Of a server of OpenAI's kind, such as http://localhost:8000/v1 (vLLM, llama.cpp, Ollama, an endpoint of the "
        "Hub) or https://api.openai.com/v1. Without one no text leaves this machine, and nothing is asked.",
        metavar="URL",
    )
    model: str | None = option(None, "The language model's name at the server.", metavar="NAME")
    api_key_variable: str | None = option(
        None,
        "Environment variable that holds the key (default: OPENAI_API_KEY for https servers, none for http). Keys are "
        "read from the environment alone.",
        metavar="NAME",
    )
    parameters: tuple[str, ...] = option(
        ("temperature=0",),
        "Of requests, each KEY=VALUE with a value in JSON; null leaves one out, such as temperature=null.",
        flag="--parameters",
        metavar="KEY=VALUE",
    )
    concurrency: int = option(4, "Questions at the same time.", least=1)
    timeout: float = option(600.0, "Seconds to wait for an answer.", metavar="S", least=1)
    batch: bool = option(False, "Ask by the server's Batch API: cheaper, and slower; --concurrency has no effect.")
    mask_identifiers: bool = option(
        False, "Send [name], [date] and so on in place of likely identifiers of persons; rules do not find all."
    )
    price_input: float | None = option(None, "Of a million tokens that are sent.", metavar="PRICE", least=0)
    price_output: float | None = option(None, "Of a million tokens of answers.", metavar="PRICE", least=0)
    max_cost: float | None = option(
        None,
        "Stop before all that was asked of this corpus, earlier runs included, costs more; with both prices.",
        metavar="COST",
        least=0,
    )

    def __post_init__(self):
        if self.base_url is not None:
            _check_address(self.base_url)
        if self.model is not None and not self.model.strip():
            raise ValueError("--model is empty, expected the language model's name at the server")
        if (self.price_input is None) != (self.price_output is None):
            raise ValueError("one price alone; give --price-input and --price-output, of a million tokens each")
        if self.max_cost is not None and self.price_input is None:
            raise ValueError("--max-cost without prices; give --price-input and --price-output, too")
        if self.api_key_variable is not None and not re.fullmatch(r"[A-Za-z_]\w{0,99}", self.api_key_variable):
            raise ValueError("--api-key-variable takes the name of an environment variable, never a key itself")
        limits = [value for name, value in self.request_parameters().items() if name in _LIMITS]
        if any(type(limit) is not int or limit < 1 for limit in limits):
            raise ValueError(f"{' and '.join(_LIMITS)} among --parameters are whole numbers, the tokens of an answer")

    def request_parameters(self) -> dict[str, Any]:
        """Returns the parameters by name. Raises ValueError where one cannot be read."""
        found = []
        for text in self.parameters:
            name, equals, value = text.partition("=")
            if not equals or not re.fullmatch(r"[a-z_]{1,60}", name):
                raise ValueError(f"parameter {text!r}, expected KEY=VALUE such as temperature=0")
            if name in ("model", "messages", "stream", "n", "tools", "functions"):
                raise ValueError(f"parameter {name} is not one to choose; it is set by the stage")
            if _SECRET.search(name):
                raise ValueError(f"parameter {name} may hold a secret, which would be kept; see --api-key-variable")
            try:
                found.append((name, json.loads(value, object_pairs_hook=each_once)))
            except (ValueError, RecursionError):
                found.append((name, value))  # a word, such as reasoning_effort=low
        return each_once(found)

    def cost(self, input_tokens: float, output_tokens: float) -> float:
        """Returns what tokens cost, 0 without prices."""
        return ((self.price_input or 0.0) * input_tokens + (self.price_output or 0.0) * output_tokens) / 1e6

    @property
    def model_identity(self) -> str:
        """The model and the parameters that change what it says."""
        parameters = json.dumps(self.request_parameters(), sort_keys=True, ensure_ascii=False)
        return f"{self.model} {parameters}"


class NoAnswerError(Exception):
    """
    A question had no answer this time.

    Args:
        what: In few words, to be counted.
        wait: Seconds the server asks to wait, None where it does not say.
        paid: Whether it may have to be paid all the same.
        reached: Whether the server was.
    """

    def __init__(self, what: str, wait: float | None = None, paid: bool = False, reached: bool = True):
        super().__init__(what)
        self.what, self.wait, self.paid, self.reached = what, wait, paid, reached


class LanguageModelError(RuntimeError):
    """The server will answer no question as things are: a wrong key, an unknown model, a request it does not take."""


class LanguageModel:
    """
    Args:
        options: With `base_url` and `model`.

    Raises:
        ImportError: openai is not installed.
        ValueError: no server or model is named, or the key's variable is not set.
    """

    def __init__(self, options: ServerOptions):
        if options.base_url is None or options.model is None:
            raise ValueError("no language model is named; give --base-url URL and --model NAME")
        try:
            import openai
        except ImportError as error:
            raise ImportError("openai is not installed; pip install 'surglavi-hf[annotate]'") from error
        self.options, self._openai = options, openai
        parts = urlsplit(options.base_url)
        self.host = parts.hostname or ""
        self.is_local = _is_loopback(self.host)
        self.key_variable = options.api_key_variable or (_KEY_VARIABLE if parts.scheme == "https" else None)
        key = os.environ.get(self.key_variable, "").strip() if self.key_variable else ""
        if options.api_key_variable and not key:
            raise ValueError(f"environment variable {self.key_variable} is not set; put the server's key there")
        if not key:
            self.key_variable = None
        # The environment may name other places: only what was named is asked.
        client = openai.DefaultHttpxClient(
            follow_redirects=False, trust_env=not self.is_local, timeout=options.timeout
        )
        self.client = openai.OpenAI(
            base_url=options.base_url,
            api_key=key or "none",
            organization="",
            project="",
            max_retries=0,
            timeout=options.timeout,
            http_client=client,
        )

    @property
    def failures(self) -> tuple[type[Exception], ...]:
        """What the client raises; the latter where an answer is no JSON, or other JSON than it should be."""
        return self._openai.OpenAIError, ValueError, AttributeError, TypeError, RuntimeError

    @property
    def server(self) -> str:
        return str(self.options.base_url)

    def close(self) -> None:
        """Cuts the connections; who waits for an answer is told that they were cut."""
        self.client.close()

    def body(self, question: Question) -> dict[str, Any]:
        """Returns what is sent of a question."""
        limit = "max_completion_tokens" if self.host == _OPENAI else "max_tokens"
        body = {
            "model": self.options.model,
            "messages": question.messages(),
            "response_format": question.response_format(),
            limit: question.max_tokens,
            **self.options.request_parameters(),
        }
        return {name: value for name, value in body.items() if value is not None}

    def most_tokens(self, question: Question) -> tuple[int, int]:
        """Returns how many tokens a question and its answer can have at most: no token is of less than a byte."""
        body = self.body(question)
        sent = len(json.dumps(body, ensure_ascii=False).encode("utf-8", "replace"))
        return sent + 256, max(body[name] for name in _LIMITS if name in body)

    def send(self, question: Question) -> tuple[Reply, Usage]:
        """
        Asks once.

        Raises:
            NoAnswerError: not this time.
            LanguageModelError: never, as things are.
        """
        started = time.monotonic()
        body = self.body(question)
        try:
            # What this package does not know goes along all the same.
            completion = self.client.chat.completions.create(
                model=body.pop("model"), messages=body.pop("messages"), extra_body=body
            )
        except self.failures as error:
            return self.reply_of_error(error), Usage(None, None, 0.0, time.monotonic() - started)
        content = completion.model_dump() if hasattr(completion, "model_dump") else None
        reply, (sent, received) = read_completion(content)
        cost = self.options.cost(*self.tokens_of(question, reply, sent, received))
        return reply, Usage(sent, received, cost, time.monotonic() - started)

    def tokens_of(self, question: Question, reply: Reply, sent: int | None, received: int | None) -> tuple[int, int]:
        """Returns the tokens of a question and its reply; where the server did not count, as many as there can be."""
        if sent is None or received is None:
            return self.most_tokens(question)[0], len(reply.text.encode("utf-8", "replace")) + 16
        return sent, received

    def reply_of_error(self, error: Exception) -> Reply:
        """Returns the reply that an error is, where it is one. Raises what else it means."""
        kinds = self._openai
        if isinstance(error, kinds.APITimeoutError):
            raise NoAnswerError("timed out", paid=True) from error
        if isinstance(error, kinds.APIStatusError):
            return self.reply_of_status(error.status_code, _error_of(error.body), error.response.headers)
        if isinstance(error, kinds.APIConnectionError):
            if type(error.__cause__).__name__ in ("ConnectError", "ConnectTimeout", "UnsupportedProtocol"):
                raise NoAnswerError("not reached", reached=False) from error
            raise NoAnswerError("connection cut", paid=True) from error
        raise NoAnswerError("no answer of OpenAI's form", paid=True) from error

    def reply_of_status(self, status: int, error: dict[str, Any], headers: Any = None) -> Reply:
        """
        Returns the reply that an HTTP status other than 200 is: too long, or refused.

        Raises:
            NoAnswerError, LanguageModelError: what else it means.
        """
        code, message = str(error.get("code") or ""), printable(str(error.get("message") or "no reason given"))[:300]
        if status == 429:
            if code == "insufficient_quota":
                raise LanguageModelError(f"{self.server} has no quota left for this key ({message}); pay, then go on")
            raise NoAnswerError("429", _retry_after(headers))
        if status in (408, 409, 425) or status >= 500:
            raise NoAnswerError(str(status), _retry_after(headers))
        if status in (400, 413, 422):
            if status == 413 or code == "context_length_exceeded" or _TOO_LONG.search(message):
                return Reply("too long", message)
            if _FILTERED.search(code):
                return Reply("refused", message)
        if status in (401, 403):
            where = f"the key of {self.key_variable}" if self.key_variable else "requests without a key"
            raise LanguageModelError(f"{self.server} refuses {where} ({status}: {message}); see --api-key-variable")
        if status == 404:
            raise LanguageModelError(
                f"{self.server} has no model {self.options.model!r}, or nothing at this address, which mostly ends in "
                f"/v1 (404: {message}); see --model and --base-url"
            )
        if 300 <= status < 400:
            raise LanguageModelError(
                f"{self.server} sends elsewhere ({status}), which is not followed; name that server"
            )
        raise LanguageModelError(f"{self.server} does not take the request ({status}: {message}); see --parameters")


def read_completion(content: Any) -> tuple[Reply, tuple[int | None, int | None]]:
    """
    Returns the reply in the JSON of a completion, and the tokens of the question and of the answer.

    Raises:
        NoAnswerError: it is no completion.
    """
    try:
        choice = content["choices"][0]
        message, finish = choice["message"], choice.get("finish_reason")
        text = message.get("content")
    except (TypeError, KeyError, IndexError, AttributeError) as error:
        raise NoAnswerError("no answer of OpenAI's form", paid=True) from error
    if text is not None and not isinstance(text, str):
        raise NoAnswerError("no answer of OpenAI's form", paid=True)
    usage = content.get("usage") if isinstance(content.get("usage"), dict) else {}
    tokens = tuple(_count(usage.get(name)) for name in ("prompt_tokens", "completion_tokens"))
    if (refusal := message.get("refusal")) or finish == "content_filter":
        reply = Reply("refused", str(refusal or text or "content filter")[:1000])
    elif finish == "length":
        reply = Reply("cut short", text or "")
    elif not (text or "").strip():
        reply = Reply("empty")
    else:
        reply = Reply("answered", text)
    return reply, (tokens[0], tokens[1])


def _count(value: Any) -> int | None:
    return value if type(value) is int and 0 <= value <= _MOST_TOKENS else None


def _error_of(body: Any) -> dict[str, Any]:
    """The client hands on what is under `error`, where there is such."""
    if isinstance(body, dict):
        inside = body.get("error", body)
        return inside if isinstance(inside, dict) else {"message": str(inside)}
    return {"message": str(body)} if body else {}


def _retry_after(headers: Any) -> float | None:
    value = headers.get("retry-after") if headers is not None else None
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - time.time()
        except (TypeError, ValueError, OverflowError):
            return None
    return max(0.0, seconds) if seconds == seconds else None


def _check_address(address: str) -> None:
    try:
        parts = urlsplit(address)
        _ = parts.port
    except ValueError as error:
        raise ValueError(f"--base-url {address!r} is no address ({error})") from error
    if parts.username or parts.password:
        raise ValueError("--base-url has a user or password in it; put the key into an environment variable")
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError(f"--base-url {address!r}, expected an address such as http://localhost:8000/v1")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
