import pytest
import torch
from torch import nn

import prunebook
from prunebook import cutting, models
from prunebook.errors import BadValue
from prunebook.plan import PruningPlan

X = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def trained_like(name: str, **options) -> nn.Module:
    """A network whose batch norms are not at their initial values, so that a wrong channel would show."""
    model = models.build(name, seed=1, **options).eval()
    generator = torch.Generator().manual_seed(2)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight.data, module.bias.data, module.running_mean):
                tensor.copy_(torch.randn(tensor.shape, generator=generator))
            module.running_var.copy_(torch.rand(module.running_var.shape, generator=generator) + 0.5)
    return model


def random_plan(model: nn.Module, seed: int = 0) -> PruningPlan:
    """Half of each group's channels, at random."""
    generator = torch.Generator().manual_seed(seed)
    layers = cutting.prunable_layers(model)
    keep = {}
    for group in cutting.coupled_layers(model, X[:1]):
        wide = cutting.width(layers[group[0]])
        kept = sorted(torch.randperm(wide, generator=generator)[: max(1, wide // 2)].tolist())
        keep |= {name: kept for name in group}
    return PruningPlan(keep, {name: cutting.width(layers[name]) for name in keep}, "random")


def silence(model: nn.Module, plan: PruningPlan) -> nn.Module:
    """The same decision without cutting: removed channels are set to zero wherever they are produced."""

    def hook(kept: list[int]):
        def zero(module, inputs, output):
            mask = torch.zeros(output.shape[1])
            mask[kept] = 1
            return output * mask.view(1, -1, *[1] * (output.dim() - 2))

        return zero

    norms = {"conv1": "bn1", "conv2": "bn2", "conv3": "bn3", "shortcut.0": "shortcut.1", "downsample.0": "downsample.1"}
    for name, kept in plan.keep.items():
        # After the batch norm that follows the convolution: its bias would otherwise revive a zeroed channel.
        if name.startswith("features."):
            norm = f"features.{int(name.removeprefix('features.')) + 1}"
        else:
            end = next(end for end in norms if name.endswith(end))
            norm = name.removesuffix(end) + norms[end]
        model.get_submodule(norm).register_forward_hook(hook(kept))
    return model


@pytest.mark.parametrize("options", [{"shortcut": "B"}, {"shortcut": "conv3"}])
def test_a_cut_resnet_computes_what_the_network_with_silenced_channels_computes(options):
    model = trained_like("resnet20", **options)
    plan = random_plan(model)
    pruned = plan.apply(model, X[:1])
    assert torch.allclose(pruned(X), silence(model, plan)(X), atol=1e-4)


def test_a_cut_resnet_with_padded_shortcuts_computes_what_silenced_channels_compute():
    model = trained_like("resnet20")
    plan = random_plan(model)
    pruned = plan.apply(model, X[:1])
    silenced = silence(model, plan)
    # The padded shortcut feeds channels that the plan removes from the second and third stage: silence those as well.
    for stage in (2, 3):
        kept = plan.keep[f"layer{stage}.0.conv2"]
        mask = torch.zeros(model.get_submodule(f"layer{stage}.0.conv2").out_channels)
        mask[kept] = 1
        silenced.get_submodule(f"layer{stage}.0.shortcut").register_forward_hook(
            lambda module, inputs, output, mask=mask: output * mask.view(1, -1, 1, 1)
        )
    assert torch.allclose(pruned(X), silenced(X), atol=1e-4)


def test_a_cut_vgg_computes_what_the_network_with_silenced_channels_computes():
    model = trained_like("vgg16", width=0.25)
    plan = random_plan(model)
    assert torch.allclose(plan.apply(model, X[:1])(X), silence(model, plan)(X), atol=1e-4)


def test_a_cut_resnet50_computes_what_the_network_with_silenced_channels_computes():
    model = trained_like("resnet50")
    plan = random_plan(model)
    computed, expected = plan.apply(model, X[:1])(X), silence(model, plan)(X)
    assert torch.allclose(computed, expected, atol=1e-4 * expected.abs().max().item())


def silence_dense(model: nn.Module, plan: PruningPlan) -> nn.Module:
    """The same for a DenseNet: each batch norm that reads a removed channel gives zero for it."""
    layers = cutting.prunable_layers(model)
    masks = {
        name: torch.zeros(cutting.width(layers[name])).index_fill(0, torch.tensor(kept), 1)
        for name, kept in plan.keep.items()
    }
    readers = []  # of each batch norm: its name, and the layers that made its channels
    for number, block in enumerate(model.dense_layers(), 1):
        source = "conv1" if number == 1 else f"transition{number - 1}.conv"
        readers += [(name.replace("conv", "bn"), [source, *block[:position]]) for position, name in enumerate(block)]
        readers.append((f"transition{number}.bn" if number < 3 else "bn", [source, *block]))
    for reader, sources in readers:
        norm, mask = model.get_submodule(reader), torch.cat([masks[name] for name in sources])
        norm.weight.data *= mask
        norm.bias.data *= mask
    return model


@pytest.mark.parametrize("options", [{"growth": 4, "layers": 3}, {"growth": 6, "layers": 2, "compression": 0.5}])
def test_a_cut_densenet_computes_what_the_network_with_silenced_channels_computes(options):
    model = trained_like("densenet40", **options)
    plan = random_plan(model)
    pruned = plan.apply(model, X[:1])
    assert torch.allclose(pruned(X), silence_dense(model, plan)(X), atol=1e-4)
    assert all(pruned.get_submodule(name).out_channels == len(kept) for name, kept in plan.keep.items())


def test_a_densenet_can_be_cut_in_any_order_and_a_second_time():
    model = trained_like("densenet40", growth=4, layers=2)
    plan = random_plan(model)
    backwards = PruningPlan(dict(reversed(plan.keep.items())))
    assert torch.equal(plan.apply(model, X[:1])(X), backwards.apply(model, X[:1])(X))
    again = PruningPlan({"conv1": [1, 3], "block1.1.conv": [0]}).apply(plan.apply(model, X[:1]), X[:1])
    both = plan.keep | {"conv1": [plan.keep["conv1"][i] for i in (1, 3)], "block1.1.conv": plan.keep["block1.1.conv"][:1]}
    assert torch.allclose(again(X), PruningPlan(both).apply(model, X[:1])(X), atol=1e-6)


def test_every_layer_of_a_densenet_decides_for_itself():
    model = models.build("densenet40", seed=0)
    in_order = ["conv1"]
    for block, transition in zip(model.dense_layers(), [*model.transitions(), None], strict=True):
        in_order += [*block, transition] if transition else block
    assert cutting.coupled_layers(model, X[:1]) == [[name] for name in in_order]


def test_whatever_writes_into_a_stage_of_resnet50_is_coupled():
    groups = cutting.coupled_layers(models.build("resnet50", seed=0), X[:1])
    coupled = [group for group in groups if len(group) > 1]
    assert [len(group) for group in coupled] == [4, 5, 7, 4]  # the shortcut's convolution and each block's last
    assert coupled[0] == ["layer1.0.conv3", "layer1.0.downsample.0", "layer1.1.conv3", "layer1.2.conv3"]
    assert len(groups) == 1 + 2 * 16 + 4  # stem, two inner convolutions a block, four stages


def test_a_cut_network_trains_and_the_original_is_untouched():
    model = trained_like("resnet20").train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    pruned = random_plan(model).apply(model, X[:1])
    assert pruned.training
    optimiser = torch.optim.SGD(pruned.parameters(), lr=0.1)
    losses = []
    for _ in range(5):
        loss = nn.functional.cross_entropy(pruned(X), torch.tensor([0, 1]))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_cutting_and_planning_leave_each_module_in_its_own_mode():
    model = trained_like("resnet20").train()
    model.bn1.eval()  # as when some batch norms are frozen
    pruned, _ = prunebook.prune(model, X[:1], "kcore", images=X, tau=0.6)
    for network in (model, pruned):
        assert not network.bn1.training
        assert network.layer1[0].bn1.training


def test_a_plan_that_names_only_the_first_layer_of_a_group_cuts_the_others_with_it():
    model = trained_like("resnet20")
    pruned = PruningPlan({"conv1": [0, 3, 5]}).apply(model, X[:1])
    widths = {name: pruned.get_submodule(name).out_channels for name in ("conv1", "layer1.0.conv2", "layer1.2.conv2")}
    assert set(widths.values()) == {3}
    assert pruned.get_submodule("layer1.0.conv1").out_channels == 16


def test_a_plan_survives_saving_and_can_be_read_by_a_person(tmp_path):
    plan = PruningPlan({"conv1": [0, 2]}, {"conv1": 4}, "kcore", {"tau": 0.7})
    plan.save(tmp_path / "plan.json")
    assert PruningPlan.load(tmp_path / "plan.json") == plan
    assert '"conv1": {"width": 4, "keep": [0, 2]}' in (tmp_path / "plan.json").read_text()
    assert plan.removed() == 2


def handing_over(model: nn.Module) -> PruningPlan:
    """In VGG's first two and last two layers, with a kept channel that hands its own readers on and takes others."""
    names = list(cutting.prunable_layers(model))
    names = [names[0], names[1], names[-3], names[-2]]  # the last one makes the output
    widths = {name: cutting.width(model.get_submodule(name)) for name in names}
    keep = {name: [0, 1, *range(4, wide)] for name, wide in widths.items()}
    return PruningPlan(keep, widths, "by hand", {}, {name: {2: 1, 3: 0, 0: 4} for name in names})


def test_delegates_take_over_from_others_in_every_layer_that_reads_them():
    model = trained_like("vgg16", width=0.25)
    plan = handing_over(model)
    summed = trained_like("vgg16", width=0.25)
    readers = dict(zip(cutting.prunable_layers(model), list(cutting.prunable_layers(summed).values())[1:], strict=False))
    for name, units in plan.delegates.items():
        weight = readers[name].weight.data
        before = weight.clone()
        weight[:, list(units)] = 0
        for unit, to in units.items():
            weight[:, to] += before[:, unit]
    assert torch.allclose(plan.apply(model, X[:1])(X), summed(X), atol=1e-4)
    assert not torch.allclose(summed(X), model(X), atol=1e-2)


def test_behind_a_flattened_map_a_delegate_takes_over_place_by_place():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 9, 5))
    x = torch.rand(2, 3, 5, 5)
    cut = PruningPlan({"0": [0, 2]}, delegates={"0": {1: 2, 3: 0}}).apply(model, x[:1])
    maps = model[1](model[0](x))
    maps[:, 1], maps[:, 3] = maps[:, 2], maps[:, 0]
    assert torch.allclose(cut(x), model[3](maps.flatten(1)), atol=1e-6)
    assert cut[3].in_features == 18


def test_what_reads_a_sum_takes_over_as_well():
    model = trained_like("resnet20", shortcut="B")
    keep = [0, 1, 3, *range(4, 16)]
    hands = {2: 3, 3: 4}  # what 3 had goes on to 4, once, though two layers of the sum are named
    both = ("conv1", "layer1.1.conv2")
    plan = PruningPlan(dict.fromkeys(both, keep), delegates=dict.fromkeys(both, hands))
    changed = trained_like("resnet20", shortcut="B")
    for name in ("layer1.0.conv1", "layer1.1.conv1", "layer1.2.conv1", "layer2.0.conv1", "layer2.0.shortcut.0"):
        weight = changed.get_submodule(name).weight.data
        weight[:, 4] += weight[:, 3]
        weight[:, 3] = weight[:, 2]
        weight[:, 2] = 0
    assert torch.allclose(plan.apply(model, X[:1])(X), changed(X), atol=1e-4)


def test_a_plan_with_delegates_survives_saving_and_says_so(tmp_path):
    plan = PruningPlan({"conv1": [0, 2]}, {"conv1": 4}, "annealing", {}, {"conv1": {1: 2, 3: 0}})
    plan.save(tmp_path / "plan.json")
    assert PruningPlan.load(tmp_path / "plan.json") == plan
    text = (tmp_path / "plan.json").read_text()
    assert '"conv1": {"width": 4, "keep": [0, 2], "delegates": {"1": 2, "3": 0}}' in text
    assert '"format": 2' in text


@pytest.mark.parametrize("delegates", [{"conv2": {1: 0}}, {"conv1": {0: 1}}, {"conv1": {0: 0}}, {"conv1": {-1: 0}}])
def test_delegates_that_are_not_kept_are_refused(delegates):
    with pytest.raises(BadValue, match="delegates"):
        PruningPlan({"conv1": [0, 2]}, delegates=delegates)


def test_coupled_layers_with_different_delegates_are_refused():
    plan = PruningPlan({"conv1": [0], "layer1.0.conv2": [0]}, delegates={"conv1": {1: 0}, "layer1.0.conv2": {2: 0}})
    with pytest.raises(BadValue, match="are coupled, but the plan gives them different delegates"):
        plan.apply(models.build("resnet20", seed=0), X[:1])


def test_delegates_that_the_layer_lacks_are_refused():
    with pytest.raises(BadValue, match=r"delegates\['conv1'\] is \[99\], but must be of channels in 0..15"):
        PruningPlan({"conv1": [0, 2]}, delegates={"conv1": {99: 0}}).apply(models.build("resnet20", seed=0), X[:1])


def test_a_cut_network_with_a_saved_plan_can_be_rebuilt(tmp_path):
    model = trained_like("resnet20")
    plan = random_plan(model)
    pruned = plan.apply(model, X[:1])
    plan.save(tmp_path / "plan.json")
    again = PruningPlan.load(tmp_path / "plan.json").apply(models.build("resnet20", seed=9), X[:1]).eval()
    again.load_state_dict(pruned.state_dict())
    assert torch.equal(again(X), pruned(X))


@pytest.mark.parametrize(
    ("keep", "words"),
    [
        ({"conv2": [0]}, "layer 'conv2' of the plan is not in this ResNet; did you mean 'conv1'?"),
        ({"conv1": [0, 99]}, "channels in 0..15"),
        ({"conv1": [0], "layer1.0.conv2": [1]}, "'conv1' and 'layer1.0.conv2' are coupled"),
        ({"linear": [0, 1]}, "layer 'linear' makes the network's output"),
    ],
)
def test_a_plan_that_does_not_fit_is_refused_in_one_sentence(keep, words):
    with pytest.raises(BadValue) as refusal:
        PruningPlan(keep).apply(models.build("resnet20", seed=0), X[:1])
    assert words in str(refusal.value)


@pytest.mark.parametrize("kept", [[], [1, 0], [0, 0], [-1], [0.5]])
def test_a_plan_of_impossible_channels_cannot_be_made(kept):
    with pytest.raises(BadValue):
        PruningPlan({"conv1": kept})


def test_a_plan_for_another_width_is_refused():
    plan = PruningPlan({"conv1": [0]}, {"conv1": 8})
    with pytest.raises(BadValue, match="made for 8 channels in layer 'conv1', but this network has 16"):
        plan.apply(models.build("resnet20", seed=0), X[:1])


def test_a_file_that_is_no_plan_is_refused(tmp_path):
    for text in ("{", "[]", '{"format": 1}', '{"format": 7, "layers": {}}'):
        (tmp_path / "plan.json").write_text(text)
        with pytest.raises(BadValue):
            PruningPlan.load(tmp_path / "plan.json")


def test_prune_works_on_a_network_of_ones_own():
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Conv2d(3, 12, 3, padding=1)
            self.second = nn.Conv2d(12, 12, 3, padding=1)
            self.head = nn.Linear(12 * 16, 5)

        def forward(self, x):
            x = torch.relu(self.first(x))
            x = torch.relu(self.second(x)) + x
            return self.head(nn.functional.adaptive_avg_pool2d(x, 4).flatten(1))

    torch.manual_seed(0)
    model = Own().eval()
    pruned, plan = prunebook.prune(model, X[:1], "kcore", images=X, tau=0.6)
    assert plan.keep["first"] == plan.keep["second"]
    assert len(plan.keep["first"]) < 12
    assert pruned.head.in_features == 16 * len(plan.keep["first"])
    assert pruned(X).shape == (2, 5)


def test_prune_searches_with_sacp_without_any_image():
    model = models.build("resnet20", seed=0, width=0.5)
    options = {"tau": 0.4, "configurations": 20, "epochs": 1, "candidates": 200, "m": 3, "k": 1}
    pruned, plan = prunebook.prune(model, X[:1], "sacp", **options)
    assert plan.method == "sacp"
    assert plan.parameters["removed"] >= 0.4
    assert pruned(X).shape == (len(X), 10)
    with pytest.raises(BadValue, match=r"tau is 0.95, but must be at most 0.9"):
        prunebook.prune(model, X[:1], "sacp", tau=0.95)
    with pytest.raises(BadValue, match=r"method 'sacp' needs 'tau'"):
        prunebook.prune(model, X[:1], "sacp")


@pytest.mark.parametrize(
    ("method", "options", "words"),
    [
        ("kcor", {"tau": 0.7}, "did you mean 'kcore'?"),
        ("kcore", {"taus": 0.7}, "method 'kcore' has no option 'taus'; did you mean 'tau'"),
        ("sacp", {"target": 0.5}, "method 'sacp' has no option 'target'"),
        ("annealing", {"target": 0.5}, "method 'annealing' needs 'input_bounds', 'step'"),
    ],
)
def test_prune_refuses_unknown_methods_and_options(method, options, words):
    with pytest.raises(BadValue, match="method") as refusal:
        prunebook.prune(models.build("resnet20", seed=0), X[:1], method, **options)
    assert words in str(refusal.value)
