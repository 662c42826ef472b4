"""Files of every kind become the same rows; a file that cannot be read is one sentence."""

import gzip
import json
import tracemalloc
from pathlib import Path

import pandas as pd
import pytest

from core.errors import BadFile
from core.formats import ReadOptions, preview, read, read_for_scoring
from core.records import BadRow, PairRow

ROWS = [
    {"id": f"q{i}", "prompt": f"Question {i}?", "chosen": f"Right {i}.", "rejected": f"Wrong {i}."} for i in range(5)
]
DATA = Path(__file__).parents[4] / "shared" / "data"


def jsonl(path: Path) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")


def jsonl_with_a_mark_and_empty_lines(path: Path) -> None:
    path.write_text("\ufeff" + "\n\n".join(json.dumps(row) for row in ROWS), encoding="utf-8")


def json_list(path: Path) -> None:
    path.write_text(json.dumps(ROWS, indent=2), encoding="utf-8")


def csv(path: Path) -> None:
    pd.DataFrame(ROWS).to_csv(path, index=False)


def tsv(path: Path) -> None:
    pd.DataFrame(ROWS).to_csv(path, index=False, sep="\t")


def parquet(path: Path) -> None:
    pd.DataFrame(ROWS).to_parquet(path)


def jsonl_gz(path: Path) -> None:
    path.write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in ROWS).encode()))


def csv_gz(path: Path) -> None:
    path.write_bytes(gzip.compress(pd.DataFrame(ROWS).to_csv(index=False).encode()))


def parquet_gz(path: Path) -> None:
    path.write_bytes(gzip.compress(pd.DataFrame(ROWS).to_parquet()))


KINDS = [
    (jsonl, "in.jsonl"),
    (jsonl_with_a_mark_and_empty_lines, "in.jsonl"),
    (json_list, "in.json"),
    (csv, "in.csv"),
    (tsv, "in.tsv"),
    (parquet, "in.parquet"),
    (jsonl_gz, "in.jsonl.gz"),
    (parquet_gz, "in.parquet.gz"),
    (csv_gz, "in.csv.gz"),
]


@pytest.mark.parametrize(("make", "name"), KINDS, ids=[make.__name__ for make, _ in KINDS])
def test_every_kind_of_file_gives_the_same_pairs(tmp_path, make, name):
    make(tmp_path / name)

    rows = list(read(tmp_path / name, ReadOptions()))

    assert [row.id for row in rows] == ["q0", "q1", "q2", "q3", "q4"]
    assert [row.pair.prompt[0].content for row in rows] == [row["prompt"] for row in ROWS]


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"", "empty"),
        (b"\n  \n", "is empty"),
        (gzip.compress(b""), "is empty"),
        (b'[{"prompt": "p"},\n oops]', "broken JSON: .*line 2 column 2"),
        (b"prompt,chosen,chosen\np,x,y\n", "two columns 'chosen'"),
        (b'{"prompt": "\xff"}\n', "UTF-8"),
        (gzip.compress(b"x" * 10_000)[:-12], "gzip"),
        (b'{"colour": "red"}\n', "colour"),
    ],
    ids=["empty", "blank", "empty gzip", "broken array", "column twice", "not UTF-8", "broken gzip", "no layout"],
)
def test_file_that_cannot_be_read_is_one_sentence(tmp_path, content, word):
    path = tmp_path / "in.jsonl"
    path.write_bytes(content)

    with pytest.raises(BadFile, match=word) as caught:
        list(read(path, ReadOptions()))

    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("name", "word"), [("missing.jsonl", "does not exist"), (".", "directory")])
def test_what_is_no_file_is_one_sentence(tmp_path, name, word):
    with pytest.raises(BadFile, match=word):
        list(read(tmp_path / name, ReadOptions()))


LONG_NUMBER = '{"n": 1%s}' % ("0" * 5000)


@pytest.mark.parametrize("line", ["{", '{"prompt": NaN}', "[1]", '"text"', LONG_NUMBER, '{"id": "a", "id": "b"}'])
def test_line_that_is_no_object_is_a_bad_row_with_its_number(tmp_path, line):
    path = tmp_path / "in.jsonl"
    path.write_text(json.dumps(ROWS[0]) + "\n" + line + "\n" + json.dumps(ROWS[1]) + "\n")

    first, bad, last = read(path, ReadOptions())

    assert isinstance(first, PairRow)
    assert isinstance(last, PairRow)
    assert isinstance(bad, BadRow)
    assert (bad.file, bad.line) == ("in.jsonl", 2)


def test_a_quote_that_is_not_closed_costs_its_own_row_only(tmp_path):
    lines = ["id,prompt,chosen,rejected", *(f"q{i},Question {i}?,Right {i}.,Wrong {i}." for i in range(2, 1002))]
    lines[10] = 'q11,Question 11?,Right 11.,"Wrong 11.'
    (tmp_path / "in.csv").write_text("\n".join(lines))

    rows = list(read(tmp_path / "in.csv", ReadOptions()))

    (bad,) = [row for row in rows if isinstance(row, BadRow)]
    assert (bad.line, bad.kind) == (11, "broken quotes")
    assert len(rows) == 1000
    assert [row.line for row in rows] == list(range(2, 1002))


def test_rows_of_a_table_bear_the_number_of_their_first_line(tmp_path):
    (tmp_path / "in.csv").write_text('prompt,chosen,rejected\n"two\nlines",x,y\np,x\n\nq,x,"y\nz"\nr,x,y\n')

    rows = list(read(tmp_path / "in.csv", ReadOptions()))

    assert [row.line for row in rows] == [2, 4, 6, 8]
    assert (rows[1].kind, rows[1].reason) == ("wrong number of fields", "2 fields where the header has 3")


@pytest.mark.parametrize("bad", ['{"n": NaN}', LONG_NUMBER, '{"a": [{"k": 1, "k": 2}]}'])
def test_a_bad_row_of_a_json_array_has_its_number(tmp_path, bad):
    (tmp_path / "in.json").write_text(f"[{json.dumps(ROWS[0])}, {bad}, {json.dumps(ROWS[1])}]")

    first, refused, last = read(tmp_path / "in.json", ReadOptions())

    assert isinstance(refused, BadRow)
    assert (first.line, refused.line, last.line) == (1, 2, 3)


@pytest.mark.parametrize(
    "whole",
    [
        {"prompt": "p", "response_a": "x", "response_b": "y", "labels": [{"labeler": "j", "preference": "a"}]},
        {"conversations": [{"from": "human", "value": "p"}], "chosen": {"from": "gpt", "value": "x"}, "rejected": "y"},
        {"version": 1, "data": [{"prompt": "p", "chosen": "x", "rejected": "y"}]},
    ],
    ids=["a pair with labels", "a conversation", "rows under a name"],
)
def test_a_json_object_is_a_row_where_it_fits_a_layout_and_else_holds_the_rows(tmp_path, whole):
    (tmp_path / "in.json").write_text(json.dumps(whole, indent=1))

    (row,) = read(tmp_path / "in.json", ReadOptions())

    assert isinstance(row, PairRow)
    assert {row.pair.response_a, row.pair.response_b} == {"x", "y"}


@pytest.mark.parametrize("depth", [900, 100_000])
def test_json_deeper_than_python_calls_is_a_bad_row_or_a_text_and_no_crash(tmp_path, depth):
    deep = '[{""x"":' + "[" * depth + "]" * depth + "}]"
    row = 'p,x,y,"{}",{}\n'
    header = "prompt,response_a,response_b,labels,meta\n"
    (tmp_path / "in.csv").write_text(header + row.format(deep, "m") + row.format("", f'"{deep}"') + row.format("", "m"))

    bad, _, good = read(tmp_path / "in.csv", ReadOptions())

    assert isinstance(bad, BadRow)
    assert isinstance(good, PairRow)


def test_long_file_is_read_in_bounded_memory(tmp_path):
    path = tmp_path / "long.jsonl"
    with path.open("w") as out:
        for number in range(20_000):
            row = {"prompt": f"Question {number}?", "chosen": "right " * 40, "rejected": f"wrong {number}"}
            out.write(json.dumps(row) + "\n")

    tracemalloc.start()
    count = sum(1 for _ in read(path, ReadOptions()))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert count == 20_000
    assert peak < 2_000_000 < path.stat().st_size


def test_preview_shows_the_first_rows_and_says_what_is_wrong(tmp_path):
    jsonl(tmp_path / "in.jsonl")
    (tmp_path / "odd.jsonl").write_text('{"question": "x", "answer": "y"}\n')

    good, odd = preview(tmp_path / "in.jsonl", rows=2), preview(tmp_path / "odd.jsonl")

    assert (good.format, len(good.rows), good.problem) == ("trl-explicit", 2, None)
    assert odd.columns == ("question", "answer")
    assert odd.problem is not None


def test_rows_to_score_are_pairs_or_single_responses(tmp_path):
    (tmp_path / "in.jsonl").write_text(
        '{"id": "s", "prompt": "Q?", "response": "R"}\n{"prompt": "Q?", "response_a": "A", "response_b": "B"}\n'
    )

    one, two = read_for_scoring(tmp_path / "in.jsonl")

    assert (one.id, one.responses) == ("s", ("R",))
    assert (two.id, two.responses) == ("in:2", ("A", "B"))


@pytest.mark.parametrize(
    ("name", "num_rows"),
    [("hh_harmless_test", 312), ("evalbias", 77), ("lfqa", 140), ("llamafactory", 584), ("webgpt", 897)],
)
def test_real_data_is_read_without_a_bad_row(name, num_rows):
    path = DATA / f"{name}.jsonl.gz"
    if not path.exists():
        pytest.skip(f"{path.name} is not beside the project")

    rows = list(read(path, ReadOptions()))

    assert len(rows) == num_rows
    assert [row for row in rows if isinstance(row, BadRow)] == []
