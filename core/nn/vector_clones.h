// For loops over numbers: compiled for several instruction sets, of which the machine's best is taken when the program starts. A header
// only for .cpp files; what such a function calls must be inlined into it.
#pragma once

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)
#define PERMILLE_VECTOR __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default"), optimize("O3")))
#else
#define PERMILLE_VECTOR
#endif
