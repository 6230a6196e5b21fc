"""YAML of strangers is read as plain data, within a budget."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from actionrnn.files import safe_yaml

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=30,
)


@given(PLAIN)
def test_what_was_written_is_read(content: object) -> None:
    assert safe_yaml(yaml.safe_dump(content)) == content


def test_aliases_and_merges_are_read() -> None:
    text = "a: &a {x: 1, y: [2, 3]}\nb: *a\nc: {<<: *a, x: 4}\n"
    assert safe_yaml(text) == yaml.safe_load(text)
    assert safe_yaml("") is None


def laughs(levels: int) -> str:
    lines = ["a0: &a0 [ha, ha, ha, ha, ha, ha, ha, ha, ha]"]
    for level in range(1, levels):
        lines.append(f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]")
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (laughs(9), "stands for more than 100,000 values"),
        ("a: &a [*a]", "stands for more than 100,000 values"),
        ("a: &a {b: *a}", "stands for more than 100,000 values"),
        ("[" * 10_000, "nested without end"),
        ("- " * 10_000, "nested without end"),
        ("x" * (1 << 21), "longer than 262144 bytes"),
        ("!!python/object/apply:os.system [ls]", "could not determine a constructor"),
    ],
)
def test_attacks_cost_little_and_are_said(text: str, why: str) -> None:
    with pytest.raises(yaml.YAMLError, match=why):
        safe_yaml(text)
    assert safe_yaml(laughs(3))
