import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from kcore_records import baseline, chosen_by, network, pruned, record, repeated, sizes, timed

from prunebook.errors import BadValue
from prunebook.report import kcore_claims
from prunebook.report.kcore_claims import Network, Said, conditions
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
    found = claim("within the groups beats a random", selections=records)
    assert found.verdict == f"other data, not fine-tuned: {verdict}"


PAPERS = Network("cifar100", "resnet56", 1, 130.02e6)
SAID = Said(("resnet56", "vgg16"), ("cifar100",), epochs=70)


@pytest.mark.parametrize(
    ("change", "epochs", "words"),
    [({}, 70, ""), ({"arch": "resnet20"}, 70, "other network"), ({"arch": "resnet110"}, 70, "other network"),
     ({"width": 0.5}, 70, "other network"), ({"macs": 127.6e6}, 70, "other network"), ({"macs": math.nan}, 70, ""),
     ({"dataset": "cifar10"}, 70, "other data"), ({"dataset": "digits"}, 70, "other data"), ({}, 0, "not fine-tuned"),
     ({}, 1, "other schedule"),
     ({"arch": "resnet20", "dataset": "cifar10"}, 0, "other network, other data, not fine-tuned")],
)  # fmt: skip
def test_a_verdict_says_in_what_the_records_were_not_as_the_paper_has_it(change, epochs, words):
    assert conditions(SAID, frozenset({PAPERS._replace(**change)}), epochs) == words
    assert conditions(SAID, frozenset({PAPERS, PAPERS._replace(**change)}), epochs) == words


def test_a_statement_about_cost_asks_for_no_schedule_and_the_paper_alone_for_nothing():
    assert conditions(SAID._replace(epochs=0), frozenset({PAPERS}), 0) == ""
    assert conditions(SAID, frozenset(), 0) == ""


def test_conditions_that_all_cases_share_are_said_once_others_with_their_case():
    cases = [kcore_claims.Case(name, "", verdict, on=frozenset({PAPERS._replace(dataset=data)}), epochs=70)
             for name, data, verdict in (("a", "cifar10", "holds here"), ("b", "digits", "undecided"))]  # fmt: skip
    assert kcore_claims.combined(cases, SAID) == "other data: mixed: holds here (a); undecided (b)"
    more = cases[1]._replace(name="b, of another tau")
    assert kcore_claims.combined([*cases, more], SAID).endswith("undecided (b | b, of another tau)")
    own = cases[1]._replace(on=frozenset({PAPERS}))
    assert kcore_claims.combined([cases[0], own], SAID) == "mixed: other data: holds here (a); undecided (b)"


def test_where_a_verdict_counts_its_cases_each_says_its_own():
    cases = [kcore_claims.Case(name, f"+{i}", "holds here" if i else "undecided") for i, name in enumerate("abcde")]
    assert kcore_claims.combined(cases, SAID) == "mixed: undecided (1 of 5); holds here (4 of 5)"
    assert kcore_claims.told(cases).startswith("a: +0, undecided; b: +1, holds here; c: +2, holds here")
    assert kcore_claims.told(cases[:4]) == "a: +0; b: +1; c: +2; d: +3"  # the verdict names them
    assert kcore_claims.told([*cases[1:], cases[1]._replace(name="f")]).count("holds here") == 0  # they agree


def test_the_papers_own_set_up_has_its_verdict_alone():
    same = {"base": network(dataset="cifar100"), "epochs": 70}
    records = [r for name, top1 in (("k-core & entropy", 80.0), ("k-core only", 70.0))
               for r in chosen_by(name, [60.0] * 3, tuned=top1, **same)]  # fmt: skip
    assert claim("within the groups beats a random", selections=records).verdict == "holds here"


def test_accuracies_at_unequal_cost_have_no_verdict():
    def against(fr: list[float]) -> pd.Series:
        both, random = chosen_by("k-core & entropy", [60.0] * 3), chosen_by("k-core only", [50.0] * 3, fr)
        return claim("within the groups beats a random", selections=both + random)

    assert against([26.3, 26.5, 26.4]).verdict == "other data, not fine-tuned: holds here"
    row = against([26.5, 26.6, 26.5])
    assert row.verdict == "other data, not fine-tuned: unequal cost"
    assert "FR -0.53" in row.here


def test_costs_are_compared_over_the_repetitions_whose_accuracy_is():
    def mixed(name: str, top1: float, cut_only: float) -> list[Record]:
        return chosen_by(name, [50.0] * 3, tuned=top1, epochs=70) + [
            pruned(d, cut_only, top1=50.0, **kcore_claims.SELECTIONS[name]) for d in (3, 4)
        ]

    row = claim("beats a random", selections=mixed("k-core & entropy", 80.0, 60.0) + mixed("k-core only", 70.0, 20.0))
    assert "FR +0.00" in row.here
    assert row.verdict == "other data: holds here"


def test_a_claim_says_which_accuracy_it_is():
    both, random = chosen_by("k-core & entropy", [60.0] * 3), chosen_by("k-core only", [50.0] * 3)
    assert "after recalibrating batch norm, not fine-tuned" in claim("beats a random", selections=both + random).here
    tuned = chosen_by("k-core & entropy", [60.0] * 3, tuned=90.0, epochs=2)
    assert "after recalibrating batch norm, not fine-tuned" in claim("beats a random", selections=tuned + random).here
    rest = chosen_by("k-core only", [60.0] * 3, tuned=91.0, epochs=2)
    row = claim("beats a random", selections=tuned + rest)
    assert "after fine-tuning, 2 of 70 epochs" in row.here
    assert row.verdict == "other data, other schedule: the opposite holds here"
    longer = chosen_by("k-core only", [60.0] * 3, tuned=91.0, epochs=3)
    assert "not fine-tuned" in claim("beats a random", selections=tuned + longer).here


def test_what_removes_the_same_by_definition_is_not_tested():
    both, alone = chosen_by("k-core & entropy", [60.0] * 3), chosen_by("entropy only", [50.0] * 3)
    assert claim("remove more than either", selections=both + alone).verdict == "equal by construction"
    assert claim("beats entropy alone", selections=both + alone).verdict.endswith(": holds here")
    less = chosen_by("k-core only", [50.0] * 3, fr=[25.0, 25.1, 24.9])
    row = claim("remove more than either", selections=both + alone + less)
    assert row.verdict.startswith("mixed: other data: holds here (resnet56, FR against k-core only)")
    assert row.verdict.endswith(
        "; equal by construction (resnet56, FR against entropy only | resnet56, PR against entropy only)"
    )


def test_a_claim_on_every_tau_holds_only_if_it_does_at_each():
    def at(tau: float, gap: float) -> list[Record]:
        high = [pruned(d, top1=60 + gap + d, tau=tau) for d in range(3)]
        return high + [pruned(d, top1=60.0 + d, tau=tau, score="low-entropy") for d in range(3)]

    assert claim("highest entropy beats", halves=at(0.7, 1) + at(0.75, 2)).verdict == "not fine-tuned: holds here"
    row = claim("highest entropy beats", halves=at(0.7, 1) + at(0.75, -2))
    assert row.verdict == (
        "not fine-tuned: mixed: holds here (resnet56, tau 0.7); the opposite holds here (resnet56, tau 0.75)"
    )


def at_the_papers_rates(*spread: float, **given: Any) -> list[Record]:
    printed = {0.75: 2.68, 0.7: 7.34, 0.65: 24.46, 0.6: 66.44}
    return [r for tau, fr in TABLE_3_CIFAR_10.items()
            for r in repeated([fr + s for s in spread], pr=printed[tau], tau=tau, **given)]  # fmt: skip


def test_the_rates_of_another_network_neither_prove_nor_refute_the_papers():
    for before, yes, no in ((130.02, "holds here", "does not hold here"),
                            (127.6, "other network: agrees", "other network: disagrees")):  # fmt: skip
        far = [r for tau in TABLE_3_CIFAR_10 for r in repeated([5.0, 5.0, 5.0], tau=tau, before=before)]
        assert claim("printed shares", prunings=far).verdict == no
        row = claim("printed shares", prunings=at_the_papers_rates(0, 0, 0, before=before))
        assert row.verdict == yes
        assert "8 of 8" in row.here


def test_rates_in_a_wide_interval_decide_nothing():
    row = claim("printed shares", prunings=at_the_papers_rates(-4, 0, 4))
    assert row.verdict == "undecided"
    assert "4 of 8 within our interval or close (4 undecided)" in row.here
    other = claim("printed shares", prunings=at_the_papers_rates(-4, 0, 4, before=127.6))
    assert other.verdict == "other network: undecided"


def test_the_headline_needs_seventy_epochs():
    short = [pruned(d, 50.0, tuned=93.0, epochs=1, tau=0.65) for d in range(3)]
    found = claim("half of ResNet-56", prunings=short, baselines=[baseline()])
    assert found.verdict == "cannot be tested with this run's records: needs 70 epochs of fine-tuning"
    for top1, verdict in ((93.0, "holds here"), (91.0, "does not hold here")):
        whole = [pruned(d, 50.0, tuned=top1 + 0.1 * d, tau=0.65) for d in range(3)]
        assert claim("half of ResNet-56", prunings=whole, baselines=[baseline()]).verdict == verdict
    few = [pruned(d, 50.0, tuned=93.0, tau=0.65) for d in range(2)]
    assert claim("half of ResNet-56", prunings=few, baselines=[baseline()]).verdict == "undecided"
    for top1, verdict in ((93.0, "other network: agrees"), (91.0, "other network: disagrees")):
        other = [pruned(d, 50.0, tuned=top1, tau=0.65, before=127.6) for d in range(3)]
        assert claim("half of ResNet-56", prunings=other, baselines=[baseline()]).verdict == verdict


@pytest.mark.parametrize(
    ("fr", "verdict"), [([50.0] * 3, "holds here"), ([60.0] * 3, "holds here"), ([40.0] * 3, "does not hold here"),
                        ([45.0, 50.0, 55.0], "undecided")]
)  # fmt: skip
def test_the_headline_needs_its_rate_as_well(fr, verdict):
    kept = [pruned(d, rate, tuned=93.0, tau=0.65) for d, rate in enumerate(fr)]
    assert claim("half of ResNet-56", prunings=kept, baselines=[baseline()]).verdict == verdict


def test_rates_fall_if_they_do_within_each_repetition():
    assert claim("fall as more", sample_sizes=sizes(0.01, {})).verdict == "other data: holds here"
    assert claim("fall as more", sample_sizes=sizes(-0.01, {})).verdict == "other data: the opposite holds here"
    assert "-1.75" in claim("fall as more", sample_sizes=sizes(0.01, {})).here


def test_100_images_are_best_if_they_beat_the_fewest_and_the_most():
    words = "other data, not fine-tuned: "
    assert claim("near 100", sample_sizes=sizes(0, {100: 62.0})).verdict == words + "holds here"
    assert claim("near 100", sample_sizes=sizes(0, {100: 62.0, 200: 64.0})).verdict.startswith(words + "mixed")
    # 25 images remove 0.75 points more than 100, which remove 1 point more than 200.
    assert claim("near 100", sample_sizes=sizes(0.01, {100: 62.0})).verdict == words + "unequal cost"


def test_a_learning_rate_near_the_best_is_as_good_as_the_best():
    def at(rates: dict[float, float], draws: int = 3) -> list[Record]:
        return [pruned(d, tuned=top1 + d, lr=lr, epochs=2) for d in range(draws) for lr, top1 in rates.items()]

    words = "other data, other schedule: "
    row = claim("0.01 gives", learning_rates=at({0.1: 70.0, 0.01: 80.0, 0.001: 79.0}))
    assert row.verdict == words + "holds here"
    assert "2 of 70 epochs, against the best other rate (chosen with the test split)" in row.here
    assert claim("0.01 gives", learning_rates=at({0.01: 80.0, 0.001: 80.4})).verdict == words + "holds here"
    assert claim("0.01 gives", learning_rates=at({0.01: 80.0, 0.001: 80.6})).verdict == words + "does not hold here"
    assert claim("0.01 gives", learning_rates=at({0.01: 80.0, 0.1: 70.0}, draws=1)).verdict == words + "undecided"


def layer(entropy: list[float], agreements: list[list[int]], base: Any = None) -> Record:
    result = {"layer": "conv1", "filters": len(entropy), "bits": 10, "agreements": agreements, "entropy": entropy}
    return record("layer", {"baseline": base or network("vgg16", "cifar100")}, result)


def test_orthogonal_is_a_rank_correlation_that_is_surely_small():
    n = 200
    generator = np.random.default_rng(0)
    noise = [generator.integers(5, 9, n - 1 - i).tolist() for i in range(n)]
    assert claim("orthogonal", layers=[layer(generator.random(n).tolist(), noise)]).verdict == "holds here"
    nested = [[9 if i + j < n else 1 for j in range(i + 1, n)] for i in range(n)]  # filter 0 is like all, the last like none
    assert claim("orthogonal", layers=[layer([float(i) for i in range(n)], nested)]).verdict == "does not hold here"
    other = layer(generator.random(n).tolist(), noise, network())
    assert claim("orthogonal", layers=[other], baselines=[baseline()]).verdict == "other network, other data: holds here"


def test_degree_and_entropy_are_correlated_at_the_thresholds_that_are_drawn():
    noise = [np.random.default_rng(0).integers(5, 9, 19 - i).tolist() for i in range(20)]
    one = layer([float(i) for i in range(20)], noise)
    assert all(f"tau {tau}:" in claim("orthogonal", layers=[one]).here for tau in (0.6, 0.65, 0.7))
    drawn = claim("orthogonal", layers=[one], prunings=[pruned(tau=tau) for tau in (0.9, 0.55, 0.8, 0.75)]).here
    assert all((f"tau {tau}:" in drawn) == (tau in (0.55, 0.75, 0.8)) for tau in (0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.9))


def test_filters_of_nearly_one_degree_leave_orthogonality_open():
    def all_apart_but(joined: int) -> Record:
        """Twelve filters in a row, of which the first so many are joined with all before them."""
        apart = [[9 if j < joined else 0 for j in range(i + 1, 12)] for i in range(12)]
        return layer([float(i) for i in range(12)], apart)

    row = claim("orthogonal", layers=[all_apart_but(5)])
    assert row.verdict == "undecided: nearly all filters have one degree"
    assert "7 of 12 filters have degree 0" in row.here
    assert "undecided: nearly" not in claim("orthogonal", layers=[all_apart_but(6)]).verdict


def look(slope: float, control: float, base: Any = None) -> Record:
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
    return record("importance", {"baseline": base or network()}, layers)


def test_importance_has_to_beat_the_control_in_most_layers():
    as_strong = "does not hold here: as strong with another image's Grad-CAM"
    stronger = "does not hold here: stronger with another image's Grad-CAM"
    cases = {(1.0, 0.0): "holds here", (1.0, 1.0): as_strong, (0.2, 1.0): stronger, (0.0, 0.0): "undecided",
             (-1.0, 0.0): "the opposite holds here", (-1.0, -1.0): as_strong, (-0.2, -1.0): stronger}  # fmt: skip
    assert {slopes: claim("Grad-CAM", importance=[look(*slopes)]).verdict for slopes in cases} == cases


def test_networks_of_one_name_on_two_datasets_are_two_cases():
    both = [look(1.0, 0.0), look(-1.0, 0.0, network(dataset="cifar100"))]
    verdict = "mixed: holds here (cifar10, resnet56); other data: the opposite holds here (cifar100, resnet56)"
    assert claim("Grad-CAM", importance=both).verdict == verdict


def test_layers_of_one_network_are_no_repetitions():
    here = claim("Grad-CAM", importance=[look(1.0, 0.0)]).here
    assert "(12 layers of one network, not independent)" in here
    assert "±" not in here
    assert " to " not in here  # no interval of r


def test_seconds_are_shown_with_the_machine_and_only_their_order_is_judged():
    records = [timed("vgg16", 20.0), timed("resnet56", 10.0)]
    row = claim("A decision takes", criterion=records)
    assert (row.verdict, "some processor" in row.here) == ("other machine", True)
    slow = [*records, timed("densenet40", 30.0)]
    assert claim("VGG-16 takes longest", criterion=records).verdict == "other machine: agrees"
    row = claim("VGG-16 takes longest", criterion=slow)
    assert (row.verdict, row.here[:25]) == ("other machine: disagrees", "DenseNet-40 takes longest")
    card = {"accelerator": "NVIDIA GeForce RTX 3090"}
    same = [timed("vgg16", 20.0, card), timed("resnet56", 10.0, card)]
    assert claim("VGG-16 takes longest", criterion=same).verdict == "holds here"
    assert claim("VGG-16 takes longest", criterion=[*same, timed("densenet40", 30.0, card)]).verdict == "does not hold here"


def caption(*records: Record) -> str:
    return kcore_claims.shown_claims(kcore_claims.claims(prunings=list(records))).caption


def test_the_caption_says_what_the_intervals_are_over_and_that_the_comparisons_are_many():
    other = pruned(base=network("resnet20"), tau=0.6)
    one = caption(*repeated([50.0] * 2), other)
    assert "One trained network per architecture: intervals are over draws of images, not over trainings." in one
    assert one.endswith("No correction for the number of comparisons: of twenty true nulls, one would separate by chance.")
    orders = [pruned(seed, tuned=90.0, epochs=1, seed=seed) for seed in range(2)]
    assert "over draws of images and orders of batches, not over trainings" in caption(*orders)
    trained = [pruned(base={**network(), "weights": None, "fit": {"epochs": 2, "seed": seed}}) for seed in range(2)]
    assert "Several trained networks per architecture: intervals are over trainings." in caption(*trained)
    both = caption(*trained, other)
    assert "One trained network of resnet20 on CIFAR-10: intervals are over draws" in both
    assert "Several trained networks of resnet56 on CIFAR-10: intervals are over trainings." in both
    assert "trained network" not in caption()
