# SPDX-License-Identifier: Apache-2.0
"""The README's Python runs as it stands, block after block."""

import re
from pathlib import Path

import torch
from transformers import BertConfig, BertModel, ViTConfig, ViTImageProcessorPil, ViTModel

from surglavi_hf.cli import main
from surglavi_hf.demo.run import PROMPTS
from surglavi_hf.training.publish import write_model
from surglavi_hf.training.start import new_tiny_model

from .evaluation.conftest import write_pictures
from .evaluation.native_files import copy_video, some_labels, write_native

README = Path(__file__).parents[1] / "README.md"


def python_blocks() -> list[str]:
    return re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)


def is_of_the_hub(block: str) -> bool:
    return '"me/' in block or "attach_clips" in block


def test_blocks_of_the_hub(corpus, hub_server, stranger, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("demo/training").mkdir(parents=True)
    Path("demo/corpus").symlink_to(corpus)
    model, processor = new_tiny_model(PROMPTS["task"])
    Path("metrics.jsonl").touch()
    write_model(model, processor, {}, Path("metrics.jsonl"), Path("demo/training/model"))
    commands = re.findall(r"^surglavi (push-.*)$", README.read_text(), re.MULTILINE)
    assert [main(command.split()) for command in commands] == [0, 0]
    tables, model_block, clips = [block for block in python_blocks() if is_of_the_hub(block)]
    stranger(f"{tables}\n{model_block}", "surglavi_hf")
    assert "torch.Size([16, 3, 96, 96])" in stranger(f"{tables}\n{clips}")


def test_python_blocks(corpus, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("demo/training").mkdir(parents=True)
    Path("demo/corpus").symlink_to(corpus)
    torch.manual_seed(0)
    model, processor = new_tiny_model(PROMPTS["task"])
    for part in (model, processor):
        part.save_pretrained("demo/training/model")
    # Small stand-ins for the encoders that are named, which folders of that name take the place of.
    sizes = {"hidden_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 48}
    ViTModel(ViTConfig(**sizes, image_size=32)).save_pretrained("google/vit-base-patch16-224")
    ViTImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained("google/vit-base-patch16-224")
    text_config = BertConfig(**sizes, vocab_size=len(processor.tokenizer))
    BertModel(text_config).save_pretrained("google-bert/bert-base-uncased")
    processor.tokenizer.save_pretrained("google-bert/bert-base-uncased")
    write_pictures(Path("video.mp4"), [float(second) for second in range(10)])
    for video in range(15, 22):
        write_native("autolaparo", Path("autolaparo"), str(video), some_labels("autolaparo"))
        copy_video("autolaparo", Path("autolaparo"), str(video), Path("video.mp4"))
    blocks = [block for block in python_blocks() if not is_of_the_hub(block)]
    assert len(blocks) == 10
    names: dict = {}
    for block in blocks:
        exec(compile(block, str(README), "exec"), names)
    assert names["frames"].shape == (16, 3, 96, 96) and len(names["batch"]["pixel_values"]) == 8
    printed = capsys.readouterr().out
    assert "tensor" in printed and "'score'" in printed and Path("phases.json").is_file()
    assert names["model"].config.vision_config.image_size == 32, "made of the encoders"
