"""The print renderer and the files with a figure's numbers."""

import io
import subprocess
import sys
import xml.etree.ElementTree
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import matplotlib
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from reference import is_one_sentence

from core.errors import InputError
from core.figures import paper
from core.figures.figure import Bars, Intervals, Lines, Matrix, Panel, Panels, Series

rng = np.random.default_rng(0)
picture = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
attention = rng.dirichlet(np.ones(16)).astype(np.float32)
epochs = np.arange(1, 6)
losses = rng.random(5)

FIGURES = {
    "panels": Panels(
        "What the model looks at → deer",
        [
            Panel("average", "1  average", attention[None], numbers=True),
            Panel("grid", "2  grid", attention.reshape(4, 4), numbers=True),
            Panel("resized", "3  resized", rng.random((32, 32)), scale=(0.0, 1.0)),
            Panel("image", "a picture", picture, note="deer → automobile 41%", right=False),
            Panel("amplified", "amplified", picture / np.float32(255), note="deer", right=True),
        ],
        columns=3,
    ),
    "shared": Panels(
        "Two heads, one scale",
        [Panel(f"head_{h}", f"head {h}", rng.random((8, 8)), (0.0, 1.0)) for h in (1, 2)],
        columns=5,
    ),
    "counts": Matrix(
        "Confusion",
        np.array([[1200, 3], [0, 7]]),
        ("automobile", "$5"),
        ("automobile", "$5"),
        "label",
        "prediction",
        "images",
    ),
    "shares": Matrix(
        "Precision and recall",
        rng.random((2, 3)),
        ("cat", "dog"),
        ("a very long name of a column", "another long name", "F1"),
        "class",
        "measure",
        "share",
        ".0%",
    ),
    "changes": Matrix(
        "What heads are worth",
        rng.random((2, 3)) - 0.5,
        ("layer 1", "layer 2"),
        ("head 1", "head 2", "all"),
        "layer",
        "head",
        "points",
        "+.1%",
        (-0.5, 0.5),
        "RdBu_r",
    ),
    "lines": Lines(
        "Loss",
        "epoch",
        "cross-entropy (nats)",
        [
            Series("training, raw", epochs, losses, "faint"),
            Series("training", epochs, losses / 3),
            Series("published", epochs[:3], losses[:3], "dashed", 1),
            Series("tests", epochs, 1 - losses, "points", 9),
            Series("kept epoch", epochs[2:3], losses[2:3], "dot", 1),
            Series("random", epochs, losses, "steps", 6, (losses - 0.1, losses + 0.1)),
        ],
        marks=[(3, "kept: epoch 3"), (5, "epoch 5")],
    ),
    "intervals": Intervals(
        "Deletion",
        ("attention", "$5"),
        np.array([0.3, 0.2]),
        np.array([0.25, 0.1]),
        np.array([0.35, 0.25]),
        "area",
        reference=(0.28, "random"),
        percent=True,
    ),
    "bars": Bars(
        "Probability of each class",
        ("deer ✓", "automobile", "cat"),
        np.array([1.0, 0.25, 1 / 3], np.float32),
        "probability",
        highlight=(0,),
    ),
}
every_figure = pytest.mark.parametrize("figure", FIGURES.values(), ids=FIGURES)


@cache
def printed(name: str, format: str) -> bytes:
    return paper.render(FIGURES[name], format)


def read(table: bytes, **options) -> pd.DataFrame:
    # the default parser of older pandas is off by a last digit, the one in Python is not
    return pd.read_csv(io.BytesIO(table), engine="python", keep_default_na=False, **options)


@every_figure
@pytest.mark.parametrize("width_mm", [170, 85])
def test_png_has_the_width_and_nothing_runs_off_the_page(figure, width_mm):
    image = Image.open(io.BytesIO(paper.render(figure, "png", width_mm=width_mm, dpi=100)))
    assert image.width == pytest.approx(width_mm / 25.4 * 100, rel=0.02)
    pixels = np.asarray(image.convert("L"))
    edge = np.ones(pixels.shape, bool)
    edge[4:-4, 4:-4] = False  # 1 of the margin's 2 mm
    assert (pixels[edge] == 255).all()
    assert pixels.min() < 50


def test_pictures_stay_sharp():
    checkers = np.indices((16, 16)).sum(axis=0) % 2 * np.uint8(255)
    figure = Panels("", [Panel("p", "", np.stack([checkers] * 3, axis=-1))], columns=1)
    pixels = np.asarray(Image.open(io.BytesIO(paper.render(figure, "png"))).convert("L"))
    grey = (pixels > 0) & (pixels < 255)
    assert (pixels == 0).mean() > 0.1
    assert grey.mean() < 0.01


@pytest.mark.parametrize("name", FIGURES)
def test_svg_is_xml_and_says_its_title(name):
    root = xml.etree.ElementTree.fromstring(printed(name, "svg"))
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert root.findtext(".//{http://purl.org/dc/elements/1.1/}title") == FIGURES[name].title
    assert root.get("width") == f"{170 / 25.4 * 72:.6f}".rstrip("0") + "pt"


@pytest.mark.parametrize("name", FIGURES)
def test_pdf_embeds_its_fonts(name):
    pdf = printed(name, "pdf")
    assert pdf.startswith(b"%PDF")
    assert b"/FontFile2" in pdf
    assert b"/Type3" not in pdf


@pytest.mark.parametrize("format", ["png", "svg", "pdf"])
def test_same_bytes_again_from_two_threads(format):
    with ThreadPoolExecutor(2) as threads:
        files = threads.map(lambda figure: paper.render(figure, format), FIGURES.values())
    assert list(files) == [printed(name, format) for name in FIGURES]


def test_settings_of_the_process_neither_change_nor_matter():
    before = matplotlib.rcParams.copy()
    usual = paper.render(FIGURES["lines"], "svg")
    assert matplotlib.rcParams.copy() == before  # looking at `rcParams` itself chooses a backend
    with matplotlib.rc_context({"font.size": 20, "text.color": "red", "savefig.bbox": "tight"}):
        assert paper.render(FIGURES["lines"], "svg") == usual


def test_pyplot_is_not_imported():
    code = (
        "import sys, numpy as np; from core.figures import figure, paper;"
        "paper.render(figure.Bars('', ('a',), np.ones(1), ''), 'png');"
        "sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_constant_map_and_a_run_without_epochs_are_drawn():
    constant = Panels("", [Panel("m", "", np.zeros((4, 4)), numbers=True)], columns=1)
    empty = Lines("", "epoch", "loss", [Series("run", np.array([], int), np.array([]))])
    zeros = Matrix("", np.zeros((1, 1), int), ("a",), ("a",), "", "", "")
    for figure in (constant, empty, zeros, Panels("", [], 3), Lines("", "", "", [])):
        assert paper.render(figure, "png")
        assert paper.table(figure)


def test_an_unknown_format_is_refused():
    with pytest.raises(ValueError, match="png, svg, pdf"):
        paper.render(FIGURES["bars"], "jpeg")


@pytest.mark.parametrize("name", ["panels", "shared"])
def test_table_of_panels(name):
    rows = read(paper.table(FIGURES[name]))
    assert list(rows) == ["panel", "row", "column", "channel", "value"]
    for panel in FIGURES[name].panels:
        mine = rows[rows["panel"] == panel.name]
        place = [mine["row"], mine["column"]]
        if panel.is_image:
            place.append(mine["channel"].map({"red": 0, "green": 1, "blue": 2}))
        else:
            assert (mine["channel"] == "").all()
        values = np.full_like(panel.values, 77)
        values[tuple(place)] = mine["value"]
        np.testing.assert_array_equal(values, panel.values)
        assert len(mine) == panel.values.size


@pytest.mark.parametrize("name", ["counts", "shares"])
def test_table_of_a_matrix(name):
    figure = FIGURES[name]
    rows = read(paper.table(figure), index_col=0)
    assert (tuple(rows.index), tuple(rows.columns)) == (figure.rows, figure.columns)
    np.testing.assert_array_equal(rows.to_numpy(), figure.values)


def test_table_of_lines():
    figure = FIGURES["lines"]
    rows = read(paper.table(figure))
    assert list(rows) == ["series", "epoch", "cross-entropy (nats)", "low", "high"]
    assert list(rows["series"].unique()) == [line.name for line in figure.series]
    for line in figure.series:
        mine = rows[rows["series"] == line.name]
        np.testing.assert_array_equal(mine["epoch"], line.x)
        np.testing.assert_array_equal(mine["cross-entropy (nats)"], line.y)
        ends = line.band or [np.full(len(line.x), np.nan)] * 2
        found = mine[["low", "high"]].apply(pd.to_numeric, errors="coerce")
        np.testing.assert_allclose(found.to_numpy().T, ends)


def test_table_of_lines_without_a_band():
    figure = Lines("", "epoch", "loss", [Series("run", np.arange(2), np.arange(2))])
    assert list(read(paper.table(figure))) == ["series", "epoch", "loss"]


def test_table_of_intervals():
    figure = FIGURES["intervals"]
    rows = read(paper.table(figure))
    assert list(rows) == ["name", "mean", "low", "high"]
    assert tuple(rows["name"]) == figure.names
    np.testing.assert_array_equal(rows["low"], figure.lows)


def test_table_of_bars():
    figure = FIGURES["bars"]
    rows = read(paper.table(figure))
    assert list(rows) == ["name", "value"]
    assert tuple(rows["name"]) == figure.names
    np.testing.assert_array_equal(rows["value"].to_numpy(np.float32), figure.values)


@every_figure
def test_archive_holds_the_numbers(figure):
    with np.load(io.BytesIO(paper.archive(figure)), allow_pickle=False) as arrays:
        assert set(arrays) == set(figure.numbers())
        for name, values in figure.numbers().items():
            np.testing.assert_array_equal(arrays[name], values)
            assert arrays[name].dtype == values.dtype


def test_class_names_lead_out_of_no_folder():
    figure = Panels("", [Panel("../../evil_map", "", np.zeros((2, 2)))], columns=1)
    (name,) = np.load(io.BytesIO(paper.archive(figure))).files
    assert name == ".._.._evil_map"


def test_a_png_that_would_take_the_memory_is_refused():
    figure = Panels("", [Panel("p", "", np.zeros((40, 2)))], columns=1)
    with pytest.raises(InputError) as error:
        paper.render(figure, "png", width_mm=400, dpi=600)
    assert is_one_sentence(error.value)
    assert paper.render(figure, "pdf", width_mm=400, dpi=600).startswith(b"%PDF")
