"""What the tests of the book's chapters share: printed exercises, run as a reader would, and the paper's numbers."""

import re
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).resolve().parents[1]


def text(chapter: str) -> str:
    return (ROOT / "book" / f"{chapter}.md").read_text(encoding="utf-8")


def reported(chapter: str) -> pd.DataFrame:
    """The numbers of the chapter's paper; tables by their names, also where these are digits."""
    return pd.read_csv(ROOT / "data" / "reported" / f"{chapter}.csv", dtype={"table": str})


def exercises(chapter: str) -> list[str]:
    """Labels, in order."""
    return re.findall(r"```\{exercise-start\}.*?\n:label: (\S+)\n", text(chapter))


def solve(chapter: str, label: str) -> None:
    """Run the printed solution, then the exercise's printed check, which raises AssertionError if it does not pass."""
    exec(code(chapter, label, "solution") + "\n" + code(chapter, label, "exercise"), {})


def unsolved(chapter: str) -> list[str]:
    """Labels of the exercises whose check, run without the solution, misses a name."""
    return [label for label in exercises(chapter) if _misses_a_name(code(chapter, label, "exercise"))]


def code(chapter: str, label: str, part: str) -> str:
    """The Python of an exercise or of its solution, all blocks together."""
    start = f"exercise-start}}[^\n]*\n:label: {label}\n" if part == "exercise" else f"solution-start}} {label}\n"
    found = re.search(f"```{{{start}(.*?)```{{{part}-end}}", text(chapter), re.DOTALL)
    assert found is not None
    return "\n".join(re.findall(r"```python\n(.*?)```", found[1], re.DOTALL))


def _misses_a_name(python: str) -> bool:
    try:
        exec(python, {})
    except NameError:
        return True
    return False
