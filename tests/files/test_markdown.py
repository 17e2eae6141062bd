"""Markdown rendering: what is shown, what is defused, and how long it may take."""

import re
import subprocess
import sys

import pytest

from marianne_stream.errors import MarkdownTooComplexError
from marianne_stream.files.markdown import MAX_MARKDOWN_BYTES, render_in_process, render_markdown

LIMIT = MAX_MARKDOWN_BYTES


def test_text_has_headings_lists_code_and_tables() -> None:
    html = render_markdown("# A & B\n\n* *one*\n\n```py\nx < 1\n```\n\n|a|b|\n|-|:-:|\n|1|2|\n")
    assert "<h1>A &amp; B</h1>" in html
    assert "<li><em>one</em></li>" in html
    assert '<pre><code class="language-py">x &lt; 1\n</code></pre>' in html
    assert '<td align="center">2</td>' in html


@pytest.mark.parametrize(
    "source",
    [
        "<script>document.title = 1</script>",
        "a <img src=x onerror=alert(1)> b",
        "<svg/onload=alert(1)>",
        "<!-- a --><iframe src=x>",
    ],
)
def test_raw_html_is_shown_as_text(source: str) -> None:
    html = render_markdown(source)
    assert set(re.findall(r"<[^>]*>", html)) <= {"<p>", "</p>"}
    assert "&lt;" in html


@pytest.mark.parametrize("address", ["https://a.example/b?c#d", "http://a.example", "mailto:a@b.c"])
def test_link_to_another_site_opens_a_new_window(address: str) -> None:
    link = f'<a href="{address}" target="_blank" rel="noopener noreferrer nofollow">x</a>'
    assert link in render_markdown(f"[x](<{address}>)")


@pytest.mark.parametrize(
    "address",
    [
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        "&#106;avascript:alert(1)",
        "vbscript:x",
        "data:text/html,<script>alert(1)</script>",
        "data:image/png;base64,AAAA",
        "blob:https://a.example/1",
        "file:///etc/passwd",
        "ftp://a.example/b",
        "//a.example/b",
        "/api/jobs",
        "java\tscript:alert(1)",
        "#heading",
        "?render=true",
    ],
)
def test_other_link_or_image_has_no_address(address: str) -> None:
    html = render_markdown(f"[x](<{address}>)\n\n![x](<{address}>)\n\n<{address}>")
    assert "href=" not in html
    assert "src=" not in html


@pytest.mark.parametrize(
    "address", ["http://[", "http://[a:b]", "//[", "a:b]://[", "\\\\a.example/b"]
)
def test_link_with_an_invalid_address_is_text_or_a_link_of_its_own(address: str) -> None:
    html = render_markdown(f"[x](<{address}>)")
    assert 'href="/' not in html
    assert "x" in html


def test_relative_link_or_image_is_no_link_of_the_browser() -> None:
    assert render_markdown("[x](../a%20b.md#c)") == (
        '<p><span data-href="../a%20b.md#c">x</span></p>\n'
    )
    html = render_markdown('![plot of **a** & "b"](out/plot.png "title")')
    assert html == '<p><span data-href="out/plot.png">plot of a &amp; &quot;b&quot;</span></p>\n'
    assert "<span>Image</span>" in render_markdown("![](https://a.example/b.png)")


def test_link_around_an_image_keeps_its_own_end() -> None:
    assert render_markdown("[![a](b.png)](https://c.example) [d](e)") == (
        '<p><a href="https://c.example" target="_blank" rel="noopener noreferrer nofollow">'
        '<span data-href="b.png">a</span></a> <span data-href="e">d</span></p>\n'
    )


def test_text_that_takes_too_long_is_refused() -> None:
    with pytest.raises(MarkdownTooComplexError):
        render_in_process(b"a", timeout_s=0.001)


def test_text_that_takes_too_much_memory_or_processor_time_is_refused() -> None:
    table = "|" + "a|" * 65_536 + "\n|" + "-|" * 65_536 + "\n" + "|x\n" * 1000
    with pytest.raises(MarkdownTooComplexError):
        render_in_process(table.encode(), timeout_s=60)


def test_text_is_rendered_in_a_process_of_its_own() -> None:
    assert render_in_process("\ufeff# Ä".encode()) == "<h1>Ä</h1>\n".encode()
    assert b"\xef\xbf\xbd" in render_in_process(b"\xff")


def test_deeply_nested_text_is_cut_without_recursion() -> None:
    for text in ("> " * 100_000, "- " * 100_000, "[" * 5_000 + "]" * 5_000, "*" * 10_000 + "a"):
        assert render_markdown(text).startswith("<")


def test_text_above_the_limit_is_refused() -> None:
    assert render_in_process(b"a" * LIMIT) == b"<p>" + b"a" * LIMIT + b"</p>\n"
    with pytest.raises(MarkdownTooComplexError):
        render_in_process(b"a" * (LIMIT + 1))


def test_parser_is_imported_with_the_first_text() -> None:
    script = "import sys, marianne_stream.files.markdown; print('markdown_it' in sys.modules)"
    shown = subprocess.check_output([sys.executable, "-c", script], text=True)
    assert shown == "False\n"
