"""The picture of the learning curve has the numbers of every point."""

import pytest

from cnnlab.report import plots
from conftest import make_curve


@pytest.mark.parametrize("n_seeds", [1, 3])
def test_every_point_is_in_the_text_and_in_the_numbers(n_seeds):
    picture = plots.learning_curve(make_curve(n_seeds))
    interval = " (0.250 to 0.350)" if n_seeds > 1 else ""
    assert f"1,000 images: val_f1 0.300{interval}, test_f1 0.300{interval}; 2,000 images" in picture.alt
    assert picture.numbers.count("<tr") == 1 + 3
    assert "<td>4,000</td>" in picture.numbers
    assert "nan" not in picture.numbers
    assert ("Bar: its 95 % interval" in picture.html) == (n_seeds > 1)
