#include <filesystem>
#include <ostream>

#include "app/cli/command.h"
#include "app/cli/options.h"
#include "core/base/files.h"
#include "core/run/pretrain.h"

namespace permille::cli {

Action make_pretrain(CLI::App& verb) {
    struct Options {
        std::filesystem::path recipe, work, output;
        std::int64_t updates = 0;
        Json device = Json::object();
    };
    auto options = std::make_shared<Options>();
    verb.add_option("RECIPE", options->recipe, "the recipe, a YAML file")->required()->type_name("RECIPE.yaml");
    verb.add_option("--out,-o", options->output, "the folder of the finished base; without it data folder/bases/NAME OF THE RECIPE")
        ->type_name("DIR");
    verb.add_option("--work", options->work, "corpora and checkpoints; started again, it continues from there; without it OUT.work")
        ->type_name("DIR");
    verb.add_option("--updates", options->updates, "stop after this many more updates; 0: as the recipe says")
        ->check(from_zero())
        ->capture_default_str();
    add_device_options(verb, options->device);
    verb.footer("Ctrl-C saves a checkpoint; the same command continues from it.");
    return [options](Console& console) {
        std::filesystem::path output = options->output;
        if (output.empty()) output = data_home() / "bases" / options->recipe.stem();
        std::filesystem::path work = options->work;
        if (work.empty()) work = output.string() + ".work";
        const auto device = DeviceSettings::fields().parse(options->device, "");
        const PretrainReport report =
            pretrain(options->recipe, work, output, device, options->updates, console.sink(), console.stop_token());
        if (console.json()) {
            console.print(report.to_json());
        } else if (report.folder.empty()) {
            console.say("stopped before the first update; the same command begins again");
        } else {
            console.print_table({{"updates", shown_count(report.updates)},
                                 {"parameters", shown_count(report.parameters)},
                                 {"training loss", shown_number(report.train_loss, 4) + " nats per token"},
                                 {"time", shown_duration(report.seconds)},
                                 {"base", report.folder}});
        }
        return kDone;
    };
}

}  // namespace permille::cli
