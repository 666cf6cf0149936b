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
def blue(said):
    return said.replace("white", "blue")


@pytest.fixture
def given(workshop, told):
    """Gives a file to the page as its library does: in a folder of its own, named to who gave it."""

    def call(person, name, data):
        folder = workshop.people.root / "uploads" / People.new()
        folder.mkdir()
        (folder / name).write_bytes(data)
        told.note(person, json.dumps([str(folder / name)]).encode(), listed=True)
        return str(folder / name)

    return call


@pytest.fixture
def table(handlers, person, given, sample, said):
    """The sample inverted."""
    opened = last(handlers.open_picture(person, "tab", given(person, "photo.png", sample))).table
    return last(handlers.invert(person, "tab", opened, InversionRequest(caption=said, steps=3))).table


def last(views):
    *before, end = views
    assert end.done
    assert end.message == "", end.message
    assert not any(view.done for view in before)
    return end


def test_the_samples_are_known_to_the_model(handlers, person):
    samples = handlers.samples()
    assert len(samples) == len(SAMPLES)
    for index, (picture, caption) in enumerate(samples):
        assert picture.size == (256, 256)
        assert handlers.check_caption("scenes", caption) == ""
        view, said = handlers.take_sample(person, "tab", index)
        assert (said, view.message, view.inverted) == (caption, "", None)
        assert view.table.name == f"sample-{index + 1}.png"
        assert view.table.picture
        assert view.table.person == person


def test_a_caption_is_checked(handlers):
    html = handlers.check_caption("scenes", "a red zebra on <grass> & snow")
    assert html.count("<mark") == 1
    assert ">zebra</mark>" in html
    assert "&lt;grass&gt; &amp; snow" in html
    assert handlers.check_caption("scenes", "a red ball") == ""
    assert "<script" not in handlers.check_caption("scenes", "<script>alert(1)</script>")
    for model, caption in (("scenes", "a" * 501), ("other/model", "a cat"), ("<script>", "a cat")):
        html = handlers.check_caption(model, caption)
        assert html.startswith('<p role="alert"')
        assert "<script" not in html


def test_the_word_list(handlers):
    assert "asphalt · at · ball" in handlers.word_list("scenes")
    assert 'role="alert"' in handlers.word_list("other/model")


def test_a_picture_is_opened(handlers, person, given, sample):
    view = last(handlers.open_picture(person, "tab", given(person, "photo.png", sample)))
    assert (view.table.picture, view.table.name, view.message) == (sample, "photo.png", "")
    assert view.picture.size == (160, 128)
    assert view.inverted is None
    assert last(handlers.open_picture(person, "tab", None)).table.picture is None


def test_only_what_one_gave_is_opened(handlers, workshop, person, given, sample, tmp_path):
    path = given(person, "photo.png", sample)
    (tmp_path / "secret.png").write_bytes(sample)
    other = People.new()
    for who, what in ((other, path), (person, str(tmp_path / "secret.png")), (person, "/etc/passwd"), (person, "")):
        (view,) = handlers.open_picture(who, "tab", what)
        assert view.message.startswith('<p role="alert"')
        assert view.table.picture is view.picture is None
        assert what == "" or what not in view.message


def test_a_kept_inversion_is_opened(handlers, workshop, person, given, table, said, blue):
    data = workshop.people.path(person, table.inverted.number).read_bytes()
    view = last(handlers.open_picture(person, "tab", given(person, "kept.SafeTensors", data)))
    assert view.message == ""
    assert view.inverted is view.table.inverted
    assert (view.table.name, view.inverted.request.caption) == ("kept.png", said)
    assert view.picture.size == (160, 128)
    last(handlers.edit(person, "tab", view.table, EditRequest(caption=blue)))


def test_from_a_picture_to_its_edits(handlers, person, table, blue):
    assert table.inverted.source.size == (160, 128)
    assert handlers.show(table) is None
    table = last(handlers.edit(person, "tab", table, EditRequest(caption=blue))).table
    table = last(handlers.edit(person, "tab", table, EditRequest(caption=blue, vary="layout"))).table
    assert [len(edited.pictures) for edited in table.edits] == [1, 4]
    assert table.shown == (1, 0)
    assert len(table.gallery) == 5
    assert table.gallery[0][1].startswith(blue)

    view = handlers.show(table)
    assert view.pair == (table.edits[1].source, table.edits[1].pictures[0])
    assert 'download="photo-edited.png"' in view.links
    assert table.edits[1].numbers[0] in view.links
    for index, place in enumerate([(0, 0), (1, 0), (1, 1), (1, 2), (1, 3)]):
        chosen, asked = handlers.choose(table, index)
        assert chosen.shown == place
        assert asked is table.edits[place[0]].requests[place[1]]
        view = handlers.show(chosen)
        assert view.pair[1] is table.gallery[index][0]
        assert view.python == table.edits[place[0]].python[place[1]]
        assert view.shell == table.edits[place[0]].shell[place[1]]
    assert 'download="photo-edited.png"' in handlers.show(handlers.choose(table, 0)[0]).links
    with pytest.raises(IndexError):
        handlers.choose(table, 5)


def test_inverting_again_clears_the_edits(handlers, person, table, said, blue):
    edited = last(handlers.edit(person, "tab", table, EditRequest(caption=blue))).table
    again = last(handlers.invert(person, "tab", edited, InversionRequest(caption=said, steps=3))).table
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
        handlers.invert(person, "tab", empty, InversionRequest(caption="a cat")),
        handlers.edit(person, "tab", empty, EditRequest(caption="a cat")),
        (view for view, _ in handlers.look_inside(person, "tab", empty)),
    ):
        (view,) = views
        assert view.message.startswith('<p role="alert"')


@pytest.mark.parametrize("asked", [{"caption": "<b>"}, {"caption": ""}, {"caption": "a cube", "cross": 2.0}])
def test_what_is_refused_is_said(handlers, person, table, asked):
    (view,) = handlers.edit(person, "tab", table, EditRequest(**asked))
    assert view.message.startswith('<p role="alert"')
    assert view.table is None
    assert "<b>" not in view.message


def test_what_fails_later_is_said_too(handlers, person, table, blue):
    request = EditRequest(caption=blue, weights={"<b>": 2.0})
    *_, view = handlers.edit(person, "tab", table, request)
    assert view.done
    assert view.message.startswith('<p role="alert"')
    assert "&lt;b&gt;" in view.message
    assert view.table is None


@pytest.fixture
def held(workshop):
    """The network waits until it is let go."""
    go, begun = threading.Event(), threading.Event()

    def hold(*_):
        begun.set()
        go.wait(SOON)

    handle = workshop.model("scenes").denoiser.register_forward_pre_hook(hold)
    yield SimpleNamespace(begun=begun, go=go)
    go.set()
    handle.remove()


def test_progress_and_cancelling(handlers, person, table, blue, held):
    views = handlers.edit(person, "my tab", table, EditRequest(caption=blue))
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


@pytest.mark.parametrize("what", ["picture", "sample", "nothing"])
def test_an_edit_under_way_does_not_put_an_old_picture_back(handlers, person, given, sample, table, blue, held, what):
    views = begun(handlers.edit(person, "tab", table, EditRequest(caption=blue)))
    if what == "sample":
        handlers.take_sample(person, "tab", 0)
    else:
        last(handlers.open_picture(person, "tab", given(person, "other.png", sample) if what == "picture" else None))
    rest = [*views]
    assert rest[-1].done
    assert {view.table for view in rest} == {None}


def test_a_result_that_comes_too_late_is_not_laid_down(handlers, person, table, blue, held):
    """The edit is made, but the tab has begun something else before it is fetched."""
    views = begun(handlers.edit(person, "tab", table, EditRequest(caption=blue)))
    job = handlers._current[person, "tab"]
    held.go.set()
    assert job.wait(SOON)
    handlers.cancel(person, "tab")
    *_, view = views
    assert (job.state, view.table) == ("done", None)


def test_what_a_tab_begins_stops_what_it_had_begun(handlers, person, table, blue, held):
    first = begun(handlers.edit(person, "tab", table, EditRequest(caption=blue)))
    others = [
        begun(handlers.edit(person, "another tab", table, EditRequest(caption=blue))),
        begun(handlers.edit(person, "tab", table, EditRequest(caption=blue, cross=0.5))),
    ]
    held.go.set()
    *_, view = first
    assert (view.table, "Cancelled" in view.message) == (None, True)
    for views in others:
        *_, view = views
        assert view.table.edits


def test_anothers_table_is_none(handlers, table, blue, said):
    other = People.new()
    for views in (
        handlers.invert(other, "tab", table, InversionRequest(caption=said)),
        handlers.edit(other, "tab", table, EditRequest(caption=blue)),
        (view for view, _ in handlers.look_inside(other, "tab", table)),
    ):
        (view,) = views
        assert view.message.startswith('<p role="alert"')
        assert view.table is None


def test_a_preview_is_shown_once(handlers, workshop, person, table, monkeypatch):
    monkeypatch.setattr("nulltext.web.handlers.POLL", 0.01)
    red, blue = (Image.new("RGB", (8, 8), colour) for colour in ("red", "blue"))
    seen, go = threading.Semaphore(0), threading.Event()

    def work(job):
        for preview in (red, blue):
            job.preview = preview
            assert seen.acquire(timeout=SOON)
        go.wait(SOON)
        return table

    previews = []
    for view in handlers._work(person, "tab", lambda: workshop.jobs.submit(person, work), lambda made: made):
        if view.preview is not None:
            previews.append(view.preview)
            seen.release()
        elif len(previews) == 2:
            go.set()
    assert previews == [red, blue]
    assert view.table is table


def test_a_tab_that_is_closed_stops_its_job(handlers, workshop, person, table, blue, held):
    views = handlers.edit(person, "tab", table, EditRequest(caption=blue))
    next(views)
    (job,) = [job for job in workshop.jobs._jobs.values() if not job.over]
    views.close()
    assert job.state == "cancelled"


def test_the_fields_as_an_edit(handlers, person, table, blue):
    def asked(**fields):
        defaults = {
            "table": table, "caption": blue, "cross": 0.8, "self_share": 0.7, "strengths": [1] * MOST_WORDS,
            "places": [], "painted": None, "vary": "", "go_on": False,
        }  # fmt: skip
        return edit_request(**{**defaults, **fields})

    assert asked() == EditRequest(caption=blue, cross=0.8, self_share=0.7)
    strengths = [1.0] * MOST_WORDS
    strengths[4] = 2.5  # a cartoon of a spotted blue cube: the words once each
    assert asked(strengths=strengths).weights == {"blue": 2.5}
    assert asked(places=["cube", "blue"], vary="layout").places == ("cube", "blue")
    assert asked(vary="layout").vary == "layout"
    assert asked(go_on=True).before == ()
    edited = last(handlers.edit(person, "tab", table, EditRequest(caption=blue))).table
    snow = asked(table=edited, caption=blue.replace("grass", "snow"), go_on=True)
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
