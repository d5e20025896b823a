#include "core/base/json.h"

#include "core/base/error.h"
#include "core/base/files.h"

namespace permille {

Json parse_json(const std::string& text, const std::string& where) {
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
    }
}

Json read_json(const std::filesystem::path& file) { return parse_json(read_text(file), file.string()); }

void write_json(const std::filesystem::path& file, const Json& value) { write_text(file, value.dump(2) + "\n"); }

}  // namespace permille
