"""Whether a question only points at another message, as "what does this say?" does. Pure.

It errs on the side of a question: what is taken for mere pointing reaches no model. So it is told by the words of the
languages that are written most on Discord, and what has any other word is a question.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class _Language:
    """`pointers` need something to point at. `around` ask nothing without one of them."""

    pointers: frozenset[str]
    around: frozenset[str]

    def only_points(self, words: Sequence[str]) -> bool:
        return self.around.union(self.pointers).issuperset(words) and not self.pointers.isdisjoint(words)


class _Unspaced(_Language):
    """A language that puts no spaces between its words."""

    def only_points(self, words: Sequence[str]) -> bool:
        longest_first = sorted(self.pointers | self.around, key=len, reverse=True)
        one = "|".join(map(re.escape, longest_first))
        said = "".join(words)
        return re.fullmatch(f"(?:{one})+", said) is not None and any(each in said for each in self.pointers)


_SPACED = {
    "English": (
        "this that these those it explain describe summarize summarise translate read",
        """
        what what's whats who is are was does do did say says said mean means meant about of in to for on at the a
        an and so message post text picture image photo file link here there one thing me us you i think tell
        check please pls can could would true right correct
        """,
    ),
    "Spanish": (
        """
        esto eso esta este estas estos ese esa aquello lo explica explícame explícalo traduce tradúcelo traducir
        resume resúmelo lee léelo describe explicas
        """,
        """
        qué que quién quien es son significa dice dicen quiere decir de en el la los las un una y mensaje texto
        imagen foto archivo enlace aquí ahí me nos puedes podrías por favor opinas piensas crees cierto verdad
        correcto
        """,
    ),
    "Portuguese": (
        """
        isso isto esse essa este esta aquilo explica explique traduz traduza resume resuma leia lê descreve
        descreva
        """,
        """
        que quê quem é são significa diz dizem quer dizer de do da no na em a um uma e mensagem texto imagem foto
        arquivo ficheiro link aqui aí me nos pode podes poderia por favor pra para acha achas pensa verdade certo
        o
        """,
    ),
    "French": (
        """
        ça ca cela ceci c'est ce cet cette ces l'image explique expliquez traduis traduisez résume résumez lis
        lisez décris
        """,
        """
        que quoi qu'est qui est sont veut dire dit disent signifie de du la le les un une et dans message texte
        image photo fichier lien ici là moi me nous tu peux vous pouvez s'il te plaît plait stp svp penses pensez
        vrai juste d'accord y en a
        """,
    ),
    "German": (
        """
        das dies diese dieser dieses diesen es da hier davon dazu darüber erklär erkläre übersetz übersetze fass
        fasse zusammen lies beschreib beschreibe
        """,
        """
        was wer ist sind war heißt heisst bedeutet sagt steht meint gemeint die der den dem ein eine und in von zu
        im nachricht text bild foto datei link mir uns du kannst könntest bitte mal denkst meinst hältst stimmt
        wahr richtig so
        """,
    ),
    "Italian": (
        "questo questa questi queste quello quella ciò spiega spiegami traduci riassumi leggi descrivi",
        """
        che cosa cos'è chi è sono significa vuol dire dice dicono di in il la un una e messaggio testo immagine
        foto file link qui lì mi ci puoi potresti per favore ne pensi vero giusto lo
        """,
    ),
    "Russian": (
        """
        это этот эта эти этом этого тут здесь там объясни объясните поясни переведи переведите перескажи прочитай
        опиши
        """,
        """
        что чего кто такое значит означает говорит говорится написано имеется в виду о об на и за сообщение
        сообщении текст картинка картинке фото файл ссылка мне нам ты вы можешь можете пожалуйста пж думаешь
        думаете правда верно так ли
        """,
    ),
    "Polish": (
        "to ten ta te tego tym tu tutaj tam wyjaśnij wytłumacz przetłumacz streść przeczytaj opisz",
        """
        co kto jest są znaczy oznacza mówi pisze chodzi o w na z i za wiadomość wiadomości tekst obraz obrazku
        zdjęcie zdjęciu plik link mi nam możesz proszę sądzisz myślisz prawda dobrze czy
        """,
    ),
    "Turkish": (
        "bu bunu bunun bunlar şu şunu burada orada açıkla açıklar çevir çevirir özetle özetler oku okur tarif",
        """
        ne nedir kim demek diyor diyorlar yazıyor anlama anlamı geliyor hakkında mesaj mesajda metin resim resimde
        foto fotoğraf dosya link bana bize misin mısın musun lütfen düşünüyorsun doğru mu mı mi et
        """,
    ),
    "Korean": (
        """
        이거 이게 이것 이건 그거 그게 저거 저게 이 여기 설명해줘 설명해 번역해줘 번역해 요약해줘 요약해 읽어줘
        해석해줘
        """,
        """
        뭐야 뭐 뭐라고 뭐라는 뭔데 무슨 뜻 뜻이야 뜻인지 말 말이야 소리야 거야 누구야 메시지 글 사진 그림 파일
        링크 좀 나 어떻게 생각해 맞아 사실이야 해줘 알려줘
        """,
    ),
}
_UNSPACED = {
    "Japanese": (
        "これ それ あれ この その ここ そこ 説明 翻訳 要約 読んで 訳して",
        """
        何 なに なん て と は が を の に って どういう 意味 書いて ある いる る いて 言って です ですか か だ なの
        メッセージ 文 画像 写真 ファイル リンク して ください 下さい くれる
        くれ お願い します 誰 だれ どう 思う 本当 ほんと 正しい 教えて
        """,
    ),
    "Chinese": (
        "这 這 那 这个 這個 那个 那個 这里 這裡 解释 解釋 翻译 翻譯 总结 總結",
        """
        是 什么 什麼 意思 说 說 写 寫 了 的 啥 谁 誰 上面 在 消息 訊息 文字 图片 圖片 照片 文件 链接 連結 请
        請 帮 幫 我 你 一下 吗 嗎 呢 觉得 覺得 怎么样 怎麼樣 真的 对 對 看
        """,
    ),
}
_LANGUAGES = [
    *(_Language(frozenset(pointers.split()), frozenset(around.split())) for pointers, around in _SPACED.values()),
    *(_Unspaced(frozenset(pointers.split()), frozenset(around.split())) for pointers, around in _UNSPACED.values()),
]


def only_points(text: str) -> bool:
    """Whether nothing is asked without the message that the text points at. So it is of a text without words."""
    words = re.findall(r"[^\W_]+(?:'[^\W_]+)?", text.lower().replace("’", "'"))
    return not words or any(language.only_points(words) for language in _LANGUAGES)
