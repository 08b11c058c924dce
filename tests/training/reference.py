# SPDX-License-Identifier: Apache-2.0
"""The losses written out, pair by pair, and small models and batches to try them on."""

import math

import torch
from torch.nn import functional as F
from transformers import BertConfig

from surglavi_hf import SurgCLIPConfig, SurgCLIPModel
from surglavi_hf.training.contrastive_model import ContrastiveModel

NUM_FRAMES, IMAGE_SIZE = 2, 32

# Rows of two videos with nested and touching intervals, levels and equal texts:
# (caption_id, video_id, level: 0 task, 1 step, 2 phase, start, end, text)
ROWS = [
    (1, 1, 2, 0.0, 100.0, "a"),  # a phase
    (2, 1, 1, 0.0, 60.0, "b"),  # its steps
    (3, 1, 1, 60.0, 100.0, "c"),
    (4, 1, 0, 10.0, 20.0, "d"),  # a task of the first step
    (5, 1, 0, 50.0, 70.0, "e"),  # half in each step
    (6, 1, 0, 99.0, 110.0, "a"),  # overlaps, less than half; its text is the phase's
    (7, 2, 2, 0.0, 100.0, "a"),  # another video
    (8, 2, 0, 10.0, 20.0, "d"),
    (9, 2, 0, 15.0, 25.0, "f"),  # overlaps its like
    (10, 3, 1, 5.0, 6.0, "g"),
    (11, 3, 2, 6.0, 9.0, "h"),  # touches
    (1, 1, 2, 0.0, 100.0, "a"),  # the first again
    (12, 4, 0, 0.0, 5.0, "i"),
    (13, 4, 1, 0.0, 5.0, "j"),
    (14, 5, 0, 1e6, 1e6 + 0.1, "k"),
    (15, 5, 1, 1e6 + 0.1, 1e6 + 0.3, "l"),
]


def related(one: tuple, other: tuple, negatives: str) -> bool:
    """Whether two rows are no negatives of each other."""
    if one[0] == other[0] or (negatives != "all" and one[5] == other[5]):
        return True
    if negatives in ("all", "same-text") or one[1] != other[1]:
        return False
    shared = min(one[4], other[4]) - max(one[3], other[3])
    if negatives == "ancestor":
        child = min(one, other, key=lambda row: row[2])
        return one[2] != other[2] and shared > 0 and 2 * shared >= child[4] - child[3]
    return shared > 0 if negatives == "overlap" else True


def reference_loss(video, text, temperature, bias, rows, kind: str, negatives: str, equal_text: bool):
    """Mean over the rows that have a negative, and the number of those that have none."""
    total, count = 0.0, 0
    for i, row in enumerate(rows):
        positive = [j for j, other in enumerate(rows) if j == i or (equal_text and row[5] == other[5])]
        negative = [j for j, other in enumerate(rows) if j not in positive and not related(row, other, negatives)]
        if not negative:
            continue
        count += 1
        if kind == "siglip":
            for j in positive + negative:
                logit = (video[i] * text[j]).sum() / temperature + bias
                total = total - F.logsigmoid(logit if j in positive else -logit)
            continue
        for query, columns in ((video[i], text), (text[i], video)):
            logits = {j: (query * columns[j]).sum() / temperature for j in positive + negative}
            compared = torch.logsumexp(torch.stack(list(logits.values())), dim=0)
            total = total + (compared - sum(logits[j] for j in positive) / len(positive)) / 2
    return total / count if count else total + math.nan, len(rows) - count


def tiny_trained_model(learn_bias: bool = False, dtype: torch.dtype = torch.float64) -> ContrastiveModel:
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2, "hidden_dropout_prob": 0.0}
    sizes |= {"attention_probs_dropout_prob": 0.0, "initializer_range": 0.2}
    config = SurgCLIPConfig(
        vision_config={
            **sizes,
            **{"image_size": IMAGE_SIZE, "patch_size": 16, "num_frames": NUM_FRAMES, "num_hidden_layers": 1},
            "drop_path_rate": 0.0,
        },
        text_config=BertConfig(**sizes, vocab_size=40, num_hidden_layers=1, max_position_embeddings=16).to_dict(),
        projection_dim=8,
    )
    return ContrastiveModel(SurgCLIPModel(config), learn_bias).to(dtype)


def make_batch(rows: list[tuple], dtype: torch.dtype = torch.float64) -> dict[str, torch.Tensor]:
    """As ClipCollator makes it; pixels depend on the place, tokens on the text, padding differs between batches."""
    generator = torch.Generator().manual_seed(len(rows))
    texts = [[1, *(2 + (ord(letter) * 7 + place) % 38 for place in range(1 + ord(letter) % 3))] for *_, letter in rows]
    length = max(map(len, texts)) + len(rows) % 3
    ids = torch.tensor([text + [0] * (length - len(text)) for text in texts])
    columns = list(zip(*rows, strict=True))
    return {
        "pixel_values": torch.randn(
            len(rows), NUM_FRAMES, 3, IMAGE_SIZE, IMAGE_SIZE, generator=generator, dtype=dtype
        ),
        "input_ids": ids,
        "attention_mask": (ids > 0).long(),
        **{name: torch.tensor(columns[place]) for place, name in enumerate(("caption_id", "video_id", "level"))},
        "start_time": torch.tensor(columns[3], dtype=torch.float64),
        "end_time": torch.tensor(columns[4], dtype=torch.float64),
    }


def part_of(batch: dict[str, torch.Tensor], part: slice) -> dict[str, torch.Tensor]:
    return {name: value[part] for name, value in batch.items()}
