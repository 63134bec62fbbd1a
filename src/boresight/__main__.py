"""`python -m boresight`: the command, also for launchers that start modules."""

from boresight.cli.main import main

if __name__ == "__main__":
    main()
