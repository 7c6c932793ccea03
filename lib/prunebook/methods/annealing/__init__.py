"""Robustness-preserving data-free pruning: units hand over to others of their layer, chosen by simulated annealing [1]_.

No data is used but the bounds of an input. Of two units of a layer, one goes and the other takes over its outgoing weights.
How little that changes is judged by bounds of the change of the network's outputs.

`measures` has the paper's numbers by their equations, `network` the bounds by interval arithmetic, `zonotopes` tighter ones
of ours, `official` those of the authors' code, and `plan` Algorithm 1 in both readings. `truth` has what a removal does.

References
----------
.. [1] Meng, Bai, Teo, Dong: Supervised robustness-preserving data-free neural network pruning, 2022.
"""

from prunebook.methods.annealing.measures import (
    SCALES,
    SQUASHES,
    VARIANTS,
    Interval,
    acceptance,
    density,
    energy,
    entropy,
    norm,
    saliency,
    similarity,
    squash,
    temperature,
)
from prunebook.methods.annealing.network import ACTIVATIONS, Network, impact, interval, read
from prunebook.methods.annealing.plan import BOUNDS, LAYERS, MODES, epochs, impacts, plan, replay
from prunebook.methods.annealing.truth import changes
from prunebook.methods.annealing.zonotopes import bounded

__all__ = [
    "ACTIVATIONS",
    "BOUNDS",
    "LAYERS",
    "MODES",
    "SCALES",
    "SQUASHES",
    "VARIANTS",
    "Interval",
    "Network",
    "acceptance",
    "bounded",
    "changes",
    "density",
    "energy",
    "entropy",
    "epochs",
    "impact",
    "impacts",
    "interval",
    "norm",
    "plan",
    "read",
    "replay",
    "saliency",
    "similarity",
    "squash",
    "temperature",
]
