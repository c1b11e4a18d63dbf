"""The sidebar's filters against `core.selection`, and what pages make of them."""

import numpy as np
import pytest
from PIL import Image
from reading import complaint, complaints, go, panels

from core.attention import extract_set
from core.heads import cls_entropy
from core.selection import ORDERS, select, verdicts


@pytest.fixture(scope="module")
def columns(tiny, samples):
    probabilities = tiny.predictions[list(tiny.classes)].to_numpy()
    entropy = cls_entropy(extract_set(tiny.model, samples).cls_rows[:, -1])
    return verdicts(samples.labels, probabilities, entropy)


def expected_notes(columns, classes, indices) -> list[str]:
    return [
        f"{classes[columns.labels[i]]}\n→ {classes[columns.predicted[i]]} "
        f"{columns.confidence[i]:.0%}"
        for i in indices
    ]


@pytest.mark.parametrize("outcome", ["all", "correct", "wrong"])
@pytest.mark.parametrize("order", ORDERS)
def test_browse_shows_what_the_filters_leave_in_order(start, tiny, columns, outcome, order):
    at = start("browse", outcome=outcome, order=order, **{"class": ["cat", "bird"]})
    indices = select(columns, classes=[3, 2], outcome=outcome, order=order)
    shown = panels(at, "browse_grid")
    assert [p["note"] for p in shown] == expected_notes(columns, tiny.classes, indices)
    assert [p["verdict"] for p in shown] == [
        "right" if columns.correct[i] else "wrong" for i in indices
    ]
    assert f"**{len(indices)}** of 200 images" in [c.value for c in at.sidebar.caption]


def test_widgets_filter_as_links_do(start, tiny, columns):
    at = start("browse")
    at.multiselect(key="class").set_value(["cat"])
    at.selectbox(key="order").set_value("least sure")
    at.run()
    indices = select(columns, classes=[3], order="least sure")
    notes = expected_notes(columns, tiny.classes, indices)
    assert [p["note"] for p in panels(at, "browse_grid")] == notes
    at.button_group(key="outcome").set_value("wrong").run()
    go(at, "overview")  # the filters come along
    assert at.multiselect(key="class").value == ["cat"]
    assert f"**{(~columns.correct[indices]).sum()}** of 200" in at.sidebar.caption[-1].value


def test_browse_pages_through_all_images(start, tiny, columns):
    at = start("browse")
    assert len(panels(at, "browse_grid")) == 100
    at.number_input(key="page").set_value(2).run()
    notes = expected_notes(columns, tiny.classes, range(100, 200))
    assert [p["note"] for p in panels(at, "browse_grid")] == notes
    at.button_group(key="size").set_value(150).run()
    assert [p["note"] for p in panels(at, "browse_grid")] == notes[50:]
    at.multiselect(key="class").set_value(["dog"]).run()  # leaves one page
    assert at.number_input(key="page").value == 1
    assert len(panels(at, "browse_grid")) == 20
    plain = panels(at, "browse_grid")
    at.toggle(key="amplified").set_value(True).run()
    assert panels(at, "browse_grid") == plain  # other pixels, the same words


def test_overview_shows_the_first_of_every_class(start, columns):
    at = start("overview", order="most wrong")
    order = select(columns, order="most wrong").tolist()
    firsts = [next(i for i in order if columns.labels[i] == label) for label in range(10)]
    captions = [p["caption"] for p in panels(at, "overview_pictures")]
    assert captions[::3] == [f"#{i}" for i in firsts]
    assert {m.label: m.value for m in at.metric} == {
        "Test accuracy": f"{columns.correct.mean():.1%}",
        "Parameters": "0.0 M",
        "Kept epoch": "3 of 12",
        "Layers × heads": "3 × 2",
    }


def test_previous_and_next_walk_the_filtered_order(start, columns):
    at = start("attention", outcome="wrong", order="most wrong")
    indices = select(columns, outcome="wrong", order="most wrong")

    def where():
        at_index = int(at.query_params.get("index", at.number_input(key="index").value))
        assert at.title[0].value.startswith(f"#{at_index} ")
        return at_index

    def press(label):
        (button,) = [b for b in at.button if b.label == label]
        button.click().run()

    walked = [where()]
    for _ in range(3):
        press("Next")
        walked.append(where())
    assert walked == indices[:4].tolist()
    assert f"4 of {len(indices)}" in [m.value for m in at.markdown]
    press("Previous")
    assert where() == indices[2]
    at.number_input(key="index").set_value(int(indices[-1])).run()
    assert [b.disabled for b in at.button if b.label in ("Previous", "Next")] == [False, True]
    outsider = int(np.flatnonzero(columns.correct)[0])
    at.number_input(key="index").set_value(outsider).run()
    assert where() == outsider
    assert any("does not pass" in c.value for c in at.caption)
    press("Next")
    assert where() == indices[0]
    assert [b.disabled for b in at.button if b.label in ("Previous", "Next")] == [True, False]


@pytest.mark.parametrize("asked", ["200", "-1", "99999999999999999999", "cat", "1.5", "²"])
def test_a_link_to_an_image_that_is_not_here(start, asked):
    at = start("attention", index=asked)
    assert not at.exception
    assert f"no image `{asked}`" in complaint(at)
    assert "0 to 199" in complaint(at)
    shown = 1 if asked == "1.5" else 0  # Streamlit takes the whole part
    assert at.title[0].value.startswith(f"#{shown} ")
    (onward,) = [b for b in at.button if b.label == "Next"]
    onward.click().run()
    assert at.title[0].value.startswith(f"#{shown + 1} ")
    assert complaints(at) == []


def test_another_set_is_entered_at_an_image_it_has(start, tmp_path, samples):
    (tmp_path / "few").mkdir()
    for i in range(3):
        Image.fromarray(samples.images[i]).save(tmp_path / "few" / f"{i}.png")
    at = start("attention", data=tmp_path / "few", images="Sample scenes", index="150")
    assert at.title[0].value.startswith("#150 ")
    at.selectbox(key="images").select_index(0).run()  # what was named comes first
    assert not at.exception
    assert at.title[0].value.startswith("#0 ")


def test_an_image_opens_by_its_number_whatever_the_link_says(start):
    """As a click on a thumbnail does: both switch the page while filters stand in the URL."""
    at = start("browse", outcome="wrong", **{"class": "cat"})
    at.number_input(key="browse_index").set_value(7).run()
    assert not at.exception
    assert at.title[0].value.startswith("#7 ")
    assert at.multiselect(key="class").value == ["cat"]
    assert at.button_group(key="outcome").value == "wrong"
    assert at.selectbox(key="model").value == "tiny"
