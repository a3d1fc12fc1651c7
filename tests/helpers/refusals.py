"""Many wrong calls of the program in a short time, read from standard input: a program.

Each line of the input is a JSON list of arguments. Each line of the output is a JSON object: exit
status, text on standard error, and names of the files that the call wrote to its folder. Every call
runs in a process of its own, forked from one that has loaded the command line's modules, so that a
thousand calls take seconds. TensorFlow cannot be imported there: a call that is not refused fails.
"""

import json
import os
import signal
import sys
import tempfile

from tf_mdsm import main as program

# A call that takes longer is killed; a refusal takes milliseconds.
_SECONDS = 60


def refuse(arguments: list[str]) -> dict:
    """Calls the program in an empty folder."""
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as stderr:
        child = os.fork()
        if not child:
            signal.alarm(_SECONDS)
            os.chdir(folder)
            os.dup2(stderr.fileno(), 2)
            sys.modules["tensorflow"] = None
            # Ends as `python -m tf_mdsm.main` does.
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
