"""The Attention page's numbers against the core's, for every control."""

import numpy as np
import pytest
from reading import hovers, numbers, panels, panels_of

from core.amplify import amplify
from core.attention import extract

INDEX = 45


@pytest.fixture(scope="module")
def attention(tiny, samples):
    return extract(tiny.model, samples.images[INDEX : INDEX + 1])[0].numpy()  # (L, H, T, T)


def written(values: np.ndarray) -> list[str]:
    return [f"{value:.3f}" for value in values.ravel()]


def test_the_six_steps_follow_layer_head_gain_and_resize(start, samples, attention):
    at = start("attention", index=str(INDEX))

    def check(heads, gain, resize, whose):
        steps = amplify(heads, samples.images[INDEX], gain=gain, resize=resize)
        shown = panels(at, "attention_steps")
        assert numbers(shown[0]) == numbers(shown[1]) == written(steps.average)
        assert shown[0]["shape"] == [1, 16]
        assert shown[1]["shape"] == [4, 4]
        assert shown[5]["caption"] == f"6  × {gain:g}"
        assert f"**The six steps ({whose})**" in [m.value for m in at.markdown]
        result = panels(at, "attention_result")
        assert [panel["caption"] for panel in result] == [
            "image",
            "attention",
            "overlaid at 50%",
            f"amplified × {gain:g}",
        ]
        assert numbers(result[1]) == written(steps.grid)
        return panels_of(at, "attention_steps")["sheet"]

    sheets = [check(attention[2], 2, "bilinear", "layer 3, average of the heads")]
    at.slider(key="layer").set_value(1).run()
    sheets.append(check(attention[0], 2, "bilinear", "layer 1, average of the heads"))
    at.button_group(key="head").set_value(2).run()
    sheets.append(check(attention[0, 1:2], 2, "bilinear", "layer 1, head 2"))
    assert panels_of(at, "attention_heads")["selected"] == 2
    at.slider(key="gain").set_value(4.5).run()
    sheets.append(check(attention[0, 1:2], 4.5, "bilinear", "layer 1, head 2"))
    for method in ("nearest", "bicubic"):
        at.button_group(key="resize").set_value(method).run()
        sheets.append(check(attention[0, 1:2], 4.5, method, "layer 1, head 2"))
    assert len(set(sheets)) == len(sheets)  # each control changed the pictures
    link = {"layer": "1", "head": "2", "gain": "4.5", "resize": "bicubic", "index": str(INDEX)}
    again = start("attention", **link)
    assert panels_of(again, "attention_steps") == panels_of(at, "attention_steps")


def test_all_heads_of_a_layer_are_there(start, attention):
    at = start("attention", index=str(INDEX), layer="2")
    heads = panels(at, "attention_heads")
    assert [p["caption"] for p in heads] == ["average", "head 1", "head 2"]
    maps = attention[1, :, 0, 1:]
    for panel, values in zip(heads, [maps.mean(axis=0), *maps]):
        assert hovers(panel) == [f"{value:.4f}" for value in values.ravel()]


def test_every_layer_and_head_is_there_and_opens_with_a_click(start, attention):
    at = start("attention", index=str(INDEX), scale="each its own")
    shown = panels(at, "attention_all")
    assert [p["caption"] for p in shown] == [f"L{x} H{y}" for x in (1, 2, 3) for y in (1, 2)]
    maps = attention[:, :, 0, 1:].reshape(6, -1)
    for panel, values in zip(shown, maps):
        assert hovers(panel) == [f"{value:.4f}" for value in values]
    every = panels_of(at, "attention_all")
    assert every["selected"] is None
    assert every["legend"]["low"] == "lowest"
    at.button_group(key="scale").set_value("one scale").run()
    assert panels_of(at, "attention_all")["legend"]["high"] == f"{maps.max():.4f}"
    linked = start("attention", index=str(INDEX), layer="2", head="1")
    assert panels_of(linked, "attention_all")["selected"] == 2


def test_other_images_are_a_choice_away(start, tiny):
    at = start("attention", index=str(INDEX))
    label, predicted = tiny.predictions["label"], tiny.predictions[list(tiny.classes)].to_numpy()
    predicted = predicted.argmax(axis=1)
    alike = {
        "same answer": (label == label[INDEX]) & (predicted == predicted[INDEX]),
        "same class": label == label[INDEX],
    }
    for kind, expected in alike.items():
        at.button_group(key="others").set_value(kind).run()
        count = expected.sum() - 1
        assert any(f"{count} other images with the {kind}" in m.value for m in at.markdown)
        assert len(panels(at, "attention_others")) == min(count, 24)
    at.button_group(key="others").set_value("similar map").run()
    assert len(panels(at, "attention_others")) == 24


def test_the_probabilities_are_the_models(start, tiny):
    at = start("attention", index=str(INDEX))
    row = tiny.predictions.loc[INDEX, list(tiny.classes)].to_numpy(float)
    bars = panels_of(at, "attention_probabilities")["rows"]
    order = np.argsort(-row)
    label = tiny.predictions.loc[INDEX, "label"]
    assert [bar["name"] for bar in bars] == [
        tiny.classes[i] + " ✓" * int(i == label) for i in order
    ]
    assert [bar["text"] for bar in bars] == [f"{row[i]:.1%}" for i in order]


def test_another_model_may_have_fewer_layers_and_other_heads(start):
    at = start("attention", layer="3", head="2")
    at.selectbox(key="model").select("elsewhere").run()
    assert not at.exception
    assert at.slider(key="layer").value == 2
    at.button_group(key="head").set_value(3).run()
    at.selectbox(key="model").select("tiny").run()
    assert not at.exception
    assert at.button_group(key="head").value == "average"


def test_whoever_stands_at_the_last_layer_stays_at_the_last(start):
    at = start("attention", "elsewhere")
    assert at.slider(key="layer").value == 2
    at.selectbox(key="model").select("tiny").run()
    assert at.slider(key="layer").value == 3
    at.slider(key="layer").set_value(1).run()
    at.selectbox(key="model").select("elsewhere").run()
    assert at.slider(key="layer").value == 1
