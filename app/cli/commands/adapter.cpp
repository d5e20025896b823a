#include <ostream>

#include "app/cli/command.h"
#include "core/jobs/model_job.h"

namespace permille::cli {

Action make_adapter(CLI::App& verb) {
    auto folder = std::make_shared<std::string>();
    verb.require_subcommand(1);
    CLI::App* show = verb.add_subcommand("show", "what an adapter folder holds: method, knobs, base, tensors");
    show->add_option("ADAPTER", *folder, "the adapter folder")->required();
    return [folder](Console& console) {
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
