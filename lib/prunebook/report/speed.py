"""Speed and memory: what the scripts in benchmarks/ measured, each figure beside its alternative."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from IPython.display import Markdown
from pydantic import BaseModel, ConfigDict, Field

from prunebook import files, paths
from prunebook.errors import choose
from prunebook.report import tables
from prunebook.validation import read_json

RATE = "per s"  # the one unit of which more is better


class Figure(BaseModel):
    """One measurement and, if there is one, the same thing done another way."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    what: str = Field(min_length=1)
    value: float = Field(gt=0)
    unit: Literal["s", "CPU s", "per s", "GiB"]
    alternative: str = ""
    other: float | None = Field(None, gt=0)  # the alternative's value, in the same unit
    sample: str = ""  # what part of the alternative was timed, if not all of it

    @property
    def times(self) -> float | None:
        """How many times faster it is than the alternative, or smaller."""
        if self.other is None:
            return None
        return self.value / self.other if self.unit == RATE else self.other / self.value


class Benchmark(BaseModel):
    """The content of benchmarks/results_NAME.json."""

    model_config = ConfigDict(extra="forbid")

    figures: list[Figure] = Field(min_length=1)
    made: dict[str, Any]  # as `trials.provenance.describe` has it, and settings of this benchmark's own


def names() -> list[str]:
    """The benchmarks that there are, measured or not, but for that of the rates, which `trials.rates` keeps."""
    return sorted({path.stem.removeprefix("bench_") for path in _folder().glob("bench_*.py")} - {"rates"})


def results(name: str) -> Path:
    return _folder() / f"results_{choose('benchmark', name, names())}.json"


def write(name: str, figures: Iterable[Figure], made: dict[str, Any]) -> Path:
    return files.write_json(results(name), Benchmark(figures=list(figures), made=made).model_dump(exclude_defaults=True))


def read(name: str) -> Benchmark | None:
    """None if nobody has kept its figures. Raises BadValue for a file that is not as `write` leaves it."""
    return read_json(results(name), Benchmark)


def show(name: str) -> Any:
    """A benchmark's figures, with the machine and the versions below them; or how to measure them."""
    found = read(name)
    if found is None:
        return Markdown(f"Not measured here yet: `python benchmarks/bench_{name}.py --write` does it.")
    style = table(found.figures).style.hide().set_caption(circumstances(found.made))
    return tables.page_style(style, {"selector": "caption", "props": "caption-side: bottom;"})


def table(figures: Iterable[Figure]) -> pd.DataFrame:
    """One row a figure, as text."""
    rows = [
        {
            "what": figure.what,
            "here": _amount(figure.value, figure.unit),
            "alternative": figure.alternative or "—",
            "its figure": _amount(figure.other, figure.unit) if figure.other else "—",
            "times faster": _digits(figure.times) if figure.times else "—",
            "alternative timed": (figure.sample or "to its end") if figure.other else "—",
        }
        for figure in figures
    ]
    return pd.DataFrame(rows)


def circumstances(made: dict[str, Any]) -> str:
    """The machine, the versions, and what else `made` says, as sentences."""
    own = {name: value for name, value in made.items() if name not in ("code", "environment", "hardware", "finished")}
    hardware, versions = made["hardware"], made["environment"]
    sentences = [
        ", ".join(f"{name} {value}" for name, value in own.items()),
        f"{hardware['processor']}, {hardware['threads']} threads, {hardware['memory_gib']} GiB",
        f"Python {versions['python']}, torch {versions['torch']}, numpy {versions['numpy']}",
        f"Code {made['code']}, {made['finished'][:10]}",
    ]
    return " ".join(f"{text[0].upper()}{text[1:]}." for text in sentences if text)


def _folder() -> Path:
    return paths.project() / "benchmarks"


def _amount(value: float, unit: str) -> str:
    return f"{_digits(value)} {unit}".replace(" ", "\u00a0")  # so that it stays on one line


def _digits(value: float) -> str:
    """Three digits that count, and no more, but whole numbers whole: 0.0213, 4.1, 116, 14,300."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
