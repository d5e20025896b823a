#include "core/run/negatives.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "core/base/files.h"
#include "core/base/stopped.h"
#include "core/decode/beam.h"
#include "core/decode/sample.h"
#include "core/models/safetensors.h"
#include "core/run/translate.h"

namespace permille {
namespace fs = std::filesystem;

namespace {

constexpr std::size_t kAtOnce = 512;  // sentences between two writings of the file

// What they depend on.
std::string question_of(const OpenModel& model, const TokenText& train, const std::string& target, const TrainingSettings& training,
                        std::uint64_t seed) {
    return sha256(model.base->fingerprint + "/" + target + "/" + training.contrast_by + "/" + std::to_string(training.contrast) + "/" +
                  std::to_string(seed) + "/" + train.fingerprint);
}

void write(const fs::path& file, const Contrast& contrast, const std::string& question) {
    std::vector<std::int64_t> ids, lengths, counts;
    for (const auto& candidates : contrast.wrong) {
        counts.push_back(static_cast<std::int64_t>(candidates.size()));
        for (const Tokens& candidate : candidates) {
            lengths.push_back(static_cast<std::int64_t>(candidate.size()));
            ids.insert(ids.end(), candidate.begin(), candidate.end());
        }
    }
    write_safetensors(
        file, {{"ids", at::tensor(ids, at::kInt)}, {"lengths", at::tensor(lengths, at::kInt)}, {"counts", at::tensor(counts, at::kInt)}},
        {{"permille_negatives", "1"}, {"question", question}});
}

// Those of the first sentences; none when the file is of another question.
Contrast read(const fs::path& file, const std::string& question) {
    Contrast contrast;
    if (!fs::exists(file)) return contrast;
    std::map<std::string, std::string> metadata;
    const TensorMap stored = read_safetensors(file, &metadata);
    if (metadata["question"] != question) return contrast;
    const auto numbers = [&](const char* name) {
        const auto found = stored.find(name);
        if (found == stored.end()) throw Error(ErrorKind::file, file.string() + ", " + name, "is missing", "remove the file");
        const at::Tensor wide = found->second.to(at::kLong).contiguous();
        return std::vector<std::int64_t>(wide.const_data_ptr<std::int64_t>(), wide.const_data_ptr<std::int64_t>() + wide.numel());
    };
    const auto ids = numbers("ids"), lengths = numbers("lengths"), counts = numbers("counts");
    auto id = ids.begin();
    auto length = lengths.begin();
    for (const std::int64_t count : counts) {
        contrast.wrong.emplace_back();
        for (std::int64_t i = 0; i < count; ++i, ++length) {
            if (length == lengths.end() || *length < 2 || *length > ids.end() - id)
                throw Error(ErrorKind::file, file.string(), "is damaged", "remove the file");
            contrast.wrong.back().emplace_back(id, id + *length);
            id += *length;
        }
    }
    return contrast;
}

// Whether a hypothesis says what the reference says. Labels may end with the token that the hypothesis starts with.
bool is_reference(const Tokens& ids, const std::vector<std::int32_t>& labels) {
    const std::size_t written = ids.size() - 1;
    return written <= labels.size() && labels.size() <= written + 1 && std::equal(ids.begin() + 1, ids.end(), labels.begin());
}

}  // namespace

std::unique_ptr<Contrast> find_negatives(const OpenModel& model, const TokenText& text, const std::string& target_language,
                                         const TrainingSettings& training, std::uint64_t seed, const fs::path& folder,
                                         const EventSink& sink, const std::stop_token& stop) {
    if (training.contrast == 0) return nullptr;
    const fs::path file = folder / "negatives.safetensors";
    const std::vector<TokenPair>& train = text.pairs;
    const std::string question = question_of(model, text, target_language, training, seed);
    auto contrast = std::make_unique<Contrast>(read(file, question));
    contrast->wrong.resize(std::min(contrast->wrong.size(), train.size()));
    DecodingSettings decoding;
    decoding.sample = training.contrast_by == "sample";
    decoding.beam_size = training.contrast + 1;  // one of them may be the reference
    const std::int64_t hypotheses = training.contrast + 1;
    while (contrast->wrong.size() < train.size()) {
        throw_if_stopped(stop);
        const std::size_t from = contrast->wrong.size(), to = std::min(train.size(), from + kAtOnce);
        if (sink) sink(Progress{"finding wrong translations", static_cast<std::int64_t>(from), static_cast<std::int64_t>(train.size())});
        std::vector<Tokens> sources;
        for (std::size_t i = from; i < to; ++i) sources.emplace_back(train[i].source.begin(), train[i].source.end());
        SearchSettings search = search_for(model, target_language, decoding);
        search.n_best = hypotheses;
        search.seed = seed + from;  // draws are by the place among the sources
        const Seq2Seq& network = *model.base->network;
        const auto found =
            decoding.sample ? sample(network, nullptr, sources, search, stop) : beam_search(network, nullptr, sources, search, stop);
        for (std::size_t i = from; i < to; ++i) {
            std::vector<Tokens> wrong;
            for (const Candidate& candidate : found[i - from])
                if (static_cast<std::int64_t>(wrong.size()) < training.contrast && candidate.ids.size() > 1 &&
                    !is_reference(candidate.ids, train[i].labels) && std::find(wrong.begin(), wrong.end(), candidate.ids) == wrong.end())
                    wrong.push_back(candidate.ids);
            contrast->wrong.push_back(std::move(wrong));
        }
        write(file, *contrast, question);
    }
    std::size_t total = 0;
    for (const auto& wrong : contrast->wrong) total += wrong.size();
    log_to(sink, std::to_string(total) + " wrong translations of " + std::to_string(train.size()) + " sentences to train against");
    return contrast;
}

}  // namespace permille
