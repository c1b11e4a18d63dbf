"""Pictures varied at random, a whole batch of tensors at a time but every picture in its own way.

torchvision's transforms draw once for a whole batch, or work on one picture at a time in Python;
both cost a small ViT more than they give.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F


@dataclass(frozen=True)
class Augmentation:
    """What may happen to a picture while a model learns from it; by default nothing.

    Call it with images (B, C, S, S) float, normalised, and targets (B, classes), which sum to 1;
    it returns both anew. It draws from torch's global generator.
    """

    crop: int = 0  # pixels that a picture may shift along either axis; mirrored in at the border
    mirror: bool = False  # left to right, every second picture
    colour: float = 0.0  # brightness, contrast and saturation change by up to this share
    erase: int = 0  # pixels a side of a square that is painted over with the mean colour
    cutmix: float = 0.0  # share of pictures with a rectangle of another (Yun et al. 2019)
    mixup: float = 0.0  # share of pictures blended with another (Zhang et al. 2018)

    def __call__(self, images: torch.Tensor, targets: torch.Tensor):
        if self.crop or self.mirror:
            images = _shift_and_mirror(images, self.crop, self.mirror)
        if self.colour:
            images = _recolour(images, self.colour)
        if self.cutmix:
            images, targets = _cutmix(images, targets, self.cutmix)
        if self.mixup:
            images, targets = _mixup(images, targets, self.mixup)
        if self.erase:
            images = _erase(images, self.erase)
        return images, targets


def _shift_and_mirror(images, pixels, mirror):
    count, channels, size, _ = images.shape
    span = torch.arange(size, device=images.device)
    shift = torch.randint(0, 2 * pixels + 1, (2, count, 1), device=images.device)
    rows, columns = shift + span  # (B, S) each, positions in the padded picture
    if mirror:
        flipped = torch.rand(count, 1, device=images.device) < 0.5
        columns = torch.where(flipped, columns.flip(1), columns)
    padded = F.pad(images, (pixels,) * 4, mode="reflect")  # (B, C, S + 2 pixels, S + 2 pixels)
    width = padded.shape[-1]
    positions = rows[:, :, None] * width + columns[:, None, :]  # (B, S, S)
    positions = positions.view(count, 1, -1).expand(-1, channels, -1)
    return padded.flatten(2).gather(2, positions).view_as(images)


def _recolour(images, strength):
    """Brightness, contrast about the picture's mean, and saturation about its grey.

    The images are normalised: a share of brightness is a share of the standard deviation that the
    normalisation divides by.
    """
    draw = torch.rand(3, len(images), 1, 1, 1, device=images.device) * 2 - 1
    brightness, contrast, saturation = draw * strength
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    grey = images.mean(dim=1, keepdim=True)
    images = grey + (images - grey) * (1 + saturation)
    return mean + (images - mean) * (1 + contrast) + brightness


def _rectangles(size, height, width, device):
    """True inside a rectangle (B, 1, S, S) of the given sides (B,) around a random centre."""
    centre = torch.rand(2, len(height), device=device) * size
    span = torch.arange(size, device=device) + 0.5
    inside_rows = (span - centre[0, :, None]).abs() < height[:, None] / 2  # (B, S)
    inside_columns = (span - centre[1, :, None]).abs() < width[:, None] / 2  # (B, S)
    return (inside_rows[:, :, None] & inside_columns[:, None, :])[:, None]


def _erase(images, side):
    sides = torch.full((len(images),), float(side), device=images.device)
    hole = _rectangles(images.shape[-1], sides, sides, images.device)
    return images.masked_fill(hole, 0.0)  # normalised: zero is the mean colour


def _cutmix(images, targets, share):
    count, device = len(images), images.device
    side = torch.rand(count, device=device).sqrt() * images.shape[-1]  # its area is uniform
    side = side * (torch.rand(count, device=device) < share)
    rectangle = _rectangles(images.shape[-1], side, side, device)  # (B, 1, S, S)
    images = torch.where(rectangle, images.roll(1, 0), images)
    taken = rectangle.flatten(1).float().mean(dim=1, keepdim=True)  # (B, 1)
    return images, targets.lerp(targets.roll(1, 0), taken)


def _mixup(images, targets, share):
    count, device = len(images), images.device
    weight = torch.rand(count, 1, device=device) * 0.5  # of the other picture
    weight = weight * (torch.rand(count, 1, device=device) < share)
    images = images.lerp(images.roll(1, 0), weight[:, :, None, None])
    return images, targets.lerp(targets.roll(1, 0), weight)
