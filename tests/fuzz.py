"""Coverage-guided fuzzing of all readers of foreign files.

    pip install -e '.[fuzz]'
    python tests/fuzz.py --output=runs/fuzz [--seconds=600] [--only=idx,npz,…]

Each reader gets its share of the time, in a process of its own, and starts from a valid file. Any
error but a refusal ends its process and is kept, with the bytes that brought it about. Writes
DIR/fuzz.{json,md}: executions, what was found. Ends with status 1 if there was anything.
"""

import argparse
import glob
import json
import os
import pathlib
import re
import subprocess
import sys

# What one input may take: seconds, and MiB beyond which a process is ended.
_INPUT_SECONDS, _MEMORY_MIB = 20, 4_096


def fuzz_one(name: str, folder: str, seconds: int) -> None:
    """Fuzzes one reader in this process, which does not come back."""
    import atheris

    with atheris.instrument_imports(include=["tf_mdsm", "numpy.lib", "zipfile", "gzip", "PIL"]):
        from hostile_files import all_readers
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


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python tests/fuzz.py")
    parser.add_argument("--output", required=True)
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--only", default="")
    parser.add_argument("--reader", help=argparse.SUPPRESS)
    options = parser.parse_args(argv[1:])
    if options.reader:
        fuzz_one(options.reader, options.output, options.seconds)
    from hostile_files import all_readers

    names = options.only.split(",") if options.only else list(all_readers())
    share = max(1, options.seconds // len(names))
    report = {}
    for name in names:
        folder = os.path.abspath(os.path.join(options.output, re.sub(r"\W+", "_", name)))
        os.makedirs(folder, exist_ok=True)
        command = [sys.executable, __file__, f"--output={folder}", f"--seconds={share}"]
        done = subprocess.run([*command, f"--reader={name}"], capture_output=True, text=True)
        executed = re.search(r"number_of_executed_units:\s*(\d+)", done.stderr)
        found = [
            os.path.basename(path)
            for kind in ("crash", "timeout", "oom", "slow-unit")
            for path in glob.glob(os.path.join(glob.escape(folder), f"{kind}-*"))
        ]
        report[name] = {
            "seconds": share,
            "executions": int(executed[1]) if executed else 0,
            "found": found,
            "status": done.returncode,
            "last_words": done.stderr[-2_000:] if done.returncode else "",
        }
        print(f"{name}: {report[name]['executions']:,} executions, found {found}", flush=True)
    lines = ["| reader | seconds | executions | crashes, hangs |", "| --- " * 4 + "|"]
    lines += [
        f"| {name} | {row['seconds']} | {row['executions']:,} | {', '.join(row['found']) or 0} |"
        for name, row in report.items()
    ]
    stem = os.path.join(options.output, "fuzz")
    pathlib.Path(f"{stem}.json").write_text(json.dumps(report, indent=2) + "\n")
    pathlib.Path(f"{stem}.md").write_text("\n".join([*lines, ""]))
    print("\n".join(lines))
    return 1 if any(row["found"] or row["status"] for row in report.values()) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
