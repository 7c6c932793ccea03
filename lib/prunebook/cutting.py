"""The one module that cuts: it removes output channels through Torch-Pruning's dependency graph.

Methods decide (a `PruningPlan`), this module carries out. The dependency graph [1]_ knows which layers have to lose the
same channels, so residual sums and concatenations stay consistent.

References
----------
.. [1] Fang, Ma, Song, Mi, Wang: DepGraph: towards any structural pruning, CVPR 2023.
"""

import copy
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch_pruning as tp
from torch import Tensor, nn

from prunebook.errors import BadValue, nearest, require
from prunebook.measure import Cost
from prunebook.models.resnet import PadShortcut


class _PadShortcutPruner(tp.pruner.function.BasePruningFunc):
    """Tells Torch-Pruning that a `PadShortcut` has inputs and outputs of their own, like a convolution."""

    def prune_out_channels(self, layer: PadShortcut, idxs: Sequence[int]) -> nn.Module:
        layer.keep_outputs(_without(layer.out_channels, idxs))
        return layer

    def prune_in_channels(self, layer: PadShortcut, idxs: Sequence[int]) -> nn.Module:
        layer.keep_inputs(_without(layer.in_channels, idxs))
        return layer

    def get_out_channels(self, layer: PadShortcut) -> int:
        return layer.out_channels

    def get_in_channels(self, layer: PadShortcut) -> int:
        return layer.in_channels


def _without(width: int, removed: Sequence[int]) -> list[int]:
    gone = set(removed)
    return [channel for channel in range(width) if channel not in gone]


def width(layer: nn.Module) -> int:
    """Output channels of a convolution, or outputs of a linear layer."""
    if isinstance(layer, nn.Conv2d):
        return layer.out_channels
    assert isinstance(layer, nn.Linear)
    return layer.out_features


def prunable_layers(model: nn.Module) -> dict[str, nn.Module]:
    """The layers whose outputs a plan can name: every ``Conv2d`` and ``Linear``, by name."""
    return {name: module for name, module in model.named_modules() if isinstance(module, nn.Conv2d | nn.Linear)}


def is_depthwise(layer: nn.Module) -> bool:
    """Whether `layer` is a convolution that filters each channel by itself: it can only lose what it reads."""
    return isinstance(layer, nn.Conv2d) and layer.groups == layer.in_channels == layer.out_channels > 1


def coupled_layers(model: nn.Module, example_inputs: Tensor, linear: bool = False) -> list[list[str]]:
    """The convolutions of a network, grouped: those of one group have to lose the same output channels.

    A group of one is free to decide for itself. A residual stage is one group of several: whatever writes into the same
    sum, or a convolution and the depthwise one behind it. Layers that produce the network's output are left out, since
    their width is given, and so are depthwise ones that read the input or a concatenation. In order of execution. With
    `linear`, linear layers are grouped in the same way.

    Raises BadValue for a convolution in groups of several channels.
    """
    kinds = (nn.Conv2d, nn.Linear) if linear else (nn.Conv2d,)
    graph, work = _dependency_graph(model, example_inputs)
    names = {module: name for name, module in work.named_modules()}
    order = {name: position for position, name in enumerate(_order_of_execution(work, example_inputs, kinds))}
    groups: list[list[str]] = []
    seen: set[str] = set()
    for name, module in work.named_modules():
        if not isinstance(module, kinds) or name in seen or name not in order:
            continue
        members, is_output = _group(graph, module)
        group = sorted((names[m] for m in members if isinstance(m, kinds)), key=order.__getitem__)
        seen.update(group)
        if not is_output and not all(is_depthwise(member) for member in members):
            groups.append(group)
    return sorted(groups, key=lambda group: order[group[0]])


def cut(
    model: nn.Module,
    keep: Mapping[str, Sequence[int]],
    example_inputs: Tensor,
    delegates: Mapping[str, Mapping[int, int]] | None = None,
) -> nn.Module:
    """A copy of `model` in which each layer named in `keep` has only those output channels, in this order.

    Layers coupled to a named one follow it. `delegates` says of channels of a layer which other one takes over from each:
    the weights that read the one are added to those that read the other, before anything is cut. Raises BadValue if a
    layer or channel does not exist, if nothing would be left of a layer, if two coupled layers are given different
    channels, if a layer makes the network's output, or if one is or is read by a convolution in groups of several channels.
    """
    layers = prunable_layers(model)
    for name, kept in keep.items():
        if name not in layers:
            known = list(layers)
            raise BadValue(f"layer {name!r} of the plan is not in this {type(model).__name__}{nearest(name, known)}")
        wide = width(layers[name])
        valid = len(kept) > 0 and list(kept) == sorted(set(kept)) and kept[0] >= 0 and kept[-1] < wide
        require(valid, f"keep[{name!r}]", list(kept), f"a sorted list of distinct channels in 0..{wide - 1}, not empty")
    graph, work = _dependency_graph(model, example_inputs)
    names = {module: name for name, module in work.named_modules()}
    modules = prunable_layers(work)
    handed: dict[str, Mapping[int, int]] = {}
    for name, units in (delegates or {}).items():
        wide = width(modules[name])
        outside = [unit for unit in (*units, *units.values()) if not 0 <= unit < wide]
        require(not outside, f"delegates[{name!r}]", outside, f"of channels in 0..{wide - 1}")
        for other in handed.keys() & {names[member] for member in _group(graph, modules[name])[0]}:
            if handed[other] != units:
                raise BadValue(f"layers {name!r} and {other!r} are coupled, but the plan gives them different delegates")
            break
        else:
            _hand_over(graph, modules[name], units)
        handed[name] = units
    done: set[str] = set()
    for name, kept in keep.items():
        if name in done:
            continue
        members, is_output = _group(graph, modules[name])
        coupled = [names[m] for m in members if names[m] in keep]
        done.update(coupled)
        for other in coupled:
            if list(keep[other]) != list(kept):
                raise BadValue(f"layers {name!r} and {other!r} are coupled, but the plan keeps different channels of them")
        removed = _without(width(modules[name]), kept)
        if removed and is_output:
            raise BadValue(f"layer {name!r} makes the network's output, so its channels cannot be removed")
        if removed:
            _out_group(graph, modules[name], removed).prune()
    for (_, parameter), (_, original) in zip(work.named_parameters(), model.named_parameters(), strict=True):
        parameter.requires_grad_(original.requires_grad)
        parameter.grad = None
        if _is_channels_last(original):
            parameter.data = torch.empty_like(parameter, memory_format=torch.channels_last).copy_(parameter.data)
    for module, as_it_was in zip(work.modules(), model.modules(), strict=True):
        module.training = as_it_was.training
    return work


@torch.no_grad()
def _hand_over(graph: Any, module: nn.Module, delegates: Mapping[int, int]) -> None:
    """Add what reads each of these output channels of `module` to what reads its delegate, in every layer behind it."""
    carried_by = torch.arange(width(module))
    carried_by[list(delegates)] = torch.tensor(list(delegates.values()), dtype=torch.long)
    for item in _out_group(graph, module, range(width(module))):
        reader = item.dep.target.module
        if not isinstance(reader, nn.Conv2d | nn.Linear) or graph.is_out_channel_pruning_fn(item.dep.handler):
            continue
        # Behind a flattened map each channel has several inputs, in the same order for every channel.
        inputs = torch.tensor(item.idxs)[torch.tensor(item.root_idxs).argsort(stable=True)].view(width(module), -1)
        before = reader.weight[:, inputs].clone()
        after = torch.zeros_like(before).index_add_(1, carried_by.to(before.device), before)
        reader.weight[:, inputs] = after


def _is_channels_last(tensor: Tensor) -> bool:
    """Whether a convolution's weights lie in memory channels last; the cut must not change that.

    Strides tell, not `is_contiguous`: weights for one input channel are contiguous either way, and PyTorch lays out the maps
    as their strides say.
    """
    if tensor.dim() != 4:
        return False
    return tensor.stride() == torch.empty_like(tensor, memory_format=torch.channels_last, device="meta").stride()


def cost_if_kept(
    model: nn.Module, example_inputs: Tensor, names: Iterable[str]
) -> Callable[[Mapping[str, Sequence[int]]], Cost]:
    """A function that counts the MACs and parameters which a cut would leave, without cutting.

    It takes channels to keep of some of the layers `names`, no two of them coupled, and returns what
    ``measure.cost(cut(model, keep, example_inputs), example_inputs[:1])`` counts with counter "macs". For searches that ask
    often; tracing the network is done once, here. Parameters are those of convolutions, linear layers and batch norms.
    """
    graph, work = _dependency_graph(model, example_inputs)
    layers = {name: module for name, module in work.named_modules() if isinstance(module, (*_LAYERS, *_NORMS))}
    name_of: dict[nn.Module, str] = {module: name for name, module in layers.items()}
    # For each named layer: with which of its channels inputs or outputs of which layers vanish.
    follows = {name: _vanishing(graph, layers[name], name_of) for name in names}
    sizes = {name: _sizes(layer) for name, layer in layers.items()}
    whole = _macs_by_layer(work, example_inputs)
    latest: dict[str, tuple[list[int], list[tuple[str, bool, int]]]] = {}  # most layers are as they were a question before

    def vanished(name: str, kept: list[int]) -> list[tuple[str, bool, int]]:
        """Of which layers how many outputs (True) or inputs vanish where `name` keeps these channels."""
        if name not in latest or latest[name][0] != kept:
            gone = np.ones(sizes[name][1], dtype=bool)
            gone[kept] = False
            latest[name] = kept, [(target, is_out, int(gone[roots].sum())) for target, is_out, roots in follows[name]]
        return latest[name][1]

    def count(keep: Mapping[str, Sequence[int]]) -> Cost:
        inputs = {name: size[0] for name, size in sizes.items()}
        outputs = {name: size[1] for name, size in sizes.items()}
        for name, kept in keep.items():
            for target, is_out, number in vanished(name, list(kept)):
                (outputs if is_out else inputs)[target] -= number
        macs = params = 0
        for name, (wide_in, wide_out, weights, biases) in sizes.items():
            left_in, left_out = inputs[name], outputs[name]
            macs += whole.get(name, 0) * left_in * left_out // (wide_in * wide_out)
            params += weights * left_in * left_out // (wide_in * wide_out) + biases * left_out // wide_out
        return Cost(macs, params)

    return count


def _vanishing(graph: Any, module: nn.Module, name_of: Mapping[nn.Module, str]) -> list[tuple[str, bool, np.ndarray]]:
    """By layer, for its outputs (True) or its inputs: the channel of `module` with which each of them vanishes, if any does.

    No input or output is listed twice, so that they can be counted.
    """
    channel_of: dict[tuple[str, bool], dict[int, int]] = {}
    for item in _out_group(graph, module, range(width(module))):
        target = item.dep.target.module
        if target in name_of:
            side = name_of[target], graph.is_out_channel_pruning_fn(item.dep.handler)
            channel_of.setdefault(side, {}).update(zip(item.idxs, item.root_idxs, strict=True))
    return [(name, is_out, np.array(list(channels.values()))) for (name, is_out), channels in channel_of.items()]


def macs_if_kept(
    model: nn.Module, example_inputs: Tensor, names: Iterable[str]
) -> Callable[[Mapping[str, Sequence[int]]], int]:
    """`cost_if_kept`, of which only the MACs are asked for."""
    count = cost_if_kept(model, example_inputs, names)
    return lambda keep: count(keep).macs


_LAYERS = (nn.Conv2d, nn.Linear)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


def _sizes(layer: nn.Module) -> tuple[int, int, int, int]:
    """Inputs and outputs of a layer, numbers of its weight, and of what it has for each output."""
    if isinstance(layer, _NORMS):
        return 1, layer.num_features, 0, sum(parameter.numel() for parameter in layer.parameters())
    assert isinstance(layer, _LAYERS)
    return _inputs(layer), width(layer), layer.weight.numel(), 0 if layer.bias is None else layer.bias.numel()


def _inputs(layer: nn.Module) -> int:
    if isinstance(layer, nn.Conv2d):
        return layer.in_channels  # of which a depthwise one reads a single one for each output, whatever else is cut
    assert isinstance(layer, nn.Linear)
    return layer.in_features


@torch.no_grad()
def _macs_by_layer(model: nn.Module, example_inputs: Tensor) -> dict[str, int]:
    """Multiply-accumulates of each convolution and linear layer, for one image."""
    macs: dict[str, int] = {}

    def hook(name: str) -> Any:
        def note(module: nn.Module, inputs: tuple, output: Tensor) -> None:
            assert isinstance(module, nn.Conv2d | nn.Linear)
            each = module.weight[0].numel()  # for one number of the output
            macs[name] = macs.get(name, 0) + each * output[0].numel()

        return note

    handles = [module.register_forward_hook(hook(name)) for name, module in prunable_layers(model).items()]
    model(example_inputs[:1])
    for handle in handles:
        handle.remove()
    return macs


def _dependency_graph(model: nn.Module, example_inputs: Tensor) -> tuple[Any, nn.Module]:
    """Torch-Pruning's graph of a copy of `model`, and that copy, in eval mode and with every gradient on for tracing."""
    work = copy.deepcopy(model).eval().requires_grad_(True)
    graph = tp.DependencyGraph()
    with torch.enable_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of what it does with parameters outside of layers, per call
        graph.build_dependency(work, example_inputs, customized_pruners={PadShortcut: _PadShortcutPruner()})
    return graph, work


def _out_group(graph: Any, module: nn.Module, channels: Sequence[int]) -> Any:
    """What goes with these output channels of `module`. BadValue for convolutions in groups of several channels.

    Such groups stay of equal size only if each loses as many channels, which no method here sees to.
    """
    prune = tp.prune_conv_out_channels if isinstance(module, nn.Conv2d) else tp.prune_linear_out_channels
    group = graph.get_pruning_group(module, prune, list(channels))
    for item in group:
        target = item.dep.target
        if isinstance(target.module, nn.Conv2d) and target.module.groups > 1 and not is_depthwise(target.module):
            name = target.name.split(" ")[0]
            allowed = "1, or the number of its inputs and outputs alike: others cannot be cut"
            raise BadValue(f"the number of groups of layer {name!r} is {target.module.groups}, but must be {allowed}")
    return group


def _group(graph: Any, module: nn.Module) -> tuple[list[nn.Module], bool]:
    """The layers that lose the same output channels as `module`, itself included; whether they make the output.

    They do if no layer takes their channels in.
    """
    everything = list(range(width(module)))
    members: list[nn.Module] = []
    taken_in = False
    for item in _out_group(graph, module, everything):
        target = item.dep.target.module
        if not isinstance(target, nn.Conv2d | nn.Linear):
            continue
        if graph.is_out_channel_pruning_fn(item.dep.handler):
            # In whatever order they are listed; through a concatenation the numbers would be shifted instead.
            same = sorted(zip(item.idxs, item.root_idxs, strict=True)) == [(c, c) for c in everything]
            same = same and width(target) == len(everything)
            members += [target] if same else []
        else:
            taken_in = True
    return members, not taken_in


@torch.no_grad()
def _order_of_execution(model: nn.Module, example_inputs: Tensor, kinds: tuple[type[nn.Module], ...]) -> list[str]:
    order: list[str] = []

    def hook(name: str) -> Any:
        return lambda module, inputs, output: order.append(name) if name not in order else None

    handles = [m.register_forward_hook(hook(name)) for name, m in model.named_modules() if isinstance(m, kinds)]
    model(example_inputs)
    for handle in handles:
        handle.remove()
    return order
