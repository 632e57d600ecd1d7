"""The languages of the Live API by code, as pure data with functions to look them up.

Google's pages name some 70 to 100 languages for its native audio models, and 24 codes with a region for the older
ones; the lists differ from page to page. So an unknown code is passed on with a warning: the Live server decides.
"""

from __future__ import annotations

import re
from difflib import get_close_matches

LANGUAGES = {
    "af": "Afrikaans",
    "ak": "Akan",
    "am": "Amharic",
    "ar": "Arabic",
    "as": "Assamese",
    "az": "Azerbaijani",
    "be": "Belarusian",
    "bg": "Bulgarian",
    "bn": "Bengali",
    "bs": "Bosnian",
    "ca": "Catalan",
    "ceb": "Cebuano",
    "cmn": "Mandarin Chinese",
    "cs": "Czech",
    "cy": "Welsh",
    "da": "Danish",
    "de": "German",
    "el": "Greek",
    "en": "English",
    "es": "Spanish",
    "et": "Estonian",
    "eu": "Basque",
    "fa": "Persian",
    "fi": "Finnish",
    "fil": "Filipino",
    "fo": "Faroese",
    "fr": "French",
    "fy": "Frisian",
    "ga": "Irish",
    "gl": "Galician",
    "gu": "Gujarati",
    "ha": "Hausa",
    "he": "Hebrew",
    "hi": "Hindi",
    "hr": "Croatian",
    "hu": "Hungarian",
    "hy": "Armenian",
    "id": "Indonesian",
    "is": "Icelandic",
    "it": "Italian",
    "iw": "Hebrew",
    "ja": "Japanese",
    "jv": "Javanese",
    "ka": "Georgian",
    "kk": "Kazakh",
    "km": "Khmer",
    "kn": "Kannada",
    "ko": "Korean",
    "ku": "Kurdish",
    "ky": "Kyrgyz",
    "lo": "Lao",
    "lt": "Lithuanian",
    "lv": "Latvian",
    "mi": "Maori",
    "mk": "Macedonian",
    "ml": "Malayalam",
    "mn": "Mongolian",
    "mr": "Marathi",
    "ms": "Malay",
    "mt": "Maltese",
    "my": "Burmese",
    "nb": "Norwegian",
    "ne": "Nepali",
    "nl": "Dutch",
    "no": "Norwegian",
    "om": "Oromo",
    "or": "Odia",
    "pa": "Punjabi",
    "pl": "Polish",
    "ps": "Pashto",
    "pt": "Portuguese",
    "qu": "Quechua",
    "rm": "Romansh",
    "ro": "Romanian",
    "ru": "Russian",
    "rw": "Kinyarwanda",
    "sd": "Sindhi",
    "si": "Sinhala",
    "sk": "Slovak",
    "sl": "Slovenian",
    "so": "Somali",
    "sq": "Albanian",
    "sr": "Serbian",
    "st": "Sesotho",
    "sv": "Swedish",
    "sw": "Swahili",
    "ta": "Tamil",
    "te": "Telugu",
    "tg": "Tajik",
    "th": "Thai",
    "tk": "Turkmen",
    "tn": "Tswana",
    "tr": "Turkish",
    "uk": "Ukrainian",
    "ur": "Urdu",
    "uz": "Uzbek",
    "vi": "Vietnamese",
    "wo": "Wolof",
    "yo": "Yoruba",
    "yue": "Cantonese",
    "zh": "Chinese",
    "zu": "Zulu",
}
"Names of languages, by the language part of a BCP 47 code."

REGIONS = frozenset(
    """
    419 AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW
    BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK
    FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS
    IT JE JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM
    MN MO MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS
    PT PW PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK
    TL TM TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS XA YE YT ZA ZM ZW
    """.split()  # noqa: SIM905  a list would take a line per entry
)
"Country codes of ISO 3166-1, and 419 for Latin America."
_CODE = re.compile(r"([a-z]{2,3})(?:-([A-Z][a-z]{3}))?(?:-([A-Z]{2}|\d{3}))?")


def _pairs(text: str) -> dict[str, str]:
    return dict(pair.split("=") for pair in text.split())


_OWN_NAMES = _pairs(
    "deutsch=de español=es espanol=es français=fr francais=fr italiano=it português=pt portugues=pt nederlands=nl "
    "polski=pl türkçe=tr svenska=sv"
)
_LANGUAGE_BY_COUNTRY = _pairs("gr=el cz=cs jp=ja kr=ko dk=da se=sv ua=uk cn=zh br=pt gb=en us=en at=de ch=de")
_COUNTRY_BY_LANGUAGE = _pairs("UK=GB EN=GB SP=ES JA=JP KO=KR DA=DK SV=SE CS=CZ")


def is_known(code: str) -> bool:
    """Return whether this is the code of a language that Google lists, with any region."""
    found = _CODE.fullmatch(code)
    return found is not None and found[1] in LANGUAGES and (found[3] is None or found[3] in REGIONS)


def meant(code: str) -> str | None:
    """Return the known code that was probably meant; None if nothing is close."""
    by_name = _OWN_NAMES | {name.lower(): found for found, name in LANGUAGES.items()}
    if found := get_close_matches(code.strip().lower(), by_name, n=1, cutoff=0.8):
        return by_name[found[0]]
    language, *others = re.split(r"[-_]", code.strip())
    language = language.lower()
    language = language if language in LANGUAGES else _LANGUAGE_BY_COUNTRY.get(language, language)
    region = next((each.upper() for each in others if len(each) in (2, 3)), None)
    region = region if region is None or region in REGIONS else _COUNTRY_BY_LANGUAGE.get(region)
    better = language if region is None else f"{language}-{region}"
    return better if is_known(better) and better != code else None
