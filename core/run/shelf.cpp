#include "core/run/shelf.h"

#include "core/run/memory.h"

namespace permille {

namespace {

// Parts of a key, apart from each other whatever they hold.
std::string key_of(const std::vector<std::string>& parts) { return Json(parts).dump(-1, ' ', false, Json::error_handler_t::replace); }

std::vector<std::string> parts_of(const std::string& key) { return Json::parse(key).get<std::vector<std::string>>(); }

}  // namespace

template <class Value>
Value Shelf::Row<Value>::get(const std::string& key, const std::function<Value()>& make) {
    std::shared_ptr<Place> place;
    {
        const std::lock_guard lock(mutex_);
        auto& found = places_[key];
        if (!found) found = std::make_shared<Place>();
        place = found;
    }
    const std::lock_guard lock(place->mutex);
    if (!place->value) place->value = make();
    return *place->value;
}

template <class Value>
void Shelf::Row<Value>::keep_only(const std::function<bool(const std::string&)>& wanted) {
    const std::lock_guard lock(mutex_);
    std::erase_if(places_, [&](const auto& entry) { return !wanted(entry.first); });
}

OpenModel Shelf::base(const std::string& model, const DeviceSettings& device, const EventSink& sink, const std::stop_token& stop) {
    return bases_.get(key_of({model, device.device, device.dtype}), [&] {
        const SharedMemory shared;
        return open_model(model, device, sink, stop);
    });
}

std::shared_ptr<const Corpus> Shelf::corpus(const std::filesystem::path& folder, const std::stop_token& stop) {
    return corpora_.get(key_of({folder.string()}), [&] { return std::make_shared<const Corpus>(Corpus::load(folder, true, stop)); });
}

Shelf::Text Shelf::text(const OpenModel& model, const Corpus& corpus, Split split, const std::string& source, const std::string& target,
                        std::int64_t limit, const std::stop_token& stop) {
    const std::string key = key_of({corpus.info().name, corpus.info().fingerprint(), model.base->fingerprint,
                                    std::to_string(static_cast<int>(split)), source, target, std::to_string(limit)});
    return texts_.get(key, [&] {
        return std::make_shared<const TokenText>(
            tokenise(*model.tokenizer, corpus.rows(split, source, target, limit), source, target, stop));
    });
}

void Shelf::keep_only(const std::vector<RunSpec>& runs) {
    std::set<std::string> models, corpora;
    for (const RunSpec& run : runs) {
        models.insert(run.base);
        if (!run.training.teacher.empty()) models.insert(run.training.teacher);
        corpora.insert(run.corpus);
    }
    bases_.keep_only([&](const std::string& key) { return models.contains(parts_of(key)[0]); });
    corpora_.keep_only([&](const std::string&) { return !runs.empty(); });
    texts_.keep_only([&](const std::string& key) { return corpora.contains(parts_of(key)[0]); });
}

}  // namespace permille
