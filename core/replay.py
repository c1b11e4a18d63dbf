"""What a few fixed images looked like to the model after every epoch of its training."""

import numpy as np
import torch

from core.data import ImageSet, open_images
from core.explain import rollout
from core.model import VisionTransformer

IMAGES = 12  # from the sample scenes, and as many from the test set


class Replay:
    """The arrays of `replay.npz`, growing by a frame an epoch. It holds no pixels.

    Attributes:
        arrays: source (24,) "samples" or "test", and index (24,) into that set; epoch (E,) int64;
            and float16 cls_maps (E, 24, H, gh, gw) of the last layer, rollout (E, 24, gh, gw),
            probabilities (E, 24, classes).
    """

    def __init__(self, model: VisionTransformer, test_set: ImageSet):
        samples = open_images("samples", model.config.image_size)
        chosen = [
            ("samples", samples, _spread(len(samples))),
            ("test", test_set, _spread(len(test_set))),
        ]
        self.model = model
        self.images = model.prepare(np.concatenate([s.images[index] for _, s, index in chosen]))
        self.arrays = {
            "source": np.concatenate([np.repeat(name, len(index)) for name, _, index in chosen]),
            "index": np.concatenate([index for _, _, index in chosen]),
        }

    def take_over(self, arrays: dict[str, np.ndarray], epochs: int) -> None:
        """Begin with the frames of an earlier sitting, up to and including epoch `epochs`."""
        frames = arrays["epoch"] <= epochs
        for name, values in arrays.items():
            if name not in self.arrays:
                self.arrays[name] = values[frames]

    def add(self, epoch: int) -> None:
        """Append what the model makes of the images now."""
        for name, frame in {"epoch": np.array(epoch), **self._frame()}.items():
            earlier = [self.arrays[name]] if name in self.arrays else []
            self.arrays[name] = np.concatenate([*earlier, frame[None]])

    @torch.inference_mode()
    def _frame(self) -> dict[str, np.ndarray]:
        self.model.eval()
        prefix, grid = self.model.config.prefix, self.model.config.grid
        logits, attention = self.model(self.images, return_attention=True)
        maps = {
            "cls_maps": attention[:, -1, :, 0, prefix:].unflatten(-1, grid),  # (24, H, gh, gw)
            "rollout": rollout(attention, prefix).unflatten(-1, grid),  # (24, gh, gw)
            "probabilities": logits.softmax(dim=-1),  # (24, classes)
        }
        return {name: values.cpu().numpy().astype(np.float16) for name, values in maps.items()}


def _spread(count: int) -> np.ndarray:
    """At most `IMAGES` positions, evenly spread over a set of `count`."""
    return np.unique(np.linspace(0, count - 1, IMAGES).astype(np.int64))
