"""Attention out of a model: everything for a few images, the CLS rows for a whole set."""

import numpy as np
import torch

from core.model import VisionTransformer


@torch.inference_mode()
def extract(model: VisionTransformer, images: np.ndarray | torch.Tensor) -> torch.Tensor:
    """Post-softmax attention (B, L, H, T, T) float32 of a batch, on the model's device.

    Args:
        images: whatever `model.prepare` takes, B of them.
    """
    _, attention = model(model.prepare(images), return_attention=True)
    return attention
