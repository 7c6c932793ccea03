"""Costs, latency and F1."""

import pytest
import torch
from sklearn.metrics import f1_score
from torch import nn

from prunebook import measure
from prunebook.errors import BadValue


def small() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 5),
    )


def test_macs_of_a_small_network_are_those_counted_by_hand() -> None:
    counted = measure.cost(small(), torch.zeros(1, 3, 6, 6))
    assert counted == measure.Cost(macs=6 * 6 * 4 * 3 * 9 + 4 * 5, params=(3 * 9 * 4 + 4) + 8 + (4 * 5 + 5))


def test_the_counters_add_what_their_names_say() -> None:
    x = torch.zeros(1, 3, 6, 6)
    macs, thop, torch_pruning = (measure.cost(small(), x, counter).macs for counter in measure.COUNTERS)
    values = 4 * 36
    assert thop == macs + 4 * values + (values + 4)  # batch norm, global average
    assert torch_pruning == macs + values + 2 * values + values + values + 5  # bias, batch norm, ReLU, pool, bias


@pytest.mark.parametrize("counter", measure.COUNTERS)
def test_counting_leaves_the_model_as_it_was_and_prints_nothing(counter: str, capfd: pytest.CaptureFixture[str]) -> None:
    model = small()
    model[1].eval()
    state = {name: value.clone() for name, value in model.state_dict().items()}
    attributes = [sorted(vars(module)) for module in model.modules()]
    measure.cost(model, torch.rand(2, 3, 6, 6), counter)
    assert [module.training for module in model.modules()] == [True, True, False, True, True, True, True]
    assert list(model.state_dict()) == list(state)
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert [sorted(vars(module)) for module in model.modules()] == attributes
    assert not any(module._forward_hooks for module in model.modules())
    assert capfd.readouterr() == ("", "")


def test_an_unknown_counter_is_refused_with_the_nearest() -> None:
    with pytest.raises(BadValue, match="did you mean 'thop'"):
        measure.cost(small(), torch.zeros(1, 3, 6, 6), "thopp")


def test_rates_are_reductions_in_percent() -> None:
    assert measure.rates(measure.Cost(200, 1000), measure.Cost(50, 400)) == (75.0, 60.0)
    with pytest.raises(BadValue, match="before is"):
        measure.rates(measure.Cost(0, 0), measure.Cost(0, 0))


def test_latency_counts_only_the_passes_after_the_warm_up() -> None:
    class Slowing(nn.Module):
        calls = 0
        modes: tuple[bool, ...] = ()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.calls += 1
            self.modes += (self.training,)
            return x

    model = Slowing()
    timed = measure.latency(model, torch.zeros(1), warmup=2, repeats=5)
    assert (model.calls, set(model.modes), model.training) == (7, {False}, True)
    assert 0 < timed.low_s <= timed.median_s <= timed.high_s


def test_latency_reports_median_and_quartiles(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter([99.0, 1.0, 5.0, 2.0, 4.0, 3.0])
    monkeypatch.setattr(measure, "_seconds", lambda model, inputs: next(seconds))
    assert measure.latency(small(), torch.zeros(1), warmup=1, repeats=5) == measure.Latency(3.0, 2.0, 4.0)


def test_f1_agrees_with_scikit_learn_also_where_classes_are_never_predicted() -> None:
    generator = torch.Generator().manual_seed(0)
    for classes, n in ((2, 5), (10, 40), (10, 1000)):
        labels, predicted = torch.randint(classes, (2, n), generator=generator)
        expected = f1_score(labels, predicted, average="macro", labels=range(classes), zero_division=0.0)
        assert measure.f1(predicted, labels, classes) == pytest.approx(expected)


def test_f1_refuses_class_numbers_outside_the_classes() -> None:
    with pytest.raises(BadValue, match="labels is"):
        measure.f1(torch.tensor([0]), torch.tensor([2]), 2)
    with pytest.raises(BadValue, match=r"predicted\.shape is"):
        measure.f1(torch.tensor([0, 1]), torch.tensor([1]), 2)
