"""Where the command `prunebook` starts, and `python -m prunebook`."""

import atexit
import gc
import sys


def main() -> int:
    # What modules load stays: looking it over for garbage, again and again, takes a third of the time of starting, and once
    # more at the end. It is set aside when all are there (see `prunebook.cli`), and what is left at the end goes anyway.
    gc.disable()
    atexit.register(gc.freeze)
    from prunebook import cli

    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
