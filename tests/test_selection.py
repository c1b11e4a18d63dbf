import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import random_attention

from core.amplify import amplify
from core.selection import (
    ORDERS,
    OUTCOMES,
    mean_of,
    most_similar,
    same_answer,
    same_class,
    select,
    verdicts,
)


def naive(labels, probabilities, entropy, classes, outcome, order):
    """The same, one image at a time."""
    keys = []
    for i, (label, row) in enumerate(zip(labels, probabilities)):
        predicted = max(range(len(row)), key=lambda c: (row[c], -c))
        known = label >= 0
        if classes and (label if known else predicted) not in classes:
            continue
        if outcome == "correct" and not (known and predicted == label):
            continue
        if outcome == "wrong" and not (known and predicted != label):
            continue
        key = {
            "data set": i,
            "most sure": -row[predicted],
            "least sure": row[predicted],
            "most wrong": -(row[predicted] - row[label]) if known else 0,
            "attention entropy": -entropy[i],
        }[order]
        keys.append((key, i))
    return [i for _, i in sorted(keys)]


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.integers(-1, 3), max_size=20),
    st.integers(0, 99),
    st.lists(st.integers(0, 3), max_size=3),
    st.sampled_from(OUTCOMES),
    st.sampled_from(ORDERS),
)
def test_agrees_with_one_image_at_a_time(labels, seed, classes, outcome, order):
    labels = np.array(labels, np.int64)
    # rounded, so that there are ties
    probabilities = random_attention(len(labels), 4, seed=seed).round(1)
    entropy = np.random.default_rng(seed).integers(0, 3, len(labels)).astype(float)
    found = select(
        verdicts(labels, probabilities, entropy), classes=classes, outcome=outcome, order=order
    )
    expected = naive(labels, probabilities, entropy, classes, outcome, order)
    assert found.tolist() == expected
    assert found.dtype == np.int64


def test_verdicts():
    probabilities = np.array([[0.7, 0.3], [0.6, 0.4], [0.2, 0.8]], np.float32)
    found = verdicts(np.array([0, 1, -1]), probabilities)
    assert found.predicted.tolist() == [0, 0, 1]
    assert found.confidence.tolist() == pytest.approx([0.7, 0.6, 0.8])
    assert found.margin.tolist() == pytest.approx([0, 0.2, 0])
    assert found.margin.dtype == np.float32
    assert found.known.tolist() == [True, True, False]
    assert found.correct.tolist() == [True, False, False]
    assert select(found).tolist() == [0, 1, 2]
    assert select(found, classes=[1]).tolist() == [1, 2]
    assert select(found, order="most wrong").tolist() == [1, 0, 2]


@pytest.mark.parametrize("choice", [{"outcome": "right"}, {"order": "random"}])
def test_unknown_choices_are_refused(choice):
    with pytest.raises((ValueError, KeyError)):
        select(verdicts(np.array([0]), np.ones((1, 2), np.float32)), **choice)


def test_other_images_like_one():
    labels = np.array([0, 0, 1, 0, -1, -1])
    predicted = np.array([0, 1, 1, 1, 1, 1])
    probabilities = np.eye(2)[predicted]
    columns = verdicts(labels, probabilities)
    assert same_answer(columns, 1).tolist() == [3]
    assert same_answer(columns, 0).tolist() == []
    assert same_answer(columns, 4).tolist() == [5]  # no label, the same prediction
    assert same_class(columns, 1).tolist() == [0, 3]
    assert same_class(columns, 2).tolist() == [4, 5]


def test_similar_maps_are_those_of_the_smallest_angle():
    maps = np.array([[1, 0], [0, 1], [3, 1], [9, 0], [0, 0], [1, 1]], np.float16)
    assert most_similar(maps, 0, 10).tolist() == [3, 2, 5, 1, 4]  # however long they are
    assert most_similar(maps, 0, 2).tolist() == [3, 2]


def test_the_mean_of_more_images_than_are_in_memory_at_once():
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (2500, 4, 4, 3), np.uint8)
    rows = generator.random((2500, 2, 3, 4)).astype("f2")
    positions = generator.permutation(2500)[:2100]
    mean = mean_of(images, rows, positions, (2, 2), gain=3)
    assert mean.count == 2100
    expected = images[positions].astype(float).mean(axis=0) / 255
    np.testing.assert_allclose(mean.image, expected, rtol=1e-6)
    maps = rows[:, 1].astype(float).mean(axis=1).reshape(-1, 2, 2)
    expected = rows[positions, 1].astype(float).mean(axis=(0, 1)).reshape(2, 2)
    np.testing.assert_allclose(mean.grid, expected, rtol=1e-5)
    each = [amplify(m, i, gain=3).amplified for m, i in zip(maps[positions], images[positions])]
    np.testing.assert_allclose(mean.amplified, np.mean(each, axis=0), atol=1e-5)
    assert mean.image.dtype == mean.grid.dtype == mean.amplified.dtype == np.float32
