"""Components: losses, optimizers and schedules as searchable configurations with a registry."""

from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from functools import cache
from numbers import Integral, Real
from typing import Any, Self

from sklearn.base import BaseEstimator

from sklearn_lossopt._compat import Interval, check_parameters
from sklearn_lossopt._doc_link import DocLinkMixin

# Ranges of parameters that several components have.
PROPORTION = [Interval(Real, 0, 1, closed="left")]
POSITIVE = [Interval(Real, 0, None, closed="neither")]
NON_NEGATIVE = [Interval(Real, 0, None, closed="left")]
COUNT = [Interval(Integral, 0, None, closed="left")]


def as_objects(owner, families, params):
    """Replace strings by component objects if ``set_params(**params)`` sets parameters in them.

    Parameters
    ----------
    owner : object
        The object that holds the components as attributes.
    families : dict of str to type
        Names of the attributes that hold a component, and the component's family.
    params : dict
        Arguments of ``set_params``.

    Returns
    -------
    params : dict
        The arguments, with objects in place of strings.

    Raises
    ------
    ValueError
        If a string is no name of its family, or if it is "auto", which has no parameters.
    TypeError
        If something else is no member of the family.
    """
    for name in params:
        prefix, delimiter, _ = name.partition("__")
        if not delimiter or prefix not in families:
            continue
        value = params.get(prefix, getattr(owner, prefix))
        if not isinstance(value, (str, families[prefix])):
            families[prefix].resolve(value)  # which says what it must be
        if isinstance(value, str):
            if value == "auto":
                raise ValueError(
                    f"{name!r} cannot be set with {prefix}='auto', which has no parameters. Set "
                    f"{prefix} too, to a name such as {next(iter(families[prefix].registry()))!r}."
                )
            component = families[prefix].resolve(value)
            params = {**params, prefix: component}
            setattr(owner, prefix, component)
    return params


class Component(DocLinkMixin, BaseEstimator):
    """An immutable configuration that an estimator takes as a parameter.

    A subclass declared with ``family=`` is a family: ``Loss``, ``Optimizer``, ``Schedule``. A
    subclass of a family declared with ``name=`` is registered. Estimators take it as a string, by
    this name or by one of its ``aliases``, a dict of names to constructor arguments. A member
    without a name is given as an object.
    """

    _parameter_constraints: dict[str, Any] = {}
    _kernel_params: tuple[str, ...] = ()
    name: str | None = None
    aliases: dict[str, dict[str, Any]] = {}

    @classmethod
    @cache
    def _get_param_names(cls):
        return super()._get_param_names()

    def __init_subclass__(
        cls,
        *,
        family: str | None = None,
        name: str | None = None,
        aliases: Mapping[str, dict[str, Any]] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init_subclass__(**kwargs)
        if family is not None:
            cls._family = family
            cls._base = cls
            cls._names = {}
        if name is None:
            return
        aliases = dict(aliases or {})
        taken = ({name} | aliases.keys()) & cls._names.keys()
        if taken:
            raise ValueError(f"{cls._family} name already registered: {sorted(taken)}")
        cls.name, cls.aliases = name, aliases
        cls._names[name] = (cls, {})
        for alias, arguments in aliases.items():
            cls._names[alias] = (cls, arguments)

    @classmethod
    def registry(cls) -> dict[str, type[Self]]:
        """The registered names and their classes.

        Returns
        -------
        registry : dict of str to type
            Canonical names, in alphabetical order, and their classes.
        """
        members = {found.name: found for found, _ in cls._names.values()}
        return dict(sorted(members.items()))

    @classmethod
    def resolve(
        cls, value: object, also: Sequence[str] = (), accepts: Callable[[type], bool] | None = None
    ) -> Self:
        """Turn a string or an object into a validated member of the family.

        Parameters
        ----------
        value : str or Component
            A registered name or alias, matched case-sensitively, or an instance.
        also : tuple of str
            Further names that the caller accepts, for the error message.
        accepts : callable, default=None
            Whether the caller accepts a class, for the error message; None for all classes.

        Returns
        -------
        component : Component
            ``value`` itself if it was an instance.

        Raises
        ------
        ValueError
            If the name is unknown (the message lists the known ones, and the nearest of them), or
            if a parameter of the component is out of its range.
        TypeError
            If ``value`` is neither a string nor an instance of the family.
        """
        if isinstance(value, str):
            try:
                found, arguments = cls._names[value]
            except KeyError:
                known = [n for n, (c, _) in cls._names.items() if accepts is None or accepts(c)]
                known = sorted([*known, *also])
                near = get_close_matches(value.lower(), known, n=1)
                hint = f" Did you mean {near[0]!r}?" if near else ""
                raise ValueError(
                    f"Unknown {cls._family} {value!r}.{hint} Known names are: "
                    f"{', '.join(map(repr, known))}. "
                    f"A configured object such as {cls._example(accepts)} is accepted too."
                ) from None
            return found(**arguments)
        if not isinstance(value, cls._base):
            hint = f" Did you mean {value.__name__}()?" if isinstance(value, type) else ""
            raise TypeError(
                f"{cls._family}={value!r} must be a string or an instance of "
                f"sklearn_lossopt's {cls._base.__name__}.{hint}"
            )
        value._check()
        return value

    def _check(self):
        """Raise ValueError or TypeError if a parameter is out of its range."""
        check_parameters(self)

    @classmethod
    def _example(cls, accepts=None):
        members = cls.registry().values()
        found = next((found for found in members if accepts is None or accepts(found)), None)
        return f"{found.__name__}()" if found else f"a {cls._base.__name__} subclass"

    def _kernel_row(self):
        """The parameters of the compiled kernel, in its order."""
        return [float(getattr(self, name)) for name in self._kernel_params]
