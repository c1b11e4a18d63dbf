import numpy as np
import pytest
from reference import make_model
from reference import rollout as slow_rollout

from core.attention import cls_maps, extract
from core.data import image_set
from core.errors import InputError
from core.evaluate import predict
from core.replay import Replay, frame_of, kept_frame


@pytest.fixture
def model():
    return make_model(image_size=32, patch_size=8, classes=10)


@pytest.fixture
def test_set(samples):
    return image_set("test", samples.images[::-1][:90], samples.labels[:90], samples.classes)


def test_a_frame_is_what_the_model_makes_of_24_fixed_images(model, test_set, samples):
    replay = Replay(model, test_set)
    replay.add(1)
    frame = replay.arrays
    assert frame["source"].tolist() == ["samples"] * 12 + ["test"] * 12
    assert np.unique(frame["index"][:12]).tolist() == frame["index"][:12].tolist()
    assert np.unique(frame["index"][12:]).tolist() == frame["index"][12:].tolist()
    pictures = np.concatenate(
        [samples.images[frame["index"][:12]], test_set.images[frame["index"][12:]]]
    )
    attention = extract(model, pictures).double().numpy()
    for name, expected in {
        "cls_maps": cls_maps(model, pictures)[:, -1],
        "rollout": [slow_rollout(a).reshape(4, 4) for a in attention],
        "probabilities": predict(model, pictures),
    }.items():
        assert frame[name].dtype == np.float16
        np.testing.assert_allclose(frame[name][0], expected, rtol=1e-3, atol=1e-6, err_msg=name)
    # nothing else goes into the file, least of all pictures
    names = {"source", "index", "epoch", "cls_maps", "rollout", "probabilities"}
    assert set(frame) == names


def test_frames_follow_the_model_through_its_training(model, test_set):
    replay = Replay(model, test_set)
    replay.add(1)
    model.head.bias[3] += 20
    replay.add(2)
    arrays = replay.arrays
    assert arrays["epoch"].tolist() == [1, 2]
    assert arrays["cls_maps"].shape == (2, 24, 2, 4, 4)
    assert arrays["rollout"].shape == (2, 24, 4, 4)
    assert arrays["probabilities"].shape == (2, 24, 10)
    np.testing.assert_array_equal(arrays["cls_maps"][0], arrays["cls_maps"][1])
    assert (arrays["probabilities"][1].argmax(axis=1) == 3).sum() > 20


def test_a_resumed_run_takes_over_the_frames_that_count(model, test_set):
    before = Replay(model, test_set)
    for epoch in (1, 2, 3):
        before.add(epoch)
    after = Replay(model, test_set)
    after.take_over(before.arrays, 2)
    assert after.arrays["epoch"].tolist() == [1, 2]
    after.add(3)
    for name, values in before.arrays.items():
        np.testing.assert_array_equal(after.arrays[name], values)


def test_a_small_test_set_gives_what_it_has(model, test_set):
    replay = Replay(model, test_set.sample(5))
    replay.add(1)
    assert replay.arrays["source"].tolist() == ["samples"] * 12 + ["test"] * 5
    assert replay.arrays["index"][12:].tolist() == [0, 1, 2, 3, 4]
    assert replay.arrays["rollout"].shape == (1, 17, 4, 4)


def test_a_hundred_epochs_of_the_tutorials_model_fit_into_5_mb(test_set, tmp_path):
    model = make_model(image_size=32, patch_size=8, heads=4, classes=10)
    replay = Replay(model, test_set)
    generator = np.random.default_rng(0)
    replay.add(1)
    # noise: what compresses worst
    arrays = {
        name: np.abs(generator.normal(size=(100, *values.shape[1:]))).astype(np.float16)
        for name, values in replay.arrays.items()
        if values.dtype == np.float16
    }
    np.savez_compressed(tmp_path / "replay.npz", **arrays)
    assert (tmp_path / "replay.npz").stat().st_size < 5e6


def test_a_frame_is_read_again_by_epoch_source_and_method(model, test_set):
    replay = Replay(model, test_set)
    for epoch in (2, 5):
        replay.add(epoch)
        model.head.bias[epoch] += 20
    assert [kept_frame(replay.arrays, epoch) for epoch in (1, 2, 4, 9)] == [0, 2, 2, 5]
    assert kept_frame(None, 3) == 0
    frame = frame_of(replay.arrays, 5, "test")
    rows = replay.arrays["cls_maps"][1, 12:].astype(np.float32)  # (12, H, gh, gw)
    np.testing.assert_array_equal(frame.maps("attention", 1), rows[:, 1])
    np.testing.assert_allclose(frame.maps("attention"), rows.mean(axis=1))
    np.testing.assert_array_equal(frame.index, replay.arrays["index"][12:])
    assert frame.maps("rollout").shape == (12, 4, 4)
    assert (frame.probabilities.argmax(axis=1) == 2).all()
    with pytest.raises(InputError):
        frame.maps("relevance")
