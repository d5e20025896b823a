#include <ostream>

#include "app/cli/command.h"
#include "core/peft/catalog.h"
#include "core/peft/method_data.h"

namespace permille::cli {

namespace {

std::string plain(const Json& value) { return value.is_string() ? value.get<std::string>() : value.dump(); }

void describe(Console& console, const MethodInfo& method) {
    std::ostream& out = console.out();
    out << method.id << ": " << method.name << "\n" << method.summary << "\n";
    if (!method.equation.empty()) out << "\n    " << method.equation << "\n";
    if (!method.advice.empty()) out << "\n" << method.advice << "\n";
    out << "\npaper                  " << method.paper << "\nwhere it goes          " << list_some(method.sites, 100)
        << "\nsize knob              " << (method.size_knob.empty() ? "none: its size is fixed" : method.size_knob)
        << "\nmergeable              " << (method.mergeable ? "yes" : "no") << "\nstarts as the base     "
        << (method.identity_at_start ? "yes" : "no") << "\ndefault learning rate  " << Json(method.default_learning_rate).dump() << "\n";
    if (method.knobs.empty()) return;
    out << "\nKnobs, given as --set knob=value:\n";
    std::vector<std::vector<std::string>> rows = {{"knob", "default", "range", "meaning"}};
    for (const Field& knob : method.knobs) rows.push_back({knob.name, plain(knob.default_value), knob_range(knob), knob.help});
    console.print_table(rows);
}

}  // namespace

Action make_methods(CLI::App& verb) {
    auto id = std::make_shared<std::string>();
    auto markdown = std::make_shared<bool>(false);
    CLI::Option* one = verb.add_option("METHOD", *id, "one method: show its knobs too");
    verb.add_flag("--markdown", *markdown, "all methods as a page in Markdown, with equations, knobs and advice")->excludes(one);
    return [id, markdown](Console& console) {
        if (*markdown && !console.json()) {
            console.out() << method_pages(method_catalog());
            return kDone;
        }
        if (!id->empty()) {
            const MethodInfo& method = find_method(*id, "METHOD");
            if (console.json()) console.print(Json::array({to_json(method)}));
            else describe(console, method);
            return kDone;
        }
        Json document = Json::array();
        std::vector<std::vector<std::string>> rows = {{"method", "name", "size knob", "mergeable", "paper"}};
        for (const MethodInfo& method : method_catalog()) {
            document.push_back(to_json(method));
            rows.push_back({method.id, method.name, method.size_knob.empty() ? "(fixed)" : method.size_knob,
                            method.mergeable ? "yes" : "no", method.paper});
        }
        if (console.json()) {
            console.print(document);
            return kDone;
        }
        console.print_table(rows);
        console.out() << "\n'permille methods METHOD' shows the knobs of one." << std::endl;
        return kDone;
    };
}

}  // namespace permille::cli
