"""HTML representations link to the site that the project states, if it states one."""

import json
import tomllib
from email.message import Message
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from sklearn.pipeline import make_pipeline

import sklearn_lossopt
from sklearn_lossopt import (
    GradientClassifier,
    GradientRegressor,
    GradientSearchCV,
    _doc_link,
    losses,
    optimizers,
    schedules,
)

SITE = "https://docs.example.org/lossopt"


@pytest.fixture
def stated(monkeypatch):
    """A function that has the metadata of the package state these URLs, or be missing."""

    def state(*urls):
        found = Message()
        for url in urls:
            found["Project-URL"] = url

        def metadata(name):
            if urls == (None,):
                raise PackageNotFoundError(name)
            return found

        monkeypatch.setattr(_doc_link, "metadata", metadata)
        _doc_link.address.cache_clear()

    yield state
    _doc_link.address.cache_clear()


@pytest.mark.parametrize("address", [SITE, f"{SITE}/"])
def test_every_public_class_has_its_page(stated, address):
    stated("Source, https://code.example.org", f"Documentation, {address}")
    objects = [
        (sklearn_lossopt, GradientRegressor()),
        (sklearn_lossopt, GradientSearchCV(GradientClassifier(), {})),
        (sklearn_lossopt, sklearn_lossopt.GradientHalvingSearchCV(GradientClassifier(), {})),
        *((losses, found()) for found in losses.registry().values()),
        *((optimizers, found()) for found in optimizers.registry().values()),
        *((schedules, found()) for found in schedules.registry().values()),
    ]
    for module, found in objects:
        name = type(found).__name__
        assert name in module.__all__
        # The address that docs/conf.py gives the page; tests/site looks whether there is one.
        page = f"{SITE}/api/generated/{module.__name__}.{name}.html"
        assert found._get_doc_link() == page
    html = make_pipeline(GradientRegressor())._repr_html_()
    assert f'href="{SITE}/api/generated/sklearn_lossopt.GradientRegressor.html"' in html


@pytest.mark.parametrize("urls", [(), (None,), ("Source, https://code.example.org",)])
def test_no_link_without_an_address(stated, urls):
    stated(*urls)
    for found in (GradientRegressor(), GradientSearchCV(GradientRegressor(), {}), losses.Huber()):
        assert found._get_doc_link() == ""
    assert "href=" not in GradientRegressor()._repr_html_()


def test_the_project_has_one_address():
    root = Path(__file__).resolve().parents[1]
    urls = tomllib.loads((root / "pyproject.toml").read_text())["project"]["urls"]
    citation = (root / "docs" / "CITATION.cff").read_text()
    assert f'\nurl: "{urls["Documentation"]}"\n' in citation
    assert f'\nrepository-code: "{urls["Source"]}"\n' in citation
    assert all(urls[name].startswith(f"{urls['Source']}/") for name in ("Issues", "Changelog"))
    # The site is at the root of its host, where the menu of versions expects it.
    switcher = json.loads((root / "docs" / "_static" / "switcher.json").read_text())
    assert urlsplit(urls["Documentation"]).path == "" and switcher[0]["url"] == "/"


def test_a_users_class_has_no_page_here(stated):
    stated(f"Documentation, {SITE}")

    class Own(GradientRegressor):
        """A user's estimator."""

    assert Own()._get_doc_link() == ""
