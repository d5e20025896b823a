"""Gettext catalogs with all that occurs in them: contexts, plurals, fuzzy and obsolete entries, escapes, other encodings.

Needs gettext's msgfmt (made with 0.21); what is expected is what Python's own gettext module reads out of the compiled catalog.
"""
import gettext
import json
import pathlib
import subprocess

folder = pathlib.Path(__file__).parent.parent / "catalogs"
folder.mkdir(exist_ok=True)

HEADER = '''# A translation for tests.
msgid ""
msgstr ""
"Language: {language}\\n"
"MIME-Version: 1.0\\n"
"Content-Type: text/plain; charset={charset}\\n"
"Content-Transfer-Encoding: 8bit\\n"
"Plural-Forms: nplurals=2; plural=(n != 1);\\n"
'''

ITALIAN = HEADER.format(language="it", charset="UTF-8") + '''
#: src/main.c:12
msgid "Open the file"
msgstr "Apri il file"

#. A comment for translators
msgctxt "menu"
msgid "Open"
msgstr "Apri"

msgctxt "door"
msgid "Open"
msgstr "Aperta"

#, c-format
msgid "%d file was copied.\\n"
msgid_plural "%d files were copied.\\n"
msgstr[0] "%d file è stato copiato.\\n"
msgstr[1] "%d file sono stati copiati.\\n"

#, fuzzy
#| msgid "Close the window"
msgid "Close the door"
msgstr "Chiudi la finestra"

msgid "Not translated"
msgstr ""

msgid ""
"A text over "
"several \\"lines\\"\\t"
"with a \\\\ backslash"
msgstr ""
"Un testo su "
"più \\"righe\\"\\t"
"con una \\\\ barra"

#~ msgid "Old"
#~ msgstr "Vecchio"
'''

POLISH = HEADER.format(language="pl", charset="ISO-8859-2") + '''
msgid "Close the window"
msgstr "Zamknij okno, proszę żółć"
'''


def expected(mo):
    """{msgctxt\\4msgid: singular}"""
    with open(mo, "rb") as file:
        catalog = gettext.GNUTranslations(file)._catalog
    result = {}
    for key, text in catalog.items():
        if key == "":
            continue
        if isinstance(key, tuple):
            if key[1] != 0:
                continue
            key = key[0]
        result[key] = text
    return result


for name, text, encoding in [("it", ITALIAN, "utf-8"), ("pl", POLISH, "iso-8859-2")]:
    po, mo = folder / f"{name}.po", folder / f"{name}.mo"
    po.write_bytes(text.encode(encoding))
    subprocess.run(["msgfmt", "-o", mo, po], check=True)
    (folder / f"{name}.json").write_text(json.dumps(expected(mo), ensure_ascii=False, indent=1, sort_keys=True) + "\n")
