#include <ostream>

#include "app/cli/command.h"
#include "core/jobs/model.h"

namespace permille::cli {

Action make_doctor(CLI::App&) {
    return [](Console& console) {
        const Json report = doctor_report();
        if (console.json()) console.print(report);
        else print_tree(console.out(), report);
        return kDone;
    };
}

}  // namespace permille::cli
