import pytest

from pcdarts.errors import InputError, RunError, shown


@pytest.mark.parametrize("kind", [InputError, RunError])
@pytest.mark.parametrize(
    ("name", "written"), [("a\nb", r"a\nb"), ("\udcff", r"\udcff"), ("\x1b[2J", r"\x1b[2J"), ("猫 🐜", "猫 🐜")]
)
def test_an_error_is_one_printable_line_whatever_the_names_in_it_hold(kind, name, written):
    assert str(kind(f"{name} cannot be read")) == f"{written} cannot be read"


def test_a_long_error_keeps_its_beginning_and_its_end():
    line = str(InputError(f"the file {'x' * 5000} is missing"))
    assert line.startswith("the file xxx")
    assert line.endswith("xxx is missing")
    assert len(line) < 2000


def test_a_value_that_python_does_not_print_is_shown_all_the_same():
    assert shown(10**5000) == "a huge number"
