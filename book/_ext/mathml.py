"""Formulas as MathML, written when the book is built.

Browsers draw MathML themselves, so that a page needs no script for its formulas and nothing from another server. Sphinx
brings no such renderer. A formula that cannot be converted is a warning, and so an error of the build.
"""

import html
import re

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.math import get_node_equation_number
from sphinx.writers.html5 import HTML5Translator

logger = logging.getLogger(__name__)

# The converter makes the names of functions identifiers, and browsers then set "p log p" without spaces.
FUNCTION = re.compile(r"<mi>(arg|cos|cosh|det|exp|lim|ln|log|max|min|sin|sinh|tan|tanh)</mi>")


def mathml(latex: str, display: str, node: nodes.Element) -> str:
    """The formula as a <math> element; where that fails, its source, and a warning at its place."""
    try:
        found = FUNCTION.sub(r'<mo lspace="0.17em" rspace="0.17em">\1</mo>', convert(latex, display=display))
    except Exception as fault:  # the converter raises a dozen kinds, and some of them are IndexError
        reason = type(fault).__name__
    else:
        unknown = re.search(r"\\\w+", found)  # what it does not know it leaves in the result
        if unknown is None:
            return found
        reason = unknown[0]
    logger.warning("formula not understood (%s): %s", reason, latex, location=node)
    return f"<code>{html.escape(latex)}</code>"


def visit_math(self: HTML5Translator, node: nodes.math) -> None:
    self.body.append(f'<span class="math">{mathml(node.astext(), "inline", node)}</span>')
    raise nodes.SkipNode


def visit_math_block(self: HTML5Translator, node: nodes.math_block) -> None:
    self.body.append(self.starttag(node, "div", CLASS="math"))
    self.body.append(f'<div class="formula">{mathml(node.astext(), "block", node)}</div>')
    if node["number"]:
        self.body.append(f'<span class="eqno">({get_node_equation_number(self, node)})')
        self.add_permalink_ref(node, "Link to this equation")
        self.body.append("</span>")
    self.body.append("</div>\n")
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_math_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
