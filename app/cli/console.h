// Where a verb reads, prints and reports: data goes to standard output, progress and messages to standard error, Ctrl-C asks to stop.
#pragma once

#include <iosfwd>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "core/base/events.h"
#include "core/base/json.h"

namespace permille::cli {

class Console {
public:
    Console(bool json, bool quiet);
    ~Console();
    Console(const Console&) = delete;
    Console& operator=(const Console&) = delete;

    // One JSON document is wanted on standard output and nothing else anywhere, except an error.
    bool json() const { return json_; }
    std::ostream& out();
    // Prints the document of --json.
    void print(const Json& document);
    // Prints rows in columns; the first row is the heading. Numbers (as they look) are set to the right.
    void print_table(const std::vector<std::vector<std::string>>& rows);
    // A line on standard error; silent with --json and --quiet.
    void say(const std::string& line);
    // A line on standard error that says what went wrong: with --quiet too; with --json it belongs into the document.
    void complain(const std::string& line);

    // Shows progress with the time that remains on standard error: one line that is rewritten on a terminal, now and then a plain line
    // elsewhere. May be called from any thread. Silent with --json and --quiet.
    EventSink sink();
    // The same for a line of the caller's own making. `key` is what it is about: elsewhere than on a terminal it is shown when that
    // changes.
    void show_status(const std::string& key, const std::string& line);
    // Ends the rewritten line; say() and print() do so too.
    void end_progress();

    // From the first call on, Ctrl-C (or SIGTERM) no longer ends the program at once: the first one requests a stop, so that work can be
    // saved, the second ends it. The exit code is 130 in any case.
    std::stop_token stop_token();
    bool stopped() const;

    // All lines of standard input, without their ends; a last line without an end counts, "\r\n" ends count as "\n".
    std::vector<std::string> read_lines();

private:
    struct State;
    std::unique_ptr<State> state_;
    bool json_ = false;
};

// "1:02:03", "4:05", "12 s"
std::string shown_duration(double seconds);
// "1,234,567"
std::string shown_count(std::int64_t count);
// "735 MB"
std::string shown_bytes(std::int64_t bytes);
// Names and values one below the other, deeper ones further in, for documents that have no form of their own. Names that end in _bytes are
// sizes.
void print_tree(std::ostream& out, const Json& value, const std::string& indent = {});
// A number with this many digits after the point; "-" for NaN.
std::string shown_number(double value, int digits);

}  // namespace permille::cli
