#include "core/base/json.h"

#include "core/base/error.h"
#include "core/base/files.h"

namespace permille {

namespace {

// Nothing that Permille reads is nested deeper than a dozen levels; each level of a hostile file costs memory a hundred times its length.
constexpr std::size_t kDeepest = 500;

bool is_nested_too_deeply(const std::string& text) {
    std::size_t depth = 0;
    bool quoted = false;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const char letter = text[i];
        if (quoted) {
            if (letter == '\\') ++i;
            else if (letter == '"') quoted = false;
        } else if (letter == '"') {
            quoted = true;
        } else if (letter == '[' || letter == '{') {
            if (++depth > kDeepest) return true;
        } else if ((letter == ']' || letter == '}') && depth > 0) {
            --depth;
        }
    }
    return false;
}

}  // namespace

Json parse_json(const std::string& text, const std::string& where) {
    if (is_nested_too_deeply(text))
        throw Error(ErrorKind::file, where, "nests lists or objects more than " + std::to_string(kDeepest) + " deep",
                    "mend the file or fetch it again");
    try {
        return Json::parse(text);
    } catch (const nlohmann::json::parse_error& error) {
        std::size_t line = 1, column = 1;
        for (std::size_t i = 0; i + 1 < error.byte && i < text.size(); ++i) {
            if (text[i] == '\n') {
                ++line;
                column = 1;
            } else {
                ++column;
            }
        }
        throw Error(ErrorKind::file, where, "not JSON at line " + std::to_string(line) + ", column " + std::to_string(column),
                    "mend the file or fetch it again");
    } catch (const nlohmann::json::exception&) {
        throw Error(ErrorKind::file, where, "holds a number that is too large", "mend the file or fetch it again");
    }
}

Json read_json(const std::filesystem::path& file) { return parse_json(read_text(file), file.string()); }

void write_json(const std::filesystem::path& file, const Json& value) { write_text(file, value.dump(2) + "\n"); }

}  // namespace permille
