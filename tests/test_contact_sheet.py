import pytest
from PIL import Image, ImageChops

from nulltext.contact_sheet import ACCENT, PAPER, Cell, contact_sheet

RED = Image.new("RGB", (8, 8), (255, 0, 0))


def counted(sheet: Image.Image) -> dict[object, int]:
    """How many pixels there are of each colour."""
    return {colour: count for count, colour in sheet.getcolors(1 << 24) or []}


def test_every_image_is_drawn_enlarged_in_its_column():
    blue = Image.new("RGB", (8, 8), (0, 0, 255))
    sheet = contact_sheet(["a", "b"], [[Cell(image=RED), Cell(image=blue)]], cell_size=64)
    counts = counted(sheet)
    assert counts[255, 0, 0] == counts[0, 0, 255] == 64 * 64
    left = ImageChops.difference(
        sheet.crop((0, 0, sheet.width // 2, sheet.height)),
        Image.new("RGB", (1, 1)).resize((sheet.width // 2, sheet.height)),
    )
    assert (0, 0, 255) not in counted(left)


def test_an_oblong_image_keeps_its_aspect_ratio():
    sheet = contact_sheet(["a"], [[Cell(image=Image.new("RGB", (20, 10), (255, 0, 0)))]], cell_size=60)
    counts = counted(sheet)
    assert counts[255, 0, 0] == 60 * 30


def test_a_long_prompt_is_wrapped_inside_its_column():
    text = "a shiny striped purple mushroom on grass " * 3
    one = contact_sheet(["a", "b"], [[Cell(image=RED, text="short"), Cell(image=RED)]], cell_size=100)
    wrapped = contact_sheet(["a", "b"], [[Cell(image=RED, text=text), Cell(image=RED)]], cell_size=100)
    assert wrapped.width == one.width
    assert wrapped.height > one.height
    second_column = wrapped.crop((wrapped.width // 2 + 6, 150, wrapped.width, wrapped.height))
    assert counted(second_column).keys() == {PAPER}


def test_only_the_words_that_differ_are_coloured():
    same = contact_sheet(["a"], [[Cell(image=RED, text="a red ball, on grass", unlike="a red ball on grass")]])
    changed = contact_sheet(["a"], [[Cell(image=RED, text="a blue ball, on grass", unlike="a red ball on grass")]])
    assert ACCENT not in counted(same)
    assert ACCENT in counted(changed)


def test_rows_have_to_match_the_headings():
    with pytest.raises(ValueError, match="2 headings"):
        contact_sheet(["a", "b"], [[Cell(image=RED)]])
    with pytest.raises(ValueError, match="0"):
        contact_sheet([], [])
