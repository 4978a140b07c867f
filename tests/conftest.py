import os

# Before scipy is imported: scikit-learn's array API checks would be skipped without it.
os.environ.setdefault("SCIPY_ARRAY_API", "1")
# No test opens a window.
os.environ.setdefault("MPLBACKEND", "Agg")
