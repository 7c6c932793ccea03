from functools import cache

import pytest
import torch
from torch import nn
from torch_geometric.data import Batch, Data
from torch_geometric.nn import GCNConv, global_max_pool, global_mean_pool

from prunebook import models
from prunebook.errors import BadValue
from prunebook.methods.sacp import ArchitectureGraph, Encoder, Space
from prunebook.methods.sacp.space import random_masks

X = torch.zeros(1, 3, 32, 32)


@cache
def graph_of(name: str, **options) -> ArchitectureGraph:
    return ArchitectureGraph(models.build(name, seed=0, **options), X)


def random_features(graph: ArchitectureGraph, batch: int, seed: int = 0) -> tuple[list[torch.Tensor], torch.Tensor]:
    """Masks by entry, and the same as node features made by `ArchitectureGraph.features` from kept channels."""
    space = Space(graph)
    masks = random_masks(space, space.sample(batch, seed=seed), torch.Generator().manual_seed(seed))
    features = []
    for row in range(batch):
        keep = {
            name: (mask[row] == 1).nonzero()[:, 0].tolist()
            for entry, mask in zip(graph.entries, masks, strict=True)
            for name in entry
        }
        features.append(graph.features(keep))
    return masks, torch.stack(features)


def in_torch_geometric(encoder: Encoder, graph: ArchitectureGraph, features: torch.Tensor, directed: bool) -> torch.Tensor:
    """The same encoder of PyTorch Geometric's layers, with its own normalisation, one graph of the batch after another."""
    edges = torch.tensor([*graph.edges, *([] if directed else [(j, i) for i, j in graph.edges])]).T
    batch = Batch.from_data_list([Data(x=x, edge_index=edges) for x in features])
    hidden = batch.x
    for depth, (weight, bias) in enumerate(zip(encoder.weights, encoder.biases, strict=True)):
        layer = GCNConv(*weight.shape)
        layer.lin.weight, layer.bias = nn.Parameter(weight.T), nn.Parameter(bias)
        hidden = layer(hidden if depth == 0 else hidden.relu(), batch.edge_index)
    return (global_mean_pool if encoder.readout == "mean" else global_max_pool)(hidden, batch.batch)


def with_biases(encoder: Encoder) -> Encoder:
    generator = torch.Generator().manual_seed(1)
    for bias in encoder.biases:
        nn.init.normal_(bias, std=0.5, generator=generator)
    return encoder


@pytest.mark.parametrize("name", ["resnet20", "resnet56", "vgg16"])
def test_the_encoder_is_that_of_pytorch_geometric_s_layers(name):
    graph = graph_of(name)
    encoder = with_biases(Encoder(graph, seed=3))
    _, features = random_features(graph, 3)
    expected = in_torch_geometric(encoder, graph, features, directed=False)
    torch.testing.assert_close(encoder(features), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("directed", [False, True])
@pytest.mark.parametrize("readout", ["mean", "max"])
@pytest.mark.parametrize("layers", [1, 2, 3])
def test_depth_readout_and_direction_are_those_of_pytorch_geometric(layers, readout, directed):
    graph = graph_of("resnet20", shortcut="B")
    encoder = with_biases(Encoder(graph, hidden=32, out=16, layers=layers, readout=readout, directed=directed))
    masks, features = random_features(graph, 4)
    expected = in_torch_geometric(encoder, graph, features, directed)
    torch.testing.assert_close(encoder(features), expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(encoder.embed(masks), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["resnet56", "vgg16", "densenet40"])
def test_embedding_masks_gives_the_same_as_embedding_the_nodes_features(name):
    graph = graph_of(name)
    encoder = with_biases(Encoder(graph, hidden=32, out=16))
    masks, features = random_features(graph, 2)
    torch.testing.assert_close(encoder.embed(masks), encoder(features), rtol=0, atol=1e-5)


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_an_encoder_learns_the_same_from_masks_as_from_the_nodes_features(layers):
    graph = graph_of("resnet20", shortcut="B")
    encoder = with_biases(Encoder(graph, hidden=32, out=16, layers=layers))
    masks, features = random_features(graph, 40)
    wanted = torch.randn(16, generator=torch.Generator().manual_seed(2))
    first, second = (
        torch.autograd.grad((embedded @ wanted).square().mean(), list(encoder.parameters()))
        for embedded in (encoder.embed(masks), encoder(features))
    )
    for one, other in zip(first, second, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_a_chain_of_two_convolutions_is_encoded_as_by_hand():
    model = nn.Sequential(nn.Conv2d(3, 2, 3), nn.Conv2d(2, 3, 3), nn.Flatten(), nn.Linear(3 * 28 * 28, 2))
    graph = ArchitectureGraph(model, X)
    encoder = Encoder(graph, hidden=2, out=1)
    with torch.no_grad():
        encoder.weights[0].copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]))
        encoder.weights[1].copy_(torch.tensor([[1.0], [2.0]]))
        encoder.biases[0].copy_(torch.tensor([0.5, 0.0]))
        encoder.biases[1].fill_(10.0)
    # Nodes conv - conv - linear with features (1, -1, 0), (-1, 1, 1), (1, 1, 1); degrees with themselves 2, 3, 2.
    x = torch.tensor([[1.0, -1, 0], [-1, 1, 1], [1, 1, 1]])
    side = 6**-0.5
    a = torch.tensor([[1 / 2, side, 0], [side, 1 / 3, side], [0, side, 1 / 2]])
    hidden = (a @ x @ torch.tensor([[1.0, 0], [0, 1], [1, 1]]) + torch.tensor([0.5, 0])).clamp(min=0)
    expected = (a @ hidden @ torch.tensor([1.0, 2.0])).mean() + 10
    torch.testing.assert_close(encoder.embed([x[:1, :2], x[1:2]]), expected.view(1, 1))


def test_weights_depend_on_the_seed_alone():
    graph = graph_of("resnet20")
    before = torch.random.get_rng_state()
    first, again, other = (Encoder(graph, seed=seed).weights[0] for seed in (5, 5, 6))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"readout": "avg"}, "readout is 'avg', but must be one of: mean, max"),
        ({"layers": 0}, "layers is 0, but must be a whole number of at least 1"),
        ({"hidden": 2.5}, "hidden is 2.5, but must be a whole number of at least 1"),
        ({"out": -1}, "out is -1, but must be a whole number of at least 1"),
    ],
)
def test_an_encoder_that_cannot_be_is_refused(options, message):
    with pytest.raises(BadValue) as raised:
        Encoder(graph_of("resnet20"), **options)
    assert str(raised.value).startswith(message)
