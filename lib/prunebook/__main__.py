"""Where the command `prunebook` starts, and `python -m prunebook`."""

import gc
import sys


def main() -> int:
    # What modules load stays: looking it over for garbage, again and again, takes a third of the time of starting. It is set
    # aside, and looking begins, when all is there: see `prunebook.cli`.
    gc.disable()
    from prunebook import cli

    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
