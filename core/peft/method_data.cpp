#include "core/peft/method_data.h"

#include <algorithm>
#include <sstream>

#include "core/base/error.h"

namespace permille {

namespace {

Json knob_to_json(const Field& knob) {
    Json json = {{"name", knob.name}, {"type", std::string(to_string(knob.type))}, {"default", knob.default_value}};
    json["min"] = knob.min ? Json(*knob.min) : Json();
    json["max"] = knob.max ? Json(*knob.max) : Json();
    json["help"] = knob.help;
    if (!knob.choices.empty()) json["choices"] = knob.choices;
    if (!knob.unit.empty()) json["unit"] = knob.unit;
    return json;
}

Field knob_from_json(const Json& json) {
    Field knob;
    knob.name = json.at("name").get<std::string>();
    for (const FieldType type : {FieldType::integer, FieldType::real, FieldType::boolean, FieldType::text, FieldType::choice})
        if (json.at("type") == std::string(to_string(type))) knob.type = type;
    knob.default_value = json.at("default");
    if (!json.at("min").is_null()) knob.min = json.at("min").get<double>();
    if (!json.at("max").is_null()) knob.max = json.at("max").get<double>();
    knob.choices = json.value("choices", std::vector<std::string>());
    knob.unit = json.value("unit", "");
    knob.help = json.at("help").get<std::string>();
    return knob;
}

std::size_t place_of(const std::string& id, const std::vector<MethodInfo>& table, const std::string& where) {
    std::vector<std::string> ids;
    for (const MethodInfo& method : table) {
        if (method.id == id) return ids.size();
        ids.push_back(method.id);
    }
    const std::string near = nearest(id, ids);
    throw Error(ErrorKind::config, where, "'" + id + "' is not a method",
                near.empty() ? "known are " + list_some(ids, 60) : "did you mean '" + near + "'?");
}

}  // namespace

Json to_json(const MethodInfo& method) {
    Json json = {{"id", method.id}, {"name", method.name}, {"paper", method.paper}, {"summary", method.summary}, {"sites", method.sites}};
    json["knobs"] = Json::array();
    for (const Field& knob : method.knobs) json["knobs"].push_back(knob_to_json(knob));
    json["size_knob"] = method.size_knob.empty() ? Json() : Json(method.size_knob);
    json["mergeable"] = method.mergeable;
    json["identity_at_start"] = method.identity_at_start;
    json["trains_whole_base"] = method.trains_whole_base;
    json["default_learning_rate"] = method.default_learning_rate;
    json["default_optimiser"] = method.default_optimiser;
    json["equation"] = method.equation;
    json["advice"] = method.advice;
    return json;
}

MethodInfo method_from_json(const Json& json) {
    MethodInfo method;
    const auto text = [&](const char* name) { return json.at(name).get<std::string>(); };
    method.id = text("id");
    method.name = text("name");
    method.paper = text("paper");
    method.summary = text("summary");
    method.sites = json.at("sites").get<std::vector<std::string>>();
    for (const Json& knob : json.at("knobs")) method.knobs.push_back(knob_from_json(knob));
    if (!json.at("size_knob").is_null()) method.size_knob = text("size_knob");
    method.mergeable = json.at("mergeable").get<bool>();
    method.identity_at_start = json.at("identity_at_start").get<bool>();
    method.trains_whole_base = json.at("trains_whole_base").get<bool>();
    method.default_learning_rate = json.at("default_learning_rate").get<double>();
    method.default_optimiser = text("default_optimiser");
    method.equation = text("equation");
    method.advice = text("advice");
    return method;
}

std::vector<std::size_t> methods_named(const std::string& id, const std::vector<MethodInfo>& table, const std::string& where) {
    if (id.find('+') == std::string::npos) return {place_of(id, table, where)};
    std::vector<std::size_t> places;
    std::istringstream words(id);
    for (std::string word; std::getline(words, word, '+');) {
        const std::size_t place = place_of(word, table, where);
        if (std::find(places.begin(), places.end(), place) != places.end())
            throw Error(ErrorKind::config, where, "'" + id + "' names " + word + " twice", "name each method once");
        places.push_back(place);
    }
    if (places.size() < 2) throw Error(ErrorKind::config, where, "'" + id + "' names one method", "write 'lora+layernorm' for two");
    return places;
}

MethodInfo combined(const std::string& id, const std::vector<MethodInfo>& parts) {
    MethodInfo all;
    all.id = id;
    all.mergeable = all.identity_at_start = true;
    all.default_learning_rate = parts.front().default_learning_rate;
    all.default_optimiser = parts.front().default_optimiser;
    const auto join = [](std::string& text, const std::string& more, const char* between) { text += (text.empty() ? "" : between) + more; };
    for (const MethodInfo& part : parts) {
        join(all.name, part.name, " + ");
        join(all.paper, part.paper, "; ");
        join(all.summary, part.summary, "; ");
        all.sites.insert(all.sites.end(), part.sites.begin(), part.sites.end());
        for (Field knob : part.knobs) {
            knob.name = part.id + "." + knob.name;
            all.knobs.push_back(std::move(knob));
        }
        if (all.size_knob.empty() && !part.size_knob.empty()) all.size_knob = part.id + "." + part.size_knob;
        all.mergeable = all.mergeable && part.mergeable;
        all.identity_at_start = all.identity_at_start && part.identity_at_start;
    }
    return all;
}

}  // namespace permille
