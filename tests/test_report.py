import math
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from browser import check_book, in_chromium
from dice_records import baseline as trained
from kcore_records import baseline, pruned
from playwright.sync_api import sync_playwright
from sacp_records import chance
from scipy import stats

from prunebook.errors import BadValue
from prunebook.report import figures, tables
from prunebook.report.tables import Interval
from prunebook.trials import Trial
from prunebook.trials.engine import published_network


def test_an_interval_is_students_t_at_95_percent():
    values = [1.0, 2.0, 4.0, 4.5]
    low, high = stats.t.interval(0.95, len(values) - 1, loc=np.mean(values), scale=stats.sem(values))
    found = tables.interval(values)
    assert found.mean == pytest.approx((low + high) / 2)
    assert found.half == pytest.approx((high - low) / 2)
    assert str(Interval(1.234, 0.056, 3)) == "1.23\u00a0±\u00a00.06"


def test_one_value_has_no_interval_and_none_is_refused():
    assert math.isnan(tables.interval([3.0]).half)
    assert str(tables.interval([3.0])) == "3.00"
    with pytest.raises(BadValue):
        tables.interval([])


@pytest.mark.parametrize(("seconds", "words"), [(8, "1, 8 seconds in all"), (5400, "1, 1.50 hours in all")])
def test_a_run_that_trains_nothing_says_so_and_how_long_it_took(seconds: float, words: str) -> None:
    counted = chance("vgg16", [80.0, 90.0], [80.0, 90.0])
    provenance = {**counted.provenance, "finished": "2026-11-21T10:00:00"}
    counted = replace(counted, times={"total": seconds}, provenance=provenance)
    page = tables.setup(SimpleNamespace(repeated="nothing"), [counted]).to_html()
    assert "none: no network is trained" in page
    assert words in page


@pytest.mark.parametrize(
    ("shape", "words"), [([29, 1, 1], "29 columns; rows: 10 test"), ([1, 8, 8], "1 x 8 x 8 pixels; images: 10 test")]
)
def test_a_table_has_columns_and_rows_and_not_pixels(shape: list[int], words: str) -> None:
    one = trained(0)
    facts = {"images": {"test": 10}, "shape": shape, "fingerprint": "abc"}
    provenance = {**one.provenance, "finished": "2026-11-21"}
    one = replace(one, result={**one.result, "data": facts}, times={"total": 1.0}, provenance=provenance)
    assert words in tables.setup(SimpleNamespace(repeated="nothing"), [one]).to_html()


def test_a_run_says_how_many_networks_were_trained_and_of_which_there_are_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRUNEBOOK_HOME", str(tmp_path))
    facts = {"images": {"test": 10}, "shape": [1, 8, 8], "fingerprint": "abc"}
    records = [
        replace(
            one,
            result={**one.result, "data": facts},
            times={"total": 1.0},
            provenance={**one.provenance, "finished": "2026-11-21"},
        )
        for one in (trained(seed) for seed in (0, 1))
    ]
    given = replace(records[0], params={**records[0].params, "fit": None, "weights": "a.th"}, key="given")

    def networks() -> str:
        page = tables.setup(SimpleNamespace(repeated="nothing"), [*records, given]).to_html()
        found = re.search(r"2 trained; ([^<]*)", page)
        assert found is not None
        return found[1]

    assert networks() == "their weights are not part of the project"
    first, second = (published_network(Trial(one.task, one.params)) for one in records)
    first.parent.mkdir(parents=True)
    first.touch()
    assert networks() == "the weights of 1 come with the project, those of the others do not"
    second.touch()
    assert networks() == "their weights come with the project"


def frame() -> pd.DataFrame:
    fixed = {"dataset": "cifar10", "arch": "resnet56", "width": 1, "score": "entropy", "seed": 0, "before thop": 127.6e6}
    rows = []
    for tau, rates in ((0.65, (49.0, 50.0, 51.0)), (0.7, (20.0, 20.0, 20.0))):
        for draw, fr in enumerate(rates):
            measured = {"FR thop": fr, "PR thop": fr / 2, "top1 fine-tuned": math.nan}
            rows.append({**fixed, "tau": tau, "draw": draw, **measured})
    return pd.DataFrame(rows)


def test_the_table_by_tau_has_means_intervals_and_says_over_what():
    table = tables.by_tau(frame(), ["FR thop", "top1 fine-tuned"], "Removed")
    assert table.data.loc[0].tolist() == ["resnet56", "entropy", 0.65, "50.00\u00a0±\u00a02.48", "—"]
    assert table.caption == "Removed: mean ± 95 % t-interval over 3 draws of images, one network"


def test_a_cell_of_fewer_repetitions_than_the_caption_says_counts_them():
    some = frame()
    some.loc[[0, 1], "top1 fine-tuned"] = [70.0, 72.0]
    table = tables.by_tau(some, ["FR thop", "top1 fine-tuned"], "Removed")
    assert table.data["top1 fine-tuned"].tolist() == ["70.00 to 72.00\u00a0(2)", "—"]
    assert table.data["FR thop"].tolist() == ["50.00\u00a0±\u00a02.48", "20.00\u00a0±\u00a00.00"]
    assert table.caption.endswith("over 3 draws of images, one network; over another number where one stands in brackets")
    seeds = pd.concat([frame(), frame().assign(seed=1)])
    assert "(" not in "".join(tables.by_tau(seeds, ["FR thop"], "Removed").data["FR thop"])


def test_the_table_by_tau_keeps_datasets_apart():
    both = pd.concat([frame(), frame().assign(dataset="cifar100", **{"FR thop": 80.0})])
    table = tables.by_tau(both, ["FR thop"], "Removed").data
    assert table["data"].tolist() == ["cifar10"] * 2 + ["cifar100"] * 2
    assert table["FR thop"].tolist()[2:] == ["80.00\u00a0±\u00a00.00"] * 2


def test_draws_are_averaged_within_a_seed_before_seeds_are_compared():
    nested = pd.DataFrame({"seed": [0, 0, 1, 1], "x": [1.0, 3.0, 5.0, math.nan]})
    assert tables.repeated(nested, "x") == [2.0, 5.0]
    assert tables.repeated(nested[nested.seed == 0], "x") == [1.0, 3.0]


def test_two_values_are_given_as_their_range():
    assert tables.spread([2.0, 1.0]) == "1.00 to 2.00"
    assert tables.spread([]) == "—"
    assert tables.spread([1.0, 2.0, 3.0]) == "2.00\u00a0±\u00a02.48"


def test_the_papers_rates_are_its_own_rows_only():
    paper = tables.paper_rates("cifar10")
    resnet56 = paper[(paper.arch == "resnet56") & (paper.metric == "fr")].set_index("tau").value
    assert resnet56.to_dict() == {0.75: 16.20, 0.7: 24.93, 0.65: 50.10, 0.6: 78.91}


@pytest.mark.parametrize(
    ("dataset", "arch", "rates"),
    [
        ("cifar10", "densenet40", {0.75: 38.01, 0.7: 51.34, 0.65: 76.45}),
        ("image_folder:imagenet", "resnet50", {0.7: 50.48, 0.65: 73.65}),
    ],
)
def test_the_papers_rates_have_every_network_that_we_have(dataset, arch, rates):
    paper = tables.paper_rates(dataset)
    assert paper[(paper.arch == arch) & (paper.metric == "fr")].set_index("tau").value.to_dict() == rates


def test_the_papers_line_says_that_its_network_shares_ours_in_name():
    label = tables.paper_rates("cifar10").set_index("arch").label
    assert set(label["resnet56"]) == {"paper's, network of the same name: ResNet-56"}


def test_the_paper_has_no_rates_for_other_data():
    assert tables.paper_rates("digits").empty


def test_no_records_make_an_empty_table_with_the_columns_of_any_other():
    assert tables.prunings([]).empty
    assert list(tables.prunings([])) == list(tables.prunings([pruned()]))
    assert tables.baselines([]).empty
    assert set(tables.baselines([])) <= set(tables.baselines([baseline()]))
    table = tables.by_tau(tables.prunings([]), ["FR thop"], "Removed")
    assert table.data.empty
    assert table.caption == "Removed: nothing was measured"


def test_pictures_of_no_records_are_refused():
    nothing, paper = tables.prunings([]), tables.paper_rates("cifar10")
    with pytest.raises(BadValue, match="at least 1"):
        figures.rates(nothing, paper)
    with pytest.raises(BadValue, match="at least 1"):
        figures.accuracy(nothing, tables.baselines([]))
    with pytest.raises(BadValue, match="at least 1"):
        figures.kept_widths({}, "none")


def test_what_layers_keep_is_by_tau_and_leaves_targets_out():
    records = [pruned(tau=0.7, result={"keep": {"a": "10"}}), pruned(target=0.5, result={"keep": {"a": "11"}})]
    assert tables.kept_by_tau(records, "resnet56", "entropy") == {0.7: {"a": "10"}}


def test_what_layers_keep_is_that_of_the_first_seed_and_draw_whatever_the_order():
    made = {(seed, draw): pruned(draw, tuned=90.0, seed=seed, result={"keep": {"a": f"{seed}{draw}"}})
            for seed, draw in ((1, 0), (0, 1), (0, 2))}  # fmt: skip
    assert tables.kept_by_tau(list(made.values()), "resnet56", "entropy") == {0.7: {"a": "01"}}


def test_a_recorded_layer_gives_its_similarity_back():
    result = {"filters": 3, "bits": 10, "agreements": [[7, 5], [10], []]}
    expected = [[1, 0.7, 0.5], [0.7, 1, 1], [0.5, 1, 1]]
    assert torch.equal(figures.similarity_of(result), torch.tensor(expected, dtype=torch.float64))


def test_at_most_three_thresholds_are_drawn_the_lowest_ones():
    assert figures.to_draw([0.8, 0.6, 0.65, 0.7, 0.75]) == [0.6, 0.65, 0.7]
    assert figures.to_draw([0.7]) == [0.7]


def test_what_never_changes_in_a_table_goes_to_its_caption():
    rows = pd.DataFrame({"network": ["a", "a"], "target": [0.5, 0.6], "top-1": [1.0, 2.0]})
    table = tables.compact(rows)
    assert table.caption == "network a"
    assert list(table.data.columns) == ["target", "top-1"]


def test_rows_by_a_column_that_an_empty_table_lacks() -> None:
    frame = pd.DataFrame({"network": ["b", "a", "b"], "value": [1, 2, 3]})
    assert [list(rows.value) for rows in tables.by(frame, "network")] == [[1, 3], [2]]
    assert tables.by(pd.DataFrame(), "network") == []


def with_verdicts() -> str:
    """A table that is wider than a phone, as a page of the book holds it."""
    heads = [("", "method"), ("FR, %", "paper"), ("FR, %", "here"), ("PR, %", "paper"), ("PR, %", "here"), ("", "verdict")]
    numbers = ["a method of a name", "46.46", "50.00\u00a0±\u00a01.24\u00a0(3)", "19.30", "20.00\u00a0±\u00a01.21\u00a0(5)"]
    rows = [[*numbers, "other network, not fine-tuned: ours is lower"], [*numbers[:2], "", "19.30", "", ""]]
    style = pd.DataFrame(rows, columns=pd.MultiIndex.from_tuples(heads)).style.hide().set_caption("The table")
    css = (Path(__file__).parents[1] / "book" / "_static" / "prunebook.css").read_text(encoding="utf-8")
    cell = f'<div class="cell_output"><div class="output text_html">{tables.verdict_style(style).to_html()}</div></div>'
    return (
        f"<!doctype html><html><head><style>body {{ margin: 16px; white-space: nowrap }} td {{ white-space: normal }} {css}"
        f'</style></head><body><article class="bd-article">{cell}</article></body></html>'
    )


@in_chromium
@pytest.mark.parametrize("screen", check_book.SCREENS)
def test_a_verdict_is_on_the_screen_of_a_phone_below_its_row_and_else_beside_it(screen, tmp_path):
    (tmp_path / "page.html").write_text(with_verdicts(), encoding="utf-8")
    width, height = check_book.SCREENS[screen]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=check_book.find_browser(), args=check_book.ARGUMENTS)
        page = browser.new_page(viewport={"width": width, "height": height})
        page.goto((tmp_path / "page.html").as_uri())
        first = [cell.bounding_box() for cell in page.locator("tbody tr").first.locator("td").all()]
        heads = [cell.bounding_box() for cell in page.locator("thead tr").last.locator("th").all()][:5]
        empty = page.locator("tbody tr").last.locator("td").last.bounding_box()
        browser.close()
    verdict = first.pop()
    assert [box["x"] for box in first] == pytest.approx([box["x"] for box in heads])  # numbers are below their heads
    assert verdict["x"] + verdict["width"] <= width
    if screen == "phone":
        assert first[-1]["x"] + first[-1]["width"] > width  # the numbers scroll
        assert verdict["y"] >= max(box["y"] + box["height"] for box in first)
        assert verdict["x"] == first[0]["x"]
        assert empty is None
    else:
        assert verdict["y"] == first[0]["y"]
