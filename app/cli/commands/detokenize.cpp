#include <charconv>
#include <ostream>
#include <sstream>

#include "app/cli/command.h"
#include "core/base/error.h"
#include "core/jobs/text_codec.h"

namespace permille::cli {

Action make_detokenize(CLI::App& verb) {
    auto model = std::make_shared<std::string>();
    verb.add_option("--model,-m", *model, "a model folder, the name of a bundled base, or a hub name")->required();
    verb.footer("Reads lines of space-separated ids from standard input; prints their text.");
    return [model](Console& console) {
        const TextCodec codec(*model, console.sink());
        Json document = Json::array();
        std::size_t number = 0;
        for (const auto& line : console.read_lines()) {
            ++number;
            std::vector<std::int64_t> ids;
            std::istringstream words(line);
            for (std::string word; words >> word;) {
                std::int64_t id = 0;
                const auto [end, failure] = std::from_chars(word.data(), word.data() + word.size(), id);
                if (failure != std::errc{} || end != word.data() + word.size())
                    throw Error(ErrorKind::config, "standard input, line " + std::to_string(number), "'" + word + "' is not a token id",
                                "give whole numbers separated by spaces");
                ids.push_back(id);
            }
            const std::string text = codec.decode(ids);
            if (console.json()) document.push_back(text);
            else console.out() << text << '\n';
        }
        if (console.json()) console.print(document);
        return kDone;
    };
}

}  // namespace permille::cli
