// Translations as free software ships them: gettext catalogs (PO and MO), MediaWiki's message files, help pages of LibreOffice and GNOME.
// Each reader gives messages with the English text and its translation; those of two languages meet through their keys.
// All functions throw Error(file) with the path, and the line where there are lines.
#pragma once

#include <filesystem>
#include <stop_token>
#include <string>
#include <vector>

#include "core/data/clean.h"
#include "core/data/language.h"

namespace permille {

struct Message {
    std::string key;  // the same for the same message in every language of one tree
    std::string english, translation;
};

// Left out are: fuzzy and obsolete entries, untranslated ones, the header. Of a plural the singular is taken. Contexts are part of the key.
std::vector<Message> read_po(const std::filesystem::path& file);
std::vector<Message> read_mo(const std::filesystem::path& file);

struct CatalogFile {
    std::filesystem::path path;
    std::string locale;  // "it_IT", from .../it_IT/LC_MESSAGES/x.mo, .../it/x.po, .../it.po or ...-it.po
    std::string domain;  // what the file is called without its language: "gimp20"
};
// Every *.po and *.mo below the folder whose name or path tells the language, sorted by path.
std::vector<CatalogFile> find_catalogs(const std::filesystem::path& folder);

// All messages of one language in a tree; empty when the tree has none in this language. These readers of many files throw Stopped when
// asked to stop.
std::vector<Message> read_catalog_tree(const std::filesystem::path& folder, const Language& language, const std::stop_token& stop = {});
std::vector<Message> read_mediawiki_tree(const std::filesystem::path& folder, const Language& language, const std::stop_token& stop = {});

// Pages of two folders with the same structure: paragraphs meet by their place when both pages have the same sequence of blocks, else by
// their ids. `extension` is ".html" (LibreOffice, with par_id and hd_id) or ".page" (GNOME's Mallard).
std::vector<Message> read_help_pages(const std::filesystem::path& english, const std::filesystem::path& translated,
                                     const std::string& extension, const std::stop_token& stop = {});

// Rows of a pair out of the messages of its two languages; one of them is left empty for English.
std::vector<Row> pair_messages(const std::vector<Message>& source, const std::vector<Message>& target, const Language& source_language,
                               const Language& target_language, const std::string& origin);

}  // namespace permille
