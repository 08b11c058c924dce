# SPDX-License-Identifier: Apache-2.0
"""SurgCLIP's released forward pass, written out step by step as the description of the code has it.

The peer of `benchmarks/model.py` and the reference of the tests: plain attention, tokens in one sequence sorted by
patch as in the `surgclip` 0.1.0 package, parameters under the released names. Imports nothing of surglavi_hf.

Shapes below: B clips, T frames, N patches a frame, M hidden size.
"""

import torch
from torch import nn
from torch.nn import functional as F
from transformers import BertConfig, BertModel


class Attention(nn.Module):
    def __init__(self, width: int, num_heads: int):
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        rows, length, width = tokens.shape
        qkv = self.qkv(tokens).reshape(rows, length, 3, self.num_heads, width // self.num_heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        weights = query @ key.transpose(-2, -1) * (width // self.num_heads) ** -0.5
        mixed = weights.softmax(dim=-1) @ value
        return self.proj(mixed.transpose(1, 2).reshape(rows, length, width))


class Mlp(nn.Module):
    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.fc2(F.gelu(self.fc1(tokens)))


class Block(nn.Module):
    def __init__(self, width: int, num_heads: int, hidden: int, divided: bool):
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = Attention(width, num_heads)
        if divided:
            self.temporal_norm1 = nn.LayerNorm(width, eps=1e-6)
            self.temporal_attn = Attention(width, num_heads)
            self.temporal_fc = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = Mlp(width, hidden)

    def space_only(self, frames: torch.Tensor) -> torch.Tensor:
        """`frames` of shape `(B·T, 1 + N, M)`."""
        frames = frames + self.attn(self.norm1(frames))
        return frames + self.mlp(self.norm2(frames))

    def divided(self, tokens: torch.Tensor, num_frames: int) -> torch.Tensor:
        """`tokens` of shape `(B, T + N·T, M)`: T slots of CLS, then patch 0 at all times, then patch 1, …"""
        batch_size, _, width = tokens.shape
        patches = tokens[:, num_frames:]  # (B, N·T, M)
        across = patches.reshape(-1, num_frames, width)  # (B·N, T, M)
        moved = self.temporal_fc(self.temporal_attn(self.temporal_norm1(across)))
        after = patches + moved.reshape(patches.shape)

        def by_frame(flat: torch.Tensor) -> torch.Tensor:  # (B·T, N, M)
            return (
                flat.reshape(batch_size, -1, num_frames, width)
                .transpose(1, 2)
                .reshape(-1, flat.shape[1] // num_frames, width)
            )

        stand_in = by_frame(patches)[:, :1]
        spatial = self.attn(self.norm1(torch.cat([stand_in, by_frame(after)], dim=1)))  # (B·T, 1 + N, M)
        slots = spatial[:, 0].reshape(batch_size, num_frames, width)
        result = spatial[:, 1:].reshape(batch_size, num_frames, -1, width).transpose(1, 2).reshape(patches.shape)
        tokens = torch.cat([slots, after], dim=1) + torch.cat([slots, result], dim=1)
        return tokens + self.mlp(self.norm2(tokens))


class PatchEmbed(nn.Module):
    def __init__(self, width: int, patch_size: int):
        super().__init__()
        self.proj = nn.Conv2d(3, width, patch_size, stride=patch_size)


class Transformer(nn.Module):
    def __init__(
        self,
        width=768,
        depth=12,
        num_heads=12,
        hidden=3072,
        image_size=224,
        patch_size=16,
        num_frames=16,
        divided=True,
    ):
        super().__init__()
        self.divided = divided
        self.side = image_size // patch_size
        self.patch_embed = PatchEmbed(width, patch_size)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, self.side**2 + 1, width))
        if divided:
            self.time_embed = nn.Parameter(torch.zeros(1, num_frames, width))
        self.blocks = nn.ModuleList([Block(width, num_heads, hidden, divided) for _ in range(depth)])
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.pool_norm = nn.LayerNorm(width, eps=1e-6)

    def positions(self, num_patches: int, columns: int) -> torch.Tensor:
        if num_patches == self.side**2:
            return self.pos_embed
        table = self.pos_embed[0, 1:].T.reshape(1, -1, self.side, self.side)
        rows = (num_patches + 1) // columns
        patches = F.interpolate(table, size=(rows, columns), mode="nearest").flatten(2).transpose(1, 2)
        return torch.cat([self.pos_embed[:, :1], patches], dim=1)

    def times(self, num_frames: int) -> torch.Tensor:
        trained = self.time_embed.shape[1]
        return self.time_embed[0, [index * trained // num_frames for index in range(num_frames)]]  # (T, M)

    def forward(self, clips: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """`clips` of shape `(B, T, 3, H, W)` to tokens `(B, T, 1 + N, M)` and pooled vectors `(B, T, M)`."""
        batch_size, num_frames = clips.shape[:2]
        maps = self.patch_embed.proj(clips.flatten(0, 1))
        patches = maps.flatten(2).transpose(1, 2)  # (B·T, N, M)
        frames = torch.cat([self.cls_token.expand(len(patches), -1, -1), patches], dim=1)
        frames = frames + self.positions(patches.shape[1], maps.shape[-1])
        tokens = frames.reshape(batch_size, num_frames, *frames.shape[1:])
        if self.divided:
            if num_frames > 1:
                timed = tokens[:, :, 1:] + self.times(num_frames)[None, :, None]
                tokens = torch.cat([tokens[:, :, :1], timed], dim=2)
            tokens = tokens.transpose(1, 2).flatten(1, 2)  # (B, T + N·T, M)
            for block in self.blocks:
                tokens = block.divided(tokens, num_frames)
        else:
            for block in self.blocks:
                frames = block.space_only(frames)
            tokens = frames
        tokens = self.norm(tokens).reshape(batch_size, num_frames, -1, self.pos_embed.shape[-1])
        return tokens, self.pool_norm(tokens[:, :, 1:].mean(dim=2))


class VisionEncoder(nn.Module):
    def __init__(self, **sizes):
        super().__init__()
        self.model = Transformer(**sizes)


class ReleasedSurgCLIP(nn.Module):
    """The dual encoder. `sizes` are those of [`Transformer`]; defaults are SurgCLIP-B's."""

    def __init__(self, text_config: BertConfig | None = None, embed_dim: int = 256, **sizes):
        super().__init__()
        text_config = text_config or BertConfig()
        self.vision_encoder = VisionEncoder(**sizes)
        width = self.vision_encoder.model.pos_embed.shape[-1]
        self.vision_layernorm = nn.LayerNorm(width, eps=1e-12)
        self.text_encoder = BertModel._from_config(text_config, add_pooling_layer=False, attn_implementation="eager")
        self.vision_proj = nn.Linear(width, embed_dim)
        self.text_proj = nn.Linear(text_config.hidden_size, embed_dim)
        self.temp = nn.Parameter(torch.tensor(0.07))

    def forward(self, clips: torch.Tensor, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Logits of shape `(clips, captions)`: the mean over the frame axis of cosines, divided by `temp`."""
        _, pooled = self.vision_encoder.model(clips)
        text = self.text_encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state[:, 0]
        clips_projected = F.normalize(self.vision_proj(pooled), dim=-1)
        text_projected = F.normalize(self.text_proj(text), dim=-1)
        return torch.einsum("btd,nd->btn", clips_projected, text_projected).mean(dim=1) / self.temp
