"""The learning curve and the next steps as tables, sentences and lists."""

from cnnlab.report import words
from cnnlab.tuning import NextStep
from conftest import make_curve


def test_the_summary_says_what_the_second_half_of_the_images_brings():
    shown = words.learning_curve_summary(make_curve(3)).data
    assert "4,000 training images, less that with 2,000: +0.100 (95 % interval +0.0" in shown
    assert "**better**" in shown
    assert "+0.100" in words.learning_curve_summary(make_curve(1)).data
    assert words.learning_curve_summary(None).data.startswith("There is no learning curve")


def test_steps_are_listed_with_their_times_and_commands():
    steps = [
        NextStep("More <seeds>.", "make report DATA='a&b' SEEDS=5", 0.1, 720.0),
        NextStep("Less.", "b", 0.0, -60.0),
    ]
    shown = words.next_steps_list(steps).data
    assert "<li>More &lt;seeds&gt;. <em>(estimated 12 min)</em>" in shown
    assert "<code>make report DATA=&#x27;a&amp;b&#x27; SEEDS=5</code>" in shown
    assert "(estimated to save 60 s)" in shown
    assert words.next_steps_list([]).data == "<p>These results suggest no next step.</p>"
