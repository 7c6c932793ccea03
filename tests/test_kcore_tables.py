import math
from itertools import combinations, product
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from prunebook.errors import BadValue
from prunebook.report import kcore_figures as figures
from prunebook.report import kcore_tables as compared
from prunebook.report import tables
from prunebook.report.kcore_tables import Measured, Values
from prunebook.studies.kcore import SELECTIONS, VARIANTS
from prunebook.trials import Record, Trial

CPU = {"processor": "some processor", "threads": 1}
TABLE_3_CIFAR_10 = {0.75: 16.20, 0.7: 24.93, 0.65: 50.10, 0.6: 78.91}


def record(task: str, params: dict[str, Any], result: dict[str, Any], hardware: Any = None, **times: float) -> Record:
    trial = Trial(task, params)
    filled = trial.parameters.model_dump(mode="json")
    return Record(task, 1, trial.key, filled, result, times, {"hardware": hardware or CPU})


def network(arch: str = "resnet56", dataset: str = "cifar10", **options: Any) -> dict[str, Any]:
    return {"arch": arch, "dataset": dataset, "options": options, "weights": "some.pt"}


def baseline(macs: float = 130.02, params: float = 0.88, top1: float = 93.0, **given: Any) -> Record:
    cost = {counter: [int(macs * 1e6), int(params * 1e6)] for counter in ("macs", "thop")}
    return record("baseline", network(**given), {"cost": cost, "test": {"top1": top1}})


def pruned(
    draw: int = 0, fr: float = 50.0, pr: float = 25.0, top1: float = 60.0, tuned: float | None = None, epochs: int = 70,
    lr: float = 0.01, before: float = 130.02, base: dict[str, Any] | None = None, result: dict[str, Any] | None = None,
    plan: float = 2.0, **chosen: Any,
) -> Record:  # fmt: skip
    params = {"baseline": base or network(), "draw": draw, "tau": None if "target" in chosen else 0.7, **chosen}
    test = {"pruned": {"top1": 10.0}, "recalibrated": {"top1": top1}}
    if tuned is not None:
        params["finetune"] = {"epochs": epochs, "lr": lr}
        test["finetuned"] = {"top1": tuned}
    one = {"before": [int(before * 1e6), 1], "fr": fr, "pr": pr}
    found = {"cost": {"macs": one, "thop": one}, "test": test, "keep": {}, **(result or {})}
    return record("prune", params, found, plan=plan)


def repeated(values: list[float], **given: Any) -> list[Record]:
    return [pruned(draw, fr=value, **given) for draw, value in enumerate(values)]


def own_rows(n: int, **records: Any) -> pd.DataFrame:
    found = compared.table(n, **records)
    return found[found.source == "this paper"]


def at_065(**records: Any) -> pd.Series:
    rows = own_rows(3, **records)
    return rows[(rows.dataset == "CIFAR-10") & (rows.tau == "0.65")].iloc[0]


RULES = [  # metric, the paper's number, ours, contradicted, verdict
    ("pr", "—", Measured(Values([1.0])), False, ""),
    ("fr", "50", Measured(Values([50, 50, 50])), True, "the paper contradicts itself"),
    ("fr", "50", Measured(), False, "cannot be tested here"),
    ("top1_drop", "0.5", Measured(cut=True), False, "not fine-tuned here"),
    ("fr", "50", Measured(cut=True), False, "cannot be tested here"),
    ("fr", "50", Measured(Values([50, 50, 50]), data="CIFAR-10"), False, "other data: CIFAR-10"),
    ("pruning_time", "16", Measured(Values([16.0] * 3), machine="some processor"), False, "other machine"),
    ("pruning_time", "16", Measured(Values([16.0] * 3), machine="NVIDIA GeForce RTX 3090"), False, "within our interval"),
    ("top1_drop", "0.5", Measured(Values([0.5] * 3), epochs=1), False, "other schedule: 1 of 70 epochs"),
    ("top1_drop", "0.5", Measured(Values([0.5] * 3), epochs=70), False, "within our interval"),
    ("top1", "93.48", Measured(Values([93.48] * 3), epochs=70), False, "other schedule: 70 of 200 epochs"),
    ("fr", "50", Measured(Values([50.0] * 3), epochs=1), False, "within our interval"),
    ("macs", "130.02", Measured(Values([130.0249])), False, "as printed"),
    ("macs", "130.02", Measured(Values([130.0251])), False, "ours is higher"),
    ("macs", "4.13E3", Measured(Values([4134.9])), False, "as printed"),
    ("macs", "4.13E3", Measured(Values([4124.0])), False, "ours is lower"),
    ("fr", "50", Measured(Values([50.0])), False, "no spread (1 of 3 repetitions)"),
    ("fr", "50", Measured(Values([49.9, 50.1])), False, "no spread (2 of 3 repetitions)"),
    ("fr", "50", Measured(Values([47.0, 48.0, 49.0])), False, "within our interval"),
    ("fr", "50", Measured(Values([48.1, 48.0, 48.2])), False, "close"),
    ("fr", "50", Measured(Values([47.9, 47.8, 48.0])), False, "ours is lower"),
    ("fr", "50", Measured(Values([53.0, 53.1, 53.2])), False, "ours is higher"),
    ("top1_drop", "-0.03", Measured(Values([0.40, 0.41, 0.42]), epochs=70), False, "close"),
    ("top1_drop", "-0.03", Measured(Values([0.60, 0.61, 0.62]), epochs=70), False, "opposite sign"),
    ("top1_drop", "0.03", Measured(Values([0.60, 0.61, 0.62]), epochs=70), False, "ours is higher"),
    ("fr", "50", Measured(Values([50.0] * 3), macs=0.011), False, "other network: within our interval"),
    ("fr", "50", Measured(Values([50.0] * 3), macs=0.009), False, "within our interval"),
    ("fr", "50", Measured(Values([60.0]), macs=0.011), False, "other network: no spread (1 of 3 repetitions)"),
    ("fr", "50", Measured(Values([50.0] * 3), macs=0.5, data="MNIST"), False, "other data: MNIST"),
]


@pytest.mark.parametrize(("metric", "printed", "ours", "contradicted", "words"), RULES)
def test_the_verdict_is_the_first_rule_that_applies(metric, printed, ours, contradicted, words):
    theirs = math.nan if printed == "—" else float(printed)
    assert compared.judge(metric, theirs, printed, ours, contradicted) == words


def test_every_verdict_of_the_legend_occurs_and_no_other():
    words = [rule[-1] for rule in RULES if rule[-1]]
    assert all(any(word.startswith(name) for word in words) for name in compared.VERDICTS)
    assert all(any(word.startswith(name) for name in compared.VERDICTS) for word in words)
    assert compared.legend(compared.VERDICTS, ["close", "other network: close"]) == [
        f"**{name}**: {compared.VERDICTS[name]}." for name in ("close", "other network")
    ]


@pytest.mark.parametrize("n", range(1, 9))
def test_a_table_has_every_printed_row_in_its_order_and_every_number(n):
    paper = tables.reported("kcore")
    paper = paper[paper.table == n]
    found = compared.table(n)
    rows = paper.drop_duplicates(["row", "model"])
    assert found[["dataset", "model", "method"]].values.tolist() == rows[["dataset", "model", "method"]].values.tolist()
    for metric, cells in paper.groupby("metric"):
        printed = [text for text in found[f"{compared.TITLES[metric][0]} paper"] if text]
        assert printed == cells.printed.tolist()


def test_rows_of_others_are_marked_and_never_compared():
    found = compared.table(3, repeated([50.0] * 3, tau=0.65), [baseline()])
    others = found[found.source != "this paper"]
    assert others.iloc[0].source == "as this paper prints it, [6]"
    assert (others[[c for c in found if c.endswith(("ours", "verdict", "difference"))]] == "").all(axis=None)


def test_ours_stand_beside_the_papers_with_interval_number_and_difference():
    row = at_065(prunings=repeated([49.0, 50.0, 51.0], tau=0.65), baselines=[baseline()])
    assert row["FR ours"] == "50.00\u00a0±\u00a02.48\u00a0(3)"
    assert (row["FR paper"], row["FR difference"], row["FR verdict"]) == ("50.10", "-0.10", "within our interval")
    assert (row["drop ours"], row["drop verdict"]) == ("—", "not fine-tuned here")


@pytest.mark.parametrize(
    "other",
    [{"hash": "imagehash"}, {"edge": ">"}, {"mode": "train"}, {"bins": 16}, {"pooling": "image"}, {"range": "layer"},
     {"augment": True}, {"score": "random"}, {"scope": "layer"}, {"images": 50}, {"base": network(width=0.5)},
     {"base": network("resnet20")}, {"base": network(dataset="cifar100")}, {"tau": 0.66}],
    ids=str,
)  # fmt: skip
def test_only_the_reading_of_this_book_stands_beside_the_paper(other):
    right = repeated([49.0, 50.0, 51.0], tau=0.65)
    wrong = repeated([90.0, 90.0, 90.0], **{"tau": 0.65, **other})
    assert at_065(prunings=right + wrong)["FR ours"] == "50.00\u00a0±\u00a02.48\u00a0(3)"
    assert at_065(prunings=wrong)["FR ours"] == "—"


def test_one_pruning_that_was_recorded_twice_counts_once():
    twice = repeated([49.0, 50.0, 51.0], tau=0.65) + repeated([49.0, 50.0, 51.0], tau=0.65, tuned=90.0, epochs=1)
    assert at_065(prunings=twice)["FR ours"] == "50.00\u00a0±\u00a02.48\u00a0(3)"


def test_the_longest_fine_tuning_counts_and_another_length_is_named():
    short = [pruned(draw, 50.0, tuned=80.0, epochs=1, tau=0.65) for draw in range(3)]
    row = at_065(prunings=short, baselines=[baseline(top1=93.0)])
    assert (row["drop ours"], row["drop verdict"]) == (
        "13.00\u00a0±\u00a00.00\u00a0(3)", "other schedule: 1 of 70 epochs",
    )  # fmt: skip
    whole = [pruned(draw, 50.0, tuned=93.0 + 0.1 * draw, epochs=70, tau=0.65) for draw in range(3)]
    row = at_065(prunings=short + whole, baselines=[baseline(top1=93.0)])
    assert (row["drop ours"], row["drop verdict"]) == ("-0.10\u00a0±\u00a00.25\u00a0(3)", "within our interval")


def test_another_network_is_told_by_its_macs():
    row = at_065(prunings=repeated([49.0, 50.0, 51.0], tau=0.65, before=127.6))
    assert row["FR verdict"] == "other network: within our interval"


def timed(arch: str = "vgg16", seconds: float = 10.0, hardware: Any = None, **params: Any) -> Record:
    return record("criterion", {"arch": arch, **params}, {}, hardware, plan=seconds)


def test_table_1_has_networks_as_counted_and_seconds_of_like_networks():
    rows = own_rows(1, baselines=[baseline(top1=93.4)], criterion=[timed(), timed("resnet56", 20, num_classes=100)])
    rows = rows.set_index(["dataset", "model"])
    row = rows.loc[("CIFAR-10", "ResNet-56")]
    assert (row["MACs verdict"], row["params verdict"]) == ("as printed", "as printed")
    assert (row["top-1 ours"], row["top-1 verdict"]) == ("93.40\u00a0(1)", "no spread (1 of 3 repetitions)")
    assert row["time verdict"] == "cannot be tested here"  # that one had 100 classes
    assert rows.loc[("CIFAR-100", "ResNet-56")]["time ours"] == "20.00\u00a0(1)"
    assert rows.loc[("CIFAR-10", "VGG-16")]["time verdict"] == "other machine"
    assert rows.loc[("ImageNet", "ResNet-50")]["top-5 verdict"] == "cannot be tested here"


def test_a_time_on_the_papers_card_is_compared():
    card = {**CPU, "accelerator": "NVIDIA GeForce RTX 3090"}
    row = own_rows(1, criterion=[timed(seconds=400.0, hardware=card)]).iloc[0]
    assert row["time verdict"] == "no spread (1 of 3 repetitions)"


def test_table_7_takes_our_nearest_rate_adds_nothing_and_judges_nothing():
    records = repeated([50.0] * 3, tau=0.65, plan=7.0) + repeated([75.0] * 3, tau=0.6, plan=9.0)
    row = own_rows(7, prunings=records).iloc[0]
    assert row["FR ours"].endswith("tau 0.65")
    assert (row["time ours"], row["epochs ours"], row["total ours"]) == ("7.00\u00a0±\u00a00.00\u00a0(3)", "0", "no sum")
    assert {row[c] for c in row.index if c.endswith("verdict")} == {"the paper contradicts itself"}


def test_table_8_shows_other_data_without_comparing_it():
    other = [pruned(draw, 26.0, images=25) for draw in range(3)]
    rows = own_rows(8, sample_sizes=other).set_index(["sample size", "model"])
    row = rows.loc[("25", "ResNet-56")]
    assert (row["FR ours"], row["FR verdict"]) == ("26.00\u00a0±\u00a00.00\u00a0(3)", "other data: CIFAR-10")
    assert rows.loc[("50", "ResNet-56")]["FR verdict"] == "cannot be tested here"
    same = [pruned(draw, 48.0, images=25, base=network(dataset="cifar100")) for draw in range(3)]
    row = own_rows(8, sample_sizes=other + same).set_index(["sample size", "model"]).loc[("25", "ResNet-56")]
    assert (row["FR ours"], row["FR verdict"]) == ("48.00\u00a0±\u00a00.00\u00a0(3)", "close")


@pytest.mark.parametrize("n", [0, 9])
def test_a_table_that_the_paper_has_not_is_refused(n):
    with pytest.raises(BadValue, match="tables 1 to 8"):
        compared.table(n)


def test_a_table_for_a_page_names_alike_verdicts_once():
    found = compared.table(3, repeated([49.0, 50.0, 51.0], tau=0.65), [baseline()])
    page = compared.shown(3, found)
    row = page.data[page.data["", "tau"] == "0.65"].iloc[0]
    assert row["", "verdict"] == "drop: not fine-tuned here<br>FR: within our interval<br>PR: close"
    assert row["FR, %", "here"] == "50.00\u00a0±\u00a02.48\u00a0(3)<br>-0.10"
    assert page.caption == "The paper's Table 3, ResNet-56."
    assert "Hrank [6]" in page.to_html()


# Claims


def claim(words: str, **records: Any) -> pd.Series:
    found = compared.claims(**records)
    chosen = found[found.claim.str.contains(words, regex=False)]
    assert len(chosen) == 1
    return chosen.iloc[0]


def chosen_by(name: str, top1: list[float], fr: list[float] | None = None, **given: Any) -> list[Record]:
    rates = fr or [26.0] * len(top1)
    return [
        pruned(draw, rate, top1=value, **SELECTIONS[name], **given)
        for draw, (value, rate) in enumerate(zip(top1, rates, strict=True))
    ]


def test_without_records_no_claim_is_tested():
    found = compared.claims()
    alone = found.verdict == "the paper contradicts itself"
    assert (found[~alone].verdict == "cannot be tested with this run's records").all()
    assert alone.sum() == 1
    assert len(found) >= 12


def test_records_of_another_name_are_refused():
    with pytest.raises(BadValue, match="did you mean 'selections'"):
        compared.claims(selection=[])


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


def sizes(slope: float, top1: dict[int, float]) -> list[Record]:
    return [
        pruned(d, fr=50 + d - slope * n, pr=20 + d - slope * n, top1=top1.get(n, 60.0) + d, images=n)
        for d, n in product(range(3), (25, 50, 100, 200))
    ]


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


# Scores at a target


def at_target(score: str, top1: list[float], **given: Any) -> list[Record]:
    base = network("resnet20")
    return [pruned(d, 50.0, top1=v, target=0.5, score=score, base=base, **given) for d, v in enumerate(top1)]


ENTROPY = [40.0, 60.0, 50.0, 55.0]


def test_scores_are_compared_pair_by_pair():
    l1, random = [39.0, 58.8, 49.1, 53.9], [45.0, 59.0, 51.0, 54.0]
    found = compared.scores_at_target(
        at_target("l1", l1)[::-1] + at_target("entropy", ENTROPY) + at_target("random", random)
    )
    rows = found[found.moment == "batch norm recalibrated"].set_index("score")
    assert list(rows.index) == ["entropy", "l1", "random"]
    assert rows.loc["l1", "minus entropy"] == pytest.approx(np.subtract(l1, ENTROPY))
    assert rows["separates?"].tolist() == ["—", "yes", "no"]
    assert str(rows.loc["l1", "minus entropy"]) == str(tables.interval(np.subtract(l1, ENTROPY)))
    reference = stats.ttest_rel(l1, ENTROPY).pvalue
    assert compared.p_value(rows.loc["l1", "minus entropy"]) == pytest.approx(reference)
    assert "fine-tuned" not in set(found.moment)


def test_holm_multiplies_the_smallest_p_by_the_number_of_comparisons():
    assert compared.holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": math.nan}) == pytest.approx(
        {"a": 0.03, "c": 0.06, "b": 0.06}
    )
    assert compared.holm({"a": 0.6, "b": 0.7}) == {"a": 1.0, "b": 1.0}


def test_what_separates_alone_need_not_after_holm():
    gaps = [1.0, 2.2, 0.6, 1.6]
    assert 0.05 / 3 < stats.ttest_1samp(gaps, 0).pvalue < 0.05
    worse = {score: [v - g for v, g in zip(ENTROPY, gaps, strict=True)] for score in ("l1", "degree", "random")}
    records = at_target("entropy", ENTROPY) + [r for score, values in worse.items() for r in at_target(score, values)]
    rows = compared.scores_at_target(records).query("moment == 'batch norm recalibrated' and score != 'entropy'")
    assert set(rows["separates?"]) == {"yes"}
    assert set(rows["after Holm"]) == {"no"}


def test_two_pairs_separate_nothing_and_equal_ones_do_not():
    assert math.isnan(compared.p_value([1.0, 1.0]))
    assert compared.p_value([0.0] * 3) == 1.0
    assert compared.p_value([2.0] * 3) == 0.0


def test_without_targets_there_are_no_scores_to_compare():
    assert compared.scores_at_target(repeated([50.0] * 3)).empty
    assert compared.scores_at_target([]).empty


# Agreement


def test_the_jaccard_index_counts_filters_of_all_layers():
    assert compared.jaccard({"a": "1100", "b": "1"}, {"a": "1010", "b": "1"}) == pytest.approx(2 / 4)
    with pytest.raises(BadValue, match="layers"):
        compared.jaccard({"a": "1"}, {"b": "1"})


def test_chance_is_the_mean_over_all_choices_with_as_many_filters():
    first, second = {"a": "1100", "b": "110"}, {"a": "1000", "b": "011"}

    def choices(n: int, k: int) -> list[str]:
        return ["".join("01"[i in kept] for i in range(n)) for kept in combinations(range(n), k)]

    every = [
        compared.jaccard({"a": a, "b": b}, {"a": c, "b": d})
        for a, b, c, d in product(choices(4, 2), choices(3, 2), choices(4, 1), choices(3, 2))
    ]
    assert compared.by_chance(first, second) == pytest.approx(np.mean(every))


@pytest.mark.parametrize("name", VARIANTS)
def test_a_record_is_known_by_its_reading(name):
    assert compared.variant(pruned(target=0.5, **VARIANTS[name])) == name


def test_a_record_of_no_listed_reading_has_no_name():
    assert compared.variant(pruned(target=0.5, bins=64)) == ""
    assert compared.variant(pruned(target=0.5, scope="layer")) == ""


def read(keeps: list[str], top1: list[float], found: float = 0.6, **variant: Any) -> list[Record]:
    return [
        pruned(d, 50.0, top1=value, target=0.5, result={"keep": {"a": keep}, "found": {"tau": found}}, **variant)
        for d, (keep, value) in enumerate(zip(keeps, top1, strict=True))
    ]


def test_readings_are_compared_at_the_same_draw_and_this_books_between_draws():
    base = read(["1100", "0110", "0011"], [50.0, 60.0, 70.0])
    other = read(["1100", "0110", "0101"], [51.0, 62.0, 73.0], found=0.7, bins=16)
    table = compared.agreement(other[::-1] + base).set_index("reading")
    assert table.loc["as in this book", "Jaccard"] == pytest.approx([(1 / 3 + 0 + 1 / 3) / 3])
    assert table.loc["entropy: 16 bins", "Jaccard"] == pytest.approx((1.0, 1.0, 1 / 3)[::-1])
    assert table.loc["entropy: 16 bins", "minus base"] == pytest.approx((1.0, 2.0, 3.0))
    assert table.loc["entropy: 16 bins", "by chance"] == pytest.approx([(1 * 1 + 4 / 3) / 6])  # 1 of 6 alike, 4 share one
    assert table.loc["entropy: 16 bins", "tau"] == "0.700"
    assert table.loc["as in this book", "minus base"] == ()


def test_a_reading_of_other_draws_only_has_nothing_to_be_compared_with():
    base = read(["1100"], [50.0])
    other = read(["1100", "0110"], [51.0, 62.0], bins=16)[1:]
    assert compared.agreement(base + other).set_index("reading").loc["entropy: 16 bins", "Jaccard"] == ()


def test_the_reading_to_compare_with_is_one_of_the_list():
    with pytest.raises(BadValue, match="base"):
        compared.agreement([], base="as in the paper")
    assert compared.agreement([]).empty


# Figures


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


def marks(ax: Any) -> int:
    """The solid marks of an axis: one for each mean that it shows."""
    return len(ax.containers)


def test_the_halves_have_a_mean_for_each_tau_and_half():
    records = [pruned(d, tau=tau, score=s) for d in range(3) for tau in (0.65, 0.7) for s in ("entropy", "low-entropy")]
    (ax,) = figures.halves(tables.prunings(records)).axes
    assert marks(ax) == 4
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["highest entropy kept", "lowest entropy kept"]
    assert "not fine-tuned" in ax.get_title()


def test_efficiency_shows_the_papers_methods_and_ours_only_where_fine_tuned():
    paper = tables.reported("kcore")
    cut = figures.efficiency(tables.prunings(repeated([50.0] * 3), [baseline()]), paper)
    assert len(cut.axes[0].collections) == 8
    assert "nothing was fine-tuned here" in cut.axes[0].get_title()
    tuned = [pruned(d, 50.0, tuned=92.0, epochs=1) for d in range(3)]
    fig = figures.efficiency(tables.prunings(tuned, [baseline(top1=93.0)]), paper)
    ours = [line.get_xydata().tolist() for line in fig.axes[0].lines if line.get_marker() == "X"]
    assert ours == [[[50.0, 1.0]]]
    assert fig.legends[0].get_texts()[1].get_text() == "here, after 1 of 70 epochs"


def test_selections_have_a_row_each_and_a_panel_for_each_measure():
    records = [r for name in SELECTIONS for r in chosen_by(name, [60.0, 61.0, 62.0])]
    axes = figures.selections(tables.prunings(records)).axes
    assert [marks(ax) for ax in axes] == [4, 4, 4]
    assert [label.get_text() for label in axes[0].get_yticklabels()] == list(SELECTIONS)


def test_sample_sizes_have_the_papers_line_beside_ours():
    axes = figures.sample_sizes(tables.prunings(sizes(0.01, {})), tables.reported("kcore")).axes
    dashed = [line for line in axes[0].lines if line.get_linestyle() == "--"]
    assert dashed[0].get_ydata()[0] == 48.23
    assert [marks(ax) for ax in axes] == [4, 4, 4]


def test_learning_rates_have_a_line_each_over_the_epochs():
    history = [{"epoch": e, "test_top1": 80.0 + e} for e in (1, 2)]
    records = [pruned(tuned=82.0, epochs=2, lr=lr, result={"history": history}) for lr in (0.1, 0.01)]
    (ax,) = figures.learning_rates(records).axes
    assert [line.get_label() for line in ax.lines] == ["0.1", "0.01"]
    assert ax.lines[0].get_xydata().tolist() == [[1, 81], [2, 82]]


def test_scores_have_a_panel_for_each_moment_that_was_measured():
    records = at_target("entropy", ENTROPY) + at_target("l1", ENTROPY)
    assert len(figures.scores_at_target(tables.prunings(records)).axes) == 2
    tuned = records + at_target("entropy", ENTROPY, tuned=80.0, epochs=2)
    axes = figures.scores_at_target(tables.prunings(tuned)).axes
    assert [marks(ax) for ax in axes] == [2, 2, 1]
    assert axes[2].get_title() == "fine-tuned, epochs: 2"


def test_agreement_has_a_row_for_each_other_reading_and_a_line_for_noise():
    table = compared.agreement(read(["1100", "0110"], [50.0, 60.0]) + read(["1100", "0110"], [51.0, 62.0], bins=16))
    (ax,) = figures.agreement(table).axes
    assert [label.get_text() for label in ax.get_yticklabels()] == ["entropy: 16 bins"]
    assert [line.get_xdata()[0] for line in ax.lines if line.get_linestyle() == "--"] == [pytest.approx(1 / 3)]
