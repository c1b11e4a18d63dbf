"""Draw the sample scenes and their object masks.

    python -m core.samples.draw --font NotoColorEmoji.ttf

An emoji stands in a painted landscape at 128x128; the picture is reduced by area to the 32x32 of
CIFAR-10. Because we placed the object ourselves, its mask is exact.

Writes two sheets of 32x32 tiles, one row a class and one column a picture:
scenes.png (RGB, 640x320) and masks.png (1 bit, the same size, white where the object is).
"""

from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from PIL import Image, ImageDraw, ImageFilter, ImageFont

# For each class, groups of glyphs with the scenes that suit them. Rows keep CIFAR-10's order.
CLASSES = {
    "airplane": [("✈🛩", ["sky"]), ("🛫🛬", ["sky", "runway"])],
    "automobile": [("🚗🚙🚕🚓🚘", ["street", "road"]), ("🏎", ["road"])],
    "bird": [
        ("🐦🐤🦜", ["meadow", "woods"]),
        ("🦉", ["woods"]),
        ("🦅🕊", ["sky"]),
        ("🦆🦢", ["pond"]),
        ("🐧", ["snow"]),
    ],
    "cat": [("🐱😺🐈", ["room", "meadow"])],
    "deer": [("🦌", ["meadow", "woods", "snow"])],
    "dog": [("🐶🐕🦮🐩", ["room", "meadow"])],
    "frog": [("🐸", ["pond", "leaves", "earth"])],
    "horse": [("🐴🐎", ["meadow", "earth"])],
    "ship": [("🚢⛴🛳⛵🛥", ["sea"])],
    "truck": [("🚚🚛🚒🛻", ["street", "road"])],
}
HEADS = "🐱😺🐶🐸🐴"  # a head alone would float: it rises from the lower edge, as in a portrait

PICTURES = 20  # a class
SIDE = 128  # pixels, while composing
TILE = 32  # pixels, when done
GLYPH_SIZE = 109  # the one size at which Noto Color Emoji holds bitmaps
DEFAULT_FONT = Path("/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf")


# -- backgrounds: float arrays [SIDE, SIDE, 3] in 0..255 ------------------------------------------


def mottle(rng, rows, columns):
    """Smooth noise [SIDE, SIDE, 1] of unit spread, with about rows x columns blobs."""
    grid = rng.standard_normal((rows, columns)).astype(np.float32)
    blobs = Image.fromarray(grid).resize((SIDE, SIDE), Image.BICUBIC)
    return np.asarray(blobs)[..., None]


def shade(rng, colour, spread=8):
    """The colour [3], a little lighter or darker and a little off in tint."""
    return np.array(colour) * rng.uniform(0.8, 1.15) + rng.uniform(-spread, spread, 3)


def fade(top, bottom):
    """A vertical gradient [SIDE, SIDE, 3] between two colours [3]."""
    down = np.linspace(0, 1, SIDE)[:, None, None]
    return np.broadcast_to(top * (1 - down) + bottom * down, (SIDE, SIDE, 3))


def surface(rng, colour, grain, strength):
    """Ground of one colour, lighter in front, broken up by large patches and by fine grain."""
    colour = shade(rng, colour)
    patches = mottle(rng, 4, 3) * strength * 0.7
    return fade(colour * 0.85, colour * 1.1) + patches + mottle(rng, *grain) * strength


def join(rng, above, below, low=0.35, high=0.6):
    """`above` over `below`, meeting at a slightly wavy horizon somewhere in low..high of SIDE."""
    row = np.arange(SIDE)[:, None, None]
    horizon = rng.uniform(low, high) * SIDE + mottle(rng, 1, 5)[:1] * 1.5
    return np.where(row < horizon, above, below)


def sky(rng):
    high, low = [
        ((70, 125, 195), (165, 195, 220)),
        ((120, 140, 165), (185, 190, 195)),
        ((60, 95, 165), (205, 180, 165)),
    ][rng.integers(3)]  # clear, overcast, evening
    cloud = np.clip(mottle(rng, 6, 4) - 0.2, 0, 1) * rng.uniform(0.1, 0.6)
    return fade(shade(rng, high), shade(rng, low)) * (1 - cloud) + 235 * cloud


def trees(rng):
    return surface(rng, (78, 98, 64), (20, 16), 14)


def runway(rng):
    far = join(rng, sky(rng), trees(rng), 0.55, 0.62)
    return join(rng, far, surface(rng, (125, 125, 125), (40, 10), 7), 0.66, 0.74)


def road(rng):
    far = join(rng, sky(rng), trees(rng), 0.15, 0.4)
    return join(rng, far, surface(rng, (120, 118, 116), (50, 30), 7), 0.5, 0.65)


def street(rng):
    """A house front with a row of dark windows, and a street before it."""
    wall = surface(
        rng, [(165, 150, 130), (150, 105, 85), (175, 175, 175)][rng.integers(3)], (30, 30), 6
    )
    across, down = np.meshgrid(np.arange(SIDE) + rng.integers(32), np.arange(SIDE))
    windows = (across % 36 < 20) & (down % 40 > 12)
    wall = np.where(windows[..., None], wall * 0.55, wall)
    return join(rng, wall, surface(rng, (115, 115, 118), (50, 30), 7), 0.5, 0.65)


def grass(rng):
    colour = [(105, 135, 65), (140, 145, 85), (85, 115, 55)][rng.integers(3)]
    return surface(rng, colour, (50, 64), 13)


def meadow(rng):
    far = sky(rng) if rng.random() < 0.4 else trees(rng)
    return join(rng, far, grass(rng), 0.1, 0.5)


def woods(rng):
    """Trunks, as streaks from top to bottom, over a floor of leaves."""
    trunks = trees(rng) + mottle(rng, 2, 18) * 22
    return join(rng, trunks, leaves(rng), 0.55, 0.8)


def leaves(rng):
    return surface(rng, (110, 90, 60), (36, 36), 18)


def earth(rng):
    return join(rng, trees(rng), surface(rng, (160, 135, 105), (40, 40), 10), 0.05, 0.4)


def snow(rng):
    return join(rng, trees(rng) + 45, surface(rng, (205, 212, 222), (24, 24), 6), 0.3, 0.6)


def pond(rng):
    return surface(
        rng, [(85, 105, 110), (75, 105, 135), (100, 95, 80)][rng.integers(3)], (40, 6), 12
    )


def sea(rng):
    water = surface(
        rng, [(55, 95, 130), (65, 110, 115), (90, 105, 120)][rng.integers(3)], (44, 8), 11
    )
    return join(rng, sky(rng), water, 0.5, 0.75)


def room(rng):
    """A plain wall over a floor of boards or carpet, or the floor alone seen from above."""
    floor = surface(
        rng, [(150, 110, 75), (140, 125, 110), (110, 85, 85)][rng.integers(3)], (30, 4), 8
    )
    wall = surface(
        rng, [(190, 180, 165), (150, 165, 175), (120, 110, 105)][rng.integers(3)], (3, 3), 4
    )
    return join(rng, wall, floor, 0.0, 0.7)


PAINTERS = {
    f.__name__: f
    for f in (sky, runway, road, street, meadow, woods, leaves, earth, snow, pond, sea, room)
}


# -- the object ------------------------------------------------------------------------------------


def read_glyph(font, glyph):
    """The glyph as RGBA, cropped to its ink. What lies under a gap (a plane's runway) is cut off:
    it is ground, not object."""
    page = Image.new("RGBA", (2 * GLYPH_SIZE, 2 * GLYPH_SIZE))
    ImageDraw.Draw(page).text((0, 0), glyph, font=font, embedded_color=True)
    page = page.crop(page.getbbox())
    inked = np.asarray(page)[..., 3].any(axis=1)
    rows = len(inked) if inked.all() else int(np.argmin(inked))
    page = page.crop((0, 0, page.width, rows))
    return page.crop(page.getbbox())


def place(rng, glyph, is_head):
    """Mirror, tilt, scale and move the glyph: RGBA [SIDE x SIDE], transparent around the object.

    The longer side takes 85 to 110 % of the frame.
    """
    if rng.random() < 0.5:
        glyph = glyph.transpose(Image.FLIP_LEFT_RIGHT)
    glyph = glyph.rotate(rng.triangular(-12, 0, 12), Image.BICUBIC, expand=True)
    glyph = glyph.crop(glyph.getbbox())
    scale = rng.uniform(0.85, 1.10) * SIDE / max(glyph.size)
    width, height = (round(scale * side) for side in glyph.size)
    glyph = glyph.resize((width, height), Image.LANCZOS)

    # Up to 5 % off centre; something low and wide may move down further, as it stands on the ground
    left = (SIDE - width) / 2 + rng.uniform(-0.05, 0.05) * SIDE
    top = (SIDE - height) / 2 + rng.uniform(-0.05, 0.05) * SIDE + max(0, SIDE - height) * 0.1
    if is_head:
        top = SIDE - height * rng.uniform(0.92, 0.99)
    frame = Image.new("RGBA", (SIDE, SIDE))
    frame.paste(glyph, (round(left), round(top)))
    return frame


def luma(rgb):
    """Brightness as the eye weighs it: [..., 3] -> [...]."""
    return rgb @ np.array([0.299, 0.587, 0.114])


def light(rng, rgb):
    """Make the flat, loud colours of an emoji look photographed. RGB image -> [SIDE, SIDE, 3]."""
    hue, saturation, value = rgb.convert("HSV").split()
    turn = round(rng.uniform(-14, 6) * 256 / 360)  # degrees; a cat turned further would be green
    hue = hue.point(lambda h: (h + turn) % 256)
    colour = np.asarray(Image.merge("HSV", (hue, saturation, value)).convert("RGB"), dtype=float)
    grey = luma(colour)[..., None]
    colour = grey + (colour - grey) * rng.uniform(0.2, 0.75)
    # Light falls from above and from one side; the surface is not quite even
    down, across = np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j][..., None]
    fall = 1 - 0.15 * down + rng.uniform(-0.15, 0.15) * across + 0.05 * mottle(rng, 10, 10)
    return colour * fall * rng.uniform(0.85, 1.1)


def contact_shadow(alpha):
    """How much light is left [SIDE, SIDE, 1] under an object with this alpha [SIDE, SIDE]."""
    left, _, right, bottom = Image.fromarray(alpha > 0.5).getbbox()
    depth = 0.07 * SIDE
    dark = Image.new("L", (SIDE, SIDE))
    ImageDraw.Draw(dark).ellipse((left, bottom - depth, right, bottom + depth * 0.6), fill=140)
    dark = dark.filter(ImageFilter.GaussianBlur(4))
    return 1 - np.asarray(dark)[..., None] / 255


def set_apart(background, colour, alpha, contrast=40):
    """Make the background darker or lighter where it is about as bright as the object.

    A dove before a pale sky, say, would leave nothing to see.
    """
    ours = np.average(luma(colour), weights=alpha)
    theirs = np.average(luma(background), weights=1 - alpha)
    if abs(theirs - ours) >= contrast:
        return background
    brightest = 215 if theirs > ours else 150  # go the short way, unless that makes night of day
    wanted = ours + contrast if ours + contrast < brightest else ours - contrast
    return background * wanted / theirs


# -- the picture -----------------------------------------------------------------------------------


def photograph(rng, picture):
    """Reduce a picture [SIDE, SIDE, 3] to TILE as a cheap camera would: a little blur and noise."""
    cast = rng.uniform(0.95, 1.05, 3)  # white balance
    image = Image.fromarray(np.clip(picture * cast, 0, 255).astype(np.uint8))
    image = image.filter(ImageFilter.GaussianBlur(rng.uniform(1.0, 2.0)))
    small = np.asarray(image.resize((TILE, TILE), Image.BOX), dtype=float)
    noisy = small + rng.normal(0, rng.uniform(2, 5), small.shape)
    return Image.fromarray(np.clip(np.round(noisy), 0, 255).astype(np.uint8))


def draw_scene(rng, font, glyph, scenes):
    """One picture of the glyph in one of the scenes: its RGB tile and its 1-bit mask tile."""
    scene = scenes[rng.integers(len(scenes))]
    background = PAINTERS[scene](rng)
    placed = place(rng, read_glyph(font, glyph), glyph in HEADS)
    alpha = np.asarray(placed.getchannel("A"), dtype=float) / 255
    colour = light(rng, placed.convert("RGB"))

    background = set_apart(background, colour, alpha)
    if scene != "sky":
        background = background * contact_shadow(alpha)
    picture = background + (colour - background) * alpha[..., None]

    coverage = placed.getchannel("A").resize((TILE, TILE), Image.BOX)
    mask = coverage.point(lambda a: 255 * (a >= 127.5)).convert("1", dither=Image.Dither.NONE)
    return photograph(rng, picture), mask


def draw_sheets(font, seed):
    """All pictures of all classes: the RGB sheet and the 1-bit sheet, TILE pixels a picture."""
    size = (PICTURES * TILE, len(CLASSES) * TILE)
    scenes_sheet, masks_sheet = Image.new("RGB", size), Image.new("1", size)
    for row, groups in enumerate(CLASSES.values()):
        choices = [(glyph, scenes) for glyphs, scenes in groups for glyph in glyphs]
        for column in range(PICTURES):
            # One generator a picture: changing one scene leaves the others as they were
            rng = np.random.default_rng([seed, row, column])
            picture, mask = draw_scene(rng, font, *choices[column % len(choices)])
            scenes_sheet.paste(picture, (column * TILE, row * TILE))
            masks_sheet.paste(mask, (column * TILE, row * TILE))
    return scenes_sheet, masks_sheet


def main(
    font: Annotated[Path, typer.Option(help="Noto Color Emoji, the TrueType file")] = DEFAULT_FONT,
    out: Annotated[Path, typer.Option(help="where the sheets go")] = Path(__file__).parent,
    seed: Annotated[int, typer.Option(help="another seed draws other scenes")] = 0,
):
    """Draw scenes.png and masks.png."""
    scenes_sheet, masks_sheet = draw_sheets(ImageFont.truetype(font, GLYPH_SIZE), seed)
    out.mkdir(parents=True, exist_ok=True)
    scenes_sheet.save(out / "scenes.png", optimize=True)
    masks_sheet.save(out / "masks.png", optimize=True)


if __name__ == "__main__":
    typer.run(main)
