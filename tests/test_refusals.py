"""What the notebooks and the command refuse, and in which words."""

import re
from datetime import date
from typing import Any, Literal

import pytest
import random_parameters
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from prunebook import cli, errors, notebooks, paths, studies, validation
from prunebook.errors import BadValue
from prunebook.studies.parameters import NotebookParameters

BASES = {"kcore": "quick", "sacp": "smoke"}  # runs whose parameters the wrong ones are added to; else the defaults

WRONG: dict[str, list[tuple[dict[str, Any], str]]] = {
    "annealing": [
        ({"dataset": "mnits"}, "dataset is 'mnits'.*did you mean 'mnist'"),
        ({"readings": ["greedi"]}, "readings is 'greedi'.*did you mean 'greedy'"),
        ({"choices": ["official, greedy"]}, "readings is \\['paper'\\], but must be with 'official' among them"),
        (
            {"choices": ["paper, filters too"]},
            "choices is \\['paper, filters too'\\], but must be for networks with filters",
        ),
        ({"by_dataset": {"mnits": {}}}, "dataset of by_dataset is 'mnits'.*did you mean 'mnist'"),
        ({"by_dataset": {"digits": {"round": 3}}}, "parameter of digits in by_dataset is 'round'.*did you mean 'rounds'"),
        ({"by_dataset": {"digits": {"rounds": 0}}}, "by_dataset of digits: rounds is 0, but must be at least 1"),
        ({"target": 1.0}, "target is 1.0, but must be below 1"),
        ({"step": 0.0}, "step is 0.0"),
        ({"epsilons": [0.0]}, "epsilons is 0.0, but must be above 0"),
        ({"attacks": ["cw"]}, "attacks is 'cw', but must be one of: fgsm, pgd, official"),
        ({"corruptions": ["gausian_noise"]}, "corruptions is 'gausian_noise'.*did you mean 'gaussian_noise'"),
        ({"severities": [0]}, "severities is 0, but must be a whole number from 1 to 5"),
        ({"dataset": "breast_cancer", "corruptions": ["jpeg"]}, "corruptions is \\['jpeg'\\], but must be none where all"),
        ({"readings": ["one-shot, offical"]}, "'one-shot', 'one-shot, official',.*did you mean 'one-shot, official'"),
        ({"choices": ["paper, alfa 1"]}, "one of: 'paper, alpha 1', .* and 37 others; did you mean 'paper, alpha 1'"),
        ({"width": "wide"}, "width is 'wide', but must be a number"),
        ({"paces": "perhaps"}, "paces is 'perhaps', but must be true or false"),
    ],
    "dice": [
        ({"ratios": [1.2]}, "ratios is 1.2, but must be a share of the filters, at least 0 and below 1"),
        ({"ratios": 1}, "ratios is 1.0"),
        ({"beside": "quik"}, "beside is 'quik', but must be one of: .*did you mean 'quick'"),
        (
            {"candidates": [["digits", "dice_cnn"]]},
            r"candidates is \['digits', 'dice_cnn'\], but must be a list of networks, each",
        ),
        ({"candidates": [["digits", "dice_cnn", "x", 0]]}, "candidates is 'x', but must be a whole number"),
        ({"curve": [-0.1]}, "curve is -0.1"),
        ({"targets": [0]}, "targets is 0"),
        ({"targets": ["nan"]}, "targets is 'nan', but must be a finite number"),
        ({"methods": ["l3"]}, "methods is 'l3'"),
        ({"methods": ["taylr"]}, "did you mean 'taylor'"),
        ({"methods": ["growing_reg"]}, "regularised is 0, but must be at least 1"),
        ({"methods": ["growing_reg"], "regularised": 5, "finetune": 5}, "regularised is 5, but must be below 5"),
        ({"variants": ["greedy"]}, "targets"),
        ({"variants": ["gready"], "targets": [0.4]}, "did you mean 'greedy'"),
        ({"tunings": ["head"], "targets": [0.4]}, "finetune is 0, but must be at least 1 where tunings are given"),
        ({"quantiles": [[0.9, 0.1]]}, "alpha <= beta"),
        ({"quantiles": [[0.9]]}, "two numbers"),
        ({"drops": [0]}, "drops is 0"),
        ({"tables": [1]}, "tables is 1"),
        ({"transfer_to": "cifar10"}, "candidates"),
        ({"transfer_to": "cifar11", "candidates": [["digits", "dice_cnn", 1, 0]]}, "did you mean 'cifar10'"),
        ({"transfer_to": "cifar10", "candidates": [["digits", "dice_cn", 1, 0]]}, "did you mean 'dice_cnn'"),
        ({"transfer_to": "cifar10", "candidates": [["digits", "dice_cnn", 0, 0]]}, "epochs from 1"),
        ({"pretrained": {"vgg": "a.pth"}}, "pretrained names 'vgg'"),
        ({"pretrained": {"vgg19": "a.pth"}, "weights": {"vgg19": "b.pth"}}, "without weights of its own"),
        ({"arch": "dice_cnn", "options": {"dice_cnn": {"widht": 2}}}, "did you mean 'width'"),
        ({"step_every": None}, "step_every"),
        ({"dataset": ["mnist", "digits"], "weights": {"dice_cnn": "a.th"}}, "a single one where weights are given"),
    ],
    "kcore": [
        ({"taus": [0.6, 1.7]}, "taus is 1.7, but must be a number from 0 to 1"),
        ({"tuas": 0.6}, r"no parameter 'tuas'; did you mean 'taus'\? \(all \d+: prunebook list kcore\)"),
        ({"criterion": "resnet57"}, "criterion is 'resnet57', but must be one of: .*did you mean 'resnet56'"),
        ({"weights": {5: "a"}}, "a key of weights is 5, but must be text"),
        ({"options": {"resnet20": {"width": []}}}, "options.resnet20.width is .*, but must be .*, or a number, or text"),
        ({"dataset": []}, r"dataset is \[\], but must be at least 1 long"),
        ({"arch": "resnet57"}, "arch is 'resnet57', but must be one of:"),
        ({"scores": "entropi"}, r"did you mean 'entropy'\?"),
        ({"images": 0}, "images is 0, but must be at least 1"),
        ({"images": "many"}, "images is 'many', but must be a whole number"),
        ({"lr": float("inf")}, "lr is inf"),
        ({"dataset": "cifar"}, r"did you mean 'cifar10'\?"),
        ({"hash": "phash"}, "hash is 'phash', but must be one of: dct-mean, imagehash"),
        ({"options": {"resnet20": {"widht": 2}}}, "'widht' is no option of resnet20"),
        ({"finetune": {"resnet560": 1}}, r"did you mean 'resnet56'\?"),
        ({"taus": []}, r"taus is \[\]"),
        ({"targets": [50]}, "targets is 50.0, but must be a share of the MACs between 0 and 1"),
        ({"variants": ["edge: abov tau"]}, r"did you mean 'edge: above tau'\?"),
        ({"variants": ["edge: above tau"]}, r"targets is \[\]"),
        ({"sample_sizes": {"resnet56": [25]}}, "sample_sizes is 'resnet56', but must be an architecture of this run"),
        ({"learning_rates": {"resnet20": [0]}}, r"learning_rates\['resnet20'\] is \[0.0\]"),
        ({"paired": True}, "draws is 1, but must be 2, as seeds, where paired"),
        ({"schedule": "step"}, "step_every is None, but must be given where schedule is 'step'"),
        ({"tables": [9]}, "tables is 9"),
        ({"engine": "ray"}, "engine is 'ray'"),
    ],
    "mrp": [
        ({"methods": ["mrp, unifrom"]}, "methods is 'mrp, unifrom'.*did you mean 'mrp, uniform'"),
        ({"variants": ["step 2"], "methods": ["mrp"]}, "variants is 'step 2'.*did you mean 'step 1'"),
        ({"variants": ["step 1"], "methods": ["l1"]}, "methods is \\['l1'\\], but must be with 'mrp' among them"),
        ({"control": True, "methods": ["mrp"]}, "finetune is 0, but must be at least 1 where control is given"),
        ({"targets": [1]}, "targets is 1.0, but must be a share of the MACs"),
        ({"targets": []}, "targets"),
        ({"roles": ["weights"]}, "roles is 'weights'.*did you mean 'graph of weights'"),
        ({"graphs": ["layer4.1.conv1"]}, "layer of resnet20 in graphs is 'layer4.1.conv1'.*did you mean 'layer"),
        ({"seeds_of": {"resnet21": 1}}, "seeds_of names 'resnet21', which is no architecture; did you mean"),
        ({"seeds_of": {"resnet20": 0}}, "seeds_of resnet20 is 0, but must be from 1 to 100"),
        ({"draws": 9, "tested": 8}, "draws is 9, but must be at most 8: each has test images of its own"),
        ({"images": 1, "roles": ["mrp"]}, "images is 1, but must be at least 2 where the hypothesis is tested"),
        ({"finetune_schedule": "step"}, "finetune_schedule is 'step', but must be one-cycle, cosine or constant"),
    ],
    "sacp": [
        ({"m": 10**6, "candidates": 10**6}, "m is 1000000, but must be so small that no more than 100,000 candidates"),
        ({"tau": 0.95}, "tau is 0.95, but must be a share of the channels from 0 to 0.9"),
        ({"tau": -1}, "tau is -1.0, but must be a share"),
        ({"tau": "x"}, "tau is 'x', but must be a number, or one for each architecture"),
        ({"tau": float("nan")}, "tau is nan, but must be a number"),
        ({"tau": {"resnet56": 0.3}}, "tau has no value for resnet20"),
        ({"tau": {"resnet21": 0.3}}, "tau names 'resnet21', which is no architecture; did you mean"),
        ({"tau": {"resnet20": "x"}}, "tau is 'x', but must be a number"),
        ({"m": 2.5}, "m is 2.5, but must be a whole number"),
        ({"m": 0}, "m is 0, but must be a whole number of at least 1"),
        ({"configurations": 1}, "configurations is 1, but must be a whole number of at least 2"),
        ({"k": 9, "m": 3}, "k is 9, but must be at most m, 3"),
        ({"candidates": 2, "m": 3, "k": 1}, "m is 3, but must be at most 2, the number of candidates that are scored"),
        ({"ms": [7], "m": 3, "k": 1, "full": 1}, "ms is 7, but must be from k to m, 1 to 3"),
        ({"ms": [1], "m": 3, "k": 2, "full": 1}, "ms is 1, but must be from k to m, 2 to 3"),
        ({"ms": [2], "m": 3, "k": 1, "full": 0}, "full is 0, but must be at least 1 where ms are given"),
        ({"k": 0, "full": 1, "ms": []}, "k is 0, but must be at least 1 where full is given"),
        ({"encoders": ["infonse"]}, "encoders is 'infonse'.*did you mean 'infonce'"),
        ({"searches": ["randm"]}, "searches is 'randm'.*did you mean 'random'"),
        ({"searches": ["random", "random (as costly)"]}, "one by an encoder beside 'random \\(as costly\\)'"),
        ({"sampled": 1}, "sampled is 1, but must be 0, or at least 2"),
        ({"sampled": 0, "encoders": ["infonce"]}, "sampled is 0, but must be at least 2 where encoders are compared"),
        ({"sampled": 5, "shares": [], "free": False}, "shares is .*, but must be at least one, or free be given"),
        ({"shares": [1.0]}, "shares is 1.0, but must be a share of the MACs between 0 and 1"),
        ({"finetune_schedule": "step"}, "finetune_schedule is 'step', but must be one-cycle, cosine or constant"),
        ({"schedule": "step"}, "step_every is None, but must be given where schedule is 'step'"),
        ({"chance": 50}, "chance is 50, but must be 0, or at least 100"),
        ({"crowd": 20}, "crowd is 20, but must be 0, or at least 39"),
        ({"chosen_on": "test"}, "chosen_on is 'test', but must be one of: val, half of test"),
        ({"light_images": 1}, "light_images is 1"),
        ({"encoders": 5}, "encoders is 5, but must be text"),
        ({"encoders": {"resnet20": [5]}}, "encoders.resnet20 is 5, but must be text"),
        ({"encoders": {"resnet20": ["infonse"]}}, "encoders is 'infonse'.*did you mean 'infonce'"),
        ({"encoders": {"resnet56": ["infonce"]}}, "encoders has no value for resnet20"),
        ({"searches": {"resnet20": ["random", "random (as costly)"]}}, "one by an encoder beside 'random \\(as costly\\)'"),
        ({"supervised": 1}, "supervised is 1, but must be a whole number of at least 2"),
        ({"tables": [1]}, "tables is 1"),
        ({"temperature": 0}, "temperature is 0"),
        ({"tua": 0.3}, "there is no parameter 'tua'.*did you mean 'tau'"),
    ],
    "scaling": [
        ({"notebooks": ["speed"]}, "notebooks is 'speed', but must be one of: kcore"),
        ({"notebooks": ["kcor"]}, "notebooks is 'kcor'.*did you mean 'kcore'"),
        ({"runs": "papr"}, "runs is 'papr'.*did you mean 'paper'"),
        ({"notebooks": "mrp", "runs": "paper-imagenet"}, "runs is 'paper-imagenet', but must be one of: smoke"),
        ({"gpus": [0]}, "gpus is 0, but must be a number from 1 to 10,000"),
        ({"macs_per_second": 0}, "macs_per_second is 0, but must be above 0"),
        ({"milliseconds_per_step": -1}, "milliseconds_per_step is -1, but must be at least 0"),
    ],
}
CASES = [(notebook, wrong, words) for notebook, cases in WRONG.items() for wrong, words in cases]
# Pydantic's own words, which name Python's types rather than what a person can type.
FOREIGN = re.compile(
    r"[Ii]nput should|should (be|have|match)|[Vv]alid (\w+,|integer|number|string|list)|unable to|validation,"
)
AWKWARD: list[Any] = [
    None, True, -1, 0.5, 10**40, float("nan"), "", "x", "9" * 5000, "\ud800", [], {}, [None], [["x"]], {5: 1},
    {"resnet20": None}, {"resnet20": []}, {"resnet20": {"width": None}}, {"resnet20": {5: 1}}, {"digits": {"lr": "x"}},
]  # fmt: skip


def model(notebook: str) -> type[NotebookParameters]:
    parameters: type[NotebookParameters] = studies.get(notebook).Parameters
    return parameters


def base(notebook: str) -> dict[str, Any]:
    return notebooks.get(notebook).run(BASES[notebook]).parameters if notebook in BASES else {}


@pytest.mark.parametrize(("notebook", "wrong", "words"), CASES)
def test_wrong_parameters_are_refused_in_one_sentence(notebook: str, wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(BadValue, match=words) as refused:
        model(notebook).check(base(notebook) | wrong)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(("notebook", "wrong", "words"), [case for case in CASES if case[0] in BASES][::4])
def test_the_command_says_the_same_ends_with_2_and_writes_nothing(
    notebook: str,
    wrong: dict[str, Any],
    words: str,
    capsys: pytest.CaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("prunebook.trials.run", lambda *_, **__: pytest.fail("something ran"))
    before = set(paths.project().glob("book/runs/**/*"))
    typed = [("-p", name, yaml.safe_dump(value, default_flow_style=True)) for name, value in wrong.items()]
    assert cli.main(["run", notebook, BASES[notebook], *(part for pair in typed for part in pair)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(rf"prunebook: .*{words}.*\n", err)
    assert set(paths.project().glob("book/runs/**/*")) == before


@pytest.mark.parametrize("notebook", notebooks.names())
def test_a_refusal_names_a_parameter_as_it_is_typed_and_has_no_words_of_pydantic(notebook: str) -> None:
    typed = re.compile(rf"\b({'|'.join(model(notebook).model_fields)})\b")
    for name in model(notebook).model_fields:
        for value in AWKWARD:
            try:
                model(notebook).check({name: value})
            except BadValue as refusal:
                assert typed.search(str(refusal).partition(", but must be")[0]), refusal
                assert not FOREIGN.search(str(refusal)), refusal
                assert "otherwise" not in str(refusal)  # an error that validation.ALLOWED does not know


@pytest.mark.parametrize("notebook", notebooks.names())
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_parameters_of_any_notebook_are_accepted_or_refused_in_words_of_ours(notebook: str, data: Any) -> None:
    try:
        model(notebook).check(data.draw(random_parameters.overrides(notebook)))
    except BadValue as refusal:
        assert not FOREIGN.search(str(refusal)), refusal
        assert "\n" not in str(refusal)
        assert len(str(refusal)) < 1000


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("run kcore -p seeds", "-p takes a parameter and its value, such as -p seeds 3"),
        ("rnu kcore", "COMMAND is 'rnu', but must be one of: list, run, .*; did you mean 'run'"),
        ("run", "the following arguments are required: notebook"),
        ("run kcore --engine lokal", "--engine is 'lokal', but must be one of: local, ray; did you mean 'local'"),
        ("run kcore --max-trials many", "--max-trials is 'many', but must be a whole number"),
        ("run kcore --gpus-per-trial half", "--gpus-per-trial is 'half', but must be a number"),
        ("run kcore --lr 3", "unrecognized arguments: --lr 3"),
        ("run kcor", "notebook is 'kcor', but must be one of: .*; did you mean 'kcore'"),
        ("run kcore quik", "run is 'quik', but must be one of: .*; did you mean 'quick'"),
    ],
)
def test_a_wrong_command_line_is_refused_in_one_sentence_without_a_page_of_usage(
    typed: str, words: str, capsys: pytest.CaptureFixture
) -> None:
    assert cli.main(typed.split()) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(rf"prunebook: {words}.*\n", err)


def test_the_help_that_a_refusal_names_is_there(capsys: pytest.CaptureFixture) -> None:
    cli.main(["run", "kcore", "-p", "seeds"])
    named = re.search(r"\(all options: prunebook (.*)\)", capsys.readouterr().err)
    assert named
    with pytest.raises(SystemExit, match="0"):
        cli.main(named[1].split())
    assert "-p NAME VALUE" in capsys.readouterr().out


def test_names_are_listed_in_quotes_where_one_has_a_comma() -> None:
    assert errors.listing(["a", "b"]) == "a, b"
    assert errors.listing(["a", "a, b"]) == "'a', 'a, b'"


def test_of_many_names_those_most_like_the_value_are_listed() -> None:
    many = [f"layer{i}.conv{j}" for i in range(20) for j in range(5)]
    text = errors.listing(many, "layer7.convv1")
    assert text.startswith("layer7.conv1, ")
    assert text.endswith(" and 95 others")
    assert errors.listing(many, most=10_000).count(",") == 99


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")
    kind: Literal["one, two", "three or four"]
    sizes: list[int] = Field([], max_length=2)


class Outer(BaseModel):
    inner: list[Inner]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "the parameter 'inner' is missing"),
        ({"inner": 5}, "inner is 5, but must be a list"),
        ({"inner": [5]}, "inner is 5, but must be a mapping such as {NAME: VALUE}"),
        (
            {"inner": [{"kind": "three or for"}]},
            "inner.0.kind is 'three or for', but must be one of: 'one, two', 'three or four'; did you mean 'three or four'?",
        ),
        ({"inner": [{"kind": "one, two", "sizes": [1, 2, 3]}]}, "inner.0.sizes is [1, 2, 3], but must be at most 2 long"),
        ({"inner": [{"kind": "one, two", "sizes": [1, "x"]}]}, "inner.0.sizes is 'x', but must be a whole number"),
        (
            {"inner": [{"kind": "one, two", "size": [1]}]},
            "there is no parameter 'inner.0.size'; did you mean 'sizes'? (there are: kind, sizes)",
        ),
    ],
)
def test_a_fault_in_a_file_is_told_with_its_place(given: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError) as fault:
        Outer.model_validate(given)
    assert validation.sentence(fault.value, Outer) == words


def test_an_error_without_words_of_ours_keeps_pydantic_s() -> None:
    with pytest.raises(ValidationError) as fault:
        TypeAdapter(date).validate_python("{x}")
    assert re.fullmatch(r"Outer is '{x}', but must be otherwise \(.*date.*\)", validation.sentence(fault.value, Outer))
