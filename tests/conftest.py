import pytest
import torch


@pytest.fixture(autouse=True)
def _global_generator_is_left_alone():
    """No function of the package may draw from PyTorch's global generator: each takes a seed."""
    before = torch.random.get_rng_state()
    yield
    torch.random.set_rng_state(before)
