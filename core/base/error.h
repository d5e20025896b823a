// The one error type of Permille: every failure that a user can meet says what kind it is, where it happened, what was found and expected,
// and what to do about it. Third-party exceptions are wrapped into it where the library is called.
#pragma once

#include <exception>
#include <string>
#include <string_view>
#include <vector>

namespace permille {

enum class ErrorKind { config, usage, file, tensor, unsupported, device_memory, database, not_a_number, network, internal };

std::string_view to_string(ErrorKind kind);

class Error : public std::exception {
public:
    // where: file and line, JSON pointer, field or tensor name; what: found and expected; fix: what the user can do (may be empty).
    Error(ErrorKind kind, std::string where, std::string what, std::string fix = {});

    ErrorKind kind() const { return kind_; }
    const std::string& where() const { return where_; }
    const std::string& found() const { return found_; }
    const std::string& fix() const { return fix_; }
    // "where: what; fix"
    const char* what() const noexcept override { return message_.c_str(); }
    // Whether the machine is at fault and not the work: a locked database, a full disk, a network that does not answer. The same may
    // succeed later, so a run that meets it is to be continued and has not failed.
    bool temporary() const { return temporary_; }
    Error& make_temporary() { return temporary_ = true, *this; }

private:
    ErrorKind kind_;
    std::string where_, found_, fix_, message_;
    bool temporary_ = false;
};

// Throws an internal Error that names the source line when a condition that our own code guarantees does not hold.
void check_internal(bool condition, const char* expectation, const char* file, int line);
#define PERMILLE_ASSERT(condition) ::permille::check_internal(static_cast<bool>(condition), #condition, __FILE__, __LINE__)

// The candidate with the fewest edits from `word` (case aside; swapped neighbours count as one), or "" when more than a third of its
// letters differ.
std::string nearest(std::string_view word, const std::vector<std::string>& candidates);

// "a, b, c and 12 more"
std::string list_some(const std::vector<std::string>& items, std::size_t most = 12);

}  // namespace permille
