"""The page: one file, safe, and alive in a browser."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from gantrain.reports.text import latex
from tests.conftest import GUARD
from tests.reports.conftest import Command, left, sweep

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


def test_tables_and_charts_can_be_saved_as_latex_and_svg(report: Command, tmp_path: Path) -> None:
    sweep(tmp_path / "outputs")
    report("outputs", "out=r.html")
    page = (tmp_path / "r.html").read_text()
    files = dict(re.findall(r'download="([^"]+)" href="data:[^,"]+,([^"]*)"', page))
    latex = unquote(files["ranking-by-fid-final.tex"])
    # t at 98% with two degrees of freedom is 6.965: 2.2333 ± 6.965 · 0.25166 / √3
    assert r"hinge & 1 & 3 & 2.233 $\pm$ 0.25 & [1.221, 3.245] & 0 of 3" in latex and latex.count(r"\\") == 4
    assert latex.splitlines()[1] == r"\begin{tabular}{lrrrrrrr}" and latex.rstrip().endswith(r"\end{tabular}")
    svg = unquote(files["digits-fid.svg"])
    drawn = ElementTree.fromstring(svg)
    assert drawn.tag == "{http://www.w3.org/2000/svg}svg" and "var(" not in svg and "#2563a8" in svg
    assert len(drawn.findall("{*}polyline")) == 3


def test_latex_reads_no_character_of_a_name_as_its_own() -> None:
    assert latex("50% of a_b & {c} # $ \\ ~ ± ↓") == (
        r"50\% of a\_b \& \{c\} \# \$ \textbackslash{} \textasciitilde{} $\pm$ $\downarrow$"
    )


def test_settings_show_what_differs_and_the_command(report: Command, tmp_path: Path) -> None:
    for loss, rate in (("hinge", 2e-4), ("lsgan", 1e-4)):
        path = left(tmp_path / "outputs", loss, 0, 2.0) / "status.json"
        player = {"parameters": 1234, "optimizer": "Adam", "learning_rate": rate, "betas": [0.5, 0.999]}
        more = {"command": f"gantrain loss={loss}", "ratio": "1:1", "players": {"G": player, "D": player}}
        path.write_text(json.dumps(json.loads(path.read_text()) | more))
    report("outputs", "out=r.html")
    page = (tmp_path / "r.html").read_text()
    start = page.index("What each was trained with")
    row = page[start : page.index("</table>", start)]
    assert '<td class="differs">0.0002</td>' in row and '<td class="differs">0.0001</td>' in row
    assert "<td>Adam β (0.5, 0.999)</td>" in row and "<td>1,234</td>" in row and "<td>1:1</td>" in row
    assert '<td class="command">gantrain loss=hinge</td>' in row


def test_real_samples_stand_beside_the_generated_ones_of_each_row(report: Command, tmp_path: Path) -> None:
    sweep(tmp_path / "outputs")
    for run in (tmp_path / "outputs").rglob("samples"):
        Image.fromarray(np.full((16, 16), 7, np.uint8)).save(run / "real.png")
    without = next((tmp_path / "outputs").rglob("hinge/seed0/samples/real.png"))
    without.unlink()
    report("outputs", "out=r.html")
    page = (tmp_path / "r.html").read_text()
    rows = [row for row in page.split("<tr>") if "<img" in row]
    assert [row.count('alt="samples of ') for row in rows] == [3, 3, 3]
    assert [row.count('alt="real samples"') for row in rows] == [0, 1, 1] and "<td>–</td>" in rows[0]
    assert page.count("<th>real samples</th>") == 1


def test_runs_of_a_kind_without_a_finished_one_are_told_with_their_reasons(report: Command, tmp_path: Path) -> None:
    left(tmp_path / "outputs", "hinge", 0, 2.0, state="diverged", reason="g/adversarial is nan at step 37")
    left(tmp_path / "outputs", "lsgan", 0, 2.0, state="running", step=41)  # and no process holds its lock
    assert report("outputs", "out=r.html").exit_code == 0
    for kind in ("html", "md"):
        told = (tmp_path / f"r.{kind}").read_text()
        assert "hinge/seed0: diverged, g/adversarial is nan at step 37" in told
        assert "lsgan/seed0: killed, at step 41" in told


def test_on_a_phone_long_names_leave_room_for_the_values_beside_them(report: Command, tmp_path: Path) -> None:
    name = "a_loss_with_a_name_that_is_much_too_long_for_a_phone"
    left(tmp_path / "outputs", name, 0, 2.0)
    assert report("outputs", "out=r.html").exit_code == 0
    inner = (tmp_path / "r.html").read_text().replace("</body>", """<script>
      const cell = document.querySelector("table.sortable tbody td");
      parent.postMessage([cell.getBoundingClientRect().width, innerWidth], "*");
    </script></body>""")  # fmt: skip
    (tmp_path / "inner.html").write_text(inner)
    outer = tmp_path / "outer.html"  # headless Chromium makes no window as narrow as a phone; a frame is
    outer.write_text("""<body><script>
      onmessage = event => { document.body.innerHTML = `<pre>${JSON.stringify(event.data)}</pre>`; };
      </script><iframe src="inner.html" style="width: 390px"></iframe></body>""")  # fmt: skip
    width, whole = json.loads(re.findall(r"<pre>(.*)</pre>", browser(tmp_path, outer, "--dump-dom"))[0])
    assert whole == 390 and 60 < width < whole / 2


def test_kinds_of_one_data_set_say_in_their_headings_what_tells_them_apart(report: Command, tmp_path: Path) -> None:
    sweep(tmp_path / "outputs")
    left(tmp_path / "more", "hinge", 0, 1.0, budget={"of": "d_updates", "amount": 800.0})
    left(tmp_path / "stopped", "hinge", 0, 1.0, budget={"of": "d_updates", "amount": 900.0}, state="stopped")
    outcome = report("outputs", "more", "stopped", "out=r.html")
    headings = re.findall(r"<h2[^>]*>([^<]*)</h2>", (tmp_path / "r.html").read_text())
    *kinds, last = headings
    assert kinds == [f"digits: {amount} updates of D each" for amount in (400, 800, 900)] and last == "Left out"
    lines = outcome.out.splitlines()
    assert all(any(line.startswith(f"{kind}, classifier aaaa1111") for line in lines) for kind in kinds)
    said = "No run of this kind has finished and been measured (1 stopped): hinge."
    page = (tmp_path / "r.html").read_text()
    assert said in outcome.out and page[page.index("900 updates of D each</h2>") :].count("<table") == 0
