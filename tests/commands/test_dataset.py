"""A run on a data set of the user's own: what needs its code asks for it, what does not need it does not."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tests.commands.conftest import Command
from tests.commands.test_signals import SMALL

CODE = """
import torch

class Mine:
    def __len__(self):
        return 240

    def __getitem__(self, k):
        return torch.linspace(-1, 1, 16)[None] * (k % 7) / 7
"""


def test_a_data_set_s_code_is_asked_for_where_its_samples_are_needed_alone(
    gantrain: Command, gantrain_sample: Command, gantrain_export: Command, gantrain_eval: Command, tmp_path: Path
) -> None:
    name = "my_signals_of_this_test"
    (tmp_path / f"{name}.py").write_text(CODE)
    mine = ("data=dataset", f"data.dataset._target_={name}.Mine", "architecture=mlp", "evaluation=none")
    trained = gantrain(*mine, f"trusted_modules=[{name}]", *SMALL, "total_steps=2", "run.dir=run")
    assert trained.exit_code == 0, trained.err
    (tmp_path / f"{name}.py").rename(tmp_path / "away.py")
    sys.modules.pop(name)
    drawn = gantrain_sample("run=run", "n=4", "out=drawn")
    exported = gantrain_export("run=run", "out=exported")
    assert drawn.exit_code == exported.exit_code == 0, drawn.err + exported.err
    (tmp_path / "away.py").rename(tmp_path / f"{name}.py")
    measure = ("run=run", "evaluation=signals", "evaluation.metrics=[sliced_wasserstein]", "evaluation.n_fake=100",
               "evaluation.n_real=200")  # fmt: skip
    refused = gantrain_eval(*measure)
    said = refused.err.replace("\n", " ")
    assert refused.exit_code == 2 and f"_target_={name}.Mine is not trusted; add its module to trusted_modules" in said
    measured = gantrain_eval(*measure, f"trusted_modules=[{name}]", "json=true")
    assert measured.exit_code == 0 and "sliced_wasserstein" in json.loads(measured.out), measured.err
