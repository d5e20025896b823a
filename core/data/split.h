// Training, validation and test splits by hash, so that no sentence leaks, whichever corpora are used together.
//
// The hash is that of the key text's skeleton: its lower-case words only, without digits, names and quoted parts. So near-duplicates stay
// on one side, and a sentence that occurs in several language pairs is in the same split in all of them. Nothing else decides, no random
// numbers.
//
// A small corpus would get empty validation and test splits this way. There the held-out share rises until both have some rows: the
// sentences that are held out everywhere still are, and further ones next to them in the order of the hashes, of which another bit of the
// hash says whether they are for validation or for test. So no sentence is for validation in one corpus and for test in another. A
// sentence that only a small corpus holds out may be in the training split of another one: where corpora are used together, HeldOut
// (core/data/held_out.h) takes it out there.
#pragma once

#include <cstdint>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "core/base/fields.h"
#include "core/data/clean.h"

namespace permille {

enum class Split { train, valid, test };
const char* to_string(Split split);
Split split_from_name(const std::string& name, const std::string& where);  // throws Error(config)

struct SplitSettings {
    std::int64_t test_sentences = 1000;  // at most; 0: no test split, all of it goes to training
    std::int64_t valid_sentences = 1000;
    double held_out_percent = 3;  // of all skeletons, for each of the two
    static const Fields<SplitSettings>& fields();
};

struct Splits {
    std::vector<Row> train, valid, test;
    std::int64_t withheld = 0;  // rows of valid and test beyond their size: in no split, as they may be in another pair's test split
    std::int64_t leaking = 0;   // rows of valid and test dropped because one of their sides occurs in another split
    // The share that was held out for each of valid and test where the corpus was too small for that of the settings.
    std::optional<double> raised_percent = {};
};

// "Open the file \"a.txt\" in GIMP" -> "the file in". When nothing is left, the text in lower case.
std::string skeleton(const std::string& text);

// By the hash of the skeleton alone, in corpora that are large enough.
Split split_of(const std::string& key_text, const SplitSettings& settings);

// Training rows come in a fixed shuffled order, so that the first N are a fair sample. Valid and test prefer full sentences; other rows
// fill up only where there are fewer than a quarter of the size asked for. These three throw Stopped when asked to stop.
Splits split_rows(std::vector<Row> rows, const SplitSettings& settings, const Language& source, const Language& target,
                  const std::stop_token& stop = {});

// The first `most` rows in the shuffled order: a fair sample that stays the same when other rows come and go. 0: all rows.
std::vector<Row> sample_rows(std::vector<Row> rows, std::int64_t most, const Language& source, const Language& target,
                             const std::stop_token& stop = {});

// Splits that somebody else made: they stay as they are (repeated rows apart), and training rows of which a side occurs in them are
// dropped.
Splits given_splits(std::vector<Row> train, std::vector<Row> valid, std::vector<Row> test, const Language& source, const Language& target,
                    const std::stop_token& stop = {});

}  // namespace permille
