"""RMCD, second half: how redundant a layer is by its communities; and of SRP the choice of the most replaceable filter.

The abstract asks for "the level of redundancy for each layer" and "the most replaceable filters", and defines neither.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from prunebook.errors import BadValue, choose, require
from prunebook.methods.mrp.communities import check_communities, modularity
from prunebook.methods.mrp.graphs import on_grid

REDUNDANCIES = ("count", "modularity")
RULES = ("replaceable", "random", "l1", "least replaceable")


def redundancy(
    n: int,
    communities: Sequence[Sequence[int]],
    weights: np.ndarray | None = None,
    kind: str = "count",
    silent: Sequence[int] = (),
) -> float:
    """The level of redundancy of a layer of `n` filters, in [0, 1]; 1 only where all are silent.

    Parameters
    ----------
    n : int
    communities : of the layer's filters, see `communities`
    weights : numpy array (n, n)
        Of the edges; for "modularity".
    kind : {"count", "modularity"}
        "count": R = 1 - communities / filters, the share of filters that could go if one of each community did the work of
        all. "modularity": R times the modularity of the communities, 0 where that is negative, so that a division without
        structure counts for little.
    silent : filters without an edge that say nothing, see `graphs.silent`
        They are in no community: nobody has to do their work. For modularity each is by itself, which changes nothing.

    Raises BadValue for an unknown kind, communities that with the silent filters are no partition, and "modularity" without
    weights.
    """
    choose("kind", kind, REDUNDANCIES)
    everyone = [*communities, *([filter] for filter in silent)]
    check_communities(everyone, n)
    share = 1 - len(communities) / n
    if kind == "count":
        return share
    if weights is None:
        raise BadValue("redundancy of kind 'modularity' needs weights, those of the layer's edges")
    return share * max(0.0, modularity(weights, everyone))


def speaking(communities: Sequence[Sequence[int]], silent: Sequence[int]) -> list[list[int]]:
    """The communities without those of silent filters, which have no edge and so are by themselves."""
    return [list(members) for members in communities if not set(members) <= set(silent)]


def replaceable(
    weights: np.ndarray,
    communities: Sequence[Sequence[int]],
    l1: np.ndarray,
    rule: str = "replaceable",
    generator: torch.Generator | None = None,
) -> int | None:
    """The filter that goes next, or None where every community has one filter.

    It comes from the largest community; of equally large ones, from that with the highest sum of internal strengths, then
    from that with the lowest filter. A filter's internal strength is the weight of its edges inside its community.

    Parameters
    ----------
    weights : numpy array (n, n)
        Of the edges between the filters, see `filter_graph`.
    communities : lists of filters
        They need not name all n: filters that are gone are in none.
    l1 : (n,)
        See `norms`.
    rule : {"replaceable", "random", "l1", "least replaceable"}
        Which one of that community: the one with the highest internal strength, then with the smallest L1 norm, then with
        the lowest number; one drawn; the one with the smallest L1 norm; the one with the lowest internal strength, as a
        control. Ties as in the first.
    generator : torch.Generator
        For "random".
    """
    choose("rule", rule, RULES)
    require(rule != "random" or generator is not None, "generator", generator, "a torch.Generator for rule 'random'")
    largest = max(map(len, communities), default=0)
    if largest < 2:
        return None
    strengths = {tuple(c): internal_strengths(weights, c) for c in communities if len(c) == largest}
    members = min(strengths, key=lambda c: (-strengths[c].sum(), min(c)))
    if rule == "random":
        return members[int(torch.randint(largest, (), generator=generator))]
    strength = dict(zip(members, strengths[members].tolist(), strict=True))
    sign = {"replaceable": -1, "l1": 0, "least replaceable": 1}[rule]
    return min(members, key=lambda filter: (sign * strength[filter], l1[filter], filter))


def internal_strengths(weights: np.ndarray, members: Sequence[int]) -> np.ndarray:
    """Of each of `members`, the sum of the weights of its edges to the others: (len(members),)."""
    return weights[np.ix_(members, members)].sum(axis=1)


def norms(weight: Tensor) -> np.ndarray:
    """The L1 norms of a layer's filters (n, ...) -> (n,), on a grid as likenesses are, so that equal ones tie."""
    found = weight.detach().abs().flatten(1).double().sum(1).cpu().numpy()
    return on_grid(found, float(found.max()))
