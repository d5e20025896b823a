#include "core/text/model_languages.h"

#include <unicode/uloc.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <string>
#include <utility>

#include "core/base/error.h"

namespace permille {

namespace {

// ISO 639-3 names the macro-languages of 639-1 on the left; models name the member that is meant by them.
constexpr std::array<std::pair<std::string_view, std::string_view>, 21> kMembers{{
    {"ara", "arb"}, {"aym", "ayr"}, {"aze", "azj"}, {"est", "ekk"}, {"fas", "pes"}, {"ful", "fuv"}, {"grn", "gug"},
    {"kur", "kmr"}, {"lav", "lvs"}, {"mlg", "plt"}, {"mon", "khk"}, {"msa", "zsm"}, {"nep", "npi"}, {"orm", "gaz"},
    {"ori", "ory"}, {"pus", "pbt"}, {"que", "quy"}, {"sqi", "als"}, {"swa", "swh"}, {"uzb", "uzn"}, {"zho", "cmn"},
}};
// Codes of the models that ISO 639 has retired or gives to something else.
constexpr std::array<std::pair<std::string_view, std::string_view>, 4> kOwn{{{"ns", "nso"}, {"tl", "tgl"}, {"yid", "ydd"}, {"no", "nob"}}};

struct Parts {
    std::string language;  // ISO 639-3, members named as above
    std::string script;    // "Hans"; "" when the code says nothing about it
    bool operator==(const Parts&) const = default;
};

std::string lower(std::string_view text) {
    std::string result(text);
    for (auto& c : result) c = c == '-' ? '_' : static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    return result;
}

Parts parts_of(std::string_view code) {
    const std::string plain = lower(code);
    std::array<char, ULOC_FULLNAME_CAPACITY> full{}, field{};
    UErrorCode status = U_ZERO_ERROR;
    std::string language = plain.substr(0, plain.find('_'));
    for (const auto& [own, iso] : kOwn)
        if (language == own) language = iso;
    if (language.size() == 2) {
        const std::string iso = uloc_getISO3Language(language.c_str());
        if (!iso.empty()) language = iso;
    }
    for (const auto& [own, iso] : kOwn)
        if (language == own) language = iso;
    for (const auto& [macro, member] : kMembers)
        if (language == macro) language = member;

    Parts parts{std::move(language), ""};
    if (plain.find('_') == std::string::npos) return parts;
    uloc_addLikelySubtags(plain.c_str(), full.data(), static_cast<int32_t>(full.size()), &status);
    if (U_FAILURE(status)) return parts;
    uloc_getScript(full.data(), field.data(), static_cast<int32_t>(field.size()), &status);
    if (U_SUCCESS(status)) parts.script = field.data();
    return parts;
}

[[noreturn]] void fail(const std::vector<ModelLanguage>& languages, std::string_view code,
                       const std::vector<const ModelLanguage*>& fitting) {
    std::vector<std::string> codes;
    const std::string where = "language '" + std::string(code) + "'";
    if (!fitting.empty()) {
        for (const auto* language : fitting) codes.push_back(language->code);
        throw Error(ErrorKind::config, where, "the model knows several of that name", "say which: " + list_some(codes, 30));
    }
    for (const auto& language : languages) codes.push_back(language.code);
    if (codes.empty()) throw Error(ErrorKind::config, where, "the model has no language codes", "leave the language out");
    const std::string near = nearest(code, codes);
    throw Error(ErrorKind::config, where, "the model does not know it",
                (near.empty() ? "" : "did you mean '" + near + "'? ") + std::string("it knows ") + list_some(codes, 210));
}

}  // namespace

const ModelLanguage& find_language(const std::vector<ModelLanguage>& languages, std::string_view code) {
    for (const auto& language : languages)
        if (language.code == code) return language;
    const std::string plain = lower(code);
    for (const auto& language : languages)
        if (lower(language.code) == plain) return language;

    const bool has_letters = plain.size() >= 2 && std::isalpha(static_cast<unsigned char>(plain[0])) != 0;
    std::vector<const ModelLanguage*> fitting;
    if (!has_letters) fail(languages, code, fitting);
    const Parts wanted = parts_of(code);
    for (const auto& language : languages) {
        const Parts known = parts_of(language.code);
        const bool scripts_agree = wanted.script.empty() || known.script.empty() || wanted.script == known.script;
        if (known.language == wanted.language && scripts_agree) fitting.push_back(&language);
    }
    if (fitting.size() == 1) return *fitting.front();
    fail(languages, code, fitting);
}

}  // namespace permille
