"""A page of nasty replies, looked at message by message."""

from __future__ import annotations

import re

from wcwidth import iter_graphemes

from bot.markdown import Document
from tests.discord_reading import read


def messages(text: str, limit: int = 300, *, piece: int = 37) -> list[str]:
    """The parts of a reply that came in pieces."""
    document = Document(limit)
    for end in range(0, len(text), piece):
        document.update(text[:end])
    document.update(text, final=True)
    assert all(len(part.content) <= limit for part in document.parts)
    return [part.content for part in document.parts]


def test_a_fence_within_a_fence_is_code_on_both_sides_of_a_cut() -> None:
    inner = "```py\nx = 1\n```\n\nbetween\n\n"
    parts = messages("Here:\n\n````markdown\n# Doc\n\n" + inner * 14 + "````\n\nafter")
    assert len(parts) == 2
    assert parts[1].startswith("```markdown\n")
    shown = [each for part in parts for each in read(part)]
    want = "#Doc" + "```pyx=1```between" * 14
    assert "".join(character for character, styles in shown if styles == {"code"}) == want
    assert "".join(character for character, styles in shown if not styles) == "Here:after"


def test_long_code_is_cut_between_functions() -> None:
    functions = [f"def f{at}():\n    x = {at}\n    return x\n" for at in range(75)]
    parts = messages("Sure:\n\n```python\n" + "\n".join(functions) + "```\n\nThat is all.", 2000)
    assert len(parts) == 2
    assert parts[0].startswith("Sure:\n\n```python\ndef f0():\n    x = 0\n    return x\n\ndef f1():")
    assert re.search(r"    x = \d+\n    return x\n```$", parts[0])
    assert re.match(r"```python\ndef f\d+\(\):\n    x = ", parts[1])
    assert parts[1].endswith("    return x\n```\n\nThat is all.")
    assert re.findall(r"def f(\d+)", "".join(parts)) == [str(at) for at in range(75)]


def test_indented_code_keeps_its_indentation() -> None:
    first, second = messages(
        "1. First:\n   ```bash\n" + "   if true; then\n     echo hello\n   fi\n" * 9 + "   ```\n2. Then"
    )
    assert first.endswith("\n   ```")
    assert re.match(r" {3}```bash\n {3,5}\w", second)
    assert second.endswith("   fi\n   ```\n2. Then")


def test_cut_table_repeats_its_header() -> None:
    rows = "".join(f"| person number {at} | {at * at} |\n" for at in range(20))
    parts = messages("Look:\n\n| Name | Amount |\n|:--|--:|\n" + rows + "\nDone.")
    assert len(parts) == 3
    assert parts[0].startswith(
        "Look:\n\n```\nName             Amount\n---------------  ------\nperson number 0       0\n"
    )
    assert all(re.search(r"^```\nName +Amount\n-+  -+\nperson number \d+ +\d+\n", part, re.MULTILINE) for part in parts)
    assert parts[2].endswith("person number 19     361\n```\n\nDone.")
    assert re.findall(r"number (\d+)", "".join(parts)) == [str(at) for at in range(20)]


def test_wide_table_becomes_a_list_cut_between_rows() -> None:
    header = "| " + " | ".join(f"Col {at}" for at in range(12)) + " |\n|" + "---|" * 12 + "\n"
    rows = "".join("| " + " | ".join(f"val {row}.{at}" for at in range(12)) + " |\n" for row in range(6))
    parts = messages(header + rows + "\nDone.", 600)
    assert [re.findall(r"^- Col 0: \*\*val (\d)\.0\*\*$", part, re.MULTILINE) for part in parts] == [
        ["0", "1"],
        ["2", "3"],
        ["4", "5"],
    ]
    assert all(part.startswith("- Col 0") for part in parts)
    assert "\n  - Col 11: val 5.11\n\nDone." in parts[2]


def test_text_without_spaces_fills_the_messages() -> None:
    line = "abcdefghi " * 2 + "abcdefghij" * 898
    parts = messages(line, 2000)
    assert [len(part) for part in parts] == [2000, 2000, 2000, 2000, len(line) - 8000]
    assert "".join(parts) == line


def test_grapheme_clusters_stay_together() -> None:
    family, flag = "👨‍👩‍👧‍👦", "🇩🇪"
    parts = messages((family + flag) * 60)
    assert all(set(iter_graphemes(part)) == {family, flag} for part in parts)
    assert "".join(parts) == (family + flag) * 60


def test_cluster_longer_than_a_message_is_cut() -> None:
    parts = messages("x " + "a" + "\u0301" * 5000 + " y", 2000, piece=500)
    assert parts[0] == "x"
    assert parts[1].startswith("a\u0301")
    assert "".join(parts).replace("x", "x ") == "x " + "a" + "\u0301" * 5000 + " y"


def test_unspaced_text_is_cut_after_sentences() -> None:
    text = "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。" * 20
    parts = messages(text)
    assert all(part.endswith("。") and len(part) > 250 for part in parts[:-1])
    assert "".join(parts) == text


def test_link_across_the_cut_moves_on() -> None:
    link = "[the whole long title of the page](https://example.com/a/very/long/path/that/goes/on)"
    first, second = messages("word " * 50 + f"see {link} and so on")
    assert first.endswith("word see")
    assert second == f"{link} and so on"


def test_quoted_list_and_fence_continue_together() -> None:
    code = "> x = compute(1)\n" * 25
    first, second = messages(
        f"> Quoted\n> - one\n>   - nested\n>\n> ```py\n{code}> ```\n> after the code\n\nnot quoted"
    )
    assert first.startswith("> Quoted\n> - one\n>   - nested\n> \n> ```py\n> x")
    assert first.endswith("> x = compute(1)\n> ```")
    assert second.startswith("> ```py\n> x = compute(1)\n")
    assert second.endswith("> ```\n> after the code\n\nnot quoted")


def test_long_quoted_line_stays_quoted() -> None:
    parts = messages("> " + "some words here. " * 40)
    assert len(parts) == 3
    assert all(part.startswith("> some words here.") and part.endswith("here.") for part in parts)


def test_emphasis_and_spoilers_reopen_after_the_cut() -> None:
    first, second = messages("**bold and *italic words " + "go on and on " * 35 + "end* here** done")
    assert first.endswith("***")
    assert second.startswith("***")
    assert second.endswith("end* here** done")
    parts = messages("It was ||" + "the butler did it at night\n\n" * 20 + "so there|| really")
    assert all(part.count("||") == 2 for part in parts)
    assert parts[1].startswith("||the butler")
    items = messages("||" + "- the butler did it at night\n" * 20 + "so there|| really")
    assert all(part.count("||") == 2 for part in items)
    assert items[1].startswith("- ||the butler")


def test_unclosed_emphasis_is_text_on_both_sides_of_a_cut() -> None:
    first, second = messages("Look: **bold words " + "go on and on " * 35 + "end\n\nfin")
    assert first.startswith("Look: \\*\\*bold words go on")
    assert first.endswith("go on")
    assert second.startswith("and on")
    assert second.endswith("end\n\nfin")


def test_emphasis_does_not_reach_into_the_next_list() -> None:
    first, second = messages("so **never closed " + "go on and on " * 20 + "\n" + "- item one of the list\n" * 6)
    assert first.startswith("so \\*\\*never closed go on")
    assert second.startswith("- item")
    assert "**" not in second


def test_spoiler_ends_where_discord_ends_it() -> None:
    parts = messages("It was ||" + "the butler and friends " * 30 + "too|| really")
    assert all(part.count("||") == 2 for part in parts)
    assert parts[-1].endswith("friends too|| really")


def test_inline_code_is_cut_only_when_too_long() -> None:
    first, second = messages("word " * 50 + "`" + "code " * 20 + "x` end")
    assert first.endswith("word")
    assert second == "`" + "code " * 20 + "x` end"
    parts = messages("Run `" + "cmd --flag " * 60 + "x` now")
    assert len(parts) > 2
    assert all(part.count("`") == 2 for part in parts)


def test_numbered_lists_keep_their_numbers() -> None:
    text = "\n".join(f"{at}. Item number {at} with **bold** text, enough of it" for at in range(1, 15))
    parts = messages(text)
    assert "\n".join(parts) == text
    assert all(re.match(r"\d+\. Item", part) for part in parts)


def test_heading_stays_with_its_text() -> None:
    first, second = messages("Intro " * 42 + "\n\n## A heading\n\n" + "Text below it. " * 10)
    assert first.endswith("Intro")
    assert second.startswith("## A heading\n\nText below it.")


def test_cut_does_not_waste_half_a_message() -> None:
    first, second = messages("Short.\n\n" + "A longer line follows it.\n" * 14)
    assert len(first) > 250
    assert second.startswith("A longer line")
    whole, *_ = messages("First paragraph. " * 12 + "\n\n" + "Second paragraph. " * 12)
    assert whole == ("First paragraph. " * 12).strip()


def test_nothing_but_backticks() -> None:
    for count in (1, 2, 3, 4, 16, 17, 9000):
        shown = "".join(character for part in messages("`" * count, 2000, piece=500) for character, _ in read(part))
        assert shown == ("`" * count if count < 3 or count > 16 else "")


def test_blank_text_is_no_message() -> None:
    assert messages(" \n\t\n" * 3000, 2000, piece=999) == []
    assert messages("x" + "\n" * 5000 + "y", 2000, piece=999) == ["x", "y"]


def test_long_line_of_code_is_cut_between_words() -> None:
    parts = messages("```json\n" + '{"key": "value"} ' * 60 + "\n```")
    assert len(parts) > 3
    words = [word for part in parts for word in part.removeprefix("```json\n").removesuffix("\n```").split()]
    assert words == ['{"key":', '"value"}'] * 60
