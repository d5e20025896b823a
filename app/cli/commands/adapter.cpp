#include <filesystem>
#include <ostream>

#include "app/cli/command.h"
#include "core/jobs/export.h"
#include "core/jobs/model.h"

namespace permille::cli {

Action make_adapter(CLI::App& verb) {
    auto folder = std::make_shared<std::string>();
    verb.require_subcommand(1);
    CLI::App* show = verb.add_subcommand("show", "what an adapter folder holds: method, knobs, base, tensors");
    show->add_option("ADAPTER", *folder, "the adapter folder")->required();
    struct Export {
        std::string model, name = "pair", layout = "adapterhub";
        std::filesystem::path output;
    };
    auto options = std::make_shared<Export>();
    CLI::App* exported = verb.add_subcommand("export", "an adapter in the layout of another library");
    exported->add_option("ADAPTER", *folder, "the adapter folder")->required();
    exported->add_option("--model,-m", options->model, "the base that the adapter was made for: a folder, a bundled base, or a hub name")
        ->required();
    exported->add_option("--out,-o", options->output, "the folder to write; it must not exist yet")->required()->type_name("DIR");
    exported->add_option("--layout", options->layout, "adapterhub: for the Python package 'adapters'")
        ->check(CLI::IsMember({"adapterhub"}))
        ->capture_default_str();
    exported->add_option("--name", options->name, "what the adapter is called there")->capture_default_str();
    exported->footer(
        "AdapterHub has mBART of the families here, and of the methods the bottleneck adapters in their several places, Compacter and the\n"
        "language adapters; its load_adapter opens the folder with use_safetensors=True. Hugging Face PEFT needs no export: adapters of "
        "the\n"
        "methods that it has are written in its layout from the start.");
    return [folder, options, exported](Console& console) {
        if (exported->parsed()) {
            export_to_adapterhub(options->model, *folder, options->output, options->name, console.sink(), console.stop_token());
            if (console.json()) console.print(Json{{"folder", options->output.string()}, {"layout", options->layout}});
            return kDone;
        }
        const Json info = adapter_info(*folder);
        if (console.json()) {
            console.print(info);
            return kDone;
        }
        Json facts = info;
        for (const auto& [name, value] : info.items()) {
            if (value.is_array() && !value.empty() && value.front().is_object()) facts.erase(name);  // the tensors: below
        }
        print_tree(console.out(), facts);
        for (const auto& [name, value] : info.items()) {
            if (!value.is_array() || value.empty() || !value.front().is_object()) continue;
            std::vector<std::vector<std::string>> table(1);
            for (const auto& [column, cell] : value.front().items()) table.front().push_back(column);
            for (const Json& entry : value) {
                table.emplace_back();
                for (const auto& [column, cell] : entry.items())
                    table.back().push_back(cell.is_string() ? cell.get<std::string>() : cell.dump());
            }
            console.out() << '\n' << name << '\n';
            console.print_table(table);
        }
        return kDone;
    };
}

}  // namespace permille::cli
