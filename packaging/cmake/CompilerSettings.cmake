# Compiler settings for our own targets; third-party headers are system headers and stay silent.
if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()
set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O2 -g1")

find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM)
  # Paths count from the source folder, so that a second clone or work tree finds what the first one compiled.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_BASEDIR=${CMAKE_SOURCE_DIR} CCACHE_NOHASHDIR=1
      CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime ${CCACHE_PROGRAM})
endif()

# Those with which every source has been compiled without a warning: Debian 12's and 13's. Each release of a compiler finds something new to
# warn of, which must not keep anybody from building.
set(PERMILLE_KNOWN_COMPILER OFF)
if(CMAKE_CXX_COMPILER_ID STREQUAL GNU AND CMAKE_CXX_COMPILER_VERSION MATCHES "^(12|14)[.]")
  set(PERMILLE_KNOWN_COMPILER ON)
elseif(PERMILLE_WERROR)
  message(STATUS "Warnings stay warnings: this code has not been tried with ${CMAKE_CXX_COMPILER_ID} ${CMAKE_CXX_COMPILER_VERSION}")
endif()

if(PERMILLE_SANITIZE)
  # GCC takes the standard library's own functions for uninitialized when it instruments them.
  add_compile_options(-fsanitize=${PERMILLE_SANITIZE} -fno-omit-frame-pointer -Wno-maybe-uninitialized)
  add_link_options(-fsanitize=${PERMILLE_SANITIZE})
endif()

if(PERMILLE_FUZZ)
  # Undefined behaviour ends the program like any other finding.
  add_compile_options(-O1 -fsanitize=fuzzer-no-link -fno-sanitize-recover=all)
endif()

# permille_target(NAME): the warnings and definitions every target of ours has.
function(permille_target name)
  target_compile_options(${name} PRIVATE -Wall -Wextra -Wshadow -Wnon-virtual-dtor -Wimplicit-fallthrough -Wno-missing-field-initializers)
  # GCC from 13 on takes what a table has under a name for a part of that name, which is gone after the line.
  if(CMAKE_CXX_COMPILER_ID STREQUAL GNU AND CMAKE_CXX_COMPILER_VERSION VERSION_GREATER_EQUAL 13)
    target_compile_options(${name} PRIVATE -Wno-dangling-reference)
  endif()
  # GCC 12 at -O3 loses sight of a string's length in "text" + a and in push_back("text" + a): it takes the copy there for one beyond all bounds or onto
  # itself (its bugs 105329 and 105651, mended in 13), and says so under the first of three names that is on; so it does under the sanitizers. The other
  # builds at -O2 keep them.
  if(CMAKE_CXX_COMPILER_ID STREQUAL GNU AND CMAKE_CXX_COMPILER_VERSION MATCHES "^12[.]")
    set(quiet $<CONFIG:Release>)
    if(PERMILLE_SANITIZE)
      set(quiet 1)
    endif()
    foreach(false_alarm stringop-overflow restrict array-bounds)
      target_compile_options(${name} PRIVATE $<${quiet}:-Wno-${false_alarm}>)
    endforeach()
  endif()
  if(CCACHE_PROGRAM)
    target_compile_options(${name} PRIVATE -fpch-preprocess)
  endif()
  if(PERMILLE_WERROR AND PERMILLE_KNOWN_COMPILER)
    target_compile_options(${name} PRIVATE -Werror)
  endif()
  target_compile_definitions(${name} PRIVATE QT_NO_KEYWORDS QT_NO_CAST_FROM_ASCII QT_NO_CAST_TO_ASCII QT_NO_NARROWING_CONVERSIONS_IN_CONNECT)
  target_include_directories(${name} PRIVATE ${CMAKE_SOURCE_DIR})
endfunction()
