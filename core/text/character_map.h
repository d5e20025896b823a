// The table by which a sentencepiece model normalises characters (NormalizerSpec.precompiled_charsmap): a double-array trie of what is
// replaced (Yata et al. 2007, as darts-clone lays it out) and the texts that replace it, each ended by a zero.
#pragma once

#include <string>
#include <string_view>

namespace permille {

// The library follows the trie without a look at its bounds, so a damaged one would have it read anywhere in memory. Throws Error(file)
// that names `where` unless every step in the maps of this serialised model stays within them.
void require_sound_character_maps(std::string_view sentencepiece_model, const std::string& where);

}  // namespace permille
