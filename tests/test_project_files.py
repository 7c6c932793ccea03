"""The files around the package: the check of the book's pages, its table of contents, its exercises, CI, citation."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import chapters
import pytest
import yaml
from browser import check_book, in_chromium

ROOT = Path(__file__).parent.parent


Site = Callable[..., Path]
PICTURE = '<svg xmlns="http://www.w3.org/2000/svg" width="4" height="4"><rect width="4" height="4"/></svg>'


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A site of two pages and a picture; `body` goes into the first page."""

    def make(body: str = "") -> Path:
        head = '<!doctype html><html><head><meta name="viewport" content="width=device-width"></head>'
        (tmp_path / "index.html").write_text(f'{head}<body><h1 id="here">One</h1>{body}</body></html>')
        (tmp_path / "two.html").write_text(f'{head}<body><h1 id="there">Two</h1></body></html>')
        (tmp_path / "dot.svg").write_text(PICTURE)
        return tmp_path

    return make


SOUND = (
    '<img src="dot.svg" alt="a dot"><a href="#here">here</a><a href="#top">top</a><a href="two.html#there">there</a>'
    '<a href="https://example.org/">elsewhere</a>'
    '<div style="overflow-x: auto"><div style="width: 2000px">wide, in a box that scrolls</div></div>'
)


def test_a_sound_site_passes_without_a_browser(site: Site) -> None:
    assert check_book.check_sources(site(SOUND)) == []


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ('<img src="dot.svg">', "index.html: picture without alt text: dot.svg"),
        ('<img src="dot.svg" alt=" ">', "index.html: picture without alt text: dot.svg"),
        ('<a href="three.html">x</a>', "index.html: dead link three.html: no such file"),
        ('<a href="#nowhere">x</a>', "index.html: dead link #nowhere: no such anchor"),
        ('<a href="two.html#here">x</a>', "index.html: dead link two.html#here: no such anchor"),
        ('<a href="../index.html">x</a>', "index.html: dead link ../index.html: outside of the book"),
        ('<link rel="stylesheet" href="gone.css">', "index.html: dead link gone.css: no such file"),
        ('<meta http-equiv="Refresh" content="0; url=gone.html">', "index.html: dead link gone.html: no such file"),
    ],
)
def test_what_is_wrong_in_a_page_s_source_is_found(site: Site, body: str, problem: str) -> None:
    assert check_book.check_sources(site(SOUND + body)) == [problem]


@in_chromium
def test_a_sound_site_passes_in_the_browser_and_is_photographed(site: Site, tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    assert check_book.check_in_browser(site(SOUND), pictures) == []
    names = {f"{page}-{screen}-{scheme}.png" for page in ("index", "two") for screen in ("wide", "phone") for scheme in
             ("light", "dark")}  # fmt: skip
    assert {path.name for path in pictures.iterdir()} == names


@in_chromium
def test_everything_that_only_a_browser_shows_is_found(site: Site) -> None:
    body = (
        '<img src="gone.png" alt="gone">'
        '<script src="https://example.org/library.js"></script>'
        '<script>console.error("out of cheese"); setTimeout(() => undefined_function(), 0)</script>'
        '<script>matchMedia("(prefers-color-scheme: dark)").matches && console.error("only in the dark")</script>'
        '<div class="broad" style="width: 700px">too wide for a phone</div>'
    )
    problems = check_book.check_in_browser(site(SOUND + body))
    wanted = [
        "index.html: picture does not load: gone.png",
        "index.html: request to elsewhere: https://example.org/library.js",
        "index.html: console error: out of cheese",
        "index.html: script error: undefined_function is not defined",
        "index.html: console error: only in the dark",
    ]
    assert [problem for problem in wanted if problem not in problems] == []
    assert any("on a screen of 390, because of div.broad" in problem for problem in problems)
    assert not any("on a screen of 1280" in problem or problem.startswith("two.html") for problem in problems)


@in_chromium
def test_the_exit_code_is_one_if_something_is_wrong(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    assert check_book.main([str(site(SOUND))]) == 0
    assert check_book.main([str(site('<img src="dot.svg">'))]) == 1
    assert "picture without alt text: dot.svg" in capsys.readouterr().out


def test_without_chromium_one_sentence_says_what_to_do(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CHROMIUM", "no-such-browser")
    assert check_book.main([str(site())]) == 2
    assert capsys.readouterr().err.strip() == (
        "check_book: CHROMIUM is 'no-such-browser', which cannot be run: install Chromium (on Debian: apt-get install "
        "chromium) or name it in CHROMIUM"
    )


def test_without_a_built_book_one_sentence_says_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check_book.main([str(tmp_path / "nothing")]) == 2
    assert capsys.readouterr().err.strip().endswith("has no pages; build the book first: make book")


def files_of(toc: dict | list) -> list[str]:
    if isinstance(toc, list):
        return [name for part in toc for name in files_of(part)]
    own = [toc[key] for key in ("root", "file") if key in toc]
    return own + [name for key in ("parts", "chapters", "sections") for name in files_of(toc.get(key, []))]


def test_every_page_of_the_table_of_contents_exists_or_is_made_from_a_run() -> None:
    for name in files_of(yaml.safe_load((ROOT / "_toc.yml").read_text())):
        if not name.startswith("book/runs/"):
            assert (ROOT / f"{name}.md").is_file(), name
            continue
        runs = {notebook.stem: yaml.safe_load(notebook.read_text())["runs"] for notebook in ROOT.glob("notebooks/*.yml")}
        page = Path(name).name
        assert page in runs or page in {f"{notebook}-{run}" for notebook, named in runs.items() for run in named}, name


def test_every_page_of_prose_is_in_the_table_of_contents() -> None:
    named = files_of(yaml.safe_load((ROOT / "_toc.yml").read_text()))
    waiting = yaml.safe_load((ROOT / "_config.yml").read_text())["exclude_patterns"]
    pages = {f"book/{page.stem}" for page in ROOT.glob("book/*.md") if f"book/{page.name}" not in waiting}
    assert pages <= set(named)


@pytest.mark.parametrize("label", chapters.exercises("kcore"))
def test_the_printed_solution_of_an_exercise_passes_its_printed_check(label: str) -> None:
    chapters.solve("kcore", label)


def test_the_chapter_has_exercises_whose_checks_need_a_solution() -> None:
    assert chapters.unsolved("kcore") == chapters.exercises("kcore") == ["ex-hash", "ex-graph", "ex-macs", "ex-jaccard"]


def test_the_workflow_is_one_that_github_understands() -> None:
    workflow = ROOT / ".github" / "workflows" / "book.yml"
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows", str(workflow)]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout + found.stderr


def test_the_workflow_runs_make_test_and_publishes_only_what_passed() -> None:
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "book.yml").read_text())["jobs"]
    assert "make test" in [step.get("run") for step in jobs["test"]["steps"]]
    assert jobs["publish"]["needs"] == "test"
    assert jobs["test"]["permissions"] == {"contents": "read"}
    assert all("timeout-minutes" in job for job in jobs.values())


def test_the_citation_has_what_a_citation_needs() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors", "version", "license"} <= citation.keys()
    assert f'version = "{citation["version"]}"' in (ROOT / "pyproject.toml").read_text()
    assert citation["license"] == "MIT"
    assert "MIT License" in (ROOT / "LICENSE").read_text()


def test_conda_users_get_the_locked_packages() -> None:
    dependencies = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    from_pip = next(entry["pip"] for entry in dependencies if isinstance(entry, dict))
    assert any("requirements.lock" in line for line in from_pip)


def test_the_readme_names_commands_and_files_that_exist() -> None:
    readme = (ROOT / "README.md").read_text()
    makefile = (ROOT / "Makefile").read_text()
    for target in set(re.findall(r"(?:`|^)make ([a-z]+)", readme, re.MULTILINE)):
        assert f"\n{target}:" in makefile, target
    for link in re.findall(r"\]\(([^)#:]+)\)", readme):
        assert (ROOT / link).is_file(), link
