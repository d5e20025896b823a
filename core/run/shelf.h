// What the runs of one process share: open bases, corpora, and texts as token ids. Each is read once and stays as long as a run that is
// still to be done needs it, also between two runs. For any thread.
#pragma once

#include <cstdint>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <stop_token>
#include <string>
#include <vector>

#include "core/base/events.h"
#include "core/base/spec.h"
#include "core/data/corpus.h"
#include "core/run/open_model.h"
#include "core/run/texts.h"

namespace permille {

class Shelf {
public:
    using Text = std::shared_ptr<const TokenText>;

    // Opens the base the first time. Throws Error, and Stopped when asked to stop; so do the others.
    OpenModel base(const std::string& model, const DeviceSettings& device, const EventSink& sink, const std::stop_token& stop);
    // Reads the corpus' description and compares its checksums the first time.
    std::shared_ptr<const Corpus> corpus(const std::filesystem::path& folder, const std::stop_token& stop);
    // The first `limit` rows (0: all) of a split as the base's ids.
    Text text(const OpenModel& model, const Corpus& corpus, Split split, const std::string& source, const std::string& target,
              std::int64_t limit, const std::stop_token& stop);

    // Lets go of what none of these runs will use. What a run in progress holds stays open until it ends.
    void keep_only(const std::vector<RunSpec>& runs);

private:
    // Values that are made once, by the first who asks; others wait for them. An attempt that failed is made again.
    template <class Value>
    class Row {
    public:
        Value get(const std::string& key, const std::function<Value()>& make);
        void keep_only(const std::function<bool(const std::string& key)>& wanted);

    private:
        struct Place {
            std::mutex mutex;
            std::optional<Value> value;
        };
        std::mutex mutex_;
        std::map<std::string, std::shared_ptr<Place>> places_;
    };

    Row<OpenModel> bases_;
    Row<std::shared_ptr<const Corpus>> corpora_;
    Row<Text> texts_;
};

}  // namespace permille
