# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from surglavi_hf.evaluation.classifiers import SETTINGS, fit_and_predict


@pytest.mark.parametrize("classifier", SETTINGS)
def test_what_can_be_separated_is(classifier):
    """With classes that are not counted from 0, and features of very different size."""
    generator = np.random.default_rng(0)
    labels = generator.choice([2, 5, 6], 600)
    features = np.eye(7)[labels] * 1000 + generator.normal(0, 100, (600, 7))
    predicted = fit_and_predict(classifier, features[:400], labels[:400], features[400:], seed=0)
    assert (predicted == labels[400:]).mean() > 0.94
    again = fit_and_predict(classifier, features[:400], labels[:400], features[400:], seed=0)
    assert np.array_equal(predicted, again)


@pytest.mark.parametrize("classifier", SETTINGS)
def test_one_class_alone(classifier):
    assert fit_and_predict(classifier, np.zeros((3, 2)), np.full(3, 4), np.zeros((2, 2)), 0).tolist() == [4, 4]


def test_unknown():
    with pytest.raises(ValueError, match="classifier='svm', expected one of logistic_regression, torch_linear"):
        fit_and_predict("svm", np.zeros((2, 1)), np.arange(2), np.zeros((1, 1)), 0)
