# SPDX-License-Identifier: Apache-2.0
"""The scripted server, asked by OpenAI's client."""

import io
import json
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from email.utils import parsedate_to_datetime

import httpx2
import openai
import pytest

from .scripted_server import KINDS, Faults, ScriptedServer, count_tokens, question_of

ANSWER = {"segments": [{"number": 1, "descriptive": True}, {"number": 2, "descriptive": False}]}
SCHEMA = {"type": "object", "properties": {"segments": {"type": "array"}}}


def request(text: str = "a", **more) -> dict:
    form = {"type": "json_schema", "json_schema": {"name": "filter", "strict": True, "schema": SCHEMA}}
    messages = [
        {"role": "system", "content": "Judge each segment."},
        {"role": "user", "content": json.dumps({"title": "Schöne Naht", "text": text})},
    ]
    return {"model": "scripted", "messages": messages, "response_format": form} | more


def oracle(stage, asked):
    assert stage == "filter" and asked["title"] == "Schöne Naht"
    return ANSWER


@pytest.fixture
def server():
    with ScriptedServer(oracle) as server:
        yield server
        assert not server.errors


@pytest.fixture
def client(server):
    with client_of(server) as client:
        yield client


def client_of(server, **more) -> openai.OpenAI:
    http = httpx2.Client(follow_redirects=False, trust_env=False)
    options = {"api_key": "sk-test", "max_retries": 0, "timeout": 10, "http_client": http}
    return openai.OpenAI(base_url=server.base_url, **(options | more))


def ask(client, text: str = "a", **more):
    return client.chat.completions.create(**request(text, **more))


def test_a_chat_is_answered_counted_and_written_down(server, client):
    assert [model.id for model in client.models.list()] == ["scripted"]
    found = ask(client)
    content = found.choices[0].message.content
    assert json.loads(content) == ANSWER and found.choices[0].finish_reason == "stop"
    messages = request()["messages"]
    asked = 8 + sum(count_tokens(message["content"]) for message in messages)
    assert (found.usage.prompt_tokens, found.usage.completion_tokens) == (asked, count_tokens(content))
    assert server.spent() == (asked, count_tokens(content))
    assert server.asked(request()) == server.asked(question_of(request())) == 1 and server.asked(request("b")) == 0
    models, chat = server.log
    assert (models.method, models.path, models.usage) == ("GET", "/v1/models", None)
    assert (chat.number, chat.stage, chat.status, chat.fault, chat.whole) == (1, "filter", 200, None, True)
    assert chat.authorization == "Bearer sk-test" and chat.arrived <= chat.finished
    assert not server.repeated()
    ask(client)
    assert server.repeated() == [question_of(request())]


def test_connections_are_kept(server, client):
    for text in "abc":
        ask(client, text)
    assert len(server.connections) == 1


def test_pieces_are_tokens():
    assert count_tokens("") == 0
    assert count_tokens("The gallbladder, grasped.") == len(["The", "gallbl", "adder", ",", "graspe", "d", "."])


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_an_answer_is_cut_where_it_was_limited(client, name):
    found = ask(client, **{name: 5})
    assert found.choices[0].finish_reason == "length" and found.usage.completion_tokens == 5
    assert json.dumps(ANSWER).startswith(found.choices[0].message.content)
    found = ask(client, **{name: count_tokens(json.dumps(ANSWER))})
    assert found.choices[0].finish_reason == "stop"


def test_requests_that_openai_would_not_take_are_refused(server, client):
    wrong = [
        {"max_tokens": 5, "max_completion_tokens": 5},
        {"max_tokens": 0},
        {"messages": []},
        {"messages": [{"role": "robot", "content": ""}]},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "a b", "schema": {}}}},
    ]
    for more in wrong:
        with pytest.raises(openai.BadRequestError):
            ask(client, **more)
    with pytest.raises(openai.NotFoundError) as caught:
        ask(client, model="another")
    assert caught.value.code == "model_not_found"
    assert server.spent() == (0, 0)
    answer = httpx2.post(f"{server.base_url}/chat/completions", content=b"{", trust_env=False)
    assert answer.status_code == 400 and answer.json()["error"]["type"] == "invalid_request_error"


def test_a_key_and_a_context_have_their_limits():
    with ScriptedServer(oracle, api_key="sk-right", context_length=60) as server:
        with pytest.raises(openai.AuthenticationError), client_of(server) as client:
            ask(client)
        with client_of(server, api_key="sk-right") as client:
            with pytest.raises(openai.BadRequestError) as caught:
                ask(client, "word " * 60)
            assert caught.value.code == "context_length_exceeded"
            with pytest.raises(openai.BadRequestError):
                ask(client, max_tokens=60)
            found = ask(client)
            assert found.usage.total_tokens == 60 and found.choices[0].finish_reason == "length"


STATUSES = {
    **{"429": 429, "429 seconds": 429, "429 date": 429, "429 quota": 429, "500": 500, "503": 503, "408": 408},
    **{"401": 401, "404": 404, "context length": 400, "context size": 400, "redirect": 307},
}


@pytest.mark.parametrize("kind", STATUSES)
def test_an_error_has_its_status_and_costs_nothing(server, client, kind):
    server.fail_next(kind)
    with pytest.raises(openai.APIStatusError) as caught:
        ask(client)
    assert caught.value.status_code == STATUSES[kind]
    assert (server.log[0].fault, server.log[0].status, server.log[0].whole) == (kind, STATUSES[kind], True)
    headers = caught.value.response.headers
    if kind == "429 seconds":
        assert float(headers["retry-after"]) == 0.05
    elif kind == "429 date":
        assert -1 < parsedate_to_datetime(headers["retry-after"]).timestamp() - time.time() < 2
    else:
        assert "retry-after" not in headers
    if kind != "redirect":
        assert server.spent() == (0, 0)
    ask(client)
    assert not server.repeated() and not server.followed()


def test_a_client_that_follows_a_redirect_is_found_out(server):
    server.fail_next("redirect")
    with client_of(server, http_client=httpx2.Client(follow_redirects=True, trust_env=False)) as client:
        ask(client)
    assert len(server.followed()) == 1


@pytest.mark.parametrize("kind", ["cut before headers", "cut in body"])
def test_a_connection_is_cut_though_the_answer_was_paid(server, client, kind):
    server.fail_next(kind)
    with pytest.raises(openai.APIConnectionError):
        ask(client)
    assert (server.log[0].whole, server.log[0].status) == (False, 200 if "body" in kind else None)
    assert server.spent()[1] > 0
    ask(client)
    assert not server.repeated()


def test_a_slow_answer_is_waited_for_or_not(server, client):
    server.fail_next("slow")
    started = time.monotonic()
    ask(client)
    assert time.monotonic() - started >= server.faults.slow_s
    server.fail_next("slow")
    with pytest.raises(openai.APITimeoutError):
        ask(client.with_options(timeout=0.05), "b")
    deadline = time.monotonic() + 5
    while server.log[1].finished is None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not server.log[1].whole and server.log[1].usage


def test_a_page_comes_in_place_of_an_answer(server, client):
    server.fail_next("html")
    answer = client.chat.completions.with_raw_response.create(**request())
    assert answer.status_code == 200 and answer.headers["content-type"] == "text/html" and b"<html>" in answer.content


def content_of(server, client, kind: str):
    server.fail_next(kind)
    choice = ask(client).choices[0]
    return choice.message.content, choice


def test_what_the_model_says_is_wrong(server, client):
    with pytest.raises(ValueError):
        json.loads(content_of(server, client, "invalid json")[0])
    assert "segments" not in json.loads(content_of(server, client, "wrong schema")[0])
    content, choice = content_of(server, client, "truncated")
    assert choice.finish_reason == "length" and 0 < len(content) < len(json.dumps(ANSWER))
    content, choice = content_of(server, client, "refusal")
    assert content is None and choice.message.refusal and choice.finish_reason == "stop"
    assert content_of(server, client, "content filter")[1].finish_reason == "content_filter"
    assert (
        content_of(server, client, "empty content")[0] == "" and content_of(server, client, "null content")[0] is None
    )
    found = json.loads(content_of(server, client, "unknown keys")[0])
    assert found.pop("note") and all(entry.pop("note") for entry in found["segments"]) and found == ANSWER
    assert not server.repeated()


SEGMENTED = {
    "continues": "nothing",
    "outside": [{"first": 4, "last": 4}],
    "phases": [
        {"title": "A", "first": 5, "last": 6, "steps": [{"title": "B", "first": 5, "last": 6, "tasks": []}]},
        {"title": "C", "first": 7, "last": 9, "steps": []},
    ],
}
OUTSIDE = {"continues": "nothing", "outside": [{"first": 1, "last": 3}], "phases": []}


@pytest.mark.parametrize("answer", [SEGMENTED, OUTSIDE, ANSWER])
def test_ranges_are_wrong(answer):
    def covered(found):
        entries = [*found.get("phases", []), *found.get("outside", []), *found.get("segments", [])]
        pairs = [(one.get("first", one.get("number")), one.get("last", one.get("number"))) for one in entries]
        return sorted(number for first, last in pairs for number in range(first, last + 1))

    right = covered(answer)
    with ScriptedServer(lambda stage, asked: answer) as server, client_of(server) as client:
        kinds = ("outside range", "overlap", "gap", "another's numbers")
        found = {kind: covered(json.loads(content_of(server, client, kind)[0])) for kind in kinds}
    assert max(found["outside range"]) > max(right)
    assert set(found["overlap"]) == set(right) and len(found["overlap"]) > len(right)
    assert set(found["gap"]) < set(right)
    assert not set(found["another's numbers"]) & set(right) and len(found["another's numbers"]) == len(right)


def test_faults_by_rate_depend_on_the_question_alone():
    rates = {"500": 0.2, "invalid json": 0.2, "cut in body": 0.1}

    def faults_of(texts, seed, times=None, clients=1):
        with ScriptedServer(oracle, Faults(rates, seed, times)) as server, client_of(server) as client:

            def insist(text):
                for _ in range(3):
                    with suppress(openai.APIError):
                        ask(client, text)

            with ThreadPoolExecutor(clients) as pool:
                list(pool.map(insist, texts))
            found = {}
            for record in server.log:
                found.setdefault(record.question, []).append(record.fault)
            return found

    texts = [str(number) for number in range(40)]
    first = faults_of(texts, 0)
    assert first == faults_of(texts[::-1], 0, clients=4) and first != faults_of(texts, 1)
    drawn = [fault for faults in first.values() for fault in faults]
    assert set(drawn) == {None, *rates} and 40 < drawn.count(None) < 80
    assert all(faults[1:] == [None, None] for faults in faults_of(texts, 0, times=1).values())


def test_faults_that_are_not_known_are_refused(server):
    with pytest.raises(ValueError, match="not known"):
        Faults({"teapot": 0.1})
    with pytest.raises(ValueError, match="at most 1"):
        Faults({"500": 0.6, "503": 0.5})
    with pytest.raises(ValueError, match="not known"):
        server.fail_next("teapot")
    with pytest.raises(ValueError, match="point"):
        server.kill_after(1, "yesterday", print)
    assert len(set(KINDS)) == len(KINDS)


def test_something_happens_at_a_point_of_a_request(server, client):
    seen = []
    for number, point in (2, "arrived"), (3, "before answer"), (4, "answered"):
        server.kill_after(number, point, lambda point=point: seen.append((point, server.log[-1].usage is not None)))
    for text in "abcd":
        ask(client, text)
    deadline = time.monotonic() + 5
    while len(seen) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert seen == [("arrived", False), ("before answer", True), ("answered", True)]
    # The client lived on and asks again: what a killed one could have stored, and what it could not.
    for text in "abcd":
        ask(client, text)
    assert server.repeated() == [question_of(request("a"))] and not server.repeated(grace_s=60)


# Batches.


def batch_of(client, lines, **more):
    content = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines).encode()
    file = client.files.create(file=("lines.jsonl", io.BytesIO(content)), purpose="batch")
    assert client.files.retrieve(file.id).bytes == len(content) and client.files.content(file.id).content == content
    return client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h", **more
    )


def line_of(name: str, text: str, **more) -> dict:
    return {"custom_id": name, "method": "POST", "url": "/v1/chat/completions", "body": request(text, **more)}


def lines_in(client, name: str | None) -> dict:
    found = [json.loads(line) for line in client.files.content(name).text.splitlines()] if name else []
    return {line["custom_id"]: line for line in found}


def wait_for(client, batch, *states):
    seen = []
    for _ in range(10):
        batch = client.batches.retrieve(batch.id)
        seen.append(batch.status)
        if batch.status in states:
            return batch, seen
    raise AssertionError(seen)


def test_a_batch_goes_its_way(server, client):
    lines = [line_of(f"line {number}", f"é {number}") for number in range(5)]
    lines.append(line_of("other model", "x", model="another"))
    batch = batch_of(client, lines, metadata={"stage": "filter"})
    assert batch.status == "validating" and server.spent() == (0, 0)
    batch, seen = wait_for(client, batch, "completed")
    assert seen == ["in_progress", "finalizing", "completed"]
    counts = batch.request_counts
    assert (counts.total, counts.completed, counts.failed) == (6, 5, 1)
    output, errors = lines_in(client, batch.output_file_id), lines_in(client, batch.error_file_id)
    assert sorted(output) == [f"line {number}" for number in range(5)] and list(output) != sorted(output)
    response = output["line 3"]["response"]
    assert response["status_code"] == 200 and output["line 3"]["error"] is None
    assert json.loads(response["body"]["choices"][0]["message"]["content"]) == ANSWER
    assert errors["other model"]["response"]["status_code"] == 404
    assert errors["other model"]["response"]["body"]["error"]["code"] == "model_not_found"
    records = [record for record in server.log if record.method == "BATCH"]
    assert [record.status for record in records] == [200] * 5 + [404] and server.spent()[0] > 0
    assert client.batches.retrieve(batch.id).status == "completed" and len(records) == 6
    listed = list(client.batches.list(limit=1))
    assert [(one.id, one.metadata) for one in listed] == [(batch.id, {"stage": "filter"})]
    assert not server.repeated()
    ask(client, "é 3")
    assert server.repeated() == [question_of(request("é 3"))]


def test_batches_are_listed_in_pages(server, client):
    made = [batch_of(client, [line_of("a", str(number))]).id for number in range(5)]
    assert [batch.id for batch in client.batches.list(limit=2)] == made[::-1]


def test_lines_of_a_batch_go_wrong():
    faults = Faults({"429 seconds": 0.3, "invalid json": 0.3}, times=1)  # the files and batches, too, a client waits
    with ScriptedServer(oracle, faults, polls=1) as server, client_of(server, max_retries=2) as client:
        batch, _ = wait_for(client, batch_of(client, [line_of(str(n), str(n)) for n in range(30)]), "completed")
        output, errors = lines_in(client, batch.output_file_id), lines_in(client, batch.error_file_id)
        assert len(output) + len(errors) == 30 and errors and not server.errors
        assert {line["response"]["status_code"] for line in errors.values()} == {429}
        contents = [line["response"]["body"]["choices"][0]["message"]["content"] for line in output.values()]
        assert 0 < sum(content.endswith(",}") for content in contents) < len(contents)


def test_a_batch_fails_or_runs_out_of_time(server, client):
    lines = [line_of(str(number), str(number)) for number in range(4)]
    server.fail_next("batch failed", "batch expired")
    batch, _ = wait_for(client, batch_of(client, lines), "failed")
    assert batch.errors.data[0].code == "invalid_request" and batch.output_file_id is None
    batch, _ = wait_for(client, batch_of(client, lines), "expired")
    assert sorted(lines_in(client, batch.output_file_id)) == ["0", "1"]
    errors = lines_in(client, batch.error_file_id)
    assert sorted(errors) == ["2", "3"] and errors["2"]["response"] is None
    assert errors["2"]["error"]["code"] == "batch_expired"


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        ([line_of("a", "1"), line_of("a", "2")], "duplicate_custom_id"),
        ([{"custom_id": "a"}], "invalid_json_line"),
        ([line_of("a", "1") | {"url": "/v1/embeddings"}], "mismatched_endpoint"),
        ([], "empty_file"),
    ],
)
def test_a_batch_of_wrong_lines_fails(client, lines, code):
    batch, seen = wait_for(client, batch_of(client, lines), "failed")
    assert seen == ["failed"] and batch.errors.data[0].code == code


def test_a_batch_is_cancelled(server, client):
    lines = [line_of(str(number), str(number)) for number in range(4)]
    batch = client.batches.cancel(batch_of(client, lines).id)
    assert batch.status == "cancelling"
    batch, _ = wait_for(client, batch, "cancelled")
    assert batch.output_file_id is None and server.spent() == (0, 0)
    batch = batch_of(client, lines)
    client.batches.retrieve(batch.id)
    batch, _ = wait_for(client, client.batches.cancel(batch.id), "cancelled")
    assert sorted(lines_in(client, batch.output_file_id)) == ["0", "1"]
    with pytest.raises(openai.ConflictError):
        client.batches.cancel(batch.id)


def test_the_interface_of_batches_goes_wrong_too(server, client):
    server.fail_next("503", path="/v1/files")
    with pytest.raises(openai.InternalServerError):
        batch_of(client, [line_of("a", "1")])
    assert not server.files
    server.fail_next("cut before headers", path="/v1/batches")
    with pytest.raises(openai.APIConnectionError):
        batch_of(client, [line_of("a", "1")])
    assert [batch.status for batch in client.batches.list()] == ["validating"]  # it was made all the same
    with pytest.raises(openai.NotFoundError):
        client.batches.retrieve("batch_9")
    with pytest.raises(openai.NotFoundError):
        client.files.content("file-9")
    with pytest.raises(openai.BadRequestError):
        client.files.create(file=("a.jsonl", b"{}"), purpose="assistants")
