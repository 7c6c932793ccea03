import os
from collections.abc import Iterator

import chaos
import pytest

# Before PyTorch is loaded: threads that wait for work by spinning make small networks ten times slower wherever another
# process has something to do, and many of these tests start one.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch

from prunebook.trials import Store


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    chaos.note(report)


def pytest_sessionfinish() -> None:
    chaos.write_table()


@pytest.fixture(autouse=True)
def _global_generator_is_left_alone():
    """No function of the package may draw from PyTorch's global generator: each takes a seed."""
    before = torch.random.get_rng_state()
    yield
    torch.random.set_rng_state(before)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """Records of one module's trials alone, and the folder of their files."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PRUNEBOOK_CACHE", str(folder))
        yield Store(folder / "records", folder / "published")
