"""A run divided over machines that know nothing of each other: which trials are whose, from the list of trials alone."""

import re
from collections.abc import Mapping, Sequence

import networkx as nx

from prunebook.errors import BadValue
from prunebook.trials.trial import Trial


def parse(text: str) -> tuple[int, int]:
    """(2, 4) of "2/4". Raises BadValue for anything but two whole numbers, the first from 1 to the second."""
    found = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text)
    if found is None or not 1 <= int(found[1]) <= int(found[2]):
        raise BadValue(f"shard is {text!r}, but must be a part such as 2/4: the second of four")
    return int(found[1]), int(found[2])


def part(trials: Sequence[Trial], shard: tuple[int, int]) -> list[Trial]:
    """The trials of one shard, in their order; every trial is in exactly one.

    Parameters
    ----------
    trials : all trials of the run with all that they need, each after those that it needs
        The same list gives the same parts, whatever records there are.
    shard : (i, n)

    Trials that hang together, because one needs the other, stay together, so that no shard waits for another. A family
    that is larger than an even share is divided all the same: what others need goes to one shard, and what no other needs
    goes wherever there is least to do.
    """
    mine, n = shard
    loads = [0] * n
    owner: dict[Trial, int] = {}
    needs = {trial: trial.needs() for trial in trials}
    needed = {one for ones in needs.values() for one in ones}
    for family in sorted(_families(needs), key=len, reverse=True):  # stable, so that equal ones keep their order
        fits = len(family) * n < len(trials) + n
        trunk = family if fits else [trial for trial in family if trial in needed]
        leaves = [] if fits else [trial for trial in family if trial not in needed]
        for group in (trunk, *([leaf] for leaf in leaves)):
            least = loads.index(min(loads))
            loads[least] += len(group)
            owner |= dict.fromkeys(group, least)
    return [trial for trial in trials if owner[trial] == mine - 1]


def _families(needs: Mapping[Trial, Sequence[Trial]]) -> list[list[Trial]]:
    """The trials that hang together, directly or not, in the order of their first ones."""
    place = {trial: i for i, trial in enumerate(needs)}
    graph = nx.Graph((trial, one) for trial, ones in needs.items() for one in ones if one in needs)
    graph.add_nodes_from(needs)
    found = [sorted(family, key=place.__getitem__) for family in nx.connected_components(graph)]
    return sorted(found, key=lambda family: place[family[0]])
