"""Becomes `strongroom serve`, with the arguments and the environment as they came."""

import os
import shutil
import sys
from typing import NoReturn

PROGRAM = "STRONGROOM_BIN"
DATA = "OH_PERSISTENCE_DIR"


def program() -> str:
    """Where the program is, or the end with what to do about it."""
    given = os.environ.get(PROGRAM)
    if given:
        found = shutil.which(given)
        if found is None:
            sys.exit(f"{PROGRAM} names {given}, which is no program that can be run")
        return found
    found = shutil.which("strongroom")
    if found is None:
        sys.exit(f"there is no strongroom on the PATH: install it, or set {PROGRAM} to where it is")
    return found


def main() -> NoReturn:
    path = program()
    environment = dict(os.environ)
    if not environment.get(DATA):
        environment[DATA] = os.path.join(os.path.expanduser("~"), ".openhands")
    try:
        os.execve(path, [path, "serve", *sys.argv[1:]], environment)
    except OSError as error:
        sys.exit(f"{path} can't be run: {error.strerror}")


if __name__ == "__main__":
    main()
