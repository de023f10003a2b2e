"""What a measure tells apart is said with an interval, and that it tells nothing apart is said as well."""

from __future__ import annotations

import pytest
import torch
from comfyui_uso.uso_model.errors import UserError
from comfyui_uso.uso_model.judging.discrimination import discriminate, least_apart
from comfyui_uso.uso_model.judging.readout import cosine, csls
from comfyui_uso.uso_model.judging.roc import area, weighted_areas

STYLES, SUBJECTS = 6, 8


def labelled(style=0.0, subject=0.0, noise=1.0, seed=0):
    """Return vectors that carry so much of style and of subject, and the labels."""
    generator = torch.Generator().manual_seed(seed)
    styles, subjects = (torch.randn(count, 64, generator=generator) for count in (STYLES, SUBJECTS))
    names = [(f"style{i}", f"subject{j}") for i in range(STYLES) for j in range(SUBJECTS)]
    vectors = style * styles.repeat_interleave(SUBJECTS, 0) + subject * subjects.repeat(STYLES, 1)
    vectors = vectors + noise * torch.randn(len(names), 64, generator=generator)
    return vectors, [name[0] for name in names], [name[1] for name in names]


def measured(*labels, draws=300, **amounts):
    vectors, styles, subjects = labelled(**amounts)
    return discriminate(cosine(vectors, vectors), styles, subjects, draws=draws)


def test_a_measure_of_styles_tells_styles_and_not_subjects_apart():
    found = measured(style=1.0)
    assert found.style.low > 0.9 and found.subject.low < 0.5 < found.subject.high
    assert found.cannot("style") is None and found.pictures == STYLES * SUBJECTS and found.without_value == 0
    value, low, high = (f"{number:.2f}".removeprefix("0") for number in found.subject)
    assert found.cannot("subject") == f"cannot tell subjects apart here (AUC {value}, {low} to {high})"
    other = measured(subject=1.0)
    assert other.subject.low > 0.9 and "cannot tell styles apart here" in other.cannot("style")


def test_content_in_a_measure_does_not_help_it_with_styles():
    """Pairs in one style never share the subject, nor do pairs in two styles: the subject gives nothing away."""
    assert measured(subject=3.0, noise=0.1).style.is_chance
    mixed = measured(style=0.6, subject=2.0, noise=0.5)
    assert mixed.style.low > 0.5 and mixed.cannot("style").startswith("tells subjects apart rather than styles here (")
    assert mixed.cannot("subject") is None


def test_intervals_repeat_and_few_styles_are_taken_as_given():
    assert measured(style=0.3) == measured(style=0.3)
    vectors, styles, subjects = labelled(style=0.3)
    assert len(set(styles)) == 6 and len(set(styles[:40])) == 5
    drawn, given = (
        discriminate(cosine(vectors[:count], vectors[:count]), styles[:count], subjects[:count], draws=300).style
        for count in (48, 40)
    )
    assert drawn.high - drawn.low > given.high - given.low > 0.1


def test_two_styles_that_are_one_to_the_measure_are_named():
    vectors, styles, subjects = labelled(style=1.0)
    vectors[16:24] += vectors[8:16].mean(dim=0) - vectors[16:24].mean(dim=0)
    first, second, value = least_apart(cosine(vectors, vectors), styles, subjects)
    assert (first, second) == ("style1", "style2") and value < 0.6
    assert least_apart(cosine(vectors[:8], vectors[:8]), styles[:8], subjects[:8]) is None


def test_pairs_without_a_value_are_left_out_and_counted():
    vectors, styles, subjects = labelled(style=1.0)
    vectors[3] = torch.nan
    found = discriminate(cosine(vectors, vectors), styles, subjects, draws=100)
    assert found.without_value == len(vectors) - 1 and found.style.low > 0.9


@pytest.mark.parametrize("count", [0, 1, 2])
def test_sets_without_pairs_get_a_sentence(count):
    vectors, styles, subjects = labelled()
    found = discriminate(cosine(vectors[:count], vectors[:count]), styles[:count], subjects[:count], draws=10)
    assert found.cannot("style") == "cannot tell styles apart here (no pairs to compare)"


def test_a_large_set_is_thinned_and_labels_have_to_fit():
    vectors, styles, subjects = labelled(style=1.0)
    assert discriminate(cosine(vectors, vectors), styles, subjects, draws=50, most=30).pictures == 30
    with pytest.raises(UserError, match="give every picture both labels"):
        discriminate(cosine(vectors, vectors), styles[:-1], subjects)


def test_weighted_areas_are_areas_of_repeated_scores():
    generator = torch.Generator().manual_seed(0)
    right, wrong = (torch.randint(6, (count,), generator=generator).double() for count in (9, 14))
    a, b = (torch.randint(3, (len(scores), 5), generator=generator).float() for scores in (right, wrong))
    expected = [
        area(right.repeat_interleave(a[:, d].long()), wrong.repeat_interleave(b[:, d].long())) for d in range(5)
    ]
    assert weighted_areas(right, wrong, a, b).tolist() == pytest.approx(expected, abs=1e-6)


def test_csls_takes_hubs_down():
    near = torch.tensor([[0.9, 0.8, 0.1], [0.1, 0.8, 0.1], [0.2, 0.8, 0.7]])
    assert near[1].argmax() == 1 and csls(near, k=2)[1, 1] < csls(near, k=2)[0, 0]
    by_hand = 2 * 0.9 - (0.9 + 0.8) / 2 - (0.9 + 0.2) / 2
    assert csls(near, k=2)[0, 0] == pytest.approx(by_hand)
    own = csls(torch.tensor([[1.0, 0.5, 0.2], [0.5, 1.0, 0.4], [0.2, 0.4, 1.0]]), k=1, own=True)
    assert own[0, 1] == pytest.approx(2 * 0.5 - 0.5 - 0.5) and csls(torch.ones(1, 1), own=True).isnan().all()
    assert csls(near, k=10).shape == (3, 3)
