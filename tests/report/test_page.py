"""The page: one file, safe, and alive in a browser."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import GUARD
from tests.report.conftest import Command, left, sweep

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)


def test_names_of_choices_cannot_become_markup(report: Command, tmp_path: Path) -> None:
    left(tmp_path / "outputs", "hinge", 0, 2.0)
    left(tmp_path / "outputs", "<img src=x onerror=alert(1)>", 0, 3.0, reason="<script>")
    assert report("outputs", "out=r.html").exit_code == 0
    page = (tmp_path / "r.html").read_text()
    assert "<img src=x" not in page and "&lt;img src=x" in page


def browser(tmp_path: Path, page: Path, *arguments: str, size: str = "1200,1600", query: str = "") -> str:
    if CHROMIUM is None:
        pytest.skip("apt-get install chromium")
    quiet = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars",
             "--disable-background-networking", "--disable-component-update", "--disable-sync"]  # fmt: skip
    profile = f"--user-data-dir={tmp_path / f'profile-{time.monotonic_ns()}'}"
    done = subprocess.run(
        [CHROMIUM, *quiet, profile, f"--window-size={size}", *arguments, f"file://{page}{query}"],
        capture_output=True, text=True, timeout=GUARD,
    )  # fmt: skip
    return done.stdout


def test_the_page_needs_no_other_file(report: Command, tmp_path: Path) -> None:
    sweep(tmp_path / "outputs")
    assert report("outputs", "out=r.html").exit_code == 0
    page = (tmp_path / "r.html").read_text()
    assert not re.findall(r"""(?:src|href)\s*=\s*["'](?!data:)|url\(|@import|https?://""", page)
    assert page.count("data:image/png;base64,") == 9  # three losses, three stages
    grids = re.findall(r"<small>([\d,]+) images, step (\d+)</small>", page)
    assert grids == [("2,560", "40"), ("12,800", "200"), ("25,600", "400")] * 3


def test_in_a_browser_it_sorts_turns_dark_and_fits_a_phone(report: Command, tmp_path: Path) -> None:
    sweep(tmp_path / "outputs")
    assert report("outputs", "out=r.html").exit_code == 0
    page = tmp_path / "r.html"

    probe = tmp_path / "probe.html"  # the page, and a script that acts as a reader would and writes down what it sees
    probe.write_text(page.read_text().replace("</body>", """<script>
      const body = document.querySelector("table.sortable").tBodies[0];
      const names = () => [...body.rows].map(r => r.cells[0].textContent);
      const seen = [names()];
      const heads = document.querySelectorAll("table.sortable th button");
      const mean = [...heads].find(b => b.textContent.includes("mean"));
      mean.click(); seen.push(names()); mean.click(); seen.push(names());
      const before = getComputedStyle(document.body).backgroundColor;
      document.querySelector(".theme").click();
      seen.push(before !== getComputedStyle(document.body).backgroundColor);
      seen.push(document.documentElement.scrollWidth <= innerWidth + 1, innerWidth);
      document.body.innerHTML = "<pre>" + JSON.stringify(seen) + "</pre>";
    </script></body>"""))  # fmt: skip
    for size in ("1200,900", "500,900"):  # the narrowest window that headless Chromium makes
        found = json.loads(re.findall(r"<pre>(.*)</pre>", browser(tmp_path, probe, "--dump-dom", size=size))[0])
        assert found[0] == found[1] == ["hinge", "vanilla", "wgan_gp"] and found[2] == ["wgan_gp", "vanilla", "hinge"]
        assert found[3] is True and found[4] is True, found

    pictures = {}
    for theme in ("light", "dark"):
        shot = tmp_path / f"{theme}.png"
        browser(tmp_path, page, f"--screenshot={shot}", query=f"?theme={theme}")
        pictures[theme] = np.asarray(Image.open(shot).convert("RGB"), dtype=float)
    light, dark = pictures["light"], pictures["dark"]
    assert np.median(light) > 240 and np.median(dark) < 40
    for colour in ((37, 99, 168), (200, 80, 30), (38, 128, 90)):  # --c0 to --c2 of page.css
        assert (np.abs(light - colour).max(-1) < 12).sum() > 100  # each loss is drawn


def test_a_report_of_runs_without_pictures_says_why_there_are_none(report: Command, tmp_path: Path) -> None:
    sweep(tmp_path / "outputs")
    assert report("outputs", "out=with.html").exit_code == 0
    for picture in (tmp_path / "outputs").rglob("step-*.png"):
        picture.unlink()
    assert report("outputs", "out=without.html").exit_code == 0
    found = [page.count("There are no pictures of samples") for page in
             ((tmp_path / f"{name}.html").read_text() for name in ("with", "without"))]  # fmt: skip
    assert found == [0, 1]
