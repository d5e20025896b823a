#include <libxml/xmlreader.h>

#include <map>
#include <memory>
#include <optional>

#include "core/base/error.h"
#include "core/data/importers.h"
#include "core/data/unicode.h"

namespace permille {
namespace {

struct XmlProblem {
    std::string message;
    int line = 0;
};

void remember_problem(void* where, const xmlError* error) {
    auto& problem = *static_cast<XmlProblem*>(where);
    if (!problem.message.empty() || error->level < XML_ERR_ERROR) return;
    problem.message = single_spaced(error->message ? error->message : "not XML");
    problem.line = error->line;
}

std::string text_of(const xmlChar* text) { return text ? reinterpret_cast<const char*>(text) : ""; }

std::string attribute(xmlTextReaderPtr reader, const char* name) {
    const std::unique_ptr<xmlChar, void (*)(void*)> value(xmlTextReaderGetAttribute(reader, reinterpret_cast<const xmlChar*>(name)),
                                                          xmlFree);
    return text_of(value.get());
}

// Collects one translation unit after the other; memory does not grow with the file.
class TmxReader {
public:
    TmxReader(const std::filesystem::path& file, const Language& source, const Language& target, const RowSink& sink)
        : file_(file.string()), origin_(single_spaced(file.filename().string())), source_(source), target_(target), sink_(sink) {}

    void read() {
        if (std::filesystem::is_directory(file_)) throw Error(ErrorKind::file, file_, "is a folder, expected a TMX file");
        // No network and no expansion of entities: a file must not be able to read others or to swell.
        reader_.reset(xmlReaderForFile(file_.c_str(), nullptr, XML_PARSE_NONET | XML_PARSE_COMPACT));
        if (!reader_) throw Error(ErrorKind::file, file_, "cannot read the file", "check the path");
        xmlTextReaderSetStructuredErrorHandler(
            reader_.get(), [](void* where, xmlErrorPtr error) { remember_problem(where, error); }, &problem_);
        int state = 0;
        while ((state = xmlTextReaderRead(reader_.get())) == 1) visit();
        if (state != 0 || !problem_.message.empty()) {
            const std::string place = problem_.line > 0 ? file_ + ":" + std::to_string(problem_.line) : file_;
            throw Error(ErrorKind::file, place, "not a whole TMX file: " + (problem_.message.empty() ? "cannot read it" : problem_.message),
                        "mend the file or export it again");
        }
        if (!is_tmx_) throw Error(ErrorKind::file, file_, "is XML but no TMX: no <tmx> element in it", "check that this is the right file");
    }

private:
    void visit() {
        const int type = xmlTextReaderNodeType(reader_.get());
        const std::string name = text_of(xmlTextReaderConstLocalName(reader_.get()));
        if (type == XML_READER_TYPE_ELEMENT) {
            const bool empty = xmlTextReaderIsEmptyElement(reader_.get()) == 1;
            if (name == "tmx") is_tmx_ = true;
            else if (name == "tu") segments_.clear();
            else if (name == "tuv") start_variant();
            else if (name == "seg" && !empty) in_segment_ = true;
            else if (in_segment_ && is_code(name) && !empty) ++code_depth_;
        } else if (type == XML_READER_TYPE_END_ELEMENT) {
            if (name == "tu") finish_unit();
            else if (name == "seg") in_segment_ = false;
            else if (in_segment_ && is_code(name)) --code_depth_;
        } else if (in_segment_ && code_depth_ == 0 && variant_ &&
                   (type == XML_READER_TYPE_TEXT || type == XML_READER_TYPE_CDATA || type == XML_READER_TYPE_SIGNIFICANT_WHITESPACE)) {
            segments_[*variant_] += text_of(xmlTextReaderConstValue(reader_.get()));
        }
    }

    // These hold the formatting codes of the original document; <hi> and <sub> hold text.
    static bool is_code(const std::string& name) { return name == "bpt" || name == "ept" || name == "it" || name == "ph" || name == "ut"; }

    void start_variant() {
        std::string code = attribute(reader_.get(), "xml:lang");
        if (code.empty()) code = attribute(reader_.get(), "lang");
        if (code.empty()) {
            throw Error(ErrorKind::file, file_ + ":" + std::to_string(xmlTextReaderGetParserLineNumber(reader_.get())),
                        "a <tuv> does not say its language", "TMX wants xml:lang on each");
        }
        variant_.reset();
        try {
            variant_ = rank(Language(code));
        } catch (const Error&) {
            return;  // a private code: neither of the two languages
        }
        if (variant_) segments_[*variant_].clear();
    }

    // 0 and 1: exactly source and target. 2 and 3: the same language elsewhere ("en-GB" for "en"), taken when there is no exact one.
    std::optional<int> rank(const Language& language) const {
        if (language == source_) return 0;
        if (language == target_) return 1;
        if (language.same_base(source_)) return 2;
        if (language.same_base(target_)) return 3;
        return std::nullopt;
    }

    void finish_unit() {
        const auto pick = [this](int exact, int near) -> const std::string* {
            for (const int one : {exact, near}) {
                if (const auto found = segments_.find(one); found != segments_.end()) return &found->second;
            }
            return nullptr;
        };
        const std::string *source = pick(0, 2), *target = pick(1, 3);
        if (source && target) sink_({*source, *target, origin_});
        variant_.reset();
    }

    std::string file_, origin_;
    const Language &source_, &target_;
    const RowSink& sink_;
    std::unique_ptr<xmlTextReader, void (*)(xmlTextReaderPtr)> reader_{nullptr, xmlFreeTextReader};
    XmlProblem problem_;
    std::map<int, std::string> segments_;
    std::optional<int> variant_;
    int code_depth_ = 0;
    bool in_segment_ = false, is_tmx_ = false;
};

}  // namespace

void read_tmx(const std::filesystem::path& file, const Language& source, const Language& target, const RowSink& sink) {
    TmxReader(file, source, target, sink).read();
}

}  // namespace permille
