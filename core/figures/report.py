"""A report of chosen figures: one HTML file that opens anywhere, without network or scripts."""

import json
from base64 import b64encode
from dataclasses import dataclass, replace
from html import escape

from core.figures import paper
from core.figures.figure import Bars, Figure, Intervals, Lines, Matrix, Panels

_WIDTH = 130.0  # mm of a figure's page: words that read on a phone as well as on a wide screen
_CONTENTS = 3  # from as many figures on, a list of them comes first
_LARGE = 1_000_000  # bytes of numbers that the file does not carry
_ROWS = {
    Panels: "a row for every value of every panel",
    Matrix: "a row for every row of the table",
    Lines: "a row for every point of every line",
    Bars: "a row for every bar",
    Intervals: "a row for every mean",
}

# the page may load nothing but what stands in it, whatever a title or a note says
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_STYLE = """
:root { color-scheme: light dark; --ink: #1d2130; --quiet: #5a6072; --line: #dfe2ea;
  --page: #fff; --link: #0b5cad; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e8ef; --quiet: #a4aabc; --line: #343947; --page: #14161d; --link: #82b8f5; }
}
body { margin: 0 auto; max-width: 44rem; padding: 2.5rem 1rem; background: var(--page);
  color: var(--ink); font: 1rem/1.55 system-ui, sans-serif; overflow-wrap: anywhere; }
h1, h2 { text-wrap: balance; }
h1 { margin: 0 0 1.5rem; font-size: 1.75rem; line-height: 1.25; }
h2 { margin: 0 0 .75rem; font-size: 1.2rem; line-height: 1.3; }
a { color: var(--link); }
nav { padding: .75rem 0; border-block: 1px solid var(--line); }
nav ol { margin: 0; padding-left: 1.5rem; }
section { margin-top: 3rem; }
figure { margin: 0 0 .75rem; }
img { display: block; box-sizing: border-box; width: 100%; background: #fff;
  border: 1px solid var(--line); border-radius: .5rem; }
figcaption { margin-top: .5rem; color: var(--quiet); white-space: pre-line; }
details { font-size: .875rem; color: var(--quiet); }
summary { padding: .25rem 0; cursor: pointer; }
details p, pre { margin: .25rem 0 .75rem; }
pre { padding: .75rem; border: 1px solid var(--line); border-radius: .5rem;
  font: .8125rem/1.5 ui-monospace, monospace; white-space: pre-wrap; }
@media print {
  :root { color-scheme: light; --ink: #000; --quiet: #444; --line: #ccc; --page: #fff;
    --link: #000; }
  body { max-width: none; padding: 0; font-size: 10pt; }
  section { margin-top: 1.5rem; }
  h2 { break-after: avoid; }
  figure, pre { break-inside: avoid; }
  img { max-height: 20cm; border: 0; object-fit: contain; object-position: left; }
  details:not([open]) { display: none; }
}
"""


@dataclass(frozen=True, eq=False)
class Entry:
    """One figure of a report.

    Attributes:
        note: what the reader should see in it, plain text; "" for nothing.
        settings: what made it, as JSON can hold it.
    """

    figure: Figure
    note: str
    settings: dict


def render(title: str, entries: list[Entry]) -> bytes:
    """A report as the bytes of an HTML file in UTF-8, the same every time.

    Each figure is there as SVG, with its note, its settings and, up to a megabyte, its numbers.

    Raises:
        TypeError: settings hold what JSON does not.
    """
    parts = [f"<h1>{escape(title)}</h1>"]
    if len(entries) >= _CONTENTS:
        parts.append(_contents(entries))
    parts += [_section(place, entry) for place, entry in enumerate(entries, 1)]
    body = "\n".join(parts)
    page = f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="Vitascope">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<title>{escape(title)}</title>
<style>{_STYLE}</style>
</head>
<body>
<main>
{body}
</main>
</body>
</html>
"""
    return page.encode()


def _contents(entries: list[Entry]) -> str:
    items = "\n".join(
        f'<li><a href="#figure-{place}">{escape(entry.figure.title)}</a></li>'
        for place, entry in enumerate(entries, 1)
    )
    return f'<nav aria-label="Contents">\n<ol>\n{items}\n</ol>\n</nav>'


def _section(place: int, entry: Entry) -> str:
    figure = entry.figure
    # the heading says the title, so the picture does not repeat it
    picture = paper.render(replace(figure, title=""), "svg", width_mm=_WIDTH)
    caption = f"\n<figcaption>{escape(entry.note)}</figcaption>" if entry.note else ""
    settings = json.dumps(entry.settings, indent=2, ensure_ascii=False)
    return f"""<section id="figure-{place}">
<h2>{escape(figure.title)}</h2>
<figure>
<img src="{_uri("image/svg+xml", picture)}" alt="{escape(_in_words(figure))}">{caption}
</figure>
<details>
<summary>Settings</summary>
<pre>{escape(settings)}</pre>
</details>
<details>
<summary>Numbers</summary>
<p>{_numbers(place, figure)}</p>
</details>
</section>"""


def _numbers(place: int, figure: Figure) -> str:
    numbers = paper.table(figure)
    if len(numbers) > _LARGE:
        return (
            f"They would take {len(numbers) / 1e6:,.1f} MB here. "
            "Vitascope exports them with the figure, as CSV or NPZ."
        )
    about = f"{_ROWS[type(figure)]}, {max(1, round(len(numbers) / 1e3)):,} kB"
    link = f'<a download="figure-{place}.csv" href="{_uri("text/csv", numbers)}">CSV file</a>'
    return f"{link}, {about}."


def _in_words(figure: Figure) -> str:
    """What a figure shows, for those who cannot see it."""
    match figure:
        case Panels():
            words = dict.fromkeys(panel.caption or panel.note for panel in figure.panels)
            names = ", ".join(filter(None, words))
            shown = f"pictures and maps, {names or len(figure.panels)}"
        case Matrix():
            rows, columns = figure.values.shape
            shown = (
                f"a table of {figure.unit}, "
                f"{rows} × {columns}, {figure.row_label} by {figure.column_label}"
            )
        case Lines():
            names = ", ".join(line.name for line in figure.series)
            shown = f"{figure.y_label} over {figure.x_label}, lines: {names}"
        case Bars():
            bars = (f"{name} {value:.1%}" for name, value in zip(figure.names, figure.values))
            shown = f"{figure.unit}, bars: {', '.join(bars)}"
        case Intervals():
            means = (f"{name} {mean:.3f}" for name, mean in zip(figure.names, figure.means))
            shown = f"{figure.label}, means: {', '.join(means)}"
    return " ".join(f"{figure.title}: {shown}.".split())  # captions may have several lines


def _uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{b64encode(content).decode()}"
