"""Every method is a row, and a row is all that a method needs to be found."""

import importlib
import inspect
import pkgutil

import pytest

import nulltext
from nulltext.editing.base import Editor
from nulltext.editing.masks import MaskSource
from nulltext.editing.table import EDITOR, EDITORS, MASKS
from nulltext.errors import SettingError
from nulltext.inversion import methods
from nulltext.inversion.invert import Inverter
from nulltext.inversion.table import INVERTERS, METHOD
from nulltext.tables import row, word_of

TABLES = {"inverters": (INVERTERS, Inverter), "editors": (EDITORS, Editor), "masks": (MASKS, MaskSource)}
ROWS = [(kind, word) for kind, (table, _) in TABLES.items() for word in table]


@pytest.mark.parametrize(("kind", "word"), ROWS)
def test_a_row_leads_to_its_class(kind, word):
    table, of = TABLES[kind]
    method = table[word].load()
    assert method.__name__ == table[word].class_name
    assert isinstance(method(), of)
    assert getattr(nulltext, method.__name__) is method
    assert word_of(table, method.__name__) == word
    assert 10 < len(table[word].summary) <= 80


def test_every_public_method_is_a_row():
    public = [getattr(nulltext, name) for name in nulltext.__all__]
    classes = [each for each in public if inspect.isclass(each) and not inspect.isabstract(each)]
    inverters = {each.__name__ for each in classes if issubclass(each, Inverter)}
    calls = {each.__name__: vars(each).get("__call__") for each in classes if each is not Editor}
    editors = {
        name
        for name, call in calls.items()
        if call and list(inspect.signature(call).parameters)[2:4] == ["inversion", "prompts"]
    }
    assert inverters == {entry.class_name for entry in INVERTERS.values()}
    assert editors == {entry.class_name for entry in EDITORS.values()}


@pytest.mark.parametrize(("package", "table", "of"), [(methods, INVERTERS, Inverter)])
def test_every_file_of_methods_has_a_row(package, table, of):
    found = set()
    for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        classes = inspect.getmembers(importlib.import_module(module.name), inspect.isclass)
        found |= {f"{module.name}:{name}" for name, each in classes if each.__module__ == module.name}
    assert {entry.path for entry in table.values()} == found


def test_the_method_that_is_taken_unless_another_is_asked_for_is_a_row():
    assert METHOD in INVERTERS
    assert EDITOR in EDITORS


def test_a_word_that_stands_for_nothing():
    with pytest.raises(SettingError, match="got --method 'magic'; expected direct, null-text"):
        row(INVERTERS, "magic", "--method")
    assert word_of(INVERTERS, "Magic") is None
