from typing import Any

import numpy as np
import pandas as pd
import pytest
from kcore_records import baseline, chosen_by, network, pruned, record, repeated, sizes, timed

from prunebook.errors import BadValue
from prunebook.report import kcore_claims
from prunebook.trials import Record

TABLE_3_CIFAR_10 = {0.75: 16.20, 0.7: 24.93, 0.65: 50.10, 0.6: 78.91}


def claim(words: str, **records: Any) -> pd.Series:
    found = kcore_claims.claims(**records)
    chosen = found[found.claim.str.contains(words, regex=False)]
    assert len(chosen) == 1
    return chosen.iloc[0]


@pytest.mark.parametrize("records", [{}, dict.fromkeys(kcore_claims.Records._fields, ())], ids=["none given", "empty"])
def test_without_records_no_claim_is_tested(records):
    found = kcore_claims.claims(**records)
    alone = found.verdict == "the paper contradicts itself"
    assert (found[~alone].verdict == "cannot be tested with this run's records").all()
    assert alone.sum() == 1
    assert len(found) >= 12


def test_records_of_another_name_are_refused():
    with pytest.raises(BadValue, match="did you mean 'selections'"):
        kcore_claims.claims(selection=[])


@pytest.mark.parametrize(
    ("gaps", "verdict"),
    [([1.0, 1.1, 0.9], "holds here"), ([-1.0, -1.1, -0.9], "the opposite holds here"), ([1.0, -1.0, 0.5], "undecided"),
     ([1.0, 1.0], "undecided"), ([0.0, 0.0, 0.0], "undecided"), ([2.0, 2.0, 2.0], "holds here")],
)  # fmt: skip
def test_a_claim_goes_by_the_interval_of_its_paired_difference(gaps, verdict):
    # The draws differ by far more than the choices: unpaired, no gap of 1 would show.
    random = [40.0, 80.0, 60.0][: len(gaps)]
    both = [value + gap for value, gap in zip(random, gaps, strict=True)]
    records = chosen_by("k-core & entropy", both) + chosen_by("k-core only", random)[::-1]
    assert claim("within the groups beats a random", selections=records).verdict == verdict


def test_a_claim_says_which_accuracy_it_is():
    both, random = chosen_by("k-core & entropy", [60.0] * 3), chosen_by("k-core only", [50.0] * 3)
    assert "after recalibrating batch norm, not fine-tuned" in claim("beats a random", selections=both + random).here
    tuned = chosen_by("k-core & entropy", [60.0] * 3, tuned=90.0, epochs=2)
    assert "after recalibrating batch norm, not fine-tuned" in claim("beats a random", selections=tuned + random).here
    rest = chosen_by("k-core only", [60.0] * 3, tuned=91.0, epochs=2)
    row = claim("beats a random", selections=tuned + rest)
    assert "after fine-tuning, 2 of 70 epochs" in row.here
    assert row.verdict == "the opposite holds here"
    longer = chosen_by("k-core only", [60.0] * 3, tuned=91.0, epochs=3)
    assert "not fine-tuned" in claim("beats a random", selections=tuned + longer).here


def test_what_removes_the_same_by_definition_is_not_tested():
    both, alone = chosen_by("k-core & entropy", [60.0] * 3), chosen_by("entropy only", [50.0] * 3)
    assert claim("remove more than either", selections=both + alone).verdict == "equal by construction"
    assert claim("beats entropy alone", selections=both + alone).verdict == "holds here"
    less = chosen_by("k-core only", [50.0] * 3, fr=[25.0, 25.1, 24.9])
    row = claim("remove more than either", selections=both + alone + less)
    assert row.verdict.startswith("mixed: holds here (resnet56, FR against k-core only)")


def test_a_claim_on_every_tau_holds_only_if_it_does_at_each():
    def at(tau: float, gap: float) -> list[Record]:
        high = [pruned(d, top1=60 + gap + d, tau=tau) for d in range(3)]
        return high + [pruned(d, top1=60.0 + d, tau=tau, score="low-entropy") for d in range(3)]

    assert claim("highest entropy beats", halves=at(0.7, 1) + at(0.75, 2)).verdict == "holds here"
    row = claim("highest entropy beats", halves=at(0.7, 1) + at(0.75, -2))
    assert row.verdict == "mixed: holds here (resnet56, tau 0.7); the opposite holds here (resnet56, tau 0.75)"


def test_the_rates_of_another_network_are_not_held_against_the_paper():
    far = [r for tau in TABLE_3_CIFAR_10 for r in repeated([5.0, 5.0, 5.0], tau=tau)]
    assert claim("printed shares", prunings=far).verdict == "does not hold here"
    other = [r for tau in TABLE_3_CIFAR_10 for r in repeated([5.0, 5.0, 5.0], tau=tau, before=127.6)]
    assert claim("printed shares", prunings=other).verdict == "undecided: other network"
    printed = {0.75: 2.68, 0.7: 7.34, 0.65: 24.46, 0.6: 66.44}
    near = [r for tau, fr in TABLE_3_CIFAR_10.items() for r in repeated([fr] * 3, pr=printed[tau], tau=tau)]
    row = claim("printed shares", prunings=near)
    assert row.verdict == "holds here"
    assert "8 of 8" in row.here


def test_the_headline_needs_seventy_epochs():
    short = [pruned(d, 50.0, tuned=93.0, epochs=1, tau=0.65) for d in range(3)]
    found = claim("half of ResNet-56", prunings=short, baselines=[baseline()])
    assert found.verdict == "cannot be tested with this run's records: needs 70 epochs of fine-tuning"
    for top1, verdict in ((93.0, "holds here"), (91.0, "does not hold here")):
        whole = [pruned(d, 50.0, tuned=top1 + 0.1 * d, tau=0.65) for d in range(3)]
        assert claim("half of ResNet-56", prunings=whole, baselines=[baseline()]).verdict == verdict
    few = [pruned(d, 50.0, tuned=93.0, tau=0.65) for d in range(2)]
    assert claim("half of ResNet-56", prunings=few, baselines=[baseline()]).verdict == "undecided"
    other = [pruned(d, 50.0, tuned=91.0, tau=0.65, before=127.6) for d in range(3)]
    assert claim("half of ResNet-56", prunings=other, baselines=[baseline()]).verdict == "undecided: other network"


def test_rates_fall_if_they_do_within_each_repetition():
    assert claim("fall as more", sample_sizes=sizes(0.01, {})).verdict == "holds here"
    assert claim("fall as more", sample_sizes=sizes(-0.01, {})).verdict == "the opposite holds here"
    assert "-1.75" in claim("fall as more", sample_sizes=sizes(0.01, {})).here


def test_100_images_are_best_if_they_beat_the_fewest_and_the_most():
    assert claim("near 100", sample_sizes=sizes(0, {100: 62.0})).verdict == "holds here"
    assert claim("near 100", sample_sizes=sizes(0, {100: 62.0, 200: 64.0})).verdict.startswith("mixed")


def test_the_best_learning_rate_is_the_one_that_beats_all_others():
    def at(rates: dict[float, float], draws: int = 3) -> list[Record]:
        return [pruned(d, tuned=top1 + d, lr=lr, epochs=2) for d in range(draws) for lr, top1 in rates.items()]

    row = claim("best learning rate", learning_rates=at({0.1: 70.0, 0.01: 80.0, 0.001: 79.0}))
    assert row.verdict == "holds here"
    assert "2 of 70 epochs" in row.here
    assert claim("best learning rate", learning_rates=at({0.01: 80.0, 0.1: 90.0, 0.001: 70.0})).verdict.startswith("the opp")
    assert claim("best learning rate", learning_rates=at({0.01: 80.0, 0.1: 70.0}, draws=1)).verdict == "undecided"


def layer(entropy: list[float], agreements: list[list[int]]) -> Record:
    result = {"layer": "conv1", "filters": len(entropy), "bits": 10, "agreements": agreements, "entropy": entropy}
    return record("layer", {"baseline": network()}, result)


def test_orthogonal_is_a_rank_correlation_that_is_surely_small():
    n = 200
    generator = np.random.default_rng(0)
    noise = [generator.integers(5, 9, n - 1 - i).tolist() for i in range(n)]
    assert claim("orthogonal", layers=[layer(generator.random(n).tolist(), noise)]).verdict == "holds here"
    nested = [[9 if i + j < n else 1 for j in range(i + 1, n)] for i in range(n)]  # filter 0 is like all, the last like none
    assert claim("orthogonal", layers=[layer([float(i) for i in range(n)], nested)]).verdict == "does not hold here"


def look(slope: float, control: float) -> Record:
    """Twelve layers of ten filters whose overlap and control go with entropy by these slopes, and some noise."""
    generator = np.random.default_rng(0)
    layers = {}
    for i in range(12):
        entropy, noise = np.arange(10.0), generator.normal(size=(2, 10))
        overlap, other = slope * entropy + noise[0], control * entropy + noise[1]
        layers[f"l{i}"] = {
            "size": [8, 8],
            "entropy": entropy.tolist(),
            "overlap": overlap.tolist(),
            "control": other.tolist(),
        }
    return record("importance", {"baseline": network()}, layers)


def test_importance_has_to_beat_the_control_in_most_layers():
    assert claim("Grad-CAM", importance=[look(1.0, 0.0)]).verdict == "holds here"
    assert claim("Grad-CAM", importance=[look(1.0, 1.0)]).verdict.startswith("does not hold here: as strong with another")
    assert claim("Grad-CAM", importance=[look(-1.0, 0.0)]).verdict == "the opposite holds here"
    assert claim("Grad-CAM", importance=[look(0.0, 0.0)]).verdict == "undecided"


def test_seconds_are_shown_with_the_machine_and_only_their_order_is_judged():
    records = [timed("vgg16", 20.0), timed("resnet56", 10.0)]
    row = claim("A decision takes", criterion=records)
    assert (row.verdict, "some processor" in row.here) == ("other machine", True)
    assert claim("VGG-16 takes longest", criterion=records).verdict == "holds here"
    slow = [*records, timed("densenet40", 30.0)]
    assert claim("VGG-16 takes longest", criterion=slow).verdict == "other machine: DenseNet-40 takes longest"
