"""The words with which callers agree, refuse or put off, by language; data for `agent.dialog.assent`."""

from __future__ import annotations

from typing import NamedTuple


class Language(NamedTuple):
    """The words and phrases of one language, or of closely related ones, separated by commas."""

    yes: str
    "A yes may begin with one of these."
    weak: str
    "These are a yes only alone, or with others of their kind."
    no: str
    off: str
    "These put off, set a condition, or ask."


# These refuse or put off in every language, whichever language the assent was in.
EVERY_NO = """no, nope, nah, nay, not, never, don't, do not, dont, doesn't, didn't, won't, wouldn't, can't, cannot,
    shouldn't, isn't, aren't, wasn't, nein, nicht, nee, nej, nei, niet, non, nao, nie, niemals, nooit, jamais, nunca,
    cancel, abort, stop, stopp, forget it, never mind, nevermind, rather not, refuse, disagree,
    нет, не, никогда, ні, όχι, hayır, hayir, değil, nem"""
EVERY_OFF = """but, however, unless, wait, hold on, hang on, later, maybe, perhaps, instead, actually, except, if,
    i think, i guess, i suppose, probably, possibly, not sure, unsure, what, when, where, why, how, who, which"""
SAYS_NOTHING = """uh, um, umm, er, erm, ah, oh, hm, hmm, well, so, and, then, ach, na, also, nun, eh, euh, ben, pues,
    bueno, allora, dunque, entao, nou, tja, a, ну, ага, え, あ, えっと, 嗯, 啊"""

LANGUAGES = (
    Language(
        """yes, yeah, yep, yup, yea, aye, y, yes please, absolutely, definitely, certainly, of course, sure, surely,
        for sure, i'm sure, i am sure, go ahead, go for it, do it, please do, do so, do that, correct, exactly,
        affirmative, confirmed, confirm, i confirm, i agree, agreed, sounds good, by all means, you may,
        that's right, that is right, that's correct, that is correct, that's fine""",
        "ok, okay, okey, right, alright, all right, fine, good, great, perfect, please, thanks, thank you",
        "",
        "",
    ),
    Language(
        """ja, jawohl, jo, jep, jup, ja bitte, ja gerne, klar, na klar, natürlich, gerne, sicher, aber sicher,
        auf jeden fall, genau, einverstanden, bestätigt, ich bestätige, mach das, machen sie das, tu das, mach es,
        tun sie das, selbstverständlich, freilich, passt, stimmt, richtig""",
        "in ordnung, gut, okay, bitte, danke, schön",
        "nö, kein, keine, keinen, keinesfalls, lass es, lassen sie das, abbrechen",
        """aber, sondern, vielleicht, später, warte, warten, moment, wenn, falls, lieber, eventuell, erst, noch,
        sofern, ausser, was, wann, warum, wie, wer, wo, wieviel, weiß""",
    ),
    Language(
        """oui, ouais, bien sûr, d'accord, absolument, certainement, vas-y, vas y, allez-y, allez y, volontiers,
        tout à fait, exactement, je confirme, confirmé, oui s'il vous plaît, c'est bon, c'est ça""",
        "très bien, bon, parfait, merci, s'il vous plaît, s'il te plaît",
        "pas, ne, n'est, annulez, annule, aucun",
        """mais, peut-être, peut être, attends, attendez, plus tard, si, quand, pourquoi, comment, combien, quel,
        quelle, plutôt, sauf""",
    ),
    Language(
        """sí, si, claro, claro que sí, por supuesto, de acuerdo, desde luego, adelante, hazlo, hágalo, correcto,
        confirmo, exacto, sí por favor""",
        "vale, bien, muy bien, perfecto, gracias, por favor",
        "tampoco, cancela, cancele, ningún",
        """pero, quizás, quizá, tal vez, espera, espere, luego, después, todavía, cuándo, cuánto, cómo, quién,
        dónde, mejor, salvo""",
    ),
    Language(
        """sì, si, certo, certamente, assolutamente, procedi, proceda, confermo, esatto, fallo, lo faccia, d'accordo,
        sì grazie, come no""",
        "va bene, bene, perfetto, grazie, per favore",
        "mai, annulla, annulli",
        "ma, però, forse, aspetta, aspetti, dopo, più tardi, se, quando, perché, come, quanto, che cosa, chi, dove",
    ),
    Language(
        "sim, claro, claro que sim, com certeza, certo, faça isso, faz isso, confirmo, exato, sim por favor, pode sim",
        "está bem, tudo bem, bom, perfeito, obrigado, obrigada, por favor",
        "cancela, cancele",
        "mas, talvez, espera, espere, depois, se, quando, porquê, por que, como, quanto, quem, onde",
    ),
    Language(
        "ja, jazeker, zeker, natuurlijk, graag, akkoord, klopt, doe maar, ga je gang, ga uw gang, ja graag, precies",
        "prima, goed, oké, dank je, dank u, alsjeblieft, alstublieft",
        "geen, annuleer",
        "maar, misschien, wacht, straks, als, wanneer, waarom, hoe, wie, waar, hoeveel, eerst",
    ),
    Language(
        """ja, japp, jo, jadå, visst, absolut, javisst, gärna, självklart, stämmer, selvfølgelig, gerne, gjerne,
        naturligvis, bestemt, ja tack, ja tak, ja takk, kör, gör det, gør det, gjør det""",
        "bra, okej, godt, fint, tack, tak, takk",
        "inte, ikke, aldrig, aldri, ingen, avbryt",
        "men, kanske, måske, kanskje, vänta, vent, senare, senere, om, hvis, när, hvad, hva, vad, hur, hvordan",
    ),
    Language(
        "kyllä, joo, juu, totta kai, toki, tietysti",
        "hyvä, selvä, kiitos",
        "ei, en, älä, peru",
        "mutta, ehkä, odota, jos",
    ),
    Language(
        "tak, oczywiście, jasne, pewnie, zgoda, potwierdzam, zgadzam się, proszę bardzo, tak proszę",
        "dobrze, dobra, dziękuję, proszę",
        "nigdy, anuluj",
        "ale, może, czekaj, proszę czekać, później, jeśli, kiedy, dlaczego, jak, ile, co, kto, gdzie",
    ),
    Language(
        "ano, jo, jasně, určitě, samozřejmě, souhlasím, áno, iste, samozrejme, súhlasím",
        "dobře, dobre, prosím, děkuji, ďakujem",
        "ne, nechci, nechcem, zruš",
        "ale, možná, možno, počkej, počkaj, později, neskôr, pokud, ak, kdy, proč, jak, kolik",
    ),
    Language(
        """да, конечно, давай, давайте, подтверждаю, верно, согласен, согласна, точно, так, звичайно, авжеж,
        підтверджую, разбира се, потвърждавам""",
        "хорошо, ладно, добре, спасибо, дякую, пожалуйста, будь ласка, ага",
        "отмена, отмените, нельзя, скасуй",
        "но, може, может, возможно, подождите, подожди, потом, позже, если, когда, почему, сколько, але, почекай, что, как",
    ),
    Language(
        "da, sigur, desigur, bineînțeles, confirm, de acord",
        "bine, mulțumesc, te rog",
        "nu, niciodată",
        "dar, poate, așteaptă, dacă, când, cum",
    ),
    Language(
        "igen, persze, rendben van, természetesen, megerősítem",
        "rendben, jó, köszönöm, kérem",
        "ne, soha, mégse",
        "de, talán, várj, ha, mikor, miért",
    ),
    Language(
        "evet, tabii, tabii ki, elbette, olur, onaylıyorum, kesinlikle",
        "tamam, peki, lütfen, teşekkürler",
        "yok, asla, iptal",
        "ama, belki, bekle, sonra, eğer, ne zaman, neden, nasıl",
    ),
    Language(
        "ναι, βεβαίως, βέβαια, μάλιστα, φυσικά, συμφωνώ",
        "εντάξει, καλά, ευχαριστώ, παρακαλώ",
        "δεν, μη, μην, ποτέ",
        "αλλά, ίσως, περίμενε, αν, πότε, γιατί, πώς",
    ),
    Language(
        "نعم, أجل, بالتأكيد, طبعا, طبعًا, أكيد, ايوه, أيوه, موافق, اوافق",
        "حسنا, حسنًا, تمام, من فضلك, شكرا",
        "لا, ليس, لن, أبدا",
        "لكن, ربما, انتظر, لاحقا, إذا, متى, لماذا, كيف, ماذا",
    ),
    Language(
        "כן, בטח, בהחלט, ודאי, מסכים, מסכימה",
        "בסדר, טוב, תודה, בבקשה",
        "לא, אל, אף פעם",
        "אבל, אולי, חכה, רגע, אם, מתי, למה, איך, מה",
    ),
    Language(
        "हाँ, हां, जी हाँ, जी हां, ज़रूर, जरूर, बिल्कुल, haan, ji haan, zaroor",
        "ठीक है, अच्छा, theek hai, कृपया, धन्यवाद, जी",
        "नहीं, मत, ना, nahi, nahin",
        "लेकिन, शायद, रुको, बाद में, अगर, कब, क्यों, कैसे, क्या",
    ),
    Language(
        "ya, iya, tentu, tentu saja, boleh, setuju, vâng, dạ, đồng ý, có",
        "baik, oke, tolong, terima kasih, được",
        "tidak, bukan, jangan, không, đừng",
        "tapi, mungkin, tunggu, nanti, kalau, kapan, nhưng, có lẽ, chờ, nếu",
    ),
    Language(
        "네, 예, 응, 그래, 그래요, 좋아요, 맞아요, 그럼요, 물론이죠, 네 부탁해요",
        "알겠어요, 고마워요, 감사합니다, 부탁해요, 부탁합니다",
        "아니, 아니요, 아뇨, 안, 안돼요, 안 돼요, 하지 마세요, 취소",
        "하지만, 아마, 잠깐, 잠깐만요, 나중에, 만약, 언제, 왜, 어떻게, 뭐",
    ),
)
UNSPACED_YES = (
    "はい",
    "ええ",
    "うん",
    "お願いします",
    "もちろん",
    "そうです",
    "是",
    "好的",
    "好",
    "可以",
    "对",
    "對",
    "当然",
    "當然",
    "行",
    "确认",
    "確認",
    "没问题",
    "ใช่",
    "ครับ",
    "ค่ะ",
    "ตกลง",
    "ได้",
)
UNSPACED_NO = (
    "いいえ",
    "いや",
    "ない",
    "だめ",
    "ダメ",
    "やめ",
    "違",
    "ちが",
    "不",
    "没",
    "沒",
    "别",
    "別",
    "否",
    "取消",
    "ไม่",
    "อย่า",
    "เปล่า",
)
UNSPACED_OFF = (
    "でも",
    "けど",
    "待",
    "ちょっと",
    "たぶん",
    "多分",
    "あと",
    "か。",
    "ですか",
    "但",
    "等",
    "可能",
    "也许",
    "或许",
    "如果",
    "吗",
    "嗎",
    "呢",
    "什么",
    "怎么",
    "แต่",
    "รอ",
    "อาจ",
    "ไหม",
)
NOT_NO = ("没问题", "沒問題", "間違いない")
UNSPACED_FILLERS = "嗯啊あえ、,，。 "
