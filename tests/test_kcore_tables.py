import math
from typing import Any

import pandas as pd
import pytest
from kcore_records import CPU, baseline, network, pruned, repeated, timed

from prunebook.errors import BadValue
from prunebook.report import kcore_tables as compared
from prunebook.report import tables
from prunebook.report.kcore_tables import Measured
from prunebook.report.tables import Values


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
    ("fr", "50", Measured(Values([47.0, 48.0, 49.0])), False, "within our interval (wide)"),  # 48 ± 2.48
    ("fr", "50", Measured(Values([49.0, 49.5, 50.0])), False, "within our interval"),  # 49.5 ± 1.24
    ("top1_drop", "0.5", Measured(Values([0.2, 0.5, 0.8]), epochs=70), False, "within our interval (wide)"),
    ("fr", "10", Measured(Values([11.0, 11.0, 11.0])), False, "close"),
    ("fr", "10", Measured(Values([11.1, 11.1, 11.1])), False, "ours is higher"),
    ("pr", "2.68", Measured(Values([2.9, 2.9, 2.9])), False, "close"),
    ("pr", "2.68", Measured(Values([3.0, 3.0, 3.0])), False, "ours is higher"),
    ("pr", "2.68", Measured(Values([2.4, 2.7, 3.0])), False, "within our interval (wide)"),
    ("pr", "1", Measured(Values([1.2, 1.2, 1.2])), False, "close"),
    ("pr", "1", Measured(Values([0.7, 0.7, 0.7])), False, "ours is lower"),
    ("pruning_time", "16", Measured(Values([10.0, 20.0, 15.0]), machine="RTX 3090"), False, "within our interval"),
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


def test_a_word_inside_a_longer_one_is_not_in_the_legend():
    words = {"holds here": "a", "the opposite holds here": "b", "mixed": "c"}
    assert compared.legend(words, ["mixed: the opposite holds here (1 of 5)"]) == [
        "**the opposite holds here**: b.",
        "**mixed**: c.",
    ]
    assert compared.legend(words, ["the opposite holds here", "holds here"])[0] == "**holds here**: a."


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
    assert len(compared.shown(n, found).data) == len(rows)


def test_rows_of_others_are_marked_and_never_compared():
    found = compared.table(3, repeated([50.0] * 3, tau=0.65), [baseline()])
    others = found[found.source != "this paper"]
    assert others.iloc[0].source == "as this paper prints it, [6]"
    assert (others[[c for c in found if c.endswith(("ours", "verdict", "difference"))]] == "").all(axis=None)


def test_ours_stand_beside_the_papers_with_interval_number_and_difference():
    row = at_065(prunings=repeated([49.5, 50.0, 50.5], tau=0.65), baselines=[baseline()])
    assert row["FR ours"] == "50.00\u00a0±\u00a01.24\u00a0(3)"
    assert (row["FR paper"], row["FR difference"], row["FR verdict"]) == ("50.10", "-0.10", "within our interval")
    assert (row["drop ours"], row["drop verdict"]) == ("—", "not fine-tuned here")


@pytest.mark.parametrize(
    "other",
    [{"hash": "imagehash"}, {"edge": ">"}, {"mode": "train"}, {"bins": 16}, {"pooling": "image"}, {"range": "layer"},
     {"augment": True}, {"coupled": "keep"}, {"score": "random"}, {"scope": "layer"}, {"images": 50},
     {"base": network(width=0.5)}, {"base": network("resnet20")}, {"base": network(dataset="cifar100")}, {"tau": 0.66}],
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
    row = at_065(prunings=repeated([49.5, 50.0, 50.5], tau=0.65, before=127.6))
    assert row["FR verdict"] == "other network: within our interval"


def test_table_1_has_accuracies_of_trained_networks_and_counts_and_seconds_of_like_ones():
    rows = own_rows(1, baselines=[baseline(top1=93.4)], criterion=[timed(), timed("resnet56", 20, num_classes=100)])
    rows = rows.set_index(["dataset", "model"])
    row = rows.loc[("CIFAR-10", "ResNet-56")]
    assert (row["top-1 ours"], row["top-1 verdict"]) == ("93.40\u00a0(1)", "no spread (1 of 3 repetitions)")
    for metric in ("MACs", "params", "time"):
        assert row[f"{metric} verdict"] == "cannot be tested here"  # that one had 100 classes
    row = rows.loc[("CIFAR-100", "ResNet-56")]
    assert row["time ours"] == "20.00\u00a0(1)"
    assert (row["MACs verdict"], row["params verdict"]) == ("ours is lower", "as printed")  # 130.02 of 130.03, and 0.88
    row = rows.loc[("CIFAR-10", "VGG-16")]
    assert (row["MACs verdict"], row["params verdict"]) == ("as printed", "as printed")
    assert row["time verdict"] == "other machine"
    assert rows.loc[("ImageNet", "ResNet-50")]["top-5 verdict"] == "cannot be tested here"


def test_a_time_on_the_papers_card_is_compared():
    card = {**CPU, "accelerator": "NVIDIA GeForce RTX 3090"}
    row = own_rows(1, criterion=[timed(seconds=400.0, hardware=card)]).iloc[0]
    assert row["time verdict"] == "no spread (1 of 3 repetitions)"


def test_table_7_takes_our_nearest_rate_adds_nothing_and_judges_nothing():
    records = repeated([50.0] * 3, tau=0.65, plan=7.0) + repeated([75.0] * 3, tau=0.6, plan=9.0)
    row = own_rows(7, prunings=records).iloc[0]
    assert row["FR ours"].endswith("tau 0.65")
    assert (row["epochs ours"], row["total ours"]) == ("0", "no sum")
    assert {row[c] for c in row.index if c.endswith("verdict")} == {"the paper contradicts itself"}
    assert {row[c] for c in row.index if c.endswith("difference")} == {""}


def test_table_7_times_a_decision_that_ran_alone():
    alone = [timed("resnet56", 21.0, num_classes=100), timed("resnet56", 20.0), timed("vgg16", 30.0)]
    assert own_rows(7, prunings=repeated([50.0] * 3, plan=7.0), criterion=alone).iloc[0]["time ours"] == "20.00\u00a0(1)"
    assert own_rows(7, prunings=repeated([50.0] * 3, plan=7.0)).iloc[0]["time ours"] == "—"
    assert own_rows(7, criterion=alone).iloc[0]["time ours"] == "20.00\u00a0(1)"


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
    found = compared.table(3, repeated([49.5, 50.0, 50.5], tau=0.65), [baseline()])
    page = compared.shown(3, found)
    row = page.data[page.data["", "tau"] == "0.65"].iloc[0]
    assert row["", "verdict"] == "drop: not fine-tuned here<br>FR: within our interval<br>PR: close"
    assert row["FR, %", "here"] == "50.00\u00a0±\u00a01.24\u00a0(3)<br>-0.10"
    assert page.caption == "The paper's Table 3, ResNet-56."
    assert "Hrank [6]" in page.to_html()
