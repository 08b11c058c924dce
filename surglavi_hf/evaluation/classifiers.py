# SPDX-License-Identifier: Apache-2.0
"""Linear classifiers on frozen features. scikit-learn is imported where it is needed, since `--help` should not wait
for it."""

import warnings
from typing import Literal

import numpy as np
import torch
from torch.nn import functional as F

Classifier = Literal["logistic_regression", "torch_linear"]

# What is not published of the probes in the tables: written into every report.
SETTINGS = {
    "logistic_regression": "standardised features; scikit-learn's LogisticRegression, C = 1, 1000 steps of lbfgs",
    "torch_linear": "standardised features; AdamW, learning rate 1e-3, weight decay 0.01, 20 epochs of batches of 256",
}
EPOCHS, BATCH_SIZE = 20, 256


def fit_and_predict(
    classifier: Classifier,
    features: np.ndarray,
    labels: np.ndarray,
    test_features: np.ndarray,
    seed: int,
    num_classes: int,
) -> tuple[np.ndarray, bool]:
    """
    Returns the probability of each class for each row of `test_features`, of shape `(num_test_frames, num_classes)`;
    of features of one class alone, that class is sure. And whether the fit converged; where steps are counted out, as
    of "torch_linear", it is taken to.

    Args:
        classifier: "logistic_regression" or "torch_linear", as `SETTINGS` describes them.
        features: Of shape `(num_frames, dim)`.
        labels: Classes, of shape `(num_frames,)`.
        test_features: Of shape `(num_test_frames, dim)`.
        seed: Of weights and order.
        num_classes: How many there are; those that `labels` has not get no probability.

    Raises:
        ValueError: `classifier` is neither.
    """
    if classifier not in SETTINGS:
        raise ValueError(f"classifier={classifier!r}, expected one of {', '.join(SETTINGS)}")
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    classes = np.unique(labels)
    probabilities = np.zeros((len(test_features), num_classes))
    if len(classes) == 1:
        probabilities[:, classes[0]] = 1
        return probabilities, True
    if classifier == "logistic_regression":
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000, random_state=seed))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", ConvergenceWarning)
            model.fit(features, labels)
        converged = not any(issubclass(each.category, ConvergenceWarning) for each in caught)
        probabilities[:, classes] = model.predict_proba(test_features)
        return probabilities, converged
    probabilities[:, classes] = _fit_torch(features, np.searchsorted(classes, labels), test_features, seed)
    return probabilities, True


def _fit_torch(features: np.ndarray, targets: np.ndarray, test_features: np.ndarray, seed: int) -> np.ndarray:
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(features)
    x, test = (torch.from_numpy(scaler.transform(part)).float() for part in (features, test_features))
    y = torch.from_numpy(targets)
    generator = torch.Generator().manual_seed(seed)
    weight = torch.empty(targets.max() + 1, x.shape[1]).normal_(0, 0.01, generator=generator).requires_grad_()
    bias = torch.zeros(len(weight), requires_grad=True)
    optimizer = torch.optim.AdamW([weight, bias], lr=1e-3, weight_decay=0.01)
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(x), generator=generator).split(BATCH_SIZE):
            optimizer.zero_grad()
            F.cross_entropy(x[rows] @ weight.T + bias, y[rows]).backward()
            optimizer.step()
    with torch.no_grad():
        return (test @ weight.T + bias).softmax(dim=1).numpy()
