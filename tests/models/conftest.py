# SPDX-License-Identifier: Apache-2.0
from collections.abc import Iterable, Iterator

import numpy as np
import pytest
import torch
from transformers import BertTokenizer

WORDS = 200
_SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def make_tokenizer(size: int = WORDS) -> BertTokenizer:
    words = [*_SPECIAL, "clip", "cut", "the", "duct", "##s", *(f"word{number}" for number in range(size))]
    return BertTokenizer(vocab={word: place for place, word in enumerate(words[:size])})


def drawn(shapes: Iterable[tuple[str, tuple[int, ...]]], seed: int) -> dict[str, torch.Tensor]:
    """Weights of these names and shapes, which keep activations within bounds; what is named so is a count."""
    random = np.random.Generator(np.random.PCG64(seed))
    state = {}
    for name, shape in shapes:
        if name.endswith("num_batches_tracked"):
            state[name] = torch.tensor(100)
            continue
        values = random.random(shape, dtype=np.float64) - 0.5
        if name.endswith("running_var") or (len(shape) == 1 and name.endswith("weight")):
            values = 1 + 0.4 * values
        elif len(shape) > 1:
            values *= np.sqrt(20 / np.prod(shape[1:]))
        else:
            values *= 0.2
        state[name] = torch.from_numpy(np.asarray(values, np.float32))
    return state


def surgvlp_shapes(width: int = 8, depths: tuple[int, ...] = (2, 1), hidden: int = 64) -> Iterator[tuple]:
    """Names and shapes as in the checkpoints of SurgVLP, with fewer and smaller layers."""

    def norm(name: str, channels: int) -> Iterator[tuple]:
        yield from ((f"{name}.{part}", (channels,)) for part in ("weight", "bias", "running_mean", "running_var"))
        yield f"{name}.num_batches_tracked", ()

    image, text = "backbone_img.model", "backbone_text.model"
    yield f"{image}.conv1.weight", (width, 3, 7, 7)
    yield from norm(f"{image}.bn1", width)
    inputs = width
    for stage, blocks in enumerate(depths):
        inner = width * 2**stage
        for block in range(blocks):
            name = f"{image}.layer{stage + 1}.{block}"
            for number, shape in enumerate(((inner, inputs, 1, 1), (inner, inner, 3, 3), (4 * inner, inner, 1, 1)), 1):
                yield f"{name}.conv{number}.weight", shape
                yield from norm(f"{name}.bn{number}", shape[0])
            if block == 0:
                yield f"{name}.downsample.0.weight", (4 * inner, inputs, 1, 1)
                yield from norm(f"{name}.downsample.1", 4 * inner)
            inputs = 4 * inner
    yield "backbone_img.global_embedder.weight", (hidden, inputs)
    yield "backbone_img.global_embedder.bias", (hidden,)
    for part, rows in (("word", WORDS), ("position", 96), ("token_type", 2)):
        yield f"{text}.embeddings.{part}_embeddings.weight", (rows, hidden)
    yield f"{text}.embeddings.position_ids", (1, 96)
    yield from ((f"{text}.embeddings.LayerNorm.{part}", (hidden,)) for part in ("weight", "bias"))
    for layer in range(4):
        name = f"{text}.encoder.layer.{layer}"
        for part in ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"):
            yield f"{name}.{part}.weight", (hidden, hidden)
            yield f"{name}.{part}.bias", (hidden,)
        yield f"{name}.intermediate.dense.weight", (2 * hidden, hidden)
        yield f"{name}.intermediate.dense.bias", (2 * hidden,)
        yield f"{name}.output.dense.weight", (hidden, 2 * hidden)
        yield f"{name}.output.dense.bias", (hidden,)
        for part in ("attention.output.LayerNorm", "output.LayerNorm"):
            yield from ((f"{name}.{part}.{leaf}", (hidden,)) for leaf in ("weight", "bias"))
    yield f"{text}.pooler.dense.weight", (hidden, hidden)
    yield f"{text}.pooler.dense.bias", (hidden,)


@pytest.fixture(scope="package")
def surgvlp_state() -> dict[str, torch.Tensor]:
    return drawn(surgvlp_shapes(), 3)


@pytest.fixture(scope="package")
def surgvlp_folder(surgvlp_state, tmp_path_factory):
    """A small checkpoint of SurgVLP's form, converted."""
    from surglavi_hf.models import convert_checkpoint

    path = tmp_path_factory.mktemp("surgvlp")
    torch.save(surgvlp_state, path / "SurgVLP.pth")
    return convert_checkpoint(path / "SurgVLP.pth", path / "surgvlp", make_tokenizer())
