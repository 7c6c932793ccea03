"""Tables on the records themselves: what ran, when, on what, and how long."""

from collections import Counter

import pandas as pd

from prunebook import notebooks, trials
from prunebook.trials import Record


def by_run() -> pd.DataFrame:
    """For each run of each notebook: its trials, and how many have a record."""
    store = trials.Store()
    rows = []
    for name in notebooks.names():
        notebook = notebooks.get(name)
        for run, about in notebook.description.runs.items():
            states = store.states(notebook.trials(notebook.parameters(run)))
            row = {"notebook": name, "run": run, "what": about.about, "trials": sum(states.values())}
            rows.append(row | {state: states[state] for state in ("done", "stale", "missing")})
    return pd.DataFrame(rows)


def by_task() -> pd.DataFrame:
    """Records by task, place, processor and commit, with their number and hours."""
    frame = _frame()
    if frame.empty:
        return frame
    groups = frame.groupby(["task", "version", "where", "device", "commit", "Python", "torch"], sort=True)
    table = groups.agg(records=("key", "size"), minutes=("seconds", lambda s: s.sum() / 60), last=("finished", "max"))
    return table.reset_index()


def every() -> pd.DataFrame:
    """One row a record."""
    frame = _frame()
    return frame if frame.empty else frame[["task", "key", "trial", "where", "state", "seconds", "finished"]]


def environments() -> pd.DataFrame:
    """The sets of package versions that made the records, a column each."""
    seen: dict[tuple[tuple[str, str], ...], int] = Counter(
        tuple(sorted(record.provenance.get("environment", {}).items())) for _, record in _records()
    )
    columns = {f"{count} records": dict(versions) for versions, count in seen.items()}
    return pd.DataFrame(columns).rename_axis("package").reset_index()


def _records() -> list[tuple[str, Record]]:
    """Every record once: where a local one and a published one are the same trial's, the local one."""
    store = trials.Store()
    found: dict[tuple[str, str], tuple[str, Record]] = {}
    for where, folder in (("published", store.published), ("local", store.local)):
        for record in store.records(folder):
            found[record.task, record.key] = (where, record)
    return list(found.values())


def _frame() -> pd.DataFrame:
    rows = []
    for where, record in _records():
        hardware = record.provenance.get("hardware", {})
        device = hardware.get("accelerator") or f"{hardware.get('processor')}, {hardware.get('threads')} threads"
        stale = trials.is_stale(record)
        rows.append(
            {"task": record.task, "version": record.version, "key": record.key, "where": where,
             "trial": record.key if stale else trials.describe(trials.Trial(record.task, record.params)),
             "state": "stale" if stale else "current", "device": device,
             "commit": record.provenance.get("code", "unknown"), "seconds": record.times.get("total", 0.0),
             "Python": record.provenance.get("environment", {}).get("python"),
             "torch": record.provenance.get("environment", {}).get("torch"),
             "finished": str(record.provenance.get("finished", ""))[:16].replace("T", " ")}
        )  # fmt: skip
    return pd.DataFrame(rows)
