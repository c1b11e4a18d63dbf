"""What this machine computes on, and how it does so fastest."""

import os
import platform

import torch

from core.errors import InputError
from core.model import VisionTransformer

# values of attention of one layer that a processor's cache holds beside the rest
_ATTENTION_AT_ONCE = 1_500_000


def best_device() -> str:
    """ "cuda", "mps" or "cpu": the fastest that is there."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def open_device(name: str) -> torch.device:
    """The device of that name, "auto" for `best_device`.

    Raises:
        InputError: it is not there.
    """
    try:
        device = torch.device(best_device() if name == "auto" else name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"There is no device {name} here; leave --device out.") from error
    return device


def best_precision(device: torch.device) -> str:
    """ "bfloat16" where the processor multiplies it natively, else "float32".

    A CPU without AVX-512 BF16 or AMX emulates it, more slowly than it computes in float32.
    """
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    elif device.type == "cpu":
        native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    else:
        native = False
    return "bfloat16" if native else "float32"


def best_batch(model: VisionTransformer) -> int:
    """How many images at once are fastest where nothing is learned, 16 to 256.

    On a CPU fewer, where the attention of more would outgrow the cache: the gradients of a ViT of
    65 tokens and 12 heads come twice as fast 29 as 256 images at a time.
    """
    if model.device.type != "cpu":
        return 256
    config = model.config
    return min(max(_ATTENTION_AT_ONCE // (config.heads * config.tokens**2), 16), 256)


def can_compile(device: torch.device) -> bool:
    """Whether `torch.compile` works here: it needs a C++ compiler and Python's headers."""
    if device.type == "mps":
        return False
    try:
        torch.compile(lambda x: x.sin() + 1)(torch.ones(2, device=device))
    except Exception:  # whatever is missing, the answer is no
        return False
    return True


def describe_hardware(device: torch.device) -> str:
    """A few words for a model card."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "mps":
        return f"Apple GPU ({platform.machine()})"
    # a container may use fewer cores than its host has
    allowed = getattr(os, "sched_getaffinity", None)
    cores = len(allowed(0)) if allowed else os.cpu_count()
    features = " with AMX" if torch.cpu._is_amx_tile_supported() else ""
    return f"{cores} {platform.machine()} CPU cores{features}"
