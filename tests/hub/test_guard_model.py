# SPDX-License-Identifier: Apache-2.0
"""What a model's folder may hold, and what is refused in it. No repository is made then."""

import base64
import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from surglavi_hf import EvalReport
from surglavi_hf.hub import push_model
from surglavi_hf.hub.guard import check_model_files

from .test_guard import FORMS, SECRETS, picture

JSON_FILES = ["config.json", "processor_config.json", "tokenizer_config.json", "training.json"]


def refused(folder, hub_server, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        push_model(folder, "me/surgclip")
    assert "\n" not in str(caught.value) and not hub_server.repositories


def change(path, **values) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


@pytest.mark.parametrize(
    "name",
    ["optimizer.bin", "model.pth", "a.mp4", "a/b.json", "../a.json", "events.out.tfevents", "token.txt", "x.md"],
)
def test_files_that_are_no_part_of_a_model(name):
    with pytest.raises(ValueError, match="is not pushed: it is none of the files of a model"):
        check_model_files({name: b"x"})


@pytest.mark.parametrize(
    "name", ["token.txt", "notes.json", "setup.py", "vocab.txt", "thumbnail.json", "model_2.safetensors"]
)
def test_a_file_beside_the_model(folder, hub_server, name):
    (folder / name).write_text("{}")
    refused(
        folder, hub_server, rf"{name}.* (is none of the files of a model|is no code that the model needs|is no part)"
    )


@pytest.mark.parametrize("form", sorted(set(FORMS) - {"words of a list"}))
@pytest.mark.parametrize("name", JSON_FILES)
def test_a_picture_in_a_setting(folder, hub_server, name, form):
    change(folder / name, note=FORMS[form](picture())[:9000])
    refused(folder, hub_server, rf"{name} is not pushed")


def test_a_picture_in_many_settings(folder, hub_server):
    text = base64.b64encode(picture()).decode()
    change(folder / "training.json", **{f"option_{n}": text[n * 40 :][:40] for n in range(len(text) // 40)})
    refused(folder, hub_server, r"training\.json is not pushed")
    change(folder / "training.json", **{text[n * 40 :][:40]: n for n in range(len(text) // 40)})
    refused(folder, hub_server, r"training\.json is not pushed")


def test_pixels_in_a_setting(folder, hub_server):
    change(folder / "config.json", pixels=list(picture()))
    refused(folder, hub_server, r"config\.json is not pushed: it has [\d,]+ numbers")


def test_a_giant_text(folder, hub_server):
    change(folder / "training.json", note="the surgeon " * 1000)
    refused(
        folder,
        hub_server,
        r"training\.json is not pushed: it has a text of 12,000 characters, expected at most 10,000",
    )


def test_many_digests(folder, hub_server):
    data = picture().hex()
    change(folder / "training.json", notes=[data[n : n + 64] for n in range(0, 12_000, 64)])
    refused(folder, hub_server, r"training\.json is not pushed: .* 183 digests")


def test_digests_of_the_videos_it_was_trained_on(folder, hub_server):
    digests = sorted({np.random.default_rng(n).bytes(8).hex() for n in range(3000)})
    change(folder / "training.json", trained_on=digests)
    push_model(folder, "me/surgclip")
    hub_server.repositories.clear()
    for wrong in (digests[::-1], [digests[0][:8]], "abc", [picture().hex()]):
        change(folder / "training.json", trained_on=wrong)
        refused(folder, hub_server, r"training\.json is not pushed: trained_on is no sorted list of digests")


def test_a_picture_in_the_vocabulary(folder, hub_server):
    content = json.loads((folder / "tokenizer.json").read_text())
    text, vocabulary = base64.b64encode(picture()).decode(), content["model"]["vocab"]
    for start in range(0, len(text), 24):
        vocabulary.setdefault(text[start : start + 24], len(vocabulary))
    (folder / "tokenizer.json").write_text(json.dumps(content))
    refused(folder, hub_server, r"tokenizer\.json is not pushed")
    vocabulary["x"] = 10**9
    (folder / "tokenizer.json").write_text(json.dumps(content))
    refused(folder, hub_server, r"tokenizer\.json is not pushed: expected a vocabulary")


@pytest.mark.parametrize("line", [list(range(256)), {"loss": list(range(256))}, {"a": "x" * 300}])
def test_a_log_of_something_else(folder, hub_server, line):
    if isinstance(line, dict) and "a" in line:
        line = {"a": FORMS["base64 in words of 8"](picture())}
    (folder / "metrics.jsonl").write_text(json.dumps({"step": 1}) + "\n" + json.dumps(line) + "\n")
    if isinstance(line, list):  # which is no line of a log, and left out
        push_model(folder, "me/surgclip")
        assert hub_server.repositories["me/surgclip"]["commits"][-1]["files"]["metrics.jsonl"] == b'{"step": 1}\n'
    else:
        refused(folder, hub_server, r"metrics\.jsonl is not pushed")


def test_a_picture_in_a_report(folder, hub_server):
    path = folder / "evaluation" / "phase.json"
    report = EvalReport.from_json(path)
    content = {name: value for name, value in vars(report).items() if name != "scores"}
    for changed in (
        {"per_video": [{"video": FORMS["base64 in words of 8"](picture())}]},
        {"title": FORMS["hex groups"](picture())},
        {"protocol": report.protocol | {"note": FORMS["hex groups"](picture())}},
        {"per_class": [{"name": FORMS["base64 in words of 8"](picture())}]},
        {"predictions": list(picture())},
        {"predictions": [-1] * len(report.predictions)},
    ):
        path.write_text(json.dumps(content | changed))
        refused(folder, hub_server, r"evaluation/phase\.json is not pushed")


def test_a_picture_in_the_code(folder, hub_server):
    path = folder / "modeling_surgclip.py"
    code = path.read_text()
    path.write_text(f"{code}\nNOTE = {picture()!r}\n")
    refused(folder, hub_server, r"modeling_surgclip\.py is not pushed")
    path.write_text(f"{code}\n# Changed by hand.\n")
    push_model(folder, "me/surgclip")


def test_tensors_of_something_else(folder, hub_server):
    path = folder / "model.safetensors"
    weights = load_file(path)
    pixels = torch.frombuffer(bytearray(picture()), dtype=torch.uint8)
    for changed, message in (
        (weights | {"pixels": pixels}, r"1 tensors .* for example pixels: found \(\d+,\), expected None"),
        ({name: value for name, value in weights.items() if name != "temp"}, r"for example temp: found None"),
        (weights | {"temp": pixels.float()}, r"for example temp: found \(\d+,\), expected \(\)"),
    ):
        save_file(changed, path, {"format": "pt"})
        refused(folder, hub_server, message)
    save_file(weights, path, {"format": "pt", "thumbnail": base64.b64encode(picture()).decode()})
    refused(folder, hub_server, r"model\.safetensors is not pushed: it has metadata of its own")


def test_bytes_in_the_header_of_the_weights(folder, hub_server):
    path = folder / "model.safetensors"
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header, tensors = content[8 : 8 + length], content[8 + length :]
    path.write_bytes((length + 4096).to_bytes(8, "little") + header + b" " * 4096 + tensors)
    refused(folder, hub_server, r"model\.safetensors is not pushed: its header has more than tensors")
    path.write_bytes(content + picture())
    refused(folder, hub_server, r"model\.safetensors")


@pytest.mark.parametrize(
    "name", ["config.json", "training.json", "metrics.jsonl", "modeling_surgclip.py", "README.md"]
)
def test_secrets(name):
    for secret in SECRETS.values():
        with pytest.raises(ValueError, match="looks like a token or a private key") as caught:
            check_model_files({name: json.dumps({"x": f"log in with {secret}"}).encode()})
        assert secret not in str(caught.value)
