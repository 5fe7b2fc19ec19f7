"""What a batch is worth: the same jobs with a call for each and with up to 64 in one call, in the same run.

    python3 ops/dev/servers.py -- .venv/bin/python bench/batching.py

A worker with two children empties a queue that is full, with results in Redis. The first row is a call that costs next
to nothing: there a batch saves what lies around it. The others are models of scikit-learn, whose predict costs much the
same for one row as for sixty-four.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import numpy as np
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from penstock import Batch, Processes, Queue

ROOT = Path(__file__).resolve().parents[1]
sys.path[0] = str(ROOT)

SIZE: Final = 64
FEATURES: Final = 16
ROWS: Final = 512
#: Jobs of a round in all, and those of them that are not counted: what has a slow call needs fewer.
QUICK, SLOW = (10_000, 2_000), (600, 100)
#: Rounds of each row, one column after the other in each, so that both meet the same machine; the best one counts.
ROUNDS: Final = 3

models = Queue("models", lane=Processes(2))
rows: Final = np.random.default_rng(7).normal(size=(ROWS, FEATURES))
fitted: dict[str, Any] = {}


@models.startup
def fit() -> None:
    """Fit the models."""
    labels = (rows[:, 0] + rows[:, 1] ** 2 > 0.5).astype(int)
    fitted["logistic"] = LogisticRegression().fit(rows, labels)
    fitted["forest"] = RandomForestClassifier(100, max_depth=8, random_state=7, n_jobs=1).fit(rows, labels)


def picked(jobs: list[dict[str, Any]]) -> Any:
    """The row of each job."""
    return rows[[job["a"] % ROWS for job in jobs]]


@models.task
def norm(a: int, b: int) -> float:
    """The length of one row."""
    return float(np.linalg.norm(rows[a % ROWS], b))


@models.task(name="norm_batch", batch=Batch(size=SIZE, of=norm))
def norms(jobs: list[dict[str, Any]]) -> Any:
    """The lengths of many."""
    return np.linalg.norm(picked(jobs), jobs[0]["b"], axis=1)


@models.task
def logistic(a: int, b: int) -> int:  # noqa: ARG001
    """The class of one row."""
    return int(fitted["logistic"].predict(rows[[a % ROWS]])[0])


@models.task(name="logistic_batch", batch=Batch(size=SIZE, of=logistic))
def logistics(jobs: list[dict[str, Any]]) -> Any:
    """The classes of many."""
    return fitted["logistic"].predict(picked(jobs))


@models.task
def forest(a: int, b: int) -> int:  # noqa: ARG001
    """The class of one row."""
    return int(fitted["forest"].predict(rows[[a % ROWS]])[0])


@models.task(name="forest_batch", batch=Batch(size=SIZE, of=forest))
def forests(jobs: list[dict[str, Any]]) -> Any:
    """The classes of many."""
    return fitted["forest"].predict(picked(jobs))


def main() -> None:
    """Print the table."""
    from bench.run import go

    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as folder:
        program = Path(folder) / "bench"
        subprocess.run([go(), "build", "-o", str(program), "."], cwd=ROOT / "bench", check=True)
        command = [sys.executable, "-m", "penstock", "topology", "apply", "models"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        print(f"{'':10}{'a call each':>20}{f'up to {SIZE} in a call':>24}{'factor':>10}", flush=True)
        for name, jobs in (("norm", QUICK), ("logistic", QUICK), ("forest", SLOW)):
            rounds = [
                (
                    drained(program, Path(folder), f"models.{name}", *jobs),
                    drained(program, Path(folder), f"models.{name}_batch", *QUICK),
                )
                for _ in range(ROUNDS)
            ]
            alone, together = (max(column) for column in zip(*rounds, strict=True))
            print(f"{name:10}{alone:13,.0f} jobs/s{together:17,.0f} jobs/s{together / alone:9.1f}x", flush=True)


def drained(program: Path, folder: Path, task: str, count: int, warm: int) -> float:
    """Jobs a second of a worker that empties the queue."""
    from bench.run import measure, worker

    measure(program, "fill", "-stored", "-task", task, "-count", str(count))
    with worker(folder / "worker.log", target="bench.batching:models", task=task) as running:
        begun = running.after(warm)
        ended = running.after(count)
    return (ended.finished - begun.finished) / (ended.at - begun.at)


if __name__ == "__main__":
    main()
