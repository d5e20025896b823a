// Translates the sources of a file of [[source ids], [labels]] lines: {"model", "pairs", "sentences", "beam", "max_length", "min_length",
// "batch_tokens", "forced" (id or null), "device", "dtype", "threads", "method" (or null), "settings", "adapters": how many of the method
// every sentence is translated with, "mixed": whether all of them in the same batches, "out": file for the ids, optional}.
#include <ATen/Parallel.h>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/process.h"
#include "core/decode/beam.h"
#include "core/peft/attach.h"
#include "tests/bench/measure.h"
#include "tests/bench/on_device.h"

using namespace permille;

namespace {

int measure(const Json& request) {
    at::set_num_threads(request.at("threads").get<int>());
    const auto base = bench::open_base(request);
    std::vector<std::vector<std::int64_t>> sources;
    std::ifstream lines(request.at("pairs").get<std::string>());
    for (std::string line; sources.size() < request.at("sentences").get<std::size_t>() && std::getline(lines, line);)
        sources.push_back(parse_json(line, "pairs").at(0).get<std::vector<std::int64_t>>());
    std::vector<Attached> attached;
    std::vector<const Attachment*> adapters;
    for (std::uint64_t seed = 1; seed <= request.at("adapters").get<std::uint64_t>(); ++seed) {
        if (request.at("method").is_null()) attached.emplace_back();
        else
            attached.push_back(attach_method(find_method_by_id(request.at("method").get<std::string>(), "method"), *base->network,
                                             request.at("settings"), seed));
        adapters.push_back(attached.back().attachment.get());
    }
    std::vector<std::vector<SearchTask>> runs;
    for (const Attachment* adapter : adapters) {
        const auto tasks = one_task_each(sources.size(), adapter);
        if (runs.empty() || !request.at("mixed").get<bool>()) runs.push_back(tasks);
        else runs.back().insert(runs.back().end(), tasks.begin(), tasks.end());
    }
    SearchSettings settings;
    settings.beam_size = request.at("beam").get<std::int64_t>();
    settings.max_length = request.at("max_length").get<std::int64_t>();
    settings.rules.min_length = request.at("min_length").get<std::int64_t>();
    settings.batch_tokens = request.at("batch_tokens").get<std::int64_t>();
    if (!request.at("forced").is_null()) settings.forced_first = request.at("forced").get<std::int64_t>();
    return bench::serve([&] {
        std::int64_t generated = 0;
        Json ids = Json::array();
        for (const auto& tasks : runs)
            for (const auto& candidates : beam_search(*base->network, tasks, sources, settings)) {
                generated += static_cast<std::int64_t>(candidates.at(0).ids.size()) - 1;
                ids.push_back(candidates[0].ids);
            }
        if (request.contains("out")) write_text(request["out"].get<std::string>(), ids.dump());
        Json measured{{"units", sources.size() * adapters.size()}, {"generated", generated}};
        bench::finish(measured, base->network->device());
        return measured;
    });
}

}  // namespace

int main(int, char** arguments) {
    prepare_process();
    try {
        return measure(parse_json(arguments[1] ? arguments[1] : "", "request"));
    } catch (const std::exception& error) {
        std::cerr << error.what() << std::endl;
        return 1;
    }
}
