import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sacp_records import (
    BEFORE,
    baseline,
    candidate,
    chance,
    final,
    finals,
    light,
    searched,
    unpruned,
)  # fmt: skip

from prunebook import models
from prunebook.errors import BadValue
from prunebook.methods import sacp
from prunebook.report import kcore_tables
from prunebook.report import sacp_tables as made
from prunebook.report.tables import Values
from prunebook.studies import sacp as study
from prunebook.trials import Trial

P = study.Parameters.check({"dataset": "cifar10", "sampled": 4, "searches": list(study.SEARCHES), "m": 2, "k": 1})
CASE = study.cases(P)[0]

# Names


@pytest.mark.parametrize("name", study.ENCODERS)
def test_the_studys_encoders_are_found_back_from_their_parameters(name):
    given = study.encoder(P, CASE, name)
    assert made.encoder_of(given) == name
    filled = Trial("regress" if name == study.SUPERVISED else "learn", given).parameters.model_dump(mode="json")
    assert made.encoder_of(filled) == name


@pytest.mark.parametrize("name", study.SEARCHES)
def test_the_studys_searches_are_found_back_from_their_parameters(name):
    given = study.search(P, CASE, name)
    assert made.search_of(given) == name
    assert made.search_of(Trial("search", given).parameters.model_dump(mode="json")) == name


def test_an_encoder_without_a_name_is_described():
    odd = {**study.encoder(P, CASE, "no edges"), "loss": "as-printed"}
    assert made.encoder_of(odd) == "loss as-printed, edges none"


def test_a_network_is_the_papers_if_it_has_its_layers():
    assert made.is_papers("resnet56", {"shortcut": "B"})
    assert not made.is_papers("resnet56", {})
    assert not made.is_papers("resnet18", {"width": 0.5})
    assert made.is_papers("resnet18", {"width": 1})
    assert not made.is_papers("resnet20", {})


def test_without_records_there_are_no_rows_but_the_columns():
    for frame, columns in (
        (made.built([]), made.BUILT), (made.finished([]), made.FINISHED), (made.selections([]), made.SELECTIONS),
        (made.best_of([]), made.BEST_OF), (made.ratios([]), made.RATIOS),
    ):  # fmt: skip
        assert frame.empty
        assert tuple(frame.columns) == columns
    assert made.costs([]).empty


def test_filled_tables_have_the_same_columns():
    records, tops = light("infonce", [80.0, 81.0]), finals("infonce", [85.0, 86.0])
    assert tuple(made.built(records)) == made.BUILT
    assert tuple(made.finished(tops)) == made.FINISHED
    assert tuple(made.selections(records, tops)) == made.SELECTIONS
    assert tuple(made.best_of(records, tops)) == made.BEST_OF


# Searches


def test_a_candidate_is_told_with_its_cost_and_what_it_lost():
    records = [candidate("as printed", 4, 88.0, 87.0, seed=2, fr=61.0, pr=55.0, removed=0.37)]
    row = made.built(records, [baseline(2, 92.5)]).iloc[0]
    assert (row.search, row.place, row.seed, row.tau) == ("as printed", 4, 2, 0.3)
    assert (row.FR, row.PR, row.R) == (61, 55, 37)
    assert (row["MACs, M"], row["parameters before, M"]) == (39, 1)
    assert (row["val light"], row["test light"], row["test recalibrated"]) == (88, 87, 10)
    assert (row.before, row["drop"]) == (92.5, 5.5)
    assert math.isnan(made.built(records).iloc[0]["drop"])


def test_halves_of_the_test_split_have_an_unpruned_accuracy_of_their_own():
    records = [candidate("infonce", 0, 88.0, 87.0)]
    row = made.built(records, [unpruned(0, 91.0), baseline(0, 92.5)]).iloc[0]
    assert (row.before, row["drop"]) == (91, 4)
    assert made.finished([final("infonce", 0, 89.0, 90.0)], [baseline(0, 92.5), unpruned(0, 91.0)]).iloc[0]["drop"] == 1


def test_what_is_removed_is_told_beside_chance():
    space = sacp.Space(sacp.ArchitectureGraph(models.build("resnet20", seed=0), torch.zeros(1, 3, 32, 32)))
    chance = space.ratio(space.sample(20_000, 0.3, seed=1)).numpy()
    removed = [round(float(np.quantile(chance, q)), 6) for q in (0.25, 0.5, 0.9)]
    rows = made.built([candidate("infonce", i, 88.0, 87.0, removed=share) for i, share in enumerate([0.3, *removed, 0.9])])
    assert rows["R percentile"].tolist() == pytest.approx([0, 25, 50, 90, 100], abs=2.5)


def test_without_fine_tuning_the_recalibrated_accuracy_counts():
    row = made.built([candidate("infonce", 0, 70.0, 71.0, epochs=0)]).iloc[0]
    assert (row["val light"], row["test light"], row["light"]) == (70, 71, "")
    assert row["test recalibrated"] == 71


def test_a_final_is_told_with_where_it_was_chosen_from():
    row = made.finished([final("infonce", 1, 91.0, 90.0, first=5, place=3)], [baseline(0, 92.0)]).iloc[0]
    assert (row.m, row["rank"], row.place, row.test, row["drop"]) == (5, 1, 3, 90, 2)
    assert (row.full, row.light) == ("9 epochs", "1 epoch")


def test_the_best_is_chosen_by_validation_or_by_test():
    records = light("infonce", [80.0, 83.0, 82.0], val=[70.0, 60.0, 70.0])
    row = made.selections(records).iloc[0]
    assert (row["best of m by validation"], row["best of m by test"]) == ((80.0,), (83.0,))  # the first of two alike
    assert (row.m, row.k, row["mean of m"]) == (3, 0, pytest.approx((81.666667,)))
    assert (row["winner by validation"], row["winner by test"]) == ((), ())
    chosen = finals("infonce", [90.0, 92.0], val=[91.0, 89.0], first=3) + finals("infonce", [99.0], first=2)
    row = made.selections(records, chosen).iloc[0]
    assert (row["winner by validation"], row["winner by test"], row.k) == ((90.0,), (92.0,), 2)


def two_searches(seeds: int) -> list:
    return [
        one for s in range(seeds)
        for one in (
            *light("infonce", [80.0 + s, 84.0 + s], s), *light("random", [81.0, 79.0], s, fr=60.0),
            *light("random (as costly)", [79.0, 78.0], s), *light("as printed", [70.0, 71.0], s),
        )
    ]  # fmt: skip


def test_a_winner_is_compared_with_chance_seed_by_seed():
    rows = made.selections(two_searches(2)).set_index("search")
    assert rows.loc["infonce", "minus random"] == (3.0, 4.0)
    assert rows.loc["infonce", "minus random (as costly)"] == (5.0, 6.0)
    assert rows.loc["infonce", "mean minus as costly"] == (3.5, 4.5)
    assert rows.loc["infonce", "as costly over"] == "seeds"
    assert rows.loc["infonce", "FR of the winner"] == (50.0, 50.0)
    assert rows.loc["as printed", "minus random"] == (-10.0, -10.0)
    assert rows.loc["as printed", "minus random (as costly)"] == ()  # as costly as the other search
    assert rows.loc["random", "minus random"] == ()
    assert rows.loc["random", "FR"] == (60.0, 60.0)


def test_of_one_seed_candidates_stand_beside_their_partners():
    row = made.selections(two_searches(1)).set_index("search").loc["infonce"]
    assert row["mean minus as costly"] == (1.0, 6.0)
    assert row["as costly over"] == "candidates"


def test_columns_that_no_search_fills_are_not_shown():
    rows = made.selections(two_searches(1))
    silent = {"winner by validation", "winner by test"}
    assert set(rows) - set(made.filled(rows)) == silent  # none was trained in full
    assert {"k", "minus random (as costly)"} <= set(made.filled(rows))
    assert tuple(made.filled(made.selections([]))) == made.SELECTIONS


def test_figure_2_has_the_best_of_the_first_m_and_of_the_first_k():
    rows = made.best_of(
        light("infonce", [80.0, 83.0, 82.0], val=[70.0, 60.0, 75.0])[::-1],
        finals("infonce", [90.0, 92.0], val=[91.0, 93.0]) + finals("infonce", [88.0], first=5),
    )

    def curve(stage: str, by: str, m: int | None = None) -> list[float]:
        chosen = rows[(rows.stage == stage) & (rows["chosen by"] == by)]
        return chosen[chosen.m == m].test.tolist() if m else chosen.test.tolist()

    assert curve("light", "validation") == [80, 80, 82]
    assert curve("light", "test") == [80, 83, 83]
    assert curve("full", "validation", 10) == [90, 92]
    assert curve("full", "test", 5) == [88]
    assert rows[rows.stage == "light"].m.tolist() == [1, 1, 2, 2, 3, 3]
    assert rows[rows.m == 10].k.tolist() == [1, 1, 2, 2]


def test_ratios_are_told_entry_by_entry():
    rows = made.ratios([searched("infonce", [[0, 9], [3, 4]], [0.9, 0.8]), searched("random", [[1, 2]])])
    assert rows.ratio.tolist() == pytest.approx([0, 0.9, 0.3, 0.4, 0.1, 0.2])
    assert rows.entry.tolist() == [0, 1] * 3
    assert rows.score.tolist()[:4] == [0.9, 0.9, 0.8, 0.8]
    assert rows.score[4:].isna().all()
    assert rows.search.tolist() == ["infonce"] * 4 + ["random"] * 2


# The paper's numbers


def test_the_papers_reductions_have_a_place_among_those_of_chance():
    records = [chance("vgg16", [62.23, 72.23, 82.23, 92.23, 93], [80.0, 90.0], (314_310_000, 14_730_000))]
    row = made.costs(records).iloc[0]
    assert (row["FR paper"], row["FR percentile"]) == ("82.23", pytest.approx(50))
    assert (row["PR paper"], row["PR percentile"]) == ("92.12", 100)
    assert row["FR of chance"] == "82.2 (72.2 to 92.2)"
    assert row["PR of chance"] == "85.0 (82.5 to 87.5)"
    assert (row["MACs, M, paper"], row["counts as printed?"]) == ("314.31", "yes")
    assert row["share that meets tau, %"] == 5
    assert made.costs([chance("vgg16", [70, 90], [80, 90], (314_310_000, 14_740_001))]).iloc[0]["counts as printed?"] == "no"


def test_another_network_or_tau_has_nothing_to_stand_beside():
    for record in (chance("vgg16", [70, 90], [80, 90], tau=0.5), chance("resnet56", [70, 90], [80, 90], shortcut="A")):
        row = made.costs([record]).iloc[0]
        assert row["FR paper"] == "—"
        assert math.isnan(row["FR percentile"])


def test_a_value_rounds_to_what_is_printed():
    assert made.rounds_to(314.314, "314.31")
    assert made.rounds_to(78.0, "78.30") is False
    assert made.printed(3, "ResNet-56", "GAL-0.6")["macs"] == "78.30"
    assert made.printed(3, "ResNet-18", "ATO")["params"] == ""


def test_every_printed_row_is_there_and_nothing_is_judged_without_records():
    for n, rows, ours in ((3, 16, 3), (4, 3, 1)):
        frame = made.table(n)
        assert (len(frame), frame.ours.sum()) == (rows, ours)
        assert set(frame.filter(like="verdict").to_numpy().ravel()) == {"cannot be tested here"}
    assert "MACs, M here" not in made.table(4)
    with pytest.raises(BadValue, match="table"):
        made.table(2)


def row_of(frame: pd.DataFrame, model: str, method: str) -> pd.Series:
    return frame[(frame.model == model) & (frame.method == method)].iloc[0]


def test_sacps_row_has_the_winner_trained_in_full():
    records, tops = [], []
    for s, top1 in enumerate((93.0, 93.4, 93.8)):
        given: dict[str, Any] = {"arch": "resnet18", "fr": 85.0, "pr": 92.7}
        records += light("infonce", [80.0, 81.0], s, **given) + light("random", [99.0], s, **given)
        tops += finals("infonce", [90.0, top1], s, **given)
    row = row_of(made.table(3, records, tops), "ResNet-18", "SACP")
    assert (row["top-1, % paper"], row["top-1, % here"]) == ("93.41", "93.40\u00a0±\u00a00.99 (3)")
    assert row["top-1, % verdict"] == "within our interval"
    assert (row["FR, % verdict"], row["PR, % verdict"]) == ("close", "close")
    assert row["MACs, M verdict"] == "ours is lower"
    four = made.table(4, records, tops)
    assert row_of(four, "ResNet-18", "SACP")["top-1, % verdict"] == "within our interval"
    assert row_of(four, "ResNet-18", "SACP-2")["top-1, % here"] == "81.00\u00a0±\u00a00.00 (3)"
    assert row_of(four, "ResNet-18", "SACP-2")["top-1, % verdict"] == "unequal cost: ours is lower"
    assert row_of(four, "ResNet-18", "SACP-1")["top-1, % verdict"] == "cannot be tested here"
    supervised = light("sacp-1", [85.0, 84.0], arch="resnet18", fr=91.0)
    assert row_of(made.table(4, supervised), "ResNet-18", "SACP-1")["top-1, % here"] == "85.00 (1)"
    assert row_of(made.table(4, supervised), "ResNet-18", "SACP-1")["top-1, % verdict"] == "not trained in full"


def test_what_is_not_as_in_the_paper_stands_before_the_verdict():
    records = light("infonce", [80.0], arch="resnet56", tau=0.5, shortcut="A", fr=78.0)
    row = row_of(made.table(3, records), "ResNet-56", "SACP")
    assert row["FR, % verdict"] == "other network, other tau: no spread (1 of 3 repetitions)"
    assert row["top-1, % verdict"] == "other network, other tau: not trained in full"
    narrow = light("infonce", [80.0], arch="resnet18", width=0.5)
    assert row_of(made.table(3, narrow), "ResNet-18", "SACP")["top-1, % here"] == "—"


def test_the_base_is_counted_even_where_nothing_is_trained():
    counts = (314_310_000, 14_730_000)
    row = row_of(made.table(3, chances=[chance("vgg16", [1, 2], [1, 2], counts)]), "VGG-16", "Base")
    assert (row["MACs, M verdict"], row["parameters, M verdict"]) == ("as printed", "as printed")
    assert row["top-1, % verdict"] == "cannot be tested here"
    whole = [baseline(s, 93.0 + s / 10, counts, arch="vgg16") for s in range(3)]
    row = row_of(made.table(3, before=whole), "VGG-16", "Base")
    assert (row["top-1, % here"], row["MACs, M here"]) == ("93.10\u00a0±\u00a00.25 (3)", "314.31 (1)")
    assert row["top-1, % verdict"] == "close"
    halved = [unpruned(0, 91.0, arch="vgg16"), *whole[:1]]
    assert row_of(made.table(3, before=halved), "VGG-16", "Base")["top-1, % here"] == "91.00 (1)"  # on what reports
    row = row_of(made.table(3, before=[baseline(0, 93.0, BEFORE, arch="vgg16")]), "VGG-16", "Base")
    assert row["MACs, M verdict"] == "ours is lower"


def test_each_rule_of_judging_can_come_out():
    near, wide = Values([90.0, 90.2, 90.4]), Values([80.0, 90.0, 100.0])
    assert made.judge("top1", "90.1", near) == "within our interval"
    assert made.judge("top1", "90.1", wide) == "within our interval (wide)"
    assert made.judge("top1", "91", near) == "close"
    assert made.judge("top1", "92", near) == "ours is lower"
    assert made.judge("top1", "88", near) == "ours is higher"
    assert made.judge("top1", "88", near, fr_gap=-1.1) == "unequal cost: ours is higher"
    assert made.judge("fr", "88", near, full=False, fr_gap=2.2) == "ours is higher"
    assert made.judge("top1", "88", near, full=False) == "not trained in full"
    assert made.judge("top1", "90", Values([90.0])) == "no spread (1 of 3 repetitions)"
    assert made.judge("macs", "90.20", near, counts=True) == "as printed"
    assert made.judge("macs", "91", near, counts=True) == "ours is lower"
    assert made.judge("macs", "91", near) == "close"


def test_every_word_of_a_verdict_is_explained():
    words = ("within our interval", "other network", "no spread", "not trained in full", "unequal cost", "other tau")
    assert set(words) <= set(made.VERDICTS)
    legend = kcore_tables.legend(made.VERDICTS, made.table(3)["FR, % verdict"])
    assert [line.split("**")[1] for line in legend] == ["cannot be tested here"]


def test_a_page_shows_paper_and_here_in_turns():
    html = made.shown(3, made.table(3, light("infonce", [80.0], arch="resnet18")), caption="One seed").to_html()
    assert "The paper's Table 3, CIFAR-10. One seed." in html
    assert "80.00 (1)" in html
    assert "font-weight: bold" in html
    assert "ResNet-18" in made.shown(4, made.table(4)).to_html()


def test_the_winner_is_of_the_largest_m():
    tops = made.finished(finals("infonce", [90.0, 91.0], first=10) + finals("infonce", [95.0], first=5))
    assert made.winner(made.built(light("infonce", [80.0])), tops).tolist() == [91]
    assert made.winner(made.built(light("infonce", [80.0, 81.0])), tops.head(0)).tolist() == [81]


def test_a_network_with_the_papers_layers_has_its_name():
    assert made.built(light("infonce", [80.0], arch="resnet56")).model.tolist() == ["ResNet-56"]
    assert made.built(light("infonce", [80.0], arch="resnet56", shortcut="A")).model.tolist() == [""]
