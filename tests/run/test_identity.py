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


def test_a_table_whose_first_line_was_said_to_hold_names_is_the_same_run_where_that_is_found_out() -> None:
    said, found = ({"data": {"root": "x.csv", "header": header}} for header in (True, None))
    assert compared(said) == compared(found) == compared({"data": {"root": "x.csv"}})
    assert compared({"data": {"root": "x.csv", "header": False}}) != compared(found)
