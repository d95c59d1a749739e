"""Which settings make two runs one."""

from __future__ import annotations

from gantrain.run.identity import compared


def test_a_setting_of_a_loss_that_is_null_is_as_if_it_did_not_exist_yet() -> None:
    before = {"loss": {"regularizers": {"lecam": {"weight": 0.3}}}}
    after = {"loss": {"regularizers": {"lecam": {"weight": 0.3, "relu": None, "start": None}}}}
    assert compared(before) == compared(after) == {"loss.regularizers.lecam.weight": 0.3}
    chosen = {"loss": {"regularizers": {"lecam": {"weight": 0.3, "relu": True}}}}
    assert compared(chosen) != compared(before)
    assert "data.transform" in compared({"data": {"transform": None}})  # elsewhere null is a setting like any other
