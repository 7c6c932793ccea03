"""MRP, maximum redundancy pruning: filters that communities show to be replaceable go, from the most redundant layer [1]_.

Only the abstract is public. It is the paper's that

* filters play roles in a layer as members do in a social network (the Role-Information hypothesis, RI);
* community detection gives each layer's level of redundancy (Redundancy Measurement by Community Detection, RMCD);
* at each iteration every layer's redundancy is calculated anew, and the most replaceable filters of the most redundant layer
  go, until a target compression is reached (Structural Redundancy Pruning, SRP).

Everything else is ours: what a filter graph is (`graphs`), which algorithm finds communities (`communities`), what
redundancy and replaceable mean in numbers (`redundancy`), how many filters go in an iteration, and which layers take part
(`plan`). Each of these choices is a parameter, so that others can be tried.

References
----------
.. [1] Gao, Wang, Jing: Maximum redundancy pruning for network compression, Computer Vision and Image Understanding 259,
       2025, 104404, the abstract.
"""

from prunebook.methods.mrp.communities import DETECTORS, communities, modularity
from prunebook.methods.mrp.graphs import FROM_IMAGES, MEASURES, SPARSIFIERS, cosines, filter_graph, silent, similarities
from prunebook.methods.mrp.plan import COUNTERS, EDGES, LAYERS, LIKENESS, SCOPES, plan, replay
from prunebook.methods.mrp.redundancy import REDUNDANCIES, RULES, norms, redundancy, replaceable, speaking

__all__ = [
    "COUNTERS",
    "DETECTORS",
    "EDGES",
    "FROM_IMAGES",
    "LAYERS",
    "LIKENESS",
    "MEASURES",
    "REDUNDANCIES",
    "RULES",
    "SCOPES",
    "SPARSIFIERS",
    "communities",
    "cosines",
    "filter_graph",
    "modularity",
    "norms",
    "plan",
    "redundancy",
    "replaceable",
    "replay",
    "silent",
    "similarities",
    "speaking",
]
