# SPDX-License-Identifier: Apache-2.0
"""What SurgCLIP's models return."""

from dataclasses import dataclass

import torch
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.utils import ModelOutput


@dataclass
class SurgCLIPVisionOutput(ModelOutput):
    """
    Args:
        last_hidden_state: `torch.FloatTensor` of shape `(batch_size, num_frames, 1 + num_patches, hidden_size)`. In
            the released layout its order is that of the released code, in which the second axis is not time.
        pooler_output: `torch.FloatTensor` of shape `(batch_size, num_frames, hidden_size)`, or, returned by
            [`SurgCLIPModel.get_video_features`], `(batch_size, projection_dim)`.
        hidden_states: With `output_hidden_states=True`. Tuple of what enters the first block and what leaves each
            block, each `torch.FloatTensor` of shape `(batch_size, num_frames, 1 + num_patches, hidden_size)`, in both
            layouts frame by frame.
        attentions: With `output_attentions=True` and `attn_implementation="eager"`. Tuple of the weights of attention
            within frames, one a block, of shape `(batch_size, num_frames, num_heads, 1 + num_patches,
            1 + num_patches)`.
        temporal_attentions: Likewise for attention over time, of shape `(batch_size, num_positions, num_heads,
            num_frames, num_frames)`; the released layout has no CLS among the positions.
    """

    last_hidden_state: torch.FloatTensor | None = None
    pooler_output: torch.FloatTensor | None = None
    hidden_states: tuple[torch.FloatTensor, ...] | None = None
    attentions: tuple[torch.FloatTensor, ...] | None = None
    temporal_attentions: tuple[torch.FloatTensor, ...] | None = None


@dataclass
class SurgCLIPOutput(ModelOutput):
    """
    Args:
        loss: `torch.FloatTensor`, scalar, returned with `return_loss=True`. Symmetric InfoNCE within the batch.
        logits_per_video: `torch.FloatTensor` of shape `(video_batch_size, text_batch_size)`.
            `video_embeds @ text_embeds.T / temp`.
        logits_per_text: `torch.FloatTensor` of shape `(text_batch_size, video_batch_size)`.
        video_embeds: `torch.FloatTensor` of shape `(video_batch_size, projection_dim)`. The mean over the frame axis
            of L2-normalised projections; its norm is at most 1 and is not made 1 again.
        text_embeds: `torch.FloatTensor` of shape `(text_batch_size, projection_dim)`, L2-normalised.
        vision_model_output: Output of the video encoder.
        text_model_output: Output of the text encoder.
    """

    loss: torch.FloatTensor | None = None
    logits_per_video: torch.FloatTensor | None = None
    logits_per_text: torch.FloatTensor | None = None
    video_embeds: torch.FloatTensor | None = None
    text_embeds: torch.FloatTensor | None = None
    vision_model_output: SurgCLIPVisionOutput | None = None
    text_model_output: BaseModelOutputWithPooling | None = None

    def to_tuple(self) -> tuple:
        """The values that are there, outputs of the encoders as tuples, too."""
        return tuple(value.to_tuple() if isinstance(value, ModelOutput) else value for value in self.values())
