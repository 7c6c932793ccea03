"""A network as a graph whose nodes know which channels are kept: section 3.2 of the SACP paper [1]_.

The network is traced by ``torch.fx``. Convolutions, batch norms, pools, linear layers, sums and concatenations become nodes;
whatever else lies between two of them (activations, dropout, reshaping) is passed through, so that an edge leads from each
node to those that next read what it makes. A shortcut is the edge around its block.

The paper gives a node per layer and leaves open how sums, pools and concatenations are described, and how residual layers
share a ratio. [choice] Layers that have to lose the same channels (a residual stage) share one entry of r; a sum has the
mask of its entry, a batch norm or pool that of what it reads, a concatenation those of its inputs one behind the other.

References
----------
.. [1] Liu, Cao, Yu, Qi, Gui: Structure-aware automatic channel pruning by searching with graph embedding,
       arXiv 2506.11469, 2025.
"""

import math
import operator
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import networkx as nx
import torch
from torch import Tensor, fx, nn
from torch.fx.passes.shape_prop import ShapeProp
from torch.nn import functional as F

from prunebook import cutting, tracing
from prunebook.errors import BadValue, choose, nearest, require
from prunebook.models.resnet import PadShortcut

if TYPE_CHECKING:
    from matplotlib.axes import Axes

KINDS = ("conv", "bn", "pool", "linear", "add", "concat")
EDGES = ("network", "shuffled", "none")

_MODULES: dict[type[nn.Module], str] = {nn.Conv2d: "conv", nn.Linear: "linear"}
_MODULES |= dict.fromkeys((nn.BatchNorm1d, nn.BatchNorm2d), "bn")
_MODULES |= dict.fromkeys((nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d), "pool")
_FUNCTIONS: dict[Any, str] = dict.fromkeys((operator.add, operator.iadd, torch.add), "add")
_FUNCTIONS |= dict.fromkeys((torch.cat, torch.concat, torch.concatenate), "concat")
_FUNCTIONS |= dict.fromkeys((F.max_pool2d, F.avg_pool2d, F.adaptive_avg_pool2d, F.adaptive_max_pool2d, torch.mean), "pool")
_METHODS = {"add": "add", "add_": "add", "mean": "pool"}


class Part(NamedTuple):
    """Channels `offset` to `offset + width` of a node: the mask of that entry of r, or all kept where `entry` is None."""

    entry: int | None
    offset: int
    width: int


class Node(NamedTuple):
    """One layer of the network.

    name : unique; that of the layer, or of the module whose code adds, pools or concatenates, and what it does
    kind : one of `KINDS`
    layer : the module's name; "" for a function
    entry : the entry of r whose mask is its only feature; None where there is none, or several one behind the other
    channels : that it makes; of a linear layer, its outputs
    parts : of its feature vector; what they leave free up to d is 0
    """

    name: str
    kind: str
    layer: str
    entry: int | None
    channels: int
    parts: tuple[Part, ...]


class ArchitectureGraph:
    """The graph of a network, with the entries of r.

    Parameters
    ----------
    model : nn.Module
        Left as it was. It has to be traceable by ``torch.fx``: no control flow that depends on tensors.
    example_inputs : Tensor (1, c, h, w)

    Attributes
    ----------
    nodes : list of Node
        In order of execution.
    edges : list of (int, int)
        From a node to one that reads what it makes, sorted.
    entries : list of lists of convolutions
        What r decides: groups of layers that keep the same channels, as `cutting.coupled_layers` has them, in order of
        execution. Layers that make the network's output are not among them.
    widths, counts : lists of int
        Output channels C of each entry's layers, and how many layers it stands for.
    d : int
        Length of a feature vector: the most channels of any node but linear layers. That is the most output channels of any
        convolution, as in the paper, unless a concatenation has more, of which the paper knows none.

    Raises
    ------
    BadValue
        A network that cannot be traced, naming the module where tracing stopped; one without a convolution whose output may
        be cut; a convolution in groups of several channels.
    """

    def __init__(self, model: nn.Module, example_inputs: Tensor) -> None:
        shape = tuple(getattr(example_inputs, "shape", ()))
        require(len(shape) == 4 and shape[0] >= 1, "example_inputs.shape", shape, "(n, c, h, w), at least one image")
        traced = _trace(model, example_inputs)
        self.entries = cutting.coupled_layers(model, example_inputs)
        if not self.entries:
            raise BadValue(f"this {type(model).__name__} has no convolution whose output may be cut, so nothing to decide")
        layers = cutting.prunable_layers(model)
        self.widths = [cutting.width(layers[entry[0]]) for entry in self.entries]
        self.counts = [len(entry) for entry in self.entries]
        self._entry_of = {name: i for i, entry in enumerate(self.entries) for name in entry}
        self._wide = {name: cutting.width(layer) for name, layer in layers.items() if isinstance(layer, nn.Conv2d)}
        found = _Reader(traced, self._entry_of).read()
        self.d = max(part.offset + part.width for node in found.nodes for part in node.parts)
        # Not pruned, and so ones in every place (section 3.2); what reads a linear layer has its features.
        ones = (Part(None, 0, self.d),)
        self.nodes = [node if node.parts else node._replace(parts=ones) for node in found.nodes]
        self.edges = sorted(found.edges)

    def features(self, keep: Mapping[str, Sequence[int]]) -> Tensor:
        """The nodes' features (V, d), float32: 1 for a kept channel, -1 for a cut one, 0 beyond the last (section 3.2).

        Parameters
        ----------
        keep : convolution -> its kept channels
            One of an entry's layers is enough; an entry that is not named keeps everything.

        Raises
        ------
        BadValue
            A layer that the network does not have, or has to keep whole; channels that it does not have; different channels
            for two layers of one entry.
        """
        masks = [torch.ones(width) for width in self.widths]
        given: dict[int, tuple[str, list[int]]] = {}
        for name, channels in keep.items():
            kept = sorted(set(channels))
            self._check_kept(name, kept)
            entry = self._entry_of.get(name)
            if entry is None:
                continue
            other, theirs = given.setdefault(entry, (name, kept))
            if theirs != kept:
                raise BadValue(f"layers {other!r} and {name!r} are coupled, but keep has different channels for them")
            masks[entry].fill_(-1)[kept] = 1
        return self.assemble(masks)

    def assemble(self, masks: Sequence[Tensor]) -> Tensor:
        """Features (..., V, d) of many networks at once: one mask (..., C) of 1 and -1 for each entry, in this order."""
        first = masks[0]
        x = first.new_zeros(*first.shape[:-1], len(self.nodes), self.d)
        for v, node in enumerate(self.nodes):
            for entry, offset, width in node.parts:
                x[..., v, offset : offset + width] = 1 if entry is None else masks[entry]
        return x

    def adjacency(self, directed: bool = False, edges: str = "network", seed: int = 0) -> Tensor:
        """D^-1/2 (A + I) D^-1/2, a matrix (V, V) in float64: what one graph convolution multiplies features by.

        A is symmetric and D counts its ones in each row, with the self-loop. The paper says neither direction nor
        normalisation; these are those of Kipf and Welling's graph convolution, without directions [choice]. With `directed`,
        A[j, i] = 1 for the edge i -> j alone: a node gathers from those that it reads, and D counts them and itself.
        PyTorch Geometric's ``GCNConv`` does the same with edges given in both directions, or in one.

        `edges` has controls for what the structure is worth, neither in the paper: "shuffled" swaps the ends of edges at
        random, so that each node keeps its number of neighbours and nothing else; "none" leaves each node alone with itself.

        Raises BadValue for other `edges`, for directed ones that are not the network's, and where no swap is possible.
        """
        choose("edges", edges, EDGES)
        require(edges == "network" or not directed, "directed", directed, f"False where edges is {edges!r}")
        a = torch.eye(len(self.nodes), dtype=torch.float64)
        for i, j in self._shuffled(seed) if edges == "shuffled" else self.edges if edges == "network" else []:
            a[j, i] = 1
            if not directed:
                a[i, j] = 1
        scale = a.sum(1).rsqrt()
        return scale.unsqueeze(1) * a * scale

    def _shuffled(self, seed: int) -> list[tuple[int, int]]:
        """Edges after ten swaps for each, which keep every node's number of neighbours."""
        graph = nx.Graph(self.edges)
        try:
            nx.double_edge_swap(graph, 10 * len(graph.edges), max_tries=10_000 * len(graph.edges), seed=seed)
        except nx.NetworkXException as fault:
            raise BadValue(f"the edges of this graph cannot be shuffled: {fault}") from None
        return list(graph.edges)

    def to_networkx(self) -> nx.DiGraph:
        """The directed graph: node numbers, with name, kind, layer, entry and channels of each as attributes."""
        graph = nx.DiGraph()
        for v, node in enumerate(self.nodes):
            graph.add_node(v, **{key: value for key, value in node._asdict().items() if key != "parts"})
        graph.add_edges_from(self.edges)
        return graph

    def draw(self, ax: "Axes | None" = None, keep: Mapping[str, Sequence[int]] | None = None) -> "Axes":
        """Draw the nodes in order of depth from left to right, in as many lines as are needed, like text.

        Where `keep` is given, as in `features`, the filled share of a node's area is the share of its channels that is kept.
        """
        share = torch.ones(len(self.nodes))
        if keep is not None:
            x = self.features(keep)
            share = (x == 1).sum(1) / (x != 0).sum(1)
        return _draw(self, share.tolist(), ax)

    def _check_kept(self, name: str, kept: list[int]) -> None:
        if name not in self._wide:
            raise BadValue(f"layer {name!r} of keep is no convolution of this network{nearest(name, self._wide)}")
        wide = self._wide[name]
        valid = len(kept) > 0 and kept[0] >= 0 and kept[-1] < wide
        require(valid, f"keep[{name!r}]", kept, f"channels in 0..{wide - 1}, at least one")
        if name not in self._entry_of and len(kept) < wide:
            raise BadValue(f"layer {name!r} is not one whose channels r decides, so keep has to have all {wide} of them")


@torch.no_grad()
def _trace(model: nn.Module, example_inputs: Tensor) -> fx.GraphModule:
    """The network's operations, each with the shape of what it makes."""
    traced = tracing.trace(model, _MODULES)
    ShapeProp(traced).propagate(example_inputs)
    return traced


class _Found(NamedTuple):
    nodes: list[Node]
    edges: set[tuple[int, int]]


class _Reader:
    """Reads nodes and edges off a traced network.

    For each operation it knows from which nodes its result comes, and the parts of that result's channels; no parts stands
    for all ones.
    """

    def __init__(self, traced: fx.GraphModule, entry_of: Mapping[str, int]) -> None:
        self.traced = traced
        self.modules = dict(traced.named_modules())
        self.entry_of = entry_of
        self.sources: dict[fx.Node, list[int]] = {}
        self.parts: dict[fx.Node, tuple[Part, ...]] = {}
        self.nodes: list[Node] = []
        self.edges: set[tuple[int, int]] = set()

    def read(self) -> _Found:
        for operation in self.traced.graph.nodes:
            # Sizes and the like are numbers, not maps; a parameter is no layer's output.
            inputs = [i for i in operation.all_input_nodes if "tensor_meta" in i.meta and i.op != "get_attr"]
            kind = self._kind(operation, inputs)
            self.parts[operation] = parts = self._parts(operation, kind, inputs)
            came_from = sorted({source for i in inputs for source in self.sources[i]})
            if kind is None:
                self.sources[operation] = came_from
                continue
            number = len(self.nodes)
            self.sources[operation] = [number]
            self.edges.update((source, number) for source in came_from)
            entry = parts[0].entry if len(parts) == 1 else None
            layer = str(operation.target) if operation.op == "call_module" else ""
            self.nodes.append(Node(self._name(operation, kind), kind, layer, entry, _channels(operation), parts))
        return _Found(self.nodes, self.edges)

    def _kind(self, operation: fx.Node, inputs: list[fx.Node]) -> str | None:
        """None for what is passed through."""
        if operation.op == "call_module":
            module = self.modules[str(operation.target)]
            return next((kind for type_, kind in _MODULES.items() if isinstance(module, type_)), None)
        kind = {"call_function": _FUNCTIONS, "call_method": _METHODS}.get(operation.op, {}).get(operation.target)
        wanted = True
        if kind == "add":
            wanted = len(inputs) == 2 or operation.args[:2] == (*inputs, *inputs)
        elif kind == "concat":
            wanted = _argument(operation, 1, "dim", 0) in (1, 1 - len(_shape(operation)))
        elif operation.target in (torch.mean, "mean"):
            wanted = len(inputs) == 1 and _is_over_places(operation, inputs[0])
        return kind if wanted else None

    def _parts(self, operation: fx.Node, kind: str | None, inputs: list[fx.Node]) -> tuple[Part, ...]:
        """None at all for what comes from linear layers, or has no channels in its second dimension."""
        channels = _channels(operation)
        if kind == "linear" or channels == 0:
            return ()
        if kind == "concat":
            return self._side_by_side(_argument(operation, 0, "tensors", ()))
        whole = (Part(None, 0, channels),)
        module = self.modules[str(operation.target)] if operation.op == "call_module" else None
        if isinstance(module, PadShortcut):
            return whole
        if isinstance(module, nn.Conv2d) and (operation.target in self.entry_of or not cutting.is_depthwise(module)):
            return (Part(self.entry_of.get(str(operation.target)), 0, channels),)
        fitting = [parts for i in inputs if (parts := self.parts[i]) and sum(part.width for part in parts) == channels]
        # What decides about a sum is the operand whose channels r decides about, not one padded with zeros.
        decided = [parts for parts in fitting if any(part.entry is not None for part in parts)]
        return (decided or fitting or [whole if len(_shape(operation)) == 4 else ()])[0]

    def _side_by_side(self, inputs: Sequence[fx.Node]) -> tuple[Part, ...]:
        parts: list[Part] = []
        offset = 0
        for i in inputs:
            width = _channels(i)
            own = self.parts[i] or (Part(None, 0, width),)
            parts += [part._replace(offset=offset + part.offset) for part in own]
            offset += width
        return tuple(parts)

    def _name(self, operation: fx.Node, kind: str) -> str:
        if operation.op == "call_module":
            name = str(operation.target)
        else:
            path = list(operation.meta.get("nn_module_stack", {}))
            name = ".".join([*path[-1:], kind])
        taken = {node.name for node in self.nodes}
        return next(n for n in (name, *(f"{name}:{i}" for i in range(2, len(taken) + 3))) if n not in taken)


def _shape(operation: fx.Node) -> tuple[int, ...]:
    """Of what an operation makes; () where that is not one tensor."""
    return tuple(getattr(operation.meta.get("tensor_meta"), "shape", ()))


def _channels(operation: fx.Node) -> int:
    shape = _shape(operation)
    return shape[1] if len(shape) >= 2 else 0


def _is_over_places(operation: fx.Node, of: fx.Node) -> bool:
    """Whether a mean is over height, width or both of maps (n, c, h, w)."""
    over = _argument(operation, 1, "dim", None)
    axes = [over] if isinstance(over, int) else over or []
    return len(_shape(of)) == 4 and bool(axes) and {axis % 4 for axis in axes} <= {2, 3}


def _argument(operation: fx.Node, position: int, name: str, default: Any) -> Any:
    return operation.args[position] if len(operation.args) > position else operation.kwargs.get(name, default)


_COLUMNS = 34  # of nodes in a line of a drawing, more or less
_COLOURS = {
    "conv": "#0173b2",
    "bn": "#56b4e9",
    "pool": "#de8f05",
    "linear": "#d55e00",
    "add": "#029e73",
    "concat": "#cc78bc",
}
_LINE = 1.2  # from one line to the next; columns are 1 apart
_LANE = 0.3  # between nodes of one column, the later one higher
_EDGE = {"arrowstyle": "-|>,head_width=0.12,head_length=0.25", "color": "#555555", "linewidth": 0.7}


class _Layout(NamedTuple):
    """place : (x, y) of each node; columns : of the longest line; lines : their number; high : from one to the next"""

    place: list[tuple[float, float]]
    columns: float
    lines: int
    high: float


def _draw(graph: ArchitectureGraph, share: Sequence[float], ax: "Axes | None") -> "Axes":
    import matplotlib.pyplot as plt  # here, because no worker needs it
    from matplotlib.lines import Line2D

    layout = _layout(graph)
    if ax is None:
        size = (max(4.0, 0.38 * (layout.columns + 1)), 0.4 + layout.high * layout.lines)
        _, ax = plt.subplots(figsize=size, layout="constrained")
    for i, j in graph.edges:
        _draw_edge(ax, layout.place[i], layout.place[j], layout)
    for (x, y), node, part in zip(layout.place, graph.nodes, share, strict=True):
        colour = _COLOURS[node.kind]
        ax.scatter([x], [y], s=60, facecolor="white", edgecolor=colour, zorder=3)
        ax.scatter([x], [y], s=60 * part, facecolor=colour, edgecolor="none", zorder=4)
        if node.kind in ("conv", "linear"):
            above = round(y / layout.high) * layout.high < y - _LANE / 2
            turned: dict[str, Any] = {"rotation": 35, "va": "bottom"} if above else {"rotation": -35, "va": "top"}
            ax.text(x - 0.1, y + (0.1 if above else -0.1), node.name, fontsize=7, rotation_mode="anchor", **turned)
    kinds = [kind for kind in KINDS if any(node.kind == kind for node in graph.nodes)]
    dots = [Line2D([], [], color=_COLOURS[kind], marker="o", linestyle="", label=kind) for kind in kinds]
    ax.legend(handles=dots, ncol=len(dots), loc="lower center", bbox_to_anchor=(0.5, 1.0), fontsize=8, frameon=False)
    top = layout.high - 0.6
    ax.set(xlim=(-1.4, layout.columns + 0.9), ylim=(top - layout.high * layout.lines, top))
    ax.axis("off")
    return ax


def _draw_edge(ax: "Axes", start: tuple[float, float], end: tuple[float, float], layout: _Layout) -> None:
    """An arrow, bent where nodes lie between. From one line to another: out at the right, and in again at the left."""
    (x, y), (u, v) = start, end
    if u > x and abs(y - v) < layout.high / 2:
        bent = "arc3,rad=-0.25" if u > x + 1 else "arc3"
        ax.annotate("", (u, v), (x, y), arrowprops={**_EDGE, "shrinkA": 4, "shrinkB": 4, "connectionstyle": bent})
        return
    ax.annotate("", (layout.columns + 0.8, y), (x, y), arrowprops={**_EDGE, "shrinkA": 4, "shrinkB": 0})
    bent = "arc3,rad=-0.25" if u > 0 else "arc3"
    ax.annotate("", (u, v), (-1.3, v), arrowprops={**_EDGE, "shrinkA": 0, "shrinkB": 4, "connectionstyle": bent})


def _layout(graph: ArchitectureGraph) -> _Layout:
    """A node's column is the length of the longest way to it."""
    depth = [0] * len(graph.nodes)
    for i, j in graph.edges:  # sorted by i, and nodes are in order of execution
        depth[j] = max(depth[j], depth[i] + 1)
    starts = _line_starts(graph, depth)
    high = _LINE + _LANE * (max(map(depth.count, depth)) - 1)
    used: dict[int, int] = {}
    place: list[tuple[float, float]] = []
    for column in depth:
        line = sum(start <= column for start in starts) - 1
        lane = used[column] = used.get(column, -1) + 1
        place.append((column - starts[line], lane * _LANE - line * high))
    return _Layout(place, max(x for x, _ in place), len(starts), high)


def _line_starts(graph: ArchitectureGraph, depth: Sequence[int]) -> list[int]:
    """The first column of each line: about equally long ones, broken where the fewest nodes have edges across.

    That is between blocks, not within.
    """
    columns = max(depth) + 1
    each = columns / math.ceil(columns / _COLUMNS)
    slack = round(each / 6)
    starts = [0]
    while columns - starts[-1] > each + slack:
        wanted = round(starts[-1] + each)
        possible = range(wanted - slack, wanted + slack + 1)
        across = {at: len({i for i, j in graph.edges if depth[i] < at <= depth[j]}) for at in possible}
        starts.append(min(possible, key=lambda at: (across[at], abs(at - wanted))))
    return starts
