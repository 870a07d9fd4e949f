"""Classifiers and regressors of scikit-learn, through skl2onnx.

The gradient is that of central differences on scikit-learn's own float64 computation.
"""

import functools

import numpy as np
import record
from skl2onnx import to_onnx
from sklearn.datasets import make_classification, make_regression
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, Normalizer, PowerTransformer, StandardScaler
from sklearn.svm import SVC, SVR, LinearSVC

STEP = 1e-4

ACTIVATIONS = {
    "relu": lambda value: np.maximum(value, 0),
    "tanh": np.tanh,
    "logistic": lambda value: 1 / (1 + np.exp(-value)),
}


def perceptron(activation):
    return MLPClassifier((12,), activation=activation, max_iter=60, random_state=0)


def regression(*before):
    last = MLPRegressor(hidden_layer_sizes=(16, 8), max_iter=100, random_state=0)
    return make_pipeline(*before, last)


CLASSIFIERS = {
    "mlp_relu": perceptron("relu"),
    "mlp_tanh": perceptron("tanh"),
    "mlp_logistic": perceptron("logistic"),
    "logistic": LogisticRegression(),
    "scaled": make_pipeline(StandardScaler(), LogisticRegression()),
    "range": make_pipeline(MinMaxScaler(), perceptron("relu")),
    "norm_l2": make_pipeline(Normalizer("l2"), LogisticRegression()),
    "norm_l1": make_pipeline(Normalizer("l1"), LogisticRegression()),
    "components": make_pipeline(PCA(4), LogisticRegression()),
    "power": make_pipeline(PowerTransformer(), LogisticRegression()),
    "discriminant": LinearDiscriminantAnalysis(),
    "bayes": GaussianNB(),
    "svc_rbf": SVC(),
    "svc_linear": SVC(kernel="linear"),
    "svc_polynomial": SVC(kernel="poly", degree=2, coef0=0.5),
    "svc_sigmoid": make_pipeline(StandardScaler(), SVC(kernel="sigmoid")),
    "svc_scaled": make_pipeline(StandardScaler(), SVC()),
    "linear_svc": LinearSVC(),
}
REGRESSORS = {
    "linear": LinearRegression(),
    "mlp_regressor": regression(),
    "mlp_regressor_scaled": regression(StandardScaler()),
    "svr": SVR(),
    "svr_linear": SVR(kernel="linear"),
    "process": GaussianProcessRegressor(RBF(2.0), alpha=0.1),
}


def data(classes):
    if not classes:
        given, wanted = make_regression(200, 6, noise=1, random_state=0)
        return given.astype(np.float32), wanted / 50
    given, wanted = make_classification(
        200, 6, n_informative=4, n_classes=3, n_clusters_per_class=1, random_state=0
    )
    return given.astype(np.float32), wanted


def ends(estimator, rows, output):
    """Return what the last layer is fed and what it makes of that, where there are layers.

    A linear model is its only layer, but behind a step that is more than a scale.
    """
    steps = [step for _, step in estimator.steps] if hasattr(estimator, "steps") else [estimator]
    *before, last = steps
    for step in before:
        rows = step.transform(rows)
    if isinstance(last, MLPClassifier | MLPRegressor):
        *inner, (weight, bias) = zip(last.coefs_, last.intercepts_, strict=True)
        for one, other in inner:
            rows = ACTIVATIONS[last.activation](rows @ one + other)
        return rows, rows @ weight + bias
    if isinstance(last, GaussianNB):
        logits = last.predict_joint_log_proba(rows)
        return logits, logits
    scales = all(isinstance(step, StandardScaler | MinMaxScaler) for step in before)
    if isinstance(last, LogisticRegression) and not scales:
        return rows, output
    kernels = isinstance(last, GaussianProcessRegressor)
    return (last.kernel_(rows, last.X_train_) if kernels else output), output


def export(path, estimator, classes, options):
    given, wanted = data(classes)
    estimator.fit(given, wanted)
    path.write_bytes(to_onnx(estimator, given[:1], options=options).SerializeToString())

    def function(rows):
        if hasattr(estimator, "predict_proba"):
            return estimator.predict_proba(rows)
        if hasattr(estimator, "decision_function"):
            return estimator.decision_function(rows)
        return estimator.predict(rows).reshape(len(rows), -1)

    rows = given[:4] + np.float32(0.01)
    output = function(rows)
    (noise,) = record.weights([output])
    gradient = np.zeros(rows.shape)
    for place in np.ndindex(rows.shape):
        step = np.zeros(rows.shape)
        step[place] = STEP
        change = function(rows.astype(np.float64) + step) - function(rows.astype(np.float64) - step)
        gradient[place] = (change * noise).sum() / (2 * STEP)
    feature, logits = ends(estimator, rows, output)
    record.save(path, [rows], [output], [gradient.astype(np.float32)], feature, logits)


def table():
    rows = {}
    for name, estimator in CLASSIFIERS.items():
        options = {"zipmap": False} if hasattr(estimator, "predict_proba") else None
        rows[name] = functools.partial(export, estimator=estimator, classes=True, options=options)
    for name, estimator in REGRESSORS.items():
        rows[name] = functools.partial(export, estimator=estimator, classes=False, options=None)
    # By default probabilities come as a list of dictionaries.
    rows["zipmap"] = functools.partial(
        export, estimator=LogisticRegression(), classes=True, options=None
    )
    return rows


if __name__ == "__main__":
    record.main(table())
