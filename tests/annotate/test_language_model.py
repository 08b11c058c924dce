# SPDX-License-Identifier: Apache-2.0
import logging
from dataclasses import replace

import pytest

from surglavi_hf.annotate.captions import EnrichAnswer
from surglavi_hf.annotate.language_model import (
    LanguageModel,
    LanguageModelError,
    NoAnswerError,
    ServerOptions,
    read_completion,
)
from surglavi_hf.annotate.questions import Reply
from surglavi_hf.annotate.segment import SegmentAnswer

from .scripted_server import ScriptedServer
from .test_asking import oracle
from .test_questions import QUESTION

SECRET = "sk-a-key-that-nobody-may-see-0123456789"


@pytest.fixture(autouse=True)
def no_keys(monkeypatch):
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "MY_KEY"):
        monkeypatch.delenv(name, raising=False)


def asked():
    return replace(QUESTION, content={"at": 1})


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("ftp://host/v1", "expected an address such as"),
        ("localhost:8000/v1", "expected an address such as"),
        ("http:///v1", "expected an address such as"),
        ("https://me:secret@host/v1", "has a user or password in it"),
        ("https://host:port/v1", "is no address"),
        ("https://host/v1?key=secret", "expected an address such as"),
    ],
)
def test_addresses(address, words):
    with pytest.raises(ValueError, match=words) as error:
        ServerOptions(base_url=address, model="m")
    assert "secret" not in str(error.value) or "?key" in address


def test_options_that_do_not_fit():
    for options, words in (
        ({"price_input": 1.0}, "one price alone"),
        ({"max_cost": 1.0}, "--max-cost without prices"),
        ({"api_key_variable": SECRET}, "never a key itself"),
        ({"parameters": ("temperature",)}, "expected KEY=VALUE"),
        ({"parameters": ("model=other",)}, "not one to choose"),
        ({"parameters": (f"api_key={SECRET}",)}, "parameter api_key may hold a secret"),
        ({"parameters": ("extra_headers={}",)}, "parameter extra_headers may hold a secret"),
        ({"parameters": ("seed=1", "seed=2")}, "'seed' is there twice"),
        ({"parameters": ("max_tokens=null",)}, "are whole numbers, the tokens of an answer"),
    ):
        with pytest.raises(ValueError, match=words) as error:
            ServerOptions(base_url="http://localhost/v1", model="m", **options)
        assert SECRET not in str(error.value)
    with pytest.raises(ValueError, match="--model is empty"):
        ServerOptions(model=" ")
    with pytest.raises(ValueError, match="no language model is named"):
        LanguageModel(ServerOptions(model="m"))
    with pytest.raises(ValueError, match="environment variable MY_KEY is not set"):
        LanguageModel(ServerOptions(base_url="http://localhost/v1", model="m", api_key_variable="MY_KEY"))


def test_parameters():
    options = ServerOptions(model="m", parameters=("temperature=0.5", "seed=3", "reasoning_effort=low", "top_p=null"))
    assert options.request_parameters() == {
        "temperature": 0.5,
        "seed": 3,
        "reasoning_effort": "low",
        "top_p": None,
    }
    assert options.model_identity != ServerOptions(model="m").model_identity
    model = LanguageModel(
        ServerOptions(base_url="http://localhost/v1", model="m", parameters=("temperature=null", "seed=3"))
    )
    body = model.body(QUESTION)
    assert set(body) == {"model", "messages", "response_format", "max_tokens", "seed"}
    assert body["response_format"]["json_schema"]["schema"] == {
        "additionalProperties": False,
        "properties": {"number": {"type": "integer"}},
        "required": ["number"],
        "type": "object",
    }
    assert model.most_tokens(QUESTION)[1] == 100
    model.close()
    more = LanguageModel(
        ServerOptions(base_url="http://localhost/v1", model="m", parameters=("max_completion_tokens=9000",))
    )
    assert more.most_tokens(QUESTION)[1] == 9000
    more.close()
    at_openai = LanguageModel(ServerOptions(base_url="https://api.openai.com/v1", model="m"))
    assert "max_tokens" not in at_openai.body(QUESTION)
    assert at_openai.body(QUESTION)["max_completion_tokens"] == 100
    at_openai.close()


def test_schemas_keep_fields_called_title():
    for schema in (SegmentAnswer, EnrichAnswer):
        sent = replace(QUESTION, schema=schema).response_format()["json_schema"]["schema"]
        text = str(sent)
        assert "maxLength" not in text
        for name, definition in sent["$defs"].items():
            assert definition["additionalProperties"] is False
            assert set(definition["required"]) == set(definition["properties"]), name
    assert (
        "title"
        in replace(QUESTION, schema=SegmentAnswer).response_format()["json_schema"]["schema"]["$defs"]["TaskRange"][
            "properties"
        ]
    )


@pytest.mark.parametrize(
    ("address", "variable", "sent"),
    [
        ("https://models.example.org/v1", None, "OPENAI_API_KEY"),
        ("http://models.example.org/v1", None, None),  # over the network in clear: only where it was named
        ("http://models.example.org/v1", "MY_KEY", "MY_KEY"),
        ("http://127.0.0.1:1/v1", None, None),
        ("http://[::1]:1/v1", "MY_KEY", "MY_KEY"),
    ],
)
def test_which_key_is_sent(address, variable, sent, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-openai")
    monkeypatch.setenv("MY_KEY", "mine")
    model = LanguageModel(ServerOptions(base_url=address, model="m", api_key_variable=variable))
    assert model.key_variable == sent
    assert model.client.api_key == {"OPENAI_API_KEY": "sk-openai", "MY_KEY": "mine", None: "none"}[sent]
    assert model.is_local == (address.startswith(("http://127", "http://[")))
    model.close()


def test_the_environment_sends_nothing_elsewhere(monkeypatch):
    """Neither another address, nor an organisation, nor a proxy for this machine."""
    with ScriptedServer(oracle, api_key=SECRET) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
        monkeypatch.setenv("OPENAI_ORG_ID", "org-other")
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
        monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
        monkeypatch.setenv("MY_KEY", SECRET)
        model = LanguageModel(ServerOptions(base_url=server.base_url, model="scripted", api_key_variable="MY_KEY"))
        reply, usage = model.send(asked())
        model.close()
        assert reply == Reply("answered", '{"number": 2}')
        assert usage.input_tokens > 0
        assert server.log[0].authorization == f"Bearer {SECRET}"


def test_a_key_is_in_no_log_and_no_error(monkeypatch, caplog):
    monkeypatch.setenv("MY_KEY", SECRET)
    caplog.set_level(logging.DEBUG)
    with ScriptedServer(oracle, api_key="another") as server:
        model = LanguageModel(ServerOptions(base_url=server.base_url, model="scripted", api_key_variable="MY_KEY"))
        with pytest.raises(LanguageModelError) as error:
            model.send(asked())
        model.close()
    assert "refuses the key of MY_KEY" in str(error.value)
    assert SECRET not in str(error.value)
    assert SECRET not in caplog.text


def completion(**message):
    finish = message.pop("finish_reason", "stop")
    return {"choices": [{"message": message, "finish_reason": finish}], "usage": {"prompt_tokens": 3}}


@pytest.mark.parametrize(
    ("content", "reply"),
    [
        (completion(content="{}"), Reply("answered", "{}")),
        (completion(content="{", finish_reason="length"), Reply("cut short", "{")),
        (completion(content=None, finish_reason="length"), Reply("cut short", "")),
        (completion(content=None), Reply("empty")),
        (completion(content=" \n"), Reply("empty")),
        (completion(content=None, refusal="No."), Reply("refused", "No.")),
        (completion(content="", finish_reason="content_filter"), Reply("refused", "content filter")),
    ],
)
def test_completions(content, reply):
    assert read_completion(content) == (reply, (3, None))


@pytest.mark.parametrize(
    "content",
    [
        None,
        "<html>",
        [],
        {},
        {"choices": []},
        {"choices": None},
        {"choices": [{"message": None}]},
        {"choices": [{"message": {"content": ["a"]}}]},
    ],
)
def test_what_is_no_completion(content):
    with pytest.raises(NoAnswerError, match="no answer of OpenAI's form"):
        read_completion(content)


@pytest.mark.parametrize("count", [-1, 1.5, "3", True, 10**12, None])
def test_counts_that_are_none(count):
    content = completion(content="{}") | {"usage": {"prompt_tokens": count, "completion_tokens": 2}}
    assert read_completion(content)[1] == (None, 2)
    assert read_completion(content | {"usage": "many"})[1] == (None, None)


def test_statuses():
    model = LanguageModel(ServerOptions(base_url="http://localhost:1/v1", model="m"))
    too_long = ("maximum context length is 4096 tokens", "the prompt exceeds the context window", "input is too long")
    for message in too_long:
        assert model.reply_of_status(400, {"message": message}).outcome == "too long"
    assert model.reply_of_status(413, {}).outcome == "too long"
    assert model.reply_of_status(400, {"code": "content_filter", "message": "filtered"}).outcome == "refused"
    with pytest.raises(LanguageModelError, match=r"does not take the request \(400: unknown parameter: seed\)"):
        model.reply_of_status(400, {"message": "unknown parameter: seed"})
    for header, seconds in (("3", 3.0), ("-5", 0.0), ("nan", None), ("soon", None), ("Mon, 32 Foo 2026", None)):
        with pytest.raises(NoAnswerError) as error:
            model.reply_of_status(503, {}, {"retry-after": header})
        assert error.value.wait == seconds
    model.close()
