import pytest
import torch

from prunebook import features, models
from prunebook.errors import BadValue

X = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def network() -> torch.nn.Module:
    return models.build("resnet20", seed=0, width=0.25, shortcut="B").eval()


def test_the_maps_are_the_raw_outputs_of_the_convolutions():
    model = network()
    maps = features.maps(model, X, ["conv1", "layer1.0.conv1"])
    with torch.no_grad():
        stem = model.conv1(X)
        assert torch.equal(maps["conv1"], stem)
        assert torch.equal(maps["layer1.0.conv1"], model.layer1[0].conv1(torch.relu(model.bn1(stem))))


def test_every_convolution_is_visited_in_the_order_in_which_it_runs():
    seen = list(features.visit(network(), X, lambda name, maps: maps.shape[1]))
    assert sorted(seen) == sorted(features.convolutions(network()))
    assert seen.index("layer2.0.conv1") < seen.index("layer2.0.shortcut.0") < seen.index("layer2.1.conv1")


def test_train_mode_normalises_by_the_batch_and_moves_no_statistics():
    model = network()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    train = features.maps(model, X * 5 + 1, ["layer1.0.conv1"], mode="train")
    assert not torch.allclose(train["layer1.0.conv1"], features.maps(model, X * 5 + 1)["layer1.0.conv1"])
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_a_failing_visitor_leaves_no_hook_behind():
    model = network().train()

    def fail(name, maps):
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        features.visit(model, X, fail)
    assert not any(module._forward_hooks for module in model.modules())
    assert model.training


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"layers": ["conv2"]}, "did you mean 'conv1'?"),
        ({"mode": "trian"}, "did you mean 'train'?"),
        ({"images": X[:0]}, "images.shape is (0, 3, 32, 32)"),
    ],
)
def test_bad_arguments_are_refused_in_one_sentence(options, words):
    with pytest.raises(BadValue) as refusal:
        features.maps(network(), **{"images": X, **options})
    assert words in str(refusal.value)


def test_modules_of_any_kind_can_be_watched_and_are_noted_each_time_that_they_run():
    twice = torch.nn.Linear(2, 2, bias=False)
    twice.weight.data = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    noted = []
    features.watch(
        torch.nn.Sequential(twice, torch.nn.ReLU(), twice), torch.tensor([[1.0, -2.0]]), ["0", "1"],
        lambda name, output: noted.append((name, output.tolist())),
    )  # fmt: skip
    assert noted == [("0", [[-2, 1]]), ("1", [[0, 1]]), ("0", [[1, 0]])]


class Summed(torch.nn.Module):
    """Two convolutions; what the second makes is added, in place, to its input before the last ReLU."""

    def __init__(self, inplace: bool) -> None:
        super().__init__()
        self.first, self.second = torch.nn.Conv2d(3, 3, 1), torch.nn.Conv2d(3, 3, 1)
        self.bn1, self.bn2 = torch.nn.BatchNorm2d(3), torch.nn.BatchNorm2d(3)
        self.relu = torch.nn.ReLU(inplace)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = self.bn2(self.second(self.relu(self.bn1(self.first(x)))))
        out += x
        return self.relu(out)


@pytest.mark.parametrize("inplace", [False, True])
def test_maps_are_passed_on_after_batch_norm_and_relu_and_as_they_enter_a_sum(inplace):
    model = Summed(inplace)
    model.bn1.bias.data = torch.tensor([0.5, -0.5, 0.0])
    with torch.no_grad():
        first = model.eval().bn1(model.first(X)).clamp(min=0)
        second = model.bn2(model.second(first))
    passed = features.visit_passed_on(model.train(), X, lambda name, maps: maps.clone())
    assert list(passed) == ["first", "second"]
    assert torch.equal(passed["first"], first)
    assert torch.equal(passed["second"], second)
    assert (second < 0).any()
    assert model.training


def test_a_convolution_whose_maps_are_concatenated_first_passes_on_its_raw_output():
    model = models.build("densenet40", seed=0, layers=1)
    raw = features.maps(model, X, ["block1.0.conv"])
    passed = features.visit_passed_on(model, X, lambda name, maps: maps.clone())
    assert torch.equal(passed["block1.0.conv"], raw["block1.0.conv"])
    assert set(passed) == set(features.convolutions(model))
