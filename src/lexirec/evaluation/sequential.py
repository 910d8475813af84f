"""Differences that are looked at again and again while data come in: an error that holds however often one looks.

An interval of 95 % is wrong once in twenty times at one look that was fixed beforehand. Who looks every day, and stops
at the first interval that leaves out 0, is wrong far more often. The bound of a normal mixture (Robbins, Annals of
Mathematical Statistics 1970; Johari et al., *Peeking at A/B tests*, KDD 2017) is crossed at *any* time with at most the
nominal probability, so one may look, and stop, whenever one likes. Its price is a width of about 3.0 standard errors
in place of 1.96 where the sample is as large as the planned difference needs.

It is made for sums of independent increments. Users who come back add increments that resemble each other. With them
the standardised difference of two looks is correlated more, not less, than with independent ones, and the more looks
are correlated, the less often any of them crosses a bound (Slepian, Bell System Technical Journal 1962): it stays valid
where the standard errors are those of whole users.
"""

from __future__ import annotations

import math

from scipy.stats import norm


def always_valid_radius(standard_error: float, planned: float, *, level: float = 0.95, comparisons: int = 1) -> float:
    """Return half the width of an interval that holds at all looks together.

    Args:
        standard_error: of the difference at this look, from whole users.
        planned: size of the differences for which the interval is made narrow, in the unit of the difference. It has to
            be the same at every look; any size is valid.
        level: probability with which the intervals of all looks hold.
        comparisons: number of figures that share the error of 1 − level (Bonferroni).

    Returns:
        The radius; infinite where `planned` or `standard_error` is 0, as such data show nothing.
    """
    if standard_error <= 0 or planned <= 0:
        return math.inf
    ratio = (planned / standard_error) ** 2
    error = (1 - level) / comparisons
    return standard_error * math.sqrt((1 + 1 / ratio) * (2 * math.log(1 / error) + math.log1p(ratio)))


def always_valid_detectable(radius: float, standard_error: float, *, power: float = 0.8) -> float:
    """Return the smallest true difference that a look with this radius finds with probability `power`."""
    return radius + float(norm.isf(1 - power)) * standard_error
