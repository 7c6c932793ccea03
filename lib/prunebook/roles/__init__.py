"""The Role-Information hypothesis, tested layer by layer on a trained network, without training.

MRP's abstract [1]_ calls it "based on the link between social networks and convolutional neural networks" and demonstrated
by an "empirical study". Neither its wording nor the study is public. We read it so: filters of one community play the same
role, that is, they carry the same information and can stand in for each other; filters of different communities cannot.
What follows from that, and the tests of it, are ours:

(d) a layer has communities: more modularity than vectors of the same spectrum in random directions.
(a) filters of one community are more alike than filters of different ones, and more so than in the same network untrained.
    Communities are found on one half of the images, and likeness is measured on the other. That tells only that they are no
    accident of the images: for fixed filters likeness hardly changes from images to images, in a network of noise as well.
    So the control is a network of other filters: fresh weights. One more measure made no graph: how alike the filters are
    that read them, since a role is what others take from it.
(b) to lose filters of one community, one of which stays, does less harm than to lose as many, of the same size, that are
    spread over communities. Without training nothing makes up for a lost filter, not even its exact double, so this may fail
    though the hypothesis is true. `adds_up` says what geometry lets expect.
(b') a lost filter is better replaced by one of its community than by one of another that is as alike to it.
(c) two filters of one community can change places at less cost than two of different ones that are as alike.

What would pass for an effect of communities, and what is done about it:

* Most filters have no edge and are communities of one. So both sides of each test are filters that have company ("linked").
  What filters without company do is recorded beside ("any"), and decides nothing.
* Communities are made of likeness, and who is more alike is a better stand-in, whether or not there are communities. So in
  (b') and (c) both sides are equally alike to the same filter: whether to be of one community adds anything to that. As
  drawn, without that care, is recorded beside ("any").
* One side of (b) may lose the larger filters. So of many draws the one counts that is nearest in L1 norm and activity.
* Degrees. In (b), (b') and (c) each draw is made twice, with the communities that were found and with those of a random
  graph in which every filter has as many edges: as many filters, on the same images. The difference of the two differences
  counts. A graph of likeness has triangles that such a graph has not: where two are close to a third, they are not far from
  each other. For (b) and (c), whose outcome is the network's loss, that does no harm; for likeness and modularity it would,
  so (a) and (d) have controls that keep the geometry.

References
----------
.. [1] Gao, Wang, Jing: Maximum redundancy pruning for network compression, Computer Vision and Image Understanding 259,
       2025, 104404, the abstract.
"""

from prunebook.roles.draws import (
    Moments,
    across,
    equally_alike,
    from_one,
    pairs_between,
    pairs_within,
    spread,
    stand_ins,
)
from prunebook.roles.experiment import Graphs, Layer, adds_up, examine, likeness, study
from prunebook.roles.nulls import rewired, same_spectrum
from prunebook.roles.probe import Probe, Score, StandIn, internal_layers, readers

__all__ = [
    "Graphs",
    "Layer",
    "Moments",
    "Probe",
    "Score",
    "StandIn",
    "across",
    "adds_up",
    "equally_alike",
    "examine",
    "from_one",
    "internal_layers",
    "likeness",
    "pairs_between",
    "pairs_within",
    "readers",
    "rewired",
    "same_spectrum",
    "spread",
    "stand_ins",
    "study",
]
