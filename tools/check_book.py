"""Look at every page of the built book as a reader would, and list what is wrong.

    python tools/check_book.py [SITE] [--screenshots FOLDER]

SITE is `_build/html` unless given. Without a browser: every link leads to a page and an anchor that exist, and every
picture has a text for those who cannot see it. In headless Chromium, on a wide and on a narrow screen, light and dark: no
error in the console, no request that leaves this machine, every picture loaded, no page wider than the screen. The exit
code is 0 if nothing is wrong, 1 if something is, 2 if the check could not be made.
"""

import argparse
import os
import shutil
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

from playwright.sync_api import Browser, Error, Page, Route, sync_playwright

SCREENS = {"wide": (1280, 900), "phone": (390, 844)}
SCHEMES = ("light", "dark")
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
MOMENT = 3000  # ms that a picture may take

# Pictures that are lazy load only when they are scrolled to; here all are asked for at once.
PICTURES = """async moment => {
  const pictures = [...document.images];
  await Promise.all(pictures.map(picture => {
    picture.loading = "eager";
    return picture.complete ? null : new Promise(done => {
      picture.onload = picture.onerror = done;
      setTimeout(done, moment);
    });
  }));
  return pictures.filter(p => p.naturalWidth === 0).map(p => `picture does not load: ${p.getAttribute("src")}`);
}"""
# A page wider than the screen, with the last element that sticks out without lying in a box that scrolls or clips.
WIDTH = """() => {
  const screen = document.documentElement.clientWidth;
  const page = Math.max(document.documentElement.scrollWidth, document.body.scrollWidth);
  if (page <= screen) return [];
  const boxed = e => {
    for (let p = e.parentElement; p && p !== document.body; p = p.parentElement)
      if (getComputedStyle(p).overflowX !== "visible") return true;
    return false;
  };
  const sticksOut = e => e.getBoundingClientRect().right > screen + 1 && !boxed(e);
  const widest = [...document.body.querySelectorAll("*")].filter(sticksOut).pop();
  const name = widest ? [widest.tagName.toLowerCase(), ...widest.classList].join(".") : "something unknown";
  return [`${page} pixels wide on a screen of ${screen}, because of ${name}`];
}"""


class CannotCheck(Exception):
    """The check could not be made; the message says what to do."""


@dataclass
class Document:
    """What a page's source says: its anchors, its links, its pictures."""

    anchors: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    without_text: list[str] = field(default_factory=list)
    redirects: bool = False


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.document = Document()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.document.anchors.update(given[name] for name in ("id", "name") if given.get(name))
        if tag in ("a", "area", "link") and given.get("href"):
            self.document.links.append(given["href"])
        if tag == "img" and not given.get("alt", "").strip():
            self.document.without_text.append(given.get("src", ""))
        if tag == "meta" and given.get("http-equiv", "").lower() == "refresh":
            self.document.redirects = True
            self.document.links.append(given.get("content", "").partition("=")[2])


def read(page: Path) -> Document:
    reader = _Reader()
    reader.feed(page.read_text(encoding="utf-8"))
    return reader.document


def pages(site: Path) -> list[Path]:
    """Every page of the book, the one that opens first leading. Raises CannotCheck if there is none."""
    found = [page for page in site.rglob("*.html") if "_static" not in page.relative_to(site).parts]
    if not found:
        raise CannotCheck(f"{site} has no pages; build the book first: make book")
    return sorted(found, key=lambda page: (page != site / "index.html", page))


def check_sources(site: Path) -> list[str]:
    """Dead links and pictures without a text: what can be seen without a browser."""
    documents = {page.resolve(): read(page) for page in pages(site)}
    problems = []
    for page, document in documents.items():
        name = page.relative_to(site.resolve()).as_posix()
        problems += [f"{name}: picture without alt text: {source}" for source in document.without_text]
        for link in dict.fromkeys(document.links):
            fault = _dead(link, page, site.resolve(), documents)
            if fault:
                problems.append(f"{name}: dead link {link}: {fault}")
    return problems


def _dead(link: str, page: Path, site: Path, documents: dict[Path, Document]) -> str | None:
    """Why a link leads nowhere; None if it leads somewhere, or out of the book."""
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return None
    start = site if parts.path.startswith("/") else page.parent
    target = (start / unquote(parts.path).lstrip("/")).resolve() if parts.path else page
    if target.is_dir():
        target /= "index.html"
    if not target.is_relative_to(site):
        return "outside of the book"
    if not target.is_file():
        return "no such file"
    anchor = unquote(parts.fragment)
    if anchor and anchor != "top" and target in documents and anchor not in documents[target].anchors:
        return "no such anchor"
    return None


def find_browser() -> str:
    """Path of Chromium: CHROMIUM, or the first known name on the path. Raises CannotCheck."""
    named = os.environ.get("CHROMIUM")
    found = shutil.which(named) if named else next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        cause = f"CHROMIUM is {named!r}, which cannot be run" if named else f"none of {', '.join(BROWSERS)} is installed"
        raise CannotCheck(f"{cause}: install Chromium (on Debian: apt-get install chromium) or name it in CHROMIUM")
    return found


def check_in_browser(site: Path, screenshots: Path | None = None) -> list[str]:
    """What only a browser shows, on each kind of screen and in each colour scheme."""
    problems: dict[str, None] = {}  # in order, each once: most show on every screen
    shown = [page for page in pages(site) if not read(page).redirects]
    with _served(site) as address, _browser(find_browser()) as browser:
        for scheme in SCHEMES:
            context = browser.new_context(color_scheme=scheme, service_workers="block")
            context.add_init_script(f"localStorage.mode = '{scheme}'; localStorage.theme = '{scheme}'")
            page = context.new_page()
            watch = _Watch(address)
            watch.over(page)
            for path in shown:
                name = path.relative_to(site).as_posix()
                watch.seen.clear()
                page.goto(urljoin(address, name), wait_until="load")
                found = page.evaluate(PICTURES, MOMENT)
                for screen, (width, height) in SCREENS.items():
                    page.set_viewport_size({"width": width, "height": height})
                    found += page.evaluate(WIDTH)
                    if screenshots is not None:
                        file = f"{name.removesuffix('.html').replace('/', '-')}-{screen}-{scheme}.png"
                        page.screenshot(path=screenshots / file, full_page=True, animations="disabled")
                problems.update(dict.fromkeys(f"{name}: {problem}" for problem in [*watch.seen, *found]))
            context.close()
    return list(problems)


class _Watch:
    """Notes what a page does wrong while it loads."""

    def __init__(self, address: str) -> None:
        self.home = urlsplit(address).netloc
        self.seen: list[str] = []

    def over(self, page: Page) -> None:
        page.route("**/*", self._request)
        page.on("console", lambda message: message.type == "error" and self._note(f"console error: {message.text}"))
        page.on("pageerror", lambda error: self._note(f"script error: {error.message}"))
        page.on("websocket", lambda socket: self._note(f"request to elsewhere: {socket.url}"))

    def _request(self, route: Route) -> None:
        url = route.request.url
        if urlsplit(url).netloc in (self.home, ""):  # nothing before the path: data: and blob:
            route.continue_()
        else:
            self._note(f"request to elsewhere: {url}")
            route.abort()

    def _note(self, problem: str) -> None:
        blocked = "net::ERR_FAILED" in problem  # the console's echo of a request that was noted and stopped here
        if not blocked and problem not in self.seen:
            self.seen.append(problem)


@contextmanager
def _served(site: Path) -> Iterator[str]:
    """The address of a server on this machine that gives out `site`."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass

    def send_head(self) -> Any:
        if self.path == "/favicon.ico" and not Path(self.translate_path(self.path)).exists():
            self.send_response(204)  # browsers ask for it unasked; the book has none
            self.end_headers()
            return None
        return super().send_head()


@contextmanager
def _browser(path: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        except Error as fault:
            first = str(fault).strip().splitlines()[0]
            raise CannotCheck(f"{path} does not start ({first}); name another Chromium in CHROMIUM") from None
        yield browser
        browser.close()


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Check the pages of the built book in a browser.")
    parser.add_argument("site", nargs="?", type=Path, default=Path("_build/html"))
    parser.add_argument("--screenshots", type=Path, metavar="FOLDER", help="save a picture of each page here")
    options = parser.parse_args(arguments)
    try:
        if options.screenshots is not None:
            options.screenshots.mkdir(parents=True, exist_ok=True)
        number = len(pages(options.site))
        problems = check_sources(options.site) + check_in_browser(options.site, options.screenshots)
    except CannotCheck as fault:
        print(f"check_book: {fault}", file=sys.stderr)
        return 2
    for problem in problems:
        print(problem)
    print(f"{number} pages on {len(SCREENS)} screens, light and dark: {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
