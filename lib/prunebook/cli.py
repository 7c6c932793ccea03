"""The `prunebook` command: list, run, estimate, pages, status, publish, merge, verify, export, data."""

import argparse
import gc
import importlib
import os
import re
import sys
from collections.abc import Callable
from importlib import metadata
from typing import NoReturn

from prunebook import notebooks
from prunebook.errors import BadValue, choose, nearest, short


def main(arguments: list[str] | None = None) -> int:
    """Exit codes: 0 done; 1 files are damaged or refused; 2 bad input; 130 interrupted. Each is told on standard error.

    141: nobody reads the output any more.
    """
    computes = False
    try:
        options = _parser().parse_args(arguments)
        computes = getattr(options, "computes", False)
        code = int(options.command(options))
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # whoever read our output has seen enough, as `| head` has
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the last flush, at the end of Python
        return 141  # as a shell tells it of a program that ends by that signal
    except BadValue as fault:
        print(f"prunebook: {' '.join(str(fault).split())}", file=sys.stderr)  # one line, whatever was given
        return 2
    except OSError as fault:
        if fault.filename is None:
            raise
        print(f"prunebook: {short(str(fault.filename))}: {fault.strerror}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        kept = "; finished trials are kept, and the same command goes on from there" if computes else ""
        print(f"\nprunebook: interrupted{kept}", file=sys.stderr)
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
    parser.add_argument("--version", action="version", version=f"PruneBook {_version()}")
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
    run.set_defaults(command=_later("run_notebook"), computes=True)

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
        help="the time on so many GPUs like this machine's, like one whose rates are kept, or as assumed",
    )
    costs.add_argument("--gpus-per-trial", type=float, metavar="SHARE", help="of a GPU, such as 0.25 (default: 1)")
    costs.set_defaults(command=_later("estimate_run"))

    pages = commands.add_parser("pages", help="bring the book's pages up to date: quick runs and published ones")
    pages.add_argument("--smoke", action="store_true", help="instead: try every notebook's smallest run, keep nothing")
    pages.set_defaults(command=_later("update_pages"), computes=True)

    status = commands.add_parser("status", help="which records exist, are missing, are stale")
    status.add_argument("notebook", nargs="?")
    status.set_defaults(command=_later("show_status"))

    publish = commands.add_parser("publish", help="copy a run's records to data/results, to be committed")
    publish.add_argument("notebook")
    publish.add_argument("run")
    publish.add_argument("--networks", action="store_true", help="and the networks that it trained, to data/networks")
    publish.set_defaults(command=_later("publish_run"))

    merge = commands.add_parser("merge", help="copy records and networks that other machines computed into this one's")
    merge.add_argument("folders", nargs="+", metavar="FOLDER", help="another machine's data/cache, or a copy of it")
    merge.set_defaults(command=_later("merge_folders"))

    verify = commands.add_parser("verify", help="check every record, network and executed page against its digest")
    verify.set_defaults(command=_later("verify_files"))

    export = commands.add_parser("export", help="write all records as one table")
    export.add_argument("file", metavar="FILE", help="ending in .csv, or in .parquet, which needs pyarrow")
    export.set_defaults(command=_later("export_records"))

    fetch = commands.add_parser("data", help="download a dataset, with checksums")
    fetch.add_argument("dataset")
    fetch.set_defaults(command=_later("download_data"))
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


def _version() -> str:
    try:
        return metadata.version("prunebook")
    except metadata.PackageNotFoundError:
        return "(not installed)"


def _list(options: argparse.Namespace) -> int:
    for name in [choose("notebook", options.notebook, notebooks.names())] if options.notebook else notebooks.names():
        notebook = notebooks.get(name)
        print(f"{name}: {notebook.description.about}")
        width = max(map(len, notebook.description.runs))
        for run, about in notebook.description.runs.items():
            print(f"  {run:<{width}} {about.about} ({about.time}{', published' if about.published else ''})")
        if options.notebook:
            _later("list_parameters")(options)
    if not options.notebook:
        print("Parameters of a notebook: prunebook list NAME")
    return 0


def _later(name: str) -> Callable[[argparse.Namespace], int]:
    """A function of `prunebook.commands`, which is loaded when it is called for: PyTorch comes with it."""

    def command(options: argparse.Namespace) -> int:
        function = getattr(importlib.import_module("prunebook.commands"), name)
        if not gc.isenabled():  # as prunebook.__main__ leaves it
            gc.freeze()
            gc.enable()
        return int(function(options))

    return command


if __name__ == "__main__":
    sys.exit(main())
