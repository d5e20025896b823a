// The table of methods as JSON in a source file, which tell_methods.cpp writes when the program is built.
#pragma once

namespace permille {

extern const char* const kToldMethods;

}  // namespace permille
