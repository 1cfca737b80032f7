"""`python -m scripts.mark`: draws the pack's icon and banner again, docs/icon.png and docs/banner.png.

The mark is a face whose mouth is a sound wave. On the banner people of the synthetic corpus say one sentence, each at another moment of it.
Needs the environment of `make test` (Chromium, torch, Pillow).
"""

from __future__ import annotations

import base64
import io
import math
import subprocess
import sys
import tempfile
from pathlib import Path

from . import console, test_tools
from .console import Problem, say
from .host import ROOT

ICON, BANNER = (400, 400), (1260, 540)
PEOPLE = ((33, "woman", "AA"), (51, "man", "UW"), (24, "woman", "IY"), (26, "man", "OW"), (39, "woman", "M"))
"""Seed and gender of each face, and the sound that its mouth makes."""
GRADIENT = '<linearGradient id="g" x2="1" y2="1"><stop stop-color="#5b3fd6"/><stop offset="1" stop-color="#e5547a"/></linearGradient>'
BARS = (26, 62, 98, 62, 26)
FONT = "font-family='DejaVu Sans' fill='#fff'"


def mark() -> str:
    """The mark, 400x400: a speech bubble that is a face, its mouth the bars of a sound level."""
    bubble = "M200 62c88 0 150 52 150 128s-62 128-150 128c-12 0-24-1-35-3-20 16-46 27-76 31"
    bubble += " 12-17 19-35 21-54-38-23-60-59-60-102C50 114 112 62 200 62z"
    eyes = "".join(f'<ellipse cx="{x}" cy="146" rx="15" ry="19" fill="#3b2a86"/>' for x in (148, 252))
    bars = "".join(
        f'<rect x="{200 + 30 * (i - 2) - 9}" y="{226 - height / 2}" width="18" height="{height}" rx="9" fill="url(#g)"/>'
        for i, height in enumerate(BARS)
    )
    return f'<path d="{bubble}" fill="#fff"/>{eyes}{bars}'


def icon() -> str:
    """The mark on a rounded square."""
    return f'<defs>{GRADIENT}</defs><rect width="400" height="400" rx="88" fill="url(#g)"/>{mark()}'


def banner(faces: list[bytes]) -> str:
    """Mark and name above, the speaking people below, one wave of sound behind all of them."""
    width, height = BANNER
    side, gap = 204, 24
    left = (width - len(faces) * side - (len(faces) - 1) * gap) / 2
    bars = "".join(
        f'<rect x="{x}" y="{392 - size / 2:.1f}" width="7" height="{size:.1f}" rx="3.5" fill="#fff" opacity="0.16"/>'
        for x in range(10, width, 14)
        for size in [36 + 230 * abs(math.sin(x / 71) * math.sin(x / 23 + 1) * math.cos(x / 190))]
    )
    tiles = "".join(
        f'<clipPath id="c{i}"><rect x="{x}" y="290" width="{side}" height="{side}" rx="34"/></clipPath>'
        f'<image x="{x}" y="290" width="{side}" height="{side}" clip-path="url(#c{i})" href="data:image/png;base64,{data}"/>'
        f'<rect x="{x}" y="290" width="{side}" height="{side}" rx="34" fill="none" stroke="#fff" stroke-width="5"/>'
        for i, face in enumerate(faces)
        for x, data in [(left + i * (side + gap), base64.b64encode(face).decode())]
    )
    return (
        f'<defs>{GRADIENT}</defs><rect width="{width}" height="{height}" fill="url(#g)"/>{bars}'
        f'<g transform="translate({left - 14} 36) scale(0.54)">{mark()}</g>'
        f'<text x="{left + 214}" y="140" font-size="92" font-weight="bold" {FONT}>UniTalking</text>'
        f'<text x="{left + 218}" y="198" font-size="29" {FONT}>Talking portraits in ComfyUI: face and speech, made together</text>{tiles}'
    )


def people(side: int = 512) -> list[bytes]:
    """The banner's people as PNG files, as the corpus draws them."""
    sys.path.insert(0, str(ROOT))
    import numpy as np
    from PIL import Image

    from unitalking_core.data.faces import sample_face
    from unitalking_core.data.render import render, still
    from unitalking_core.data.visemes import VISEMES

    pictures = []
    for seed, gender, phone in PEOPLE:
        mouth = np.array([VISEMES[phone][:3]], np.float32)
        file = io.BytesIO()
        Image.fromarray(render(sample_face(seed, gender), mouth, still(1), side)[0]).save(file, "PNG")
        pictures.append(file.getvalue())
    return pictures


def rasterise(svg: str, size: tuple[int, int], path: Path) -> None:
    """Draw SVG content of that size into a PNG, with a clear ground. Raises Problem without Chromium."""
    browser = test_tools.chromium()
    if browser is None:
        raise Problem("drawing needs Chromium; `make test` gets it, or set CHROMIUM=")
    width, height = size
    page = f'<body style="margin:0"><svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}">{svg}</svg>'
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "mark.html"
        source.write_text(page, encoding="utf-8")
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--default-background-color=00000000"]
        shot = [f"--user-data-dir={folder}/profile", f"--window-size={width},{height}", f"--screenshot={path}", source.as_uri()]
        subprocess.run([browser, *flags, *shot], check=True, capture_output=True)


def draw() -> int:
    """Both pictures."""
    for name, svg, size in (("icon.png", icon(), ICON), ("banner.png", banner(people()), BANNER)):
        rasterise(svg, size, ROOT / "docs" / name)
        say(f"docs/{name}: {(ROOT / 'docs' / name).stat().st_size // 1024} KB")
    return 0


if __name__ == "__main__":
    console.main(draw)
