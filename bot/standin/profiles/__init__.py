"""The model servers that the tests know, one module a server, named as in docs/model-servers.md.

Each module defines `PROFILE`. Its docstring says where its facts come from.
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from bot.standin.profile import Profile

PROFILES: dict[str, Profile] = {
    module.name: import_module(f"{__name__}.{module.name}").PROFILE for module in iter_modules(__path__)
}
"""The profiles by the names of their modules."""
