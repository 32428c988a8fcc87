"""Entry point on the device: `python3 -I -S __main__.py COMMAND [ARGUMENT ...]`."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))


def main() -> int:
    """Run one command of the agent and return its exit code."""
    command, *arguments = sys.argv[1:]
    if command == "run":
        from harness.agent.phases import main as run
    elif command == "work":
        from harness.agent.worker import main as run
    elif command == "follow":
        from harness.agent.follow import main as run
    elif command == "survey":
        from harness.agent.survey import main as run
    elif command == "meter":
        from harness.agent.trial import meter as run
    elif command == "calibrate":
        from harness.agent.calibration import main as run
    elif command == "runtime":
        from harness.agent.trial import runtime as run
    elif command == "clock":
        from harness.agent.clock import main as run
    elif command == "step":
        from harness.agent.local_step import main as run
    elif command == "inventory":
        from harness.agent.inventory import main as run
    else:
        sys.stderr.write(f"unknown command {command!r}\n")
        return 64
    return run(arguments)


if __name__ == "__main__":
    sys.exit(main())
