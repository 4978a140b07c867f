"""The links from HTML representations to the pages of the documentation."""

import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, metadata
from itertools import accumulate


class DocLinkMixin:
    """Links the HTML representation of an object of this package to its page on the site.

    The site's address is the one that ``pyproject.toml`` states in ``[project.urls]`` as
    ``Documentation``. Without one there is no link.
    """

    _doc_link_module = __package__

    @property
    def _doc_link_template(self):
        site = address()
        return f"{site.rstrip('/')}/api/generated/{{place}}.{{name}}.html" if site else ""

    def _doc_link_url_param_generator(self):
        """The name of the class, and the first package that has it."""
        name = type(self).__name__
        packages = accumulate(type(self).__module__.split("."), "{}.{}".format)
        place = next(p for p in packages if getattr(sys.modules[p], name, None) is type(self))
        return {"place": place, "name": name}


@cache
def address():
    """Where the documentation is published: a URL, or "" where the project states none."""
    try:
        urls = metadata("sklearn-lossopt").get_all("Project-URL", [])
    except PackageNotFoundError:
        # A checkout that is not installed.
        return ""
    stated = (url.partition(",") for url in urls)
    return next((url.strip() for label, _, url in stated if label == "Documentation"), "")
