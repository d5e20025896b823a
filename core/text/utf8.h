// Checks on the text that goes into a model.
#pragma once

#include <string>
#include <string_view>

namespace permille {

// Throws Error(file) that names the first byte that is not UTF-8 (a surrogate, an overlong form, a cut character).
void require_utf8(std::string_view text);

// Without the white space at both ends, as Python's str.strip() sees white space.
std::string_view stripped(std::string_view text);
// Whether the text's last character is white space, has no shape of its own (a control, a zero-width character) or is the sign that
// sentencepiece writes for a space.
bool ends_unseen(std::string_view text);

}  // namespace permille
