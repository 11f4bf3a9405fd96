"""torchrun, but it exits with the status of the process that failed first, and without a long traceback."""

import signal
import sys

from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.run import main

if __name__ == "__main__":
    try:
        main()
    except SignalException as stop:
        sys.exit(128 + stop.sigval)
    except ChildFailedError as error:
        # Processes that lost another one fail themselves, and may be reported before it.
        killed = [each for each in error.failures.values() if each.exitcode < 0 and each.exitcode != -signal.SIGTERM]
        first = killed[0] if killed else error.get_first_failure()[1]
        sys.exit(first.exitcode if first.exitcode > 0 else 128 - first.exitcode)
