#include <algorithm>
#include <cctype>
#include <optional>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/data/catalogs.h"
#include "core/data/unicode.h"

namespace permille {
namespace {

// The header names the encoding, so it must be known before the file can be read as text; all encodings in use for PO files keep ASCII.
std::string charset_in(const std::string& bytes) {
    const auto at = bytes.find("charset=");
    if (at == std::string::npos || at > 20000) return "UTF-8";
    std::string name;
    for (std::size_t i = at + 8; i < bytes.size(); ++i) {
        const auto c = static_cast<unsigned char>(bytes[i]);
        if (!std::isalnum(c) && c != '-' && c != '_' && c != '.' && c != ':') break;
        name += bytes[i];
    }
    return name.empty() || name == "CHARSET" ? "UTF-8" : name;
}

class PoReader {
public:
    explicit PoReader(const std::filesystem::path& file) : file_(file) {
        text_ = read_text(file);
        const std::string charset = charset_in(text_);
        if (charset != "UTF-8" && charset != "utf-8") text_ = from_encoding(text_, charset, file.string());
        if (const auto at = invalid_utf8_at(text_); at != std::string::npos) {
            line_ = 1 + static_cast<int>(std::count(text_.begin(), text_.begin() + static_cast<std::ptrdiff_t>(at), '\n'));
            fail("not valid UTF-8", "the header of the file must name its encoding");
        }
        if (text_.starts_with("\xEF\xBB\xBF")) text_.erase(0, 3);
    }

    std::vector<Message> read() {
        std::size_t at = 0;
        while (at < text_.size()) {
            const std::size_t end = std::min(text_.find('\n', at), text_.size());
            ++line_;
            read_line(trimmed(std::string_view(text_).substr(at, end - at)));
            at = end + 1;
        }
        finish();
        return std::move(messages_);
    }

private:
    static std::string_view trimmed(std::string_view line) {
        while (!line.empty() && std::isspace(static_cast<unsigned char>(line.front()))) line.remove_prefix(1);
        while (!line.empty() && std::isspace(static_cast<unsigned char>(line.back()))) line.remove_suffix(1);
        return line;
    }

    [[noreturn]] void fail(const std::string& what, const std::string& fix = "mend the file; msgfmt -c says more") const {
        throw Error(ErrorKind::file, file_.string() + ":" + std::to_string(line_), what, fix);
    }

    void read_line(std::string_view line) {
        if (line.empty() || line.starts_with("#")) {
            // A comment begins the next entry when this one has its translation.
            if (translation_) finish();
            if (line.starts_with("#,") && line.find("fuzzy") != std::string_view::npos) fuzzy_ = true;
            return;
        }
        if (line.front() == '"') {
            if (!current_ && !skipping_) fail("a string that belongs to no keyword");
            append(line);
            return;
        }
        const std::size_t length = line.find_first_of(" \t\"");
        const std::string_view keyword = line.substr(0, length);
        const std::string_view rest = length == std::string_view::npos ? std::string_view() : trimmed(line.substr(length));
        current_ = nullptr;
        skipping_ = false;
        if (keyword == "msgctxt" || (keyword == "msgid" && (translation_ || !context_))) {
            if (translation_) finish();
        }
        if (keyword == "msgctxt") {
            current_ = &context_.emplace();
        } else if (keyword == "msgid") {
            current_ = &id_.emplace();
        } else if (keyword == "msgstr" || keyword == "msgstr[0]") {
            if (!id_) fail("a msgstr without a msgid");
            current_ = &translation_.emplace();
        } else if (keyword == "msgid_plural" || keyword.starts_with("msgstr[")) {
            skipping_ = true;
        } else {
            fail("expected msgid, msgstr, a comment or a string, found '" + std::string(line.substr(0, 30)) + "'");
        }
        if (rest.empty()) fail("'" + std::string(keyword) + "' without a string");
        append(rest);
    }

    void append(std::string_view quoted) {
        if (quoted.size() < 2 || quoted.front() != '"' || quoted.back() != '"') fail("a string without its closing quote");
        if (skipping_) return;
        for (std::size_t i = 1; i + 1 < quoted.size(); ++i) {
            char c = quoted[i];
            if (c == '"') fail("a quote inside a string must be written \\\"");
            if (c == '\\') {
                if (++i + 1 >= quoted.size()) fail("a string without its closing quote");
                c = quoted[i];
                if (c == 'n') c = '\n';
                else if (c == 't') c = '\t';
                else if (c == 'r') c = '\r';
            }
            current_->push_back(c);
        }
    }

    void finish() {
        if (id_ && translation_ && !fuzzy_ && !id_->empty() && !translation_->empty()) {
            messages_.push_back({(context_ ? *context_ + '\4' : std::string()) + *id_, *id_, *translation_});
        }
        context_.reset();
        id_.reset();
        translation_.reset();
        current_ = nullptr;
        skipping_ = fuzzy_ = false;
    }

    std::filesystem::path file_;
    std::string text_;
    std::vector<Message> messages_;
    std::optional<std::string> context_, id_, translation_;
    std::string* current_ = nullptr;
    bool skipping_ = false, fuzzy_ = false;
    int line_ = 0;
};

}  // namespace

std::vector<Message> read_po(const std::filesystem::path& file) { return PoReader(file).read(); }

}  // namespace permille
