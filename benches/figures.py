"""Turns the results of hyperfine into the rows that compare.sh prints and the table in docs/performance.md."""

import datetime
import json
import math
import os
import re
import statistics
import subprocess
import sys
import time

BEGIN, END = "<!-- figures: compare.sh writes what is between these two lines -->", "<!-- figures: end -->"
WIDTHS = "{:<70} {:>20} {:>20} {:>14}  {}"


def times(index, *files):
    """Prints the median and the fastest time of all turns, in milliseconds."""
    times = [1000 * time for file in files for time in json.load(open(file))["results"][int(index)]["times"]]
    print(statistics.median(times), min(times))


def format_number(value):
    """Formats a number with three significant digits, because the measurements are not more precise."""
    return f"{value:,.{0 if value >= 100 else 1 if value >= 10 else 2}f}"


def format_values(values, unit):
    """Formats the median, followed by the fastest run in parentheses if there were several."""
    if unit == "ms" and values[0] >= 10_000:
        values, unit = [value / 1000 for value in values], "s"
    return " ".join([f"{format_number(values[0])} {unit}", *(f"({format_number(value)})" for value in values[1:])])


def divide(ours, theirs):
    """Divides two values, of which CPU times may be zero."""
    return 1 if ours == theirs else ours / theirs if theirs else math.inf


def ratios(row):
    """Returns the ratio of the medians, and that of the fastest runs if there were several."""
    return [divide(ours, theirs) for ours, theirs in zip(row["ours"], row["theirs"])]


def format_target(target, unit):
    kind, number = target.split()
    return f"≤ {number} ×" if kind == "ratio" else f"< {number} {unit}"


def is_met(row):
    ours, ratio = row["ours"][0], ratios(row)[0]
    kinds = {"ratio": lambda limit: ratio <= limit, "below": lambda limit: ours < limit}
    return all(kinds[kind](float(number)) for kind, number in map(str.split, row["targets"]))


def cells(row):
    verdict = ", ".join(format_target(target, row["unit"]) for target in row["targets"])
    if verdict:
        verdict += ": " + ("met" if is_met(row) else "missed")
    first, *rest = (f"{number:.2f}" if number >= 0.1 else f"{number:.3f}" for number in ratios(row))
    ratio = " ".join([f"{first} ×", *(f"({text})" for text in rest)])
    return format_values(row["ours"], row["unit"]), format_values(row["theirs"], row["unit"]), ratio, verdict


def append(rows, **fields):
    with open(rows, "a") as file:
        print(json.dumps(fields), file=file)


def heading():
    print(WIDTHS.format("", "rigup", "baseline", "ratio", "target"))


def row(rows, part, what, baseline, ours, theirs, unit, *targets):
    ours, theirs = (list(map(float, numbers.split())) for numbers in (ours, theirs))
    fields = {"what": what, "baseline": baseline, "ours": ours, "theirs": theirs, "unit": unit, "targets": targets}
    append(rows, part=part, load=os.getloadavg()[0], **fields)
    print(WIDTHS.format(f"{what} ({baseline})", *cells(fields)), flush=True)


def skip(rows, part, what, reason):
    append(rows, part=part, what=what, skipped=reason)
    print(f"{what}: skipped: {reason}", flush=True)


def version(rows, name, text):
    found = re.search(r"\d+(\.\w+)+", text)
    append(rows, tool=name, version=found.group() if found else text)


def peak(*command):
    """Prints the peak memory of a command in MB. Polls it, because the peak at exit includes the forked process before exec."""
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    highest = 0
    while os.waitpid(child.pid, os.WNOHANG)[0] == 0:
        try:
            with open(f"/proc/{child.pid}/status") as status:
                highest = max(highest, *(int(line.split()[1]) for line in status if line.startswith("VmHWM")))
        except (OSError, TypeError, ValueError):
            pass
        time.sleep(0.001)
    print(highest / 1000)


def output_of(*command):
    return subprocess.run(command, capture_output=True, text=True).stdout.strip()


def read_fact(path, pattern, default):
    try:
        with open(path) as file:
            found = re.search(pattern, file.read(), re.M)
    except OSError:
        found = None
    return found.group(1) if found else default


def machine():
    cpu = read_fact("/proc/cpuinfo", r"^model name\s*: (.*)", os.uname().machine)
    memory = int(read_fact("/proc/meminfo", r"^MemTotal:\s*(\d+)", "0")) / 2**20
    kernel = re.match(r"[\d.]*\d", os.uname().release).group()
    system = read_fact("/etc/os-release", r'^PRETTY_NAME="(.*)"', os.uname().sysname)
    return f"{cpu}, {os.cpu_count()} cores, {memory:.0f} GiB; {system}, kernel {kernel}"


def write(rows, page, rigup, runs):
    with open(rows) as file:
        lines = [json.loads(line) for line in file]
    folder = os.path.dirname(page)
    # Only the code that is measured, without the benchmarks.
    code = ("--", ":/src", ":/providers")
    commit = output_of("git", "-C", folder, "log", "-1", "--format=%h", *code)
    changed = " and changes" if output_of("git", "-C", folder, "status", "--porcelain", *code) else ""
    versions = {line["tool"]: line["version"] for line in lines if "tool" in line}
    measured = [line for line in lines if "ours" in line]
    loads = [row["load"] for row in measured]
    versions = ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))
    text = [
        f"Measured on {datetime.date.today():%Y-%m-%d} with `{output_of(rigup, '--version')}` at commit `{commit}`{changed}; {runs} runs of each command.",
        "",
        f"- machine: {machine()}",
        f"- compared with: {versions}",
        f"- load average during the run, including the measured commands: {min(loads):.1f} to {max(loads):.1f}",
        "",
        "| part | benchmark | rigup | baseline | baseline time | ratio | target |",
        "| --- | --- | ---: | --- | ---: | ---: | --- |",
    ]
    for row in measured:
        ours, theirs, ratio, verdict = cells(row)
        text.append(f"| {row['part']} | {row['what']} | {ours} | {row['baseline']} | {theirs} | {ratio} | {verdict} |")
    skipped = [line for line in lines if "skipped" in line]
    text += [""] * bool(skipped) + [f"- {line['part']}: {line['what']} was skipped: {line['skipped']}" for line in skipped]
    with open(page) as file:
        before, rest = file.read().split(BEGIN)
    after = rest.split(END)[1]
    with open(page, "w") as file:
        file.write(before + BEGIN + "\n" + "\n".join(text) + "\n" + END + after)
    print(f"wrote {page}")


if __name__ == "__main__":
    commands = [heading, peak, row, skip, times, version, write]
    {command.__name__: command for command in commands}[sys.argv[1]](*sys.argv[2:])
