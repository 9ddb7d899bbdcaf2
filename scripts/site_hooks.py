"""Hooks of mkdocs: the roles of docstrings (``:meth:`detect` ``), which the site does not know, become plain code."""

from __future__ import annotations

import re
from typing import Any

_ROLE = re.compile(r":(?:mod|meth|func|class|data):(?=<code>)")


def on_page_content(html: str, **_: Any) -> str:
    """The page without the names of roles."""
    return _ROLE.sub("", html)
