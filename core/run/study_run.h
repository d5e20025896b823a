// One run of a study, from its claim to its end. Sees torch.
#pragma once

#include <filesystem>
#include <stop_token>

#include "core/base/events.h"
#include "core/base/spec.h"
#include "core/run/ledger.h"
#include "core/run/shelf.h"
#include "core/store/store.h"

namespace permille {

// How the work on a run came to its end for this worker.
struct RunEnd {
    enum class Kind {
        recorded,    // the database says how
        broken_off,  // the machine did not let it be done or recorded (disk, lock): a later start continues it
        lost         // another worker has it by now, or a person took it away
    };
    Kind kind = Kind::recorded;
    std::string reason = {};  // why it was broken off
};

// Opens, trains, translates and scores, and records it all. Whatever happens is the run's outcome: nothing is thrown. Trouble of the
// machine (Error::temporary()) leaves the run interrupted; what a person asked to stop ends as stopped; stopped by `stop` it is
// interrupted.
RunEnd do_run(const std::filesystem::path& database, const RunRow& run, const Claim& claim, const DeviceSettings& device, Shelf& shelf,
              const EventSink& sink, const std::stop_token& stop, const Patience& patience = {});

}  // namespace permille
