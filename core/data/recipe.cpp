#include "core/data/recipe.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <map>

#include "core/base/error.h"
#include "core/base/files.h"

namespace permille {
namespace fs = std::filesystem;

namespace {

constexpr const char* kPairMark = "{pair}";

class RecipeReader {
public:
    explicit RecipeReader(const fs::path& file) : file_(file.string()) {
        try {
            root_ = YAML::Load(read_text(file));
        } catch (const YAML::ParserException& error) {
            throw Error(ErrorKind::config, place(error.mark), "not YAML: " + error.msg, "mend the file");
        }
    }

    Recipe read() {
        if (!root_.IsMap()) fail(root_, "expected 'recipe', 'packages' and 'pairs'");
        check_keys(root_, {"recipe", "about", "corpus", "rows", "clean", "split", "packages", "pairs"});
        Recipe recipe;
        recipe.name = text(root_, "recipe", true);
        recipe.about = text(root_, "about", false);
        if (root_["corpus"]) recipe.corpus = text(root_, "corpus", true);
        if (recipe.corpus.find(kPairMark) == std::string::npos) fail(root_["corpus"], "the corpora's name must hold {pair}");
        if (root_["rows"]) {
            const Field field{"rows", FieldType::integer, 0, 0.0, {}, {}, {}, {}};
            recipe.rows = checked(field, text(root_, "rows", true), place_of(root_["rows"])).get<std::int64_t>();
        }
        CleanSettings::fields().apply(recipe.clean, settings(root_["clean"]), place_of(root_["clean"]));
        SplitSettings::fields().apply(recipe.split, settings(root_["split"]), place_of(root_["split"]));
        if (!root_["packages"] || !root_["packages"].IsSequence() || root_["packages"].size() == 0)
            fail(root_, "expected a list 'packages'");
        for (const auto& node : root_["packages"]) recipe.packages.push_back(package(node));
        if (!root_["pairs"] || !root_["pairs"].IsSequence() || root_["pairs"].size() == 0) fail(root_, "expected a list 'pairs'");
        for (const auto& node : root_["pairs"]) {
            if (!node.IsScalar()) fail(node, "expected a pair such as de-en");
            parse_language_pair(node.Scalar(), place_of(node));
            recipe.pairs.push_back(node.Scalar());
        }
        return recipe;
    }

private:
    std::string place(const YAML::Mark& mark) const {
        return mark.is_null() ? file_ : file_ + ":" + std::to_string(mark.line + 1) + ":" + std::to_string(mark.column + 1);
    }
    std::string place_of(const YAML::Node& node) const { return node.IsDefined() ? place(node.Mark()) : file_; }
    [[noreturn]] void fail(const YAML::Node& node, const std::string& what, const std::string& fix = {}) const {
        throw Error(ErrorKind::config, place_of(node), what, fix);
    }

    void check_keys(const YAML::Node& map, const std::vector<std::string>& known) const {
        for (const auto& entry : map) {
            const std::string key = entry.first.Scalar();
            if (std::find(known.begin(), known.end(), key) != known.end()) continue;
            const std::string near = nearest(key, known);
            fail(entry.first, "unknown key '" + key + "'", near.empty() ? "known are " + list_some(known) : "did you mean '" + near + "'?");
        }
    }

    std::string text(const YAML::Node& map, const std::string& key, bool required) const {
        const YAML::Node node = map[key];
        if (!node.IsDefined()) {
            if (required) fail(map, "'" + key + "' is missing");
            return {};
        }
        if (!node.IsScalar()) fail(node, "'" + key + "' must be a text");
        return node.Scalar();
    }

    Json settings(const YAML::Node& map) const {
        Json object = Json::object();
        if (!map.IsDefined() || map.IsNull()) return object;
        if (!map.IsMap()) fail(map, "expected a list of 'name: value' settings");
        for (const auto& entry : map) {
            if (!entry.second.IsScalar()) fail(entry.second, "expected one value");
            object[entry.first.Scalar()] = entry.second.Scalar();
        }
        return object;
    }

    RecipePackage package(const YAML::Node& node) const {
        if (!node.IsMap()) fail(node, "expected {package: NAME, licence: NAME}");
        check_keys(node, {"package", "origin", "reader", "english", "licence"});
        RecipePackage result;
        result.package = text(node, "package", true);
        result.origin = text(node, "origin", false);
        result.english = text(node, "english", false);
        result.licence = text(node, "licence", true);
        if (result.origin.empty()) result.origin = result.package;
        const std::string reader = text(node, "reader", false);
        static const std::map<std::string, PackageReader> kReaders{{"", PackageReader::catalogs},
                                                                   {"catalogs", PackageReader::catalogs},
                                                                   {"libreoffice", PackageReader::libreoffice},
                                                                   {"gnome", PackageReader::gnome},
                                                                   {"mediawiki", PackageReader::mediawiki}};
        const auto found = kReaders.find(reader);
        if (found == kReaders.end())
            fail(node["reader"], "unknown reader '" + reader + "'", "known are catalogs, gnome, libreoffice and mediawiki");
        result.reader = found->second;
        if (result.reader == PackageReader::libreoffice && result.english.empty()) {
            fail(node, "the reader libreoffice needs 'english', the package with the English pages");
        }
        return result;
    }

    std::string file_;
    YAML::Node root_;
};

// The folder below `root` whose path ends in `tail`; "" when there is none.
fs::path folder_ending(const fs::path& root, const std::vector<std::string>& tails) {
    std::error_code ignored;
    for (const fs::path& path : entries_below(root, ignored))
        for (const auto& tail : tails)
            if (path.string().ends_with(tail) && fs::is_directory(path, ignored)) return path;
    return {};
}

std::string dashed(std::string code) {
    std::replace(code.begin(), code.end(), '_', '-');
    return code;
}

}  // namespace

std::string RecipePackage::name_for(const Language& language) const {
    std::string name = package;
    const std::string mark = "{language}";
    if (const auto at = name.find(mark); at != std::string::npos) {
        std::string code = dashed(language.code());
        for (char& c : code) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
        name.replace(at, mark.size(), code);
    }
    return name;
}

std::string Recipe::corpus_name(const std::string& pair) const {
    std::string result = corpus;
    return result.replace(result.find(kPairMark), std::string(kPairMark).size(), pair);
}

std::vector<std::string> Recipe::package_names(const std::vector<std::string>& wanted) const {
    std::vector<Language> languages;
    for (const auto& pair : wanted) {
        const auto [source, target] = parse_language_pair(pair, name);
        for (const auto& language : {source, target}) {
            if (!language.is_english() && std::find(languages.begin(), languages.end(), language) == languages.end())
                languages.push_back(language);
        }
    }
    std::vector<std::string> names;
    const auto add = [&names](const std::string& one) {
        if (!one.empty() && std::find(names.begin(), names.end(), one) == names.end()) names.push_back(one);
    };
    for (const auto& package : packages) {
        add(package.english);
        for (const auto& language : languages) add(package.name_for(language));
    }
    return names;
}

Recipe read_recipe(const fs::path& file) { return RecipeReader(file).read(); }

Recipe find_recipe(const std::string& name_or_file) {
    if (fs::exists(name_or_file)) return read_recipe(name_or_file);
    const fs::path shipped = resources_folder() / "recipes";
    if (fs::exists(shipped / (name_or_file + ".yaml"))) return read_recipe(shipped / (name_or_file + ".yaml"));
    std::vector<std::string> names;
    std::error_code ignored;
    for (const fs::path& file : entries_in(shipped, ignored))
        if (file.extension() == ".yaml") names.push_back(file.stem().string());
    throw Error(ErrorKind::config, name_or_file, "there is no such recipe",
                names.empty() ? "give the path of a recipe file" : "shipped are " + list_some(names));
}

std::vector<Message> read_package(const RecipePackage& package, const fs::path& cache, const Language& language,
                                  const std::stop_token& stop) {
    const fs::path root = cache / package.name_for(language);
    if (!fs::is_directory(root)) return {};
    const std::string code = language.code(), dash = dashed(code);
    switch (package.reader) {
        case PackageReader::catalogs: return read_catalog_tree(root, language, stop);
        case PackageReader::mediawiki: return read_mediawiki_tree(root, language, stop);
        case PackageReader::gnome: {
            const fs::path english = folder_ending(root, {"/help/C"}), translated = folder_ending(root, {"/help/" + code, "/help/" + dash});
            return english.empty() || translated.empty() ? std::vector<Message>() : read_help_pages(english, translated, ".page", stop);
        }
        case PackageReader::libreoffice: {
            const fs::path english = folder_ending(cache / package.english, {"/help/en-US/text"});
            const fs::path translated = folder_ending(root, {"/help/" + dash + "/text"});
            return english.empty() || translated.empty() ? std::vector<Message>() : read_help_pages(english, translated, ".html", stop);
        }
    }
    return {};
}

}  // namespace permille
