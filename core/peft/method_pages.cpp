// The method table as a page of documentation.
#include <cmath>
#include <sstream>

#include "core/peft/catalog.h"

namespace permille {

namespace {

std::string cell(const std::string& text) {
    std::string escaped;
    for (const char letter : text) escaped += letter == '|' ? std::string("\\|") : std::string(1, letter);
    return escaped;
}

std::string number(double value) {
    std::ostringstream text;
    const bool whole = std::abs(value) < 1e15 && value == std::floor(value);
    if (whole) text << static_cast<std::int64_t>(value);
    else text << value;
    return text.str();
}

std::string default_of(const Field& knob) {
    if (knob.default_value.is_number_float()) return number(knob.default_value.get<double>());
    if (!knob.default_value.is_string()) return knob.default_value.dump();
    const std::string text = knob.default_value.get<std::string>();
    return text.empty() ? "(empty)" : text;
}

void write(std::ostream& page, const MethodInfo& method) {
    page << "\n## " << method.name << "\n\n`" << method.id << "`: " << method.summary << ".\n\n";
    if (!method.equation.empty()) page << "    " << method.equation << "\n\n";
    if (!method.advice.empty()) page << method.advice << "\n\n";
    page << "- paper: " << method.paper << "\n- where it goes: " << list_some(method.sites, 100)
         << "\n- size: " << (method.size_knob.empty() ? "fixed by where it goes" : "`" + method.size_knob + "`")
         << "\n- merged into the base: " << (method.mergeable ? "yes" : "no")
         << "\n- starts as the base: " << (method.identity_at_start ? "yes" : "no")
         << "\n- learning rate without --learning-rate: " << number(method.default_learning_rate) << "\n";
    if (method.knobs.empty()) return;
    page << "\n| knob | default | values | meaning |\n| --- | --- | --- | --- |\n";
    for (const Field& knob : method.knobs)
        page << "| `" << knob.name << "` | " << cell(default_of(knob)) << " | " << cell(knob_range(knob)) << " | " << cell(knob.help)
             << " |\n";
}

}  // namespace

std::string knob_range(const Field& knob) {
    if (!knob.choices.empty()) return list_some(knob.choices, 100);
    if (!knob.min && !knob.max) return std::string(to_string(knob.type));
    if (!knob.max) return number(*knob.min) + " or more";
    if (!knob.min) return "up to " + number(*knob.max);
    return number(*knob.min) + " to " + number(*knob.max);
}

std::string method_pages(const std::vector<MethodInfo>& table) {
    std::ostringstream page;
    page << "# Methods\n\nWhat `--method` can name, each with its knobs (`--set knob=value`). Several are trained together as\n"
            "`lora+layernorm`; their knobs are then `lora.rank` and so on. r is a rank, D the model's width, l and m numbers of virtual\n"
            "tokens. This page is made by `permille methods --markdown`.\n\n"
            "| method | | size knob | merges |\n| --- | --- | --- | --- |\n";
    for (const MethodInfo& method : table)
        page << "| `" << method.id << "` | " << cell(method.name) << " | " << (method.size_knob.empty() ? "" : "`" + method.size_knob + "`")
             << " | " << (method.mergeable ? "yes" : "no") << " |\n";
    for (const MethodInfo& method : table) write(page, method);
    return page.str();
}

}  // namespace permille
