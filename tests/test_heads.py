import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from reference import as_tutorial, make_model, make_pictures, random_attention

from core.attention import cls_maps, extract
from core.data import image_set
from core.errors import WriteError
from core.heads import (
    agreement,
    attention_distance,
    cls_entropy,
    entropy,
    measure_heads,
    patch_filters,
    position_similarity,
)


def slow_distance(attention, grid, side):
    """(T, T), patches last, in plain loops."""
    rows, columns = grid
    places = [(side * (r + 0.5), side * (c + 0.5)) for r in range(rows) for c in range(columns)]
    prefix = len(attention) - len(places)
    means = []
    for i, here in enumerate(places):
        row = attention[prefix + i][prefix:]
        reach = sum(a * math.dist(here, there) for a, there in zip(row, places))
        means.append(reach / sum(row))
    return sum(means) / len(means)


def test_distance_of_known_attention():
    uniform = np.full((17, 17), 1 / 17)
    assert attention_distance(uniform, (4, 4), 8) == pytest.approx(16.064, abs=1e-3)
    assert attention_distance(uniform, (4, 4), 8) / 8 == pytest.approx(2.008, abs=1e-3)
    assert attention_distance(torch.eye(17), (4, 4), 8) == 0
    all_on_cls = torch.zeros(17, 17)
    all_on_cls[:, 0] = 1
    assert attention_distance(all_on_cls, (4, 4), 8) == 0
    mirrored = np.eye(5)[[0, 2, 1, 4, 3]]  # each of 2 x 2 looks at the one beside it
    assert attention_distance(mirrored, (2, 2), 8) == 8


@pytest.mark.parametrize(("grid", "prefix"), [((2, 3), 1), ((3, 3), 1), ((1, 4), 2)])
def test_distance_agrees_with_plain_loops(grid, prefix):
    count = grid[0] * grid[1] + prefix
    attention = random_attention(2, 3, 2, count, count)
    found = attention_distance(torch.from_numpy(attention), grid, 4)
    assert found.shape == (2, 3, 2)
    for place in np.ndindex(2, 3, 2):
        expected = slow_distance(attention[place].tolist(), grid, 4)
        assert found[place].item() == pytest.approx(expected, rel=1e-5)


def test_entropy_of_known_rows():
    assert entropy(np.full((1, 16), 1 / 16)) == pytest.approx(2.7726, abs=1e-4)
    assert entropy(torch.eye(4)) == 0
    assert entropy([[0.5, 0.25, 0.25]]) == pytest.approx(1.5 * math.log(2))
    attention = random_attention(2, 3, 5, 5)
    expected = [
        [np.mean([-sum(a * math.log(a) for a in row if a) for row in head]) for head in image]
        for image in attention.tolist()
    ]
    np.testing.assert_allclose(entropy(attention), expected, atol=1e-5)


@settings(max_examples=50, deadline=None)
@given(arrays(np.float64, (4, 7), elements=st.floats(0, 1)))
def test_entropy_is_between_zero_and_ln_n(rows):
    rows[:, 0] += 1e-3
    found = entropy(rows / rows.sum(axis=1, keepdims=True))
    assert -1e-12 <= found <= math.log(7) + 1e-12


def test_cls_entropy_leaves_out_what_cls_gives_to_itself():
    patches = np.zeros((3, 2, 16), np.float16)
    patches[0] = 1 / 32  # half of it stays on CLS
    patches[1, :, 5] = 0.25  # all the rest on one patch
    patches[2, 0] = 1 / 32
    patches[2, 1, :2] = 0.125
    expected = [math.log(16), 0, (math.log(16) + math.log(2)) / 2]
    np.testing.assert_allclose(cls_entropy(patches), expected, atol=1e-12)


@pytest.mark.filterwarnings("ignore:invalid value")
def test_cls_entropy_of_a_head_that_looks_at_no_patch():
    """In float16 a head that keeps everything on CLS leaves zeros; that is no reason for NaN."""
    patches = np.zeros((1, 2, 16), np.float16)
    patches[0, 1] = 1 / 32
    (entropy,) = cls_entropy(patches)
    assert 0 <= entropy <= math.log(16)


# --- A whole set ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pictures():
    return image_set("Nine", make_pictures(9), None, ("a",))


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("VITASCOPE_CACHE", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("batch_size", [None, 2])
def test_measures_of_a_set(pictures, own_cache, batch_size):
    model = make_model()
    seen = []
    found = measure_heads(
        model, pictures, batch_size=batch_size, progress=lambda *step: seen.append(step)
    )
    assert seen[-1] == (9, 9)
    attention = extract(model, pictures.images)
    np.testing.assert_allclose(found.distance, attention_distance(attention, (2, 2), 4), rtol=1e-4)
    np.testing.assert_allclose(found.entropy, entropy(attention), rtol=1e-4)
    np.testing.assert_allclose(found.cls_to_cls, attention[..., 0, 0], rtol=1e-4)
    for values in vars(found).values():
        assert values.shape == (9, 3, 2)
        assert values.dtype == np.float32
        assert isinstance(values, np.memmap)


@pytest.mark.parametrize("projected", [False, True])
def test_a_heads_strength_is_what_knocking_it_out_takes_away(pictures, own_cache, projected):
    """What CLS loses in the last layer when a head is off has the length of the head's output."""
    model = make_model(output_projection=projected)
    for parameter in model.blocks[-1].mlp.parameters():
        parameter.zero_()  # so that the block adds what its heads say, and nothing else
    kept = {}
    model.norm.register_forward_pre_hook(lambda _, x: kept.update(cls=x[0]))
    images = model.prepare(pictures.images)
    model(images)
    before = kept["cls"]
    strength = measure_heads(model, pictures).strength
    for head in range(2):
        keep = torch.ones(3, 2, dtype=torch.bool)
        keep[-1, head] = False
        model(images, keep=keep)
        lost = (before - kept["cls"]).norm(dim=-1)
        np.testing.assert_allclose(strength[:, -1, head], lost, rtol=1e-4)


def test_measures_are_kept(pictures, own_cache, monkeypatch):
    first = measure_heads(make_model(), pictures)

    def refuse(*arguments):
        raise AssertionError("the model was run again")

    monkeypatch.setattr("core.model.VisionTransformer.prepare", refuse)
    second = measure_heads(make_model(), pictures)
    np.testing.assert_array_equal(first.distance, second.distance)
    with pytest.raises(AssertionError, match="run again"):
        measure_heads(make_model(seed=1), pictures)


def test_a_full_disk_is_told_and_leaves_nothing(pictures, own_cache, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("numpy.lib.format.write_array_header_1_0", full)
    with pytest.raises(WriteError, match="No space left"):
        measure_heads(make_model(), pictures)
    assert list((own_cache / "heads").iterdir()) == []


def test_agreement_of_heads(pictures):
    rows = cls_maps(make_model(), pictures.images).reshape(9, 3, 2, 4)
    chosen = np.array([1, 4, 8])
    found = agreement(rows, chosen)
    for a, b in np.ndindex(6, 6):
        first, second = rows.reshape(9, 6, 4)[chosen][:, [a, b]].transpose(1, 0, 2)
        cosines = [
            np.dot(x, y) / math.sqrt(np.dot(x, x) * np.dot(y, y)) for x, y in zip(first, second)
        ]
        assert found[a, b] == pytest.approx(np.mean(cosines), abs=1e-5)
    np.testing.assert_allclose(found.diagonal(), 1, atol=1e-5)


# --- The embeddings ---------------------------------------------------------------------------


def test_similarity_of_positions():
    model = make_model(image_size=12)
    positions = model.patch_embedding.positions[1:].numpy()
    found = position_similarity(model)
    assert found.shape == (3, 3, 3, 3)
    for i, j in np.ndindex(9, 9):
        a, b = positions[i], positions[j]
        cosine = np.dot(a, b) / math.sqrt(np.dot(a, a) * np.dot(b, b))
        assert found[divmod(i, 3)][divmod(j, 3)] == pytest.approx(cosine, abs=1e-5)


@pytest.mark.parametrize("embedding", ["linear", "conv"])
def test_filters_are_principal_components(embedding):
    model = make_model(width=32, patch_embedding=embedding)
    state = as_tutorial(model)["patchembedding.projection.1.weight"]  # (D, P*P*C)
    centred = state - state.mean(axis=0)
    filters, shares = patch_filters(model, 5)
    assert filters.shape == (5, 4, 4, 3)
    covariance = centred.T @ centred
    for filter, share in zip(filters.reshape(5, -1), shares):
        assert np.linalg.norm(filter) == pytest.approx(1, abs=1e-5)
        assert filter[np.abs(filter).argmax()] > 0
        # an eigenvector of the covariance, its share an eigenvalue's
        expected = share * np.trace(covariance) * filter
        np.testing.assert_allclose(covariance @ filter, expected, rtol=1e-3, atol=1e-3)
    assert (np.diff(shares) <= 0).all()
    everything = patch_filters(model, 1000)[1]
    assert everything.sum() == pytest.approx(1, abs=1e-5)
