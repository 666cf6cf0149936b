import json
import threading
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from nulltext.web.handlers import MOST_WORDS, SAMPLES, Table, edit_request, painted_mask
from nulltext.web.people import People
from nulltext.web.requests import EditRequest, InversionRequest

SOON = 60.0


@pytest.fixture
def blue(sample_prompt):
    return sample_prompt.replace("white", "blue")


@pytest.fixture
def given(workshop, known_files):
    """Gives a file to the page as its library does: in a folder of its own, named to who gave it."""

    def call(person, name, data):
        folder = workshop.people.root / "uploads" / People.new()
        folder.mkdir()
        (folder / name).write_bytes(data)
        known_files.note(person, json.dumps([str(folder / name)]).encode(), listed=True)
        return str(folder / name)

    return call


@pytest.fixture
def table(handlers, person, given, sample, sample_prompt):
    """The sample inverted."""
    opened = last(handlers.open_upload(person, "tab", given(person, "photo.png", sample))).table
    return last(handlers.invert(person, "tab", opened, InversionRequest(prompt=sample_prompt, steps=3))).table


def last(views):
    *before, end = views
    assert end.done
    assert end.message == "", end.message
    assert not any(view.done for view in before)
    return end


def test_the_samples_are_known_to_the_model(handlers, person):
    samples = handlers.samples()
    assert len(samples) == len(SAMPLES)
    for index, (image, prompt) in enumerate(samples):
        assert image.size == (256, 256)
        assert handlers.check_prompt("scenes", prompt) == ""
        view, sample_prompt = handlers.take_sample(person, "tab", index)
        assert (sample_prompt, view.message, view.inverted) == (prompt, "", None)
        assert view.table.name == f"sample-{index + 1}.png"
        assert view.table.image
        assert view.table.person == person


def test_a_prompt_is_checked(handlers):
    html = handlers.check_prompt("scenes", "a red zebra on <grass> & snow")
    assert html.count("<mark") == 1
    assert ">zebra</mark>" in html
    assert "&lt;grass&gt; &amp; snow" in html
    assert handlers.check_prompt("scenes", "a red ball") == ""
    assert "<script" not in handlers.check_prompt("scenes", "<script>alert(1)</script>")
    for model, prompt in (("scenes", "a" * 501), ("other/model", "a cat"), ("<script>", "a cat")):
        html = handlers.check_prompt(model, prompt)
        assert html.startswith('<p role="alert"')
        assert "<script" not in html


def test_the_word_list(handlers):
    assert "asphalt · at · ball" in handlers.word_list("scenes")
    assert 'role="alert"' in handlers.word_list("other/model")


def test_an_image_is_opened(handlers, person, given, sample):
    view = last(handlers.open_upload(person, "tab", given(person, "photo.png", sample)))
    assert (view.table.image, view.table.name, view.message) == (sample, "photo.png", "")
    assert view.image.size == (160, 128)
    assert view.inverted is None
    assert last(handlers.open_upload(person, "tab", None)).table.image is None


def test_only_what_one_gave_is_opened(handlers, workshop, person, given, sample, tmp_path):
    path = given(person, "photo.png", sample)
    (tmp_path / "secret.png").write_bytes(sample)
    other = People.new()
    for who, what in ((other, path), (person, str(tmp_path / "secret.png")), (person, "/etc/passwd"), (person, "")):
        (view,) = handlers.open_upload(who, "tab", what)
        assert view.message.startswith('<p role="alert"')
        assert view.table.image is view.image is None
        assert what == "" or what not in view.message


def test_a_kept_inversion_is_opened(handlers, workshop, person, given, table, sample_prompt, blue):
    data = workshop.people.path(person, table.inverted.number).read_bytes()
    view = last(handlers.open_upload(person, "tab", given(person, "kept.SafeTensors", data)))
    assert view.message == ""
    assert view.inverted is view.table.inverted
    assert (view.table.name, view.inverted.request.prompt) == ("kept.png", sample_prompt)
    assert view.image.size == (160, 128)
    last(handlers.edit(person, "tab", view.table, EditRequest(prompt=blue)))


def test_from_an_image_to_its_edits(handlers, person, table, blue):
    assert table.inverted.source.size == (160, 128)
    assert handlers.show(table) is None
    table = last(handlers.edit(person, "tab", table, EditRequest(prompt=blue))).table
    table = last(handlers.edit(person, "tab", table, EditRequest(prompt=blue, vary="layout"))).table
    assert [len(edited.images) for edited in table.edits] == [1, 4]
    assert table.shown == (1, 0)
    assert len(table.gallery) == 5
    assert table.gallery[0][1].startswith(blue)

    view = handlers.show(table)
    assert view.pair == (table.edits[1].source, table.edits[1].images[0])
    assert 'download="photo-edited.png"' in view.links
    assert table.edits[1].numbers[0] in view.links
    for index, position in enumerate([(0, 0), (1, 0), (1, 1), (1, 2), (1, 3)]):
        chosen, asked = handlers.choose(table, index)
        assert chosen.shown == position
        assert asked is table.edits[position[0]].requests[position[1]]
        view = handlers.show(chosen)
        assert view.pair[1] is table.gallery[index][0]
        assert view.python == table.edits[position[0]].python[position[1]]
        assert view.shell == table.edits[position[0]].shell[position[1]]
    assert 'download="photo-edited.png"' in handlers.show(handlers.choose(table, 0)[0]).links
    with pytest.raises(IndexError):
        handlers.choose(table, 5)


def test_inverting_again_clears_the_edits(handlers, person, table, sample_prompt, blue):
    edited = last(handlers.edit(person, "tab", table, EditRequest(prompt=blue))).table
    again = last(handlers.invert(person, "tab", edited, InversionRequest(prompt=sample_prompt, steps=3))).table
    assert (again.edits, again.shown) == ((), None)
    assert again.inverted.seconds == 0


def test_looking_inside(handlers, person, table):
    views = [*handlers.look_inside(person, "tab", table)]
    view, insight = views[-1]
    assert view.done
    assert "cube" in insight.maps
    assert all(before is None for _, before in views[:-1])


def test_nothing_to_work_on(handlers, person):
    empty = Table(person=person)
    for views in (
        handlers.invert(person, "tab", empty, InversionRequest(prompt="a cat")),
        handlers.edit(person, "tab", empty, EditRequest(prompt="a cat")),
        (view for view, _ in handlers.look_inside(person, "tab", empty)),
    ):
        (view,) = views
        assert view.message.startswith('<p role="alert"')


@pytest.mark.parametrize("asked", [{"prompt": "<b>"}, {"prompt": ""}, {"prompt": "a cube", "cross": 2.0}])
def test_what_is_refused_is_said(handlers, person, table, asked):
    (view,) = handlers.edit(person, "tab", table, EditRequest(**asked))
    assert view.message.startswith('<p role="alert"')
    assert view.table is None
    assert "<b>" not in view.message


def test_what_fails_later_is_said_too(handlers, person, table, blue):
    request = EditRequest(prompt=blue, weights={"<b>": 2.0})
    *_, view = handlers.edit(person, "tab", table, request)
    assert view.done
    assert view.message.startswith('<p role="alert"')
    assert "&lt;b&gt;" in view.message
    assert view.table is None


@pytest.fixture
def blocked(workshop):
    """The network waits until it is let go."""
    go, begun = threading.Event(), threading.Event()

    def block(*_):
        begun.set()
        go.wait(SOON)

    handle = workshop.model("scenes").denoiser.register_forward_pre_hook(block)
    yield SimpleNamespace(begun=begun, go=go)
    go.set()
    handle.remove()


def test_progress_and_cancelling(handlers, person, table, blue, blocked):
    views = handlers.edit(person, "my tab", table, EditRequest(prompt=blue))
    view = next(views)
    assert not view.done
    assert "<progress" in view.progress
    assert handlers.cancel(person, "another tab") == handlers.cancel(People.new(), "my tab") == ""
    assert 'role="status"' in handlers.cancel(person, "my tab")
    *_, view = views
    assert view.done
    assert "Cancelled" in view.message
    assert 'role="alert"' not in view.message
    assert view.table is None
    assert handlers.cancel(person, "my tab") == ""


def begun(views):
    """Views of a job that is under way."""
    assert not next(views).done
    return views


@pytest.mark.parametrize("what", ["image", "sample", "nothing"])
def test_an_edit_under_way_does_not_put_an_old_image_back(handlers, person, given, sample, table, blue, blocked, what):
    views = begun(handlers.edit(person, "tab", table, EditRequest(prompt=blue)))
    if what == "sample":
        handlers.take_sample(person, "tab", 0)
    else:
        last(handlers.open_upload(person, "tab", given(person, "other.png", sample) if what == "image" else None))
    rest = [*views]
    assert rest[-1].done
    assert {view.table for view in rest} == {None}


def test_a_result_that_comes_too_late_is_not_laid_down(handlers, person, table, blue, blocked):
    """The edit is made, but the tab has begun something else before it is fetched."""
    views = begun(handlers.edit(person, "tab", table, EditRequest(prompt=blue)))
    job = handlers._current[person, "tab"]
    blocked.go.set()
    assert job.wait(SOON)
    handlers.cancel(person, "tab")
    *_, view = views
    assert (job.state, view.table) == ("done", None)


def test_what_a_tab_begins_stops_what_it_had_begun(handlers, person, table, blue, blocked):
    first = begun(handlers.edit(person, "tab", table, EditRequest(prompt=blue)))
    others = [
        begun(handlers.edit(person, "another tab", table, EditRequest(prompt=blue))),
        begun(handlers.edit(person, "tab", table, EditRequest(prompt=blue, cross=0.5))),
    ]
    blocked.go.set()
    *_, view = first
    assert (view.table, "Cancelled" in view.message) == (None, True)
    for views in others:
        *_, view = views
        assert view.table.edits


def test_anothers_table_is_none(handlers, table, blue, sample_prompt):
    other = People.new()
    for views in (
        handlers.invert(other, "tab", table, InversionRequest(prompt=sample_prompt)),
        handlers.edit(other, "tab", table, EditRequest(prompt=blue)),
        (view for view, _ in handlers.look_inside(other, "tab", table)),
    ):
        (view,) = views
        assert view.message.startswith('<p role="alert"')
        assert view.table is None


def test_a_preview_is_shown_once(handlers, workshop, person, table, monkeypatch):
    monkeypatch.setattr("nulltext.web.handlers.POLL", 0.01)
    red, blue = (Image.new("RGB", (8, 8), colour) for colour in ("red", "blue"))
    ready, go = threading.Semaphore(0), threading.Event()

    def work(job):
        for preview in (red, blue):
            job.preview = preview
            assert ready.acquire(timeout=SOON)
        go.wait(SOON)
        return table

    previews = []
    for view in handlers._work(person, "tab", lambda: workshop.jobs.submit(person, work), lambda made: made):
        if view.preview is not None:
            previews.append(view.preview)
            ready.release()
        elif len(previews) == 2:
            go.set()
    assert previews == [red, blue]
    assert view.table is table


def test_a_tab_that_is_closed_stops_its_job(handlers, workshop, person, table, blue, blocked):
    views = handlers.edit(person, "tab", table, EditRequest(prompt=blue))
    next(views)
    (job,) = [job for job in workshop.jobs._jobs.values() if not job.over]
    views.close()
    assert job.state == "cancelled"


def test_the_fields_as_an_edit(handlers, person, table, blue):
    def asked(**fields):
        defaults = {
            "table": table, "prompt": blue, "cross": 0.8, "self_share": 0.7, "strengths": [1] * MOST_WORDS,
            "blend_words": [], "painted": None, "vary": "", "go_on": False,
        }  # fmt: skip
        return edit_request(**{**defaults, **fields})

    assert asked() == EditRequest(prompt=blue, cross=0.8, self_share=0.7)
    strengths = [1.0] * MOST_WORDS
    strengths[4] = 2.5  # a cartoon of a spotted blue cube: the words once each
    assert asked(strengths=strengths).weights == {"blue": 2.5}
    assert asked(blend_words=["cube", "blue"], vary="layout").blend_words == ("cube", "blue")
    assert asked(vary="layout").vary == "layout"
    assert asked(go_on=True).before == ()
    edited = last(handlers.edit(person, "tab", table, EditRequest(prompt=blue))).table
    snow = asked(table=edited, prompt=blue.replace("grass", "snow"), go_on=True)
    assert snow.before == edited.edits[0].requests
    assert asked(table=edited).before == ()
    more = last(handlers.edit(person, "tab", edited, snow)).table
    assert asked(table=more, go_on=True).before == snow.chain
    assert asked(table=handlers.choose(more, 0)[0], go_on=True).before == snow.before


def test_paint_is_a_mask():
    assert painted_mask(None) is None
    assert painted_mask(Image.new("RGBA", (8, 6))) is None
    painted = Image.new("RGBA", (8, 6))
    painted.putpixel((3, 2), (255, 0, 0, 1))
    painted.putpixel((4, 2), (0, 0, 0, 255))
    mask = np.asarray(painted_mask(painted))
    assert mask.shape == (6, 8)
    assert [*map(tuple, np.argwhere(mask))] == [(2, 3), (2, 4)]
    assert set(mask.flat) == {0, 255}
