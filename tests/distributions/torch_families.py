"""One or more examples of every family of torch.distributions, in float64, for the tests of the adapters."""

import torch
import torch.distributions as td


def t(*values):
    return torch.tensor(values[0] if len(values) == 1 else values, dtype=torch.float64)


# scalar laws with a density: integrals over the line must be one
CONTINUOUS = {
    "Beta": td.Beta(t(0.5, 2.0), t(0.5, 3.0)),
    "Cauchy": td.Cauchy(t(1.0), t(2.0)),
    "Chi2": td.Chi2(t(0.3, 4.0)),
    "ContinuousBernoulli": td.ContinuousBernoulli(t(0.2, 0.5)),
    "Exponential": td.Exponential(t(0.01, 100.0)),
    "FisherSnedecor": td.FisherSnedecor(t(1.0, 3.0), t(1.0, 5.0)),
    "Gamma": td.Gamma(t(0.1, 0.5, 3.0), t(1.0, 2.0, 0.001)),
    "Gumbel": td.Gumbel(t(0.0, 3.0), t(1.0, 0.1)),
    "HalfCauchy": td.HalfCauchy(t(1.0, 10.0)),
    "HalfNormal": td.HalfNormal(t(1.0, 10.0)),
    "InverseGamma": td.InverseGamma(t(0.5, 3.0), t(1.0, 1.0)),
    "Kumaraswamy": td.Kumaraswamy(t(0.5, 2.0), t(0.5, 3.0)),
    "Laplace": td.Laplace(t(0.0, 1.0), t(1.0, 1e-3)),
    "LogNormal": td.LogNormal(t(0.0, 1.0), t(1.0, 5.0)),
    "Pareto": td.Pareto(t(1.0, 1.0), t(0.2, 3.0)),
    "RelaxedBernoulli": td.RelaxedBernoulli(t(0.5), t(0.3, 0.9)),
    "StudentT": td.StudentT(t(3.0, 0.5), t(0.0, 1.0), t(1.0, 2.0)),
    "Uniform": td.Uniform(t(0.0, 1.0), t(1.0, 5.0)),
    "VonMises": td.VonMises(t(0.0, 3.0), t(1.0, 50.0)),
    "Weibull": td.Weibull(t(1.0, 2.0), t(0.3, 2.0)),
    # on the simplex of two probabilities: D = 1
    "Dirichlet": td.Dirichlet(t(0.5, 0.7)),
    "LogisticNormal": td.LogisticNormal(t([0.0]), t([1.0])),
    "RelaxedOneHotCategorical": td.RelaxedOneHotCategorical(t(0.7), t(0.3, 0.7)),
    # compositions
    "MixtureSameFamily of Uniform": td.MixtureSameFamily(
        td.Categorical(t(0.3, 0.7)), td.Uniform(t(0.0, 1.0), t(2.0, 3.0))
    ),
    "MixtureSameFamily of Laplace": td.MixtureSameFamily(
        td.Categorical(t(0.3, 0.7)), td.Laplace(t(0.0, 100.0), t(1.0, 0.01))
    ),
    "TransformedDistribution of Exponential": td.TransformedDistribution(
        td.Exponential(t(1.0)), [td.AffineTransform(3.0, -2.0)]
    ),
    "TransformedDistribution of Normal": td.TransformedDistribution(td.Normal(t(0.0), t(1.0)), [td.TanhTransform()]),
    "TransformedDistribution of Laplace": td.TransformedDistribution(td.Laplace(t(0.0), t(1.0)), [td.ExpTransform()]),
}

if hasattr(td, "GeneralizedPareto"):
    CONTINUOUS["GeneralizedPareto"] = td.GeneralizedPareto(t(0.0, 1.0, 2.0), t(1.0, 1.0, 2.0), t(0.5, -0.5, 0.0))

# laws on integers: their points can be listed
COUNTING = {
    "Binomial": td.Binomial(torch.tensor([3, 7]), t(0.2, 0.7)),
    "Geometric": td.Geometric(t(0.5, 0.01)),
    "Multinomial": td.Multinomial(4, t(0.2, 0.3, 0.5)),
    "NegativeBinomial": td.NegativeBinomial(t(0.5, 3.0), t(0.2, 0.9)),
    "Poisson": td.Poisson(t(0.5, 30.0)),
    "MixtureSameFamily of Poisson": td.MixtureSameFamily(td.Categorical(t(0.2, 0.8)), td.Poisson(t(1.0, 20.0))),
    "Independent of Poisson": td.Independent(td.Poisson(t(1.0, 2.0)), 1),
    "Independent of Bernoulli": td.Independent(td.Bernoulli(t(0.1, 0.2, 0.3)), 1),
}

# laws that become our own families, with the family
OURS = {
    "Bernoulli": (td.Bernoulli(t(0.3)), "Discrete"),
    "Categorical": (td.Categorical(t(0.2, 0.8)), "Discrete"),
    "OneHotCategorical": (td.OneHotCategorical(t(0.2, 0.8)), "Discrete"),
    "OneHotCategoricalStraightThrough": (td.OneHotCategoricalStraightThrough(t(0.2, 0.8)), "Discrete"),
    "Normal": (td.Normal(t(0.0, 1.0), t(1.0)), "Gaussian"),
    "MultivariateNormal": (td.MultivariateNormal(t(0.0, 1.0), t([[2.0, 1.0], [1.0, 2.0]])), "Gaussian"),
    "LowRankMultivariateNormal": (
        td.LowRankMultivariateNormal(t(0.0, 1.0), t([[1.0], [2.0]]), t(1.0, 2.0)),
        "Gaussian",
    ),
    "Independent": (td.Independent(td.Normal(torch.zeros(2, 3).double(), t(1.0, 2.0, 3.0)), 1), "Gaussian"),
    "MixtureSameFamily": (
        td.MixtureSameFamily(td.Categorical(t(0.2, 0.8)), td.Normal(t(0.0, 1.0), t(1.0, 2.0))),
        "GaussianMixture",
    ),
}

# laws that are refused, with the reason
REFUSED = {
    "Distribution": (td.Distribution(validate_args=False), "abstract"),
    "ExponentialFamily": (td.ExponentialFamily(validate_args=False), "abstract"),
    "LKJCholesky": (td.LKJCholesky(3, 1.0), "matrices of a special kind"),
    "Wishart": (td.Wishart(t(3.0), torch.eye(2).double()), "matrices of a special kind"),
}
