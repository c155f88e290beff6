"""The helpers that other tests compare with must themselves be able to fail."""

import numpy as np
import pytest
from kit import close, same_bits

ONES = np.ones(3)
NOTHING = [([], []), ({}, {}), (None, None), ([None], [None]), (np.zeros((0, 3)), np.zeros((0, 3)))]
OTHERWISE = [([ONES], [ONES, ONES]), ([None, ONES], [ONES, ONES]), (np.ones((2, 3)), 1.0)]


@pytest.mark.parametrize("compare", [close, same_bits])
@pytest.mark.parametrize(("found", "expected"), NOTHING + OTHERWISE)
def test_nothing_and_other_forms_fail(compare, found, expected):
    with pytest.raises((AssertionError, ValueError)):
        compare(found, expected)


def test_numbers_are_compared():
    close({"a": [ONES, None]}, {"a": [ONES + 1e-7, None]})
    for other in (ONES + 1e-3, ONES * np.nan):
        with pytest.raises(AssertionError):
            close([ONES, ONES], [ONES, other])
    with pytest.raises(AssertionError):
        close(ONES * np.nan, ONES * np.nan)
    assert same_bits([ONES, None], [ONES, None]) and not same_bits([ONES], [ONES + 1e-7])
