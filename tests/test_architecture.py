"""The rules for DenseNets and bottleneck networks, on networks small enough to work them out by hand."""

import pytest
import torch
from torch import Tensor, nn
from torchvision.models.resnet import Bottleneck, ResNet

from prunebook import cutting, models
from prunebook.errors import BadValue
from prunebook.methods import architecture

X = torch.randn(3, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def tiny(compression: float = 1.0) -> nn.Module:
    """Stem 4 channels, two layers of 2 a block. With compression .5: 4+2+2=8 -> 4, 4+2+2=8 -> 4, 4+2+2=8 -> classes."""
    return models.build("densenet40", 5, growth=2, layers=2, compression=compression, seed=0)


def means(maps: Tensor) -> Tensor:
    """Stands in for the entropy: what it gives can be told by hand."""
    return maps.mean((0, 2, 3))


def test_plain_and_small_residual_networks_need_no_rules() -> None:
    for name in ("vgg16", "resnet20"):
        assert architecture.rules(models.build(name, width=0.1)) == architecture.Rules()


def test_rules_of_a_densenet_name_its_layers_in_the_order_of_its_channels() -> None:
    assert architecture.rules(tiny(0.5)) == architecture.Rules(
        rise={
            "block1.0.conv": 0.0,
            "block1.1.conv": 0.05,
            "block2.0.conv": 0.0,
            "block2.1.conv": 0.05,
            "block3.0.conv": 0.0,
            "block3.1.conv": 0.05,
        },
        equal=[],
        compression={"transition1.conv": 0.5, "transition2.conv": 0.5},
        transition_inputs={
            "transition1.conv": ["conv1", "block1.0.conv", "block1.1.conv"],
            "transition2.conv": ["transition1.conv", "block2.0.conv", "block2.1.conv"],
        },
        streams=["transition2.conv", "block3.0.conv", "block3.1.conv"],
    )


def test_the_layers_named_as_inputs_of_a_transition_are_those_whose_channels_it_loses() -> None:
    model = tiny()
    layers = cutting.prunable_layers(model)
    for transition, inputs in architecture.rules(model).transition_inputs.items():
        assert layers[transition].in_channels == sum(layers[name].out_channels for name in inputs)
        for name in inputs:
            cut = cutting.cut(model, {name: [0]}, X[:1])
            lost = layers[transition].in_channels - cut.get_submodule(transition).in_channels
            assert lost == layers[name].out_channels - 1


def test_resnet50_pairs_the_first_and_last_convolution_of_the_first_block_of_each_stage() -> None:
    network = ResNet(Bottleneck, [2, 1, 2, 1], width_per_group=2)
    expected = [(f"layer{stage}.0.conv1", f"layer{stage}.0.conv3") for stage in (1, 2, 3, 4)]
    assert architecture.rules(network) == architecture.Rules(equal=expected)
    inside = architecture.rules(nn.Sequential(network))
    assert inside.equal == [(f"0.{first}", f"0.{last}") for first, last in expected]


def test_thresholds_rise_evenly_over_a_block() -> None:
    assert architecture.rising(["a", "b", "c"], 0.5) == {"a": 0.0, "b": 0.25, "c": 0.5}
    assert architecture.rising(["a"]) == {"a": 0.0}
    rises = list(architecture.rising([str(i) for i in range(12)]).values())
    assert rises == pytest.approx([0.05 * i / 11 for i in range(12)])
    with pytest.raises(BadValue, match="rise is -1"):
        architecture.rising(["a", "b"], -1)


def test_the_layer_that_lost_more_gets_its_best_filters_back() -> None:
    # a lost 3 of 5 and gets filter 1 (the better of 0, 1, 4) back until it lost 2, as b lost 2 of 4.
    scores_a, scores_b = [0.1, 0.9, 0.5, 0.7, 0.3], [1.0, 2.0, 3.0, 4.0]
    assert architecture.equal_counts([2, 3], [0, 1], scores_a, scores_b) == ([1, 2, 3], [0, 1])
    assert architecture.equal_counts([0, 1], [2, 3], scores_b, scores_a) == ([0, 1], [1, 2, 3])
    assert architecture.equal_counts([0, 1, 2], [0, 1], scores_a, torch.tensor(scores_b)) == ([0, 1, 2], [0, 1])


def test_a_layer_that_loses_nothing_makes_its_partner_whole() -> None:
    assert architecture.equal_counts([1], [0, 1], [3.0, 1.0, 2.0], [0.0, 0.0]) == ([0, 1, 2], [0, 1])


@pytest.mark.parametrize(
    ("kept", "count", "expected"),
    [
        ([0, 2, 4], 3, [0, 2, 4]),
        ([0, 2, 4], 2, [0, 2]),  # filter 4 scores lowest of those kept
        ([0, 2, 4], 1, [2]),
        ([0, 2, 4], 4, [0, 1, 2, 4]),  # filter 1 scores highest of those removed
        ([0, 2, 4], 5, [0, 1, 2, 3, 4]),
        ([], 2, [1, 2]),
    ],
)
def test_a_count_is_met_by_dropping_the_lowest_or_bringing_back_the_highest(
    kept: list[int], count: int, expected: list[int]
) -> None:
    assert architecture.meet(kept, torch.tensor([0.3, 0.9, 0.5, 0.4, 0.1]), count) == expected


def test_of_equal_scores_the_first_filter_counts_as_the_higher() -> None:
    assert architecture.meet([], [1.0] * 4, 2) == [0, 1]
    assert architecture.meet([2, 3], [1.0] * 4, 1) == [2]
    assert architecture.meet([2, 3], [1.0] * 4, 3) == [0, 2, 3]


@pytest.mark.parametrize("count", [0, 4])
def test_a_count_that_the_layer_cannot_keep_is_refused(count: int) -> None:
    with pytest.raises(BadValue, match=f"count is {count}, but must be from 1 to the layer's 3 filters"):
        architecture.meet([0], [1.0, 2.0, 3.0], count)


@pytest.mark.parametrize(("inputs", "compression", "outputs"), [(168, 1, 168), (7, 0.5, 3), (1, 0.5, 1), (100, 0.29, 29)])
def test_a_transition_keeps_its_share_rounded_down_but_at_least_one(inputs: int, compression: float, outputs: int) -> None:
    assert architecture.compressed(inputs, compression) == outputs


def test_a_cut_densenet_has_the_compression_that_the_rule_asks_for() -> None:
    model = tiny(0.5)
    rules = architecture.rules(model)
    # Kept 3 + 2 + 1 = 6 inputs of the first transition -> 3 outputs; 3 + 1 + 1 = 5 of the second -> 2 outputs.
    keep = {"conv1": [0, 1, 3], "block1.0.conv": [0, 1], "block1.1.conv": [1], "block2.0.conv": [0], "block2.1.conv": [1]}
    for transition, compression in rules.compression.items():
        inputs = sum(len(keep[name]) for name in rules.transition_inputs[transition])
        keep[transition] = architecture.meet([], [0.0] * 4, architecture.compressed(inputs, compression))
    cut = cutting.cut(model, keep, X[:1])
    widths = [(conv.in_channels, conv.out_channels) for conv in map(cut.get_submodule, rules.compression)]
    assert widths == [(6, 3), (5, 2)]
    assert cut(X).shape == (3, 5)


def test_streams_are_scored_as_the_classifier_sees_them() -> None:
    model = tiny(0.5)
    # With weight 0 the last batch norm gives its bias at every place, and the ReLU after it removes what is negative.
    nn.init.zeros_(model.bn.weight)
    model.bn.bias.data = torch.tensor([1.0, -2.0, 3.0, 4.0, 5.0, 6.0, -7.0, 8.0])
    streams = architecture.classifier_streams(model, X, means)
    assert {name: values.tolist() for name, values in streams.items()} == {
        "transition2.conv": [1, 0, 3, 4],
        "block3.0.conv": [5, 6],
        "block3.1.conv": [0, 8],
    }


def test_a_stream_follows_the_layer_that_is_named_as_its_source() -> None:
    model = tiny(0.5).eval()
    before = architecture.classifier_streams(model, X, means)
    last = model.get_parameter("block3.1.conv.weight")
    last.data[1] = 0  # nothing later reads this channel but the classifier
    after = architecture.classifier_streams(model, X, means)
    unlike = {name: (before[name] != after[name]).tolist() for name in before}
    assert unlike == {"transition2.conv": [False] * 4, "block3.0.conv": [False] * 2, "block3.1.conv": [False, True]}


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_scoring_the_streams_leaves_the_network_as_it_was(mode: str) -> None:
    model = tiny().train()
    model.bn.eval()
    modes = [module.training for module in model.modules()]
    state = {name: value.clone() for name, value in model.state_dict().items()}
    streams = architecture.classifier_streams(model, X, means, mode)
    assert not any(values.requires_grad for values in streams.values())
    assert [module.training for module in model.modules()] == modes
    assert not any(module._forward_hooks for module in model.modules())
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


def test_streams_in_train_mode_are_normalised_by_the_batch() -> None:
    model = tiny()
    nn.init.constant_(model.bn.running_mean, 1000.0)
    assert sum(values.sum() for values in architecture.classifier_streams(model, X, means).values()) == 0
    in_batch = architecture.classifier_streams(model, X, means, "train")
    assert all((values > 0).all() for values in in_batch.values())


def test_networks_without_dense_blocks_have_no_streams() -> None:
    assert architecture.classifier_streams(models.build("resnet20", width=0.1), X, means) == {}
    with pytest.raises(BadValue, match="did you mean 'train'"):
        architecture.classifier_streams(tiny(), X, means, "trian")
