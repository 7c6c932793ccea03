"""The search of sections 3.3 and 3.5: candidates are drawn, scored by their likeness to the unpruned network, and the best
are kept."""

import hashlib
import math
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from prunebook import files
from prunebook.errors import BadValue, require
from prunebook.methods.sacp import space as spaces
from prunebook.methods.sacp import training
from prunebook.methods.sacp.encoder import Encoder
from prunebook.methods.sacp.graph import ArchitectureGraph, Part
from prunebook.methods.sacp.space import Space
from prunebook.plan import PruningPlan

_MOST_ROWS = 4096  # of one table: three entries of ten ratios each
_TABLE_CHUNK = 8192  # candidates whose embeddings are in memory at a time: near the cache
_NETWORK_CHUNK = 256


class Scorer:
    """Scores candidates: the cosine of their embedding with the unpruned network's (Eq. 10).

    A candidate uses one of ten masks for each entry. With two layers and the mean over nodes, its embedding is a sum over
    the nodes of functions that depend only on the entries within one hop of the node. Each distinct set of such entries gets
    a table with a row for every combination of their ratios, second layer included; an embedding is then a sum of rows, one
    of each table. Tables are computed in float64 and kept in float32.

    Where a node sees more than three entries (DenseNets), and for other depths and readouts, candidates go through the
    encoder itself; `method` says which way was taken, "tables" or "encoder". Both agree to 1e-5.

    Parameters
    ----------
    rankings : one Tensor (C,) for each entry
        Channels, highest L1 norm first: a candidate keeps the first of them.
    head : nn.Linear (out -> 1), optional
        Of SACP-1: the score is what it makes of the embedding, an accuracy in percent.
    """

    def __init__(
        self,
        encoder: Encoder,
        graph: ArchitectureGraph,
        space: Space,
        rankings: Sequence[Tensor],
        head: nn.Linear | None = None,
    ) -> None:
        self.encoder, self.graph, self.space, self.rankings, self.head = encoder, graph, space, list(rankings), head
        self.masks = spaces.ranked_masks(space, rankings)
        sums = _one_hop_sums(encoder, graph, self.masks) if len(encoder.weights) == 2 and encoder.readout == "mean" else None
        self.method = "encoder" if sums is None else "tables"
        if sums is not None:
            self._make_tables(sums)

    @torch.no_grad()
    def __call__(self, r: Tensor) -> Tensor:
        """Scores (B,) float32 of candidates r (B, L), whole numbers in 0..steps - 1, see `Space`."""
        width, steps = len(self.masks), self.space.steps
        valid = r.dim() == 2 and r.shape[1] == width and not r.is_floating_point()
        require(valid, "r", f"{r.dtype} {tuple(r.shape)}", f"a Tensor (B, {width}) of whole numbers")
        require(len(r) == 0 or 0 <= int(r.min()) <= int(r.max()) < steps, "r", "outside the space", f"in 0..{steps - 1}")
        score, chunk = (self._by_tables, _TABLE_CHUNK) if self.method == "tables" else (self._by_encoder, _NETWORK_CHUNK)
        return torch.cat([score(some) for some in r.split(chunk)]) if len(r) else torch.empty(0)

    def digest(self) -> str:
        """A name for everything that the scores depend on."""
        tensors = [self.encoder.adjacency, *self.encoder.parameters(), *self.masks]
        tensors += [] if self.head is None else [*self.head.parameters()]
        sha = hashlib.sha256(self.encoder.readout.encode())
        for tensor in tensors:
            sha.update(tensor.detach().cpu().numpy().tobytes())
        return sha.hexdigest()[:16]

    def _by_encoder(self, r: Tensor) -> Tensor:
        if self.head is not None:
            return self.head(self.encoder.embed(training.select(self.masks, r)))[:, 0]
        return likeness(self.encoder, self.masks, r)

    def _by_tables(self, r: Tensor) -> Tensor:
        ratios = F.pad(r.int(), (1, 0))  # column 0: for tables of fewer entries
        rows = torch.zeros_like(self._starts)
        for columns in self._columns:
            rows = rows * self.space.steps + ratios[:, columns]
        embedded = F.embedding_bag(rows + self._starts, self._rows, mode="sum")
        if self.head is not None:
            return embedded[:, 0]
        return embedded[:, 0] / embedded.square().sum(dim=1).sqrt()

    @torch.no_grad()
    def _make_tables(self, sums: dict[tuple[int, ...], Tensor]) -> None:
        """Tables of scores' parts from tables of the second layer's inputs, (steps^|entries|, hidden).

        The axes of the embeddings are turned so that the unpruned network's lies on the first: then its first number over
        its length is the cosine.
        """
        tables = [table @ self.encoder.weights[1].double() for table in sums.values()]
        tables[0] += self.encoder.biases[1].double()
        if self.head is None:
            original = torch.stack([table[0] for table in tables]).sum(dim=0)
            tables = [table @ _first_axis(original) for table in tables]
        else:
            tables = [table @ self.head.weight.double().T for table in tables]
            tables[0] += self.head.bias.double()
        self._rows = torch.cat(tables).float()
        self._starts = torch.tensor([0, *(len(table) for table in tables[:-1])]).cumsum(0).int()
        most = max(map(len, sums))
        padded = [[0] * (most - len(entries)) + [entry + 1 for entry in entries] for entries in sums]
        self._columns = torch.tensor(padded).T.contiguous()  # (most, tables)


@torch.no_grad()
def likeness(encoder: Encoder, masks: Sequence[Tensor], r: Tensor) -> Tensor:
    """Eq. 10 by the encoder itself, (B,): the cosine of each candidate's embedding with the unpruned network's.

    `masks`: of `space.ranked_masks`; `r`: candidates (B, L).
    """
    whole = torch.zeros(1, len(masks), dtype=r.dtype)
    embedded = encoder.embed(training.select(masks, torch.cat([whole, r])))
    return F.cosine_similarity(embedded[1:], embedded[:1], dim=1)


class Found(NamedTuple):
    """The best candidates (m, L) uint8, see `Space`; their scores (m,), falling; their numbers in the order drawn (m,).

    `seen` candidates were scored in `seconds`, those of earlier sittings included.
    """

    candidates: Tensor
    scores: Tensor
    numbers: Tensor
    seen: int
    seconds: float


def search(
    scorer: Scorer,
    n: int,
    tau: float,
    m: int,
    seed: int = 0,
    batch: int = 65536,
    state: str | Path | None = None,
    save_every: float = 30,
    progress: Callable[[int, int, float], object] | None = None,
) -> Found:
    """Score `n` candidates with R(r) >= tau, and keep the `m` best distinct ones; of equal scores the first drawn.

    Candidates are drawn uniformly and independently from all that meet tau, see `Space.sample`; one may be drawn twice, then
    it counts once among the best. Where no more than `n` exist, each is scored once instead. Memory does not grow with `n`,
    and the result does not depend on `batch`.

    Parameters
    ----------
    batch : int, at least 1
        Candidates in memory at a time, rounded up to a multiple of 256.
    state : path of a JSON file, optional
        Where the search stands. It is written every `save_every` seconds and at the end, with its digest, and a search
        with the same arguments goes on from it.
    progress : called with the number of candidates done, that of all, and the candidates per second of this sitting

    Returns
    -------
    Found
        With fewer than `m` candidates only where the draws have fewer distinct ones.

    Raises
    ------
    BadValue
        A parameter out of its range; tau that no candidate meets; fewer candidates than `m`; the state of another search.
    files.Damaged
        The state is not what was written.
    """
    space = scorer.space
    for argument, value in (("n", n), ("m", m), ("batch", batch)):
        require(isinstance(value, int) and value >= 1, argument, value, "a whole number of at least 1")
    total, whole = _extent(space, n, tau, m)
    name = {"candidates": total, "tau": tau, "m": m, "seed": seed, "scorer": scorer.digest()}
    best, done, before = _resumed(state, name, len(space.widths))
    batch = -(-batch // _NETWORK_CHUNK) * _NETWORK_CHUNK  # see _by_encoder: chunks always begin at the same candidates
    began = saved = time.monotonic()
    first = done
    while done < total:
        some = min(batch, total - done)
        r = space.enumerate(tau, done, some) if whole else space.sample(some, tau, seed, done)
        best = best.merged(r.numpy(), scorer(r).numpy(), done, m)
        done += some
        now = time.monotonic()
        if state is not None and (done == total or now - saved >= save_every):
            saved = now
            files.seal(state, {"search": name, "done": done, "seconds": before + now - began, **best.to_json()})
        if progress is not None:
            progress(done, total, (done - first) / max(now - began, 1e-9))
    seconds = before + time.monotonic() - began
    candidates, scores, numbers = map(torch.from_numpy, best)
    return Found(candidates, scores, numbers, done, seconds)


def _extent(space: Space, n: int, tau: float, m: int) -> tuple[int, bool]:
    """How many candidates a search scores, and whether these are all that meet tau. BadValue if they are fewer than `m`."""
    exist = space.size_at(tau)
    total = min(n, exist)
    require(m <= total, "m", m, f"at most {total}, the number of candidates")
    return total, exist <= n


class _Best(NamedTuple):
    candidates: np.ndarray  # (k, L) uint8, distinct
    scores: np.ndarray  # (k,) float32, falling
    numbers: np.ndarray  # (k,) int64, rising where scores are equal

    def merged(self, r: np.ndarray, scores: np.ndarray, start: int, m: int) -> "_Best":
        """The best `m` of these and of candidates `r`, numbered from `start`, all of them later than these."""
        require(bool(np.isfinite(scores).all()), "a score", "NaN or infinity", "a finite number")
        full = len(self.scores) == m
        better = np.flatnonzero(scores > self.scores[-1]) if full else np.arange(len(scores))
        candidates = np.concatenate([self.candidates, r[better]])
        values = np.concatenate([self.scores, scores[better]])
        numbers = np.concatenate([self.numbers, start + better])
        kept: dict[bytes, int] = {}
        for place in np.lexsort((numbers, -values)):
            kept.setdefault(candidates[place].tobytes(), int(place))
            if len(kept) == m:
                break
        places = list(kept.values())
        return _Best(candidates[places], values[places], numbers[places])

    def to_json(self) -> dict[str, Any]:
        return {name: array.tolist() for name, array in self._asdict().items()}


def _resumed(state: str | Path | None, name: dict[str, Any], width: int) -> tuple[_Best, int, float]:
    """The best, the number of candidates done and the seconds taken: of the state file, or of a new search."""
    empty = _Best(np.empty((0, width), np.uint8), np.empty(0, np.float32), np.empty(0, np.int64))
    if state is None or not Path(state).exists():
        return empty, 0, 0.0
    try:
        value = files.unseal(state)
        found, done, seconds = dict(value["search"]), int(value["done"]), float(value["seconds"])
        best = _Best(*(np.array(value[part], like.dtype) for part, like in empty._asdict().items()))
    except files.Damaged:
        raise
    except (ValueError, KeyError, TypeError) as fault:
        raise BadValue(f"{state} is not the state of a search: {type(fault).__name__} at {fault}") from None
    for part, wanted in name.items():
        if found.get(part) != wanted:
            raise BadValue(f"{state} belongs to another search: its {part} is {found.get(part)!r}, not {wanted!r}")
    return best, done, seconds


def plan(
    model: nn.Module,
    example_inputs: Tensor,
    tau: float,
    *,
    configurations: int = 10_000,
    candidates: int = 1_000_000,
    m: int = 150,
    k: int = 10,
    evaluate: Callable[[nn.Module], float] | None = None,
    finish: Callable[[nn.Module], float] | None = None,
    epochs: int = 10,
    batch: int = 32,
    loss: str = "infonce",
    temperature: float = 0.5,
    anchor: str = "first",
    lr: float = 1e-3,
    seed: int = 0,
    on_epoch: Callable[[int, training.Epoch], object] | None = None,
    progress: Callable[[int, int, float], object] | None = None,
) -> PruningPlan:
    """Algorithm 1: train an encoder, search, and take the best candidate.

    Parameters
    ----------
    model : nn.Module
        Left as it was.
    example_inputs : Tensor (1, c, h, w)
        To trace the network; its values do not matter.
    tau : float
        Least share of channels to remove, R(r) in Eq. 4.
    candidates, m : int
        So many are scored, and so many of the best scores go on.
    evaluate : network -> validation accuracy in percent, optional
        After a light fine-tune, say; called for each of the `m`.
    finish : network -> validation accuracy in percent, optional
        After full training, say; called for the `k` that are best by `evaluate`, or by score without it.
    others : as in `training.train` and `search`

    Returns
    -------
    PruningPlan
        That of the best by `finish`; without it by `evaluate` (the ablation SACP-2); without both by score. Ties go to the
        better before. It names every convolution; its parameters say what was found.

    Raises
    ------
    BadValue
        m below k; a network with one prunable layer, or one that cannot be traced; and as in `train` and `search`.
    """
    for name, value in (("k", k), ("m", m), ("candidates", candidates)):
        require(isinstance(value, int) and value >= 1, name, value, "a whole number of at least 1")
    require(m >= k, "m", m, f"at least k, which is {k}")
    graph = ArchitectureGraph(model, example_inputs)
    space = Space(graph)
    _extent(space, candidates, tau, m)  # what cannot be searched is refused before anything is trained
    rankings = spaces.rankings(model, graph)
    options: dict[str, Any] = {"configurations": configurations, "epochs": epochs, "batch": batch, "loss": loss}
    options |= {"temperature": temperature, "anchor": anchor, "lr": lr, "seed": seed}
    trained = training.train(graph, space, rankings, **options, on_epoch=on_epoch)
    found = search(Scorer(trained.encoder, graph, space, rankings), candidates, tau, m, seed, progress=progress)

    def network(place: int) -> nn.Module:
        return plan_of(graph, space, rankings, found.candidates[place]).apply(model, example_inputs)

    places, accuracy = list(range(len(found.scores))), None
    if evaluate is not None:
        places, accuracy = _ranked_by(evaluate, network, places)
    if finish is not None:
        places, accuracy = _ranked_by(finish, network, places[:k])
    r = found.candidates[places[0]]
    parameters = {"tau": tau, "candidates": candidates, "m": m, "k": k, **options, "r": r.tolist()}
    parameters |= {"removed": float(space.ratio(r)), "score": float(found.scores[places[0]]), "accuracy": accuracy}
    return plan_of(graph, space, rankings, r, parameters)


def plan_of(
    graph: ArchitectureGraph,
    space: Space,
    rankings: Sequence[Tensor],
    r: Tensor,
    parameters: dict[str, Any] | None = None,
) -> PruningPlan:
    """The plan of one candidate r (L,): each entry keeps its channels of highest L1 norm; other convolutions stay whole."""
    widths = {node.layer: node.channels for node in graph.nodes if node.kind == "conv"}
    keep = {name: list(range(width)) for name, width in widths.items()} | space.keep(r, rankings)
    return PruningPlan({name: keep[name] for name in widths}, widths, "sacp", parameters or {"r": r.tolist()})


def _ranked_by(
    evaluate: Callable[[nn.Module], float], network: Callable[[int], nn.Module], places: Iterable[int]
) -> tuple[list[int], float]:
    """The places by falling accuracy of their networks, and the highest accuracy."""
    accuracies = {place: float(evaluate(network(place))) for place in places}
    for value in accuracies.values():
        require(math.isfinite(value), "the accuracy of a network", value, "a percentage")
    ranked = sorted(accuracies, key=accuracies.__getitem__, reverse=True)
    return ranked, accuracies[ranked[0]]


def _one_hop_sums(
    encoder: Encoder, graph: ArchitectureGraph, masks: Sequence[Tensor]
) -> dict[tuple[int, ...], Tensor] | None:
    """The second layer's input, weighted as in the mean over nodes, as a sum of tables; None where a node sees too much.

    Returns
    -------
    dict of entries -> Tensor (steps^|entries|, hidden) float64
        A row for each combination of the entries' ratios, the last entry's running fastest. Nodes that see no more than
        another table's entries are in that one.
    """
    steps = len(masks[0])
    terms, fixed = _first_layer(encoder, graph, masks)
    bias, share = encoder.biases[0].detach().double(), encoder.adjacency.double().mean(dim=0)
    seen = [tuple(sorted({entry for entry, _ in of})) for of in terms]
    if steps ** max(map(len, seen)) > _MOST_ROWS:
        return None
    sums: dict[tuple[int, ...], Tensor] = {}
    for node in sorted(range(len(seen)), key=lambda node: -len(seen[node])):
        entries = next((table for table in sums if set(seen[node]) <= set(table)), seen[node])
        ratios = torch.tensor(list(product(range(steps), repeat=len(entries))))
        hidden = fixed[node] + bias
        for entry, table in terms[node]:
            hidden = hidden + table[ratios[:, entries.index(entry)]]
        if entries not in sums:
            sums[entries] = torch.zeros(len(ratios), len(bias), dtype=torch.float64)
        sums[entries] += share[node] * torch.relu(hidden)
    return sums


@torch.no_grad()
def _first_layer(
    encoder: Encoder, graph: ArchitectureGraph, masks: Sequence[Tensor]
) -> tuple[list[list[tuple[int, Tensor]]], Tensor]:
    """``A X W`` of the first layer, float64: terms (entry, (steps, hidden)) of each node, and what is fixed (V, hidden)."""
    weight, adjacency = encoder.weights[0].double(), encoder.adjacency.double()
    fixed = torch.zeros(len(graph.nodes), weight.shape[1], dtype=torch.float64)
    has: dict[Part, Tensor] = {}  # which nodes have a part, (V,)
    for row, node in enumerate(graph.nodes):
        for part in node.parts:
            has.setdefault(part, torch.zeros(len(graph.nodes), dtype=torch.float64))[row] += 1
    terms: list[list[tuple[int, Tensor]]] = [[] for _ in graph.nodes]
    for part, rows in has.items():
        segment = weight[part.offset : part.offset + part.width]
        reached = adjacency @ rows  # (V,)
        if part.entry is None:
            fixed += torch.outer(reached, segment.sum(dim=0))
            continue
        table = masks[part.entry].double() @ segment
        for node in reached.nonzero()[:, 0].tolist():
            terms[node].append((part.entry, reached[node] * table))
    return terms, fixed


def _first_axis(vector: Tensor) -> Tensor:
    """An orthogonal matrix (n, n) whose first column is the direction of `vector` (n,): a reflection, up to its sign."""
    unit = vector / vector.norm()
    sign = 1.0 if unit[0] >= 0 else -1.0
    mirror = unit.clone()
    mirror[0] += sign
    return sign * (2 * torch.outer(mirror, mirror) / mirror.dot(mirror) - torch.eye(len(unit), dtype=unit.dtype))
