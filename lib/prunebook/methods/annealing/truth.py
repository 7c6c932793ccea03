"""What a removal does on given inputs: the truth that bounds and saliencies are to tell of without any."""

import torch
from torch import Tensor

from prunebook.errors import require
from prunebook.methods.annealing.network import Network
from prunebook.robustness import loss, predict


def changes(
    network: Network, index: int, pairs: Tensor, inputs: Tensor, labels: Tensor, most: int = 2**22
) -> dict[str, Tensor]:
    """The change of the outputs where of the pairs (m, 2) of a hidden linear layer, `index`, one alone is removed.

    Parameters
    ----------
    inputs, labels : (n, ...) and (n,)
        As the network gets them. The outputs are those in front of any activation function behind the last layer.
    most : int
        Images times pairs times units that are held at once.

    Returns
    -------
    dict of Tensors (m,)
        "range": highest minus lowest change over the inputs, summed over the outputs, which is what NORM bounds; "moved":
        the mean over the inputs of the change's L1 norm; "loss": the mean loss behind minus that before, in nats; "flips":
        the percentage of inputs that get another answer.

    Raises BadValue for a layer that is not in front of a linear one.
    """
    require(index in network.dense(), "index", index, f"one of {network.dense()}, the hidden linear layers")
    values, reads, sums = inputs.double(), [], []
    for layer in network.layers:
        for step in layer.before:
            values = step.apply(values)
        reads.append(values)
        bias = layer.bias.view(-1, *[1] * (layer.weight.dim() - 2))
        values = layer.product(values, layer.weight) + bias
        sums.append(values)
    before, answers = loss(values, labels), predict(values)
    units, start, weight = reads[index + 1], sums[index + 1], network.layers[index + 1].weight
    widest = max(layer.width for layer in network.layers[index + 1 :])
    found: dict[str, list[Tensor]] = {"range": [], "moved": [], "loss": [], "flips": []}
    for some in pairs.split(max(1, most // (len(inputs) * widest))):
        i, j = some.T
        moved = start[:, None] + (units[:, j] - units[:, i])[:, :, None] * weight[:, i].T  # (n, pairs, outputs)
        for layer in network.layers[index + 2 :]:
            for step in layer.before:
                moved = step.apply(moved)
            moved = layer.product(moved, layer.weight) + layer.bias
        delta = moved - values[:, None]
        found["range"].append((delta.amax(0) - delta.amin(0)).sum(1))
        found["moved"].append(delta.abs().sum(2).mean(0))
        found["loss"].append(torch.stack([loss(moved[:, pair], labels) for pair in range(len(some))]) - before)
        found["flips"].append(
            100 * torch.stack([(predict(moved[:, pair]) != answers).double().mean() for pair in range(len(some))])
        )
    return {name: torch.cat(parts) for name, parts in found.items()}
