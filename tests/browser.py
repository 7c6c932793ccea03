"""The check of the book's pages, and Chromium, which some tests need."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[1]


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


check_book = load(ROOT / "tools" / "check_book.py")


def has_chromium() -> bool:
    try:
        check_book.find_browser()
    except check_book.CannotCheck:
        return False
    return True


in_chromium = pytest.mark.skipif(not has_chromium(), reason="needs Chromium")
