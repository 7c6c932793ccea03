import math
from typing import Any

import matplotlib.pyplot as plt
import pytest
from kcore_records import ENTROPY, at_target, baseline, chosen_by, pruned, read, repeated, sizes

from prunebook.errors import BadValue
from prunebook.report import kcore_comparisons, tables
from prunebook.report import kcore_figures as figures
from prunebook.studies.kcore import SELECTIONS


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
    assert "no ResNet-56 was fine-tuned here" in cut.axes[0].get_title()
    assert cut.axes[0].get_xlabel() == "MACs removed, % (as printed; ours: thop)"
    tuned = [pruned(d, 50.0, tuned=92.0, epochs=1) for d in range(3)]
    fig = figures.efficiency(tables.prunings(tuned, [baseline(top1=93.0)]), paper)
    ours = [line.get_xydata().tolist() for line in fig.axes[0].lines if line.get_marker() == "X"]
    assert ours == [[[50.0, 1.0]]]
    assert "fine-tuned" not in fig.axes[0].get_title()
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


def test_sample_sizes_whose_accuracy_was_not_measured_have_no_panel_for_it():
    frame = tables.prunings(sizes(0.01, {}))
    frame.loc[frame.images != 100, "top1 recalibrated"] = math.nan
    axes = figures.sample_sizes(frame, tables.reported("kcore")).axes
    assert [marks(ax) for ax in axes] == [4, 4]


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
    table = kcore_comparisons.agreement(read(["1100", "0110"], [50.0, 60.0]) + read(["1100", "0110"], [51.0, 62.0], bins=16))
    (ax,) = figures.agreement(table).axes
    assert [label.get_text() for label in ax.get_yticklabels()] == ["entropy: 16 bins"]
    assert [line.get_xdata()[0] for line in ax.lines if line.get_linestyle() == "--"] == [pytest.approx(1 / 3)]


@pytest.mark.parametrize(
    "draw",
    [
        lambda frame: figures.halves(frame),
        lambda frame: figures.selections(frame),
        lambda frame: figures.sample_sizes(frame, tables.reported("kcore")),
        lambda frame: figures.scores_at_target(frame),
        lambda frame: figures.learning_rates([]),
        lambda frame: figures.agreement(kcore_comparisons.agreement([])),
    ],
    ids=["halves", "selections", "sample sizes", "scores", "learning rates", "agreement"],
)
def test_a_figure_of_no_records_is_refused(draw):
    with pytest.raises(BadValue, match=r"the number of .* is 0, but must be at least 1"):
        draw(tables.prunings([]))


def test_scores_without_a_target_are_no_figure():
    with pytest.raises(BadValue, match="records with a target"):
        figures.scores_at_target(tables.prunings(repeated([50.0] * 3)))


def test_efficiency_without_records_shows_the_paper_alone():
    fig = figures.efficiency(tables.prunings([]), tables.reported("kcore"))
    assert len(fig.axes[0].collections) == 8
    assert "no ResNet-56 was fine-tuned here" in fig.axes[0].get_title()
