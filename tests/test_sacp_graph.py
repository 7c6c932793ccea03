"""A network as a graph: nodes, edges through shortcuts, entries of r, features and adjacency."""

from collections import Counter

import matplotlib.pyplot as plt
import networkx as nx
import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F
from torch_geometric.nn import GCNConv

from prunebook import cutting, models
from prunebook.errors import BadValue
from prunebook.methods.sacp import ArchitectureGraph, Part, Space, rankings

IMAGE = torch.zeros(1, 3, 32, 32)
SMALL = {"densenet40": {"growth": 4, "layers": 3}, "resnet50": {}, "dice_cnn": {"width": 0.25, "hidden": 8}}


def graph_of(name: str, **options: object) -> ArchitectureGraph:
    return ArchitectureGraph(models.build(name, seed=0, **(SMALL.get(name, {"width": 0.25}) | options)), IMAGE)


def named_edges(graph: ArchitectureGraph) -> set[tuple[str, str]]:
    return {(graph.nodes[i].name, graph.nodes[j].name) for i, j in graph.edges}


KINDS = [
    ("resnet20", {}, {"conv": 19, "bn": 19, "add": 9, "pool": 2, "linear": 1}),
    ("resnet20", {"shortcut": "B"}, {"conv": 21, "bn": 21, "add": 9, "pool": 2, "linear": 1}),
    ("resnet56", {"shortcut": "B"}, {"conv": 57, "bn": 57, "add": 27, "pool": 2, "linear": 1}),
    ("resnet18", {}, {"conv": 20, "bn": 20, "add": 8, "pool": 1, "linear": 1}),
    ("vgg16", {"hidden": False}, {"conv": 13, "bn": 13, "pool": 6, "linear": 1}),
    ("vgg16", {}, {"conv": 13, "bn": 14, "pool": 6, "linear": 2}),
    ("resnet50", {}, {"conv": 53, "bn": 53, "add": 16, "pool": 2, "linear": 1}),
    ("dice_cnn", {}, {"conv": 3, "bn": 3, "pool": 4, "linear": 2}),
    ("densenet40", {}, {"conv": 12, "bn": 12, "concat": 9, "pool": 3, "linear": 1}),
]


@pytest.mark.parametrize(("name", "options", "kinds"), KINDS)
def test_every_layer_sum_and_concatenation_is_a_node_on_a_way_from_the_first_to_the_last(
    name: str, options: dict[str, object], kinds: dict[str, int]
) -> None:
    graph = graph_of(name, **options)
    drawn = graph.to_networkx()
    assert Counter(node.kind for node in graph.nodes) == kinds
    assert nx.is_directed_acyclic_graph(drawn)
    assert [v for v in drawn if drawn.in_degree(v) == 0] == [0]
    assert [v for v in drawn if drawn.out_degree(v) == 0] == [len(graph.nodes) - 1]
    assert len({node.name for node in graph.nodes}) == len(graph.nodes)


def test_edges_lead_through_activations_and_around_blocks() -> None:
    edges = named_edges(graph_of("resnet20", shortcut="B"))
    assert {(a, b) for a, b in edges if a.startswith("layer2.0") or b.startswith("layer2.0")} == {
        ("layer1.2.add", "layer2.0.conv1"),
        ("layer1.2.add", "layer2.0.shortcut.0"),
        ("layer2.0.conv1", "layer2.0.bn1"),
        ("layer2.0.bn1", "layer2.0.conv2"),
        ("layer2.0.conv2", "layer2.0.bn2"),
        ("layer2.0.shortcut.0", "layer2.0.shortcut.1"),
        ("layer2.0.bn2", "layer2.0.add"),
        ("layer2.0.shortcut.1", "layer2.0.add"),
        ("layer2.0.add", "layer2.1.conv1"),
        ("layer2.0.add", "layer2.1.add"),
    }
    assert {(a, b) for a, b in named_edges(graph_of("resnet20")) if b == "layer2.0.add"} == {
        ("layer2.0.bn2", "layer2.0.add"),
        ("layer1.2.add", "layer2.0.add"),
    }


@pytest.mark.parametrize("name", ["resnet20", "resnet18", "vgg16", "densenet40"])
def test_entries_are_the_groups_that_are_cut_together(name: str) -> None:
    model = models.build(name, seed=0, **SMALL.get(name, {"width": 0.25}))
    graph = ArchitectureGraph(model, IMAGE)
    layers = cutting.prunable_layers(model)
    assert graph.entries == cutting.coupled_layers(model, IMAGE)
    assert graph.counts == [len(entry) for entry in graph.entries]
    assert graph.widths == [cutting.width(layers[entry[0]]) for entry in graph.entries]
    assert {node.layer: node.entry for node in graph.nodes if node.kind == "conv"} == {
        name: i for i, entry in enumerate(graph.entries) for name in entry
    }


def test_a_residual_stage_is_one_entry_for_its_convolutions_and_sums() -> None:
    graph = graph_of("resnet20", shortcut="B")
    stage = [node for node in graph.nodes if node.name in ("layer2.0.shortcut.0", "layer2.2.bn2", "layer2.1.add")]
    assert len({node.entry for node in stage}) == 1
    assert stage[0].entry is not None
    assert graph.counts[stage[0].entry] == 4
    padded = graph_of("resnet20")  # a sum with a padded shortcut has the entry of the convolution, not of the shortcut
    entry = {node.name: node.entry for node in padded.nodes}
    assert entry["layer2.0.add"] == entry["layer2.0.conv2"] != entry["layer1.2.add"]


def test_features_are_1_for_kept_channels_minus_1_for_cut_ones_and_0_beyond_the_last() -> None:
    class Tiny(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.bn, self.b = nn.Conv2d(3, 2, 3), nn.BatchNorm2d(2), nn.Conv2d(2, 4, 3)
            self.out = nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            x = F.max_pool2d(torch.relu(self.bn(self.a(x))), 2)
            return self.out(self.b(x).mean((2, 3)))

    graph = ArchitectureGraph(Tiny(), IMAGE)
    assert [node.name for node in graph.nodes] == ["a", "bn", "pool", "b", "pool:2", "out"]
    assert (graph.d, graph.widths) == (4, [2, 4])
    expected = [[-1, 1, 0, 0], [-1, 1, 0, 0], [-1, 1, 0, 0], [1, -1, -1, 1], [1, -1, -1, 1], [1, 1, 1, 1]]
    assert graph.features({"a": [1], "b": [3, 0]}).tolist() == expected
    assert graph.features({}).tolist() == [[1, 1, 0, 0]] * 3 + [[1, 1, 1, 1]] * 3
    masks = [torch.tensor([[-1.0, 1], [1, 1]]), torch.tensor([[1.0, -1, -1, 1], [1, 1, 1, 1]])]
    assert torch.equal(graph.assemble(masks), torch.stack([graph.features({"a": [1], "b": [0, 3]}), graph.features({})]))


def test_naming_one_layer_of_an_entry_is_enough() -> None:
    graph = graph_of("resnet20")
    x = graph.features({"layer1.1.conv2": [0, 2]})
    for v, node in enumerate(graph.nodes):
        kept = [1, -1, 1, -1] if node.entry == 0 else [1] * 4
        assert x[v, :4].tolist() == kept


def test_a_concatenation_has_the_masks_of_its_inputs_one_behind_the_other() -> None:
    graph = graph_of("densenet40", growth=2, layers=2)
    nodes = {node.name: v for v, node in enumerate(graph.nodes)}
    assert graph.nodes[nodes["block1.1.bn"]].parts == (Part(0, 0, 4), Part(1, 4, 2))
    x = graph.features({"conv1": [1, 2], "block1.0.conv": [0], "block1.1.conv": [1]})
    assert x[nodes["block1.0.concat"]].tolist()[:6] == [-1, 1, 1, -1, 1, -1]
    assert x[nodes["block1.1.concat"]].tolist()[:8] == [-1, 1, 1, -1, 1, -1, -1, 1]
    assert torch.equal(x[nodes["transition1.bn"]], x[nodes["block1.1.concat"]])
    assert graph.d == max(node.channels for node in graph.nodes if node.kind == "concat") == 16


def test_a_tensor_concatenated_with_itself_counts_twice() -> None:
    class Doubled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.out = nn.Conv2d(3, 2, 3), nn.Conv2d(4, 1, 3)

        def forward(self, x: Tensor) -> Tensor:
            x = self.a(x)
            return self.out(torch.cat((x, x), -3))

    graph = ArchitectureGraph(Doubled(), IMAGE)
    assert graph.edges == [(0, 1), (1, 2)]
    assert graph.features({"a": [1]})[1].tolist() == [-1, 1, -1, 1]


def test_adjacency_is_that_of_pytorch_geometrics_graph_convolution() -> None:
    graph = graph_of("resnet20", shortcut="B")
    one_way = torch.tensor(graph.edges).T
    both_ways = torch.cat([one_way, one_way.flip(0)], 1)
    layer = GCNConv(graph.d, graph.d, bias=False)
    nn.init.eye_(layer.lin.weight)
    x = torch.rand(len(graph.nodes), graph.d, generator=torch.Generator().manual_seed(0))
    for edges, directed in ((both_ways, False), (one_way, True)):
        ours = graph.adjacency(directed).float() @ x
        assert torch.allclose(layer(x, edges), ours, atol=1e-6)
    assert torch.equal(graph.adjacency(), graph.adjacency().T)


def test_adjacency_of_three_layers_in_a_row_by_hand() -> None:
    graph = ArchitectureGraph(nn.Sequential(nn.Conv2d(3, 2, 3), nn.Conv2d(2, 2, 3), nn.Conv2d(2, 5, 3)), IMAGE)
    third, sixth = 1 / 3, 6**-0.5
    both = torch.tensor([[0.5, sixth, 0], [sixth, third, sixth], [0, sixth, 0.5]], dtype=torch.float64)
    one = torch.tensor([[1, 0, 0], [2**-0.5, 0.5, 0], [0, 0.5, 0.5]], dtype=torch.float64)
    assert torch.allclose(graph.adjacency(), both)
    assert torch.allclose(graph.adjacency(directed=True), one)
    assert [node.entry for node in graph.nodes] == [0, 1, None]  # the last one makes the output
    assert graph.features({"2": range(5)})[2].tolist() == [1] * 5


def test_controls_keep_the_number_of_neighbours_or_none() -> None:
    graph = graph_of("resnet20", shortcut="B")
    given, shuffled, again, other = (
        graph.adjacency(edges=edges, seed=seed)
        for edges, seed in (("network", 0), ("shuffled", 0), ("shuffled", 0), ("shuffled", 1))
    )
    assert torch.equal((given != 0).sum(1), (shuffled != 0).sum(1))
    kept = ((given != 0) & (shuffled != 0)).sum() - len(graph.nodes)
    assert kept < 0.3 * 2 * len(graph.edges)  # few edges are where they were
    assert torch.equal(shuffled, again)
    assert not torch.equal(shuffled, other)
    assert torch.equal(shuffled, shuffled.T)
    assert torch.equal(graph.adjacency(edges="none"), torch.eye(len(graph.nodes), dtype=torch.float64))
    chain = ArchitectureGraph(nn.Sequential(nn.Conv2d(3, 2, 3), nn.Conv2d(2, 2, 3), nn.Conv2d(2, 5, 3)), IMAGE)
    with pytest.raises(BadValue, match="the edges of this graph cannot be shuffled"):
        chain.adjacency(edges="shuffled")
    with pytest.raises(BadValue, match=r"edges is 'shufled'.*did you mean 'shuffled'"):
        graph.adjacency(edges="shufled")
    with pytest.raises(BadValue, match="directed is True, but must be False where edges is 'none'"):
        graph.adjacency(directed=True, edges="none")


def test_functions_count_as_the_modules_do_and_numbers_are_no_edges() -> None:
    class Functional(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
            self.bias = nn.Parameter(torch.zeros(1, 4, 1, 1))
            self.head = nn.Linear(8 * 16, 2)

        def forward(self, x: Tensor) -> Tensor:
            a = self.a(x)
            b = self.b(a) + self.bias + 1  # neither a parameter nor a number is another layer's output
            b += a
            double = torch.add(b, b)
            joined = torch.cat([double.add(a), double], dim=1)
            return self.head(F.adaptive_avg_pool2d(joined, 4).view(joined.size(0), -1))

    graph = ArchitectureGraph(Functional(), IMAGE)
    assert [(node.name, node.entry) for node in graph.nodes] == [
        ("a", 0), ("b", 0), ("add", 0), ("add:2", 0), ("add:3", 0), ("concat", None), ("pool", None), ("head", None)
    ]  # fmt: skip
    assert graph.edges == [(0, 1), (0, 2), (0, 4), (1, 2), (2, 3), (3, 4), (3, 5), (4, 5), (5, 6), (6, 7)]
    assert graph.nodes[6].parts == graph.nodes[5].parts == (Part(0, 0, 4), Part(0, 4, 4))


def test_a_depthwise_convolution_keeps_the_channels_that_it_reads() -> None:
    graph = ArchitectureGraph(torchvision.models.mobilenet_v2(weights=None, num_classes=4, width_mult=0.25), IMAGE)
    entry = {node.name: node.entry for node in graph.nodes}
    assert entry["features.2.conv.1.0"] == entry["features.2.conv.0.0"] is not None
    assert entry["features.2.conv.2"] != entry["features.2.conv.0.0"]


def test_a_network_without_batch_norm_that_ends_in_a_convolution_has_a_graph() -> None:
    graph = ArchitectureGraph(torchvision.models.squeezenet1_1(weights=None, num_classes=4), IMAGE)
    assert Counter(node.kind for node in graph.nodes) == {"conv": 26, "concat": 8, "pool": 4}
    assert nx.is_weakly_connected(graph.to_networkx())
    assert {node.name: node.entry for node in graph.nodes}["classifier.1"] is None
    assert named_edges(graph) >= {
        ("features.3.concat", "features.4.squeeze"),
        ("features.4.squeeze", "features.4.expand3x3"),
    }


def test_tracing_leaves_the_network_as_it_was() -> None:
    model = models.build("resnet20", seed=0, width=0.25)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    ArchitectureGraph(model, IMAGE)
    assert model.training
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_what_cannot_be_traced_is_refused_with_the_module_where_it_stops() -> None:
    class Branching(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.conv(x) if x.sum() > 0 else x

    network = nn.Sequential(nn.Conv2d(3, 3, 3), nn.Sequential(nn.ReLU(), Branching()))
    with pytest.raises(BadValue, match=r"cannot be traced by torch.fx, which stops in module '1.1': .*control flow"):
        ArchitectureGraph(network, IMAGE)
    with pytest.raises(BadValue, match="stops in the forward of Branching itself"):
        ArchitectureGraph(Branching(), IMAGE)


def test_bad_input_is_refused() -> None:
    flat = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 2))
    with pytest.raises(BadValue, match="has no convolution whose output may be cut"):
        ArchitectureGraph(flat, IMAGE)
    with pytest.raises(BadValue, match=r"example_inputs.shape is \(3, 32, 32\)"):
        ArchitectureGraph(flat, IMAGE[0])
    graph = graph_of("resnet20")
    for keep, words in (
        ({"layer1.0.conv3": [0]}, "'layer1.0.conv3' of keep is no convolution.*did you mean 'layer1.0.conv"),
        ({"linear": [0]}, "'linear' of keep is no convolution"),
        ({"conv1": []}, r"keep\['conv1'\] is \[\], but must be channels in 0..3, at least one"),
        ({"conv1": [4]}, r"keep\['conv1'\] is \[4\]"),
        ({"conv1": [0], "layer1.0.conv2": [1]}, "'conv1' and 'layer1.0.conv2' are coupled"),
    ):
        with pytest.raises(BadValue, match=words):
            graph.features(keep)
    ends_in_convolution = ArchitectureGraph(nn.Sequential(nn.Conv2d(3, 2, 3), nn.Conv2d(2, 5, 3)), IMAGE)
    with pytest.raises(BadValue, match="layer '1' is not one whose channels r decides"):
        ends_in_convolution.features({"1": [0]})


def test_a_long_network_is_drawn_in_lines_that_break_between_blocks() -> None:
    model = models.build("resnet20", seed=0, width=0.25)
    graph = ArchitectureGraph(model, IMAGE)
    space = Space(graph)
    axes = graph.draw(keep=space.keep(space.sample(1, 0.3)[0], rankings(model, graph)))
    labels = {text.get_text(): text.get_position() for text in axes.texts if text.get_text()}
    assert set(labels) == {node.name for node in graph.nodes if node.kind in ("conv", "linear")}
    assert len(set(labels.values())) == len(labels)
    for block in (name.removesuffix(".conv1") for name in labels if name.endswith(".conv1")):
        (x, y), (u, v) = labels[f"{block}.conv1"], labels[f"{block}.conv2"]
        assert (u - x, v) == pytest.approx((2, y))
    own = graph_of("dice_cnn").draw(ax=(mine := plt.subplots()[1]))
    assert own is mine
    plt.close("all")


def test_the_share_kept_is_the_share_of_a_node_that_is_filled() -> None:
    graph = ArchitectureGraph(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 2, 3)), IMAGE)
    axes = graph.draw(keep={"0": [2]})
    sizes = [float(dots.get_sizes()[0]) for dots in axes.collections]
    assert sizes[1] / sizes[0] == 0.25
    assert sizes[3] / sizes[2] == 1
    plt.close("all")
