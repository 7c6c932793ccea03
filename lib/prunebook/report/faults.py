"""What was done to runs on purpose, and what became of them: the table that `make chaos` leaves in benchmarks/."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from IPython.display import Markdown
from pydantic import BaseModel, ConfigDict, Field, model_validator

from prunebook import files, paths
from prunebook.errors import require
from prunebook.report import speed, tables
from prunebook.validation import read_json


class Fault(BaseModel):
    """One kind of fault: how it ends where all is well, in how many cases it was tried, and in how many it ended so."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    fault: str = Field(min_length=1)
    end: str = Field(min_length=1)
    tried: int = Field(ge=1)
    survived: int = Field(ge=0)
    lost: int = Field(ge=0)

    @model_validator(mode="after")
    def _adds_up(self) -> "Fault":
        require(
            self.survived + self.lost == self.tried, "lost", self.lost, f"{self.tried - self.survived}: tried - survived"
        )
        return self


class Table(BaseModel):
    """The content of benchmarks/results_faults.json."""

    model_config = ConfigDict(extra="forbid")

    faults: list[Fault] = Field(min_length=1)
    not_tried: dict[str, str] = {}  # the tests that were skipped, and why
    made: dict[str, Any]  # as `trials.provenance.describe` has it, and minutes


def results() -> Path:
    return paths.project() / "benchmarks" / "results_faults.json"


def write(path: str | Path, faults: Iterable[Fault], not_tried: Mapping[str, str], made: dict[str, Any]) -> Path:
    return files.write_json(path, Table(faults=list(faults), not_tried=dict(not_tried), made=made).model_dump())


def read(path: Path | None = None) -> Table | None:
    """None where nobody has tried. Raises BadValue for a file that is not as `write` leaves it."""
    return read_json(path or results(), Table)


def show() -> Any:
    """The faults, the machine and the versions below them; or how to try them."""
    found = read()
    if found is None:
        return Markdown("Not tried here yet: `make chaos` does it.")
    style = table(found.faults).style.hide().set_caption(_caption(found))
    return tables.page_style(style, {"selector": "caption", "props": "caption-side: bottom;"})


def table(faults: Iterable[Fault]) -> pd.DataFrame:
    """One row a kind of fault, what was lost first, and a last row with the sums."""
    rows = sorted(faults, key=lambda row: row.lost == 0)  # stable
    frame = pd.DataFrame([row.model_dump() for row in rows])
    numbers = ["tried", "survived", "lost"]
    sums = pd.DataFrame([{"fault": "all", "end": "", **frame[numbers].sum()}])
    frame = pd.concat([frame, sums])
    frame[numbers] = frame[numbers].map("{:,}".format)
    return frame.rename(columns={"end": "how it ends where all is well"})


def _caption(found: Table) -> str:
    cases = sum(fault.tried for fault in found.faults)
    rest = "; ".join(f"{test} ({why})" for test, why in found.not_tried.items())
    return f"{cases:,} cases. {speed.circumstances(found.made)}" + (f" Not tried on this machine: {rest}." if rest else "")
