"""What a few fixed images looked like to the model after every epoch of its training."""

from dataclasses import dataclass

import numpy as np
import torch

from core.data import ImageSet, open_images
from core.errors import InputError
from core.explain import rollout
from core.model import VisionTransformer

IMAGES = 12  # from the sample scenes, and as many from the test set
METHODS = ("attention", "rollout")  # of the maps that are kept


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


@dataclass(frozen=True, eq=False)
class Frame:
    """What the n fixed images of one source looked like after one epoch, in float32.

    Attributes:
        index: (n,) positions of the images in their set.
        cls_maps: (n, H, gh, gw) of the last layer.
        rollout: (n, gh, gw)
        probabilities: (n, classes)
    """

    index: np.ndarray
    cls_maps: np.ndarray
    rollout: np.ndarray
    probabilities: np.ndarray

    def maps(self, method: str, head: int | None = None) -> np.ndarray:
        """(n, gh, gw) by "rollout", or by "attention": of a head, from 0, or the heads' mean.

        Raises:
            InputError: no maps of that method are kept.
        """
        if method not in METHODS:
            raise InputError(f"A replay holds maps by {' and '.join(METHODS)}, not by {method}.")
        if method == "rollout":
            return self.rollout
        return self.cls_maps.mean(axis=1) if head is None else self.cls_maps[:, head]


def frame_of(arrays: dict[str, np.ndarray], epoch: int, source: str) -> Frame:
    """One frame of a run's replay.

    Args:
        arrays: as in `Replay`.
        epoch: one that `kept_frame` gives.
        source: "samples" or "test".
    """
    frame = np.flatnonzero(arrays["epoch"] == epoch)[0]
    rows = np.flatnonzero(arrays["source"] == source)
    grown = ("cls_maps", "rollout", "probabilities")
    return Frame(
        arrays["index"][rows], *(arrays[name][frame, rows].astype(np.float32) for name in grown)
    )


def kept_frame(arrays: dict[str, np.ndarray] | None, epoch: int) -> int:
    """The newest epoch up to `epoch` of which there is a frame; 0 where there is none."""
    epochs = [] if arrays is None else arrays["epoch"]
    return int(max((known for known in epochs if known <= epoch), default=0))


def _spread(count: int) -> np.ndarray:
    """At most `IMAGES` positions, evenly spread over a set of `count`."""
    return np.unique(np.linspace(0, count - 1, IMAGES).astype(np.int64))
