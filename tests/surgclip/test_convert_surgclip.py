# SPDX-License-Identifier: Apache-2.0
import json
import os

import pytest
import torch
from huggingface_hub import ModelCard
from safetensors.torch import load_file
from transformers import AutoModel, AutoProcessor, AutoTokenizer

from benchmarks.released_surgclip import ReleasedSurgCLIP
from surglavi_hf.cli import main
from surglavi_hf.surgclip import SurgCLIPProcessor, convert_surgclip_checkpoint
from surglavi_hf.surgclip.convert_surgclip import released_config

from ..conftest import GOLDEN
from .conftest import make_tokenizer, tiny_config

CHECKPOINT = GOLDEN / "surgclip_tiny.pth"


def convert(checkpoint, folder, **kwargs):
    return convert_surgclip_checkpoint(checkpoint, folder, tiny_config(layout="released"), make_tokenizer(), **kwargs)


def same_bytes(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> bool:
    def same(tensor: torch.Tensor, other: torch.Tensor) -> bool:
        if (tensor.dtype, tensor.shape) != (other.dtype, other.shape):
            return False
        return torch.equal(tensor.contiguous().view(torch.int32), other.contiguous().view(torch.int32))

    return one.keys() == two.keys() and all(same(value, two[name]) for name, value in one.items())


def test_names_shapes_and_bytes_are_kept(released_folder):
    released = torch.load(CHECKPOINT, weights_only=True)
    assert same_bytes(released, load_file(released_folder / "model.safetensors"))


def test_surgclip_b_there_and_back(tmp_path, capsys):
    """All 453 tensors of a checkpoint of the released size, through the folder and back."""
    with torch.device("meta"):
        shapes = {name: value.shape for name, value in ReleasedSurgCLIP().state_dict().items()}
    released = {
        name: torch.arange(place, place + shape.numel(), dtype=torch.float32).reshape(shape) / 1e8
        for place, (name, shape) in enumerate(shapes.items())
    }
    assert len(released) == 453 and sum(value.numel() for value in released.values()) == 230_553_345
    checkpoint, folder = tmp_path / "surgclip_beta.pth", tmp_path / "model"
    torch.save(released, checkpoint)
    make_tokenizer(30522).save_pretrained(tmp_path / "tokenizer")
    assert main(["convert", str(checkpoint), str(folder), "--tokenizer", str(tmp_path / "tokenizer")]) == 0
    assert f"{folder}: load it with AutoModel" in capsys.readouterr().out
    assert same_bytes(released, AutoModel.from_pretrained(folder).state_dict())


def test_the_folder_is_complete(released_folder):
    names = {path.name for path in released_folder.iterdir()}
    assert {"config.json", "model.safetensors", "processor_config.json", "tokenizer.json", "README.md"} <= names
    assert released_folder.stat().st_mode & 0o077 == 0o055
    assert all(path.stat().st_mode & 0o044 == 0o044 for path in released_folder.iterdir())
    processor = AutoProcessor.from_pretrained(released_folder)
    assert processor.video_processor.size == {"height": 32, "width": 32} and processor.video_processor.num_frames == 4
    assert processor.text_preprocess and processor(text="The surgeon clips.")["input_ids"].tolist() == [[2, 7, 8]]
    tokenizer = AutoTokenizer.from_pretrained(released_folder)
    assert tokenizer("clips").input_ids == [2, 7, 8] and tokenizer.model_max_length == 77


def test_card(tmp_path):
    folder = convert(CHECKPOINT, tmp_path / "model", revision="0123abc")
    card = ModelCard.load(folder / "README.md")
    assert card.data.base_model == "aleperez24/SurgCLIP" and card.data.library_name == "transformers"
    assert "`surgclip_tiny.pth` of aleperez24/SurgCLIP at commit `0123abc`" in card.text and "$" not in card.content
    assert "4 frames, resized to 32 × 32" in card.text and "was not checked" not in card.text


def test_card_of_a_local_file(released_folder):
    text = (released_folder / "README.md").read_text()
    assert (
        "Converted from `surgclip_tiny.pth`, " in text and "whether it is that of aleperez24/SurgCLIP was not" in text
    )


def test_names_that_share_memory(tmp_path):
    state = torch.load(CHECKPOINT, weights_only=True)
    block = "vision_encoder.model.blocks.0"
    state[f"{block}.temporal_attn.qkv.weight"] = state[f"{block}.attn.qkv.weight"]
    torch.save(state, tmp_path / "shared.pth")
    assert same_bytes(state, load_file(convert(tmp_path / "shared.pth", tmp_path / "model") / "model.safetensors"))


def test_a_small_file_that_claims_much_memory(tmp_path):
    state = torch.load(CHECKPOINT, weights_only=True)
    torch.save(state | {"vision_proj.bias": torch.zeros(1).expand(10**13)}, tmp_path / "bomb.pth")
    with pytest.raises(ValueError, match=r"vision_proj.bias of shape \(10000000000000,\) instead of \(24,\)"):
        convert(tmp_path / "bomb.pth", tmp_path / "model")


def test_the_users_mask_is_kept(tmp_path):
    mask = os.umask(0o027)
    try:
        folder = convert(CHECKPOINT, tmp_path / "model")
    finally:
        os.umask(mask)
    assert folder.stat().st_mode & 0o777 == 0o750
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o640}


def test_nothing_is_left_beside_the_folder(tmp_path, monkeypatch):
    """Where it is killed, only in it, and the next conversion takes it over; where it fails, nowhere."""
    (tmp_path / "model" / ".unfinished").mkdir(parents=True)
    (tmp_path / "model" / ".unfinished" / "model.safetensors").write_bytes(b"half")
    convert(CHECKPOINT, tmp_path / "model")
    assert AutoModel.from_pretrained(tmp_path / "model") and not (tmp_path / "model" / ".unfinished").exists()
    (tmp_path / "empty").mkdir()
    seen = []

    def fail(self, folder):
        seen.append([*tmp_path.iterdir()])
        raise OSError("no space left")

    monkeypatch.setattr(SurgCLIPProcessor, "save_pretrained", fail)
    for name in ("empty", "new"):
        with pytest.raises(OSError, match="no space left"):
            convert(CHECKPOINT, tmp_path / name)
        assert {path.name for path in seen.pop()} <= {"model", "empty", name}
    assert {path.name for path in tmp_path.iterdir()} == {"model", "empty"}
    assert not list((tmp_path / "empty").iterdir())


def test_links_and_the_working_directory(tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to("empty")
    assert convert(CHECKPOINT, tmp_path / "link") == tmp_path / "empty"
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(FileExistsError, match="is the working directory; name a new folder"):
        convert(CHECKPOINT, ".")


def test_a_checkpoint_without_attention_over_time(tmp_path):
    weights = torch.load(CHECKPOINT, weights_only=True)
    weights = {name: value for name, value in weights.items() if "temporal" not in name and "time_embed" not in name}
    torch.save(weights, tmp_path / "space.pth")
    config = tiny_config(layout="released", attention_type="space_only")
    folder = convert_surgclip_checkpoint(tmp_path / "space.pth", tmp_path / "model", config, make_tokenizer())
    assert same_bytes(weights, load_file(folder / "model.safetensors"))
    with pytest.raises(ValueError, match=r"space.pth does not fit the config: no vision_encoder.model.blocks.3.norm1"):
        convert_surgclip_checkpoint(tmp_path / "space.pth", tmp_path / "other", tokenizer=make_tokenizer())
    assert released_config(divided=False).vision_config.attention_type == "space_only"


@pytest.mark.parametrize("kind", ["cut short", "missing", "shape", "not finite", "tokenizer", "no tokenizer"])
def test_refused_with_a_reason_and_nothing_written(tmp_path, kind):
    checkpoint, tokenizer = tmp_path / "checkpoint.pth", make_tokenizer()
    state = torch.load(CHECKPOINT, weights_only=True)
    name = "vision_encoder.model.blocks.1.attn.qkv.weight"
    if kind == "missing":
        state["tempx"] = state.pop("temp")
        message = r"checkpoint.pth does not fit the config: no temp; unknown 'tempx'"
    elif kind == "shape":
        state["vision_proj.bias"] = torch.zeros(3)
        message = r"checkpoint.pth .* vision_proj.bias of shape \(3,\) instead of \(24,\)"
    elif kind == "not finite":
        state[name][5, 7] = float("nan")
        message = f"checkpoint.pth holds NaN or infinity in {name}"
    else:
        message = "checkpoint.pth cannot be read as plain weights"
    torch.save(state, checkpoint)
    if kind == "cut short":
        checkpoint.write_bytes(CHECKPOINT.read_bytes()[:10_000])
    elif kind == "tokenizer":
        tokenizer, message = make_tokenizer(121), "the tokenizer has 121 wordpieces, expected 120"
    elif kind == "no tokenizer":
        tokenizer, message = tmp_path / "nowhere", "nowhere"
    with pytest.raises((ValueError, OSError), match=message):
        convert_surgclip_checkpoint(checkpoint, tmp_path / "model", tiny_config(layout="released"), tokenizer)
    assert list(tmp_path.iterdir()) == [checkpoint]


def test_missing_checkpoint(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"gone\.pth"):
        convert(tmp_path / "gone.pth", tmp_path / "model")


def test_a_folder_with_files_is_left_alone(tmp_path):
    (tmp_path / "precious.txt").write_text("x")
    with pytest.raises(FileExistsError, match="not empty"):
        convert(CHECKPOINT, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["precious.txt"]


def test_stopped_while_writing_leaves_nothing(tmp_path, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("surglavi_hf.surgclip.convert_surgclip.SurgCLIPProcessor.save_pretrained", stop)
    with pytest.raises(KeyboardInterrupt):
        convert(CHECKPOINT, tmp_path / "model")
    assert not list(tmp_path.iterdir())


def test_the_other_layout_is_refused(tmp_path):
    with pytest.raises(ValueError, match="layout='released'"):
        convert_surgclip_checkpoint(CHECKPOINT, tmp_path / "model", tiny_config(layout="per_frame"), make_tokenizer())


def test_the_config_is_the_released_one(released_folder):
    config = json.loads((released_folder / "config.json").read_text())
    assert config["vision_config"]["layout"] == "released" and config["auto_map"]["AutoModel"]
    assert released_config().vision_config.drop_path_rate == 0.1
