"""How many images a second training takes here, and how much memory, for every way to train of the notebooks' long runs.

    python benchmarks/bench_rates.py            a quarter of an hour on two cores, a few seconds for each way to train
    python benchmarks/bench_rates.py --small    three of them, for a moment, to see that it runs
    python benchmarks/bench_rates.py --write    also keep the rates in benchmarks/results_rates.json, for this machine

On the accelerator if there is one. Training is on noise of the data's shape, so that no data are needed; each way to train
has a process of its own. What takes more memory than is free is left out, and said. The file has an entry for each
machine, by its name: a GPU's stands beside a CPU's.
"""

from measuring import options

from prunebook.report import scaling
from prunebook.studies.scaling import Parameters
from prunebook.trials import provenance, rates
from prunebook.trials.engine import accelerator
from prunebook.trials.estimate import GIB


def main() -> None:
    given = options(__doc__, "--small")
    if given.small and given.write:
        raise SystemExit("bench_rates.py: --small measures too little to be kept")
    p = Parameters(notebooks=["mrp"], runs=["lite", "paper"]) if given.small else Parameters()
    device, seconds = accelerator(), 0.2 if given.small else 3.0
    found, left_out = {}, {}
    for way in scaling.ways(scaling.runs(p)):
        try:
            found[way] = rate = rates.measure(way, device, seconds=seconds)
        except rates.NoMemory as fault:
            left_out[way.describe()] = str(fault).removeprefix(f"{way.describe()}: ")
            print(f"left out: {fault}", flush=True)
            continue
        peak = f", {rate.memory / GIB:.2f} GiB" if rate.memory else ""
        print(f"{rate.images:>12,.0f} images/s{peak}  {way.describe()}", flush=True)
    if given.write:
        print(rates.keep(found, left_out, provenance.describe(device)))


if __name__ == "__main__":
    main()
