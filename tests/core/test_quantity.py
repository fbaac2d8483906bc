"""Dispatch: specificity, predicates, ambiguity, options, and an explanation by the same predicates."""

import pytest

from infotherm.core.estimate import Estimate
from infotherm.core.quantity import AmbiguousRules, NotApplicable, Quantity, explain, get, names


class Base:
    size = 1


class Left(Base):
    pass


class Right(Left):
    pass


def as_base(x, name):
    if not isinstance(x, Base):
        raise TypeError(f"{name} must be a Base; got {type(x).__name__}")
    return x


@pytest.fixture
def quantity():
    return Quantity("test-distance", accepts=(as_base, as_base), arguments=("p", "q"))


def constant(value, method="closed-form"):
    def rule(p, q):
        return Estimate(value, method=method)

    return rule


def test_the_most_specific_rule_wins(quantity):
    quantity.rule(Base, Base, method="closed-form")(constant(0.0))
    quantity.rule(Left, Base, method="closed-form")(constant(1.0))
    quantity.rule(Left, Left, method="closed-form")(constant(2.0))
    assert float(quantity(Base(), Base())) == 0
    assert float(quantity(Left(), Base())) == 1
    assert float(quantity(Right(), Right())) == 2


def test_methods_are_tried_in_order_and_can_be_forced(quantity):
    quantity.rule(Base, Base, method="monte-carlo")(constant(3.0, "monte-carlo"))
    quantity.rule(Base, Base, method="quadrature")(constant(2.0, "quadrature"))
    assert float(quantity(Base(), Base())) == 2
    assert float(quantity(Base(), Base(), method="monte-carlo")) == 3
    with pytest.raises(NotImplementedError, match="by method 'closed-form'"):
        quantity(Base(), Base(), method="closed-form")
    with pytest.raises(ValueError, match="method must be 'auto' or one of"):
        quantity(Base(), Base(), method="exact")


def test_ambiguity_is_an_error_that_names_both(quantity):
    quantity.rule(Left, Base, method="closed-form")(constant(1.0))
    quantity.rule(Base, Left, method="closed-form")(constant(2.0))
    with pytest.raises(AmbiguousRules, match=r"rule\(Left, Base\)"):
        quantity(Left(), Left())
    assert "ambiguous" in str(quantity.explain(Left(), Left()))
    quantity.rule(Left, Left, method="closed-form")(constant(3.0))
    assert float(quantity(Left(), Left())) == 3


def test_a_predicate_declines_and_explain_says_so(quantity):
    def small(p, q):
        if p.size > 1:
            raise NotApplicable(f"size must be 1; got {p.size}")

    quantity.rule(Left, Base, method="closed-form", when=small)(constant(1.0))
    quantity.rule(Base, Base, method="quadrature")(constant(2.0, "quadrature"))
    big = Left()
    big.size = 5
    for arguments in ((Left(), Base()), (big, Base())):
        taken = quantity.explain(*arguments).taken
        assert taken is not None and taken.method == quantity(*arguments).method
    assert "size must be 1; got 5" in str(quantity.explain(big, Base()))


def test_only_predicates_may_decline(quantity):
    @quantity.rule(Base, Base, method="closed-form")
    def late(p, q):
        raise NotApplicable("too late")

    with pytest.raises(RuntimeError, match="declined after its predicate"):
        quantity(Base(), Base())


def test_no_rule_lists_what_was_considered(quantity):
    with pytest.raises(NotImplementedError, match="no rule computes test-distance"):
        quantity(Base(), Base())


def test_a_later_rule_for_the_same_types_comes_first(quantity):
    quantity.rule(Base, Base, method="closed-form")(constant(1.0))
    quantity.rule(Base, Base, method="closed-form")(constant(2.0))
    assert float(quantity(Base(), Base())) == 2


def test_options(quantity):
    @quantity.rule(Base, Base, method="closed-form")
    def plain(p, q, *, order=1):
        return Estimate(float(order))

    assert float(quantity(Base(), Base(), order=3)) == 3
    assert float(quantity(Base(), Base(), n_samples=10, generator=0)) == 1, "auto ignores options of other methods"
    with pytest.raises(TypeError, match="n_samples"):
        quantity(Base(), Base(), method="closed-form", n_samples=10)
    with pytest.raises(TypeError, match="colour"):
        quantity(Base(), Base(), colour="red")


def test_arguments_are_converted_and_named(quantity):
    with pytest.raises(TypeError, match="q must be a Base; got int"):
        quantity(Base(), 1)
    with pytest.raises(TypeError, match="needs 2 positional arguments"):
        quantity(Base())


def test_registration_is_checked(quantity):
    with pytest.raises(TypeError, match="dispatches on 2 arguments; got 1 types"):
        quantity.rule(Base, method="closed-form")
    with pytest.raises(ValueError, match="method must be one of"):
        quantity.rule(Base, Base, method="guess")


def test_registry_by_name(quantity):
    quantity.rule(Base, Base, method="closed-form")(constant(1.0))
    assert get("test-distance") is quantity and "test-distance" in names()
    assert explain("test-distance", Base(), Base()).taken is not None
    with pytest.raises(KeyError, match="nearest are test-distance"):
        get("test-distanse")


def test_dispatch_is_planned_once(quantity):
    quantity.rule(Base, Base, method="closed-form")(constant(1.0))
    quantity(Base(), Base())
    plans = dict(quantity._plans)
    quantity(Base(), Base())
    assert quantity._plans == plans and len(plans) == 1
    quantity.rule(Base, Base, method="closed-form")(constant(2.0))
    assert float(quantity(Base(), Base())) == 2, "a new rule is seen at once"


def test_explain_says_that_an_ambiguous_call_is_refused(quantity):
    quantity.rule(Left, Base, method="closed-form")(constant(1.0))
    quantity.rule(Base, Left, method="closed-form")(constant(2.0))
    quantity.rule(Base, Base, method="quadrature")(constant(3.0, "quadrature"))
    with pytest.raises(AmbiguousRules):
        quantity(Left(), Left())
    explanation = quantity.explain(Left(), Left())
    assert explanation.taken is None
    assert [c.status for c in explanation.considered] == ["ambiguous", "ambiguous", "applies"]


def test_explain_is_not_ambiguous_where_only_one_rule_applies(quantity):
    def never(p, q):
        raise NotApplicable("never")

    quantity.rule(Left, Base, method="closed-form")(constant(1.0))
    quantity.rule(Base, Left, method="closed-form", when=never)(constant(2.0))
    assert float(quantity(Left(), Left())) == 1
    explanation = quantity.explain(Left(), Left())
    assert explanation.taken is not None and explanation.taken.reason == ""


def test_the_number_of_arguments_is_checked(quantity):
    quantity.rule(Base, Base, method="closed-form")(constant(1.0))
    with pytest.raises(TypeError, match="needs 2 positional arguments .p, q.; got 1"):
        quantity(Base())
    with pytest.raises(TypeError, match="takes at most 2 positional arguments, first p, q; got 3"):
        quantity(Base(), Base(), 1.0)

    @quantity.rule(Left, Left, method="closed-form")
    def at_a_time(p, q, t, *, offset=0.0):
        return Estimate(t + offset)

    assert float(quantity(Left(), Left(), 2.0)) == 2
    with pytest.raises(TypeError, match=r"takes the options \['offset'\]; got \['foo'\]"):
        quantity(Left(), Left(), 2.0, foo=1)


def test_the_name_of_a_strangers_quantity_is_not_taken(quantity):
    scope = {"__name__": "elsewhere", "Quantity": Quantity}
    with pytest.raises(ValueError, match="name 'test-distance' is that of a quantity in"):
        exec("Quantity('test-distance', accepts=(float,))", scope)
    assert get("test-distance") is quantity
