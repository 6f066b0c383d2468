"""Layers of PyTorch's modules."""

import copy

import pytest

from maggy.ablation import models
from maggy.ablation.parts import Part
from maggy.errors import ConfigError

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
nn = torch.nn


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.dense = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)

    def forward(self, x):
        return x + self.norm(self.dense(x)).relu()


class Net(nn.Module):
    """A network with what networks have: blocks in a list, a stem and a head that change the shape, dropout."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Linear(8, 16)
        self.blocks = nn.ModuleList(Block(16) for _ in range(3))
        self.drop = nn.Dropout(0.5)
        self.squeeze = nn.Linear(16, 4)
        self.widen = nn.Linear(4, 16)
        self.attention = nn.MultiheadAttention(16, 2, batch_first=True)
        self.head = nn.Linear(16, 3)

    def forward(self, x):
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        x = self.widen(self.squeeze(self.drop(x)))
        x, _ = self.attention(x, x, x)
        return self.head(x)


X = torch.zeros(2, 5, 8)


def without(*names, model=None, prefix=None, example=None, check=True):
    return models.without(
        copy.deepcopy(model) if model else Net(), [Part("layer", names, prefix)], example, check=check
    )


@pytest.mark.parametrize("example", [None, X])
@pytest.mark.parametrize(
    "names", [["drop"], ["blocks.1"], ["blocks.0.dense", "blocks.0.norm"], ["squeeze", "widen"], ["blocks.2.norm"]]
)
def test_layers_that_keep_the_shape_are_passed_by(names, example):
    """Alone, or a group that keeps it as a whole; what is left runs, and has fewer parameters or as many."""
    whole = Net()
    slim = without(*names, model=copy.deepcopy(whole), example=example)
    assert slim(X).shape == (2, 5, 3)
    count = [sum(each.numel() for each in model.parameters()) for model in (slim, whole)]
    assert count[0] < count[1] or names == ["drop"]


def test_a_prefix_stands_for_all_layers_that_begin_so():
    """`blocks.` is all blocks, whatever is in them."""
    slim = without(prefix="blocks.")
    assert [type(block).__name__ for block in slim.blocks] == ["Passed"] * 3
    assert slim(X).shape == (2, 5, 3)


def test_a_layer_that_is_left_out_changes_what_comes_out():
    """Without its blocks the network is what its other layers make of the input."""
    torch.manual_seed(0)
    whole = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 2))
    slim = without("0", model=copy.deepcopy(whole))
    x = torch.ones(1, 4)
    assert torch.equal(slim(x), whole[2](x.tanh()))


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["stem"], "layer 'stem' changes the shape, from 8 to 16"),
        (["head"], "layer 'head' changes the shape, from 16 to 3"),
        (["stem", "blocks.0.dense"], "the group 'stem', 'blocks.0.dense' changes the shape, from 8 to 16"),
        (["attention"], "'attention' is a MultiheadAttention, which returns several values"),
        (["blocks"], "'blocks' is a list of layers: leave its members out, with prefix='blocks.'"),
        (["block.1"], r"no layer 'block.1'; did you mean 'blocks.1'"),
    ],
)
def test_a_layer_that_cannot_be_left_out_is_refused(names, message):
    """The sentence says why, and what could be done."""
    with pytest.raises(ConfigError, match=message):
        without(*names)


def test_convolutions_with_a_stride_are_refused():
    """They shrink the picture, and a flat layer behind could not take it."""
    model = nn.Sequential(nn.Conv2d(3, 3, 3, stride=2), nn.Flatten(), nn.Linear(27, 2))
    with pytest.raises(ConfigError, match="by its stride"):
        without("0", model=model)
    with pytest.raises(ConfigError, match="as it is there to do"):
        without("1", model=model)


def test_an_example_tells_what_layers_do_not():
    """A pooling layer before an adaptive one can be left out, a convolution without padding before a flat one not."""
    model = nn.Sequential(
        nn.Conv2d(3, 3, 3, stride=2), nn.MaxPool2d(2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2)
    )
    picture = torch.zeros(1, 3, 16, 16)
    assert without("1", model=model, example=picture)(picture).shape == (1, 2)
    flat = nn.Sequential(nn.Conv2d(1, 1, 3), nn.Flatten(), nn.Linear(36, 2))
    with pytest.raises(ConfigError, match="without layer '0' the model does not run"):
        without("0", model=flat, example=torch.zeros(1, 1, 8, 8))
    with pytest.raises(ConfigError, match="model's result"):
        without("2", model=flat, example=torch.zeros(1, 1, 8, 8))
    with pytest.raises(ConfigError, match="the model does not run with the example"):
        without("2", model=flat, example=torch.zeros(1))


def test_looking_at_an_example_leaves_the_model_as_it_was():
    """Neither statistics of batches nor the random numbers move."""
    model = nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 4), nn.Dropout(0.5))
    state = torch.get_rng_state()
    slim = without("1", model=model, example=torch.ones(3, 4))
    assert slim[0].num_batches_tracked == 0
    assert slim.training
    assert torch.equal(torch.get_rng_state(), state)


def test_a_transformer_goes_without_a_layer():
    """A layer that is given a mask besides hands on the sequence."""
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    model = nn.TransformerEncoder(layer, 3, enable_nested_tensor=False)
    x = torch.zeros(1, 4, 8)
    slim = without("layers.1", model=model, example=x)
    assert slim(x, mask=torch.zeros(4, 4)).shape == (1, 4, 8)


def test_an_instance_is_copied_for_each_trial():
    """What a trial trains, or leaves out, the next one has not got."""
    whole = Net()
    own = models.built(whole, lambda make: make())
    models.without(own, [Part("layer", ("drop",))])
    assert isinstance(whole.drop, nn.Dropout)
