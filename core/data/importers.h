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

using RowSink = std::function<void(Row)>;

// One line of the table of formats: a format is its reader and one line in importers.cpp.
struct TextFormat {
    std::string id;                     // "tsv": as --format and the import dialog call it
    std::vector<std::string> suffixes;  // ".tsv": of the files that are taken for it; empty: it is told from their number
    std::string help;                   // what such text looks like, for people
    std::size_t files = 1;              // that make up one text: 2 where the sides come apart
    bool folders = false;               // a folder is taken for it
    // Reads one text of this format: as many paths as `files` says.
    std::function<void(const std::vector<std::filesystem::path>& paths, const Language& source, const Language& target, const RowSink&)>
        read;
};

// In the order in which people are offered them.
const std::vector<TextFormat>& text_formats();
std::vector<std::string> text_format_ids();
// Throws Error(config) with the known names.
const TextFormat& text_format(const std::string& id, const std::string& where);
// By file names: a folder, else the ending, else the number of files. Throws Error(usage) when it cannot be told.
const TextFormat& guess_format(const std::vector<std::filesystem::path>& files);

struct TextInput {
    std::string format;                        // an id of the table; "": by the file names
    std::vector<std::filesystem::path> files;  // where a text comes in two files: source and target file, pair after pair
    std::string source_language, target_language;
};

// Of the text, named or guessed. Throws as these do.
const TextFormat& format_of(const TextInput& text);

// Rows of all files. Throws also when there is not a single row.
void read_rows(const TextInput& text, const RowSink& sink);

void read_moses(const std::filesystem::path& source, const std::filesystem::path& target, const RowSink& sink);
void read_tsv(const std::filesystem::path& file, const RowSink& sink);
void read_jsonl(const std::filesystem::path& file, const Language& source, const Language& target, const RowSink& sink);
void read_tmx(const std::filesystem::path& file, const Language& source, const Language& target, const RowSink& sink);
void read_catalogs(const std::filesystem::path& file_or_folder, const Language& source, const Language& target, const RowSink& sink);

}  // namespace permille
