#include "core/data/catalogs.h"

#include "core/base/files.h"
#include "core/base/json.h"
#include "tests/support/test.h"

namespace permille {
namespace {

std::map<std::string, std::string> by_key(const std::vector<Message>& messages) {
    std::map<std::string, std::string> result;
    for (const auto& message : messages) result[message.key] = message.translation;
    return result;
}

std::map<std::string, std::string> expected(const std::string& name) {
    return read_json(test::golden("catalogs/" + name)).get<std::map<std::string, std::string>>();
}

const std::string kHeader = "msgid \"\"\nmsgstr \"Content-Type: text/plain; charset=UTF-8\\n\"\n\n";

}  // namespace

TEST_CASE("PO and MO give what gettext reads", "[data]") {
    for (const std::string name : {"it", "pl"}) {
        INFO(name);
        CHECK(by_key(read_po(test::golden("catalogs/" + name + ".po"))) == expected(name + ".json"));
        CHECK(by_key(read_mo(test::golden("catalogs/" + name + ".mo"))) == expected(name + ".json"));
    }
    for (const auto& message : read_po(test::golden("catalogs/it.po"))) {
        CHECK(message.english.find('\4') == std::string::npos);
        CHECK(message.translation != "Chiudi la finestra");  // fuzzy
        CHECK(message.translation != "Vecchio");             // obsolete
    }
}

TEST_CASE("a damaged MO catalog is an error, whatever is wrong with it", "[data]") {
    const test::TemporaryFolder folder;
    const std::string whole = read_text(test::golden("catalogs/it.mo"));
    const auto file = folder / "it.mo";
    for (const std::size_t size : {std::size_t{0}, std::size_t{10}, std::size_t{30}, whole.size() / 2, whole.size() - 3}) {
        INFO("cut to " << size << " bytes");
        write_text(file, whole.substr(0, size));
        test::require_error([&file] { read_mo(file); }, ErrorKind::file, {"it.mo", "MO catalog"});
    }
    // Each byte of the tables spoilt in turn: an error or other messages, never a crash.
    for (std::size_t i = 0; i < 120; ++i) {
        std::string spoilt = whole;
        spoilt[i] = static_cast<char>(spoilt[i] ^ 0x7F);
        write_text(file, spoilt);
        try {
            read_mo(file);
        } catch (const Error& error) {
            CHECK(error.kind() == ErrorKind::file);
        }
    }
}

TEST_CASE("mistakes in PO files are reported with their line", "[data]") {
    const test::TemporaryFolder folder;
    const auto file = folder / "it.po";
    const auto fails = [&file](const std::string& text, const std::string& line, const std::string& word) {
        INFO(text);
        write_text(file, kHeader + text);
        test::require_error([&file] { read_po(file); }, ErrorKind::file, {"it.po:" + line, word});
    };
    fails("msgid \"a\nmsgstr \"b\"\n", "4", "closing quote");
    fails("msgstr \"b\"\n", "4", "without a msgid");
    fails("hello\n", "4", "hello");
    fails("msgid \"a\"\nmsgstr\n", "5", "without a string");
    fails("msgid \"a\"b\"\nmsgstr \"c\"\n", "4", "quote");
    fails("msgid \"a\\\"\nmsgstr \"c\"\n", "4", "closing quote");
    fails("msgid \"a\"\nmsgstr \"b\xFF\"\n", "5", "UTF-8");
    write_text(file, "msgid \"\"\nmsgstr \"Content-Type: text/plain; charset=NONSENSE-1\\n\"\n");
    test::require_error([&file] { read_po(file); }, ErrorKind::file, {"it.po", "NONSENSE-1"});
    write_text(file, "");
    CHECK(read_po(file).empty());
}

TEST_CASE("the language of a catalog is read off its path", "[data]") {
    const test::TemporaryFolder folder;
    for (const std::string name : {"usr/share/locale/it/LC_MESSAGES/app.mo", "usr/share/locale/de_DE/LC_MESSAGES/app.mo", "po/fr.po",
                                   "po/app-tr.po", "po/sr@latin.po", "doc/readme.po", "po/es/tool.po"}) {
        write_text(folder / name, "");
    }
    std::map<std::string, std::string> found;
    for (const auto& catalog : find_catalogs(folder.path()))
        found[catalog.path.lexically_relative(folder.path()).string()] = catalog.locale + " " + catalog.domain;
    CHECK(found == std::map<std::string, std::string>{{"usr/share/locale/it/LC_MESSAGES/app.mo", "it app"},
                                                      {"usr/share/locale/de_DE/LC_MESSAGES/app.mo", "de_DE app"},
                                                      {"po/fr.po", "fr po"},
                                                      {"po/app-tr.po", "tr app"},
                                                      {"po/sr@latin.po", "sr@latin po"},
                                                      {"po/es/tool.po", "es tool"}});
    test::require_error([] { find_catalogs("/nowhere/at/all"); }, ErrorKind::file, {"/nowhere/at/all"});
}

TEST_CASE("two languages meet in the same English message", "[data]") {
    const test::TemporaryFolder folder;
    write_text(folder / "it.po", kHeader + "msgctxt \"a\"\nmsgid \"Open\"\nmsgstr \"Apri\"\n\nmsgid \"Close\"\nmsgstr \"Chiudi\"\n");
    write_text(folder / "es.po",
               kHeader + "msgctxt \"a\"\nmsgid \"Open\"\nmsgstr \"Abrir\"\n\nmsgctxt \"b\"\nmsgid \"Close\"\nmsgstr \"Cerrar\"\n");
    const auto italian = read_catalog_tree(folder.path(), Language("it")), spanish = read_catalog_tree(folder.path(), Language("es"));
    CHECK(pair_messages(italian, spanish, Language("it"), Language("es"), "app") == std::vector<Row>{{"Apri", "Abrir", "app", "Open"}});
    CHECK(pair_messages(italian, {}, Language("it"), Language("en"), "app").size() == 2);
    CHECK(pair_messages({}, italian, Language("en"), Language("it"), "app").at(0) == Row{"Open", "Apri", "app"});
    CHECK(read_catalog_tree(folder.path(), Language("de")).empty());
}

TEST_CASE("contexts written into the message are taken off", "[data]") {
    const test::TemporaryFolder folder;
    write_text(folder / "it.po", kHeader + "msgid \"Open\"\nmsgstr \"Apri\"\n");
    // Only compiled catalogs of two programs have them: made here by hand, one message.
    const std::string id = "race name^Elf", text = "Elfo";
    const auto word = [](std::uint32_t value) { return std::string(reinterpret_cast<const char*>(&value), 4); };
    const std::uint32_t strings = 28 + 16;
    std::string mo = word(0x950412de) + word(0) + word(1) + word(28) + word(36) + word(0) + word(0) +
                     word(static_cast<std::uint32_t>(id.size())) + word(strings) + word(static_cast<std::uint32_t>(text.size())) +
                     word(strings + static_cast<std::uint32_t>(id.size()) + 1) + id + '\0' + text + '\0';
    write_text(folder / "it.mo", mo);
    const auto messages = read_mo(folder / "it.mo");
    REQUIRE(messages.size() == 1);
    CHECK(messages[0].english == "Elf");
    CHECK(messages[0].translation == "Elfo");
}

TEST_CASE("MediaWiki's message files are read by key", "[data]") {
    const test::TemporaryFolder folder;
    write_text(folder / "i18n/en.json", R"({"@metadata": {"authors": []}, "a": "Open the page", "b": "Only English"})");
    write_text(folder / "i18n/zh-hans.json", R"({"@metadata": {}, "a": "打开页面", "c": "x"})");
    const auto messages = read_mediawiki_tree(folder.path(), Language("zh_CN"));
    REQUIRE(messages.size() == 1);
    CHECK(messages[0].english == "Open the page");
    CHECK(messages[0].translation == "打开页面");
    write_text(folder / "i18n/it.json", "{\"a\": ");
    test::require_error([&folder] { read_mediawiki_tree(folder.path(), Language("it")); }, ErrorKind::file, {"it.json", "line 1"});
}

}  // namespace permille
