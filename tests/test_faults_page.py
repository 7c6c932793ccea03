"""The table of faults as the book shows it."""

import json
from pathlib import Path
from typing import Any

import pytest
from test_speed import MADE

from prunebook import notebooks
from prunebook.errors import BadValue
from prunebook.report import faults
from prunebook.report.faults import Fault

ROWS = [
    Fault(fault="a bit flipped", end="refused by name", tried=1200, survived=1200, lost=0),
    Fault(fault="a full disk", end="the same command goes on", tried=12, survived=10, lost=2),
]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PRUNEBOOK_HOME", str(tmp_path))
    (tmp_path / "benchmarks").mkdir()
    return faults.results()


def test_what_was_lost_comes_first_and_the_sums_last() -> None:
    frame = faults.table(ROWS)
    assert list(frame.columns) == ["fault", "how it ends where all is well", "tried", "survived", "lost"]
    assert frame.to_numpy().tolist() == [
        ["a full disk", "the same command goes on", "12", "10", "2"],
        ["a bit flipped", "refused by name", "1,200", "1,200", "0"],
        ["all", "", "1,212", "1,210", "2"],
    ]


def test_the_page_says_how_many_cases_on_what_machine_and_what_was_left_out(project: Path) -> None:
    faults.write(project, ROWS, {"a full disk": "only root can mount one"}, {"minutes": 7.5, **MADE})
    page = faults.show().to_html()
    for words in ("1,212 cases.", "Minutes 7.5.", "AMD EPYC, 2 threads", "Code abc1234, 2026-11-21."):
        assert words in page
    assert "Not tried on this machine: a full disk (only root can mount one)." in page
    assert faults.read().faults == ROWS


def test_without_a_file_one_sentence_says_what_makes_it(project: Path) -> None:
    assert faults.read() is None
    assert faults.show().data == "Not tried here yet: `make chaos` does it."


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"lost": 1}, "lost is 1, but must be 0"),
        ({"tried": 0, "survived": 0}, "tried is 0"),
        ({"surviving": 3}, "did you mean 'survived'?"),
    ],
)
def test_a_file_that_does_not_add_up_is_refused_by_name(project: Path, change: dict[str, Any], words: str) -> None:
    row = {"fault": "one", "end": "well", "tried": 3, "survived": 3, "lost": 0} | change
    project.write_text(json.dumps({"faults": [row], "made": MADE}))
    with pytest.raises(BadValue, match=r"^results_faults\.json: ") as raised:
        faults.read()
    assert words in str(raised.value)


def test_the_notebook_shows_the_table_and_points_to_the_how_to() -> None:
    cells = json.loads(notebooks.get("faults").template.read_text())["cells"]
    assert [cell["source"] for cell in cells if cell["cell_type"] == "code"][-1] == "faults.show()"
    how_to = (notebooks.folder().parent / "book" / "how-to.md").read_text()
    for label in ("after-a-fault", "several-machines"):
        assert any(f"<{label}>`" in cell["source"] for cell in cells)
        assert f"({label})=\n" in how_to


def test_the_kept_table_is_one_that_the_page_shows_and_has_nothing_lost() -> None:
    kept = faults.read()
    assert kept is not None
    assert len(kept.faults) > 20
    assert [row for row in kept.faults if row.lost or row.survived != row.tried] == []
