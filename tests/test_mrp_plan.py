"""SRP: which filters go, from which layer, until a target is reached; the trace."""

import json
import os
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from prunebook import cutting, measure, prune
from prunebook.errors import BadValue
from prunebook.methods import mrp
from prunebook.plan import PruningPlan


class Small(nn.Module):
    """A residual sum that couples "stem" with "second", and two convolutions that are free."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.first = nn.Conv2d(8, 12, 3, padding=1)
        self.norm = nn.BatchNorm2d(12)
        self.second = nn.Conv2d(12, 8, 3, padding=1, bias=False)
        self.tail = nn.Conv2d(8, 10, 3, stride=2)
        self.classify = nn.Linear(10, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).relu()
        x = (x + self.second(self.norm(self.first(x)).relu())).relu()
        return self.classify(self.tail(x).relu().mean((2, 3)))


FREE = ["first", "tail"]


def small() -> Small:
    torch.manual_seed(0)
    return Small()


def images(m: int = 4) -> Tensor:
    return torch.randn(m, 3, 9, 9, generator=torch.Generator().manual_seed(1))


def plan(target: float, **options) -> PruningPlan:
    return mrp.plan(small(), images(), target, **options)


def cost(stem: int = 8, first: int = 12, tail: int = 10) -> measure.Cost:
    """Of `small` with so many filters, written out: 81 places of a map, 16 behind "tail"."""
    macs = 81 * 9 * (3 * stem + 2 * stem * first) + 16 * 9 * stem * tail + 4 * tail
    params = (27 + 1) * stem + (9 * stem + 1 + 2) * first + 9 * first * stem + (9 * stem + 1) * tail + 4 * tail + 4
    return measure.Cost(macs, params)


def literal_next(weights, communities, l1):
    """The most replaceable filter, see `tests/test_mrp_redundancy.py`."""
    largest = [c for c in communities if len(c) == max(map(len, communities))]
    members = max(largest, key=lambda c: (sum(weights[i][j] for i in c for j in c), -min(c)))
    return min(members, key=lambda f: (-sum(weights[f][j] for j in members), l1[f], f))


def reference_plan(target, groups, *, counter="macs", measure="maps", step=1, layer="redundant", edges="anew", **options):
    """SRP as the abstract tells it: each iteration looks at every layer anew. No filter is silent."""
    model = small()
    how = {name: options.pop(name) for name in ("sparsify", "quantile", "neighbours", "threshold") if name in options}
    kind, likeness = options.pop("kind", "count"), options.pop("likeness", "once")
    left = {name: list(range(cutting.width(model.get_submodule(name)))) for name in groups}
    wide = {name: len(filters) for name, filters in left.items()}
    everyone = [member for group in groups.values() for member in group]
    alike = mrp.similarities(model, images(), everyone, measure)
    trace = []

    def removed():
        now = cost(**{name: len(filters) for name, filters in left.items()})
        return 1 - Fraction(getattr(now, counter), getattr(cost(), counter))

    while removed() < target:
        looks = {}
        for name, group in groups.items():
            mean, among = sum(alike[member] for member in group) / len(group), np.ix_(left[name], left[name])
            if likeness == "anew":
                keep = {member: left[name] for name, group in groups.items() for member in group}
                now = mrp.similarities(cutting.cut(model, keep, images()[:1]), images(), group, measure)
                mean, among = sum(now.values()) / len(group), ...
            weights = mrp.filter_graph(mean[among], **how) if edges == "anew" else mrp.filter_graph(mean, **how)[among]
            found = mrp.communities(weights, **options)
            looks[name] = mrp.redundancy(len(left[name]), found, weights, kind), found, weights
        able = [name for name in groups if len(looks[name][1][0]) > 1]
        if layer == "redundant":
            name = sorted(able, key=lambda name: -looks[name][0])[0]
        else:
            name = sorted(able, key=lambda name: -Fraction(len(left[name]), wide[name]))[0]
        _, found, weights = looks[name]
        l1 = sum(model.get_submodule(member).weight.detach().abs().double().sum((1, 2, 3)) for member in groups[name])
        lost, numbers = [], list(left[name])
        many = step if isinstance(step, int) else max(1, int(Fraction(str(step)) * wide[name]))
        while len(lost) < many and any(len(c) > 1 for c in found) and removed() < target:
            place = literal_next(weights.tolist(), found, l1[numbers].tolist())
            found = [[other for other in c if other != place] for c in found if c != [place]]
            left[name].remove(numbers[place])
            lost.append(numbers[place])
        trace.append((name, lost))
    return {member: left[name] for name, group in groups.items() for member in group}, trace


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"target": 0.7},
        {"counter": "params"},
        {"step": 3},
        {"step": 0.29},
        {"edges": "once", "target": 0.2, "step": 1},
        {"sparsify": "knn", "neighbours": 2},
        {"sparsify": "threshold", "threshold": 0.2},
        {"quantile": 0.6},
        {"measure": "weights"},
        {"measure": "correlation"},
        {"measure": "phash"},
        {"measure": "dice"},
        {"detector": "leiden"},
        {"detector": "label-propagation", "seed": 3},
        {"detector": "greedy-modularity"},
        {"resolution": 2.0, "seed": 5},
        {"kind": "modularity"},
        {"layer": "uniform"},
        {"scope": "coupled", "target": 0.6, "step": 1},
        {"likeness": "anew", "step": 3},
        {"likeness": "anew", "step": 3, "measure": "weights", "scope": "coupled"},
    ],
    ids=str,
)
def test_a_plan_is_that_of_looking_at_every_layer_anew(options):
    options = {"target": 0.45, "step": 1, **options}
    found = plan(**options)
    coupled = {"stem": ["stem", "second"]} if options.pop("scope", "internal") == "coupled" else {}
    kept, trace = reference_plan(groups=coupled | {"first": ["first"], "tail": ["tail"]}, **options)
    assert {name: found.keep[name] for name in kept} == kept
    assert [(iteration["layer"], iteration["filters"]) for iteration in found.parameters["trace"]] == trace


@pytest.mark.parametrize(("target", "counter"), [(0.3, "macs"), (0.6, "macs"), (0.3, "params"), (0.6, "params")])
def test_the_filter_that_reaches_the_target_is_the_last_to_go(target, counter):
    found = plan(target, counter=counter, step=4)
    smaller = found.apply(small(), images()[:1])
    now, whole = measure.cost(smaller, images()[:1]), measure.cost(small(), images()[:1])
    assert whole == cost()
    assert getattr(now, counter) == pytest.approx(getattr(whole, counter) * (1 - found.parameters["removed"]))
    assert found.parameters["removed"] >= target
    last = found.parameters["trace"][-1]
    widths = {name: len(found.keep[name]) + (name == last["layer"]) for name in FREE}
    assert 1 - getattr(cost(**widths), counter) / getattr(whole, counter) < target


def test_a_target_below_one_filter_takes_one():
    first = plan(0.5, step=5).parameters["trace"][0]
    only = plan(1e-9, step=5).parameters["trace"]
    assert [(iteration["layer"], iteration["filters"]) for iteration in only] == [(first["layer"], first["filters"][:1])]


def test_a_share_that_is_met_exactly_takes_no_further_filter():
    share = plan(0.3, step=1).parameters["removed"]
    assert plan(share, step=1).parameters["removed"] == share


@pytest.mark.parametrize(("step", "first", "tail"), [(1, 1, 1), (0.02, 1, 1), (0.3, 3, 3), (0.25, 3, 2), (4, 4, 4)])
def test_an_iteration_takes_a_share_of_the_original_width_or_a_number(step, first, tail):
    trace = plan(0.6, step=step).parameters["trace"]
    most = {name: max(len(i["filters"]) for i in trace if i["layer"] == name) for name in FREE}
    assert most == {"first": first, "tail": tail}


def test_the_trace_says_which_layer_which_filters_and_why_and_is_json():
    found = plan(0.5, step=2)
    first, trace = found.parameters["trace"][0], found.parameters["trace"]
    alike = mrp.similarities(small(), images(), FREE)
    graphs = {name: mrp.filter_graph(matrix) for name, matrix in alike.items()}
    groups = {name: mrp.communities(graph) for name, graph in graphs.items()}
    levels = {name: mrp.redundancy(len(graphs[name]), groups[name]) for name in FREE}
    name = max(FREE, key=levels.__getitem__)
    largest = groups[name][0]
    assert first["layer"] == name
    assert first["redundancy"] == round(levels[name], 6)
    assert first["communities"] == len(groups[name])
    assert first["size"] == len(largest)
    assert first["filters"][0] in largest
    assert first["strength"] == pytest.approx(graphs[name][first["filters"][0]][largest].sum(), abs=1e-6)
    shares = [iteration["removed"] for iteration in trace]
    assert shares == sorted(shares)
    assert shares[-1] == round(found.parameters["removed"], 6)
    assert json.loads(json.dumps(found.parameters)) == found.parameters


def test_a_trace_replays_the_widths_to_those_of_the_plan(tmp_path):
    found = plan(0.5, step=2)
    found.save(tmp_path / "plan.json")
    read = PruningPlan.load(tmp_path / "plan.json")
    after = mrp.replay(found.widths, read.parameters["trace"])
    assert len(after) == len(found.parameters["trace"])
    assert after[-1] == {name: len(kept) for name, kept in found.keep.items()}
    assert sum(found.widths.values()) - sum(after[0].values()) == len(found.parameters["trace"][0]["filters"])


def test_a_replay_looks_at_the_layers_asked_for():
    trace = [{"layer": "a", "filters": [3, 1]}, {"layer": "b", "filters": [0]}, {"layer": "a", "filters": [2]}]
    widths = {"a": 5, "c": 2}
    assert mrp.replay(widths, trace) == [{"a": 3, "c": 2}, {"a": 3, "c": 2}, {"a": 2, "c": 2}]
    assert widths == {"a": 5, "c": 2}
    assert mrp.replay(widths, []) == []
    with pytest.raises(BadValue, match="the number of filters that 'a' loses is 1, but must be below the 1 it has"):
        mrp.replay({"a": 3}, trace)


def test_uniform_takes_the_same_share_of_every_layer():
    kept = plan(0.5, layer="uniform", step=1)
    shares = [len(kept.keep[name]) / kept.widths[name] for name in FREE]
    assert max(shares) - min(shares) <= 1 / 10


def test_a_random_layer_and_a_random_filter_hang_on_the_seed():
    for options in ({"layer": "random"}, {"rule": "random"}):
        seen = [plan(0.5, seed=seed, step=1, **options) for seed in (0, 1, 2, 0)]
        assert seen[0] == seen[3]
        assert len({str(found.parameters["trace"]) for found in seen}) == 3


def test_rules_take_other_filters_of_the_same_layers():
    first = {rule: plan(0.2, rule=rule, step=1).parameters["trace"][0] for rule in mrp.RULES}
    assert len({iteration["layer"] for iteration in first.values()}) == 1
    assert first["replaceable"]["strength"] > first["least replaceable"]["strength"]
    norms = mrp.norms(small().get_submodule(first["l1"]["layer"]).weight)
    assert norms[first["l1"]["filters"]] <= min(norms[first[rule]["filters"]] for rule in mrp.RULES)


def test_coupled_layers_stay_whole_or_keep_the_same_filters():
    inside, together = plan(0.5), plan(0.7, scope="coupled")
    assert [len(inside.keep[name]) for name in ("stem", "second")] == [8, 8]
    assert together.keep["stem"] == together.keep["second"] != list(range(8))
    assert "second" not in {iteration["layer"] for iteration in together.parameters["trace"]}
    assert together.apply(small(), images()[:1])(images()).shape == (4, 4)


def test_every_convolution_is_named_but_a_depthwise_one_that_follows_what_it_reads():
    torch.manual_seed(0)
    depthwise = [nn.Conv2d(n, n, 3, groups=n) for n in (3, 8)]
    model = nn.Sequential(depthwise[0], nn.Conv2d(3, 8, 1), depthwise[1], nn.Conv2d(8, 6, 1), nn.Conv2d(6, 2, 1))
    inside = mrp.plan(model, images(), 0.2)
    assert (list(inside.keep), len(inside.keep["1"]), inside.keep["2"]) == (["1", "2", "3", "4"], 8, list(range(8)))
    together = mrp.plan(model, images(), 0.5, scope="coupled")
    assert together.keep["1"] == together.keep["2"] != list(range(8))
    assert together.apply(model, images()[:1])(images()).shape[1] == 2


def identical(layer: nn.Conv2d) -> None:
    """All its filters are the first."""
    with torch.no_grad():
        layer.weight[:] = layer.weight[:1].clone()


def strangers(layer: nn.Conv2d) -> None:
    """No two of its filters have a weight in the same place."""
    with torch.no_grad():
        layer.weight.zero_().flatten(1).fill_diagonal_(1)


@pytest.mark.parametrize("edges", mrp.EDGES)
def test_a_layer_without_edges_loses_nothing(edges):
    model = small()
    strangers(model.first)
    found = mrp.plan(model, images(), 0.02, measure="weights", edges=edges)
    assert (len(found.keep["first"]), found.keep["tail"] != list(range(10))) == (12, True)
    strangers(model.tail)
    sentence = r"target is 0.02, but must be at most 0.0, the share removed with one filter left of each community, and no"
    with pytest.raises(BadValue, match=sentence):
        mrp.plan(model, images(), 0.02, measure="weights", edges=edges)


@pytest.mark.parametrize("rule", mrp.RULES)
def test_silent_filters_go_before_others_and_the_last_filter_stays(rule):
    model = small()
    mute = [1, 4, 7]
    model.first.weight.data[mute] = 0
    model.first.bias.data[mute] = 0
    found = mrp.plan(model, images(), 0.6, rule=rule, step=1)
    gone = [iteration["filters"][0] for iteration in found.parameters["trace"] if iteration["layer"] == "first"]
    assert gone[:3] == mute
    first = found.parameters["trace"][0]
    assert (first["layer"], first["size"], first["strength"]) == ("first", 1, 0)
    alike = mrp.similarities(model, images(), ["first"])["first"]
    communities = [c for c in mrp.communities(mrp.filter_graph(alike)) if c not in ([1], [4], [7])]
    assert first["redundancy"] == round(1 - len(communities) / 12, 6)
    assert first["communities"] == len(communities)
    nn.init.constant_(model.first.weight, 0)
    nn.init.constant_(model.first.bias, 0)
    most = 1 - cost(first=1).macs / cost().macs
    assert mrp.plan(model, images(), most, rule=rule).keep["first"] == [11]


def test_where_redundancy_is_0_by_modularity_filters_of_communities_still_go():
    model = small()
    identical(model.first)
    strangers(model.tail)
    how = {"measure": "weights", "sparsify": "threshold", "threshold": 0.9, "kind": "modularity", "step": 1}
    first = mrp.plan(model, images(), 0.1, **how).parameters["trace"][0]
    assert (first["layer"], first["redundancy"], first["size"]) == ("first", 0, 12)


@pytest.mark.parametrize("edges", mrp.EDGES)
def test_a_layer_of_one_community_goes_first_and_down_to_one_filter(edges):
    model = small()
    identical(model.first)
    found = mrp.plan(model, images(), 0.7, measure="weights", edges=edges, sparsify="threshold", threshold=0.9, step=1)
    first, *_, last = found.parameters["trace"]
    assert (first["layer"], first["communities"], first["size"], first["redundancy"]) == ("first", 1, 12, round(11 / 12, 6))
    assert last["communities"] == 1
    most = 1 - cost(first=1).macs / cost().macs
    whole = mrp.plan(model, images(), most, measure="weights", edges=edges, sparsify="threshold", threshold=0.9)
    assert whole.keep["first"] == [11]  # of equal filters the lowest number goes first
    assert whole.keep["tail"] == list(range(10))


def test_a_target_above_what_communities_spare_is_refused_with_the_most_that_they_do():
    with pytest.raises(BadValue, match="one filter left of each community") as refused:
        plan(0.8, edges="once")
    most = float(str(refused.value).split("at most ")[1].split(",")[0])
    assert 0 < most < 0.8
    assert plan(most, edges="once").parameters["removed"] >= most
    with pytest.raises(BadValue, match=f"target is {most + 2e-4}"):
        plan(most + 2e-4, edges="once")


def test_a_target_above_what_any_plan_removes_is_refused_before_an_image_is_looked_at(monkeypatch):
    monkeypatch.setattr(mrp.graphs, "similarities", None)
    most = int(1e4 * (1 - cost(first=1, tail=1).macs / cost().macs)) / 1e4
    sentence = f"target is 0.99, but must be at most {most}, the share removed with one filter left of each layer in scope"
    with pytest.raises(BadValue, match=sentence):
        plan(0.99)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"target": 0}, "target is 0, but must be a share to remove between 0 and 1, such as 0.5"),
        ({"target": 1}, "target is 1, but"),
        ({"target": 1.0}, "target is 1.0, but"),
        ({"target": -0.5}, "target is -0.5, but"),
        ({"target": float("nan")}, "target is nan, but"),
        ({"target": True}, "target is True, but"),
        ({"target": "half"}, "target is 'half', but"),
        ({"counter": "flops"}, "counter is 'flops', but must be one of: macs, params"),
        ({"measure": "map"}, "did you mean 'maps'"),
        ({"sparsify": "kn"}, "did you mean 'knn'"),
        ({"quantile": 2}, "quantile is 2"),
        ({"neighbours": 0}, "neighbours is 0"),
        ({"threshold": 1.5}, "threshold is 1.5"),
        ({"edges": "one"}, "did you mean 'once'"),
        ({"likeness": "one"}, "did you mean 'once'"),
        ({"likeness": "anew", "edges": "once"}, "edges is 'once', but must be 'anew' where likeness is"),
        ({"detector": "louvian"}, "did you mean 'louvain'"),
        ({"resolution": -1}, "resolution is -1"),
        ({"kind": "counts"}, "did you mean 'count'"),
        ({"rule": "l2"}, "rule is 'l2', but must be one of"),
        ({"layer": "uniformly"}, "did you mean 'uniform'"),
        ({"scope": "couple"}, "did you mean 'coupled'"),
        ({"mode": "test"}, "mode is 'test'"),
        ({"seed": -1}, "seed is -1"),
        ({"step": 0}, "step is 0, but must be a share of a layer's filters between 0 and 1, or a whole number of filters"),
        ({"step": 1.0}, "step is 1.0, but"),
        ({"step": float("nan")}, "step is nan, but"),
        ({"step": True}, "step is True, but"),
        ({"images": images() * float("nan")}, "images is 'a tensor with NaN or infinity', but must be finite numbers only"),
        ({"images": images()[0]}, r"images.shape is \(3, 9, 9\), but must be \(m, c, h, w\)"),
        ({"images": [1]}, r"images is 'list', but must be a Tensor \(m, c, h, w\)"),
        ({"images": None}, r"images is None, but must be a Tensor \(m, c, h, w\) for measure 'maps'"),
        ({"images": None, "measure": "dice"}, r"needs images, or, for measures of weights, example_inputs"),
    ],
    ids=str,
)
def test_bad_input_is_refused_before_anything_is_computed(options, sentence, monkeypatch):
    for function in ("coupled_layers", "cost_if_kept"):
        monkeypatch.setattr(cutting, function, None)
    with pytest.raises(BadValue, match=sentence):
        mrp.plan(small(), **{"images": images(), "target": 0.5, **options})


def test_a_network_without_layers_in_scope_is_refused():
    model = nn.Sequential(nn.Conv2d(3, 4, 9), nn.Flatten())
    with pytest.raises(BadValue, match="model is 'Sequential', but must be a network with convolutions in scope 'internal'"):
        mrp.plan(model, images(), 0.5)


def test_weights_need_no_images_and_the_plan_says_so():
    by_weights = mrp.plan(small(), None, 0.5, measure="weights", example_inputs=images()[:1])
    assert by_weights.parameters["images"] is None
    assert by_weights.keep == plan(0.5, measure="weights").keep


def test_a_plan_leaves_the_network_as_it_was():
    model = small().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    mrp.plan(model, images(), 0.4, mode="train", scope="coupled")
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_the_package_prunes_by_it_by_name():
    smaller, found = prune(small(), images()[:1], "mrp", target=0.5, images=images())
    assert found == plan(0.5)
    assert smaller(images()).shape == (4, 4)
    with pytest.raises(BadValue, match="method 'mrp' needs 'target'"):
        prune(small(), images()[:1], "mrp")


SAME = """
import sys
import torch
torch.set_num_threads(int(sys.argv[1]))
from prunebook import models
from prunebook.methods import mrp
assert not {"igraph", "leidenalg"} & set(sys.modules), "imported before it is used"
model = models.build("resnet20", seed=0, width=0.5)
images = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
for measure, detector in zip(mrp.MEASURES, mrp.DETECTORS):
    print(mrp.plan(model, images, 0.4, measure=measure, detector=detector, step=0.1).to_json())
print(mrp.plan(model, images, 0.4, sparsify="knn", layer="random", rule="random", step=0.1).to_json())
"""


def test_a_seed_gives_the_same_plan_for_any_number_of_threads_and_any_seed_of_hashes():
    def start(threads: int, hashes: int) -> subprocess.Popen[str]:
        environment = {**os.environ, "PYTHONHASHSEED": str(hashes)}
        command = [sys.executable, "-c", SAME, str(threads)]
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)

    runs = [start(1, 1), start(3, 2)]
    one, other = (run.communicate()[0] for run in runs)
    assert [run.returncode for run in runs] == [0, 0]
    assert one == other
    assert one.count("\n") == 5
