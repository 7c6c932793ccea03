"""The graph convolutional encoder of section 3.4: a network's graph with its pruning masks becomes a vector.

The paper names graph convolutional networks [1]_ and leaves depth, widths, activation, normalisation and readout open.
By default: two layers d -> 256 -> 128, ReLU between them, symmetric normalisation of the undirected graph with self-loops,
and the mean over the nodes.

References
----------
.. [1] Kipf, Welling: Semi-supervised classification with graph convolutional networks, ICLR 2017.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from prunebook.errors import choose, require
from prunebook.methods.sacp.graph import ArchitectureGraph

READOUTS = ("mean", "max")

_CHUNK = 16  # graphs whose nodes are computed at a time, so that they stay near the cache


class Encoder(nn.Module):
    """Graph convolutions ``H' = A H W + b`` with ReLU between them, then a readout over the nodes.

    Each layer is PyTorch Geometric's ``GCNConv``: `weights[k]` is the transpose of its ``lin.weight``, `biases[k]` its
    ``bias``, and the readout is ``global_mean_pool`` or ``global_max_pool``. Here all graphs of a batch share one adjacency
    matrix, so a layer is two matrix products.

    Parameters
    ----------
    graph : ArchitectureGraph
        Of the network whose pruned variants are encoded; V nodes with features of length d.
    hidden, out : int, at least 1
        Width of all layers but the last, and length of the embedding.
    layers : int, at least 1
    seed : int
        Of the initial weights: uniform as Glorot and Bengio have it; biases are 0.
    readout : {"mean", "max"}
    directed : bool
        Whether information flows along the network's edges only, or both ways (the default).
    edges : {"network", "shuffled", "none"}
        Controls for what the graph is worth, see `ArchitectureGraph.adjacency`; shuffled with `seed`.
    """

    adjacency: Tensor  # (V, V), normalised
    _index: Tensor  # (U, d) int64: see `_distinct_rows`

    def __init__(
        self,
        graph: ArchitectureGraph,
        hidden: int = 256,
        out: int = 128,
        layers: int = 2,
        seed: int = 0,
        readout: str = "mean",
        directed: bool = False,
        edges: str = "network",
    ) -> None:
        super().__init__()
        for name, value in (("hidden", hidden), ("out", out), ("layers", layers)):
            require(isinstance(value, int) and value >= 1, name, value, "a whole number of at least 1")
        self.readout = choose("readout", readout, READOUTS)
        generator = torch.Generator().manual_seed(seed)
        widths = [graph.d, *[hidden] * (layers - 1), out]
        pairs = list(pairwise(widths))
        self.weights = nn.ParameterList([_glorot(fan_in, fan_out, generator) for fan_in, fan_out in pairs])
        self.biases = nn.ParameterList([torch.zeros(fan_out) for _, fan_out in pairs])
        index, spread = _distinct_rows(graph)
        adjacency = graph.adjacency(directed, edges, seed)
        self.register_buffer("adjacency", adjacency.float(), persistent=False)
        self.register_buffer("_index", index, persistent=False)
        mixing = adjacency @ spread  # (V, U): the adjacency applied to distinct rows of features
        shared = adjacency.mean(dim=0).unsqueeze(1) * torch.cat([mixing, mixing.new_ones(len(mixing), 1)], dim=1)
        self._mixing, self._gathering = _Sparse(mixing), _Sparse(shared.T)  # the latter (U + 1, V)

    def forward(self, features: Tensor) -> Tensor:
        """Embeddings (B, out) of node features (B, V, d), see `ArchitectureGraph.features`."""
        return self._after_first(self.adjacency @ (features.transpose(0, 1) @ self.weights[0]).flatten(1))

    def embed(self, masks: Sequence[Tensor]) -> Tensor:
        """Embeddings (B, out) of B pruned variants; the same as `forward` of their node features, and much faster.

        Many nodes have the same features, those of one entry. The first layer is linear, so each distinct row is multiplied
        once, and a node, which has few neighbours, adds up few of the products.

        Parameters
        ----------
        masks : one Tensor (B, C) for each entry
            1 for a channel that stays, -1 for one that is cut.
        """
        flat = torch.cat([*masks, masks[0].new_tensor([0.0, 1.0]).expand(len(masks[0]), 2)], dim=1)
        rows = flat.T[self._index].transpose(1, 2)  # (U, B, d)
        first = (some @ self.weights[0] for some in rows.split(_CHUNK, dim=1))
        if len(self.weights) == 2 and self.readout == "mean":
            return torch.cat([self._mean_activated(products) for products in first]) @ self.weights[1] + self.biases[1]
        return torch.cat([self._after_first(self._mixing(products.flatten(1))) for products in first])

    def _mean_activated(self, products: Tensor) -> Tensor:
        """(B, hidden): the mean over nodes of ``A ReLU(H)``, from products (U, B, hidden) of which each row of H is a sum.

        What ReLU lets pass is 0 or 1 for each node and column. Given that, the mean is a sum of the products with fixed
        factors, and so its gradient: nothing as large as H has to be kept, nor gone through again.
        """
        flat, bias = products.flatten(1), self.biases[0].repeat(products.shape[1])
        with torch.no_grad():
            passes = self._mixing(flat).add_(bias).gt_(0)
            factors = self._gathering(passes)
        return ((factors[:-1] * flat).sum(dim=0) + factors[-1] * bias).view(products.shape[1:])

    def _after_first(self, hidden: Tensor) -> Tensor:
        """From ``A X W`` of the first layer, (V, B * width): its bias, all other layers, and the readout."""
        nodes, last = len(self.adjacency), len(self.weights) - 1
        for depth in range(1, last + 1):
            bias, weight = self.biases[depth - 1], self.weights[depth]
            activated = torch.relu(hidden.view(nodes, -1, len(bias)) + bias)
            if depth == last and self.readout == "mean":
                share = self.adjacency.mean(dim=0)  # the mean over nodes of A H is a weighted sum of H's rows
                return (share @ activated.flatten(1)).view(-1, len(bias)) @ weight + self.biases[last]
            hidden = self.adjacency @ (activated @ weight).flatten(1)
        embedded = hidden.view(nodes, -1, len(self.biases[last])) + self.biases[last]
        return embedded.mean(dim=0) if self.readout == "mean" else embedded.amax(dim=0)


class _Sparse(nn.Module):
    """A matrix of which most entries are 0, to multiply others by from the left."""

    columns: Tensor
    starts: Tensor
    values: Tensor

    def __init__(self, matrix: Tensor) -> None:
        super().__init__()
        rows, columns = matrix.nonzero().T
        starts = torch.searchsorted(rows.contiguous(), torch.arange(len(matrix)))
        parts = {"columns": columns.contiguous(), "starts": starts, "values": matrix[rows, columns].float()}
        for name, tensor in parts.items():
            self.register_buffer(name, tensor, persistent=False)

    def forward(self, other: Tensor) -> Tensor:
        return F.embedding_bag(self.columns, other, self.starts, mode="sum", per_sample_weights=self.values)


def _glorot(fan_in: int, fan_out: int, generator: torch.Generator) -> Tensor:
    limit = (6 / (fan_in + fan_out)) ** 0.5
    return torch.empty(fan_in, fan_out).uniform_(-limit, limit, generator=generator)


def _distinct_rows(graph: ArchitectureGraph) -> tuple[Tensor, Tensor]:
    """The U distinct rows of features that the nodes have, as places in the masks, and which node has which.

    Returns
    -------
    index : Tensor (U, d) int64
        Into the masks of all entries, laid side by side, then a 0 and a 1.
    spread : Tensor (V, U) float64
        1 where a node has the row.
    """
    starts = torch.tensor([0, *graph.widths]).cumsum(0).tolist()
    zero, one = starts[-1], starts[-1] + 1
    distinct = list(dict.fromkeys(node.parts for node in graph.nodes))
    index = torch.full((len(distinct), graph.d), zero)
    for row, parts in zip(index, distinct, strict=True):
        for part in parts:
            places = torch.arange(part.width) + starts[part.entry] if part.entry is not None else one
            row[part.offset : part.offset + part.width] = places
    position = {parts: row for row, parts in enumerate(distinct)}
    spread = torch.zeros(len(graph.nodes), len(distinct), dtype=torch.float64)
    for node, of in zip(graph.nodes, spread, strict=True):
        of[position[node.parts]] = 1
    return index, spread
