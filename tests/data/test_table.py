"""Tables: what is read of a CSV and a Parquet file, how it is standardised, and what is refused."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gantrain.data import Table
from gantrain.errors import ConfigError, DataError, GantrainError

CPU = torch.device("cpu")
ROWS = np.array([[1.5, 200, -3e-7], [2.5, 100, 4e-7], [3.0, 400, 1e-7], [0.5, 300, 2e-7]])
TEXT = "a,big,small,class\n1.5,200,-3e-7,b10\n2.5,100,4e-7,b9\n\n3,400,1e-7,b9\n.5, 300,2e-7,b10\n"


def table(root: Path | str, **settings: Any) -> Table:
    plain = {"columns": None, "label": None, "standardise": True, "header": None, "delimiter": ","}
    return Table(str(root), **plain | settings)


def csv(folder: Path, text: str | bytes, name: str = "t.csv") -> Path:
    (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder / name


def parquet(folder: Path, columns: dict[str, Any], name: str = "t.parquet") -> Path:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet as files

    files.write_table(pyarrow.table(columns), folder / name)
    return folder / name


def test_each_column_of_a_csv_file_is_standardised_and_turned_back(tmp_path: Path) -> None:
    data = table(csv(tmp_path, TEXT), label="class")
    assert (data.shape, data.count, data.classes, data.class_names) == ((3,), 4, 2, ("b9", "b10"))
    assert data.labels is not None and data.labels.tolist() == [1, 0, 0, 1] and data.kind.name == "points"
    rows = data.at(range(4))
    assert rows.dtype == torch.float32
    torch.testing.assert_close(rows.mean(0), torch.zeros(3), atol=1e-6, rtol=0)
    torch.testing.assert_close(rows.square().mean(0), torch.ones(3))
    assert data.units is not None and data.units.names == ("a", "big", "small") and data.units.label == "class"
    np.testing.assert_allclose(data.units.original(rows).numpy(), ROWS, rtol=1e-6)


def test_a_table_may_be_taken_as_it_is_and_in_another_order(tmp_path: Path) -> None:
    data = table(csv(tmp_path, TEXT), columns=["small", "a"], standardise=False)
    np.testing.assert_array_equal(data.at(range(4)).numpy(), ROWS[:, [2, 0]].astype(np.float32))
    assert data.classes == 0 and data.labels is None and "as they are" in str(data)


def test_columns_of_texts_are_passed_over_in_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert table(csv(tmp_path, TEXT)).shape == (3,)
    assert "t.csv has columns of texts, which are passed over: class" in capsys.readouterr().err
    table(csv(tmp_path, TEXT), label="class")
    assert not capsys.readouterr().err


def test_a_header_may_be_missing_and_the_delimiter_another(tmp_path: Path) -> None:
    data = table(csv(tmp_path, b"\xef\xbb\xbf1;2\n3;5\n"), header=False, delimiter=";")
    assert data.units is not None and data.units.names == ("column_1", "column_2")
    np.testing.assert_array_equal(data.at([0, 1]).numpy(), [[-1, -1], [1, 1]])


@pytest.mark.parametrize(
    ("text", "settings", "names", "rows"),
    [
        ("1.5,cat,2\n2.5,dog,4\n", {}, ("column_1", "column_3"), 2),  # a text beside numbers is no name
        ("cat,,-1e3\ndog,2,5\n", {"columns": ["column_3"]}, ("column_3",), 2),
        ("a,b,\n1,2,x\n3,4,y\n", {}, ("a", "b"), 2),  # names, and one column without
        ("place,2019,2020\nx,1,2\ny,3,4\n", {}, ("column_2", "column_3"), 3),  # perhaps years: told, and see below
        ("place,2019,2020\nx,1,2\ny,3,4\n", {"header": True}, ("2019", "2020"), 2),
        ("place,2019,2020\nx,1,2\nx,3,4\n", {"label": "place"}, ("2019", "2020"), 2),
        ("place,2019,2020\nx,1,2\ny,3,4\n", {"columns": [2020]}, ("2020",), 2),
        ("1,2\n3,4\n", {}, ("column_1", "column_2"), 2),
    ],
)
def test_the_first_line_is_a_row_if_a_number_stands_in_it_and_no_name_that_was_asked_for(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    text: str,
    settings: dict[str, Any],
    names: tuple[str, ...],
    rows: int,
) -> None:
    data = table(csv(tmp_path, text), **settings)
    assert data.units is not None and data.units.names == names and data.count == rows
    said = capsys.readouterr().err.replace("\n", " ")
    assert ("it is read as data; if it holds names, add data.header=true" in said) == (names[0].startswith("column"))


def test_a_first_line_of_numbers_holds_no_names_whatever_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"the first line holds numbers and no names; add data\.header=false"):
        table(csv(tmp_path, "1,2\n3,4\n"), header=True)


@pytest.mark.parametrize("delimiter", ["tab", "\t", "\\t"])
def test_tabs_may_be_named(tmp_path: Path, delimiter: str) -> None:
    data = table(csv(tmp_path, "a,b\tc\n1\t2\n3\t5\n"), delimiter=delimiter)
    assert data.units is not None and data.units.names == ("a,b", "c")


def test_one_column_and_texts_with_other_delimiters_in_them_are_read(tmp_path: Path) -> None:
    assert table(csv(tmp_path, "a\n1\n2\n")).shape == (1,)
    data = table(csv(tmp_path, "a,b\n1,x;y\n2,x;y\n"))
    assert data.units is not None and data.units.names == ("a",)


def test_quotes_and_a_mark_of_bytes_are_no_part_of_names(tmp_path: Path) -> None:
    data = table(csv(tmp_path, '\ufeff"x, ""y""",z\n1,2\n3,4\n'))
    assert data.units is not None and data.units.names == ('x, "y"', "z")


def test_parquet_is_the_same_table_as_csv(tmp_path: Path) -> None:
    columns = {"a": ROWS[:, 0].astype("float32"), "big": ROWS[:, 1].astype("int16"), "small": ROWS[:, 2]}
    # Known by its content: the name says nothing.
    path = parquet(tmp_path, columns | {"class": ["b10", "b9", "b9", "b10"]}, "t.csv")
    data, other = table(path, label="class"), table(csv(tmp_path, TEXT, "u"), label="class")
    assert torch.equal(data.rows, other.rows) and data.units == other.units and data.identity() == other.identity()


def test_parquet_without_its_package_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = csv(tmp_path, b"PAR1....PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ConfigError, match=r"needs pyarrow: pip install 'gantrain\[table\]'"):
        table(path)


def test_batches_are_whole_epochs_and_a_function_of_seed_and_position(tmp_path: Path) -> None:
    data = table(csv(tmp_path, TEXT), label="class")
    stream, again = data.stream(2, 3, CPU), data.stream(2, 3, CPU)
    batches = [stream.next() for _ in range(2)]
    epoch = torch.cat([rows for rows, _ in batches])
    assert torch.equal(epoch.sort(0).values, data.rows.sort(0).values)
    again.load_state_dict({"position": 1})
    rows, labels = again.next()
    assert torch.equal(rows, batches[1][0]) and labels is not None and torch.equal(labels, batches[1][1])
    assert torch.equal(labels, data.labels[[int((data.rows == row).all(1).nonzero()) for row in rows]])


def test_another_number_name_or_label_is_another_identity(tmp_path: Path) -> None:
    texts = [TEXT, TEXT.replace("400", "401"), TEXT.replace("big", "bag"), TEXT.replace("b9", "b8")]
    texts += [TEXT.replace("4e-7,b9", "4e-7,b10")]
    found = [table(csv(tmp_path, text), label="class").identity() for text in texts]
    assert len(set(found)) == 4 and found[3] == found[0]  # the name of a class is no part of the samples


REFUSED = {
    "empty": (b"", "is empty"),
    "header alone": ("a,b\n", "has a header and no rows"),
    "one row": ("a,b\n1,2\n", "has 1 row, and 2 are the least"),
    "ragged": ("a,b\n1,2\n3,4,5\n", "line 3 has 3 values and the header 2"),
    "text": ("a,b\n1,2\n3,x y\n", "line 3 has the text 'x y' in b, a column of numbers; fill it in"),
    "decimal comma": ('a,b\n1,2\n"3,5",1\n', "line 3 has the text '3,5' in a"),
    "missing": ("a,b\n1,2\n,4\n", "line 3 has no value of a; fill it in"),
    "missing at first": ("a,b\n1,NA\n2,4\n", "line 2 has no value of b"),
    "nan": ("a,b\n1,2\n\n3,nan\n", "line 4 has nan in b"),
    "infinite": ("a,b\n1,2\n-inf,3\n", "line 3 has -inf in a"),
    "constant": ("a,b\n1,7\n2,7\n", "the column b is 7 in every row, which teaches nothing; leave it out with"),
    "huge": ("a,b\n1,1e308\n2,-1e308\n", "the column b has too large or too small numbers"),
    "twice": ("a,b,a\n1,2,3\n", "has two columns of the name 'a'"),
    "texts": ("a,b\nx,y\nz,w\n", "has no column of numbers"),
    "underscore": ("a,b\n1,2\n3,1_000\n", "line 3 has the text '1_000' in b, a column of numbers; fill it in"),
    "semicolons": ("a;b\n1,5;2\n3;4,5\n", """its values seem to be separated by ';'; add 'data.delimiter=";"'"""),
    "tabs": ("a b\tc\n1\t2\n3\t4\n", "its values seem to be separated by tabs; add data.delimiter=tab"),
    "bars": ("a|b\n1|2\n", """add 'data.delimiter="|"'"""),
    "bytes": (b"a,b\n\xff\xfe,2\n", "is neither Parquet nor text in UTF-8"),
    "quote": ('a,b\n"1,2\n', "cannot be read as CSV"),
    "false parquet": (b"PAR1 and no more", "cannot be read as Parquet"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_file_that_is_no_table_of_numbers_is_refused_in_one_sentence(tmp_path: Path, what: str) -> None:
    content, words = REFUSED[what]
    if what == "false parquet":
        pytest.importorskip("pyarrow")
    with pytest.raises(DataError) as refused:
        table(csv(tmp_path, content))
    assert words in str(refused.value) and "t.csv" in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("columns", "settings", "words"),
    [
        ({"a": ["x", "y"], "b": ["z", "w"]}, {}, "has no column of numbers"),
        ({"a": ["x", "y"], "b": [1, 2]}, {"columns": ["a"]}, "the column a holds string and no numbers"),
        ({"a": [1.0, None, 3.0]}, {}, "row 2 has no value of a"),
        ({"a": [1.0, 2.0, float("inf")]}, {}, "row 3 has inf in a"),
        ({"a": [1.0, 2.0], "b": ["x", None]}, {"label": "b"}, "row 2 has no value of b"),
    ],
)
def test_parquet_files_are_refused_by_row_and_column(
    tmp_path: Path, columns: dict[str, Any], settings: dict[str, Any], words: str
) -> None:
    with pytest.raises(DataError) as refused:
        table(parquet(tmp_path, columns), **settings)
    assert words in str(refused.value) and "t.parquet" in str(refused.value)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"columns": ["a", "weight"]}, "data.columns: weight is no column of"),
        ({"label": "kind"}, "data.label: kind is no column of"),
        ({"columns": []}, "data.columns must be null or a list"),
        ({"columns": "a"}, "data.columns must be null or a list"),
        ({"columns": ["a", "a"]}, "different names"),
        ({"columns": ["a", "class"], "label": "class"}, "data.label=class stands in data.columns too"),
        ({"standardise": None}, "data.standardise must be true or false"),
        ({"header": "yes"}, "data.header must be true, false or null"),
        ({"delimiter": ""}, "data.delimiter must be one character"),
        ({"delimiter": ";;"}, "data.delimiter must be one character"),
        ({"delimiter": ";"}, """its values seem to be separated by ','; add 'data.delimiter=","'"""),
        ({"label": "big"}, "data.label=big has 4 different values in 4 rows, which are no classes"),
    ],
)
def test_settings_that_do_not_suit_the_file_are_refused(tmp_path: Path, settings: dict[str, Any], words: str) -> None:
    with pytest.raises(GantrainError) as refused:
        table(csv(tmp_path, TEXT), **settings)
    assert words in str(refused.value) and "\n" not in str(refused.value)


def test_a_file_that_is_not_there_or_a_class_that_is_not_named_is_refused(tmp_path: Path) -> None:
    for root, words in ((tmp_path, "is not a file"), (tmp_path / "x", "is not a file"), ("", r"data\.root is empty")):
        with pytest.raises(DataError, match=words):
            table(root)
    with pytest.raises(DataError, match="row 2 has no value of class, its class"):
        table(csv(tmp_path, TEXT.replace("4e-7,b9", "4e-7,")), label="class")
