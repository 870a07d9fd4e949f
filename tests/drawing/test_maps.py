"""Maps as an array with named axes, in notebooks too."""

import base64
import builtins
import io
import re
import warnings
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from onnxattr.drawing import notebook
from onnxattr.errors import UsageError
from onnxattr.types import ARRAY, IMAGE, TOKENS, Maps


def maps(shape, kind=IMAGE, method="saliency", signed=(False,), probes=None, model="net"):
    values = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    several = len(method.split(",")) > 1
    count = shape[1] if several else shape[0]
    names = probes or tuple(f"{i}.png" for i in range(count))
    return Maps(values, names, method, model, 8, "cpu", kind=kind, signed=signed)


TWO = {"method": "saliency,lrp:composite=epsilon-plus", "signed": (False, True)}


@pytest.mark.parametrize(
    ("shape", "kind", "more", "dims"),
    [
        ((3, 4, 5), IMAGE, {}, ("probe", "y", "x")),
        ((2, 3, 4, 5), IMAGE, TWO, ("method", "probe", "y", "x")),
        ((3, 7), ARRAY, {}, ("probe", "axis0")),
        ((3, 7, 2, 2), ARRAY, {}, ("probe", "axis0", "axis1", "axis2")),
        ((2, 3, 7), ARRAY, TWO, ("method", "probe", "axis0")),
        ((3, 16), TOKENS, {}, ("probe", "token")),
        ((2, 3, 16), TOKENS, TWO, ("method", "probe", "token")),
    ],
)
def test_axes_have_names_and_places(shape, kind, more, dims):
    found = maps(shape, kind, **more)

    assert found.dims == dims
    assert tuple(found.coords) == dims
    assert tuple(map(len, found.coords.values())) == shape
    assert found.coords["probe"] == ("0.png", "1.png", "2.png")
    if "method" in dims:
        assert found.coords["method"] == ("saliency", "lrp:composite=epsilon-plus")
    assert found.coords[dims[-1]] == range(shape[-1])
    assert len(found) == shape[0]


def test_an_array_without_a_copy():
    found = maps((3, 4, 5))

    assert found.to_numpy() is found.values
    assert np.shares_memory(np.asarray(found), found.values)
    assert np.asarray(found, dtype=np.float64).dtype == np.float64
    assert np.abs(found).shape == (3, 4, 5)


def test_maps_of_each_method_by_themselves():
    found = maps((2, 3, 4, 5), **TWO)

    first, second = found.by_method()

    assert (first.method, first.signed) == ("saliency", (False,))
    assert (second.method, second.signed) == ("lrp:composite=epsilon-plus", (True,))
    assert second.dims == ("probe", "y", "x")
    assert (second.values == found.values[1]).all()
    assert np.shares_memory(first.values, found.values)
    assert maps((3, 4, 5)).by_method()[0].dims == ("probe", "y", "x")


def test_to_xarray():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Of its import.
        pytest.importorskip("xarray", reason="the extra `xarray` is not installed")
    found = maps((2, 3, 4, 5), **TWO)

    array = found.to_xarray()

    assert array.dims == found.dims
    assert array.name == "attribution"
    assert array.attrs == {
        "model": "net", "method": TWO["method"], "device": "cpu", "signed": "no,yes"
    }  # fmt: skip
    one = array.sel({"method": "saliency", "probe": "2.png"})
    assert (one.values == found.values[0, 2]).all()
    assert array.mean(("y", "x")).dims == ("method", "probe")


def test_to_xarray_without_xarray(monkeypatch):
    real = builtins.__import__

    def absent(name, *rest, **more):
        if name == "xarray":
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", absent)

    with pytest.raises(UsageError, match=r"xarray is not installed: pip install 'onnxattr\[xarr"):
        maps((3, 4, 5)).to_xarray()


def test_repr_says_what_it_is_and_holds_no_numbers():
    found = maps((2, 3, 4, 5), **TWO)

    assert repr(found) == (
        "Maps(net, saliency,lrp:composite=epsilon-plus: method 2, probe 3, y 4, x 5; "
        "float32, unsigned, signed, on cpu)"
    )


#: None of which runs, or fetches, anything.
TAGS = {"div", "p", "code", "b", "figure", "img", "figcaption", "br"}


class Tags(HTMLParser):
    """Collects tags and attributes, and checks that they are closed in order."""

    def __init__(self, text):
        super().__init__()
        self.open, self.found, self.text = [], [], ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag not in ("img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data

    @property
    def images(self):
        return [attrs for tag, attrs in self.found if tag == "img"]


def test_html_is_whole_in_itself_and_small():
    found = maps((2, 20, 64, 64), **TWO)

    shown = found._repr_html_()

    tags = Tags(shown)
    assert tags.open == []
    assert len(tags.images) == 2 * notebook.SHOWN
    for image in tags.images:
        kind, _, data = image["src"].partition(",")
        assert kind == "data:image/webp;base64"
        picture = Image.open(io.BytesIO(base64.b64decode(data)))
        assert picture.size == (notebook.SIDE, notebook.SIDE)
        assert image["alt"].startswith("map of ")
        assert "background:#fff" in image["style"]
    assert len(shown) < 2 * notebook.SHOWN * 16_000
    assert {tag for tag, _ in tags.found} <= TAGS
    assert not re.search(r"https?:|url\(|<script|@import", shown)


def test_html_states_method_sign_scale_and_clipping():
    text = Tags(maps((2, 20, 8, 8), **TWO)._repr_html_()).text

    assert "saliency, unsigned: 0 is white, dark is large" in text
    assert "lrp:composite=epsilon-plus, signed: 0 is white, red positive, blue negative" in text
    assert text.count("Colours of each map end at the 99.5th percentile of its |value|") == 2
    assert text.count("8 of 20 probes") == 2


def test_html_sets_no_colour_of_words():
    """They take that of the page, dark or not."""
    styles = [attrs.get("style", "") for _, attrs in Tags(maps((2, 4, 4))._repr_html_()).found]

    for style in styles:
        assert re.findall(r"(?<![-\w])color:([^;]+)", style) in ([], ["inherit"])


@pytest.mark.parametrize(
    "name", ["<script>alert(1)</script>", '"><img src=x onerror=y>', "a\x1b[31m\u202e&amp;"]
)
def test_html_shows_hostile_names_as_text(name):
    shown = maps((1, 4, 4), probes=(name,), model=name)._repr_html_()

    tags = Tags(shown)
    assert len(tags.images) == 1
    assert {tag for tag, _ in tags.found} <= TAGS
    assert all(not key.startswith("on") for _, attrs in tags.found for key in attrs)
    assert "\x1b" not in shown
    assert "\u202e" not in shown


@pytest.mark.parametrize("shape", [(2, 30), (2, 3, 50), (2, 50, 1)])
def test_html_of_arrays(shape):
    assert len(Tags(maps(shape, ARRAY)._repr_html_()).images) == 2


def test_html_of_what_cannot_be_drawn():
    tags = Tags(maps((2, 3, 4, 5), ARRAY)._repr_html_())

    assert tags.images == []
    assert "Maps of 3 axes are not drawn." in tags.text
