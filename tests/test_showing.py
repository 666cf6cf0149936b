"""What values look like: short reprs, images and tables in a notebook, and messages that do not echo everything."""

import base64
import io
import re
from dataclasses import is_dataclass, replace
from inspect import isabstract

import pytest
import torch
from PIL import Image

import nulltext
from nulltext.bench.kept import MEASURED
from nulltext.bench.report import Report
from nulltext.bench.result import Findings, Sheet
from nulltext.bench.table import Metric
from nulltext.cli.sweep import read_axis
from nulltext.editing.spelled import read_share, read_weights
from nulltext.editing.table import EDITORS, MASKS
from nulltext.errors import MOST as MOST_OF_A_MESSAGE
from nulltext.errors import NulltextError, PromptTooLongError, SettingError, WordNotFoundError, listed, shown
from nulltext.images import Frame, to_image_bytes
from nulltext.inversion.table import INVERTERS
from nulltext.models.base import embed_prompts
from nulltext.models.recommended import Recommended
from nulltext.models.vq import VQAutoencoder
from nulltext.showing import MOST, brief, html_image, html_slider, html_table
from nulltext.text.words import Tokens
from nulltext.web.limits import Limits
from nulltext.web.requests import EditRequest

LONG = "ball " * 20_000
NASTY = "a <b>cat & dog"


@pytest.fixture(scope="module")
def large(model):
    """A photograph whose surroundings do not compress."""
    noise = torch.randint(0, 256, (300, 400, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    return nulltext.open_image(Image.fromarray(noise.numpy()), model)


@pytest.fixture(scope="module")
def inversion(model, large):
    return nulltext.DDIM(steps=20)(model, large, "a cat on grass")


@pytest.fixture(scope="module")
def edit(model, inversion):
    return nulltext.PromptToPrompt(maps=True)(model, inversion, ["a dog on grass", "a red cat"])


@pytest.fixture(scope="module")
def report():
    row = {"case": "1", "kind": "color", "method": NASTY, "sha256": "0", "psnr": 20.0, "status": MEASURED}
    return Report(title="t", command="c", columns=(Metric(name="psnr", label=NASTY),), rows=[row] * 1000)


@pytest.fixture(scope="module")
def instances(model, large, inversion, edit):
    """A value of every public kind, in the order in which it gets large."""
    settings = {"cat": 2.0, "dog": 3.0}
    masked = nulltext.Blend("cat", ["dog", "wolf"], keep_out="grass", mask=Image.new("L", (4000, 4000)))
    return [
        large,
        inversion,
        replace(
            inversion,
            prompt=LONG,
            settings={LONG: LONG},
            replay=nulltext.Replay(nulls=torch.zeros(20, 24, 32)),
        ),
        inversion.replay,
        edit,
        edit.maps,
        masked,
        model.identity,
        inversion.scores,
        nulltext.Progress("sample", 1, 2, 0.5, 1, 2, torch.zeros(1, 4, 64, 64)),
        nulltext.DescentSchedule(learning_rate=1e-2, decay=0.0, tolerance=1e-5, tolerance_growth=2e-5),
        nulltext.FixedPoint(),
        nulltext.Change(cross_attention={"cat": 0.2}, reweight=settings, blend=masked),
        nulltext.PromptToPrompt(cross_attention={"cat": 0.2}, reweight=settings, blend=masked),
        nulltext.VQGANCLIP(autoencoder=model),
        *(entry.load()() for table in (INVERTERS, EDITORS, MASKS) for entry in table.values()),
        nulltext.NullText(fixed_point=nulltext.FixedPoint()),
        nulltext.Rule(name="interval", settings={"start": 0.25, "end": 0.75}),
        # Not by name, but in a user's hands all the same:
        model,
        large.frame,
        inversion.schedule,
        model.tokenize("a cat on grass"),
        Tokens(LONG, tuple(range(20_000)), ((0, 1),) * 20_000),
        Recommended(own=frozenset(Recommended.__dataclass_fields__)),
        VQAutoencoder(model.autoencoder.network),
    ]


def test_every_public_value_has_a_short_repr(instances):
    kinds = {kind for name in nulltext.__all__ if is_dataclass(kind := getattr(nulltext, name))}
    kinds = {kind for kind in kinds if not isabstract(kind)}
    assert kinds <= {type(value) for value in instances}
    for value in instances:
        text = repr(value)
        assert len(text) <= MOST, text[:200]
        assert text.startswith(f"{type(value).__name__}(")
        assert "tensor(" not in text


def test_a_repr_says_what_and_how_large(large, inversion, edit, report):
    assert "pixels=float32[1, 3, 64, 64], frame=Frame(size=(300, 400)" in repr(large)
    assert f"surroundings=<{len(large.frame.surroundings)} bytes>" in repr(large.frame)
    assert "prompt='a cat on grass', pivot=float32[21, 4, 8, 8], replay=Replay(), guidance=1.0, method='DDIM'" in repr(
        inversion
    )
    assert repr(inversion.schedule).startswith("Schedule(20 steps, t = ")
    assert "prompts=('a dog on grass', 'a red cat'), pixels=float32[2, 3, 64, 64]" in repr(edit)
    assert len(repr(report)) <= MOST
    assert brief(Frame.whole(2, 3)) == "Frame(size=(2, 3), fitted=(2, 3), part=(0, 0, 3, 2), content=(0, 0, 3, 2))"


def opened(data):
    image = Image.open(io.BytesIO(data))
    image.load()
    assert image.format == "PNG"
    return image


def test_images_in_a_notebook(model, large, inversion, edit):
    assert opened(large._repr_png_()).size == (64, 64)
    one = nulltext.PromptSwap()(model, inversion, "a dog")
    assert opened(one._repr_png_()).size == (400, 300)
    assert opened(one._repr_png_()).tobytes() == one.image.tobytes()
    several = opened(edit._repr_png_())
    assert several.width > 3 * 256  # source and two edits side by side
    assert several.height < several.width


def test_tables_in_a_notebook(model, inversion, report):
    html = replace(inversion, prompt=NASTY)._repr_html_()
    assert '<img src="data:image/png;base64,' in html
    assert f"{inversion.scores.psnr:.2f} dB" in html
    maps = nulltext.attention_maps(model, replace(inversion, prompt=NASTY))
    assert opened(maps._repr_png_()).size == maps.sheet().size
    for each in (html, maps._repr_html_(), report._repr_html_()):
        assert "<b>" not in each
        assert "a &lt;b&gt;cat &amp; dog" in each
    assert "20.00 ± 0.00" in report._repr_html_()
    assert html_table([[1, "<"]], headings=["&"]) == (
        "<table>\n<tr><th>&amp;</th></tr>\n<tr><td>1</td><td>&lt;</td></tr>\n</table>"
    )


def asked_of_others(html):
    """What a page would fetch, or run, that is not in it."""
    return re.findall(r"<script|https?:|src=\"(?!data:image/png;base64,)|url\(", html)


def test_an_inversion_shows_source_and_reconstruction_with_what_it_lost(inversion):
    html, scores = inversion._repr_html_(), inversion.scores
    assert html.count("<img ") == 2
    assert 'alt="source"' in html
    assert 'alt="reconstruction"' in html
    assert f"<td>gap</td><td>{scores.vae_psnr - scores.psnr:.2f} dB</td>" in html
    assert "DDIM(steps=20, guidance=1.0)" in html
    assert not asked_of_others(html)
    assert opened(inversion._repr_png_()).size == (64, 64)


def test_a_reconstruction_is_what_is_sampled_and_no_part_of_the_file(model, inversion, tmp_path):
    sampled = to_image_bytes(nulltext.reconstruct(model, inversion))
    torch.testing.assert_close(inversion.reconstruction, sampled, rtol=0, atol=1)
    back = nulltext.Inversion.load(inversion.save(tmp_path / "a.safetensors"))
    assert back.reconstruction is None
    assert back._repr_html_().count("<img ") == 1
    assert inversion.corrected().reconstruction is None


def test_an_edit_has_a_slider_between_before_and_after(edit):
    html = replace(edit, prompts=(NASTY, '" onload="alert(1)'))._repr_html_()
    assert html.count('<input type="range"') == 2
    assert html.count("<img ") == 2 * 2 + 1  # and the maps
    assert "<b>" not in html
    assert "a &lt;b&gt;cat &amp; dog" in html
    assert "&quot; onload=&quot;alert(1)" in html
    assert not asked_of_others(html)
    assert html.count('aria-label="how much is seen') == html.count("oninput=") == 2


def test_a_large_image_is_small_in_html():
    large = html_image(Image.new("RGB", (3000, 1000)), "a")
    (data,) = re.findall(r"base64,([^\"]+)", large)
    assert opened(base64.b64decode(data)).size == (512, 171)
    assert html_slider(Image.new("RGB", (10, 9)), Image.new("RGB", (10, 9)), "b").count("width:256px") == 4


def test_a_report_shows_what_it_found_and_its_plots(report):
    sheet = Sheet(title=NASTY, headings=[NASTY], rows=[[NASTY]])
    html = replace(report, findings=Findings(sheets=[sheet]), plots={"a": "<svg></svg>"})._repr_html_()
    assert f"<h4>{'a &lt;b&gt;cat &amp; dog'}</h4>" in html
    assert html.endswith("<svg></svg>")
    assert "<b>" not in html


@pytest.mark.parametrize(
    "act",
    [
        lambda model: model.embed([LONG]),
        lambda model: model.tokenize("a cat").find(LONG),
        lambda model: model.tokenize(LONG).find("dog"),
        lambda model: embed_prompts(model, ["", LONG]),
        lambda _: nulltext.load(LONG),
        lambda _: nulltext.load(config=LONG),
        lambda model: nulltext.open_image(LONG, model),
        lambda _: nulltext.Inversion.load(LONG),
        lambda _: nulltext.PromptToPrompt(reweight={LONG: 99.0}),
        lambda _: nulltext.Text2LIVE(screen_prompt=LONG),
        lambda _: read_share(LONG),
        lambda _: read_weights([LONG]),
        lambda _: read_axis(LONG),
        lambda _: EditRequest(prompt="a", weights={LONG: 99.0}).check_one(Limits()),
    ],
    ids=range(14),
)
def test_a_message_does_not_echo_everything(model, act):
    with pytest.raises(NulltextError) as caught:
        act(model)
    assert len(str(caught.value)) <= MOST_OF_A_MESSAGE


def test_what_is_too_long_is_shown_by_its_beginning(model):
    assert shown("a 'cat'") == repr("a 'cat'")
    assert shown("a" * 81) == f"'{'a' * 80}…' (81 characters)"
    assert shown([1, 2]) == "[1, 2]"
    assert listed(["a", "b" * 81]) == f"a, {'b' * 80}…"
    assert listed(map(str, range(14))) == "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 2 more"
    with pytest.raises(WordNotFoundError, match=r"'ball ball .*…' \(100000 characters\) is not in the prompt 'a cat'"):
        model.tokenize("a cat").find(LONG)
    with pytest.raises(PromptTooLongError, match=r"begins 'ball .*…' \(100000 characters\)"):
        model.embed([LONG])
    with pytest.raises(PromptTooLongError, match=r"do not fit: 'ball .*…' \(\d+ characters\)\. Leave out \d+ tokens"):
        model.embed([LONG[:9000]])
    text = str(SettingError("got " + LONG + "; expected less. Take less."))
    assert len(text) <= MOST_OF_A_MESSAGE
    assert text.startswith("got ball")
    assert text.endswith("Take less.")
