"""Parameters of notebooks at random: what a run has, what another one has, and what nobody means."""

from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from prunebook import data, models, notebooks, studies

WORDS = [
    "resnet20", "resnet56", "vgg16", "dice_cnn", "entropy", "random", "l1", "mrp", "dice", "infonce", "cifar10", "digits",
    "image_folder:../..", "../../etc/passwd", "$(touch x)", "; ls", "a\nb", "a\0b", "\ud800", "", "!!python/name:os.system",
]  # fmt: skip
# Networks and images that may or may not go together.
NETWORKS: dict[str, list[Any]] = {
    "arch": models.names(),
    "dataset": [*data.names(), "image_folder:x"],
    "size": [1, 3, 8, 28, 32, 56],
    "options": [
        {"mlp_mnist": {"size": 8}, "mlp_credit": {"size": 28}},
        {"mlp_kdd": {"size": 3}, "resnet50": {"stem": "cifar"}},
    ],
}
NUMBERS = st.one_of(
    st.integers(-2, 12),
    st.floats(-1, 2),
    st.sampled_from([0.5, 1e-3, 1e9, 10**6, 10**12, 10**30, float("nan"), float("inf")]),
)
PLAIN = st.one_of(st.none(), st.booleans(), NUMBERS, st.sampled_from(WORDS), st.text(max_size=5))
KEYS = st.one_of(st.sampled_from(WORDS), PLAIN)
ANY: SearchStrategy[Any] = st.recursive(
    PLAIN, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=2), max_leaves=5
)


def overrides(name: str) -> SearchStrategy[dict[str, Any]]:
    """Some parameters of a notebook, each as one of its runs has it, its default, or anything; or a network and images."""
    description = notebooks.get(name).description
    fields = studies.get(name).Parameters.model_fields
    one = []
    for field, info in fields.items():
        seen = [run.parameters[field] for run in description.runs.values() if field in run.parameters]
        usual = st.sampled_from([info.default, *seen])
        parts = [item for value in seen if isinstance(value, list) for item in value]
        some = st.lists(st.sampled_from(parts), max_size=4) if parts else usual
        one.append(st.tuples(st.just(field), st.one_of(usual, some, NUMBERS, ANY)))
    wrong = st.tuples(st.sampled_from(["tau_", "", "a\nb", "engine "]), ANY)
    anything = st.lists(st.one_of(*one, wrong), min_size=1, max_size=4).map(dict)
    networks = {field: st.sampled_from(values) for field, values in NETWORKS.items() if field in fields}
    return anything | st.fixed_dictionaries({}, optional=networks) if "arch" in fields else anything


def runs(name: str) -> SearchStrategy[str]:
    return st.sampled_from(list(notebooks.get(name).description.runs))
