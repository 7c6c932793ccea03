"""PruningPlan: which output channels each layer keeps, and which take over from the others. What every method produces."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from prunebook import cutting, files
from prunebook.errors import BadValue, require

FORMAT = 1
WITH_DELEGATES = 2  # the format of a plan that has them, which a reader of format 1 would cut without them


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
    delegates : dict of layer name -> dict of channel -> the kept channel that takes over from it
        What reads the one is added to what reads the other: the weights of the next layers are summed. A kept channel can
        hand its own readers on and have those of others. A channel that is named neither here nor in `keep` is lost.
    """

    keep: dict[str, list[int]]
    widths: dict[str, int] = field(default_factory=dict)
    method: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)
    delegates: dict[str, dict[int, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, kept in self.keep.items():
            whole = all(isinstance(channel, int) and channel >= 0 for channel in kept)
            valid = whole and len(kept) > 0 and list(kept) == sorted(set(kept))
            require(valid, f"keep[{name!r}]", kept, "a sorted list of distinct channel numbers, not empty")
        for name, units in self.delegates.items():
            require(name in self.keep, f"delegates[{name!r}]", units, "of a layer that keep names")
            valid = all(isinstance(unit, int) and unit >= 0 and unit != to for unit, to in units.items())
            valid = valid and set(units.values()) <= set(self.keep[name])
            require(
                valid, f"delegates[{name!r}]", units, "a dict from channel numbers to kept channels other than themselves"
            )

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
        return cutting.cut(model, self.keep, example_inputs, self.delegates)

    def removed(self) -> int:
        """How many channels the plan removes, over all layers whose widths are known."""
        return sum(self.widths[name] - len(kept) for name, kept in self.keep.items() if name in self.widths)

    def to_json(self) -> dict[str, Any]:
        return {
            "format": WITH_DELEGATES if self.delegates else FORMAT,
            "method": self.method,
            "parameters": self.parameters,
            "layers": {name: self._layer_to_json(name) for name in self.keep},
        }

    def _layer_to_json(self, name: str) -> dict[str, Any]:
        layer: dict[str, Any] = {"width": self.widths.get(name), "keep": list(self.keep[name])}
        if name in self.delegates:
            layer["delegates"] = {str(unit): to for unit, to in self.delegates[name].items()}
        return layer

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "PruningPlan":
        """The plan that `to_json` described. Raises BadValue if `value` is not such a description."""
        try:
            known = value["format"] in (FORMAT, WITH_DELEGATES)
            require(known, "format of the plan", value["format"], f"{FORMAT} or {WITH_DELEGATES}")
            layers = value["layers"]
            keep = {name: list(layer["keep"]) for name, layer in layers.items()}
            widths = {name: layer["width"] for name, layer in layers.items() if layer["width"] is not None}
            moved = {name: layer["delegates"] for name, layer in layers.items() if "delegates" in layer}
            delegates = {name: {int(unit): to for unit, to in units.items()} for name, units in moved.items()}
            return cls(keep, widths, value["method"], dict(value["parameters"]), delegates)
        except BadValue:
            raise
        except (KeyError, TypeError, ValueError, AttributeError) as fault:
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
