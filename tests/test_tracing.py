"""A traced network, and the parts into which it is divided."""

import pytest
import torch

from prunebook import models, tracing
from prunebook.errors import BadValue

X = torch.randn(3, 3, 16, 16, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", ["resnet20", "densenet40"])
def test_the_parts_of_a_network_make_together_what_it_makes(name: str) -> None:
    model = models.build(name, seed=0).train()
    traced = tracing.trace(model)
    assert model.training
    nodes = list(traced.graph.nodes)
    image, middle, output = nodes[0], nodes[len(nodes) // 2], nodes[-1]
    before = set(nodes[: nodes.index(middle) + 1])
    live = [node for node in nodes if node in before and any(user not in before for user in node.users)]
    first = tracing.part(traced, [image], live)
    second = tracing.part(traced, live, list(output.all_input_nodes))
    with torch.no_grad():
        assert torch.equal(second(*first(X))[0], model.eval()(X))
    assert len(list(first.graph.nodes)) < len(nodes) > len(list(second.graph.nodes))


class Branching(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x if x.sum() > 0 else -x


def test_a_network_that_looks_at_its_numbers_cannot_be_traced() -> None:
    with pytest.raises(BadValue, match=r"cannot be traced by torch.fx, which stops in the forward of Branching itself"):
        tracing.trace(Branching())
