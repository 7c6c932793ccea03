"""The benchmarks' figures as the book shows them."""

import ast
import json
from pathlib import Path
from typing import Any

import pytest

from prunebook import notebooks, paths
from prunebook.errors import BadValue
from prunebook.report import speed
from prunebook.report.speed import Figure

MADE = {
    "code": "abc1234",
    "environment": {"python": "3.11.7", "torch": "2.15.0", "numpy": "2.4.6"},
    "finished": "2026-11-21T14:32:47+00:00",
    "hardware": {"processor": "AMD EPYC", "threads": 2, "memory_gib": 23.5},
}
FIGURES = [
    Figure(what="similarity", value=0.02, unit="s", alternative="row by row", other=0.5),
    Figure(what="all of it", value=0.25, unit="s", alternative="by hand", other=1000, sample="3 of 7 pairs, scaled"),
    Figure(what="candidates", value=12000, unit="per s", alternative="by a library", other=1500),
    Figure(what="peak memory", value=0.664, unit="GiB"),
]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with one benchmark that nobody has run."""
    monkeypatch.setenv("PRUNEBOOK_HOME", str(tmp_path))
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "bench_kcore.py").touch()
    return tmp_path / "benchmarks"


def test_a_table_has_each_figure_beside_its_alternative() -> None:
    assert speed.table(FIGURES).to_numpy().tolist() == [
        ["similarity", "0.02\u00a0s", "row by row", "0.5\u00a0s", "25", "to its end"],
        ["all of it", "0.25\u00a0s", "by hand", "1,000\u00a0s", "4,000", "3 of 7 pairs, scaled"],
        ["candidates", "12,000\u00a0per\u00a0s", "by a library", "1,500\u00a0per\u00a0s", "8", "to its end"],
        ["peak memory", "0.664\u00a0GiB", "—", "—", "—", "—"],
    ]


def test_what_is_written_is_read_again(project: Path) -> None:
    speed.write("kcore", FIGURES, MADE)
    found = speed.read("kcore")
    assert found is not None
    assert (found.figures, found.made) == (FIGURES, MADE)


def test_the_page_says_how_the_figures_were_made(project: Path) -> None:
    speed.write("kcore", FIGURES, {**MADE, "images": 100})
    page = speed.show("kcore").to_html()
    for words in (
        "Images 100.",
        "AMD EPYC, 2 threads, 23.5 GiB.",
        "Python 3.11.7, torch 2.15.0",
        "Code abc1234, 2026-11-21.",
    ):
        assert words in page


def test_new_figures_make_the_page_anew(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    notebook = notebooks.get("speed")
    monkeypatch.setenv("PRUNEBOOK_HOME", str(tmp_path))
    (tmp_path / "benchmarks").mkdir()
    seen = set()
    for text in (None, "{}", "[]"):
        if text:
            (tmp_path / "benchmarks" / "results_kcore.json").write_text(text)
        seen.add(notebooks.fingerprint(notebook, notebook.parameters("quick"), []))
    assert len(seen) == 3


def test_without_a_file_the_page_says_what_makes_it(project: Path) -> None:
    assert speed.read("kcore") is None
    assert "`python benchmarks/bench_kcore.py --write`" in speed.show("kcore").data


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"value": 0}, "figures.0.value is 0"),
        ({"unit": "seconds"}, "figures.0.unit is 'seconds', but must be one of: s, CPU s, per s, GiB"),
        ({"othr": 1.0}, "did you mean 'other'?"),
    ],
)
def test_a_file_with_a_wrong_figure_is_refused_by_name(project: Path, change: dict[str, Any], words: str) -> None:
    figure = {"what": "similarity", "value": 1.0, "unit": "s"} | change
    (project / "results_kcore.json").write_text(json.dumps({"figures": [figure], "made": MADE}))
    with pytest.raises(BadValue, match=r"results_kcore\.json: ") as raised:
        speed.read("kcore")
    assert words in str(raised.value)


def test_an_unknown_benchmark_is_refused_with_the_nearest_name(project: Path) -> None:
    with pytest.raises(BadValue, match="did you mean 'kcore'"):
        speed.show("kcor")


def test_every_kept_file_is_of_a_benchmark_that_the_page_shows() -> None:
    kept = {path.stem.removeprefix("results_") for path in (paths.project() / "benchmarks").glob("results*.json")}
    kept -= {"rates", "faults"}  # which tests/test_scaling.py and tests/test_faults_page.py read
    assert "kcore" in kept
    for name in kept:
        assert len(speed.table(speed.read(name).figures)) >= 3
        assert speed.show(name).to_html()
    cells = json.loads(notebooks.get("speed").template.read_text())["cells"]
    calls = [node for cell in cells if cell["cell_type"] == "code" for node in ast.walk(ast.parse("".join(cell["source"])))
             if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "show"]  # fmt: skip
    assert kept <= {call.args[0].value for call in calls} <= set(speed.names())
