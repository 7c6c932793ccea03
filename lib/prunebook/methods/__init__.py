"""Pruning methods: a network goes in, a `PruningPlan` comes out. One paper, one file."""
