"""Which filters the tests of the hypothesis take: of one community or of several, alike in size or in likeness."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from prunebook.roles.probe import StandIn

CANDIDATES = 64  # draws of which the one nearest in size is taken
EQUAL = 0.05  # two correlations count as equal up to this

Communities = list[list[int]]


class Moments(NamedTuple):
    """Of the raw maps at all places of all images: means (n,), and covariances (n, n)."""

    mean: np.ndarray
    covariance: np.ndarray

    def correlations(self) -> np.ndarray:
        """(n, n), signed; 0 for maps that are a constant."""
        deviation = np.sqrt(self.covariance.diagonal())
        scale = np.where(deviation > 0, deviation, np.inf)
        return (self.covariance / np.outer(scale, scale)).clip(-1, 1)

    def stand_in(self, lost: int, other: int) -> StandIn:
        """With the scale and offset at which the other's maps come nearest to the lost one's, by least squares."""
        variance = self.covariance[other, other]
        scale = float(self.covariance[lost, other] / variance) if variance > 0 else 0.0
        return StandIn(other, scale, float(self.mean[lost] - scale * self.mean[other]))


def from_one(communities: Communities, r: int, generator: np.random.Generator, least: int = 2) -> list[int] | None:
    """Up to r filters of one community, at least `least`; another one of it stays.

    The community is that of a filter drawn among those whose community allows it: larger ones are taken more often. None
    where no community does.
    """
    able = [community for community in communities if len(community) > least]
    if not able:
        return None
    sizes = np.array([len(community) for community in able])
    community = able[generator.choice(len(able), p=sizes / sizes.sum())]
    return _draw(generator, community, min(r, len(community) - 1))


def across(communities: Communities, r: int, generator: np.random.Generator) -> list[int] | None:
    """One filter of each of r communities, those of one filter included; None where there are fewer."""
    if len(communities) < r:
        return None
    chosen = generator.permutation(len(communities))[:r]
    return [_draw(generator, communities[place], 1)[0] for place in chosen]


def spread(
    communities: Communities, lost: Sequence[int], sizes: np.ndarray, generator: np.random.Generator
) -> list[int] | None:
    """As many filters as are `lost`, and as large, of communities of two or more, in turns; one of each stays.

    sizes : (n, k), what is to be equal in sum, such as L1 norm and activity
        Of `CANDIDATES` draws the one with the smallest differences, relative to what is lost, in the mean.

    None without two such communities, or so many filters.
    """
    linked = [community for community in communities if len(community) > 1]
    if len(linked) < 2 or sum(map(len, linked)) - len(linked) < len(lost):
        return None
    wanted = sizes[list(lost)].sum(axis=0)
    scale = np.where(wanted > 0, wanted, 1)

    def difference(drawn: Sequence[int]) -> float:
        return float((np.abs(sizes[list(drawn)].sum(axis=0) - wanted) / scale).mean())

    return min((_in_turns(linked, len(lost), generator) for _ in range(CANDIDATES)), key=difference)


def _in_turns(communities: Communities, r: int, generator: np.random.Generator) -> list[int]:
    turns = [_draw(generator, communities[place], len(communities[place]) - 1)
             for place in generator.permutation(len(communities))]  # fmt: skip
    rounds = range(max(map(len, turns)))
    return [turn[number] for number in rounds for turn in turns if number < len(turn)][:r]


def pairs_within(communities: Communities, number: int, generator: np.random.Generator) -> list[tuple[int, int]]:
    """Up to so many pairs of filters of one community each, drawn; no filter is in two."""
    pairs = []
    for community in communities:
        order = _draw(generator, community, len(community))
        pairs += list(zip(order[::2], order[1::2], strict=False))
    return [pairs[place] for place in generator.permutation(len(pairs))[:number]]


def pairs_between(
    communities: Communities, firsts: Sequence[int], generator: np.random.Generator
) -> list[tuple[int, int]] | None:
    """For each of `firsts` a partner of another community of two or more; None where none is left."""
    community, size = membership(communities)
    free = set(range(len(community))).difference(firsts)
    pairs = []
    for first in firsts:
        able = sorted(f for f in free if community[f] != community[first] and size[f] > 1)
        if not able:
            return None
        partner = _draw(generator, able, 1)[0]
        free.remove(partner)
        pairs.append((first, partner))
    return pairs


class Alike(NamedTuple):
    """Of some filters, one of the own community and one of another that are as alike to it, by filter."""

    inside: dict[int, int]
    outside: dict[int, int]


def equally_alike(
    alike: np.ndarray,
    communities: Communities,
    filters: Sequence[int],
    generator: np.random.Generator,
    number: int | None = None,
    once: bool = False,
) -> Alike | None:
    """For each of these filters another of its community, and one of another, of two or more, that is as alike to it.

    alike : (n, n)
        What has to be equal, up to `EQUAL`. Filters without such a pair are left out.
    number : at most so many filters
    once : whether a filter may be in one place only, among filters and pairs, so that pairs can change places

    None where there is no such pair. None of `filters` takes the place of another, unless `once`.
    """
    community, size = membership(communities)
    found, taken = Alike({}, {}), set[int]()
    away = set() if once else set(filters)
    for filter in filters:
        if len(found.inside) == number or filter in taken:
            continue
        free = [f for f in range(len(alike)) if f != filter and f not in away and f not in taken]
        inside = [f for f in free if community[f] == community[filter]]
        outside = [f for f in free if community[f] != community[filter] and size[f] > 1]
        pairs = [(f, min(outside, key=lambda other: (abs(alike[filter, other] - alike[filter, f]), other)))
                 for f in inside] if outside else []  # fmt: skip
        pairs = [(f, other) for f, other in pairs if abs(alike[filter, other] - alike[filter, f]) <= EQUAL]
        if pairs:
            own, other = pairs[generator.integers(len(pairs))]
            found.inside[filter], found.outside[filter] = own, other
            if once:
                taken |= {filter, own, other}
    return found if found.inside else None


def stand_ins(
    moments: Moments, lost: Sequence[int], allowed: Sequence[int], generator: np.random.Generator
) -> dict[int, StandIn] | None:
    """For each lost filter one of those allowed, drawn; None where none is."""
    if not allowed:
        return None
    return {filter: moments.stand_in(filter, _draw(generator, allowed, 1)[0]) for filter in lost}


def explained(moments: Moments, given: Mapping[int, StandIn]) -> float:
    """Mean share of the lost maps' variance that the stand-ins have: squared correlations."""
    alike = moments.correlations()
    return float(np.mean([alike[filter, stand_in.other] ** 2 for filter, stand_in in given.items()]))


def membership(communities: Communities) -> tuple[np.ndarray, np.ndarray]:
    """Of each filter, the number of its community, and how many filters that has."""
    community = np.empty(sum(map(len, communities)), dtype=int)
    for number, members in enumerate(communities):
        community[members] = number
    return community, np.array([len(members) for members in communities])[community]


def _draw(generator: np.random.Generator, of: Sequence[int], number: int) -> list[int]:
    return [of[place] for place in generator.permutation(len(of))[:number]]
