import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch
from reference import as_tutorial, forward, make_model, make_pictures

from core.model import VisionTransformer, ViTConfig, sincos_positions


def test_the_default_is_the_tutorials_model():
    model = VisionTransformer()
    assert sum(weights.numel() for weights in model.parameters()) == 2_209_674
    config = model.config
    assert (config.grid, config.prefix, config.tokens) == ((4, 4), 1, 17)
    assert model.patch_embedding.positions.shape == (17, 128)
    logits, attention = model(torch.zeros(2, 3, 32, 32), return_attention=True)
    assert logits.shape == (2, 10)
    assert attention.shape == (2, 12, 4, 17, 17)


def test_initial_weights():
    model = VisionTransformer()
    for name, weights in model.state_dict().items():
        if name.endswith(("cls_token", "positions")):
            assert weights.std() == pytest.approx(1, abs=0.2)
        elif name.endswith("bias"):
            assert (weights == 0).all()
        elif "norm" in name:
            assert (weights == 1).all()
        else:
            assert weights.std() == pytest.approx(0.02, abs=0.002)
            assert weights.abs().max() <= 2


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"output_projection": True},
        {"patch_embedding": "conv", "positions": "sincos"},
        {"channels": 1, "mean": (0.5,), "std": (0.5,), "layers": 1, "heads": 1},
        {"image_size": 12, "heads": 4, "classes": 1},
    ],
    ids=lambda settings: ", ".join(settings) or "tutorial",
)
def test_forward_agrees_with_plain_loops(settings):
    model = make_model(**settings)
    config = model.config
    images = torch.randn(2, config.channels, config.image_size, config.image_size)
    logits, attention = model(images, return_attention=True)
    expected = forward(as_tutorial(model), images.numpy(), config.heads, config.patch_size)
    np.testing.assert_allclose(logits, expected[0], atol=1e-5)
    np.testing.assert_allclose(attention, expected[1], atol=1e-5)


def test_linear_patches_are_flattened_by_row_column_channel():
    model = make_model()
    projection = model.patch_embedding.projection  # (D, 4·4·3)
    projection.weight.zero_()
    row, column, channel = 2, 1, 2
    projection.weight[0, (row * 4 + column) * 3 + channel] = 1
    images = torch.zeros(1, 3, 8, 8)
    images[0, channel, 4 + row, column] = 7  # in the third patch of four: row 1, column 0
    seen = model.patch_embedding(images) - model.patch_embedding(torch.zeros(1, 3, 8, 8))
    expected = torch.zeros(1, 5, 8)
    expected[0, 3, 0] = 7
    torch.testing.assert_close(seen, expected)


def test_conv_embedding_is_the_linear_one_with_permuted_weights():
    linear, conv = make_model(), make_model(patch_embedding="conv")
    state = linear.state_dict()
    weights = state["patch_embedding.projection.weight"]
    weights = weights.reshape(8, 4, 4, 3).permute(0, 3, 1, 2)  # (D, C, row, column)
    conv.load_state_dict({**state, "patch_embedding.projection.weight": weights})
    images = torch.randn(3, 3, 8, 8)
    torch.testing.assert_close(conv(images), linear(images))


def test_sincos_positions():
    config = ViTConfig(positions="sincos", image_size=20, patch_size=4, width=12)
    positions = sincos_positions(config)
    assert positions.shape == (26, 12)
    assert (positions[0] == 0).all()
    # sine and cosine of every frequency: each place has norm² D/2
    torch.testing.assert_close((positions[1:] ** 2).sum(dim=1), torch.full((25,), 6.0))
    assert torch.pdist(positions).min() > 0.1
    y, x = 3, 1
    frequencies = [1, 10000**-0.5, 10000**-1]
    expected = [f(place * w) for place in (x, y) for f in (math.sin, math.cos) for w in frequencies]
    np.testing.assert_allclose(positions[1 + 5 * y + x], expected, atol=1e-6)
    model = VisionTransformer(config)
    assert not any("positions" in name for name, _ in model.named_parameters())


def test_attention_rows_sum_to_one_and_asking_for_them_changes_nothing():
    model = make_model(image_size=16)
    images = torch.randn(4, 3, 16, 16) * 5
    logits, attention = model(images, return_attention=True)
    assert (attention >= 0).all()
    torch.testing.assert_close(attention.sum(-1), torch.ones(4, 3, 2, 17))
    assert torch.equal(logits, model(images))


def test_patches_that_are_left_out_have_no_say():
    model = VisionTransformer(ViTConfig(layers=2)).eval()
    images = torch.randn(2, 3, 32, 32)
    patches = torch.tensor([[0, 5, 15], [15, 1, 2]])
    logits, attention = model(images, return_attention=True, patches=patches)
    assert attention.shape == (2, 2, 4, 4, 4)
    blank = torch.randn(2, 3, 32, 32)
    for image, kept in enumerate(patches):
        for patch in kept.tolist():
            rows, columns = (slice(8 * i, 8 * i + 8) for i in divmod(patch, 4))
            blank[image, :, rows, columns] = images[image, :, rows, columns]
    torch.testing.assert_close(model(blank, patches=patches), logits)
    assert not torch.allclose(model(blank), model(images))
    every = torch.arange(16).expand(2, -1)
    torch.testing.assert_close(model(images, patches=every), model(images))


def test_threads_share_a_model():
    model = make_model(image_size=16, width=16)
    batches = [torch.randn(8, 3, 16, 16) for _ in range(12)]
    alone = [model(images, return_attention=True) for images in batches]
    with ThreadPoolExecutor(2) as threads:
        together = list(threads.map(lambda x: model(x, return_attention=True), batches))
    for (logits, attention), (logits_2, attention_2) in zip(alone, together):
        torch.testing.assert_close(logits, logits_2, rtol=0, atol=1e-6)
        torch.testing.assert_close(attention, attention_2, rtol=0, atol=1e-6)


def test_prepare_scales_pictures():
    model = make_model()
    pictures = make_pictures(3)
    prepared = model.prepare(pictures)
    expected = (pictures / 255 - [0.4, 0.5, 0.6]) / [0.2, 0.25, 0.3]
    np.testing.assert_allclose(prepared, expected.transpose(0, 3, 1, 2), atol=1e-6)
    assert prepared.dtype == torch.float32
    assert torch.equal(model.prepare(torch.from_numpy(pictures)), prepared)
    assert torch.equal(model.prepare(prepared), prepared)
    assert torch.equal(model.prepare(prepared.numpy()), prepared)


def test_prepare_leaves_the_pictures_alone():
    pictures = make_pictures(2)
    pictures.flags.writeable = False
    before = pictures.copy()
    make_model().prepare(pictures).zero_()
    assert (pictures == before).all()


@pytest.mark.parametrize(
    "images",
    [
        make_pictures(2, size=9),
        make_pictures(2)[0],
        make_pictures(2)[:, :4],
        torch.zeros(2, 8, 8, 3),
        torch.zeros(3, 8, 8),
        make_pictures(2, channels=4),
        make_pictures(2, channels=1),
    ],
    ids=["size", "one picture", "oblong", "channels last", "no batch", "RGBA", "grey"],
)
def test_prepare_refuses_other_shapes(images):
    with pytest.raises(ValueError, match="8×8 images of 3 channels"):
        make_model().prepare(images)


@pytest.mark.parametrize(
    ("field", "settings"),
    [
        ("image_size", {"image_size": 0}),
        ("patch_size", {"patch_size": 5}),
        ("patch_size", {"patch_size": 64}),
        ("channels", {"channels": 1}),
        ("classes", {"classes": 0}),
        ("width", {"width": 128.0}),
        ("layers", {"layers": -1}),
        ("heads", {"heads": 3}),
        ("mlp_width", {"mlp_width": 0}),
        ("patch_embedding", {"patch_embedding": "hybrid"}),
        ("positions", {"positions": "rotary"}),
        ("positions", {"positions": "sincos", "width": 6, "heads": 2}),
        ("mean", {"mean": (0.5,)}),
        ("dropout", {"dropout": 1.5}),
        ("dropout", {"dropout": -0.1}),
        ("stochastic_depth", {"stochastic_depth": 1.5}),
        ("stochastic_depth", {"stochastic_depth": -0.1}),
    ],
)
def test_impossible_configs_name_their_field(field, settings):
    with pytest.raises(ValueError, match=field):
        ViTConfig(**settings)


def test_config_from_lists_equals_config_from_tuples():
    assert ViTConfig(mean=[0.5, 0.5, 0.5]) == ViTConfig()
    assert hash(ViTConfig(mean=[0.5, 0.5, 0.5])) == hash(ViTConfig())


def test_regularisation_is_off_in_eval():
    model = make_model(dropout=0.5, stochastic_depth=0.5)
    plain = VisionTransformer(replace(model.config, dropout=0.0, stochastic_depth=0.0)).eval()
    plain.load_state_dict(model.state_dict())
    images = torch.randn(4, 3, 8, 8)
    assert torch.equal(model(images), plain(images))
    assert not torch.equal(model.train()(images), plain(images))


def test_stochastic_depth_skips_whole_images_and_keeps_the_mean():
    model = make_model(stochastic_depth=0.6).train()
    assert [block.drop_rate for block in model.blocks] == pytest.approx([0, 0.3, 0.6])
    update = torch.ones(4000, 5, 8)
    dropped = model.blocks[2].drop_path(update)
    per_image = dropped[:, :1, :1]
    assert torch.equal(dropped, per_image.expand_as(dropped))
    assert per_image.unique().tolist() == pytest.approx([0, 1 / 0.4])
    assert dropped.mean() == pytest.approx(1, abs=0.1)
    assert torch.equal(model.blocks[0].drop_path(update), update)


def test_fingerprint_changes_with_a_weight_and_with_a_setting():
    model, twin = make_model(), make_model()
    assert model.fingerprint() == twin.fingerprint()
    assert len(model.fingerprint()) == 16
    twin.blocks[1].norm2.bias[3] += 1e-6
    assert model.fingerprint() != twin.fingerprint()
    assert model.fingerprint() != make_model(mean=(0.5, 0.5, 0.6)).fingerprint()
