"""The site as a reader has it: built by the documented command and looked at in a browser.

``pytest tests/site``, in an environment with the extra ``docs``. What looks at pages needs
playwright and a Chromium that is installed, and is skipped without them.
"""

import functools
import html
import http.server
import os
import re
import shutil
import subprocess
import sys
import threading
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin

import pytest

pytest.importorskip("sphinx_gallery", reason="needs the extra docs")

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "docs"))
COMMAND = "sphinx-build -W -b html docs build/html"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "chrome"))), None)
PAGES = [
    "index.html",
    "user_guide.html",
    "reference.html",
    "streams.html",
    "auto_gallery/index.html",
    "auto_gallery/track/plot_09_adam.html",
    "auto_gallery/more/plot_networks.html",
    "api/index.html",
    "api/generated/sklearn_lossopt.GradientRegressor.html",
    "api/generated/sklearn_lossopt.losses.Huber.html",
]
# Text that a box hides, such as the titles of the links at the foot. Breadcrumbs end with an
# ellipsis where they are too long.
CUT_OFF = """
[...document.querySelectorAll('.bd-main a, .bd-main p, .bd-main div')]
    .filter(e => getComputedStyle(e).textOverflow != 'ellipsis')
    .filter(e => getComputedStyle(e).overflowX == 'hidden' && e.scrollWidth > e.clientWidth + 1)
    .map(e => e.innerText)
"""
# Entries of the list of headings that leave the window.
OUTSIDE = """
[...document.querySelectorAll('.bd-sidebar-secondary a')]
    .filter(e => e.checkVisibility() && e.getBoundingClientRect().right > innerWidth)
    .map(e => e.innerText)
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The built pages."""
    assert COMMAND in ROOT.joinpath("docs", "contributing.md").read_text(encoding="utf-8")
    root = tmp_path_factory.mktemp("site")
    shutil.copytree(
        ROOT / "docs", root / "docs", ignore=shutil.ignore_patterns("auto_gallery", "api")
    )
    before = os.times()
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", *COMMAND.split()[1:]],
        cwd=root, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-5000:]
    assert not re.search("warning", done.stderr, re.I), done.stderr[-5000:]
    # Processor seconds: others may use the machine too.
    after = os.times()
    spent = after.children_user + after.children_system
    assert spent - before.children_user - before.children_system < 300
    return root / "build" / "html"


class Links(HTMLParser):
    """The links and pictures of a page, and the names that links can point to."""

    def __init__(self, text):
        super().__init__()
        self.targets, self.names = [], set()
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        for key, value in attributes:
            if key in ("href", "src") and value is not None:
                self.targets.append(value)
            elif key in ("id", "name"):
                self.names.add(value)


def test_no_link_or_picture_is_broken(site):
    # The theme's templates lie in _static.
    paths = [path for path in site.rglob("*.html") if "_static" not in path.parts]
    pages = {path: Links(path.read_text(encoding="utf-8")) for path in paths}
    assert len(pages) > 100
    broken = []
    for path, links in pages.items():
        for target in links.targets:
            if re.match(r"\w+:|//", target):
                continue
            address, fragment = urldefrag(urljoin(path.as_uri(), target))
            found = Path(unquote(address.removeprefix("file://")).partition("?")[0])
            if found.is_dir():
                found /= "index.html"
            names = pages[found].names if found in pages else {unquote(fragment)}
            if not found.exists() or (fragment and unquote(fragment) not in names):
                broken.append(f"{path.relative_to(site)}: {target}")
    assert not broken


def test_every_public_name_has_a_page(site):
    import sklearn_lossopt
    from sklearn_lossopt import losses, optimizers, plotting, schedules

    for module in (sklearn_lossopt, losses, optimizers, plotting, schedules):
        for name in module.__all__:
            if not hasattr(getattr(module, name), "__path__") and name != "schedules":
                assert (site / "api" / "generated" / f"{module.__name__}.{name}.html").exists()


def test_api_pages_describe_what_is_ours(site):
    from make_reference import as_string, methods

    import sklearn_lossopt
    from sklearn_lossopt import losses, optimizers, plotting, schedules

    for module in (sklearn_lossopt, losses, optimizers, plotting, schedules):
        for name in module.__all__:
            found = getattr(module, name)
            if not isinstance(found, type):
                continue
            full = f"{module.__name__}.{name}"
            page = (site / "api" / "generated" / f"{full}.html").read_text(encoding="utf-8")
            described = {f"{full}.{method}" for method in methods(found)}
            if getattr(found, "name", None):
                assert as_string(found, "").split(":")[0] in page, name
                described = set()
            assert set(re.findall(rf'<dt class="sig[^>]*id="({full}\.\w+)"', page)) == described
            # Every one has an example, and no code has what reStructuredText escapes.
            examples = re.findall("<pre>.*?</pre>", page, re.S)
            assert examples or name in ("Loss", "Trace"), name
            assert not any("\\_" in example for example in examples), name


def test_every_loss_of_the_gallery_has_its_pictures(site):
    page = site / "api" / "generated" / "sklearn_lossopt.losses.Huber.html"
    assert "plot_03_huber.html" in page.read_text(encoding="utf-8")


def test_no_formula_has_rests_of_its_source(site):
    formulas = []
    for path in site.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        formulas += [(path.name, found) for found in re.findall("<math.*?</math>", text, re.S)]
    assert len(formulas) > 100
    for name, formula in formulas:
        shown = html.unescape(re.sub("<[^>]*>", "", formula))
        assert not re.search(r"[\\&_]", shown), (name, shown)
    # Adam's three lines are lines.
    adam = [found for name, found in formulas if name == "sklearn_lossopt.optimizers.Adam.html"]
    assert adam[0].count("<mtr>") == 3


def test_every_gallery_page_has_its_picture(site):
    scripts = sorted((ROOT / "docs" / "gallery").glob("*/plot_*.py"))
    assert len([path for path in scripts if path.parent.name == "track"]) == 10
    for script in scripts:
        page = site / "auto_gallery" / script.parent.name / f"{script.stem}.html"
        pictures = re.findall(rf'src="[^"]*sphx_glr_{script.stem}_\d+\.png', page.read_text())
        assert pictures, script.name
        assert 'alt="plot' not in page.read_text(), script.name


def test_nothing_is_fetched_from_elsewhere(site):
    for path in site.rglob("*.html"):
        for tag in re.findall(r"<(?:script|link|img)[^>]*>", path.read_text(encoding="utf-8")):
            outside = re.search(r'(?:src|href)="(?:https?:)?//', tag)
            assert not outside or 'rel="canonical"' in tag, f"{path.name}: {tag}"


@pytest.fixture(scope="module")
def address(site):
    """Where the pages are served."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Handler, directory=site)
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()


@pytest.fixture(scope="module")
def browser():
    """A headless Chromium."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    if CHROMIUM is None:
        pytest.skip("needs Chromium")
    with playwright.sync_playwright() as started:
        chromium = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1400])
def test_pages_in_a_browser(browser, address, width, scheme):
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page, problems = context.new_page(), []
    page.on("console", lambda message: message.type == "error" and problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("requestfailed", lambda request: problems.append(request.url))
    for name in PAGES:
        page.goto(address + name, wait_until="networkidle")
        # Nothing is wider than the window, no picture is missing, and text differs from its paper.
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
        missing = "[...document.images].filter(i => i.complete && !i.naturalWidth).length"
        assert page.evaluate(missing) == 0, name
        assert page.evaluate(CUT_OFF) == [], name
        assert width < 1200 or page.evaluate(OUTSIDE) == [], name
        for picture in page.locator(".picture").all():
            # One plot is seen whole. Several side by side scroll before their text gets too small.
            frame, drawn = picture.evaluate("e => [e.clientWidth, e.scrollWidth]")
            wide = "wide" in picture.get_attribute("class")
            assert drawn >= min(600, width) if wide else drawn <= frame, name
        assert page.evaluate("document.documentElement.dataset.theme") == scheme
        assert contrast(page) > 4.5, name
        assert not problems, f"{name}: {problems}"
    context.close()


def contrast(page):
    """The contrast of the text with its background, by the formula of WCAG 2."""
    text, paper = page.evaluate(
        "[getComputedStyle(document.querySelector('.bd-article p')).color,"
        " getComputedStyle(document.body).backgroundColor]"
    )
    light = sorted(luminance(color) for color in (text, paper))
    return (light[1] + 0.05) / (light[0] + 0.05)


def luminance(color):
    """The relative luminance of ``rgb(r, g, b)``."""
    parts = [int(part) / 255 for part in re.findall(r"\d+", color)[:3]]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_formulas_are_drawn_and_search_finds(browser, address):
    page = browser.new_page()
    page.goto(address + "api/generated/sklearn_lossopt.losses.Huber.html")
    box = page.locator("math").first.bounding_box()
    assert box["width"] > 50 and box["height"] > 10
    page.goto(address + "api/generated/sklearn_lossopt.losses.LogLoss.html")
    assert page.evaluate("document.fonts.ready.then(() => document.fonts.check('16px formulas'))")
    # An index stands lower than its letter, and an exponent higher.
    for kind, lower in (("msub", True), ("msup", False)):
        letter, index = (page.locator(f"{kind} > *").nth(i).bounding_box() for i in (0, 1))
        middle = [box["y"] + box["height"] / 2 for box in (letter, index)]
        assert (middle[1] > middle[0] + 1) if lower else (middle[1] < middle[0] - 1), kind
    page.goto(address + "search.html?q=Huber", wait_until="networkidle")
    page.wait_for_selector("#search-results li")
    assert "Huber" in page.inner_text("#search-results")
    page.close()
