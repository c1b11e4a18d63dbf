"""The Attention page's maps by other methods, and their curves, against the core's."""

import numpy as np
import pytest
from reading import chart, complaint, numbers, panels, panels_of

from core.amplify import amplify
from core.cover import mean_color
from core.evaluate import predict
from core.explain import METHODS, explain
from core.faithfulness import area, deletion, insertion, on_object
from core.occlusion import occlusion, rank_correlation

INDEX = 45


@pytest.fixture
def picture(samples):
    return samples.images[INDEX : INDEX + 1]


@pytest.fixture
def predicted(tiny, picture):
    return int(predict(tiny.model, picture).argmax())


def written(values) -> list[str]:
    return [f"{value:.3f}" for value in np.ravel(values)]


@pytest.mark.parametrize("method", METHODS)
def test_each_method_can_be_the_map_with_its_steps(start, tiny, samples, picture, method):
    at = start("attention", index=str(INDEX), method=method, layer="2")
    layer = 1 if method in ("attention", "gradcam") else None
    grid = explain(tiny.model, picture, method, layer=layer)[0].numpy()
    steps = amplify(grid, picture[0])
    result = panels(at, "attention_result")
    assert result[1]["caption"] == method
    assert numbers(result[1]) == written(steps.grid)
    shown = panels(at, "attention_steps")
    captions = [panel["caption"] for panel in shown]
    assert len(captions) == (6 if method == "attention" else 5)
    assert captions[-5].startswith("2  ")


def test_rollout_has_its_options(start, tiny, picture):
    options = {"fusion": "max", "first_layer": "2", "discard": "0.5"}
    at = start("attention", index=str(INDEX), method="rollout", **options)
    grid = explain(tiny.model, picture, "rollout", fusion="max", first_layer=1, discard_ratio=0.5)[
        0
    ].numpy()
    assert numbers(panels(at, "attention_result")[1]) == written(grid)


def test_another_class_can_be_explained(start, tiny, picture, predicted):
    other = tiny.classes[(predicted + 1) % 10]
    at = start("attention", index=str(INDEX), method="relevance", target=other)
    target = tiny.classes.index(other)
    grid = explain(tiny.model, picture, "relevance", target=target)[0].numpy()
    assert numbers(panels(at, "attention_result")[1]) == written(grid)
    assert f"**Gradient relevance (all layers) for {other}**" in [m.value for m in at.markdown]


def test_methods_side_by_side_for_two_classes(start, tiny, samples, picture, predicted):
    versus = (predicted + 3) % 10
    name, other = tiny.classes[predicted], tiny.classes[versus]
    at = start("attention", index=str(INDEX), closer="methods", versus=other)
    shown = panels(at, "attention_methods")[::2]
    assert [panel["caption"] for panel in shown] == [
        "attention",
        "rollout",
        f"relevance, {name}",
        f"gradcam, {name}",
        f"relevance, {other}",
        f"gradcam, {other}",
    ]
    color = mean_color(samples.images)
    mask = samples.masks[INDEX : INDEX + 1]
    wanted = [("attention", None), ("rollout", None)]
    wanted += [(method, of) for of in (predicted, versus) for method in ("relevance", "gradcam")]
    for panel, (method, of) in zip(shown, wanted):
        grid = explain(tiny.model, picture, method, target=of).numpy()
        np.testing.assert_allclose(panel["values"], (grid / grid.sum()).ravel(), atol=1e-5)
        against = predicted if of is None else of
        drops = occlusion(tiny.model, picture, target=against, color=color)
        rank, share = rank_correlation(grid, drops)[0], on_object(grid, mask)[0]
        assert panel["note"] == f"ρ {rank:+.2f} · {share:.0%} on the object"
    assert panels_of(at, "attention_methods")["legend"]["unit"] == "share of the map"
    drops = occlusion(tiny.model, picture, target=predicted, color=color)
    (panel,) = panels(at, "attention_occlusion")
    np.testing.assert_allclose(panel["values"], drops.ravel(), atol=1e-5)
    drops = occlusion(tiny.model, picture, target=versus, color=color)
    (panel,) = panels(at, f"attention_occlusion_{versus}")
    np.testing.assert_allclose(panel["values"], drops.ravel(), atol=1e-5)


def test_curves_beside_random_orders(start, tiny, samples, picture):
    at = start("attention", index=str(INDEX), closer="methods", layer="1", step="5")
    maps = [explain(tiny.model, picture, "attention", layer=0)]
    maps += [explain(tiny.model, picture, method) for method in ("rollout", "relevance")]
    maps += [explain(tiny.model, picture, "gradcam", layer=0)]
    color = mean_color(samples.images)
    for name in ("deletion", "insertion"):
        low, high, *lines = sorted(chart(at, f"attention_{name}"), key=lambda t: "name" in t)
        for grid, line in zip(maps, lines):
            if name == "deletion":
                (scores,), _ = deletion(tiny.model, picture, grid, color=color)
            else:
                (scores,), _ = insertion(tiny.model, picture, grid)
            np.testing.assert_allclose(line["y"], scores, atol=1e-5)
            assert f"({area(scores):.2f})" in line["name"]
        assert "random order" in lines[4]["name"]
        assert all(
            a <= m + 1e-6 and m <= b + 1e-6 for a, m, b in zip(low["y"], lines[4]["y"], high["y"])
        )
    captions = [panel["caption"] for panel in panels(at, "attention_on_the_way")]
    assert captions == ["deletion, 5 gone", "insertion, 5 back"]
    at.slider(key="step").set_value(16).run()
    _, back = panels(at, "attention_on_the_way")
    whole = predict(tiny.model, picture).max()
    assert back["note"] == f"{whole:.1%}"


def test_a_class_that_another_model_lacks_falls_back(start):
    at = start("attention", method="relevance", target="unicorn")
    assert "unicorn" in complaint(at)
    assert at.selectbox(key="target").value == "the prediction"
