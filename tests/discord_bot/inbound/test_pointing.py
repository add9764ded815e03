"""What only points at another message, and what asks something by itself, in the languages that people write."""

from __future__ import annotations

import pytest

from bot.discord_bot.inbound.pointing import only_points

ONLY = """
?!
👀
what does this say?
What’s that about
explain
Is this true??
¿Qué significa esto?
me lo explicas... ¿qué quiere decir eso?
¿es verdad esto?
o que é isso?
traduz isso por favor
c’est quoi ça ?
qu'est-ce que ça veut dire ?
traduis s'il te plaît
was steht da?
Was bedeutet das
ist das wahr?
che cosa significa questo?
что это значит?
переведи пожалуйста
co to znaczy?
o co tu chodzi
bu ne demek?
bunu çevirir misin
이거 뭐야?
이게 무슨 뜻이야
これはどういう意味ですか？
これ何
翻訳してください
这是什么意思？
這個是什麼
"""
QUESTIONS = """
why is the sky blue?
what is this language called Rust?
what is love
who are you
¿qué es la fotosíntesis?
o que é fotossíntesis?
c'est quoi la photosynthèse ?
was ist Photosynthese?
was gibt es heute zu essen
che cosa è la fotosintesi?
что такое фотосинтез?
co to jest fotosynteza?
fotosentez ne demek?
광합성이 뭐야?
光合成とは何ですか？
什么是光合作用？
これは冗談として面白い？
"""


@pytest.mark.parametrize("text", ONLY.strip().splitlines())
def test_what_only_points_asks_nothing_by_itself(text: str) -> None:
    assert only_points(text)


@pytest.mark.parametrize("text", QUESTIONS.strip().splitlines())
def test_what_has_other_words_is_a_question(text: str) -> None:
    assert not only_points(text)
