"""The trace of an MRP plan as a slider over its iterations, for a page that nobody serves: HTML with all it needs in it.

Without scripts the end of the trace stands there, and no control. Nothing has an id, so that a page can hold several.
"""

import html
import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from IPython.display import HTML

from prunebook.errors import require
from prunebook.methods import mrp

COUNTED = {"macs": "MACs", "params": "parameters"}
SHARES, LEVELS = 10_000, 1000  # parts of which the share removed and a redundancy are whole numbers on the page


def slider(widths: Mapping[str, int], trace: Sequence[Mapping[str, Any]], what: str, counter: str = "macs") -> HTML:
    """A slider over the iterations of a trace: a bar for each layer, as high as it is wide then, the layer that lost marked.

    Parameters
    ----------
    widths : of the layers before pruning, in order of execution
    trace : of a plan by `methods.mrp.plan`
    what : the network, for those who do not see the bars
    counter : {"macs", "params"}
        Of which the trace counts the share that is removed.

    Raises BadValue for a trace without iterations, and for a layer in it that has no width.
    """
    require(len(trace) > 0, "the number of iterations", len(trace), "at least 1 for a slider")
    for iteration in trace:
        require(iteration["layer"] in widths, "layer", iteration["layer"], "one of those whose widths are given")
    left = mrp.replay(widths, trace)[-1]
    last, most = trace[-1]["layer"], max(widths.values())
    bars = "".join(_bar(wide / most, left[name] / wide, name == last) for name, wide in widths.items())
    lines = "".join(f'<b style="bottom:{100 * wide / most:.4g}%">{wide}</b>' for wide in sorted(set(widths.values())))
    data = html.escape(json.dumps(_packed(widths, trace, COUNTED[counter]), separators=(",", ":")))
    said = html.escape(f"{what}: the width of every layer at each iteration")
    return HTML(
        f'<div class="mrp-replay" role="group" aria-label="{said}" data-trace="{data}">\n{STYLE}\n'
        f'<div class="bars" role="img" aria-label="A bar for each of {len(widths)} layers">{lines}{bars}</div>\n'
        '<p class="key">Filters of each layer, from the image to the output. Outlined: before pruning. Filled: what is '
        "left. Striped: the layer that has just lost some.</p>\n"
        f'<div class="controls" hidden><label>Iteration <input type="range" min="0" max="{len(trace)}" value="{len(trace)}">'
        '</label><button type="button">one back</button><button type="button">one on</button></div>\n'
        f"<output>{html.escape(state(widths, trace, len(trace), counter))}</output>\n{SCRIPT}\n</div>"
    )


def state(widths: Mapping[str, int], trace: Sequence[Mapping[str, Any]], at: int, counter: str = "macs") -> str:
    """What the page says after iteration `at`, counted from 1; 0 is before the first. As in `SCRIPT`."""
    if at == 0:
        return f"Iteration 0 of {len(trace)}: nothing has been removed."
    one = trace[at - 1]
    name, lost = one["layer"], ", ".join(map(str, one["filters"]))
    level, removed = round(LEVELS * one["redundancy"]) / LEVELS, round(SHARES * one["removed"]) / SHARES
    left = mrp.replay({name: widths[name]}, trace[:at])[-1][name]
    return (
        f"Iteration {at} of {len(trace)}: {name} lost filter{'s' * (len(one['filters']) > 1)} {lost}. It has {left} of "
        f"{widths[name]} left. Before, it had {one['communities']} communities, a redundancy of {level:.3f}. Removed "
        f"so far: {100 * removed:.2f} % of the {COUNTED[counter]}."
    )


def _bar(high: float, left: float, marked: bool) -> str:
    now = ' class="now"' if marked else ""
    return f'<div{now} style="height:{100 * high:.4g}%"><i style="height:{100 * left:.4g}%"></i></div>'


def _packed(widths: Mapping[str, int], trace: Sequence[Mapping[str, Any]], counted: str) -> dict[str, Any]:
    """The trace in few characters; shares are whole numbers, and what they grow by."""
    places = {name: place for place, name in enumerate(widths)}
    shares = [0, *(round(SHARES * iteration["removed"]) for iteration in trace)]
    return {
        "names": list(widths),
        "widths": list(widths.values()),
        "layers": [places[iteration["layer"]] for iteration in trace],
        "lost": " ".join(",".join(map(str, iteration["filters"])) for iteration in trace),
        "communities": [iteration["communities"] for iteration in trace],
        "redundancy": [round(LEVELS * iteration["redundancy"]) for iteration in trace],
        "grown": [after - before for before, after in pairwise(shares)],
        "counted": counted,
    }


# Colours have enough contrast on white and on the dark theme's ground; all else takes the colour of the text around it.
STYLE = """<style>
.mrp-replay { max-width: 46rem; margin: 0.5rem 0 1rem; color: inherit; }
.mrp-replay .bars { position: relative; display: flex; align-items: flex-end; gap: 1px; height: 10rem; padding-left: 2.2em;
  margin-top: 1em; border-bottom: 1px solid currentColor; }
.mrp-replay .bars b { position: absolute; left: 0; right: 0; height: 0; border-top: 1px dotted currentColor; opacity: 0.6;
  font-size: 0.8em; font-weight: normal; line-height: 1; }
.mrp-replay .bars div { position: relative; flex: 1; min-width: 0; box-sizing: border-box; border: 1px solid #888;
  border-bottom: 0; }
.mrp-replay .bars i { position: absolute; inset: auto 0 0; background: #0a78b5; }
.mrp-replay .bars .now { border-color: #d55e00; }
.mrp-replay .bars .now i { background: repeating-linear-gradient(45deg, #d55e00 0 3px, #f5b78f 3px 5px); }
.mrp-replay .key { margin: 0.3rem 0; font-size: 0.85em; }
.mrp-replay .controls { display: flex; flex-wrap: wrap; gap: 0.5rem; align-items: center; padding: 0 3px; }
.mrp-replay .controls[hidden] { display: none; }
.mrp-replay label { display: flex; flex: 1 1 16rem; gap: 0.6rem; align-items: center; }
.mrp-replay input { flex: 1; min-width: 0; height: 2rem; accent-color: #0a78b5; }
.mrp-replay button { min-height: 2rem; padding: 0.2rem 0.7rem; border: 1px solid currentColor; border-radius: 0.3rem;
  background: transparent; color: inherit; font: inherit; }
.mrp-replay output { display: block; min-height: 4.8em; margin-top: 0.4rem; line-height: 1.6; }
</style>"""

# Each copy brings every slider of the page to life that is not yet: where a script stands is not known everywhere.
SCRIPT = """<script>
for (const root of document.querySelectorAll(".mrp-replay:not([data-alive])")) {
  root.dataset.alive = "";
  const trace = JSON.parse(root.dataset.trace), all = trace.layers.length;
  const lost = trace.lost.split(" ").map(filters => filters.split(","));
  const bars = [...root.querySelectorAll(".bars div")];
  const input = root.querySelector("input"), output = root.querySelector("output");
  const show = () => {
    const at = Number(input.value), now = at ? trace.layers[at - 1] : -1, left = [...trace.widths];
    let removed = 0;
    for (let i = 0; i < at; i++) {
      left[trace.layers[i]] -= lost[i].length;
      removed += trace.grown[i];
    }
    bars.forEach((bar, layer) => {
      bar.className = layer === now ? "now" : "";
      bar.title = `${trace.names[layer]}: ${left[layer]} of ${trace.widths[layer]}`;
      bar.firstChild.style.height = `${100 * left[layer] / trace.widths[layer]}%`;
    });
    input.setAttribute("aria-valuetext", `${at} of ${all}`);
    output.textContent = at === 0 ? `Iteration 0 of ${all}: nothing has been removed.` :
      `Iteration ${at} of ${all}: ${trace.names[now]} lost filter${lost[at - 1].length > 1 ? "s" : ""} ` +
      `${lost[at - 1].join(", ")}. It has ${left[now]} of ${trace.widths[now]} left. Before, it had ` +
      `${trace.communities[at - 1]} communities, a redundancy of ${(trace.redundancy[at - 1] / 1000).toFixed(3)}. ` +
      `Removed so far: ${(removed / 100).toFixed(2)} % of the ${trace.counted}.`;
  };
  const [back, on] = root.querySelectorAll("button");
  back.onclick = () => { input.stepDown(); show(); };
  on.onclick = () => { input.stepUp(); show(); };
  input.oninput = show;
  root.querySelector(".controls").hidden = false;
  show();
}
</script>"""
