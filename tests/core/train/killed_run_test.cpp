// A run that is killed without warning continues from its checkpoint as if nothing had happened. The victim is this program itself, started
// again with a hidden test case.
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>

#include "core/base/files.h"
#include "tests/support/models.h"
#include "tests/support/test.h"

using namespace permille;
using namespace permille::test;

namespace {

constexpr const char* kFolder = "PERMILLE_TEST_KILLED_RUN";

// Trains the same run every time; tells the sink's file descriptor when an update is done (by the validation that follows it).
std::vector<at::Tensor> train(const std::filesystem::path& checkpoint, int told, bool resume) {
    const auto model = tiny_model(families()[0]);
    const auto pairs = random_pairs(40, 50, 1), valid = random_pairs(3, 50, 2);
    TrainingSettings settings;
    settings.updates = 60;
    settings.batch_tokens = 60;
    settings.validate_every = 1;
    settings.checkpoint_every = 2;
    Attached attached = attach_method(find_method_by_id("lora", ""), *model, {{"dropout", 0.1}}, 1);
    TrainerHooks hooks;
    hooks.sink = [told](const Event& event) {
        if (told >= 0 && figure_in(event, StepFigure::valid_loss) && write(told, ".", 1) != 1) std::abort();
    };
    Trainer trainer(*model, attached, pairs, valid, settings, 0.01, 5, checkpoint, hooks);
    if (resume) REQUIRE(trainer.resume());
    const TrainingResult result = trainer.run({});
    REQUIRE(result.updates == 60);
    return attached.values;
}

}  // namespace

TEST_CASE("victim of the killed run test", "[.victim]") {
    const char* folder = std::getenv(kFolder);
    if (!folder) return;  // a filter that only leaves tests out runs hidden ones too
    train(std::filesystem::path(folder) / "checkpoint", STDOUT_FILENO, false);
}

TEST_CASE("a killed run resumed equals one that was left alone", "[train]") {
    const TemporaryFolder folder;
    const std::vector<at::Tensor> whole = train("", -1, false);
    for (const int after : {5, 22, 39}) {
        std::filesystem::remove(folder / "checkpoint");
        int ends[2];
        REQUIRE(pipe2(ends, O_CLOEXEC) == 0);
        const pid_t child = fork();
        REQUIRE(child >= 0);
        if (child == 0) {
            setenv(kFolder, folder.path().c_str(), 1);
            dup2(ends[1], STDOUT_FILENO);
            execl("/proc/self/exe", "core_tests", "[.victim]", static_cast<char*>(nullptr));
            _exit(127);
        }
        close(ends[1]);
        char letter = 0;
        int dots = 0;
        while (dots < after && read(ends[0], &letter, 1) == 1) dots += letter == '.';
        kill(child, SIGKILL);  // somewhere within the next update, validation or checkpoint
        close(ends[0]);
        int status = 0;
        REQUIRE(waitpid(child, &status, 0) == child);
        INFO("killed after " << after << " updates");
        REQUIRE(dots == after);
        REQUIRE(WIFSIGNALED(status));
        REQUIRE(std::filesystem::exists(folder / "checkpoint"));
        const std::vector<at::Tensor> resumed = train(folder / "checkpoint", -1, true);
        for (std::size_t i = 0; i < whole.size(); ++i) require_same(resumed[i], whole[i]);
    }
}

TEST_CASE("a checkpoint that was being written does not disturb the one before", "[train]") {
    const TemporaryFolder folder;
    write_safetensors(folder / "state", {{"t", at::ones({3})}});
    write_text(folder / "other", "half a file");
    std::filesystem::rename(folder / "other", folder / "state.part");
    REQUIRE(read_safetensors(folder / "state").at("t").numel() == 3);
    write_safetensors(folder / "state", {{"t", at::ones({4})}});
    REQUIRE(read_safetensors(folder / "state").at("t").numel() == 4);
}
