"""The program called wrongly, many times over: `python tests/refusals.py` with cases on its input.

Reads lines of JSON, each a list of arguments, and answers each with a line: exit status, what went
to standard error, and the names of what was written to the folder in which it ran. Every call has a
process of its own, forked from one that has the command line's modules loaded, so that a thousand
take seconds. A call that is not refused would go on to TensorFlow, which it does not get.
"""

import json
import os
import signal
import sys
import tempfile

from tf_mdsm import main as program

# Nothing that is refused takes as long.
_SECONDS = 60


def refuse(arguments: list[str]) -> dict:
    """One call in an empty folder."""
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as stderr:
        child = os.fork()
        if not child:
            signal.alarm(_SECONDS)
            os.chdir(folder)
            os.dup2(stderr.fileno(), 2)
            sys.modules["tensorflow"] = None
            # As `python -m tf_mdsm.main` ends.
            status = program.main(["main.py", *arguments])
            sys.stderr.flush()
            os._exit(status)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        stderr.seek(0)
        return {
            "status": status,
            "stderr": stderr.read().decode(errors="replace"),
            "written": sorted(os.listdir(folder)),
        }


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(refuse(json.loads(line))), flush=True)
