import torch

from infotherm.distributions.lazy import remembered


class Square:
    def __init__(self, x):
        self.x = x
        self.calls = 0

    @remembered
    def value(self):
        """The square."""
        self.calls += 1
        return self.x * self.x

    @remembered
    def nested(self):
        return (self.x + 1, None, ("text", self.x + 2))


def test_it_is_computed_once_and_keeps_its_gradient():
    square = Square(torch.tensor(3.0, requires_grad=True))
    with torch.no_grad():
        first = square.value
    assert first.requires_grad and square.value is first and square.calls == 1
    first.backward()
    assert square.x.grad.item() == 6.0
    assert square.nested is square.nested and Square.value.__doc__ == "The square."


def test_nothing_computed_inside_a_transform_outlives_it():
    kept = []

    def function(x):
        kept.append(Square(x))
        return kept[-1].value + kept[-1].nested[2][1]

    assert torch.equal(torch.func.vmap(function)(torch.arange(3.0)), torch.tensor([2.0, 4.0, 8.0]))
    torch.func.grad(function)(torch.tensor(1.0))
    assert all("value" not in square.__dict__ and "nested" not in square.__dict__ for square in kept)


def test_inference_mode_leaves_no_trace():
    square = Square(torch.tensor(3.0, requires_grad=True))
    with torch.inference_mode():
        assert square.value.item() == 9.0
    assert "value" not in square.__dict__
    square.value.backward()
