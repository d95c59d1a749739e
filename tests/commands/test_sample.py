"""``gantrain-sample``: pictures, arrays and walks, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gantrain.sampling import samples_of
from gantrain.trained import Trained
from tests.commands.conftest import Command
from tests.conftest import built


def test_sample_writes_grid_files_arrays_progress_and_a_walk(gantrain_sample: Command, run: Path) -> None:
    outcome = gantrain_sample(f"run={run}", "n=9", "truncation=0.7", "interpolate=true", "frames=3", "seed=5")
    assert outcome.exit_code == 0, outcome.err
    (folder,) = (run / "generated").iterdir()
    assert folder.name == "step-000000030-ema-n9-seed5-truncation0.7"
    assert sorted(p.name for p in folder.iterdir()) == [
        *("files", "grid.png", "interpolation.png", "progress.gif", "samples.npz", "walk.gif")
    ]
    arrays = np.load(folder / "samples.npz")
    assert arrays["images"].shape == (9, 8, 8, 1) and arrays["images"].dtype == np.uint8
    assert abs(arrays["latents"]).max() <= 0.7 and arrays["seed"] == 5
    for k in range(9):
        assert (np.asarray(Image.open(folder / "files" / f"{k:05d}.png")) == arrays["images"][k, :, :, 0]).all()
    net = Trained.open(run).generator("ema", torch.device("cpu"))
    expected = torch.cat(list(samples_of(net, torch.from_numpy(arrays["latents"]))))
    assert ((expected + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy().tolist() == arrays["images"].tolist()
    with Image.open(folder / "walk.gif") as walk:
        assert walk.n_frames == 8 * 3 and walk.size == (128, 128)
    with Image.open(folder / "progress.gif") as progress:
        assert progress.n_frames > 1


def test_sample_picks_classes_of_an_unconditional_generator_by_the_classifier(
    gantrain_sample: Command, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Real(torch.nn.Module):
        """Draws real digits, chosen by the latent."""

        pixels = built().data.pixels

        def forward(self, z: torch.Tensor, labels: torch.Tensor | None) -> torch.Tensor:
            return self.pixels[(z[:, 0].abs() * 1e5).long() % len(self.pixels)].float() / 127.5 - 1

    monkeypatch.setattr(Trained, "generator", lambda self, which, device: Real())
    outcome = gantrain_sample(f"run={run}", "n=7", "classes=[3,1]", "out=picked", "device=cpu")
    assert outcome.exit_code == 0 and "picked by the classifier" in outcome.err, outcome.err
    arrays = np.load("picked/samples.npz")
    assert arrays["labels"].tolist() == [1, 1, 1, 3, 3, 3, 3]
    named = gantrain_sample(f"run={run}", "n=7", "classes=['3','1']", "out=named", "device=cpu")
    assert named.exit_code == 0, named.err
    assert np.load("named/samples.npz")["images"].tolist() == arrays["images"].tolist()
    true = {image.numpy().tobytes(): int(label) for image, label in zip(Real.pixels, built().data.labels, strict=True)}
    found = [true[image.transpose(2, 0, 1).tobytes()] for image in arrays["images"]]
    assert sum(a == b for a, b in zip(found, arrays["labels"], strict=True)) >= 6


def test_sample_says_when_a_class_does_not_come(gantrain_sample: Command, run: Path) -> None:
    outcome = gantrain_sample(f"run={run}", "n=10", "classes=[0,1,2,3,4,5,6,7,8,9]", "device=cpu")
    assert outcome.exit_code == 2 and "are read as class" in outcome.err and not (run / "generated").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["classes=[10]"], "there are 0 to 9"),
        (["classes=[cat]"], "classes=['cat']: there are 0 to 9, called 0, 1, 2"),
        (["classes=[1.5]"], "there are 0 to 9"),
        (["classes=[]"], "there are 0 to 9"),
        (["save=[gird]"], "gird is not among grid, files, npz, progress"),
        (["n=0"], "n must be 1 or more"),
        (["truncation=-1"], "truncation must be above 0"),
        (["out=run"], "exists and is not an empty folder"),
        (["n=1", "interpolate=true"], "needs n=2 or more"),
        (["generator=average"], "must be one of ema, raw"),
    ],
)
def test_sample_refuses_in_one_line_and_leaves_nothing(
    gantrain_sample: Command, run: Path, arguments: list[str], words: str
) -> None:
    before = sorted(run.rglob("*"))
    outcome = gantrain_sample(f"run={run}", *arguments)
    assert outcome.exit_code == 2 and words in outcome.err and outcome.err.count("gantrain: error") == 1, outcome.err
    assert [path for path in sorted(run.rglob("*")) if path.name != "generated"] == before


def test_a_place_that_is_taken_while_sampling_is_not_touched(tmp_path: Path) -> None:
    from gantrain.cli.runs import made_whole
    from gantrain.errors import DiskError

    with pytest.raises(DiskError), made_whole(str(tmp_path / "out"), tmp_path, tmp_path) as (folder, place):
        (folder / "mine").write_text("1")
        place.mkdir()
        (place / "theirs").write_text("2")
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "theirs"]


def test_more_samples_than_memory_holds_get_one_line(gantrain_sample: Command, run: Path) -> None:
    outcome = gantrain_sample(f"run={run}", "n=2000000000")
    assert outcome.exit_code == 8 and "out of memory" in outcome.err and "Traceback" not in outcome.err


def test_a_torn_picture_is_left_out_of_the_progress(gantrain_sample: Command, run: Path) -> None:
    torn = run / "samples" / "step-000000005.png"
    torn.write_bytes(next((run / "samples").glob("step-*.png")).read_bytes()[:100])
    outcome = gantrain_sample(f"run={run}", "n=4", "out=drawn", "save=[progress]")
    assert outcome.exit_code == 0 and "is left out" in outcome.err and Path("drawn/progress.gif").exists()


@pytest.fixture
def stacked_pairs(run: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The run, with a generator whose images have two channels, of which there is no picture."""

    class Pairs(torch.nn.Module):
        def forward(self, z: torch.Tensor, labels: torch.Tensor | None) -> torch.Tensor:
            return z[:, :1, None, None].clamp(-1, 1).expand(-1, 2, 8, 8)

    monkeypatch.setattr(Trained, "generator", lambda self, which, device: Pairs())
    return run


def test_samples_without_a_drawing_are_written_as_numbers_and_a_sentence_says_so(
    gantrain_sample: Command, stacked_pairs: Path
) -> None:
    outcome = gantrain_sample(f"run={stacked_pairs}", "n=4", "out=here", "device=cpu")
    assert outcome.exit_code == 0, outcome.err
    assert outcome.err.count("samples of shape (2, 8, 8) are not drawn") == 1 and "npz holds them" in outcome.err
    assert [path.name for path in Path("here").iterdir()] == ["samples.npz"]  # no GIF of another run's pictures either
    assert np.load("here/samples.npz")["images"].shape == (4, 8, 8, 2)


def test_a_walk_through_samples_without_a_drawing_is_refused(gantrain_sample: Command, stacked_pairs: Path) -> None:
    outcome = gantrain_sample(f"run={stacked_pairs}", "n=4", "save=[npz]", "interpolate=true", "out=here", "device=cpu")
    assert outcome.exit_code == 2 and "(2, 8, 8) are not drawn" in outcome.err and not Path("here").exists()
