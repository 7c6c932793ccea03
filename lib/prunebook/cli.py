"""The `prunebook` command: list, run, estimate, pages, status, publish, merge, verify, export, data."""

import argparse
import contextlib
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple, NoReturn

from prunebook import distributed, files, memory, notebooks, paths, trials
from prunebook.errors import BadValue, choose, nearest, require
from prunebook.notebooks import Notebook
from prunebook.trials import estimate, rates
from prunebook.trials import export as exporting
from prunebook.trials import merge as merging
from prunebook.trials import verify as verifying
from prunebook.trials.cluster import Demand
from prunebook.trials.engine import accelerator, check_networks, suitable_workers
from prunebook.trials.provenance import hardware


def main(arguments: list[str] | None = None) -> int:
    """Exit codes: 0 done; 1 files are damaged or refused; 2 bad input; 130 interrupted. Each is told on standard error."""
    try:
        options = _parser().parse_args(arguments)
        return int(options.command(options))
    except BadValue as fault:
        print(f"prunebook: {' '.join(str(fault).split())}", file=sys.stderr)  # one line, whatever was given
        return 2
    except KeyboardInterrupt:
        print(
            "\nprunebook: interrupted; finished trials are kept, and the same command goes on from there",
            file=sys.stderr,
        )
        return 130


class _Parser(argparse.ArgumentParser):
    """Refuses a command line as the package refuses any bad input, rather than with a page of usage."""

    def error(self, message: str) -> NoReturn:
        if message.startswith("argument -p:"):
            message = "-p takes a parameter and its value, such as -p seeds 3"
        if wrong := re.fullmatch(r"argument (\S+): invalid choice: '(.*)' \(choose from (.*)\)", message, re.DOTALL):
            name, value, choices = wrong.groups()
            allowed = choices.replace("'", "").split(", ")
            message = f"{name} is {value!r}, but must be one of: {', '.join(allowed)}{nearest(value, allowed)}"
        elif wrong := re.fullmatch(r"argument (\S+): invalid (int|float) value: (.*)", message, re.DOTALL):
            name, kind, value = wrong.groups()
            message = f"{name} is {value}, but must be {'a whole number' if kind == 'int' else 'a number'}"
        raise BadValue(f"{message} (all options: {self.prog} --help)")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="prunebook", description="Re-run, check and render the notebooks of PruneBook.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    listing = commands.add_parser("list", help="notebooks, their runs and parameters")
    listing.add_argument("notebook", nargs="?", help="show this notebook's parameters as well")
    listing.set_defaults(command=_list)

    run = commands.add_parser("run", help="compute what has no record, then execute the notebook")
    _add_run(run)
    run.add_argument("--force", action="store_true", help="compute again what has a record")
    run.add_argument("--budget", metavar="TIME", help="start no trial after this time, such as 90s, 25m, 2h")
    run.add_argument("--max-trials", type=int, metavar="N", help="start no more than N trials")
    run.add_argument("--shard", metavar="I/N", help="compute one part of the trials alone, such as 2/4, the second of four")
    run.add_argument(
        "-j", "--workers", type=int, metavar="N", help="compute N trials side by side (default: on a CPU, one for each core)"
    )
    run.add_argument("--engine", choices=["local", "ray"], help="where trials are computed: here, or on a Ray cluster")
    run.add_argument("--address", help="the Ray cluster: auto, or HOST:PORT (default: one is started on this machine)")
    run.add_argument("--cpus-per-trial", type=int, metavar="N", help="cores of each trial on the cluster (default: 1)")
    run.add_argument("--gpus-per-trial", type=float, metavar="SHARE", help="of a GPU, such as 0.25 (default: none)")
    run.add_argument("--trials-only", action="store_true", help="compute the records, leave the notebook alone")
    run.set_defaults(command=_run)

    costs = commands.add_parser("estimate", help="what a run costs: its trials, their training, hours and memory")
    _add_run(costs)
    costs.add_argument("--no-measure", action="store_true", help="only count, which takes no time")
    costs.add_argument(
        "-j", "--workers", type=int, metavar="N", help="trials side by side on this device (default: as in run)"
    )
    costs.add_argument(
        "--gpus",
        type=int,
        metavar="N",
        help="the time on so many GPUs like this machine's, or like the one whose rates are kept in benchmarks/",
    )
    costs.add_argument("--gpus-per-trial", type=float, metavar="SHARE", help="of a GPU, such as 0.25 (default: 1)")
    costs.set_defaults(command=_estimate)

    pages = commands.add_parser("pages", help="bring the book's pages up to date: quick runs and published ones")
    pages.add_argument("--smoke", action="store_true", help="instead: try every notebook's smallest run, keep nothing")
    pages.set_defaults(command=_pages)

    status = commands.add_parser("status", help="which records exist, are missing, are stale")
    status.add_argument("notebook", nargs="?")
    status.set_defaults(command=_status)

    publish = commands.add_parser("publish", help="copy a run's records to data/results, to be committed")
    publish.add_argument("notebook")
    publish.add_argument("run")
    publish.add_argument("--networks", action="store_true", help="and the networks that it trained, to data/networks")
    publish.set_defaults(command=_publish)

    merge = commands.add_parser("merge", help="copy records and networks that other machines computed into this one's")
    merge.add_argument("folders", nargs="+", metavar="FOLDER", help="another machine's data/cache, or a copy of it")
    merge.set_defaults(command=_merge)

    verify = commands.add_parser("verify", help="check every record and every network against its digest")
    verify.set_defaults(command=_verify)

    export = commands.add_parser("export", help="write all records as one table")
    export.add_argument("file", metavar="FILE", help="ending in .csv, or in .parquet, which needs pyarrow")
    export.set_defaults(command=_export)

    fetch = commands.add_parser("data", help="download a dataset, with checksums")
    fetch.add_argument("dataset")
    fetch.set_defaults(command=_data)
    return parser


def _add_run(parser: argparse.ArgumentParser) -> None:
    """Which run, with which parameters, on which device."""
    parser.add_argument("notebook")
    parser.add_argument("run", nargs="?", default="quick", help="name of the run (default: quick)")
    parser.add_argument(
        "-p",
        dest="parameters",
        nargs=2,
        action="append",
        default=[],
        metavar=("NAME", "VALUE"),
        help="another value for a parameter, in YAML; may be repeated",
    )
    parser.add_argument("--device", help="cpu, cuda, cuda:1, ... (default: the accelerator if there is one)")


def _list(options: argparse.Namespace) -> int:
    for name in [choose("notebook", options.notebook, notebooks.names())] if options.notebook else notebooks.names():
        notebook = notebooks.get(name)
        print(f"{name}: {notebook.description.about}")
        for run, about in notebook.description.runs.items():
            print(f"  {run:<8} {about.about} ({about.time}{', published' if about.published else ''})")
        if options.notebook:
            _print_parameters(notebook)
    if not options.notebook:
        print("Parameters of a notebook: prunebook list NAME")
    return 0


def _print_parameters(notebook: Notebook) -> None:
    first = next(iter(notebook.description.runs))
    model = type(notebook.parameters(first))
    print("  parameters (default):")
    for name, field in model.model_fields.items():
        print(f"    {name} ({field.default!r}): {field.description}")


def _run(options: argparse.Namespace) -> int:
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
    check_networks(found)
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


def _estimate(options: argparse.Namespace) -> int:
    notebook = notebooks.get(options.notebook)
    wanted = notebook.trials(notebook.parameters(options.run, notebooks.overrides(options.parameters)))
    found = estimate.estimate(wanted)
    place = _place(options, len(found.missing))
    recorded = estimate.recorded_times([*wanted, *_published(notebook)])
    print(*estimate.report(found, recorded), sep="\n", flush=True)
    if found.to_do and not options.no_measure:
        measured = _rates(found.to_do, place)
        images = {way: rate.images for way, rate in measured.items()}
        print(*estimate.report_times(found, images, recorded, place.places, place.what), sep="\n")
        peaks = [rate.memory for rate in measured.values() if rate.memory is not None]
        there = None if place.machine else memory.total(place.device)
        print(*estimate.report_memory(max(peaks, default=None), place.at_once, there, place.where), sep="\n")
    return 0


class _Place(NamedTuple):
    """Where an estimate is for: how many trials share a device, how many there are in all, and whose rates are taken."""

    device: str
    at_once: int
    places: int
    where: str
    machine: rates.Machine | None = None  # whose kept rates are taken, rather than this one's measured

    @property
    def what(self) -> str:
        if self.machine:
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
        raise BadValue(
            f"no GPU is here, and {rates.file().name} has no GPU's rates; where there is one, "
            "`python benchmarks/bench_rates.py --write` makes them"
        )
    require(at_once == 1, "GPUs per trial", share, f"at least 1 with the kept rates of {machine.name}")
    return _Place("cuda", at_once, places, machine.name, machine)


def _rates(ways: Iterable[estimate.Training], place: _Place) -> dict[estimate.Training, rates.Rate]:
    """Those of `ways`; on this machine, without those that take more memory than is free."""
    if place.machine is None:
        found = {}
        for way in ways:
            with contextlib.suppress(rates.NoMemory):
                found[way] = rates.measure(way, place.device, place.at_once)
        return found
    known = place.machine.of(ways)
    for way in ways:
        if way not in known:
            raise BadValue(f"the kept rates of {place.where} have none for {way.describe()}; bench_rates.py measures it")
    return known


def _published(notebook: Notebook) -> list[trials.Trial]:
    """The trials of the runs whose records come with the project."""
    runs = [run for run, about in notebook.description.runs.items() if about.published]
    return [trial for run in runs for trial in notebook.trials(notebook.parameters(run))]


def _pages(options: argparse.Namespace) -> int:
    if options.smoke:
        return _smoke()
    files.write_text(notebooks.pages_folder() / "own" / "index.md", notebooks.OWN_RUNS)
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
            notebooks.execute(notebook, parameters, page, digest, notebooks.subtitle(notebook, run))
            print(f"{page.name}: executed")
    return 0


def _smoke() -> int:
    """Every notebook's smoke run from nothing, in a folder that is thrown away."""
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["PRUNEBOOK_CACHE"] = scratch  # the kernels inherit it
        for name in notebooks.names():
            notebook = notebooks.get(name)
            if notebook.description.draft:
                continue
            start = time.monotonic()
            notebooks.execute(notebook, notebook.parameters("smoke"), Path(scratch) / f"{name}.ipynb")
            print(f"{name} smoke: {time.monotonic() - start:.1f} s")
    return 0


def _status(options: argparse.Namespace) -> int:
    store = trials.Store()
    for name in [choose("notebook", options.notebook, notebooks.names())] if options.notebook else notebooks.names():
        notebook = notebooks.get(name)
        for run in notebook.description.runs:
            states = store.states(notebook.trials(notebook.parameters(run)))
            print(f"{name} {run}: {states['done']} done, {states['missing']} missing, {states['stale']} stale")
    return 0


def _publish(options: argparse.Namespace) -> int:
    notebook = notebooks.get(options.notebook)
    store = trials.Store()
    wanted = list(dict.fromkeys(notebook.trials(notebook.parameters(options.run))))
    gone = trials.missing(wanted, store)
    if gone:
        raise BadValue(f"{len(gone)} of {len(wanted)} records of {options.notebook} {options.run} are not done yet")
    trained = [t for t in wanted if t.task == "baseline" and t.parameters.fit] if options.networks else []
    copies = [trials.publish_network(trial, store) for trial in trained]  # first, because one may be missing
    check_networks(trials.run(wanted, engine="records", store=store))
    for trial in wanted:
        store.publish(trial)
    networks = f", {len(copies)} networks in {paths.networks()}" if copies else ""
    print(f"{len(wanted)} records in {store.published}{networks}")
    return 0


def _merge(options: argparse.Namespace) -> int:
    refused = []
    for folder in options.folders:
        merged = merging.merge(folder)
        refused += merged.refused
        print(
            f"{folder}: {merged.records} records and {merged.checkpoints} networks copied, {merged.known} were here, "
            f"{merged.stale} stale, {len(merged.refused)} refused"
        )
    return _complain(refused)


def _verify(options: argparse.Namespace) -> int:
    found = verifying.verify()
    print(f"{found.records} records and {found.checkpoints} networks are whole, {len(found.bad)} files are not")
    for path in found.unchecked:
        print(f"{path} is from before networks had a digest, so it cannot be checked")
    for path in found.rests:
        print(f"{path} is a rest of an interrupted run; nothing reads it, and it can be deleted where none is going on")
    return _complain(found.bad)


def _complain(sentences: list[str]) -> int:
    for sentence in sentences:
        print(f"prunebook: {sentence}", file=sys.stderr)
    return 1 if sentences else 0


def _export(options: argparse.Namespace) -> int:
    print(f"{exporting.export(options.file)} records in {options.file}")
    return 0


def _data(options: argparse.Namespace) -> int:
    from prunebook import data

    data.download(options.dataset)
    return 0


if __name__ == "__main__":
    sys.exit(main())
