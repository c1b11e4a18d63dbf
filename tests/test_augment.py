"""Every picture in its own way, and never more than was asked for."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core.augment import Augmentation

CLASSES = 10


def make_batch(count=64, size=32):
    """Noise, every picture of the class that is its number modulo ten."""
    images = torch.rand(count, 3, size, size) * 2 - 1
    return images, torch.eye(CLASSES)[torch.arange(count) % CLASSES]


def test_by_default_nothing_happens():
    images, targets = make_batch()
    same_images, same_targets = Augmentation()(images, targets)
    assert same_images is images
    assert same_targets is targets


@pytest.mark.parametrize(
    "augmentation",
    [
        Augmentation(crop=4),
        Augmentation(mirror=True),
        Augmentation(colour=0.3),
        Augmentation(erase=8),
        Augmentation(cutmix=1.0),
        Augmentation(mixup=1.0),
    ],
    ids=lambda augmentation: repr(augmentation)[13:],
)
def test_it_draws_anew_for_every_picture_and_again_after_the_same_seed(augmentation):
    image, target = (values[:1] for values in make_batch())
    images, targets = image.repeat(64, 1, 1, 1), target.repeat(64, 1)
    others, other_targets = make_batch()
    images[::2], targets[::2] = others[:1], other_targets[1:2]  # two pictures, for the mixers
    torch.manual_seed(1)
    first, _ = augmentation(images, targets)
    torch.manual_seed(1)
    again, _ = augmentation(images, targets)
    assert torch.equal(first, again)
    assert len(first[1::2].flatten(1).unique(dim=0)) > 1
    assert first.shape == images.shape
    assert first.dtype == images.dtype


def test_a_crop_is_a_shifted_picture_mirrored_in_at_the_border():
    ramp = torch.arange(32.0).expand(100, 3, 32, 32)  # a pixel's value is its column
    cropped, _ = Augmentation(crop=3)(ramp, None)
    shifts = cropped[:, 0, 0, 16] - 16
    assert shifts.unique().tolist() == [-3, -2, -1, 0, 1, 2, 3]
    for picture, shift in zip(cropped[:, 0, 0], shifts):
        expected = torch.arange(32.0) + shift
        expected = torch.where(expected > 31, 62 - expected, expected.abs())
        assert torch.equal(picture, expected)


def test_a_mirrored_picture_is_the_picture_or_its_mirror_image():
    images, _ = make_batch(200)
    mirrored, _ = Augmentation(mirror=True)(images, None)
    same = (mirrored == images).flatten(1).all(dim=1)
    flipped = (mirrored == images.flip(3)).flatten(1).all(dim=1)
    assert (same ^ flipped).all()
    assert 60 < flipped.sum() < 140


def test_colour_keeps_a_grey_picture_grey_and_the_order_of_its_tones():
    grey = torch.linspace(-1, 1, 32 * 32).view(1, 1, 32, 32).expand(20, 3, 32, 32)
    recoloured, _ = Augmentation(colour=0.4)(grey, None)
    torch.testing.assert_close(recoloured, recoloured[:, :1].expand_as(recoloured))
    assert (recoloured[:, 0].flatten(1).diff(dim=1) > 0).all()
    assert (recoloured.mean(dim=(1, 2, 3)).abs() <= 0.4).all()


def test_erasing_paints_one_square_with_the_mean_colour():
    erased, _ = Augmentation(erase=8)(torch.ones(300, 3, 32, 32), None)
    holes = (erased == 0).all(dim=1).flatten(1).sum(dim=1)
    assert holes.max() == 64
    assert holes.min() >= 9  # a corner's: its centre lies on the picture


@given(share=st.floats(0.01, 1.0), seed=st.integers(0, 1000))
@settings(max_examples=25, deadline=None)
def test_cutmix_pays_for_what_it_takes(share, seed):
    """The target's weights are the shares of pixels, exactly."""
    torch.manual_seed(seed)
    colours = torch.arange(8.0).view(8, 1, 1, 1).expand(8, 3, 32, 32)
    mixed, targets = Augmentation(cutmix=share)(colours, torch.eye(8))
    shares = torch.stack([(mixed[:, 0] == i).float().mean(dim=(1, 2)) for i in range(8)], dim=1)
    torch.testing.assert_close(targets, shares)


def test_mixup_blends_pictures_as_it_blends_targets():
    colours = torch.arange(8.0).view(8, 1, 1, 1).expand(8, 3, 32, 32)
    mixed, targets = Augmentation(mixup=1.0)(colours, torch.eye(8))
    torch.testing.assert_close(mixed[:, 0, 0, 0], targets @ torch.arange(8.0))
    assert (targets.amax(dim=1) >= 0.5).all()
    torch.testing.assert_close(targets.sum(dim=1), torch.ones(8))


def test_a_share_is_of_the_pictures():
    images, targets = make_batch(2000)
    for name in ("cutmix", "mixup"):
        _, mixed = Augmentation(**{name: 0.25})(images, targets)
        touched = (mixed != targets).any(dim=1).float().mean()
        assert 0.15 < touched < 0.30
