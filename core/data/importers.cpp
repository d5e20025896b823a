#include "core/data/importers.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <tuple>
#include <utility>

#include "core/base/error.h"
#include "core/base/json.h"
#include "core/data/catalogs.h"
#include "core/data/unicode.h"

namespace permille {
namespace fs = std::filesystem;

namespace {

// Lines of a UTF-8 file, whatever its line ends; a byte order mark is passed over.
class Lines {
public:
    explicit Lines(const fs::path& file) : path_(file) {
        if (fs::is_directory(file)) throw Error(ErrorKind::file, file.string(), "is a folder, expected a file");
        errno = 0;
        in_.open(file, std::ios::binary);
        if (!in_) throw Error(ErrorKind::file, file.string(), std::string("cannot read: ") + std::strerror(errno), "check the path");
    }

    bool next(std::string& line) {
        if (!std::getline(in_, line)) {
            if (in_.bad()) throw Error(ErrorKind::file, path_.string(), "cannot read the file to its end", "check the disk");
            return false;
        }
        ++number_;
        if (number_ == 1) {
            if (line.starts_with("\xEF\xBB\xBF")) line.erase(0, 3);
            if (line.starts_with("\xFF\xFE") || line.starts_with("\xFE\xFF"))
                fail("the file is UTF-16, expected UTF-8", "convert it, for example with iconv");
            if (line.starts_with("\x1F\x8B")) fail("the file is compressed", "unpack it first, for example with gunzip");
        }
        if (line.ends_with('\r')) line.pop_back();
        if (const auto at = invalid_utf8_at(line); at != std::string::npos) {
            fail("byte " + std::to_string(at + 1) + " of the line is not valid UTF-8", "convert the file to UTF-8, for example with iconv");
        }
        return true;
    }

    std::int64_t number() const { return number_; }
    std::string place() const { return path_.string() + ":" + std::to_string(number_); }
    [[noreturn]] void fail(const std::string& what, const std::string& fix) const { throw Error(ErrorKind::file, place(), what, fix); }

private:
    fs::path path_;
    std::ifstream in_;
    std::int64_t number_ = 0;
};

std::string origin_of(const fs::path& file) { return single_spaced(file.filename().string()); }

// The text under a language in {"de": …, "en-GB": …}; null when there is none.
const Json* translation_in(const Json& texts, const Language& language) {
    for (const auto& [code, text] : texts.items()) {
        try {
            if (code == language.code() || Language(code) == language) return &text;
        } catch (const Error&) {
            continue;  // another key of the object, no language
        }
    }
    return nullptr;
}

}  // namespace

void read_moses(const fs::path& source, const fs::path& target, const RowSink& sink) {
    Lines source_lines(source), target_lines(target);
    const std::string origin = origin_of(source);
    std::string source_line, target_line;
    for (;;) {
        const bool has_source = source_lines.next(source_line), has_target = target_lines.next(target_line);
        if (has_source != has_target) {
            Lines& longer = has_source ? source_lines : target_lines;
            while (longer.next(source_line)) {
            }
            throw Error(ErrorKind::file, source.string(),
                        "has " + std::to_string(source_lines.number()) + " lines, but " + target.string() + " has " +
                            std::to_string(target_lines.number()),
                        "line N of one file must translate line N of the other");
        }
        if (!has_source) return;
        sink({source_line, target_line, origin});
    }
}

void read_tsv(const fs::path& file, const RowSink& sink) {
    Lines lines(file);
    const std::string origin = origin_of(file);
    for (std::string line; lines.next(line);) {
        if (line.empty()) continue;
        const std::size_t first = line.find('\t');
        if (first == std::string::npos)
            lines.fail("no tab in the line, expected source TAB target", "check that the columns are separated by tabs");
        const std::size_t second = std::min(line.find('\t', first + 1), line.size());
        const std::size_t third = std::min(line.find('\t', std::min(second + 1, line.size())), line.size());
        const std::string own_origin = second < line.size() ? line.substr(second + 1, third - second - 1) : std::string();
        sink({line.substr(0, first), line.substr(first + 1, second - first - 1), own_origin.empty() ? origin : own_origin});
    }
}

void read_jsonl(const fs::path& file, const Language& source, const Language& target, const RowSink& sink) {
    Lines lines(file);
    const std::string origin = origin_of(file);
    for (std::string line; lines.next(line);) {
        if (line.find_first_not_of(" \t") == std::string::npos) continue;
        const Json json = Json::parse(line, nullptr, false);
        if (!json.is_object())
            lines.fail("expected one JSON object in each line", "check the file; JSONL has no commas or brackets around the objects");
        const Json *source_text = nullptr, *target_text = nullptr;
        if (json.contains("translation") && json["translation"].is_object()) {
            source_text = translation_in(json["translation"], source);
            target_text = translation_in(json["translation"], target);
        } else {
            if (json.contains("source")) source_text = &json["source"];
            if (json.contains("target")) target_text = &json["target"];
        }
        for (const auto& [text, name, code] :
             {std::tuple(source_text, "source", source.code()), std::tuple(target_text, "target", target.code())}) {
            if (!text || !text->is_string()) {
                lines.fail(std::string("no text for the ") + name + ", expected '" + name + "' or 'translation' with '" + code + "'",
                           "check the languages and the names of the fields");
            }
        }
        sink({source_text->get<std::string>(), target_text->get<std::string>(), origin});
    }
}

void read_catalogs(const fs::path& path, const Language& source, const Language& target, const RowSink& sink) {
    const auto read = [&path](const Language& language) {
        if (language.is_english()) return std::vector<Message>();
        if (fs::is_directory(path)) return read_catalog_tree(path, language);
        return path.extension() == ".mo" ? read_mo(path) : read_po(path);
    };
    if (!fs::is_directory(path) && !source.is_english() && !target.is_english()) {
        throw Error(ErrorKind::usage, path.string(), "one catalog has the messages of one language with English only",
                    "give the folder with the catalogs of both languages, or choose English as one side");
    }
    for (Row& row : pair_messages(read(source), read(target), source, target, origin_of(path))) sink(std::move(row));
}

const std::vector<TextFormat>& text_formats() {
    using Paths = std::vector<fs::path>;
    static const std::vector<TextFormat> table = {
        {"moses",
         {},
         "two files, line by line",
         2,
         false,
         [](const Paths& paths, const Language&, const Language&, const RowSink& sink) { read_moses(paths[0], paths[1], sink); }},
        {"tsv",
         {".tsv", ".tab"},
         "source TAB target, and perhaps TAB origin",
         1,
         false,
         [](const Paths& paths, const Language&, const Language&, const RowSink& sink) { read_tsv(paths[0], sink); }},
        {"jsonl",
         {".jsonl", ".ndjson", ".json"},
         R"({"source": …, "target": …} or {"translation": {"de": …, "en": …}} in each line)",
         1,
         false,
         [](const Paths& paths, const Language& source, const Language& target, const RowSink& sink) {
             read_jsonl(paths[0], source, target, sink);
         }},
        {"tmx",
         {".tmx"},
         "Translation Memory eXchange, any version and encoding",
         1,
         false,
         [](const Paths& paths, const Language& source, const Language& target, const RowSink& sink) {
             read_tmx(paths[0], source, target, sink);
         }},
        {"catalogs",
         {".po", ".mo"},
         "a PO or MO file, or a folder of them: English messages with translations",
         1,
         true,
         [](const Paths& paths, const Language& source, const Language& target, const RowSink& sink) {
             read_catalogs(paths[0], source, target, sink);
         }},
    };
    return table;
}

std::vector<std::string> text_format_ids() {
    std::vector<std::string> ids;
    for (const auto& format : text_formats()) ids.push_back(format.id);
    return ids;
}

const TextFormat& text_format(const std::string& id, const std::string& where) {
    for (const auto& format : text_formats())
        if (format.id == id) return format;
    throw Error(ErrorKind::config, where, "unknown format '" + id + "'", "known are " + list_some(text_format_ids()));
}

const TextFormat& guess_format(const std::vector<fs::path>& files) {
    if (files.empty()) throw Error(ErrorKind::usage, "files", "no file was given", "give one file, or two for line-aligned text");
    const std::string ending = files[0].extension().string();
    const bool folder = fs::is_directory(files[0]);
    for (const auto& format : text_formats()) {
        const bool named = std::find(format.suffixes.begin(), format.suffixes.end(), ending) != format.suffixes.end();
        if (folder ? format.folders : named) return format;
    }
    for (const auto& format : text_formats())
        if (format.suffixes.empty() && format.files > 1 && files.size() % format.files == 0) return format;
    throw Error(ErrorKind::usage, files[0].string(), "its name does not tell its format", "say --format " + list_some(text_format_ids()));
}

const TextFormat& format_of(const TextInput& text) {
    return text.format.empty() ? guess_format(text.files) : text_format(text.format, "format");
}

void read_rows(const TextInput& text, const RowSink& sink) {
    const Language source(text.source_language, "source language"), target(text.target_language, "target language");
    if (source == target) {
        throw Error(ErrorKind::config, "languages", "source and target are both " + source.code(), "give two different languages");
    }
    if (text.files.empty()) throw Error(ErrorKind::usage, "files", "no file was given", "give one file, or two for line-aligned text");
    const TextFormat& format = format_of(text);
    if (text.files.size() % format.files != 0) {
        throw Error(ErrorKind::usage, text.files.back().string(), "line-aligned text comes in two files, one is missing",
                    "give the source file and then the target file");
    }
    std::int64_t rows = 0;
    const RowSink counted = [&](Row row) {
        ++rows;
        sink(std::move(row));
    };
    for (std::size_t i = 0; i < text.files.size(); i += format.files) {
        const std::int64_t before = rows;
        const fs::path& file = text.files[i];
        const auto first = text.files.begin() + static_cast<std::ptrdiff_t>(i);
        format.read({first, first + static_cast<std::ptrdiff_t>(format.files)}, source, target, counted);
        if (rows == before) {
            throw Error(ErrorKind::file, file.string(), "has no text for " + source.code() + " and " + target.code(),
                        "check that this is the right file, format and language pair");
        }
    }
}

}  // namespace permille
