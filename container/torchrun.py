"""torchrun, but ending as the process that failed first did: with its status and without a page of traceback."""

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
        # Those that lost another one fail by themselves, and may be seen to before it is.
        killed = [each for each in error.failures.values() if each.exitcode < 0 and each.exitcode != -signal.SIGTERM]
        first = killed[0] if killed else error.get_first_failure()[1]
        sys.exit(first.exitcode if first.exitcode > 0 else 128 - first.exitcode)
