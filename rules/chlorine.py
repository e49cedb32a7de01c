"""How much of the free chlorine is hypochlorous acid, the part that disinfects fast and most cells respond to. Pure."""

from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike

from rules.ct_required import Values, aligned

__all__ = ["HoclModel", "hocl_fraction", "hocl_pka"]

ZERO_C_IN_K = 273.15
GAS_CONSTANT = 8.314
"""J/(mol·K)"""


class HoclModel(StrEnum):
    """Which formula gives pKa by temperature. They differ by at most 0.08 between 0 and 25 degC."""

    MORRIS = "morris"
    VANT_HOFF = "vant_hoff"


def hocl_pka(temperature: ArrayLike, model: HoclModel = HoclModel.MORRIS) -> Values:
    """Negative logarithm of the acid constant of hypochlorous acid.

    Parameters
    ----------
    temperature : (n,) float64
        Water temperature. [degC]
    model : HoclModel
        Morris (default) or van't Hoff.

    Returns
    -------
    (n,) float64
        pKa, NaN where the temperature is missing.

    Notes
    -----
    Morris: ``3000/T - 10.0686 + 0.0253 T``; van't Hoff: pKa 7.53 at 25 degC with an enthalpy of 13 800 J/mol; T in K.

    References
    ----------
    .. [1] Morris, "The Acid Ionization Constant of HOCl from 5 to 35 degC", J. Phys. Chem. 70 (12), 1966, 3798-3805.

    Examples
    --------
    >>> hocl_pka([0.0, 25.0]).round(3), hocl_pka([0.0, 25.0], HoclModel.VANT_HOFF).round(3)
    (array([7.825, 7.537]), array([7.751, 7.53 ]))
    """
    (celsius,) = aligned(temperature=temperature)
    kelvin = celsius + ZERO_C_IN_K
    if model is HoclModel.MORRIS:
        return np.asarray(3000.0 / kelvin - 10.0686 + 0.0253 * kelvin, dtype=np.float64)
    shift = 13_800.0 / (np.log(10.0) * GAS_CONSTANT) * (1.0 / kelvin - 1.0 / (25.0 + ZERO_C_IN_K))
    return np.asarray(7.53 + shift, dtype=np.float64)


def hocl_fraction(ph: ArrayLike, temperature: ArrayLike, model: HoclModel = HoclModel.MORRIS) -> Values:
    """Share of free chlorine present as hypochlorous acid.

    Parameters
    ----------
    ph, temperature : (n,) float64
        pH and water temperature [degC].
    model : HoclModel
        Formula of pKa.

    Returns
    -------
    (n,) float64
        ``1 / (1 + 10^(pH - pKa))``, 0 to 1; NaN where either input is missing.

    Raises
    ------
    ValueError
        If the shapes differ.

    Notes
    -----
    An uncompensated amperometric cell sees this part mainly: from pH 7 to 8 at 15 degC its signal falls by 63 % though the
    free chlorine stays the same.

    Examples
    --------
    >>> (100 * hocl_fraction([7.0, 8.0], [15.0, 15.0])).round(1)
    array([81.1, 30. ])
    """
    p, t = aligned(ph=ph, temperature=temperature)
    # Beyond pH 0 to 14 there is no water left to speak of; the clip only keeps the power finite.
    exponent = np.clip(p - hocl_pka(t, model), -20.0, 20.0)
    return np.asarray(1.0 / (1.0 + 10.0**exponent), dtype=np.float64)
