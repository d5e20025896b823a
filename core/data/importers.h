// Readers of parallel text in the formats in which people have it. Each hands over raw rows, uncleaned, in the order of the file.
// All throw Error(file) with the path and line: not UTF-8, misaligned, a field missing, damaged, empty.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "core/data/clean.h"
#include "core/data/language.h"

namespace permille {

// moses: two files, line by line. tsv: source TAB target [TAB origin]. jsonl: {"source": …, "target": …} or {"translation": {"de": …, "en":
// …}}. tmx: any version and encoding. catalogs: a PO or MO file, or a folder of them, English messages with translations.
enum class TextFormat { moses, tsv, jsonl, tmx, catalogs };
const char* to_string(TextFormat format);
// Throws Error(config) with the known names.
TextFormat text_format(const std::string& name, const std::string& where);
// By file names: two files are moses, a folder is catalogs, else the ending decides. Throws Error(usage) when it cannot be told.
TextFormat guess_format(const std::vector<std::filesystem::path>& files);

struct TextInput {
    TextFormat format = TextFormat::tsv;
    std::vector<std::filesystem::path> files;  // moses: source and target file, pair after pair
    std::string source_language, target_language;
};

using RowSink = std::function<void(Row)>;

// Rows of all files. Throws also when there is not a single row.
void read_rows(const TextInput& text, const RowSink& sink);

void read_moses(const std::filesystem::path& source, const std::filesystem::path& target, const RowSink& sink);
void read_tsv(const std::filesystem::path& file, const RowSink& sink);
void read_jsonl(const std::filesystem::path& file, const Language& source, const Language& target, const RowSink& sink);
void read_tmx(const std::filesystem::path& file, const Language& source, const Language& target, const RowSink& sink);
void read_catalogs(const std::filesystem::path& file_or_folder, const Language& source, const Language& target, const RowSink& sink);

}  // namespace permille
