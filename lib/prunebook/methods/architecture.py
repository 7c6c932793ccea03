"""What entropy-guided k-core pruning does differently for each kind of network: section 3.5 of the paper [1]_.

Layers like those of VGG-16 are decided one by one (section 3.5.1), and layers that write into the same sum are coupled
whatever the network (`prunebook.cutting`), so neither needs a rule here. Two kinds of networks have rules of their own:

- networks of bottleneck blocks such as ResNet-50 (section 3.5.2): `equal_counts`;
- DenseNets (section 3.5.3): `rising`, `compressed` and `classifier_streams`.

The paper gives no number and no algorithm for any of these; each function says what the paper asks and what is our choice.

References
----------
.. [1] Yang, Jiang, Deng, Wang: Entropy-Guided k-Core Pruning Balancing Redundancy Reduction and Information Preservation
       for Efficient CNN Compression, RIMNI 2025, doi:10.23967/j.rimni.2025.10.73400.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from torch import Tensor, nn

from prunebook import features
from prunebook.errors import choose, require
from prunebook.models.densenet import DenseNet, transition_width

RISE = 0.05


@dataclass(frozen=True)
class Rules:
    """The rules of one network, by names of its convolutions. All empty: every layer decides by itself.

    Attributes
    ----------
    rise : layer -> what is added to its threshold tau; not named: nothing. See `rising`.
    equal : pairs of layers that have to lose the same number of filters. See `equal_counts`.
    compression : transition -> share of its kept inputs that it keeps as outputs. See `compressed`.
    transition_inputs : transition -> the layers whose outputs, one behind the other, are its input
    streams : the layers whose outputs, one behind the other, reach the classifier. See `classifier_streams`.

    Everything in the order in which the layers run.
    """

    rise: dict[str, float] = field(default_factory=dict)
    equal: list[tuple[str, str]] = field(default_factory=list)
    compression: dict[str, float] = field(default_factory=dict)
    transition_inputs: dict[str, list[str]] = field(default_factory=dict)
    streams: list[str] = field(default_factory=list)


def rules(model: nn.Module) -> Rules:
    """The rules of section 3.5 for this network, found by its structure; cut or not."""
    if isinstance(model, DenseNet):
        return _dense_rules(model)
    return Rules(equal=_projected_bottlenecks(model))


def rising(layers: Sequence[str], rise: float = RISE) -> dict[str, float]:
    """How much higher the threshold of each layer of one dense block is (section 3.5.3).

    The paper: later layers of a block get a higher tau, since their filters may carry what many earlier ones found. How
    much higher, it does not say. Our choice: linear, from 0 for the first layer to `rise` for the last. Whoever adds it
    to tau has to stay at or below 1.
    """
    require(isinstance(rise, int | float) and 0 <= rise <= 1, "rise", rise, "a number from 0 to 1")
    steps = max(1, len(layers) - 1)
    return {name: rise * step / steps for step, name in enumerate(layers)}


def equal_counts(
    kept_a: Sequence[int], kept_b: Sequence[int], scores_a: Tensor | Sequence[float], scores_b: Tensor | Sequence[float]
) -> tuple[list[int], list[int]]:
    """What two layers keep once both lose the same number of filters (section 3.5.2).

    The paper: in a block with a projection shortcut, its first 1x1 convolution and its last convolution are "forced to
    prune the same number of filters". (Its sentence could also mean the shortcut's own 1x1 convolution; that one is
    coupled with the last convolution anyway.) The layers have different widths, so it is the numbers lost that agree, not
    those kept. Our choice: the smaller of the two numbers; the layer that lost more gets back its best-scoring filters.

    Parameters: for each layer the filters that it keeps, and a score for every filter, of which there may be different
    numbers. Returns both lists, sorted.
    """
    lost = min(len(scores_a) - len(kept_a), len(scores_b) - len(kept_b))
    return meet(kept_a, scores_a, len(scores_a) - lost), meet(kept_b, scores_b, len(scores_b) - lost)


def compressed(inputs_kept: int, compression: float) -> int:
    """How many filters a transition keeps that still reads `inputs_kept` channels (section 3.5.3).

    The paper: the number of outputs has to meet "the predefined compression factor". Our choice: exactly, and as the
    DenseNet paper defines that factor: compression * inputs_kept, rounded down, at least 1. So with DenseNet-40's
    compression of 1, a transition passes on as many channels as it still reads.
    """
    return transition_width(inputs_kept, compression)


def meet(kept: Sequence[int], scores: Tensor | Sequence[float], count: int) -> list[int]:
    """Exactly `count` filters, sorted: `kept` without its lowest-scoring, or with the highest-scoring of the removed.

    `scores` has one number for every filter of the layer. Of equal scores the first filter counts as the higher. Raises
    BadValue where the layer cannot keep that many.
    """
    require(0 < count <= len(scores), "count", count, f"from 1 to the layer's {len(scores)} filters")
    values = [float(score) for score in scores]
    already = set(kept)
    by_rank = sorted(range(len(values)), key=lambda filter: (filter not in already, -values[filter], filter))
    return sorted(by_rank[:count])


def classifier_streams(
    model: nn.Module, images: Tensor, entropy: Callable[[Tensor], Tensor], mode: str = "eval"
) -> dict[str, Tensor]:
    """Entropy of every map that is fed into a DenseNet's classifier, by the layer that made it (section 3.5.3).

    The paper: before the classification layer, the entropy of all maps fed into it is evaluated, and "the feature
    streams with the highest entropy" are rather kept. Our reading: the maps as they are fed into it, that is, after the
    last batch norm and ReLU and before the pool; their entropies take the place of the raw maps' as the score of
    the layers that made them: the last block's, and the transition before it.

    Parameters
    ----------
    model : nn.Module
        Left as it was: mode, batch-norm statistics and hooks.
    images : Tensor (m, c, h, w)
        Normalised as in training.
    entropy : callable (m, n, h, w) -> (n,)
        Usually `prunebook.methods.kcore.entropy`.
    mode : {"eval", "train"}
        Of the network while it makes the maps, as in `prunebook.features.visit`.

    Returns
    -------
    dict of layer name -> Tensor (its output channels,)
        In order of the channels; empty for any other network.
    """
    choose("mode", mode, ("eval", "train"))
    require(images.dim() == 4 and images.numel() > 0, "images.shape", tuple(images.shape), "(m, c, h, w), m at least 1")
    if not isinstance(model, DenseNet):
        return {}
    streams = rules(model).streams
    widths = [model.get_parameter(f"{name}.weight").shape[0] for name in streams]
    return dict(zip(streams, entropy(_classified_maps(model, images, mode)).split(widths), strict=True))


def _dense_rules(model: DenseNet) -> Rules:
    blocks, transitions = model.dense_layers(), model.transitions()
    # A block's output: what came in, from the stem or a transition, and behind it what its layers added.
    outputs = [[source, *block] for source, block in zip(["conv1", *transitions], blocks, strict=True)]
    return Rules(
        rise={name: rise for block in blocks for name, rise in rising(block).items()},
        compression=transitions,
        transition_inputs=dict(zip(transitions, outputs, strict=False)),
        streams=outputs[-1],
    )


def _projected_bottlenecks(model: nn.Module) -> list[tuple[str, str]]:
    """First and last convolution of each bottleneck block whose shortcut has a convolution: a stage's first block."""
    blocks = [f"{name}." if name else "" for name, module in model.named_modules() if _is_projected_bottleneck(module)]
    return [(f"{block}conv1", f"{block}conv3") for block in blocks]


def _is_projected_bottleneck(module: nn.Module) -> bool:
    # By its parts, as torchvision names them: so are other people's ResNet-50s found, and importing torchvision, which
    # takes a second, is left to those who build one.
    convolutions = (getattr(module, name, None) for name in ("conv1", "conv2", "conv3"))
    projection = getattr(module, "downsample", None)
    return all(isinstance(part, nn.Conv2d) for part in convolutions) and isinstance(projection, nn.Module)


def _classified_maps(model: DenseNet, images: Tensor, mode: str) -> Tensor:
    seen: list[Tensor] = []
    features.watch(model, images, ["relu"], lambda name, output: seen.append(output), mode)
    return seen[0]
