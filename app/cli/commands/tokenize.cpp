#include <ostream>

#include "app/cli/command.h"
#include "core/base/error.h"
#include "core/jobs/text_codec.h"

namespace permille::cli {

Action make_tokenize(CLI::App& verb) {
    struct Options {
        std::string model, language;
        bool target = false;
    };
    auto options = std::make_shared<Options>();
    verb.add_option("--model,-m", options->model, "a model folder, the name of a bundled base, or a hub name")->required();
    verb.add_option("--lang,-l", options->language, "the language of the text")->required();
    verb.add_flag("--target", options->target, "as the target side of a pair, not the source side");
    verb.footer("Reads lines from standard input; prints their ids, special tokens and language codes included.");
    return [options](Console& console) {
        const TextCodec codec(options->model, console.sink());
        Json document = Json::array();
        std::size_t number = 0;
        for (const auto& line : console.read_lines()) {
            ++number;
            std::vector<std::int64_t> ids;
            try {
                ids = codec.encode(line, options->language, options->target);
            } catch (const Error& error) {
                if (error.where().starts_with("text"))
                    throw Error(error.kind(), "standard input, line " + std::to_string(number), error.found(), error.fix());
                throw;
            }
            if (console.json()) {
                document.push_back(ids);
                continue;
            }
            std::string text;
            for (const auto id : ids) text += (text.empty() ? "" : " ") + std::to_string(id);
            console.out() << text << '\n';
        }
        if (console.json()) console.print(document);
        return kDone;
    };
}

}  // namespace permille::cli
