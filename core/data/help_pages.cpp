#include <algorithm>
#include <map>
#include <string_view>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/stopped.h"
#include "core/data/catalogs.h"
#include "core/data/markup.h"
#include "core/data/unicode.h"

namespace permille {
namespace fs = std::filesystem;

namespace {

struct Block {
    std::string tag, id, text;
};

bool is_one_of(std::string_view name, std::initializer_list<std::string_view> names) {
    return std::find(names.begin(), names.end(), name) != names.end();
}

// A page's paragraphs and headings, in order. Made for the machine-written pages of the two help systems: no error correction as browsers
// do.
class PageReader {
public:
    explicit PageReader(std::string_view page) : page_(page) {}

    std::vector<Block> read() {
        while (at_ < page_.size()) {
            if (page_[at_] != '<') {
                const std::size_t end = std::min(page_.find('<', at_), page_.size());
                if (open_ && skipped_.empty()) blocks_.back().text += page_.substr(at_, end - at_);
                at_ = end;
            } else if (page_.substr(at_, 4) == "<!--") {
                const std::size_t end = page_.find("-->", at_);
                at_ = end == std::string_view::npos ? page_.size() : end + 3;
            } else {
                read_tag();
            }
        }
        for (Block& block : blocks_) block.text = single_spaced(decode_references(block.text));
        return std::move(blocks_);
    }

private:
    void read_tag() {
        std::size_t end = page_.find('>', at_);
        if (end == std::string_view::npos) end = page_.size() - 1;
        const std::string_view tag = page_.substr(at_ + 1, end - at_ - 1);
        at_ = end + 1;
        const bool closing = tag.starts_with('/');
        const std::string_view name = tag.substr(closing ? 1 : 0, tag.find_first_of(" \t\n/", 1) - (closing ? 1 : 0));
        if (!skipped_.empty()) {
            if (name == skipped_ && !tag.ends_with('/')) depth_ += closing ? -1 : 1;
            if (depth_ == 0) skipped_ = {};
            return;
        }
        // Variants for another system or program, which the help viewer hides: <span hidden="true" id="MACtext..." class="MAC">.
        if (name == "span" && !closing && attribute(tag, "hidden") == "true" && !attribute(tag, "id").starts_with("default")) {
            skipped_ = name;
            depth_ = 1;
            return;
        }
        if (!closing && !tag.ends_with('/') &&
            is_one_of(name, {"head", "header", "aside", "footer", "script", "style", "nav", "pre", "info", "code", "screen", "synopsis"})) {
            // Code inside a sentence belongs to it; as a block of its own it is no text.
            if (!(open_ && name == "code")) {
                skipped_ = name;
                depth_ = 1;
            }
            return;
        }
        if (name == "br" && open_) blocks_.back().text += ' ';
        if (!is_one_of(name, {"p", "h1", "h2", "h3", "h4", "h5", "h6", "title", "desc"})) return;
        open_ = !closing && !tag.ends_with('/');
        if (open_) blocks_.push_back({std::string(name), attribute(tag, "id"), {}});
    }

    static std::string attribute(std::string_view tag, std::string_view name) {
        const std::string wanted = " " + std::string(name) + "=\"";
        const std::size_t at = tag.find(wanted);
        if (at == std::string_view::npos) return {};
        const std::size_t begin = at + wanted.size();
        return std::string(tag.substr(begin, std::min(tag.find('"', begin), tag.size()) - begin));
    }

    std::string_view page_, skipped_;
    std::vector<Block> blocks_;
    std::size_t at_ = 0;
    int depth_ = 0;  // of elements named skipped_
    bool open_ = false;
};

bool same_structure(const std::vector<Block>& a, const std::vector<Block>& b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                      [](const Block& x, const Block& y) { return x.tag == y.tag && x.id == y.id; });
}

}  // namespace

std::vector<Message> read_help_pages(const fs::path& english, const fs::path& translated, const std::string& extension,
                                     const std::stop_token& stop) {
    std::error_code failure;
    std::vector<fs::path> pages = entries_below(english, failure);
    std::erase_if(pages, [&](const fs::path& page) { return page.extension() != extension; });
    if (failure) throw Error(ErrorKind::file, english.string(), "cannot read the folder: " + failure.message(), "check the path");

    std::vector<Message> messages;
    for (const auto& page : pages) {
        throw_if_stopped(stop);
        const std::string name = page.lexically_relative(english).string();
        if (!fs::exists(translated / name)) continue;
        const std::string text = read_text(page), other_text = read_text(translated / name);
        if (invalid_utf8_at(text) != std::string::npos || invalid_utf8_at(other_text) != std::string::npos) {
            throw Error(ErrorKind::file, (translated / name).string(), "this page or its English one is not valid UTF-8",
                        "fetch the packages again");
        }
        const auto blocks = PageReader(text).read(), others = PageReader(other_text).read();
        if (same_structure(blocks, others)) {
            for (std::size_t i = 0; i < blocks.size(); ++i) {
                messages.push_back({name + '\1' + std::to_string(i), blocks[i].text, others[i].text});
            }
            continue;
        }
        std::map<std::string, const Block*> by_id;
        for (const Block& block : others) {
            if (!block.id.empty()) by_id.emplace(block.id, &block);
        }
        for (std::size_t i = 0; i < blocks.size(); ++i) {
            const auto found = by_id.find(blocks[i].id);
            if (found == by_id.end()) continue;
            messages.push_back({name + '\1' + std::to_string(i), blocks[i].text, found->second->text});
            by_id.erase(found);  // pages embed parts of others: each is taken once
        }
    }
    return messages;
}

}  // namespace permille
