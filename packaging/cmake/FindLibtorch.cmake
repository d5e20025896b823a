# Imported targets for an unpacked libtorch: a PyPI wheel's torch folder, a virtual environment's, or pytorch.org's archive.
#
# We do not use find_package(Torch): with a CUDA wheel it wants a whole CUDA toolkit. The programs link the CPU part only and load the
# libtorch_cuda.so beside it when it is there, before they first use a device, so one binary serves both kinds of machine.
#
# Input:  Torch_ROOT (or the environment variable of that name); otherwise third_party/libtorch, where packaging/setup.sh puts it.
# Output: the target Libtorch::Libtorch, Libtorch_VERSION, Libtorch_LIBRARY_DIRS.
set(_hints ${Torch_ROOT} $ENV{Torch_ROOT} ${CMAKE_SOURCE_DIR}/third_party/libtorch)
find_path(Libtorch_INCLUDE_DIR torch/csrc/api/include/torch/torch.h
  HINTS ${_hints} PATH_SUFFIXES include torch/include NO_DEFAULT_PATH)
if(Libtorch_INCLUDE_DIR)
  get_filename_component(_torch "${Libtorch_INCLUDE_DIR}" DIRECTORY)
  find_library(Libtorch_CPU_LIBRARY torch_cpu HINTS ${_torch}/lib NO_DEFAULT_PATH)
  find_library(Libtorch_C10_LIBRARY c10 HINTS ${_torch}/lib NO_DEFAULT_PATH)
  file(STRINGS ${Libtorch_INCLUDE_DIR}/torch/headeronly/version.h _lines REGEX "define TORCH_VERSION_(MAJOR|MINOR|PATCH) ")
  string(REGEX MATCHALL "[0-9]+" _numbers "${_lines}")
  list(JOIN _numbers "." Libtorch_VERSION)
  # Where the CUDA runtime libraries of the same wheel set lie; libtorch_cpu.so of a CUDA wheel needs libcudart and libcupti.
  file(GLOB _nvidia ${_torch}/../nvidia/*/lib)
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(Libtorch
  REQUIRED_VARS Libtorch_CPU_LIBRARY Libtorch_C10_LIBRARY Libtorch_INCLUDE_DIR
  VERSION_VAR Libtorch_VERSION
  REASON_FAILURE_MESSAGE "run packaging/setup.sh, or give -DTorch_ROOT=<unpacked libtorch 2.11>")

if(Libtorch_FOUND AND NOT TARGET Libtorch::Libtorch)
  set(Libtorch_LIBRARY_DIRS ${_torch}/lib ${_nvidia})
  add_library(Libtorch::c10 SHARED IMPORTED)
  set_target_properties(Libtorch::c10 PROPERTIES IMPORTED_LOCATION ${Libtorch_C10_LIBRARY})
  add_library(Libtorch::Libtorch SHARED IMPORTED)
  set_target_properties(Libtorch::Libtorch PROPERTIES
    IMPORTED_LOCATION ${Libtorch_CPU_LIBRARY}
    INTERFACE_INCLUDE_DIRECTORIES "${Libtorch_INCLUDE_DIR};${Libtorch_INCLUDE_DIR}/torch/csrc/api/include"
    INTERFACE_LINK_LIBRARIES Libtorch::c10)
  list(APPEND CMAKE_BUILD_RPATH ${Libtorch_LIBRARY_DIRS})
  foreach(dir ${Libtorch_LIBRARY_DIRS})
    set_property(TARGET Libtorch::Libtorch APPEND PROPERTY INTERFACE_LINK_OPTIONS "-Wl,-rpath-link,${dir}")
  endforeach()
endif()
mark_as_advanced(Libtorch_INCLUDE_DIR Libtorch_CPU_LIBRARY Libtorch_C10_LIBRARY)
