"""Notebooks and their named runs: `notebooks/NAME.ipynb` beside `notebooks/NAME.yml`."""

import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from prunebook import files, paths, studies
from prunebook.errors import BadValue, choose, require, short
from prunebook.validation import sentence

if TYPE_CHECKING:  # a notebook's name and runs are known before PyTorch is loaded
    from prunebook.studies.parameters import NotebookParameters
    from prunebook.trials import Record, Trial


class Run(BaseModel):
    """A named set of parameters for a notebook."""

    model_config = ConfigDict(extra="forbid")

    about: str = Field(min_length=1)
    time: str = Field(min_length=1)  # how long it takes without any record, and on what
    published: bool = False  # its records are committed, and its page is rendered from them
    page: str | None = Field(None, pattern=r"^[a-z0-9-]+$")  # the page's file name, if it is not NOTEBOOK-RUN
    parameters: dict[str, Any] = {}


RunName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]*$")]  # a page's file is named after it


class Description(BaseModel):
    """The content of `notebooks/NAME.yml`. A run's parameters are added to `defaults`."""

    model_config = ConfigDict(extra="forbid")

    about: str = Field(min_length=1)
    draft: bool = False  # it can be run, but has no page in the book yet
    defaults: dict[str, Any] = {}
    runs: dict[RunName, Run] = Field(min_length=1)


@dataclass(frozen=True)
class Notebook:
    name: str
    template: Path
    description: Description

    def run(self, name: str) -> Run:
        return self.description.runs[choose("run", name, self.description.runs)]

    def parameters(self, run: str, overrides: Mapping[str, Any] | None = None) -> "NotebookParameters":
        """The checked parameters of a run: defaults < run < overrides. Raises BadValue."""
        model: type[NotebookParameters] = studies.get(self.name).Parameters
        given = dict(overrides or {})
        return model.check(model.inherited({**self.description.defaults, **self.run(run).parameters}, given) | given)

    def trials(self, parameters: "NotebookParameters") -> "list[Trial]":
        found: list[Trial] = studies.get(self.name).trials(parameters)
        return found


_FAST = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's, ten times faster, where PyYAML has it


def folder() -> Path:
    return paths.project() / "notebooks"


def names() -> list[str]:
    return sorted(path.stem for path in folder().glob("*.yml") if path.with_suffix(".ipynb").is_file())


def get(name: str) -> Notebook:
    """The notebook of that name. Raises BadValue if there is none, or if its YAML file is not as it should be."""
    path = folder() / f"{choose('notebook', name, names())}.yml"
    try:
        description = Description.model_validate(yaml.load(path.read_text(encoding="utf-8"), _FAST))
    except yaml.YAMLError as fault:
        raise BadValue(f"{path.name} is not valid YAML: {' '.join(str(fault).split())}") from None
    except ValidationError as fault:
        raise BadValue(f"{path.name}: {sentence(fault, Description)}") from None
    return Notebook(name, path.with_suffix(".ipynb"), description)


LONGEST = 2000  # characters of a value; some take time that grows with the square of their length
# Besides errors of its own, PyYAML lets through those of the constructors: of dates, of numbers, of depth.
NOT_YAML = (yaml.YAMLError, ValueError, AttributeError, LookupError, TypeError, RecursionError)


class _Plain(yaml.SafeLoader):
    """Plain values, written out: without references, of which a few characters can stand for more than any memory holds."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("a reference")
        return super().compose_node(parent, index)


def overrides(pairs: list[tuple[str, str]]) -> dict[str, Any]:
    """Parameters from the command line: each value is read as YAML, so that '[0.6, 0.7]' is a list.

    Raises BadValue for what is not YAML or not plain, and for what is longer than LONGEST.
    """
    found = {}
    for name, text in pairs:
        require(len(text) <= LONGEST, name, text, f"a value of at most {LONGEST} characters")
        try:
            found[name] = yaml.load(text, _Plain)
        except NOT_YAML:
            raise BadValue(
                f"{name} is {short(text)}, which is not a value in YAML such as 0.7, resnet56 or [0.6, 0.7]"
            ) from None
    return found


def pages_folder() -> Path:
    """Executed notebooks: generated, ignored by git."""
    return paths.project() / "book" / "runs"


OWN_RUNS = """# Your own runs

Runs with parameters of your own, as far as this copy of the project has any: `make run` makes one, and `make book`
puts it here.

    make run NB=kcore ARGS="-p taus '[0.65, 0.7]'"
"""


def page(notebook: Notebook, run: str, given: Mapping[str, Any] | None = None) -> Path:
    """Where the executed notebook goes: `pages` have their place in the book, all else goes to "Your own runs"."""
    place = pages_folder()
    changed = {name: value for name, value in (given or {}).items() if name != "engine"}  # which changes no content
    if not changed:
        name = notebook.run(run).page or f"{notebook.name}-{run}"
        return (place if has_page(notebook, run) else place / "own") / f"{name}.ipynb"
    digest = hashlib.sha256(json.dumps(changed, sort_keys=True).encode()).hexdigest()[:8]
    return place / "own" / f"{notebook.name}-{run}-{digest}.ipynb"


def subtitle(notebook: Notebook, run: str, given: Mapping[str, Any] | None = None) -> str:
    """What tells a page from the notebook's others: its run, unless the page has a name of its own, and what was changed."""
    words = [] if notebook.run(run).page else [f"run {run}"]
    return ", ".join(words + [f"{name} {value}" for name, value in (given or {}).items() if name != "engine"])


def has_page(notebook: Notebook, run: str) -> bool:
    """Whether _toc.yml names a page for this run."""
    return run == "quick" or notebook.run(run).published


def pages() -> list[tuple[Notebook, str]]:
    """The runs that have a page in the book: "quick", and those that are published; the page on the records last."""
    ready = [notebook for notebook in map(get, names()) if not notebook.description.draft]
    found = [(notebook, run) for notebook in ready for run in notebook.description.runs if has_page(notebook, run)]
    return sorted(found, key=lambda item: item[0].name == "status")


def fingerprint(notebook: Notebook, parameters: "NotebookParameters", records: "Iterable[Record]") -> str:
    """Digest of all that an executed page depends on: template, parameters, package, reported numbers, figures, records."""
    digest = hashlib.sha256(notebook.template.read_bytes())
    digest.update(parameters.model_dump_json(exclude={"engine"}).encode())
    numbers = [("data/reported", "*.csv"), ("benchmarks", "results_*.json")]
    sources = [path for folder, names in numbers for path in (paths.project() / folder).glob(names)]
    for path in sorted([*Path(__file__).parent.rglob("*.py"), *sources]):
        digest.update(path.read_bytes())
    for record in records:
        digest.update(record.digest().encode())
    return digest.hexdigest()


def is_fresh(output: Path, digest: str) -> bool:
    """Whether the page was executed with inputs of this `fingerprint`, and is as it was written then."""
    marks = _marks(output)
    return marks is not None and marks.get("fingerprint") == digest


def own_pages() -> list[Path]:
    """The executed pages of "Your own runs"."""
    return sorted((pages_folder() / "own").glob("*.ipynb"))


def executed() -> list[Path]:
    """All executed pages: the book's, then one's own."""
    return [*sorted(pages_folder().glob("*.ipynb")), *own_pages()]


def check(output: Path) -> None:
    """Raise Damaged for an executed page that is not as it was written."""
    if _marks(output) is None:
        again = "`prunebook pages` executes it again if the book has such a page"
        if output in own_pages():
            again = "run it again by the command that made it, or move it to another folder"
        raise files.Damaged(f"{output} is damaged or was changed: {again}")


def _marks(output: Path) -> dict[str, Any] | None:
    """What `execute` has noted in the page; None where the page is not as it was written."""
    try:
        page = json.loads(output.read_text(encoding="utf-8"))
        marks: dict[str, Any] = page["metadata"].pop("prunebook")
        return marks if marks["sha256"] == _digest(page) else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def execute(
    notebook: Notebook, parameters: "NotebookParameters", output: Path, digest: str = "", subtitle: str = ""
) -> Path:
    """Execute the template with `parameters`; `output` appears, or is replaced, only once all cells have run.

    `digest` is the page's `fingerprint`; `subtitle` is added to its heading.
    """
    import papermill  # here, because it takes a second that `prunebook list` need not wait for
    from traitlets.config import Config

    # Parameters have been checked by their model; papermill's own reading of the cell trips over a value such as ">=".
    logging.getLogger("papermill").setLevel(logging.ERROR)
    kernel = Config()
    # What a cell raises comes back as such. The kernel's own log would tell, on Ctrl-C, that there is no one to reply to.
    kernel.NotebookClient.extra_arguments = ["--log-level=CRITICAL"]
    # A folder with a short name: that of a socket may have a hundred characters.
    with files.written(output), _scratch(output) as scratch, tempfile.TemporaryDirectory(prefix="nb-") as sockets:
        if os.name == "posix":  # sockets that only this user reaches, and no other kernel; ports could be reached by all
            kernel.KernelManager.transport, kernel.KernelManager.ip = "ipc", f"{sockets}/k"
        draft = Path(scratch) / output.name
        papermill.execute_notebook(
            str(_sections(notebook, parameters, Path(scratch))),
            str(draft),
            parameters=parameters.model_dump(mode="json"),
            cwd=str(paths.project()),
            kernel_name="python3",
            progress_bar=False,
            config=kernel,
        )
        return files.write_text(output, _clean(json.loads(draft.read_text(encoding="utf-8")), digest, subtitle))


@contextmanager
def _scratch(output: Path) -> Iterator[str]:
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=".run-") as scratch:
        yield scratch


def _sections(notebook: Notebook, parameters: "NotebookParameters", scratch: Path) -> Path:
    """The template without the sections that this run has nothing for: cells tagged if-NAME where `NAME` is empty."""
    template = json.loads(notebook.template.read_text(encoding="utf-8"))
    template["cells"] = [cell for cell in template["cells"] if _is_wanted(cell, parameters)]
    return files.write_json(scratch / f"template-{notebook.template.name}", template)


def _is_wanted(cell: dict[str, Any], parameters: "NotebookParameters") -> bool:
    conditions = [tag.removeprefix("if-") for tag in cell["metadata"].get("tags", []) if tag.startswith("if-")]
    return all(bool(getattr(parameters, name)) for name in conditions)


def _clean(notebook: dict[str, Any], digest: str, subtitle: str) -> str:
    """The executed notebook, marked with its fingerprint, without times and paths that papermill leaves in it."""
    if subtitle:
        source = notebook["cells"][0]["source"]
        heading, _, rest = (source if isinstance(source, str) else "".join(source)).partition("\n")
        notebook["cells"][0]["source"] = f"{heading}: {subtitle}\n{rest}"
    notebook["metadata"].pop("papermill", None)
    for cell in notebook["cells"]:
        for name in ("papermill", "execution"):
            cell["metadata"].pop(name, None)
    notebook["metadata"].pop("prunebook", None)
    notebook["metadata"]["prunebook"] = {"fingerprint": digest, "sha256": _digest(notebook)}
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


def _digest(notebook: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(notebook, sort_keys=True).encode()).hexdigest()
