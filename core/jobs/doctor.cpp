#include <ATen/ATen.h>
#include <sqlite3.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "core/base/files.h"
#include "core/jobs/model.h"
#include "core/nn/accelerators.h"
#include "core/run/plan.h"

namespace permille {
namespace fs = std::filesystem;

namespace {

std::string processor() {
    std::ifstream info("/proc/cpuinfo");
    std::string line;
    while (std::getline(info, line))
        if (line.rfind("model name", 0) == 0) return line.substr(line.find(':') + 2);
    return "unknown";
}

}  // namespace

Json doctor_report() {
    Json missing = Json::array();
    Json report;
    report["versions"] = program_versions();
    const auto pages = static_cast<std::int64_t>(sysconf(_SC_PHYS_PAGES)), size = static_cast<std::int64_t>(sysconf(_SC_PAGE_SIZE));
    report["cpu"] = {{"processor", processor()},
                     {"cores", std::thread::hardware_concurrency()},
                     {"capability", at::get_cpu_capability()},
                     {"memory_bytes", pages * size}};
    Json cuda = Json::array();
    const Accelerators& accelerators = load_accelerators();
    for (std::int64_t i = 0; i < accelerators.cuda_devices; ++i) cuda.push_back("cuda:" + std::to_string(i));
    report["cuda"] = cuda;
    if (!accelerators.trouble.empty()) missing.push_back("a CUDA device (training runs on the CPU): " + accelerators.trouble);
    else if (cuda.empty()) missing.push_back("a CUDA device (training runs on the CPU; set up with --cuda where there is one)");
    report["data_folder"] = data_home().string();
    std::error_code code;
    fs::create_directories(data_home(), code);
    if (code || ::access(data_home().c_str(), W_OK) != 0) missing.push_back("a data folder that can be written: " + data_home().string());
    const auto space = fs::space(fs::exists(data_home()) ? data_home() : fs::path("/"), code);
    if (!code) report["free_disk_bytes"] = static_cast<std::int64_t>(space.available);
    report["resources_folder"] = resources_folder().string();
    Json bases = Json::array();
    for (const auto& base : bundled_bases()) bases.push_back(base.name);
    report["bundled_bases"] = bases;
    if (bases.empty()) missing.push_back("bundled bases in " + (resources_folder() / "bases").string());
    report["missing"] = missing;
    return report;
}

}  // namespace permille
