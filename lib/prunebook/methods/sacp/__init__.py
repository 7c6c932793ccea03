"""SACP: pruning ratios found by searching with graph embeddings. One part of the method a module."""

from prunebook.methods.sacp.encoder import Encoder
from prunebook.methods.sacp.graph import ArchitectureGraph, Node, Part
from prunebook.methods.sacp.search import Found, Scorer, likeness, plan, plan_of, search
from prunebook.methods.sacp.space import Space, random_masks, ranked_masks, rankings
from prunebook.methods.sacp.training import Apart, Epoch, Regressed, Trained, apart, regress, train

__all__ = [
    "Apart",
    "ArchitectureGraph",
    "Encoder",
    "Epoch",
    "Found",
    "Node",
    "Part",
    "Regressed",
    "Scorer",
    "Space",
    "Trained",
    "apart",
    "likeness",
    "plan",
    "plan_of",
    "random_masks",
    "ranked_masks",
    "rankings",
    "regress",
    "search",
    "train",
]
