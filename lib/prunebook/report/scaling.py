"""What whole runs cost, by a simulated schedule: on one and on many of the machines that were measured, and on GPUs."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import pandas as pd
from IPython.display import Markdown
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from prunebook import notebooks
from prunebook.report import figures, tables
from prunebook.studies.scaling import Parameters, runs_of
from prunebook.trials import Store, estimate, rates
from prunebook.trials.engine import to_run
from prunebook.trials.estimate import GIB, Outline, Recorded, Training, Work, as_macs, as_time
from prunebook.trials.schedule import ORDERS, Job, Schedule, critical_path, simulate

DRAWN = [2**i for i in range(8)]  # numbers of GPUs in the figure


@dataclass(frozen=True)
class Run:
    """A run of a notebook from nothing: all its trials and those that they need, in the order that they start in."""

    notebook: str
    run: str
    trials: list[Outline]
    works: dict[Training, Work]
    recorded: Mapping[str, Recorded]  # by task, of what trains nothing

    @property
    def name(self) -> str:
        return f"{self.notebook} {self.run}"

    @property
    def macs(self) -> int:
        return sum(work.total for work in self.works.values())

    @property
    def untrained(self) -> Counter[str]:
        """Trials that train nothing, by task."""
        return Counter(trial.task for trial in self.trials if not trial.fits)

    @property
    def unknown(self) -> Counter[str]:
        """Those whose task has no record, so that nobody knows how long they take."""
        return Counter({task: n for task, n in self.untrained.items() if task not in self.recorded})

    @property
    def alone(self) -> int:
        return sum(trial.alone for trial in self.trials)


class Place(NamedTuple):
    """What a trial has for itself: a machine that was measured, or a GPU by assumption."""

    name: str
    by: rates.Machine | rates.Assumed

    @property
    def machine(self) -> rates.Machine | None:
        return self.by if isinstance(self.by, rates.Machine) else None

    def images(self, works: Mapping[Training, Work]) -> dict[Training, float]:
        """Images a second of those ways to train that have a rate here."""
        if isinstance(self.by, rates.Assumed):
            return self.by.images(works)
        return {way: rate.images for way, rate in self.by.of(works).items()}

    def jobs(self, run: Run) -> list[Job] | None:
        """None where some of the run's training has no rate here."""
        known = self.images(run.works)
        return estimate.jobs(run.trials, known, run.recorded) if known.keys() == run.works.keys() else None


def runs(p: Parameters) -> list[Run]:
    """The runs that the parameters name, as far as the notebooks have them."""
    return [one for notebook in p.notebooks for one in _runs(notebook, [run for run in runs_of(notebook) if run in p.runs])]


def ways(found: Iterable[Run]) -> list[Training]:
    """All ways to train, each once."""
    return list(dict.fromkeys(rates.bare(way) for run in found for way in run.works))


def measured() -> list[Place]:
    """The machines whose rates are kept and that are no GPUs."""
    return [Place(machine.name, machine) for machine in rates.kept() if not machine.is_gpu]


def gpus(p: Parameters) -> list[Place]:
    """The GPUs whose rates are kept, else one by assumption."""
    found = [Place(machine.name, machine) for machine in rates.kept() if machine.is_gpu]
    return found or [Place("a GPU by assumption", p.assumed)]


def overview(found: Sequence[Run]) -> pd.DataFrame:
    """One row a run: its trials, how many of them train, and the work of that."""
    rows = [
        {
            "notebook": run.notebook,
            "run": run.run,
            "trials": len(run.trials),
            "train": len(run.trials) - run.untrained.total(),
            "run alone": run.alone,
            "epochs": sum(work.epochs for work in run.works.values()),
            "training": as_macs(run.macs).replace(" ", "\u00a0"),
            "no time known": run.unknown.total(),
        }
        for run in found
    ]
    return pd.DataFrame(rows)


def costs(found: Sequence[Run], place: Place, numbers: Sequence[int]) -> pd.DataFrame:
    """One row a run: time by number of places and order, how full these are, the critical path, and the peak memory."""
    rows = []
    for run in found:
        todo = place.jobs(run)
        row = {"notebook": run.notebook, "run": run.run}
        for n in numbers:
            walls = {order: simulate(todo, n, order) if todo is not None else None for order in ORDERS}
            if n == 1:
                row["1"] = _time(walls["in order"])
                continue
            row |= {f"{n}, {order}": _time(schedule) for order, schedule in walls.items()}
            row[f"{n}, full"] = " / ".join(_percent(schedule) for schedule in walls.values())
        row["critical path"] = "—" if todo is None else _no_break(as_time(critical_path(todo)))
        if place.machine:
            row["memory"] = _memory(place.machine, run)
        rows.append(row)
    return pd.DataFrame(rows)


def show(found: Sequence[Run], places: Sequence[Place], numbers: Sequence[int]) -> list[Any]:
    """A table for each place, with how it was made below; or how to measure where there is none."""
    if not places:
        return [Markdown("Not measured here yet: `python benchmarks/bench_rates.py --write` does it.")]
    return [
        tables.page_style(
            costs(found, place, numbers).style.hide().set_caption(_caption(place)),
            {"selector": "caption", "props": "caption-side: bottom;"},
        )
        for place in places
    ]


def figure(found: Sequence[Run], place: Place) -> Figure:
    """Time against the number of places, one panel a notebook: both orders, an even share of the work, the critical path.

    Runs without a rate are left out. Raises BadValue where none has one.
    """
    drawn = [(run, todo) for run in found if (todo := place.jobs(run))]
    figures.require_some(drawn, "runs with a time")
    names = list(dict.fromkeys(run.notebook for run, _ in drawn))
    fig, axes = figures.panels(len(names), width=max(2.6, 10 / len(names)), height=4.2)
    looks = {run: i for i, run in enumerate(dict.fromkeys(run.run for run, _ in drawn))}
    for ax, name in zip(axes, names, strict=True):
        for run, todo in drawn:
            if run.notebook == name:
                _curve(ax, todo, looks[run.run])
        ax.set_xscale("log", base=2)
        ax.set_yscale("log")
        ax.set_xticks(DRAWN[::2], [str(n) for n in DRAWN[::2]])
        ax.set_title(name, fontsize=10)
        ax.set_xlabel("GPUs" if place in _gpu_like([place]) else "machines")
    axes[0].set_ylabel("time, hours")
    keys = [Line2D([], [], color=figures.PALETTE[i], marker=figures.MARKERS[i]) for i in looks.values()]
    keys += [Line2D([], [], color="black", ls=dashes) for dashes in STYLES.values()]
    fig.legend(keys, [*looks, *STYLES], loc="outside lower center", ncols=4, fontsize=8)
    return fig


STYLES = {"in order": "-", "longest first": "--", "even share of the work": ":", "critical path": (0, (6, 1.5, 1, 1.5))}


def order_matters(found: Sequence[Run], place: Place, numbers: Sequence[int]) -> pd.DataFrame:
    """One row a run and number of places, at least 2: seconds by either order, and the share that longest first saves."""
    rows = []
    for run in found:
        todo = place.jobs(run)
        for n in numbers if todo else ():
            first, longest = (simulate(todo or [], n, order).wall for order in ORDERS)
            if n > 1 and first:
                rows.append({"run": run.name, "places": n, "in order": first, "longest first": longest,
                             "saved, %": 100 * (1 - longest / first)})  # fmt: skip
    return pd.DataFrame(rows, columns=["run", "places", "in order", "longest first", "saved, %"])


def verdict(changes: pd.DataFrame) -> Markdown:
    """What longest first would save, in a sentence or two."""
    if changes.empty:
        return Markdown("There is nothing to compare: one place alone, or no time known.")
    ranked = changes.sort_values("saved, %")
    least, most = ranked.iloc[0], ranked.iloc[-1]
    few = int((changes["saved, %"].abs() < 1).sum())
    said = f"In {few} of {len(changes)} cases the two orders differ by less than 1 %."
    if most["saved, %"] >= 1:
        said += f" Longest first saves most, {most['saved, %']:.0f} %, in {most['run']} on {most['places']}."
    if least["saved, %"] <= -1:
        said += f" It loses most, {-least['saved, %']:.0f} %, in {least['run']} on {least['places']}."
    return Markdown(said)


def assumptions(p: Parameters, found: Sequence[Run], places: Sequence[Place]) -> Markdown:
    """What all the numbers rest on, as far as they do."""
    sentences = [
        "Everything is computed from nothing: no record and no network is there yet.",
        "A place is a machine or a GPU. It runs one trial at a time; places are alike; nothing fails.",
        "To send data, records and networks takes no time, and nor does the start of a process.",
        "Training takes its images times its epochs, by the rate of the network before pruning. A pruned one may be faster.",
        "What trials that train do besides, evaluation and pruning, is not counted. Nor is the reading of photographs.",
    ]
    sentences += [sentence for place in places for sentence in _assumed(place)]
    records = sum({(run.notebook, task): n for run in found for task, (_, n) in run.recorded.items()}.values())
    if records:
        sentences.append(
            f"A trial that trains nothing takes the median time of its task's records in the notebook's published runs "
            f"({records} records in all), on the machine that made them. On other places it is taken to be the same."
        )
    for run in found:
        if run.unknown:
            tasks = ", ".join(f"{n} of {task}" for task, n in run.unknown.items())
            sentences.append(f"In {run.name}, trials without any record of their task count as taking no time: {tasks}.")
    if any(run.alone for run in found):
        several = ", ".join(f"{run.alone} in {run.name}" for run in found if run.alone)
        sentences.append(f"What measures times runs alone, while the other places wait: {several}.")
    return tables.listing(sentences)


def _runs(notebook: str, wanted: Sequence[str]) -> Iterator[Run]:
    there, store = notebooks.get(notebook), Store()
    published = [run for run, about in there.description.runs.items() if about.published]
    trials = {run: there.trials(there.parameters(run)) for run in dict.fromkeys([*published, *wanted])}
    recorded = estimate.recorded_times((trial for run in published for trial in trials[run]), store)
    for run in wanted:
        everything = to_run(trials[run], store, force=True)
        yield Run(notebook, run, estimate.outlines(everything), estimate.works(everything), recorded)


def _gpu_like(places: Iterable[Place]) -> list[Place]:
    return [place for place in places if place.machine is None or place.machine.is_gpu]


def _curve(ax: Any, todo: list[Job], i: int) -> None:
    color = figures.PALETTE[i]
    for order in ORDERS:
        hours = [simulate(todo, n, order).wall / 3600 for n in DRAWN]
        ax.plot(DRAWN, hours, ls=STYLES[order], color=color, marker=figures.MARKERS[i] if order == ORDERS[0] else "", ms=4)
    work = sum(job.seconds for job in todo) / 3600
    ax.plot(DRAWN, [work / n for n in DRAWN], ls=STYLES["even share of the work"], color=color, lw=1.2)
    ax.axhline(critical_path(todo) / 3600, ls=STYLES["critical path"], color=color, lw=1)


def _time(schedule: Schedule | None) -> str:
    return "—" if schedule is None else _no_break(as_time(schedule.wall))


def _percent(schedule: Schedule | None) -> str:
    return "—" if schedule is None else f"{100 * schedule.used:.0f}\u00a0%"


def _no_break(text: str) -> str:
    return text.replace(" ", "\u00a0")


def _memory(machine: rates.Machine, run: Run) -> str:
    """The most that one of the run's trainings takes; "—" where it has none, or one that was not measured."""
    peaks = [rate.memory for rate in machine.of(run.works).values()]
    if not peaks or None in peaks or len(peaks) < len(run.works):
        return "—"
    return f"{max(peak or 0 for peak in peaks) / GIB:.1f}\u00a0GiB"


def _caption(place: Place) -> str:
    if isinstance(place.by, rates.Assumed):
        return f"Times on GPUs that do {place.by.describe()}."
    made = place.by.made
    text = f"Times on machines of this kind: {place.name}. Code {made['code']}, {made['finished'][:10]}."
    left = [f"{what} ({why})" for what, why in place.by.left_out.items()]
    return text + (f" Not measured: {'; '.join(left)}." if left else "")


def _assumed(place: Place) -> list[str]:
    if isinstance(place.by, rates.Assumed):
        return [
            f"{place.name[0].upper()}{place.name[1:]} does {as_macs(place.by.macs_per_second)} a second in training, "
            "forward and backward passes together, whatever the network, unless a step would then take less than "
            f"{place.by.seconds_per_step * 1000:g} ms. Neither was measured here."
        ]
    threads = place.by.made["hardware"]["threads"]
    on = "" if place.by.is_gpu else f", with {threads} thread{'s' * (threads != 1)}"
    return [
        f"Rates on {place.name} were measured on noise of the data's shape for some seconds each{on}; "
        "memory is the most that such a process has had, and the data."
    ]
