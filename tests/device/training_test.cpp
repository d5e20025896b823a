// Training on a device that is not the CPU.
#include <array>
#include <thread>

#include "tests/device/on_device.h"
#include "tests/support/test.h"

using namespace permille;
using namespace permille::test;

namespace {

const std::vector<TokenPair> kNone;

const Method& method_of(const std::string& id) {
    return *std::find_if(methods().begin(), methods().end(), [&](const auto& method) { return method->info().id == id; })->get();
}

}  // namespace

TEST_CASE("a run on a device learns what it learns on the CPU, with every optimiser and averaging", "[device]") {
    const auto model = tiny_model(families().front()), there = on_device(*model);
    const auto pairs = random_pairs(30, 50, 7);
    for (const char* id : {"lora", "full", "ia3"})
        for (const char* optimiser : {"adamw", "adafactor"})
            for (const double decay : {0.0, 0.9}) {
                INFO("method " << id << ", " << optimiser << ", averaged " << decay);
                TrainingSettings settings = some_settings(12);
                settings.optimiser = optimiser;
                settings.average_decay = decay;
                settings.weight_decay = 0.01;
                settings.validate_every = 5;
                settings.clip_norm = 0.5;
                Attached here = attach_shaken(method_of(id), *model);
                Attached moved = on_device(here, *there);
                const auto want = Trainer(*model, here, pairs, pairs, settings, 0.001, 3, "", {}).run({});
                const auto got = Trainer(*there, moved, pairs, pairs, settings, 0.001, 3, "", {}).run({});
                REQUIRE_THAT(got.last_train_loss, Catch::Matchers::WithinAbs(want.last_train_loss, 1e-3));
                REQUIRE_THAT(*got.best_loss, Catch::Matchers::WithinAbs(*want.best_loss, 1e-3));
                REQUIRE(got.best_update == want.best_update);
                require_close(logits(*there, moved.attachment.get(), pairs), logits(*model, here.attachment.get(), pairs), 5e-3);
            }
}

TEST_CASE("every method's run on a device is continued from its checkpoint bit for bit", "[device]") {
    const TemporaryFolder folder;
    for_all_on_device([&](const Method& method, const Seq2Seq& model, const Seq2Seq& there) {
        const auto pairs = random_pairs(20, 50, 7);
        TrainingSettings settings = some_settings(4);
        settings.validate_every = 2;
        settings.dropout = 0.1;
        const auto checkpoint = folder / "state";
        const Attached start = attach_shaken(method, model);
        Attached whole = on_device(start, there), begun = on_device(start, there), continued = on_device(start, there);
        const auto trainer = [&](Attached& attached, const std::filesystem::path& file, TrainerHooks hooks) {
            return Trainer(there, attached, pairs, pairs, settings, 0.01, 3, file, std::move(hooks));
        };
        trainer(whole, "", {}).run({});
        std::stop_source stop;
        TrainerHooks hooks;
        hooks.sink = [&](const Event& event) {
            if (figure_in(event, StepFigure::valid_loss)) stop.request_stop();
        };
        REQUIRE(trainer(begun, checkpoint, hooks).run(stop.get_token()).updates == 2);
        Trainer rest = trainer(continued, checkpoint, {});
        REQUIRE(rest.resume());
        REQUIRE(rest.run({}).updates == 4);
        for (std::size_t i = 0; i < whole.values.size(); ++i) {
            REQUIRE(whole.values[i].device() == test_device());
            require_same(continued.values[i].detach(), whole.values[i].detach(), whole.specs[i].name);
        }
        std::filesystem::remove(checkpoint);
    });
}

TEST_CASE("runs on one device do not disturb each other's dropout", "[device]") {
    const auto model = tiny_model(families().front()), there = on_device(*model);
    const auto pairs = random_pairs(20, 50, 7);
    TrainingSettings settings = some_settings(3);
    settings.dropout = 0.3;
    const Attached start = attach_shaken(method_of("lora"), *model);
    const auto run = [&](Attached& attached, std::uint64_t seed) {
        Trainer(*there, attached, pairs, kNone, settings, 0.01, seed, "", {}).run({});
    };
    Attached alone = on_device(start, *there), first = on_device(start, *there), second = on_device(start, *there);
    run(alone, 3);
    std::jthread beside([&] { run(second, 4); });
    run(first, 3);
    beside.join();
    for (std::size_t i = 0; i < alone.values.size(); ++i) require_same(first.values[i].detach(), alone.values[i].detach());
    REQUIRE_FALSE(at::equal(second.values[0].detach(), first.values[0].detach()));
}

TEST_CASE("float16 trains on a device with a scaled loss, and steps over gradients that are too large for it", "[device]") {
    const auto model = tiny_model(families().front()), there = on_device(*model, at::kHalf);
    const auto pairs = random_pairs(30, 50, 7);
    for (const auto& method : methods()) {
        INFO("method " << method->info().id);
        TrainingSettings settings = some_settings(25);
        settings.dropout = 0.1;
        Attached moved = on_device(attach_method(*method, *model, small_settings(*method), 1), *there);
        Trainer trainer(*there, moved, pairs, pairs, settings, 0.003, 3, "", {});
        const double before = trainer.valid_loss();
        const TrainingResult result = trainer.run({});
        REQUIRE(result.skipped_updates < 20);  // the scale was halved until they fit
        for (const at::Tensor& value : moved.values) REQUIRE(at::isfinite(value).all().item<bool>());
        REQUIRE(*result.best_loss < before);
    }
}

TEST_CASE("gradient checkpointing on a device changes nothing but memory", "[device]") {
    const auto model = tiny_model(families().front()), there = on_device(*model);
    const auto pairs = random_pairs(20, 50, 7);
    for (const char* id : {"lora", "pfeiffer", "full"}) {
        TrainingSettings settings = some_settings(3);
        settings.dropout = 0.2;
        const Attached start = attach_shaken(method_of(id), *model);
        Attached plain = on_device(start, *there), again = on_device(start, *there);
        Trainer(*there, plain, pairs, kNone, settings, 0.01, 3, "", {}).run({});
        settings.gradient_checkpointing = true;
        Trainer(*there, again, pairs, kNone, settings, 0.01, 3, "", {}).run({});
        for (std::size_t i = 0; i < plain.values.size(); ++i) require_close(again.values[i], plain.values[i], 1e-5);
    }
}

TEST_CASE("distillation on a device is that on the CPU", "[device]") {
    const auto model = tiny_model(families().front()), teacher = tiny_model(families().front(), 2);
    const auto there = on_device(*model), teacher_there = on_device(*teacher);
    const auto pairs = random_pairs(20, 50, 7);
    TrainingSettings settings = some_settings(4);
    settings.teacher_share = 0.5;
    Attached here = attach_shaken(method_of("lora"), *model), moved = on_device(here, *there);
    TrainerHooks hooks, hooks_there;
    hooks.teacher = teacher.get();
    hooks_there.teacher = teacher_there.get();
    const double want = Trainer(*model, here, pairs, kNone, settings, 0.001, 3, "", hooks).run({}).last_train_loss;
    const double got = Trainer(*there, moved, pairs, kNone, settings, 0.001, 3, "", hooks_there).run({}).last_train_loss;
    REQUIRE_THAT(got, Catch::Matchers::WithinAbs(want, 1e-3));
}

TEST_CASE("training against wrong translations on a device is that on the CPU", "[device]") {
    const auto model = tiny_model(families().front()), there = on_device(*model);
    const auto pairs = random_pairs(20, 50, 7), others = random_pairs(60, 50, 8);
    Contrast contrast;
    contrast.wrong.resize(pairs.size());
    for (std::size_t i = 0; i < others.size(); ++i) {
        if (i % 5 == 0) continue;  // some sentences have fewer, those at 0, 5, ... of each three none of some
        const auto& labels = others[i].labels;
        Tokens wrong = {2};
        wrong.insert(wrong.end(), labels.begin(), labels.end());
        contrast.wrong[i / 3].push_back(wrong);
    }
    contrast.wrong[4].clear();
    TrainingSettings settings = some_settings(4);
    settings.contrast = 3;
    for (const char* id : {"lora", "full", "prefix"}) {
        INFO("method " << id);
        Attached here = attach_shaken(method_of(id), *model), moved = on_device(here, *there);
        std::vector<double> told, told_there;
        const auto run = [&](const Seq2Seq& network, Attached& attached, std::vector<double>& figures) {
            TrainerHooks hooks;
            hooks.contrast = &contrast;
            hooks.sink = [&](const Event& event) {
                if (const auto* metric = figure_in(event, StepFigure::contrast_loss)) figures.push_back(metric->value);
            };
            return Trainer(network, attached, pairs, kNone, settings, 0.001, 3, "", hooks).run({}).last_train_loss;
        };
        const double want = run(*model, here, told);
        reset_device_work();
        const double got = run(*there, moved, told_there);
        REQUIRE(device_work().waits <= 2);        // one report, and the end
        REQUIRE(device_work().uploads <= 3 * 4);  // the batch, the wrong translations, and which rows are whose
        REQUIRE_THAT(got, Catch::Matchers::WithinAbs(want, 1e-3));
        REQUIRE(told.size() == 1);
        REQUIRE(told_there.size() == 1);
        REQUIRE_THAT(told_there[0], Catch::Matchers::WithinAbs(told[0], 1e-3));
        require_close(logits(*there, moved.attachment.get(), pairs), logits(*model, here.attachment.get(), pairs), 5e-3);
    }
}

TEST_CASE("the host waits for a device only where a run is reported, and sends it one copy an update", "[device][standin]") {
    const auto model = tiny_model(families().front());
    const auto pairs = random_pairs(60, 50, 7);
    // In an update. These look at what decides what they do next: whether an update was skipped that must not touch what they remember,
    // which weights are pruned, and how many rows each of the experts of a block gets.
    const std::map<std::string, std::int64_t> waits = {{"adalora", 1}, {"dsee", 1}, {"experts", 5}};
    // Beside the batch: where virtual tokens stand among the real ones, of each stack that has some.
    const std::map<std::string, std::int64_t> copies = {{"dept", 1}, {"layer_prefix", 2}, {"prompt", 1}};
    // With AdamW, in float32 and in float16, whose casts are on top.
    const std::map<std::string, std::array<std::int64_t, 2>> launches = {
        {"bitfit", {530, 820}}, {"full", {640, 1020}}, {"lora", {570, 840}}, {"prefix", {640, 760}}};
    const auto of = [](const auto& list, const Method& method) {
        const auto found = list.find(method.info().id);
        return found == list.end() ? 0 : found->second;
    };
    for (const bool half : {false, true}) {
        const auto there = on_device(*model, half ? at::kHalf : at::kFloat);
        for (const auto& method : methods())
            for (const char* optimiser : {"adamw", "adafactor"}) {
                INFO("method " << method->info().id << ", " << optimiser << ", float16 " << half);
                TrainingSettings settings = some_settings(20);
                settings.dropout = 0.1;
                settings.optimiser = optimiser;
                settings.average_decay = 0.9;
                Attached attached = on_device(attach_method(*method, *model, small_settings(*method), 1), *there);
                std::vector<DeviceWork> at_report;
                std::string where;
                TrainerHooks hooks;
                hooks.sink = [&](const Event& event) {
                    if (!figure_in(event, StepFigure::train_loss)) return;
                    at_report.push_back(device_work());
                    for (const auto& [operation, count] : device_work().waited_in) where += operation + " " + std::to_string(count) + ", ";
                };
                Trainer trainer(*there, attached, pairs, kNone, settings, 0.001, 3, "", hooks);
                reset_device_work();
                trainer.run({});
                INFO(where);
                REQUIRE(at_report.size() == 2);
                // Of ten updates and one report. The next batch was there before the report was waited for.
                const DeviceWork &first = at_report[0], &second = at_report[1];
                CHECK(second.waits - first.waits <= 1 + 10 * of(waits, *method));
                CHECK(first.uploads == 11 + 10 * of(copies, *method));
                CHECK(second.uploads == 20 + 20 * of(copies, *method));
                if (std::string(optimiser) == "adafactor") continue;
                const auto most = launches.find(method->info().id);
                CHECK(second.launches - first.launches <= 10 * (most == launches.end() ? (half ? 2000 : 1500) : most->second[half]));
            }
    }
}

TEST_CASE("a device whose gradients are never numbers is told so at the next report", "[device]") {
    const auto model = tiny_model(families().front());
    auto weights = random_weights(model->layout(), 1);
    weights[1][0][0] = std::numeric_limits<float>::quiet_NaN();
    const auto there = on_device(Seq2Seq(model->architecture(), weights, {}, at::kFloat));
    const auto pairs = random_pairs(60, 50, 7);
    for (const char* optimiser : {"adamw", "adafactor"}) {
        TrainingSettings settings = some_settings(5);
        settings.optimiser = optimiser;
        Attached attached = attach_method(method_of("bitfit"), *there, Json::object(), 1);
        std::vector<at::Tensor> before;
        for (const at::Tensor& value : attached.values) before.push_back(value.detach().clone());
        REQUIRE(Trainer(*there, attached, pairs, kNone, settings, 0.01, 7, "", {}).run({}).skipped_updates == 5);
        for (std::size_t i = 0; i < before.size(); ++i) require_same(attached.values[i].detach(), before[i]);
        settings.updates = 20;
        require_error([&] { Trainer(*there, attached, pairs, kNone, settings, 0.01, 7, "", {}).run({}); }, ErrorKind::not_a_number,
                      {"update 8", "learning rate"});
    }
}
