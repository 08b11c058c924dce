# SPDX-License-Identifier: Apache-2.0
import warnings

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from surglavi_hf.evaluation.classifiers import SETTINGS, fit_and_predict


@pytest.mark.parametrize("classifier", SETTINGS)
def test_what_can_be_separated_is(classifier):
    """With classes that are not counted from 0, and features of very different size."""
    generator = np.random.default_rng(0)
    labels = generator.choice([2, 5, 6], 600)
    features = np.eye(7)[labels] * 1000 + generator.normal(0, 100, (600, 7))
    given = (classifier, features[:400], labels[:400], features[400:])
    predicted, converged = fit_and_predict(*given, seed=0, num_classes=7)
    assert np.allclose(predicted.sum(axis=1), 1) and not predicted[:, [0, 1, 3, 4]].any()
    assert converged and (predicted.argmax(axis=1) == labels[400:]).mean() > 0.94
    again, _ = fit_and_predict(*given, seed=0, num_classes=7)
    assert np.array_equal(predicted, again)


@pytest.mark.parametrize("classifier", SETTINGS)
def test_one_class_alone(classifier):
    predicted, converged = fit_and_predict(classifier, np.zeros((3, 2)), np.full(3, 4), np.zeros((2, 2)), 0, 6)
    assert predicted.tolist() == [[0, 0, 0, 0, 1, 0]] * 2 and converged


def test_a_fit_that_does_not_converge(monkeypatch):
    """Whatever the caller's filter does with warnings."""
    of_one_step = lambda max_iter, **given: LogisticRegression(max_iter=1, **given)  # noqa: E731
    monkeypatch.setattr("sklearn.linear_model.LogisticRegression", of_one_step)
    generator = np.random.default_rng(0)
    features, labels = generator.normal(size=(60, 20)), generator.choice(3, 60)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert not fit_and_predict("logistic_regression", features, labels, features, 0, 3)[1]


def test_unknown():
    with pytest.raises(ValueError, match="classifier='svm', expected one of logistic_regression, torch_linear"):
        fit_and_predict("svm", np.zeros((2, 1)), np.arange(2), np.zeros((1, 1)), 0, 2)
