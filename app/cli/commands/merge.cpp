#include <filesystem>

#include "app/cli/command.h"
#include "core/jobs/merge.h"

namespace permille::cli {

Action make_merge(CLI::App& verb) {
    struct Options {
        std::string model, dtype = "float32";
        std::filesystem::path adapter, output;
    };
    auto options = std::make_shared<Options>();
    verb.add_option("--model,-m", options->model, "the base that the adapter was made for: a folder, a bundled base, or a hub name")
        ->required();
    verb.add_option("--adapter,-a", options->adapter, "the adapter folder")->required()->type_name("DIR");
    verb.add_option("--out,-o", options->output, "the model folder to write; it must not exist yet")->required()->type_name("DIR");
    verb.add_option("--dtype", options->dtype, "the type in which the weights are stored; only float32 keeps the very logits")
        ->check(CLI::IsMember({"float32", "bfloat16", "float16"}))
        ->capture_default_str();
    verb.footer(
        "Writes a plain model in Hugging Face layout that translates like base and adapter together. 'permille methods' says which "
        "methods\n"
        "can be merged; the others are refused, and nothing is written. Neurons that pruning set to zero in every feed-forward block of a\n"
        "stack (DSEE's 'neurons') are left out: the model becomes smaller and computes less.");
    return [options](Console& console) {
        const MergeReport report =
            merge_adapter(options->model, options->adapter, options->output, options->dtype, console.sink(), console.stop_token());
        if (console.json()) {
            console.print(report.to_json());
            return kDone;
        }
        std::vector<std::vector<std::string>> lines = {{"method", report.method},
                                                       {"parameters", shown_count(report.parameters)},
                                                       {"changed tensors", shown_count(report.changed_tensors)},
                                                       {"stored as", report.dtype},
                                                       {"model", report.folder}};
        if (report.encoder_neurons + report.decoder_neurons > 0)
            lines.push_back({"neurons left out", std::to_string(report.encoder_neurons) + " of every encoder block, " +
                                                     std::to_string(report.decoder_neurons) + " of every decoder block"});
        console.print_table(lines);
        return kDone;
    };
}

}  // namespace permille::cli
