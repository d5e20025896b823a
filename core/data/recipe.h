// A recipe: which Debian packages become which corpora. A YAML file in resources/recipes:
//
//     recipe: software-texts
//     about: one line
//     clean: {min_words: 3}                  # fields of CleanSettings
//     split: {test_sentences: 1000}          # fields of SplitSettings
//     corpus: "{pair}-games"                 # what the corpora are called; "{pair}" unless given
//     rows: 400                              # at most, a fair sample; 0 or nothing: all
//     packages:                              # in this order: of equal sentences the first is kept
//       - {package: gimp-data, licence: GPL-3+}
//       - {package: "libreoffice-help-{language}", origin: libreoffice-help, reader: libreoffice, english: libreoffice-help-en-us, licence:
//       MPL-2.0}
//     pairs: [de-en, it-es]                  # with English, or two languages that meet in the same English message
//
// Readers: catalogs (*.mo, *.po; the default), libreoffice and gnome (help pages), mediawiki (messages in JSON).
#pragma once

#include <filesystem>
#include <stop_token>
#include <string>
#include <vector>

#include "core/data/catalogs.h"
#include "core/data/corpus.h"

namespace permille {

enum class PackageReader { catalogs, libreoffice, gnome, mediawiki };

struct RecipePackage {
    std::string package;  // may hold {language}: one package for each language ("zh-cn", "pt-br")
    std::string origin;   // third column of the corpus; the package's name unless given
    PackageReader reader = PackageReader::catalogs;
    std::string english;  // libreoffice: the package with the English pages
    std::string licence;

    std::string name_for(const Language& language) const;
};

struct Recipe {
    std::string name, about;
    std::string corpus = "{pair}";
    std::int64_t rows = 0;
    CleanSettings clean;
    SplitSettings split;
    std::vector<RecipePackage> packages;
    std::vector<std::string> pairs;

    std::string corpus_name(const std::string& pair) const;
    // Of all packages that these pairs need, in the order of the recipe.
    std::vector<std::string> package_names(const std::vector<std::string>& pairs) const;
};

// Throws Error(config) with "FILE:LINE:COLUMN" of the mistake.
Recipe read_recipe(const std::filesystem::path& file);
// A file's path, or the name of one in resources/recipes.
Recipe find_recipe(const std::string& name_or_file);

// The messages of one package in one language, from DIR/PACKAGE as packaging/fetch-texts lays it; empty when it has none. Throws
// Stopped when asked to stop.
std::vector<Message> read_package(const RecipePackage& package, const std::filesystem::path& cache, const Language& language,
                                  const std::stop_token& stop = {});

}  // namespace permille
