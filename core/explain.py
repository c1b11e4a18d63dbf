"""Maps that say which patches mattered: one non-negative value a patch."""

import torch


def rollout(attention: torch.Tensor, prefix: int = 1) -> torch.Tensor:
    """Attention rollout (Abnar & Zuidema, "Quantifying Attention Flow in Transformers", 2020).

    Each layer becomes half its heads' mean and half the identity, for the residual connection;
    the product of all layers says how much of each input token reaches the CLS token.

    Args:
        attention: (B, L, H, T, T), rows sum to 1.
        prefix: tokens before the patches.

    Returns:
        (B, T - prefix), the CLS row of the product without its prefix tokens.
    """
    layers = attention.mean(dim=2)  # (B, L, T, T)
    layers = 0.5 * layers + 0.5 * torch.eye(layers.shape[-1], device=layers.device)
    row = layers[:, -1, :1]  # (B, 1, T): only the CLS row of the product is wanted
    for layer in reversed(range(layers.shape[1] - 1)):
        row = row @ layers[:, layer]
    return row[:, 0, prefix:]
