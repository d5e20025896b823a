// Markup in translated text: tags, character references, and the marks of keyboard accelerators.
#pragma once

#include <string>
#include <string_view>

namespace permille {

// "&amp;", "&#x41;", "&nbsp;" and the like as characters; what is no known reference stays.
std::string decode_references(std::string_view text);

// Takes out tags ("<b>", "</link>", "<br/>", "<a href='x'>") and wiki links' brackets ("[[Help:Page|the page]]" -> "the page") and decodes
// character references. What only looks like a tag, such as the placeholder in "git clone <folder>", stays: a tag has an end tag, an
// attribute, a slash, or a name that is HTML's alone.
std::string strip_markup(std::string_view text);

// "_File", "&File", "~File" and "(_F)" lose the mark. Both sides are looked at: "foo_bar" on both sides is a name and stays.
void strip_accelerators(std::string& source, std::string& target);

}  // namespace permille
