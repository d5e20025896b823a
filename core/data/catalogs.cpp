#include "core/data/catalogs.h"

#include <algorithm>
#include <cctype>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string_view>
#include <unordered_map>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/json.h"
#include "core/base/stopped.h"
#include "core/data/unicode.h"

namespace permille {
namespace fs = std::filesystem;

namespace {

std::vector<fs::path> files_below(const fs::path& folder, const std::vector<std::string>& extensions) {
    std::error_code failure;
    std::vector<fs::path> files;
    for (const fs::path& path : entries_below(folder, failure)) {
        std::error_code gone;
        if (fs::is_regular_file(path, gone) &&
            std::find(extensions.begin(), extensions.end(), path.extension().string()) != extensions.end())
            files.push_back(path);
    }
    if (failure) throw Error(ErrorKind::file, folder.string(), "cannot read the folder: " + failure.message(), "check the path");
    return files;
}

std::string charset_of(std::string_view header) {
    const auto at = header.find("charset=");
    if (at == std::string_view::npos) return "UTF-8";
    std::string name;
    for (const char c : header.substr(at + 8)) {
        if (std::isspace(static_cast<unsigned char>(c)) || c == '\\' || c == '"' || c == ';') break;
        name += c;
    }
    return name.empty() || name == "CHARSET" ? "UTF-8" : name;
}

bool is_utf8(const std::string& charset) {
    std::string upper;
    for (const char c : charset) upper += static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    return upper == "UTF-8" || upper == "UTF8" || upper == "ASCII" || upper == "US-ASCII";
}

// Contexts written into the message itself: Wesnoth's "race name^Elf", Gramps' and older GNOME's "Menu|File".
void drop_inline_context(Message& message) {
    for (const char mark : {'^', '|'}) {
        const auto at = message.english.rfind(mark);
        if (at == std::string::npos || at + 1 == message.english.size()) continue;
        if (message.translation.find(mark) == std::string::npos) message.english.erase(0, at + 1);
    }
}

// One entry of a catalog; `id` is msgctxt, \4 and msgid.
void add_message(std::vector<Message>& messages, std::string id, std::string translation) {
    if (translation.empty()) return;
    Message message;
    const auto context = id.find('\4');
    message.english = context == std::string::npos ? id : id.substr(context + 1);
    if (message.english.empty()) return;
    message.key = std::move(id);
    message.translation = std::move(translation);
    drop_inline_context(message);
    messages.push_back(std::move(message));
}

bool looks_like_locale(std::string_view text) {
    const auto letters = [](std::string_view part) {
        return std::all_of(part.begin(), part.end(), [](unsigned char c) { return std::isalpha(c) && c < 0x80; });
    };
    text = text.substr(0, text.find('@'));
    text = text.substr(0, text.find('.'));
    const auto cut = text.find_first_of("_-");
    const std::string_view base = text.substr(0, cut);
    if (base.size() < 2 || base.size() > 3 || !letters(base)) return false;
    if (!std::all_of(base.begin(), base.end(), [](unsigned char c) { return std::islower(c); })) return false;
    if (cut == std::string_view::npos) return true;
    const std::string_view rest = text.substr(cut + 1);
    return (rest.size() == 2 || rest.size() == 4) && letters(rest);
}

std::optional<Language> language_of(const std::string& locale) {
    try {
        return Language(locale);
    } catch (const Error&) {
        return std::nullopt;  // folders named like a locale that are none
    }
}

}  // namespace

std::vector<Message> read_mo(const fs::path& file) {
    const std::string bytes = read_text(file);
    const auto damaged = [&file](const std::string& what) {
        return Error(ErrorKind::file, file.string(), "is not a whole MO catalog: " + what, "fetch or build it again");
    };
    if (bytes.size() < 28) throw damaged("only " + std::to_string(bytes.size()) + " bytes");
    bool swap = false;
    const auto word = [&](std::size_t at) {
        if (at + 4 > bytes.size()) throw damaged("a table lies beyond the end of the file");
        std::uint32_t value = 0;
        std::memcpy(&value, bytes.data() + at, 4);
        return swap ? __builtin_bswap32(value) : value;
    };
    constexpr std::uint32_t kMagic = 0x950412de;
    swap = word(0) != kMagic;
    if (word(0) != kMagic) throw damaged("wrong magic number");
    const std::size_t count = word(8), ids = word(12), translations = word(16);
    if (count > bytes.size() / 16) throw damaged("it claims " + std::to_string(count) + " messages");
    const auto text = [&](std::size_t table, std::size_t i) {
        const std::size_t length = word(table + 8 * i), at = word(table + 8 * i + 4);
        if (at > bytes.size() || length > bytes.size() - at)
            throw damaged("message " + std::to_string(i) + " lies beyond the end of the file");
        // Plural forms follow each other with NUL between them: the first is the singular.
        return bytes.substr(at, std::min(length, std::strlen(bytes.c_str() + at)));
    };
    std::string charset = "UTF-8";
    std::vector<Message> messages;
    for (std::size_t i = 0; i < count; ++i) {
        std::string id = text(ids, i), translation = text(translations, i);
        if (id.empty()) {
            charset = charset_of(translation);
            continue;
        }
        if (!is_utf8(charset)) {
            translation = from_encoding(translation, charset, file.string());
            if (invalid_utf8_at(id) != std::string::npos) id = from_encoding(id, charset, file.string());
        }
        add_message(messages, std::move(id), std::move(translation));
    }
    return messages;
}

std::vector<CatalogFile> find_catalogs(const fs::path& folder) {
    std::vector<CatalogFile> catalogs;
    for (const auto& path : files_below(folder, {".mo", ".po"})) {
        const fs::path relative = path.lexically_relative(folder);
        CatalogFile catalog{path, {}, path.stem().string()};
        // The folder says it first, from the inside out: .../it/LC_MESSAGES/gimp20.mo.
        for (fs::path parent = relative.parent_path(); !parent.empty() && catalog.locale.empty(); parent = parent.parent_path()) {
            const std::string name = parent.filename().string();
            if (looks_like_locale(name) && language_of(name)) catalog.locale = name;
        }
        if (catalog.locale.empty()) {
            const std::string stem = catalog.domain;
            const auto cut = stem.find_last_of("-.");
            for (const std::string& name : {stem, cut == std::string::npos ? std::string() : stem.substr(cut + 1)}) {
                if (!looks_like_locale(name) || !language_of(name)) continue;
                catalog.locale = name;
                catalog.domain = name == stem ? relative.parent_path().filename().string() : stem.substr(0, cut);
                break;
            }
        }
        if (!catalog.locale.empty()) catalogs.push_back(std::move(catalog));
    }
    return catalogs;
}

std::vector<Message> read_catalog_tree(const fs::path& folder, const Language& language, const std::stop_token& stop) {
    std::vector<Message> all;
    for (const auto& catalog : find_catalogs(folder)) {
        throw_if_stopped(stop);
        if (language_of(catalog.locale) != language) continue;
        auto messages = catalog.path.extension() == ".mo" ? read_mo(catalog.path) : read_po(catalog.path);
        for (auto& message : messages) {
            message.key = catalog.domain + '\1' + message.key;
            all.push_back(std::move(message));
        }
    }
    return all;
}

std::vector<Message> read_mediawiki_tree(const fs::path& folder, const Language& language, const std::stop_token& stop) {
    // "zh_CN" is zh-hans there; everything else is the code in lower case with '-'.
    std::vector<std::string> names{language.code() == "zh_CN" ? "zh-hans" : language.code()};
    for (char& c : names[0]) c = c == '_' ? '-' : static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    std::vector<Message> all;
    for (const auto& path : files_below(folder, {".json"})) {
        throw_if_stopped(stop);
        if (path.stem() != "en") continue;
        const fs::path translated = path.parent_path() / (names[0] + ".json");
        if (!fs::exists(translated)) continue;
        const Json english = read_json(path), other = read_json(translated);
        const std::string module = path.lexically_relative(folder).parent_path().string();
        for (const auto& [name, text] : english.items()) {
            if (name.starts_with('@') || !text.is_string() || !other.contains(name) || !other[name].is_string()) continue;
            all.push_back({module + '\1' + name, text.get<std::string>(), other[name].get<std::string>()});
        }
    }
    return all;
}

std::vector<Row> pair_messages(const std::vector<Message>& source, const std::vector<Message>& target, const Language& source_language,
                               const Language& target_language, const std::string& origin) {
    std::vector<Row> rows;
    if (target_language.is_english() || source_language.is_english()) {
        const bool into = target_language.is_english();
        for (const Message& message : into ? source : target) {
            rows.push_back({into ? message.translation : message.english, into ? message.english : message.translation, origin});
        }
        return rows;
    }
    std::unordered_map<std::string_view, const Message*> by_key;
    for (const Message& message : target) by_key.emplace(message.key, &message);
    for (const Message& message : source) {
        const auto found = by_key.find(message.key);
        if (found == by_key.end()) continue;
        rows.push_back({message.translation, found->second->translation, origin, message.english});
    }
    return rows;
}

}  // namespace permille
