"""Coverage-guided fuzzing (atheris) of all functions that read a user's files.

    pip install -e '.[fuzz]'
    python -m tests.slow.fuzz --output=runs/fuzz [--seconds=600] [--only=idx,npz,…]

The time is divided equally between the readers. Each runs in a process of its own and starts from
a valid file. An error other than a refusal ends the process, and the bytes that caused it are kept.
Writes DIR/fuzz.{json,md}: number of executions and findings of each reader. Exits with status 1 if
there are findings.
"""

import argparse
import glob
import json
import os
import pathlib
import re
import subprocess
import sys

# Limits of one input: seconds, and MiB of the process's memory. More is a finding.
_INPUT_SECONDS, _MEMORY_MIB = 20, 4_096


def fuzz_one(name: str, folder: str, seconds: int) -> None:
    """Fuzzes one reader in this process; does not return, since atheris ends the process."""
    import atheris

    with atheris.instrument_imports(include=["tf_mdsm", "numpy.lib", "zipfile", "gzip", "PIL"]):
        from tests.helpers.hostile_files import all_readers
    reader = all_readers()[name]
    corpus = os.path.join(folder, "corpus")
    os.makedirs(corpus, exist_ok=True)
    pathlib.Path(corpus, "valid").write_bytes(reader.valid)
    options = [
        f"-max_total_time={seconds}",
        f"-timeout={_INPUT_SECONDS}",
        f"-rss_limit_mb={_MEMORY_MIB}",
        f"-artifact_prefix={folder}/",
        "-max_len=4096",
        "-print_final_stats=1",
    ]
    atheris.Setup([sys.argv[0], *options, corpus], lambda data: reader.try_bytes(data, folder))
    atheris.Fuzz()


def fuzz_in_a_process(name: str, output: str, seconds: int) -> dict:
    """Fuzzes one reader in a new process; returns its row of the report."""
    folder = os.path.abspath(os.path.join(output, re.sub(r"\W+", "_", name)))
    os.makedirs(folder, exist_ok=True)
    command = [sys.executable, "-m", "tests.slow.fuzz"]
    command += [f"--output={folder}", f"--seconds={seconds}"]
    done = subprocess.run([*command, f"--reader={name}"], capture_output=True, text=True)
    executions = re.search(r"number_of_executed_units:\s*(\d+)", done.stderr)
    findings = [
        os.path.basename(path)
        for kind in ("crash", "timeout", "oom", "slow-unit")
        for path in glob.glob(os.path.join(glob.escape(folder), f"{kind}-*"))
    ]
    return {
        "seconds": seconds,
        "executions": int(executions[1]) if executions else 0,
        "found": findings,
        "status": done.returncode,
        "last_words": done.stderr[-2_000:] if done.returncode else "",
    }


def markdown(report: dict[str, dict]) -> str:
    """Returns the report as a Markdown table."""
    lines = ["| reader | seconds | executions | crashes, hangs |", "| --- " * 4 + "|"]
    lines += [
        f"| {name} | {row['seconds']} | {row['executions']:,} | {', '.join(row['found']) or 0} |"
        for name, row in report.items()
    ]
    return "\n".join(lines)


def main(argv: list[str]) -> int:
    """Fuzzes readers one after the other, and writes the report; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.slow.fuzz")
    parser.add_argument("--output", required=True)
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--only", default="")
    parser.add_argument("--reader", help=argparse.SUPPRESS)
    options = parser.parse_args(argv[1:])
    if options.reader:
        fuzz_one(options.reader, options.output, options.seconds)
    from tests.helpers.hostile_files import all_readers

    names = options.only.split(",") if options.only else list(all_readers())
    seconds = max(1, options.seconds // len(names))
    report = {}
    for name in names:
        row = report[name] = fuzz_in_a_process(name, options.output, seconds)
        print(f"{name}: {row['executions']:,} executions, found {row['found']}", flush=True)
    stem = os.path.join(options.output, "fuzz")
    pathlib.Path(f"{stem}.json").write_text(json.dumps(report, indent=2) + "\n")
    pathlib.Path(f"{stem}.md").write_text(markdown(report) + "\n")
    print(markdown(report))
    return 1 if any(row["found"] or row["status"] for row in report.values()) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
