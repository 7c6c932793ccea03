"""The exercises of the book's chapters: their printed code, run as a reader would."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def text(chapter: str) -> str:
    return (ROOT / "book" / f"{chapter}.md").read_text(encoding="utf-8")


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
