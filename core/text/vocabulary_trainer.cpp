#include "core/text/vocabulary_trainer.h"

#include <sentencepiece_trainer.h>

#include <sstream>
#include <string>
#include <unordered_map>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/stopped.h"
#include "core/text/sentence_pieces.h"
#include "core/text/utf8.h"

namespace permille {

namespace {

// Gives the trainer every n-th usable line, without a copy of the text.
class Lines final : public sentencepiece::SentenceIterator {
public:
    Lines(const std::vector<std::string>& lines, const std::vector<std::size_t>& chosen, const std::stop_token& stop)
        : lines_(lines), chosen_(chosen), stop_(stop) {}
    bool done() const override { return at_ >= chosen_.size() || stop_.stop_requested(); }
    void Next() override { ++at_; }
    const std::string& value() const override { return lines_[chosen_[at_]]; }
    sentencepiece::util::Status status() const override {
        return stop_.stop_requested() ? sentencepiece::util::Status(sentencepiece::util::StatusCode::kCancelled, "")
                                      : sentencepiece::util::Status();
    }

private:
    const std::vector<std::string>& lines_;
    const std::vector<std::size_t>& chosen_;
    std::stop_token stop_;
    std::size_t at_ = 0;
};

std::string plain(double value) {
    std::ostringstream text;
    text.imbue(std::locale::classic());
    text << value;
    return text.str();
}

}  // namespace

const Fields<VocabularySettings>& VocabularySettings::fields() {
    static const Fields<VocabularySettings> list =
        Fields<VocabularySettings>()
            .add("pieces", &VocabularySettings::pieces, "pieces of the vocabulary", {.min = 16, .max = 1000000})
            .add("character_coverage", &VocabularySettings::character_coverage, "share of all characters that get a piece",
                 {.min = 0.9, .max = 1})
            .add("byte_fallback", &VocabularySettings::byte_fallback, "write rare characters as bytes")
            .add("longest_line", &VocabularySettings::longest_line, "longer lines are left out", {.min = 1, .unit = "bytes"})
            .add("most_lines", &VocabularySettings::most_lines, "lines to train on at most, evenly picked", {.min = 1});
    return list;
}

void train_vocabulary(const std::vector<std::string>& lines, const VocabularySettings& settings, const std::filesystem::path& output,
                      const std::stop_token& stop) {
    std::vector<std::size_t> usable;
    for (std::size_t i = 0; i < lines.size(); ++i) {
        throw_if_stopped(stop);
        if (stripped(lines[i]).empty() || lines[i].size() > static_cast<std::size_t>(settings.longest_line)) continue;
        require_utf8(lines[i]);
        usable.push_back(i);
    }
    if (usable.empty()) throw Error(ErrorKind::config, "vocabulary", "there is no text to train on", "give more or shorter lines");
    const auto most = static_cast<std::size_t>(settings.most_lines);
    std::vector<std::size_t> chosen;
    if (usable.size() <= most) chosen = std::move(usable);
    else
        for (std::size_t i = 0; i < most; ++i) chosen.push_back(usable[i * usable.size() / most]);

    silence_sentencepiece();
    const std::unordered_map<std::string, std::string> arguments{
        {"model_type", "bpe"},
        {"vocab_size", std::to_string(settings.pieces)},
        {"character_coverage", plain(settings.character_coverage)},
        {"byte_fallback", settings.byte_fallback ? "true" : "false"},
        {"normalization_rule_name", "nmt_nfkc"},
        {"max_sentence_length", std::to_string(settings.longest_line)},
        {"input_sentence_size", "0"},
        {"shuffle_input_sentence", "false"},
        {"num_threads", "2"},
        {"unk_id", "0"},
        {"bos_id", "1"},
        {"eos_id", "2"},
        {"pad_id", "-1"},
        {"minloglevel", "4"},
    };
    Lines iterator(lines, chosen, stop);
    std::string model;
    const auto status = sentencepiece::SentencePieceTrainer::Train(arguments, &iterator, &model);
    throw_if_stopped(stop);
    if (!status.ok() || model.empty())
        throw Error(ErrorKind::config, "vocabulary of " + std::to_string(settings.pieces) + " pieces",
                    "cannot be trained on " + std::to_string(chosen.size()) + " lines: " + status.ToString(),
                    "ask for fewer pieces, or give more text");
    write_text(output, model);
}

}  // namespace permille
