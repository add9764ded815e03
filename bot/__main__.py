"""`python -m bot`."""

import os
import sys

NEEDED = (3, 11)


def _refuse(problem: str) -> None:
    python = os.path.join(".venv", "Scripts" if os.name == "nt" else "bin", "python")
    sys.exit(f"{problem} Run {python} -m bot instead. README.md says how to install it, under “Try it”.")


if __name__ == "__main__":
    # Whatever stands here must run on older versions of Python, too.
    if sys.version_info < NEEDED:
        _refuse("Parley needs Python {}.{} or newer, and this is {}.{}.".format(*NEEDED, *sys.version_info))
    try:
        from bot.cli import main
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("bot"):
            raise
        _refuse(f"This Python does not have the package {error.name}.")
    sys.exit(main())
