"""The adapter to Spark on the page on scale beside Spark ML's logistic regression, local.

Rows are made by Spark, cached as vectors for Spark ML and as arrays, a block a partition, for the
adapter. CPU is that of this process, of the JVM and of Spark's Python workers. It needs pyspark and
a Java that it takes, which are not among the extras. ::

    python spark.py
    python spark.py --rows 200000 --rounds 1
"""

import re
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import _harness
import numpy as np
import psutil

from sklearn_lossopt import GradientClassifier

PAGE = Path(__file__).resolve().parents[2] / "scale.md"
COLUMNS, WORKERS = 30, 2


def adapter():
    """What the page defines."""
    (code,) = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    scope = {}
    exec(code, scope)
    return scope


def make_rows(spark, rows, partitions):
    """A DataFrame of columns x0, x1, ... and of labels."""
    from pyspark.sql import functions as F

    coef = np.random.default_rng(0).normal(size=COLUMNS) / 2
    frame = spark.range(0, rows, 1, partitions)
    frame = frame.select(*(F.randn(seed=j).alias(f"x{j}") for j in range(COLUMNS)))
    raw = sum(float(c) * F.col(f"x{j}") for j, c in enumerate(coef))
    u = F.rand(seed=COLUMNS)
    return frame.withColumn("label", (raw + F.log(u / (1 - u)) > 0).cast("double"))


def to_arrays(rows):
    """X and y of a list of Spark's rows."""
    both = np.array(rows, dtype=float)
    return both[:, :-1], both[:, -1].astype(int)


def cpu_seconds():
    """Of this process and of all that it has started."""
    total = 0.0
    for process in (psutil.Process(), *psutil.Process().children(recursive=True)):
        times = process.cpu_times()
        total += times.user + times.system + times.children_user + times.children_system
    return total


def measured(work):
    cpu, wall = cpu_seconds(), time.perf_counter()
    found = work()
    return cpu_seconds() - cpu, time.perf_counter() - wall, found


def report(rows, rounds):
    """Lines of the page."""
    import pyspark
    from pyspark.ml.classification import LogisticRegression
    from pyspark.ml.feature import VectorAssembler
    from pyspark.sql import SparkSession

    spark = (
        SparkSession.builder.master(f"local[{WORKERS}]")
        .config("spark.driver.memory", "6g")
        .config("spark.driver.maxResultSize", "0")
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .getOrCreate()
    )
    spark.sparkContext.setLogLevel("ERROR")
    yield from _harness.opening(
        "The adapter to Spark beside Spark ML",
        f"Log loss without a penalty, {rows:,} x {COLUMNS}, local[{WORKERS}]. Medians of {rounds} "
        "rounds after one that does not count; the gap is the mean log loss above the least.",
        f"PySpark {pyspark.__version__}",
    )
    scope = adapter()
    frame = make_rows(spark, rows, max(1, rows // 50_000)).cache()
    frame.count()
    names = [f"x{j}" for j in range(COLUMNS)]
    assembled = VectorAssembler(inputCols=names, outputCol="features").transform(frame)
    vectors = assembled.select("features", "label").cache()
    vectors.count()
    blocks = scope["SparkPartitions"](
        frame.rdd.mapPartitionsWithIndex(
            lambda i, part: [(i, scope["Block"](i, *to_arrays(list(part))))]
        ).persist()
    )
    conversion = measured(blocks.rdd.count)[0]
    held = [block for _, block in sorted(blocks.rdd.collect(), key=lambda pair: pair[0])]
    X, y = np.concatenate([b.X for b in held]), np.concatenate([b.y for b in held])
    fits = {
        "GradientClassifier, adapter": lambda: scope["fit_blocks"](
            GradientClassifier(alpha=0, random_state=0), blocks
        ),
        "Spark ML": lambda: LogisticRegression(tol=1e-6).fit(vectors),
        "Spark ML, tol=1e-9": lambda: LogisticRegression(tol=1e-9, maxIter=1000).fit(vectors),
        "GradientClassifier, in memory": lambda: GradientClassifier(alpha=0, random_state=0).fit(
            X, y
        ),
    }
    best = GradientClassifier(alpha=0, tol=1e-12, random_state=0).fit(X, y)
    least = mean_loss(best.coef_, best.intercept_, X, y)
    yield from _harness.head("fit", "CPU s", "wall s", "gap")
    for name, fit in fits.items():
        each = [measured(fit) for _ in range(rounds + 1)][1:]
        cpu, wall = np.median([(cpu, wall) for cpu, wall, _ in each], axis=0)
        model = each[-1][2]
        if name.startswith("Spark"):
            parts = model.coefficients.toArray(), model.intercept
        else:
            parts = model.coef_, model.intercept_
        gap = (mean_loss(*parts, X, y) - least) / least
        yield _harness.row(name, f"{cpu:.2f}", f"{wall:.2f}", f"{gap:.1e}")
    yield ""
    yield f"From a frame's rows to arrays: {conversion:.1f} s of CPU, once."
    spark.stop()


def mean_loss(coef, intercept, X, y):
    raw = X @ np.ravel(coef) + np.ravel(intercept)[0]
    return float(np.mean(np.logaddexp(0, np.where(y == 1, -raw, raw))))


def main():
    parser = _harness.parser(__doc__, script=__file__, out="spark.md", rounds=3)
    parser.add_argument("--rows", type=int, default=500_000)
    options = parser.parse_args()
    _harness.publish(report(options.rows, options.rounds), options.out)


if __name__ == "__main__":
    main()
