"""Notebooks, their runs and parameters, and the command line around them."""

import ast
import json
import re
import shlex
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import nbformat
import pytest
from processes import HEARS_CTRL_C, is_alive, press_ctrl_c, start, wait_for

from prunebook import cli, commands, notebooks, paths, studies
from prunebook.errors import BadValue
from prunebook.studies import kcore
from prunebook.trials import Store

NAMES = notebooks.names()


def template(name: str) -> nbformat.NotebookNode:
    return nbformat.read(notebooks.get(name).template, as_version=4)


def run_cli(*arguments: str, capsys) -> tuple[int, str, str]:
    code = cli.main(list(arguments))
    out, err = capsys.readouterr()
    return code, out, err


@pytest.mark.parametrize("name", NAMES)
def test_a_template_has_no_outputs_and_one_cell_of_parameters(name):
    cells = template(name).cells
    code = [cell for cell in cells if cell.cell_type == "code"]
    assert all(not cell.outputs and cell.execution_count is None for cell in code)
    assert sum("parameters" in cell.metadata.get("tags", []) for cell in cells) == 1
    assert all(len(cell.source.splitlines()) <= 48 for cell in code if "parameters" in cell.metadata.get("tags", []))
    assert all(len(cell.source.splitlines()) <= 15 for cell in code if "parameters" not in cell.metadata.get("tags", []))


@pytest.mark.parametrize("name", NAMES)
def test_the_cell_of_parameters_holds_the_models_defaults(name):
    cell = next(c for c in template(name).cells if "parameters" in c.metadata.get("tags", []))
    given = {s.targets[0].id: ast.literal_eval(s.value) for s in ast.parse(cell.source).body}
    model = studies.get(name).Parameters
    assert given == {name: field.default for name, field in model.model_fields.items()}


@pytest.mark.parametrize("name", NAMES)
def test_every_figure_of_a_notebook_has_alt_text(name):
    for cell in template(name).cells:
        if cell.cell_type == "code" and "figures." in cell.source and "figures.style" not in cell.source:
            draws = any(isinstance(node, ast.Call) and getattr(node.func, "attr", "") not in ("to_draw", "similarity_of")
                        and getattr(getattr(node.func, "value", None), "id", "") == "figures"
                        for node in ast.walk(ast.parse(cell.source)))  # fmt: skip
            assert not draws or len(cell.metadata["mystnb"]["image"]["alt"]) > 20, cell.source


@pytest.mark.parametrize("name", NAMES)
def test_every_run_is_valid_and_says_what_it_is_and_how_long_it_takes(name):
    notebook = notebooks.get(name)
    assert {"smoke", "quick"} <= set(notebook.description.runs)
    for run in notebook.description.runs:
        assert notebook.run(run).about
        notebook.trials(notebook.parameters(run))


def test_defaults_give_way_to_the_run_and_the_run_to_the_command_line():
    notebook = notebooks.get("kcore")
    assert notebook.parameters("quick").taus == [0.6, 0.7, 0.8]
    assert notebook.parameters("quick", {"taus": [0.7]}).taus == [0.7]


def test_an_unknown_notebook_and_run_are_refused_with_the_nearest_name(capsys):
    assert "did you mean 'kcore'?" in run_cli("run", "kcor", capsys=capsys)[2]
    assert "did you mean 'quick'?" in run_cli("run", "kcore", "quik", capsys=capsys)[2]
    for hostile in ("../kcore", "kcore; ls", "/etc/passwd", "kcore\n"):
        assert run_cli("run", hostile, capsys=capsys)[0] == 2


def test_text_as_papermill_hands_it_over_is_understood():
    p = kcore.Parameters.check({"lr": "1e-3", "images": "50", "taus": 0.7, "arch": "resnet56"})
    assert (p.lr, p.images, p.taus, p.arch) == (0.001, 50, [0.7], ["resnet56"])


def test_a_notebook_refuses_a_parameter_that_papermill_only_logs():
    cells = ["", "taus = [0.7]\nimages = 10", "# Parameters\ntuas = [0.6]", "import torch\nx = torch.ones(3)"]
    with pytest.raises(BadValue, match="there is no parameter 'tuas'"):
        kcore.Parameters.of_notebook({"In": cells, "taus": [0.7], "images": 10, "tuas": [0.6], "x": 3})
    p = kcore.Parameters.of_notebook({"In": [cells[1], cells[3]], "taus": [0.8], "images": 10, "x": 3})
    assert (p.taus, p.images) == ([0.8], 10)


def test_baselines_are_trained_first():
    p = notebooks.get("kcore").parameters("quick")
    found = kcore.trials(p)
    prunings = kcore.prunings(p)
    assert len(prunings) == 2 * 2 * 2 * 3  # networks, scores, seeds, thresholds
    needed = {trial for one in prunings for trial in one.needs()}
    assert needed == set(kcore.baselines(p))
    assert found[: len(needed)] == kcore.baselines(p)


def test_a_run_with_other_parameters_has_a_page_of_its_own():
    notebook = notebooks.get("kcore")
    assert notebooks.page(notebook, "quick").name == "kcore-quick.ipynb"
    assert notebooks.page(notebook, "quick", {"engine": "records"}).name == "kcore-quick.ipynb"
    own = {notebooks.page(notebook, "quick", {"taus": [tau]}) for tau in (0.6, 0.7)}
    assert len(own) == 2
    assert all(page.parent.name == "own" for page in own)


def test_list_names_the_runs_and_explains_every_parameter(capsys):
    code, out, _ = run_cli("list", "kcore", capsys=capsys)
    assert code == 0
    for words in ("smoke", "quick", "lite", "2 cores", *kcore.Parameters.model_fields):
        assert words in out


def test_status_counts_records_by_run(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("PRUNEBOOK_CACHE", str(tmp_path))
    code, out, _ = run_cli("status", "kcore", capsys=capsys)
    assert code == 0
    smoke = len(kcore.trials(notebooks.get("kcore").parameters("smoke")))
    assert f"kcore smoke: 0 done, {smoke} missing, 0 stale" in out


def test_status_says_what_stale_means_where_a_record_is(monkeypatch, capsys):
    for state in ("stale", "done"):
        monkeypatch.setattr(Store, "state_of_each", lambda self, wanted, state=state: dict.fromkeys(wanted, state))
        assert ("Stale: " in run_cli("status", "kcore", capsys=capsys)[1]) == (state == "stale")


def test_yaml_with_a_wrong_key_is_refused(tmp_path, monkeypatch):
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "kcore.ipynb").write_text("{}")
    (tmp_path / "notebooks" / "kcore.yml").write_text("about: x\nruns: {quick: {about: a, time: b, paramters: {}}}")
    monkeypatch.setenv("PRUNEBOOK_HOME", str(tmp_path))
    with pytest.raises(BadValue, match="did you mean 'parameters'"):
        notebooks.get("kcore")


def test_an_interrupted_execution_leaves_the_old_page_alone(tmp_path, monkeypatch):
    import papermill

    def interrupted(template, output, **_):
        Path(output).write_text("half")
        raise KeyboardInterrupt

    monkeypatch.setattr(papermill, "execute_notebook", interrupted)
    page = tmp_path / "page.ipynb"
    page.write_text("old")
    notebook = notebooks.get("status")
    with pytest.raises(KeyboardInterrupt):
        notebooks.execute(notebook, notebook.parameters("smoke"), page)
    assert page.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["page.ipynb"]


def with_last_cell(source: str, folder: Path, *names: str) -> dict[str, str]:
    """A project with these notebooks, or with one, which end by this; the environment in which it is the project."""
    (folder / "notebooks").mkdir()
    for name in names or ("status",):
        description = notebooks.get(name).template.with_suffix(".yml").read_text()
        (folder / "notebooks" / f"{name}.yml").write_text(description)
        cells = template(name)
        cells.cells = [*cells.cells[:2], nbformat.v4.new_code_cell(source)]
        nbformat.write(cells, folder / "notebooks" / f"{name}.ipynb")
    return {"PRUNEBOOK_HOME": str(folder), "PRUNEBOOK_CACHE": str(folder / "cache")}


def meet(folder: Path) -> str:
    """A cell that ends only once another kernel is in it as well."""
    return f"""
import os, time, pathlib
pathlib.Path({str(folder)!r}, f"here-{{os.getpid()}}").touch()
end = time.monotonic() + 60
while len(list(pathlib.Path({str(folder)!r}).glob("here-*"))) < 2:
    assert time.monotonic() < end, "alone"
    time.sleep(0.05)
"""


def test_pages_are_executed_side_by_side(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(commands.torch, "get_num_threads", lambda: 2)
    for name, value in with_last_cell(meet(tmp_path), tmp_path, "speed", "faults").items():
        monkeypatch.setenv(name, value)
    code, out, _ = run_cli("pages", capsys=capsys)
    assert (code, sorted(out.splitlines())) == (0, ["faults.ipynb: executed", "speed.ipynb: executed"])
    assert not list(tmp_path.glob("kernel*"))  # no sockets, in the project, where two kernels would share them


def test_two_commands_execute_notebooks_at_the_same_time(tmp_path):
    home = with_last_cell(meet(tmp_path), tmp_path, "speed", "faults")
    both = [start(["-m", "prunebook", "run", name, "smoke"], env=home, cwd=tmp_path) for name in ("speed", "faults")]
    ends = [(process.communicate(timeout=120)[1], process.returncode) for process in both]
    assert [code for _, code in ends] == [0, 0], ends


@pytest.mark.parametrize("command", [["run", "status", "smoke"], ["pages"], ["pages", "--smoke"]])
def test_ctrl_c_while_a_notebook_is_executed_is_told_in_one_sentence(tmp_path, command):
    began = tmp_path / "began"
    source = f"import os\nopen({str(began)!r}, 'w').write(str(os.getpid()))\nimport time\ntime.sleep(600)"
    home = with_last_cell(source, tmp_path)
    script = f"{HEARS_CTRL_C}import sys\nfrom prunebook import cli\nsys.exit(cli.main({command}))"
    process = start(["-c", script], env=home, cwd=tmp_path)
    wait_for(lambda: began.exists() and began.read_text(), process)
    press_ctrl_c(process)
    _, errors = process.communicate(timeout=120)  # returns once the kernel has ended as well
    assert errors.strip().startswith("prunebook: interrupted; finished trials are kept")
    assert errors.strip().count("\n") == 0
    assert process.returncode == 130
    assert not is_alive(int(began.read_text()))
    assert [path for path in (tmp_path / "book").rglob("*") if not (path.is_dir() or path.name == "index.md")] == []


def test_a_page_that_fails_says_which_cell_and_leaves_the_old_one(tmp_path, monkeypatch):
    for name, value in with_last_cell("1 / 0", tmp_path).items():
        monkeypatch.setenv(name, value)
    page = tmp_path / "book" / "runs" / "status.ipynb"
    page.parent.mkdir(parents=True)
    page.write_text("old")
    with pytest.raises(Exception, match="ZeroDivisionError") as fault:
        cli.main(["pages"])
    assert "while the page status.ipynb was executed" in fault.value.__notes__
    assert page.read_text() == "old"


def test_pages_that_are_up_to_date_are_not_executed_again(tmp_path, monkeypatch, capsys):
    for name, value in with_last_cell("open('count', 'a').write('x')", tmp_path).items():
        monkeypatch.setenv(name, value)
    assert run_cli("pages", capsys=capsys)[:2] == (0, "status.ipynb: executed\n")
    assert run_cli("pages", capsys=capsys)[:2] == (0, "status.ipynb: up to date\n")
    assert (tmp_path / "count").read_text() == "x"
    code, out, _ = run_cli("pages", "--smoke", capsys=capsys)
    assert code == 0
    assert re.fullmatch(r"status smoke: \d+\.\d s\n", out)
    assert (tmp_path / "count").read_text() == "xx"


def test_a_changed_page_of_ones_own_is_named_and_kept_and_the_others_are_made(tmp_path, monkeypatch, capsys):
    for name, value in with_last_cell("", tmp_path).items():
        monkeypatch.setenv(name, value)
    runs = tmp_path / "book" / "runs"
    own = notebooks.execute(notebooks.get("status"), notebooks.get("status").parameters("smoke"), runs / "own" / "a.ipynb")
    assert run_cli("pages", capsys=capsys) == (0, "status.ipynb: executed\n", "")
    changed = own.read_text().replace("# ", "# No ", 1)
    assert changed != own.read_text()
    own.write_text(changed)
    (runs / "status.ipynb").write_text("{}")
    code, out, err = run_cli("pages", capsys=capsys)
    assert (code, out) == (1, "status.ipynb: executed\n")
    assert err.startswith(f"prunebook: {own} is damaged or was changed: run it again")
    assert err.count("\n") == 1
    assert own.read_text() == changed


def test_a_pages_heading_names_its_run_and_what_was_changed():
    dice, speed = notebooks.get("dice"), notebooks.get("speed")
    assert notebooks.subtitle(dice, "lite") == "run lite"
    assert notebooks.subtitle(dice, "smoke", {"first_seed": 7, "engine": "records"}) == "run smoke, first_seed 7"
    assert notebooks.subtitle(speed, "quick") == ""  # it has a page of its own


def test_an_executed_notebook_is_marked_with_what_it_was_made_from(tmp_path, monkeypatch):
    monkeypatch.setenv("PRUNEBOOK_CACHE", str(tmp_path / "cache"))
    notebook = notebooks.get("status")
    parameters = notebook.parameters("smoke")
    page = notebooks.execute(notebook, parameters, tmp_path / "status.ipynb", "abc")
    assert notebooks.is_fresh(page, "abc")
    assert not notebooks.is_fresh(page, "abd")
    executed = json.loads(page.read_text())
    assert "papermill" not in executed["metadata"]
    assert not any("papermill" in cell["metadata"] for cell in executed["cells"])
    assert str(tmp_path) not in page.read_text()


def test_a_page_has_only_the_sections_that_its_run_fills(tmp_path):
    notebook = notebooks.get("kcore")
    texts = {}
    for run in ("quick", "lite"):
        cells = json.loads(notebooks._sections(notebook, notebook.parameters(run), tmp_path).read_text())["cells"]
        texts[run] = "\n".join("".join(cell["source"]) for cell in cells)
    for heading in ("## Table 8: how many images\n", "## The paper's claims\n"):
        assert heading in texts["lite"]
        assert heading not in texts["quick"]
    assert "## What is removed\n" in texts["quick"]


def test_every_condition_of_a_section_is_a_parameter():
    notebook = notebooks.get("kcore")
    tags = {tag for cell in json.loads(notebook.template.read_text())["cells"] for tag in cell["metadata"].get("tags", [])}
    conditions = {tag.removeprefix("if-") for tag in tags if tag.startswith("if-")}
    assert conditions
    assert all(hasattr(notebook.parameters("quick"), name) for name in conditions)


DOCUMENTED = [
    line
    for page in ("README.md", "book/how-to.md", "Makefile")
    for line in (paths.project() / page).read_text().splitlines()
    if "-p " in line and "make run" in line and "NAME VALUE" not in line
]


@pytest.mark.parametrize("line", DOCUMENTED)
def test_the_parameters_of_every_printed_example_are_accepted(line):
    arguments = shlex.split(re.search(r'ARGS=\\?"(.*?)\\?"', line)[1])
    assert set(arguments[::3]) == {"-p"}
    pairs = list(zip(arguments[1::3], arguments[2::3], strict=True))
    assert pairs
    notebook = notebooks.get("kcore")
    assert notebook.trials(notebook.parameters("quick", notebooks.overrides(pairs)))


PRINTED = [
    line.removeprefix(".venv/bin/")
    for page in ("README.md", "book/how-to.md", "CONTRIBUTING.md")
    for line in (paths.project() / page).read_text().splitlines()
    if line.startswith(("prunebook ", ".venv/bin/prunebook "))
]


@pytest.mark.parametrize("line", PRINTED)
def test_every_printed_command_is_one_and_names_what_there_is(line):
    arguments = shlex.split(line, comments=True)[1:]
    if arguments == ["--help"]:
        return
    options = cli._parser().parse_args(arguments)
    if getattr(options, "notebook", None):
        notebook = notebooks.get(options.notebook)
        if "run" in options:
            notebook.parameters(options.run, notebooks.overrides(getattr(options, "parameters", [])))


def test_with_another_architecture_a_runs_experiments_on_its_own_are_left_out():
    notebook = notebooks.get("kcore")
    assert notebook.parameters("quick").learning_rates
    assert notebook.parameters("quick", {"arch": "resnet32"}).learning_rates == {}
    given = {"arch": "resnet32", "learning_rates": {"vgg16": [0.1]}}
    with pytest.raises(BadValue, match="learning_rates is 'vgg16'"):
        notebook.parameters("quick", given)


def test_a_variant_may_be_given_without_quotes():
    p = kcore.Parameters.check({"targets": [0.5], "variants": [{"hash": "ImageHash"}, "tau: one per layer"]})
    assert p.variants == ["hash: ImageHash", "tau: one per layer"]


@pytest.mark.parametrize("module", ["prunebook", "prunebook.cli"])
def test_the_command_starts_as_a_program(module):
    done = subprocess.run([sys.executable, "-m", module, "list"], capture_output=True, text=True, check=True)
    assert "kcore" in done.stdout


@pytest.mark.parametrize(
    ("words", "too_heavy"),
    [
        (["--help"], ("torch", "numpy", "pandas")),
        (["list"], ("torch", "numpy", "pandas")),
        (["run", "kcore", "--enginne"], ("torch", "numpy", "pandas")),
        (["list", "kcore"], ("pandas", "sklearn", "scipy", "torchvision", "torch._dynamo", "matplotlib", "IPython")),
        (["status"], ("pandas", "sklearn", "scipy", "torchvision", "torch._dynamo", "matplotlib", "IPython")),
    ],
)
def test_what_is_asked_in_passing_loads_no_more_than_it_needs(words, too_heavy, tmp_path):
    """Each of these takes half a second and more; who asks for `status` waits for all that is loaded."""
    script = f"""
import sys
from prunebook import __main__ as start
sys.argv = ["prunebook", *{words!r}]
try:
    start.main()
except SystemExit:
    pass
print("LOADED", *(name for name in {too_heavy!r} if name in sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1].split() == ["LOADED"]


def test_what_the_package_offers_is_there_before_it_is_loaded():
    script = "import prunebook, sys; assert 'torch' not in sys.modules; print(set(prunebook.__all__) <= set(dir(prunebook)))"
    script += "; print(prunebook.prune.__name__, prunebook.PruningPlan.__name__, hasattr(prunebook, 'prun'))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "prune", "PruningPlan", "False"]


def test_a_reader_who_has_seen_enough_ends_the_command_without_a_traceback():
    command = f"{shlex.quote(sys.executable)} -m prunebook status | head -1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (141, "")
    assert done.stdout.count("\n") == 1


@pytest.mark.parametrize(
    "words", [["export", "a" * 300 + ".csv"], ["export", "/proc/x.csv"], ["merge", "a" * 5000], ["run", "kcore" * 1000]]
)
def test_a_name_that_no_file_can_have_is_refused_in_one_sentence(words, capsys):
    code, out, err = run_cli(*words, capsys=capsys)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("prunebook: ")
    assert len(err) < 700


def test_the_command_tells_its_version(capsys):
    with pytest.raises(SystemExit):
        cli.main(["--version"])
    assert capsys.readouterr().out == f"PruneBook {metadata.version('prunebook')}\n"


def test_an_interrupted_command_that_keeps_nothing_does_not_say_so(monkeypatch, capsys):
    def press(options):
        raise KeyboardInterrupt

    for name, kept in (("estimate_run", False), ("run_notebook", True), ("update_pages", True), ("verify_files", False)):
        monkeypatch.setattr(commands, name, press)
        words = {"estimate_run": ["estimate", "kcore"], "run_notebook": ["run", "kcore"], "update_pages": ["pages"]}
        code, _, err = run_cli(*words.get(name, ["verify"]), capsys=capsys)
        assert (code, "finished trials are kept" in err) == (130, kept)


def test_the_installed_command_is_this_one():
    (command,) = metadata.entry_points(group="console_scripts", name="prunebook")
    assert command.value == "prunebook.__main__:main"


def test_garbage_is_looked_for_again_once_a_command_runs():
    script = """
import gc
from prunebook import __main__, commands
commands.show_status = lambda options: print("collects", gc.isenabled(), gc.get_freeze_count() > 10_000) or 0
import sys
sys.argv = ["prunebook", "status"]
assert __main__.main() == 0
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["collects", "True", "True"]
