"""A protocol has one description, for whoever shows numbers that were measured by it."""

from __future__ import annotations

from dataclasses import asdict, fields

import pytest

from gantrain.run.protocol import Protocol
from gantrain.run.read import described
from gantrain.schema import EvaluationSettings, ProtocolSettings


def protocol(**changed: object) -> Protocol:
    settings = {
        "split": None, "generator": "ema", "truncation": None, "seed": 0, "kid_subsets": 5, "kid_subset_size": 250,
        "is_splits": 10, "k_precision_recall": 3, "k_density_coverage": 5, "n_neighbours": 1000, "n_pool": 10000,
        "slices": 128, "n_w2": 500,
    }  # fmt: skip
    known = {"data": "d", "features": "classifier", "network": "n", "resizer": "none", "n_fake": 1797, "n_real": 10000}
    return Protocol(**(settings | known | changed))


def test_truncation_split_generator_and_resizer_are_part_of_the_description() -> None:
    p = protocol(truncation=0.7, split="test", generator="raw")
    expected = f"classifier {p.hash}: 1,797 of the raw generator, truncation 0.7 against 10,000 real (test)"
    assert str(p) == described(p.recorded()) == expected
    assert str(protocol()).endswith(": 1,797 of the averaged generator against 10,000 real")
    assert str(protocol(resizer="clean")).endswith(" against 10,000 real, resizer clean")


def test_whatever_is_changed_gives_another_hash() -> None:
    hashes = {protocol().hash}
    for name, value in asdict(protocol()).items():
        hashes.add(protocol(**{name: value + 1 if isinstance(value, int) else f"{value}!"}).hash)
    assert len(hashes) == 1 + len(fields(Protocol))


def test_settings_of_a_protocol_stand_once() -> None:
    own = {field.name for field in fields(ProtocolSettings)}
    assert own < {field.name for field in fields(EvaluationSettings)} and own < {f.name for f in fields(Protocol)}


@pytest.mark.parametrize("missing", ["n_fake", "generator", "features", "hash", "n_real"])
def test_a_damaged_record_is_not_described(missing: str) -> None:
    record = protocol().recorded()
    del record[missing]
    with pytest.raises(KeyError):
        described(record)
