# SPDX-License-Identifier: Apache-2.0
"""Writes tests/models/golden/NAME.safetensors: what the authors' own code makes of drawn weights and pictures.

    pip install torchvision timm einops peft
    python -m tests.models.make_golden NAME FOLDER

FOLDER is where the authors' model is imported from: see the function of that name. Their data loaders need much more,
so their few lines that prepare a picture are written down here; torchvision's Resize of a picture is Pillow's.
"""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from .conftest import WORDS
from .released import GOLDEN, RELEASED, SURGLIME, TEXTS, WINDOWS, pictures, seen, with_bases

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
Made = tuple[nn.Module, Callable[[torch.Tensor], Any], torch.Tensor]  # model, its features, pixel values


def squashed(size: int, resample: Image.Resampling) -> torch.Tensor:
    """Resize((size, size)), ToTensor, Normalize, of shape `(2, 3, size, size)`."""
    resized = [np.asarray(Image.fromarray(each).resize((size, size), resample)) for each in pictures()]
    values = torch.from_numpy(np.stack(resized)).permute(0, 3, 1, 2).float() / 255
    return (values - torch.tensor(_MEAN).view(3, 1, 1)) / torch.tensor(_STD).view(3, 1, 1)


def lemonfm() -> Made:
    """Its model is torchvision's; FOLDER is of https://github.com/pytorch/vision, or . where it is installed."""
    from torchvision.models.convnext import CNBlockConfig, ConvNeXt

    sizes = [CNBlockConfig(8, 12, 1), CNBlockConfig(12, 16, 1), CNBlockConfig(16, 24, 2), CNBlockConfig(24, None, 1)]
    model = ConvNeXt(sizes)
    model.classifier[2] = nn.Identity()  # as in src/model_loader.py of https://github.com/visurg-ai/LEMON
    return model, model, squashed(224, Image.Resampling.BICUBIC)  # downstream/dataloader_cholecT50.py


def plstitch() -> Made:
    """FOLDER is pl_stitch of https://github.com/visurg-ai/PL-Stitch."""
    from models.vision_transformer import VisionTransformer

    model = VisionTransformer(patch_size=16, embed_dim=128, depth=2, num_heads=2, mlp_ratio=4, qkv_bias=True)
    return model, model, squashed(224, Image.Resampling.BILINEAR)  # pl_stitch/loader.py


def surgenet_convnextv2() -> Made:
    """FOLDER is of https://github.com/TimJaspers0801/SurgeNet. Its authors say nothing of how frames are prepared."""
    from convnextv2 import ConvNeXtV2

    model = ConvNeXtV2(depths=[1, 2, 1, 1], dims=[8, 12, 16, 24])
    model.head = nn.Identity()
    return model, model, squashed(256, Image.Resampling.BICUBIC)


def surgenet_caformer() -> Made:
    import metaformer

    # As caformer_s18 has it of SurgeNet's weights.
    model = metaformer.MetaFormer(
        depths=[1] * 4,
        dims=[8, 12, 32, 64],
        downsample_layers=metaformer.DOWNSAMPLE_LAYERS_FOUR_STAGES,
        token_mixers=[partial(metaformer.SepConv, act1_layer=nn.ReLU)] * 2 + [metaformer.Attention] * 2,
        mlps=partial(metaformer.Mlp, act_layer=nn.ReLU),
        norm_layers=partial(metaformer.LayerNormWithoutBias, eps=1e-6),
        layer_scale_init_values=None,
        res_scale_init_values=[None, None, 1.0, 1.0],
        output_norm=partial(nn.LayerNorm, eps=1e-6),
        head_fn=nn.Identity,
    )
    return model, lambda frames: model.forward_features(frames)[0], squashed(256, Image.Resampling.BICUBIC)


def surgenet_pvtv2() -> Made:
    from pvtv2 import PyramidVisionTransformerV2

    sizes = {"embed_dims": [64, 64, 128, 128], "num_heads": [1, 1, 2, 2], "mlp_ratios": [2, 2, 1, 1]}
    layer_norm = partial(nn.LayerNorm, eps=1e-6)  # as pvt_v2_b2 has it
    model = PyramidVisionTransformerV2(
        **sizes, depths=[1] * 4, sr_ratios=[8, 4, 2, 1], qkv_bias=True, norm_layer=layer_norm
    )
    model.head = nn.Identity()
    return model, model, squashed(256, Image.Resampling.BICUBIC)


def endofm() -> Made:
    """FOLDER is of https://github.com/med-air/Endo-FM."""
    from models.timesformer import VisionTransformer

    sizes = {"img_size": 224, "patch_size": 16, "embed_dim": 128, "depth": 2, "num_heads": 2, "num_frames": 8}
    layer_norm = partial(nn.LayerNorm, eps=1e-6)
    model = VisionTransformer(**sizes, qkv_bias=True, norm_layer=layer_norm, attention_type="divided_space_time")
    model.head = nn.Identity()
    # datasets/data_utils.py and transform.py: the shorter side to 224 pixels, and the middle.
    values = (torch.from_numpy(pictures()).float() / 255 - 0.45) / 0.225
    resized = nn.functional.interpolate(values.permute(0, 3, 1, 2), (224, 336), mode="bilinear", align_corners=False)
    return model, lambda frames: model(frames[WINDOWS].transpose(1, 2)), resized[..., 56 : 56 + 224]


def surglime() -> Made:
    """FOLDER is of https://github.com/visurg-ai/SurgLIME. Its sizes are fixed but for the layers and the BERT."""
    import model as authors
    from transformers import BertConfig, BertModel

    width = SURGLIME.state()["text_proj.3.weight"].shape[1]
    sizes = {"hidden_size": width, "num_attention_heads": width // 64, "intermediate_size": 2 * width}
    bert = BertConfig(vocab_size=WORDS, num_hidden_layers=2, max_position_embeddings=96, **sizes)
    vit = {"embed_dim": 768, "depth": 1, "num_heads": 12, "mlp_ratio": 4, "qkv_bias": True}
    authors.vit_base = lambda **kwargs: authors.VisionTransformer(**kwargs, **vit)
    with TemporaryDirectory() as folder:
        BertModel(bert).save_pretrained(folder)
        torch.save({"teacher": {}}, f"{folder}/x.pth")
        model = authors.SurgLIME(text_model_name=folder, vision_ckpt_path=f"{folder}/x.pth")

    def features(pixel_values: torch.Tensor) -> dict[str, torch.Tensor]:
        video, text, scale = model(pixel_values[WINDOWS], TEXTS["input_ids"], TEXTS["attention_mask"])
        return {"video_embeds": video, "text_embeds": text, "scale": scale}

    return model, features, squashed(224, Image.Resampling.BILINEAR)  # zero_shot_autolaparo_LMDB.py


def main(name: str, folder: Path) -> None:
    sys.path.insert(0, str(folder))
    model, features, pixel_values = globals()[name]()
    model.load_state_dict(with_bases(SURGLIME.state()) if name == "surglime" else RELEASED[name].state())
    with torch.no_grad():
        model.eval()
        found = features(pixel_values)
    found = (found if isinstance(found, dict) else {"features": found}) | {"pixels": seen(pixel_values)}
    GOLDEN.mkdir(exist_ok=True)
    save_file({key: value.contiguous() for key, value in found.items()}, GOLDEN / f"{name}.safetensors")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
