"""What the subcommands of `prunebook` do, each a function of the options that `prunebook.cli` has read."""

import argparse
import contextlib
import os
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from prunebook import data, distributed, files, memory, notebooks, paths, trials
from prunebook.errors import BadValue, choose, require
from prunebook.notebooks import Notebook
from prunebook.studies import scaling
from prunebook.studies.parameters import NotebookParameters
from prunebook.trials import estimate, rates
from prunebook.trials import export as exporting
from prunebook.trials import merge as merging
from prunebook.trials import verify as verifying
from prunebook.trials.cluster import Demand
from prunebook.trials.engine import accelerator, check_comparable, check_device, suitable_workers
from prunebook.trials.provenance import hardware
from prunebook.trials.workers import Workers


def list_parameters(options: argparse.Namespace) -> int:
    notebook = notebooks.get(options.notebook)
    first = next(iter(notebook.description.runs))
    model = type(notebook.parameters(first))
    print("  parameters (default):")
    for name, field in model.model_fields.items():
        print(f"    {name} ({field.default!r}): {field.description}")
    return 0


def run_notebook(options: argparse.Namespace) -> int:
    notebook = notebooks.get(options.notebook)
    given = notebooks.overrides(options.parameters)
    parameters = notebook.parameters(options.run, given)
    wanted = notebook.trials(parameters)
    with distributed.setup(options.device):
        found = trials.run(
            wanted,
            engine=options.engine or parameters.engine,
            budget=options.budget,
            force=options.force,
            device=options.device,
            workers=options.workers,
            max_trials=options.max_trials,
            shard=options.shard,
            demand=_demand(options),
        )
        if not distributed.is_main():
            return 0
    check_comparable(found)
    if len(found) < len(dict.fromkeys(wanted)):
        print(
            "prunebook: records are missing, so the notebook was not executed; "
            + (
                "once all shards are done and merged, call this without --shard"
                if options.shard
                else "the same command goes on"
            ),
            file=sys.stderr,
        )
        return 0
    if not options.trials_only:
        page = notebooks.page(notebook, options.run, given)
        digest = notebooks.fingerprint(notebook, parameters, found)
        subtitle = notebooks.subtitle(notebook, options.run, given)
        print(notebooks.execute(notebook, parameters, page, digest, subtitle).relative_to(paths.project()))
        print("make book renders it as a page of the book; make lab opens it as it is")
    return 0


def _demand(options: argparse.Namespace) -> Demand | None:
    given = {"address": options.address, "cpus": options.cpus_per_trial, "gpus": options.gpus_per_trial}
    given = {name: value for name, value in given.items() if value is not None}
    return Demand(**given) if given else None


def estimate_run(options: argparse.Namespace) -> int:
    if options.device is not None:
        check_device(options.device)
    notebook = notebooks.get(options.notebook)
    wanted = notebook.trials(notebook.parameters(options.run, notebooks.overrides(options.parameters)))
    found = estimate.estimate(wanted)
    measuring = bool(found.to_do) and not options.no_measure
    place = _place(options, len(found.missing)) if measuring else None  # first, because it may be impossible
    recorded = estimate.recorded_times([*wanted, *_published(notebook)])
    print(*estimate.report(found, recorded), sep="\n", flush=True)
    if place is not None:
        measured = _rates(found.to_do, place)
        images = {way: rate.images for way, rate in measured.items()}
        print(*estimate.report_times(found, images, recorded, place.places, place.what), sep="\n")
        peaks = [rate.memory for rate in measured.values() if rate.memory is not None]
        there = None if place.elsewhere else memory.total(place.device)
        print(*estimate.report_memory(max(peaks, default=None), place.at_once, there, place.where), sep="\n")
    return 0


class _Place(NamedTuple):
    """Where an estimate is for: how many trials share a device, how many there are in all, and whose rates are taken."""

    device: str
    at_once: int
    places: int
    where: str
    elsewhere: rates.Machine | rates.Assumed | None = None  # whose rates are taken, rather than this machine's measured

    @property
    def what(self) -> str:
        if isinstance(self.elsewhere, rates.Assumed):
            shared = f"; {self.at_once} trials at once share the MACs evenly" if self.at_once > 1 else ""
            return (
                f"no GPU was measured: as on the page Scaling, one is assumed that does {self.elsewhere.describe()}{shared} "
                "(`python benchmarks/bench_rates.py --write` on a GPU replaces this):"
            )
        if self.elsewhere:
            return f"kept rates of {self.where}, for one trial at a time:"
        return (
            f"measured on {self.where}, for each of {self.at_once} at once:"
            if self.at_once > 1
            else (f"measured on {self.where}, for one worker:")
        )


def _place(options: argparse.Namespace, trials: int) -> _Place:
    device = options.device or accelerator()
    facts = hardware(device)
    where = facts.get("accelerator") or facts["processor"]
    if options.gpus is None and options.gpus_per_trial is None:
        workers = suitable_workers(trials, device) if options.workers is None else options.workers
        require(workers >= 1, "workers", workers, "a number of processes, at least 1")
        return _Place(device, workers, workers, where)
    gpus, share = options.gpus or 1, 1.0 if options.gpus_per_trial is None else options.gpus_per_trial
    require(options.workers is None, "workers", options.workers, "left out where GPUs are given: see --gpus-per-trial")
    require(options.gpus is None or options.gpus >= 1, "gpus", options.gpus, "a number of GPUs, at least 1")
    require(Demand(gpus=share).gpus > 0, "GPUs per trial", share, "above 0 here")
    at_once = int(1 / share) if share <= 1 else 1
    places = gpus * at_once if share <= 1 else int(gpus // share)
    require(places >= 1, "GPUs per trial", share, f"at most {gpus}, the number of GPUs")
    if device.startswith("cuda"):
        return _Place(device, at_once, places, where)
    machine = next((machine for machine in rates.kept() if machine.is_gpu), None)
    if machine is None:
        return _Place("cuda", at_once, places, "an assumed GPU", scaling.Parameters().assumed)
    require(at_once == 1, "GPUs per trial", share, f"at least 1 with the kept rates of {machine.name}")
    return _Place("cuda", at_once, places, machine.name, machine)


def _rates(works: Mapping[estimate.Training, estimate.Work], place: _Place) -> dict[estimate.Training, rates.Rate]:
    """Those of each way to train; on this machine, without those that take more memory than is free."""
    if isinstance(place.elsewhere, rates.Assumed):
        return {way: rates.Rate(images, None) for way, images in place.elsewhere.images(works, place.at_once).items()}
    if place.elsewhere is None:
        found = {}
        for number, way in enumerate(works, 1):
            print(f"measuring {number} of {len(works)}: {way.describe()}", file=sys.stderr, flush=True)
            with contextlib.suppress(rates.NoMemory):
                found[way] = rates.measure(way, place.device, place.at_once)
        return found
    known = place.elsewhere.of(works)
    for way in works:
        if way not in known:
            raise BadValue(f"the kept rates of {place.where} have none for {way.describe()}; bench_rates.py measures it")
    return known


def _published(notebook: Notebook) -> list[trials.Trial]:
    """The trials of the runs whose records come with the project."""
    runs = [run for run, about in notebook.description.runs.items() if about.published]
    return [trial for run in runs for trial in notebook.trials(notebook.parameters(run))]


def update_pages(options: argparse.Namespace) -> int:
    if options.smoke:
        return _smoke()
    files.write_text(notebooks.pages_folder() / "own" / "index.md", notebooks.OWN_RUNS)
    stale = []
    for notebook, run in notebooks.pages():
        # A published page is made from committed records: whoever builds the book need not have the data.
        published = notebook.run(run).published
        parameters = notebook.parameters(run, {"engine": "records"} if published else None)
        records = trials.run(notebook.trials(parameters), engine=parameters.engine, workers=None)
        page = notebooks.page(notebook, run)
        digest = notebooks.fingerprint(notebook, parameters, records or trials.Store().records())
        if notebooks.is_fresh(page, digest):
            print(f"{page.name}: up to date")
        else:
            stale.append(_Page(notebook, parameters, page, digest, notebooks.subtitle(notebook, run)))
    for executed, _ in _execute(stale):
        print(f"{executed.output.name}: executed", flush=True)
    # Which command made a page of one's own is not known, so it stays as it is, and the book waits for its owner.
    return _complain(verifying.of_pages(notebooks.own_pages()))


def _smoke() -> int:
    """Every notebook's smoke run from nothing, in a folder that is thrown away."""
    ready = [notebook for notebook in map(notebooks.get, notebooks.names()) if not notebook.description.draft]
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["PRUNEBOOK_CACHE"] = scratch  # workers and kernels inherit it
        pages = [_Page(one, one.parameters("smoke"), Path(scratch) / f"{one.name}.ipynb", "", "") for one in ready]
        for page, taken in _execute(pages):
            print(f"{page.notebook.name} smoke: {taken:.1f} s", flush=True)
    return 0


class _Page(NamedTuple):
    """The arguments of `notebooks.execute`."""

    notebook: Notebook
    parameters: NotebookParameters
    output: Path
    digest: str
    subtitle: str


def _execute(pages: Sequence[_Page]) -> Iterator[tuple[_Page, float]]:
    """Execute notebooks, one for each core at a time; each as it is done, with its seconds.

    At most 4 at a time, as a kernel takes up to a gigabyte. The first that fails ends the others.
    """
    cores = torch.get_num_threads()
    count = max(1, min(4, cores, len(pages)))
    waiting, began = deque(pages), dict[Path, float]()
    with Workers[_Page](count, max(1, cores // count)) as workers:
        while waiting or workers.running:
            while waiting and len(workers.running) < count:
                page = waiting.popleft()
                began[page.output] = time.monotonic()
                workers.call(page, notebooks.execute, *page)
            for page, fault in workers.finished():
                if fault is not None:
                    fault.add_note(f"while the page {page.output.name} was executed")
                    raise fault
                yield page, time.monotonic() - began[page.output]


def show_status(options: argparse.Namespace) -> int:
    names = [choose("notebook", options.notebook, notebooks.names())] if options.notebook else notebooks.names()
    runs = {
        f"{notebook.name} {run}": dict.fromkeys(notebook.trials(notebook.parameters(run)))
        for notebook in map(notebooks.get, names)
        for run in notebook.description.runs
    }
    state = trials.Store().state_of_each(trial for wanted in runs.values() for trial in wanted)  # runs share some
    for run, wanted in runs.items():
        states = Counter(state[trial] for trial in wanted)
        print(f"{run}: {states['done']} done, {states['missing']} missing, {states['stale']} stale")
    if "stale" in state.values():
        print("Stale: of an earlier version of the task, or of other defaults. A run computes these trials again.")
    return 0


def publish_run(options: argparse.Namespace) -> int:
    notebook = notebooks.get(options.notebook)
    store = trials.Store()
    wanted = list(dict.fromkeys(notebook.trials(notebook.parameters(options.run))))
    gone = trials.missing(wanted, store)
    if gone:
        raise BadValue(f"{len(gone)} of {len(wanted)} records of {options.notebook} {options.run} are not done yet")
    trained = [t for t in wanted if t.task == "baseline" and t.parameters.fit] if options.networks else []
    copies = [trials.publish_network(trial, store) for trial in trained]  # first, because one may be missing
    check_comparable(trials.run(wanted, engine="records", store=store))
    for trial in wanted:
        store.publish(trial)
    networks = f", {len(copies)} networks in {paths.networks()}" if copies else ""
    print(f"{len(wanted)} records in {store.published}{networks}")
    return 0


def merge_folders(options: argparse.Namespace) -> int:
    refused = []
    for folder in options.folders:
        merged = merging.merge(folder)
        refused += merged.refused
        print(
            f"{folder}: {merged.records} records and {merged.checkpoints} networks copied, {merged.known} were here, "
            f"{merged.stale} stale, {len(merged.refused)} refused"
        )
    return _complain(refused)


def verify_files(options: argparse.Namespace) -> int:
    found = verifying.verify()
    whole = f"{found.records} records, {found.checkpoints} networks and {found.pages} executed pages are whole"
    print(f"{whole}, {len(found.bad)} files are not")
    for path in found.unchecked:
        print(f"{path} is from before networks had a digest, so it cannot be checked")
    for path in found.rests:
        print(f"{path} is a rest of an interrupted run; nothing reads it, and it can be deleted where none is going on")
    return _complain(found.bad)


def _complain(sentences: list[str]) -> int:
    for sentence in sentences:
        print(f"prunebook: {sentence}", file=sys.stderr)
    return 1 if sentences else 0


def export_records(options: argparse.Namespace) -> int:
    print(f"{exporting.export(options.file)} records in {options.file}")
    return 0


def download_data(options: argparse.Namespace) -> int:
    data.download(options.dataset)
    return 0
