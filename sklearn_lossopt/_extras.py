"""Optional packages: who needs one names the extra that brings it."""


def missing_extra(who: str, package: str, extra: str) -> ImportError:
    """The error for a package that is not installed.

    Parameters
    ----------
    who : str
        What needs the package.
    package : str
    extra : str
        The extra of this package that brings it.

    Returns
    -------
    error : ImportError
    """
    return ImportError(
        f"{who} requires {package}. Install it with: pip install 'sklearn-lossopt[{extra}]'"
    )


def require_matplotlib(who: str) -> None:
    """Raise ImportError if matplotlib is not installed."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise missing_extra(who, "matplotlib", "plot") from error


def require_dask(who):
    """Raise ImportError if Dask is not installed."""
    try:
        import dask.array  # noqa: F401
    except ImportError as error:
        raise missing_extra(who, "dask", "dask") from error
