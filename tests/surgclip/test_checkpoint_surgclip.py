# SPDX-License-Identifier: Apache-2.0
import argparse
import os
import pickle
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import numpy as np
import pytest
import torch

from surglavi_hf.surgclip.checkpoint_surgclip import check_names_and_shapes, check_values, load_plain, read_state_dict

WEIGHTS = {
    "temp": torch.tensor(0.05),
    "vision_proj.weight": torch.arange(6.0).view(2, 3),
    "text_encoder.embeddings.word_embeddings.weight": torch.ones(4, 2),
    "vision_encoder.model.norm.weight": torch.full((3,), 2.0),
}


class Harmful:
    def __reduce__(self):
        return (print, ("code of the checkpoint ran",))


@pytest.fixture
def read(tmp_path):
    """Saves an object as a checkpoint and reads it."""

    def read(content: object) -> dict[str, torch.Tensor]:
        path = tmp_path / "checkpoint.pth"
        path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path)
        return read_state_dict(path)

    return read


def as_released(found: dict[str, torch.Tensor]) -> bool:
    return found.keys() == WEIGHTS.keys() and all(torch.equal(found[name], WEIGHTS[name]) for name in WEIGHTS)


@pytest.mark.parametrize(
    "wrap",
    [
        dict,
        lambda weights: {"model": weights, "epoch": 3, "optimizer": {"state": {}}},
        lambda weights: {"state_dict": weights},
        lambda weights: {"state_dict": {"model": weights}},
        lambda weights: {f"module.{name}": value for name, value in weights.items()},
        lambda weights: {f"_orig_mod.module.{name}": value for name, value in weights.items()},
        lambda weights: {name.replace("encoder.", "encoder._orig_mod."): value for name, value in weights.items()},
        lambda weights: {
            name.replace("text_encoder.", "text_encoder.bert."): value for name, value in weights.items()
        },
        lambda weights: (
            weights | {"text_encoder.embeddings.position_ids": torch.arange(4), "itm_head.bias": torch.ones(2)}
        ),
    ],
    ids=range(9),
)
def test_variants_of_names(read, wrap):
    assert as_released(read(wrap(WEIGHTS)))


def test_old_file_format(tmp_path):
    path = tmp_path / "old.pth"
    torch.save(WEIGHTS, path, _use_new_zipfile_serialization=False)
    assert as_released(read_state_dict(path))


SETTINGS = {"args": argparse.Namespace(lr=np.float64(0.1), out="x"), "groups": [{"lr": np.float64(0.1)}]}


@pytest.mark.parametrize("module", [b"numpy._core.multiarray", b"numpy.core.multiarray"])
def test_settings_of_training_are_not_read(tmp_path, module):
    """Under the names that NumPy 2 and NumPy 1 give a number."""
    path = tmp_path / "old.pth"
    torch.save({"model": WEIGHTS, **SETTINGS}, path, _use_new_zipfile_serialization=False)
    content = path.read_bytes()
    assert b"cargparse\nNamespace" in content and b"cnumpy._core.multiarray\nscalar" in content
    path.write_bytes(content.replace(b"cnumpy._core.multiarray\n", b"c" + module + b"\n"))
    assert as_released(read_state_dict(path))
    assert not vars(load_plain(path)["args"]), "nothing of it is kept"


def cyclic() -> dict:
    level = {}
    level["model"] = level
    return level


@pytest.mark.parametrize(
    "content, message",
    [
        (
            pickle.dumps(Harmful(), protocol=2),
            r"cannot be read as plain weights: it needs \S*print, and no code",
        ),
        (
            {"model": WEIGHTS, "config": Harmful},
            "it needs tests.surgclip.test_checkpoint_surgclip.Harmful, and no code",
        ),
        ({"model": WEIGHTS, "args": argparse.Namespace(out=Harmful())}, r"it needs \S*print, and no code"),
        ({"model": WEIGHTS, "args": np.ones(2)}, r"it needs numpy\S*_reconstruct, and no code"),
        (b"", "cannot be read as plain weights"),
        (b"not a checkpoint at all", "it is cut short, holds more than tensors, or is no file of torch.save"),
        ([1, 2], "holds a list without weights, expected a state dictionary"),
        ({}, "holds a dict without weights"),
        (cyclic(), "holds a dict as 'model', expected tensors by name"),
        (WEIGHTS | {"epoch": 3}, "holds a int as 'epoch', expected tensors by name"),
        (WEIGHTS | {"module.temp": torch.tensor(1.0)}, "holds 'temp' twice"),
    ],
    ids=range(11),
)
def test_refused_with_the_reason(read, content, message, capsys):
    with pytest.raises(ValueError, match=message) as caught:
        read(content)
    assert "\n" not in str(caught.value) and "checkpoint.pth" in str(caught.value)
    assert "weights_only" not in str(caught.value), "torch advises to run the code"
    assert "code of the checkpoint ran" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "tensor, message",
    [
        (torch.tensor([1.0, float("nan")]), "holds NaN or infinity in temp"),
        (torch.tensor(float("-inf")), "holds NaN or infinity in temp"),
        (torch.tensor(3), r"holds temp as torch.int64, torch.strided, expected plain floating point"),
        (torch.tensor(3j), r"holds temp as torch.complex64"),
        (torch.zeros(3).to(torch.float8_e4m3fn), r"holds temp as torch.float8_e4m3fn"),
        (torch.eye(3).to_sparse(), r"holds temp as torch.float32, torch.sparse_coo"),
        (torch.empty(3, device="meta"), r"holds temp as torch.float32"),
    ],
)
def test_values(tmp_path, tensor, message):
    check_values(tmp_path, WEIGHTS | {"temp": torch.tensor(0.05, dtype=torch.bfloat16)})
    with pytest.raises(ValueError, match=message):
        check_values(tmp_path, WEIGHTS | {"temp": tensor})


def test_a_name_with_control_characters_stays_in_its_line(tmp_path):
    with pytest.raises(ValueError, match=r"unknown 'a\\nb\\x1b\[31m'"):
        check_names_and_shapes(tmp_path, {**WEIGHTS, "a\nb\x1b[31m": torch.zeros(1)}, WEIGHTS)


def test_names_and_shapes(tmp_path):
    check_names_and_shapes(tmp_path, WEIGHTS, WEIGHTS)
    found = WEIGHTS | {"tempx": torch.zeros(1), "vision_proj.weight": torch.zeros(3)}
    del found["temp"]
    message = r"no temp; unknown 'tempx'; vision_proj.weight of shape \(3,\) instead of \(2, 3\); pass the config"
    with pytest.raises(ValueError, match=message):
        check_names_and_shapes(tmp_path, found, WEIGHTS)
    with pytest.raises(ValueError, match="and 1 more"):
        check_names_and_shapes(tmp_path, {}, WEIGHTS)


COMMIT = "0123456789abcdef0123456789abcdef01234567"
CONTENT = b"a checkpoint"


class Hub(BaseHTTPRequestHandler):
    def do_HEAD(self):
        found = self.path in (f"/aleperez24/SurgCLIP/resolve/{name}/surgclip_beta.pth" for name in ("main", COMMIT))
        self.send_response(200 if found else 404)
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", '"1"')
        self.send_header("Content-Length", str(len(CONTENT) if found else 0))
        if not found:
            self.send_header("X-Error-Code", "RevisionNotFound")
        self.end_headers()
        return found

    def do_GET(self):
        if self.do_HEAD():
            self.wfile.write(CONTENT)

    def log_message(self, *_):
        pass


@pytest.fixture
def run(tmp_path):
    """Runs Python with a Hub on loopback."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    environment = {"HF_ENDPOINT": url, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "0", "no_proxy": "127.0.0.1"}
    yield lambda *arguments: subprocess.run(
        [sys.executable, *arguments], env=os.environ | environment, capture_output=True, text=True
    )
    server.shutdown()
    server.server_close()


def test_convert_from_the_hub(run, tmp_path):
    """The content is no checkpoint: it is fetched, its commit is told, and it is refused."""
    result = run("-m", "surglavi_hf.cli", "convert", str(tmp_path / "out"), "--from-hub")
    assert result.returncode == 1 and result.stdout.strip() == f"aleperez24/SurgCLIP at revision {COMMIT}"
    assert "surgclip_beta.pth cannot be read as plain weights" in result.stderr and not (tmp_path / "out").exists()


def test_a_revision_that_is_not_there(run, tmp_path):
    result = run("-m", "surglavi_hf.cli", "convert", "--from-hub", str(tmp_path / "out"), "--revision", "f" * 40)
    assert result.returncode == 1 and "is not a valid git identifier" in result.stderr
    assert result.stderr.count("\n") == 1
