// Thrown where work that was asked to stop has no result to return; caught where an outcome is made of it. Being stopped is no error.
#pragma once

namespace permille {

struct Stopped {};

}  // namespace permille
