"""The networks: shapes, published costs, names, and the parameter-free shortcut."""

import copy
import inspect
import json
from pathlib import Path

import pytest
import torch
import torchvision

from prunebook import cutting, models, weights
from prunebook.errors import BadValue
from prunebook.measure import cost
from prunebook.models.resnet import PadShortcut
from prunebook.plan import PruningPlan

IMAGE = torch.zeros(1, 3, 32, 32)
SMALL = {"densenet40": {"growth": 4, "layers": 2}, "resnet50": {}, "dice_cnn": {"width": 0.25, "hidden": 8}}
SMALL |= {name: {"width": 0.25, "size": 32} for name in ("mlp_credit", "mlp_kdd", "mlp_mnist")}


@pytest.mark.parametrize("num_classes", [10, 100])
@pytest.mark.parametrize("name", models.names())
def test_every_model_maps_images_to_one_logit_per_class(name: str, num_classes: int) -> None:
    model = models.build(name, num_classes, **SMALL.get(name, {"width": 0.25})).eval()
    assert model(torch.zeros(2, 3, 32, 32)).shape == (2, num_classes)


@pytest.mark.parametrize("name", ["resnet20", "resnet18", "vgg16", "vgg19", "dice_cnn"])
@pytest.mark.parametrize("side", [8, 28, 64])
def test_models_accept_other_image_sizes_and_channel_counts(name: str, side: int) -> None:
    model = models.build(name, in_channels=1, width=0.1)
    assert model(torch.rand(2, 1, side, side)).shape == (2, 10)


@pytest.mark.parametrize("side", [8, 31, 224])
def test_densenet_accepts_other_image_sizes_and_channel_counts(side: int) -> None:
    model = models.build("densenet40", in_channels=1, growth=2, layers=2)
    assert model(torch.rand(2, 1, side, side)).shape == (2, 10)


TABLE_1 = [
    ("vgg16", {}, 10, "314.57", "14.99"),
    ("vgg16", {}, 100, "314.62", "15.04"),
    ("resnet56", {"shortcut": "conv3"}, 10, "130.02", "0.88"),
    ("resnet56", {"shortcut": "conv3"}, 100, "130.03", "0.88"),
    ("resnet110", {"shortcut": "conv3"}, 10, "259.49", "1.75"),
    ("resnet110", {"shortcut": "conv3"}, 100, "259.50", "1.76"),
    ("densenet40", {}, 10, "292.50", "1.06"),
    ("densenet40", {}, 100, "292.54", "1.10"),
]


@pytest.mark.parametrize(("name", "options", "num_classes", "macs", "params"), TABLE_1)
def test_costs_agree_with_table_1_of_the_kcore_paper(
    name: str, options: dict[str, str], num_classes: int, macs: str, params: str
) -> None:
    counted = cost(models.build(name, num_classes, **options), IMAGE, "thop")
    assert (f"{counted.macs / 1e6:.2f}", f"{counted.params / 1e6:.2f}") == (macs, params)


def test_the_cost_of_resnet50_on_photographs_agrees_with_table_1_of_the_kcore_paper() -> None:
    counted = cost(models.build("resnet50", 1000), torch.zeros(1, 3, 224, 224), "thop")
    assert (f"{counted.macs / 1e9:.2f}", f"{counted.params / 1e6:.2f}") == ("4.13", "25.56")


FIVE_COUNTS = [
    ("A", "macs", "125.49"),
    ("B", "macs", "125.75"),
    ("B", "torch-pruning", "127.12"),
    ("B", "thop", "127.93"),
    ("conv3", "thop", "130.02"),
]


@pytest.mark.parametrize(("shortcut", "counter", "macs"), FIVE_COUNTS)
def test_resnet56_has_the_five_costs_found_in_the_literature(shortcut: str, counter: str, macs: str) -> None:
    assert f"{cost(models.build('resnet56', shortcut=shortcut), IMAGE, counter).macs / 1e6:.2f}" == macs


TABLE_3_OF_SACP = [
    ("vgg16", {"hidden": False}, "314.31", "14.73"),
    ("resnet18", {}, "557.89", "11.17"),
    ("resnet56", {"shortcut": "B"}, "127.93", "0.86"),
]


@pytest.mark.parametrize(("name", "options", "macs", "params"), TABLE_3_OF_SACP)
def test_costs_agree_with_table_3_of_the_sacp_paper(name: str, options: dict[str, object], macs: str, params: str) -> None:
    counted = cost(models.build(name, **options), IMAGE, "thop")
    assert (f"{counted.macs / 1e6:.2f}", f"{counted.params / 1e6:.2f}") == (macs, params)


PARAMETERS = [
    ("vgg19", {}, 3, 20_304_202),
    ("vgg19", {"hidden": False}, 3, 20_040_522),
    ("dice_cnn", {}, 3, 357_258),
    ("dice_cnn", {}, 1, 356_682),
    ("resnet50", {"stem": "cifar"}, 3, 23_520_842),
]


@pytest.mark.parametrize(("name", "options", "in_channels", "params"), PARAMETERS)
def test_networks_have_as_many_parameters_as_their_layers_add_up_to(
    name: str, options: dict[str, object], in_channels: int, params: int
) -> None:
    model = models.build(name, 10, in_channels, **options)
    assert sum(parameter.numel() for parameter in model.parameters()) == params


TABLE_1_OF_ANNEALING = [
    ("mlp_credit", 1, 29, 6_145, 3),
    ("mlp_kdd", 23, 120, 245_655, 5),
    ("mlp_mnist", 10, 1, 125_898, 4),
    ("cnn_annealing", 10, 3, 753_866, 8),
]


@pytest.mark.parametrize(("name", "num_classes", "in_channels", "params", "layers"), TABLE_1_OF_ANNEALING)
def test_parameters_agree_with_table_1_of_the_annealing_paper(
    name: str, num_classes: int, in_channels: int, params: int, layers: int
) -> None:
    model = models.build(name, num_classes, in_channels)
    assert sum(parameter.numel() for parameter in model.parameters()) == params
    assert len(cutting.prunable_layers(model)) == layers


@pytest.mark.parametrize("side", [28, 32, 35])
def test_the_last_maps_of_the_annealing_paper_s_network_are_one_pixel(side: int) -> None:
    model = models.build("cnn_annealing", in_channels=1, width=0.1)
    assert model.features(torch.rand(2, 1, side, side)).shape == (2, 26, 1, 1)


def test_a_perceptron_takes_rows_of_a_table_as_images_of_one_pixel() -> None:
    model = models.build("mlp_kdd", 23, 120, seed=0)
    rows = torch.rand(3, 120)
    assert torch.equal(model(rows.view(3, 120, 1, 1)), model(rows))


@pytest.mark.parametrize(("name", "side"), [("mlp_mnist", 28), ("mlp_credit", 1), ("cnn_annealing", 32)])
def test_a_network_of_the_annealing_paper_cut_with_delegates_comes_back_from_its_checkpoint(
    name: str, side: int, tmp_path: Path
) -> None:
    model = models.build(name, 10, 2, seed=0)
    image = torch.rand(2, 2, side, side)
    groups = cutting.coupled_layers(model, image[:1], linear=True)
    assert all(len(group) == 1 for group in groups)
    plan = PruningPlan({name: [0, 2] for (name,) in groups}, delegates={name: {1: 2, 3: 0} for (name,) in groups})
    cut = plan.apply(model, image[:1])
    path = weights.save(cut, tmp_path / "cut.safetensors", plan.to_json())
    assert torch.equal(weights.load(path).eval()(image), cut.eval()(image))


def test_vgg19_is_configuration_e_with_three_more_convolutions_than_vgg16() -> None:
    def widths(name: str) -> list[int]:
        layers = models.build(name, hidden=False).modules()
        return [layer.out_channels for layer in layers if isinstance(layer, torch.nn.Conv2d)]

    assert widths("vgg19") == [64] * 2 + [128] * 2 + [256] * 4 + [512] * 8
    assert widths("vgg16") == [64] * 2 + [128] * 2 + [256] * 3 + [512] * 6


def test_width_scales_the_channels_of_every_stage() -> None:
    model = models.build("resnet20", width=0.5)
    assert [model.get_parameter(f"layer{i}.0.conv1.weight").shape[0] for i in (1, 2, 3)] == [8, 16, 32]
    assert models.build("resnet20", width=0.001).get_parameter("conv1.weight").shape[0] == 1


def test_resnet18_keeps_the_resolution_of_small_images_in_its_first_stage_and_halves_it_in_each_other() -> None:
    model = models.build("resnet18", width=0.05).eval()
    stages = [model.get_submodule(name) for name in ("conv1", "layer1", "layer2", "layer3", "layer4")]
    seen: list[int] = []
    for stage in stages:
        stage.register_forward_hook(lambda module, inputs, output: seen.append(output.shape[3]))
    model(IMAGE)
    assert seen == [32, 32, 16, 8, 4]


def test_every_layer_of_a_dense_block_adds_its_channels_behind_those_it_reads() -> None:
    model = models.build("densenet40", growth=3, layers=2, compression=0.5)
    widths = {name: tuple(weight.shape[:2]) for name, weight in model.named_parameters() if weight.dim() == 4}
    assert widths == {
        "conv1.weight": (6, 3),
        "block1.0.conv.weight": (3, 6),
        "block1.1.conv.weight": (3, 9),
        "transition1.conv.weight": (6, 12),
        "block2.0.conv.weight": (3, 6),
        "block2.1.conv.weight": (3, 9),
        "transition2.conv.weight": (6, 12),
        "block3.0.conv.weight": (3, 6),
        "block3.1.conv.weight": (3, 9),
    }
    layer, x = model.get_submodule("block1.0").eval(), torch.rand(1, 6, 4, 4)
    out = layer(x)
    assert torch.equal(out[:, :6], x)
    assert torch.equal(out[:, 6:], layer.conv(torch.relu(layer.bn(x))))


def test_a_densenet_says_its_structure() -> None:
    model = models.build("densenet40", growth=1, layers=2, compression=0.5)
    assert model.dense_layers() == [[f"block{block}.{layer}.conv" for layer in (0, 1)] for block in (1, 2, 3)]
    assert model.transitions() == {"transition1.conv": 0.5, "transition2.conv": 0.5}
    assert [len(block) for block in models.build("densenet40").dense_layers()] == [12, 12, 12]


def test_weights_trained_by_torchvision_load_into_resnet50_and_give_the_same_answers(tmp_path: Path) -> None:
    original = torchvision.models.resnet50(weights=None).eval()
    torch.save(original.state_dict(), tmp_path / "resnet50.pth")
    model = models.build("resnet50", 1000, seed=0).eval()
    weights.load_into(model, tmp_path / "resnet50.pth")
    x = torch.rand(1, 3, 64, 64)
    assert torch.equal(model(x), original(x))


def test_resnet50_takes_images_of_another_channel_count() -> None:
    model = models.build("resnet50", 2, in_channels=1, seed=0).eval()
    assert model(torch.rand(1, 1, 32, 32)).shape == (1, 2)
    # Fan-out of a 7x7 convolution with 64 filters, as torchvision draws the one for three channels.
    assert model.get_parameter("conv1.weight").std().item() == pytest.approx((2 / (64 * 49)) ** 0.5, rel=0.1)


def test_resnet50_for_small_images_keeps_their_resolution_where_the_one_for_photographs_reduces_it() -> None:
    def sides(stem: str) -> list[int]:
        model = models.build("resnet50", seed=0, stem=stem).eval()
        seen: list[int] = []
        for stage in ("conv1", "layer1", "layer2", "layer3", "layer4"):
            model.get_submodule(stage).register_forward_hook(lambda module, inputs, output: seen.append(output.shape[3]))
        model(IMAGE)
        return seen

    assert sides("cifar") == [32, 32, 16, 8, 4]
    assert sides("imagenet") == [16, 8, 4, 2, 1]


def test_the_small_stem_of_resnet50_is_a_3x3_convolution_drawn_as_the_others() -> None:
    model = models.build("resnet50", in_channels=1, seed=0, stem="cifar")
    weight = model.get_parameter("conv1.weight")
    assert weight.shape == (64, 1, 3, 3)
    assert weight.std().item() == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.1)


@pytest.mark.parametrize(("stem", "own"), [("imagenet", set()), ("cifar", {"conv1.weight"})])
def test_all_but_head_and_small_stem_of_resnet50_can_start_from_torchvisions_weights(
    stem: str, own: set[str], tmp_path: Path
) -> None:
    state = torchvision.models.resnet50(weights=None).state_dict()
    torch.save(state, tmp_path / "resnet50.pth")
    model = models.build("resnet50", 10, seed=0, stem=stem)
    report = weights.load_into(model, tmp_path / "resnet50.pth", strict=False)
    own = own | {"fc.weight", "fc.bias"}
    assert set(report.matched) == state.keys() - own
    assert {text.split()[0] for text in report.mismatched} == own
    assert (report.missing, report.unexpected) == ((), ())
    assert all(torch.equal(model.state_dict()[name], state[name]) for name in report.matched)


@pytest.mark.parametrize("name", ["vgg16", "vgg19"])
def test_the_convolutions_of_a_vgg_start_from_torchvisions_weights_and_its_head_does_not(name: str, tmp_path: Path) -> None:
    with torch.device("meta"):  # names and shapes only: the head alone would be half a gigabyte
        original = getattr(torchvision.models, f"{name}_bn")(weights=None)
    features = original.features.to_empty(device="cpu").eval()
    for tensor in features.state_dict().values():
        tensor.copy_(torch.rand(tensor.shape) * 0.01 if tensor.is_floating_point() else 7)
    filled = {key: torch.zeros(1).expand(tensor.shape) for key, tensor in original.state_dict().items() if tensor.is_meta}
    torch.save(original.state_dict() | filled, tmp_path / "vgg.pth")
    model = models.build(name, 10, seed=0).eval()
    head = {key: tensor.clone() for key, tensor in model.classifier.state_dict().items()}
    report = weights.load_into(model, tmp_path / "vgg.pth", strict=False)
    assert set(report.matched) == {f"features.{key}" for key in features.state_dict()}
    assert {key.split(".")[0] for key in (*report.missing, *report.unexpected, *report.mismatched)} == {"classifier"}
    assert all(torch.equal(tensor, head[key]) for key, tensor in model.classifier.state_dict().items())
    x = torch.rand(1, 3, 32, 32)
    assert torch.equal(model.features(x), features(x))


def test_the_averaging_of_dice_cnn_changes_nothing_for_images_of_32_pixels() -> None:
    model = models.build("dice_cnn", seed=0).eval()
    maps = model.features(torch.rand(2, 3, 32, 32))
    assert maps.shape == (2, 128, 4, 4)
    assert torch.equal(model.pool(maps), maps)


def lie_channels_last(model: torch.nn.Module) -> list[bool]:
    """For each convolution whose layout is not the same either way."""
    layers = [layer.weight for layer in model.modules() if isinstance(layer, torch.nn.Conv2d) and layer.in_channels > 1]
    last = torch.channels_last
    return [weight.is_contiguous(memory_format=last) and not weight.is_contiguous() for weight in layers]


def test_weights_that_lie_channels_last_stay_so_in_a_copy_after_a_cut_and_from_a_checkpoint(tmp_path: Path) -> None:
    model = models.build("dice_cnn", seed=0, **SMALL["dice_cnn"]).eval()
    plan = PruningPlan({"features.0": [0, 2, 3], "features.8": [1, 5]})
    cut = plan.apply(model, IMAGE)
    whole = weights.save(model, tmp_path / "whole.safetensors")
    part = weights.save(cut, tmp_path / "part.safetensors", plan.to_json())
    for network in (model, copy.deepcopy(model), cut, copy.deepcopy(cut), weights.load(whole), weights.load(part)):
        assert lie_channels_last(network) == [True] * 3
    x = torch.rand(2, 3, 32, 32)
    plain = copy.deepcopy(model).to(memory_format=torch.contiguous_format)
    assert lie_channels_last(plain) == [False] * 3
    assert torch.allclose(model(x), plain(x), atol=1e-6)
    assert lie_channels_last(plan.apply(plain, IMAGE)) == [False] * 3


def test_a_cut_network_for_images_of_one_channel_still_lays_its_maps_out_channels_last() -> None:
    """Weights for one input channel are contiguous either way; only their strides tell a convolution which way to go."""
    model = models.build("dice_cnn", seed=0, in_channels=1)
    image = torch.rand(2, 1, 32, 32)
    cut = PruningPlan({"features.0": [0, 2, 3]}).apply(model, image)
    for network in (model, cut):
        maps = network.features[0](image)
        assert maps.is_contiguous(memory_format=torch.channels_last)
        assert not maps.is_contiguous()


@pytest.mark.parametrize("name", ["densenet40", "resnet50", "dice_cnn"])
def test_a_cut_network_comes_back_from_its_checkpoint(name: str, tmp_path: Path) -> None:
    model = models.build(name, 4, seed=0, **SMALL[name])
    groups = cutting.coupled_layers(model, IMAGE)
    plan = PruningPlan({name: [0, 2] for group in groups for name in group})
    cut = plan.apply(model, IMAGE)
    path = weights.save(cut, tmp_path / "cut.safetensors", plan.to_json())
    x = torch.rand(1, 3, 32, 32)
    assert torch.equal(weights.load(path).eval()(x), cut.eval()(x))


def test_equal_seeds_give_equal_weights_and_leave_the_global_generator_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first, second, third = (models.build("resnet20", width=0.1, seed=seed) for seed in (1, 1, 2))
    assert torch.rand(1) == expected
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert not torch.equal(first.get_parameter("conv1.weight"), third.get_parameter("conv1.weight"))


def test_spec_rebuilds_the_same_architecture_after_json_and_survives_a_copy() -> None:
    model = models.build("resnet20", 7, shortcut="B", width=0.5, seed=3)
    spec = json.loads(json.dumps(copy.deepcopy(model).spec))
    assert spec == {"name": "resnet20", "num_classes": 7, "in_channels": 3, "shortcut": "B", "width": 0.5}
    models.build(**spec).load_state_dict(model.state_dict())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"name": "resnet65"}, "did you mean 'resnet56'"),
        ({"name": "resnet20", "shortcuts": "A"}, "did you mean 'shortcut'"),
        ({"name": "vgg16", "shortcut": "A"}, "'shortcut' is no option of vgg16"),
        ({"name": "resnet20", "shortcut": "C"}, "shortcut is 'C'"),
        ({"name": "resnet20", "width": 0}, "width is 0"),
        ({"name": "resnet20", "width": "wide"}, "width is 'wide'"),
        ({"name": "resnet20", "width": True}, "width is True"),
        ({"name": "resnet20", "width": float("nan")}, "width is nan"),
        ({"name": "vgg16", "width": 16.5}, "width is 16.5, but must be a number above 0, up to 16"),
        ({"name": "mlp_mnist", "size": 10**9}, "size is 1000000000, but must be an integer from 1 to 512"),
        ({"name": "vgg16", "hidden": "no"}, "hidden is 'no'"),
        ({"name": "densenet40", "growth": 0}, "growth is 0"),
        ({"name": "densenet40", "layers": 1.5}, "layers is 1.5"),
        ({"name": "densenet40", "compression": 1.5}, "compression is 1.5"),
        ({"name": "densenet40", "width": 0.5}, "'width' is no option of densenet40"),
        ({"name": "resnet50", "width": 0.5}, "'width' is no option of resnet50, which has: stem"),
        ({"name": "resnet50", "stem": "cifer"}, "stem is 'cifer'.*did you mean 'cifar'"),
        ({"name": "vgg19", "hidden": 128}, "hidden is 128"),
        ({"name": "dice_cnn", "hidden": 0}, "hidden is 0"),
        ({"name": "dice_cnn", "hidden": True}, "hidden is True"),
        ({"name": "dice_cnn", "width": 0}, "width is 0"),
        ({"name": "mlp_mnist", "size": 0}, "size is 0"),
        ({"name": "mlp_kdd", "width": 0}, "width is 0"),
        ({"name": "mlp_credit", "hidden": 64}, "'hidden' is no option of mlp_credit, which has: size, width"),
        ({"name": "cnn_annealing", "width": "wide"}, "width is 'wide'"),
        ({"name": "densenet40", "layers": 65}, "layers is 65, but must be an integer from 1 to 64"),
        ({"name": "mlp_mnist", "in_channels": 2**25, "size": 512}, "mlp_mnist with these options does not fit into"),
        ({"name": "resnet20", "num_classes": 0}, "num_classes is 0"),
        ({"name": "resnet20", "seed": -1}, "seed is -1"),
    ],
)
def test_bad_arguments_are_refused_by_name_with_the_nearest_match(arguments: dict[str, object], words: str) -> None:
    with pytest.raises(BadValue, match=words):
        models.build(**arguments)


def test_options_can_be_checked_without_building() -> None:
    torch.manual_seed(5)
    state = torch.get_rng_state()
    models.check("resnet110", {"shortcut": "A", "width": 2.0})
    assert torch.equal(torch.get_rng_state(), state)
    for name, options in (("resnet11", {}), ("vgg16", {"shortcut": "A"}), ("resnet20", {"width": -1})):
        with pytest.raises(BadValue):
            models.check(name, options)


@pytest.mark.parametrize("name", models.names())
def test_every_option_says_what_it_can_be(name: str) -> None:
    """Of an option with no check, `models.check` would find nothing wrong, and a run would fail in its middle."""
    _, _, *options = inspect.signature(models._REGISTRY[name]).parameters
    assert options
    for option in options:
        for value in (-1, "no such", None, float("nan")):
            with pytest.raises(BadValue, match=option):
                models.check(name, {option: value})


def test_every_module_gets_back_the_mode_that_it_had_even_after_a_failure() -> None:
    model = models.build("resnet20", width=0.1)
    model.get_submodule("bn1").eval()
    before = [module.training for module in model.modules()]
    with models.in_mode(model, training=False):
        assert not any(module.training for module in model.modules())
    assert [module.training for module in model.modules()] == before
    with pytest.raises(RuntimeError), models.in_mode(model, training=False):
        model(torch.zeros(1, 99, 8, 8))
    assert [module.training for module in model.modules()] == before


def test_option_a_pads_zero_channels_on_both_sides_and_subsamples() -> None:
    shortcut = models.build("resnet20").get_submodule("layer2.0.shortcut")
    x = torch.rand(2, 16, 5, 6)
    expected = torch.nn.functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 8, 8))
    assert torch.equal(shortcut(x), expected)


def test_shortcut_without_some_inputs_and_outputs_equals_the_full_one_on_what_is_left() -> None:
    x = torch.rand(1, 4, 3, 3)
    full, cut = PadShortcut([-1, 0, 1, 2, 3, -1], 1), PadShortcut([-1, 0, 1, 2, 3, -1], 1)
    cut.keep_inputs([3, 1])
    cut.keep_outputs([5, 4, 1, 2])
    removed = x.clone()
    removed[:, [0, 2]] = 0
    assert (cut.in_channels, cut.out_channels, cut.source) == (2, 4, [-1, 0, -1, 1])
    assert torch.equal(cut(x[:, [3, 1]]), full(removed)[:, [5, 4, 1, 2]])


def test_shortcut_passes_gradients_to_its_sources_only() -> None:
    x = torch.rand(1, 3, 2, 2, requires_grad=True)
    PadShortcut([-1, 2], 1, in_channels=3)(x).sum().backward()
    assert x.grad is not None
    assert x.grad.sum((0, 2, 3)).tolist() == [0, 0, 4]


@pytest.mark.parametrize("kept", [[], [0, 0], [6], [-1]])
def test_shortcut_refuses_channels_it_does_not_have(kept: list[int]) -> None:
    shortcut = PadShortcut([0, 1], 2)
    with pytest.raises(BadValue, match="kept is"):
        shortcut.keep_outputs(kept)
    with pytest.raises(BadValue, match="kept is"):
        shortcut.keep_inputs(kept)


def test_shortcut_keeps_nothing_in_the_state_dict_so_that_foreign_checkpoints_load() -> None:
    assert not any("shortcut" in name for name in models.build("resnet20").state_dict())
