"""The benchmark runner itself; its figures are no test's business."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def test_benchmarks_are_found_by_name(run_python) -> None:
    done = run_python("-m", "benchmarks", "--list", cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert {"version", "estimate", "demo"} <= set(done.stdout.split())


def test_unknown_benchmark_is_refused(run_python) -> None:
    done = run_python("-m", "benchmarks", "no-such-name", cwd=ROOT)
    assert done.returncode == 2
    assert "no-such-name" in done.stderr


def test_harness_examples(run_python) -> None:
    done = run_python("-m", "doctest", "benchmarks/harness.py", cwd=ROOT)
    assert (done.returncode, done.stdout) == (0, "")


def test_cpu_seconds_of_a_child_are_counted(run_python) -> None:
    code = (
        "from benchmarks.harness import time_command\n"
        "print(time_command(['-c', 'import time\\nwhile time.process_time() < 0.3: pass'], runs=1).cpu_s)"
    )
    done = run_python("-c", code, cwd=ROOT)
    assert 0.25 < float(done.stdout) < 3, done.stderr


def test_a_failing_command_is_no_timing(run_python) -> None:
    code = "from benchmarks.harness import time_command\ntime_command(['-c', 'raise SystemExit(\"why\")'])"
    done = run_python("-c", code, cwd=ROOT)
    assert done.stderr.strip().endswith("exit code 1: why")


def test_a_wrong_answer_is_no_timing(run_python) -> None:
    code = "from benchmarks.harness import time_command\ntime_command(['-c', 'print(1)'], expect='totals')"
    done = run_python("-c", code, cwd=ROOT)
    assert done.stderr.strip().endswith("totals is missing from what it printed")
