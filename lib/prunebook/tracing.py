"""A network as a list of operations, traced by ``torch.fx``, and the parts into which it can be divided."""

import copy
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from torch import fx, nn

from prunebook.errors import BadValue
from prunebook.models.resnet import PadShortcut


def trace(model: nn.Module, kinds: Iterable[type[nn.Module]] = ()) -> fx.GraphModule:
    """The operations of a copy of `model` in evaluation mode.

    A module of one of `kinds` is one operation; so are PyTorch's own and `PadShortcut` in any case.
    Raises BadValue where ``torch.fx`` cannot follow.
    """
    work = copy.deepcopy(model).eval()
    tracer = _Tracer((*kinds, PadShortcut))
    try:
        return fx.GraphModule(work, tracer.trace(work))
    except Exception as error:  # tracing runs the network's own code, which can fail in any way
        where = f"module {tracer.at[-1]!r}" if tracer.at else f"the forward of {type(model).__name__} itself"
        reason = str(error).strip().split("\n")[0]
        raise BadValue(
            f"the network cannot be traced by torch.fx, which stops in {where}: {reason}; "
            "write it without control flow that depends on tensors"
        ) from error


def part(traced: fx.GraphModule, inputs: Sequence[fx.Node], outputs: Sequence[fx.Node]) -> fx.GraphModule:
    """The part of a network that makes what the operations `outputs` make, a tuple, from what `inputs` make.

    The inputs of the whole network, where the part needs them, have to be among `inputs`.
    """
    needed: set[fx.Node] = set()
    open_ends = list(outputs)
    while open_ends:
        node = open_ends.pop()
        if node not in needed and node not in inputs:
            needed.add(node)
            open_ends += node.all_input_nodes
    graph = fx.Graph()
    copies = {node: graph.placeholder(node.name) for node in inputs}
    for node in traced.graph.nodes:
        if node in needed:
            copies[node] = graph.node_copy(node, copies.__getitem__)
    graph.output(tuple(copies[node] for node in outputs))
    return fx.GraphModule(traced, graph)


class _Tracer(fx.Tracer):
    """Remembers where it is, so that a failure can be placed."""

    def __init__(self, kinds: tuple[type[nn.Module], ...]) -> None:
        super().__init__()
        self.kinds = kinds
        self.at: list[str] = []

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, self.kinds) or super().is_leaf_module(m, module_qualified_name)

    def call_module(self, m: nn.Module, forward: Callable[..., Any], args: tuple, kwargs: dict[str, Any]) -> Any:
        self.at.append(self.path_of_module(m))
        result = super().call_module(m, forward, args, kwargs)
        self.at.pop()  # not if it fails: then this says where
        return result
