import inspect
import re

from nulltext import errors

CLASSES = {
    name: value for name, value in vars(errors).items() if inspect.isclass(value) and issubclass(value, Exception)
}


def test_the_tree_in_the_docstring_is_the_tree():
    tree: dict[str, tuple[str | None, str]] = {}
    ancestors: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r" {4}([│├└─ ]*)([A-Z]\w+)(?: \((\w+)\))?", line)
        if match is None:
            continue
        depth = len(match[1]) // 4
        ancestors[depth:] = [match[2]]
        tree[match[2]] = (ancestors[depth - 1] if depth else None, match[3])
    assert tree.keys() == CLASSES.keys()
    for name, (parent, builtin) in tree.items():
        bases = [base.__name__ for base in CLASSES[name].__bases__]
        assert bases == [base for base in (parent or "Exception", None if builtin == "Exception" else builtin) if base]
