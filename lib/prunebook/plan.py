"""PruningPlan: which output channels each layer keeps. The one thing that every pruning method produces."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from prunebook import cutting, files
from prunebook.errors import BadValue, require

FORMAT = 1


@dataclass(frozen=True)
class PruningPlan:
    """A decision, as plain data: it can be saved, read by a person, and replayed on the same network elsewhere.

    Attributes
    ----------
    keep : dict of layer name -> sorted list of the output channels that stay
        Layers that are not named keep all their channels, unless a coupled layer is named: then they follow it.
    widths : dict of layer name -> output channels before pruning; empty if unknown
    method : name of the method that decided
    parameters : JSON-able dict of the method's parameters
    """

    keep: dict[str, list[int]]
    widths: dict[str, int] = field(default_factory=dict)
    method: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, kept in self.keep.items():
            whole = all(isinstance(channel, int) and channel >= 0 for channel in kept)
            valid = whole and len(kept) > 0 and list(kept) == sorted(set(kept))
            require(valid, f"keep[{name!r}]", kept, "a sorted list of distinct channel numbers, not empty")

    def apply(self, model: nn.Module, example_inputs: Tensor) -> nn.Module:
        """A smaller copy of `model`; `model` itself stays as it was.

        Parameters
        ----------
        model : the network that the plan was made for, or one of the same architecture
        example_inputs : Tensor (1, c, h, w)
            Any input that the network takes; used to trace it, its values do not matter.

        Raises
        ------
        BadValue
            The plan names a layer or channel that the model lacks, or its widths are not the model's.
        """
        layers = cutting.prunable_layers(model)
        for name, wide in self.widths.items():
            if name in layers and cutting.width(layers[name]) != wide:
                here = cutting.width(layers[name])
                raise BadValue(f"the plan was made for {wide} channels in layer {name!r}, but this network has {here}")
        return cutting.cut(model, self.keep, example_inputs)

    def removed(self) -> int:
        """How many channels the plan removes, over all layers whose widths are known."""
        return sum(self.widths[name] - len(kept) for name, kept in self.keep.items() if name in self.widths)

    def to_json(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "method": self.method,
            "parameters": self.parameters,
            "layers": {name: {"width": self.widths.get(name), "keep": list(kept)} for name, kept in self.keep.items()},
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "PruningPlan":
        """The plan that `to_json` described. Raises BadValue if `value` is not such a description."""
        try:
            require(value["format"] == FORMAT, "format of the plan", value["format"], f"{FORMAT}")
            layers = value["layers"]
            keep = {name: list(layer["keep"]) for name, layer in layers.items()}
            widths = {name: layer["width"] for name, layer in layers.items() if layer["width"] is not None}
            return cls(keep, widths, value["method"], dict(value["parameters"]))
        except (KeyError, TypeError, AttributeError) as fault:
            raise BadValue(f"not a pruning plan: {type(fault).__name__} at {fault}") from None

    def save(self, path: str | Path) -> None:
        """Write the plan as JSON, one line a layer, in one step."""
        value = self.to_json()
        layers = [f"  {json.dumps(name)}: {json.dumps(layer)}" for name, layer in value.pop("layers").items()]
        head = [f" {json.dumps(name)}: {json.dumps(content)},\n" for name, content in value.items()]
        files.write_text(path, "{\n" + "".join(head) + ' "layers": {\n' + ",\n".join(layers) + "\n }\n}\n")

    @classmethod
    def load(cls, path: str | Path) -> "PruningPlan":
        """Read what `save` wrote. Raises BadValue for anything else, FileNotFoundError if there is no such file."""
        try:
            value = json.loads(Path(path).read_text(encoding="utf-8"))
        except (json.JSONDecodeError, UnicodeDecodeError) as fault:
            raise BadValue(f"{path} is not a pruning plan: {fault}") from None
        return cls.from_json(value)
