# SPDX-License-Identifier: Apache-2.0
import json
import os
import pickle
import subprocess
import sys

import pytest
import torch
from huggingface_hub import ModelCard

from surglavi_hf.cli import main
from surglavi_hf.models import convert_checkpoint
from surglavi_hf.models.convert import read_weights
from surglavi_hf.surgclip import load_whole

from ..conftest import GOLDEN
from .conftest import make_tokenizer

FAMILY = "SurgVLP, HecVL or PeskaVLP"


class Harmful:
    def __reduce__(self):
        return (print, ("code of the checkpoint ran",))


@pytest.fixture
def convert(tmp_path):
    """Saves an object as a checkpoint and converts it."""

    def convert(content: object, tokenizer=None):
        path = tmp_path / "x.pth"
        path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path)
        return convert_checkpoint(path, tmp_path / "out", tokenizer or make_tokenizer())

    yield convert
    assert not (tmp_path / "out" / ".unfinished").exists()


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: {"state_dict": state, "epoch": 3},
        lambda state: {"model": state, "optimizer": {"state": {0: {"exp_avg": torch.ones(2)}}}, "args": None},
        lambda state: {f"module.{name}": value for name, value in state.items()},
        lambda state: {name: value.half() if value.is_floating_point() else value for name, value in state.items()},
    ],
    ids=["state_dict", "model", "module", "half"],
)
def test_levels_and_prefixes(convert, surgvlp_state, wrap):
    model = load_whole(convert(wrap(surgvlp_state)))
    found = model.visual_projection.weight
    assert found.dtype == torch.float32
    assert torch.allclose(found, surgvlp_state["backbone_img.global_embedder.weight"], rtol=2e-3, atol=1e-4)


def test_card_and_origin(surgvlp_folder):
    card = ModelCard.load(surgvlp_folder / "README.md")
    assert card.data.license == "cc-by-nc-sa-4.0" and "non-commercial" in card.text and "$" not in card.content
    assert "CAMMA-public/SurgVLP" in card.text and "middle 224 × 224" in card.text
    origin = json.loads((surgvlp_folder / "conversion.json").read_text())
    assert origin["family"] == FAMILY and origin["sharing"] == "yes" and len(origin["sha256"]) == 64
    assert f"{sum(value.numel() for value in load_whole(surgvlp_folder).parameters()):,}" == origin["parameters"]


def without(state, *names):
    return {name: value for name, value in state.items() if name not in names}


@pytest.mark.parametrize(
    "change, message",
    [
        (
            lambda state: without(state, "backbone_img.global_embedder.bias"),
            rf"no visual_projection.bias; .* \(as {FAMILY}\)",
        ),
        (lambda state: without(state, "backbone_img.model.conv1.weight"), f"no whole {FAMILY}: no backbone_img.model"),
        (lambda state: state | {"head.weight": torch.ones(2)}, "unknown 'head.weight'"),
        (
            lambda state: state | {"backbone_img.model.layer2.0.bn1.bias": torch.ones(3)},
            r"layers.0.layer.0.normalization.bias of shape \(3,\) instead of \(16,\)",
        ),
        (
            lambda state: state | {"backbone_img.global_embedder.bias": torch.full((64,), torch.nan)},
            "holds NaN or infinity in visual_projection.bias",
        ),
        (
            lambda state: {name: value for name, value in state.items() if "text" not in name},
            f"no whole {FAMILY}: no backbone_text.model.embeddings.word_embeddings.weight",
        ),
        (
            lambda state: (
                {name: value for name, value in state.items() if "text" not in name}
                | {"text_encoder.embeddings.word_embeddings.weight": torch.ones(3, 2)}
            ),
            "mixes families: found 'backbone_img.model.conv1.weight' of SurgVLP, HecVL or PeskaVLP; "
            "'text_encoder.embeddings.word_embeddings.weight' of SurgCLIP; expected one that is whole",
        ),
        (
            lambda state: {"fc.weight": torch.ones(2)},
            rf"is of no known family: found 'fc.weight'; expected the weights of {FAMILY} \(backbone_img.model.…",
        ),
        (lambda state: {"epoch": 3}, "holds a dict without weights"),
        (lambda state: [1], "holds a list without weights"),
        (lambda state: state | {"module.backbone_img.model.conv1.weight": torch.ones(2)}, "conv1.weight' twice"),
        (
            lambda state: state | {"backbone_img.model.layer9999999.0.conv1.weight": torch.ones(2)},
            "no whole|does not fit",
        ),
        (lambda state: pickle.dumps(Harmful(), protocol=2), "it needs .*print, and no code"),
        (lambda state: {**state, "config": Harmful()}, "it needs .*print, and no code"),
        (lambda state: b"nothing", "cannot be read as plain weights"),
    ],
    ids=range(15),
)
def test_refused_in_one_line(convert, surgvlp_state, tmp_path, capsys, change, message):
    with pytest.raises(ValueError, match=message) as caught:
        convert(change(surgvlp_state))
    assert "\n" not in str(caught.value) and "x.pth" in str(caught.value)
    assert "code of the checkpoint ran" not in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["x.pth"]


def test_a_level_that_holds_itself(tmp_path):
    level = {"weight": torch.ones(1)}
    level["model"] = level
    torch.save(level, tmp_path / "x.pth")
    with pytest.raises(ValueError, match="holds 'weight' twice"):
        read_weights(tmp_path / "x.pth")


def test_other_tokenizers(convert, surgvlp_state):
    with pytest.raises(ValueError, match="the tokenizer has 150 wordpieces, expected 200 as the text encoder"):
        convert(surgvlp_state, make_tokenizer(150))


def test_command(surgvlp_state, tmp_path, capsys):
    torch.save(surgvlp_state, tmp_path / "x.pth")
    make_tokenizer().save_pretrained(tmp_path / "tokenizer")
    command = ["convert", str(tmp_path / "x.pth"), str(tmp_path / "out"), "--tokenizer", str(tmp_path / "tokenizer")]
    assert main(command) == 0
    assert "load it with AutoModel" in capsys.readouterr().out
    assert main(command) == 1 and "is not empty" in capsys.readouterr().err
    assert main(["convert", str(tmp_path / "gone.pth"), str(tmp_path / "new")]) == 1
    assert "no checkpoint at" in capsys.readouterr().err


def test_surgclip_is_known_too(tmp_path):
    with pytest.raises(ValueError, match="does not fit the config"):  # the golden one is smaller than SurgCLIP-B
        convert_checkpoint(GOLDEN / "surgclip_tiny.pth", tmp_path / "out", make_tokenizer())


def test_memory_stays_under_twice_the_checkpoint(tmp_path):
    """Beside what the libraries take."""
    from .conftest import drawn, surgvlp_shapes

    torch.save(drawn(surgvlp_shapes(width=64, depths=(3, 4, 6), hidden=512), 0), tmp_path / "x.pth")
    torch.save(drawn(surgvlp_shapes(), 0), tmp_path / "small.pth")
    make_tokenizer().save_pretrained(tmp_path / "tokenizer")
    program = (
        "import resource, sys; from surglavi_hf.models import convert_checkpoint\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "convert_checkpoint('small.pth', 'small', 'tokenizer'); before = peak()\n"
        "convert_checkpoint('x.pth', 'out', 'tokenizer'); print(1024 * (peak() - before))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path, check=True)
    size = os.path.getsize(tmp_path / "x.pth")
    assert size > 50e6 and int(done.stdout.split()[-1]) < 2 * size
