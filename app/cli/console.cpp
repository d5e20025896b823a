#include "app/cli/console.h"

#include <signal.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <iomanip>
#include <iostream>
#include <map>
#include <mutex>
#include <sstream>
#include <thread>

namespace permille::cli {

namespace {

using Clock = std::chrono::steady_clock;

constexpr auto kRedrawEvery = std::chrono::milliseconds(200);  // on a terminal
constexpr auto kPlainEvery = std::chrono::seconds(10);         // in a log
constexpr int kWake = SIGUSR2;                                 // ends the thread that waits for signals

sigset_t watched_signals() {
    sigset_t set;
    sigemptyset(&set);
    for (const int number : {SIGINT, SIGTERM, kWake}) sigaddset(&set, number);
    return set;
}

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

// Columns that a UTF-8 text takes on a terminal, near enough: one per code point.
std::size_t columns(const std::string& text) {
    return static_cast<std::size_t>(
        std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

std::string first_columns(const std::string& text, std::size_t most) {
    std::size_t seen = 0;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if ((static_cast<unsigned char>(text[i]) & 0xc0) != 0x80 && seen++ == most) return text.substr(0, i);
    }
    return text;
}

bool looks_like_number(const std::string& text) {
    return !text.empty() && text.find_first_not_of("0123456789.,%-+e ") == std::string::npos &&
           text.find_first_of("0123456789-") != std::string::npos;
}

}  // namespace

std::string shown_duration(double seconds) {
    if (!(seconds >= 0) || !std::isfinite(seconds)) return "-";
    const auto whole = static_cast<std::int64_t>(std::llround(seconds));
    std::ostringstream text;
    if (whole < 60) {
        text << whole << " s";
    } else if (whole < 3600) {
        text << whole / 60 << ":" << std::setw(2) << std::setfill('0') << whole % 60;
    } else {
        text << whole / 3600 << ":" << std::setw(2) << std::setfill('0') << whole / 60 % 60 << ":" << std::setw(2) << whole % 60;
    }
    return text.str();
}

std::string shown_count(std::int64_t count) {
    std::string digits = std::to_string(count);
    const std::size_t first = count < 0 ? 1 : 0;
    for (std::size_t at = digits.size(); at > first + 3;) digits.insert(at -= 3, ",");
    return digits;
}

std::string shown_bytes(std::int64_t bytes) {
    constexpr const char* units[] = {"B", "kB", "MB", "GB", "TB"};
    double size = static_cast<double>(bytes);
    std::size_t unit = 0;
    while (size >= 1000 && unit + 1 < std::size(units)) {
        size /= 1000;
        ++unit;
    }
    return shown_number(size, unit == 0 || size >= 100 ? 0 : 1) + " " + units[unit];
}

std::string shown_number(double value, int digits) {
    if (std::isnan(value)) return "-";
    std::ostringstream text;
    text << std::fixed << std::setprecision(digits) << value;
    return text.str();
}

void print_tree(std::ostream& out, const Json& value, const std::string& indent) {
    for (const auto& [name, entry] : value.items()) {
        out << indent;
        if (value.is_object()) out << name << ": ";
        else out << "- ";
        if (entry.is_structured()) {
            const bool flat =
                entry.is_array() && std::all_of(entry.begin(), entry.end(), [](const Json& part) { return part.is_primitive(); });
            if (entry.empty()) {
                out << "none\n";
            } else if (flat) {
                std::string line;
                for (const Json& part : entry)
                    line += (line.empty() ? "" : ", ") + (part.is_string() ? part.get<std::string>() : part.dump());
                out << line << '\n';
            } else {
                out << '\n';
                print_tree(out, entry, indent + "  ");
            }
        } else if (entry.is_string()) {
            out << entry.get<std::string>() << '\n';
        } else if (entry.is_number_integer() && name.ends_with("_bytes")) {
            out << shown_bytes(entry.get<std::int64_t>()) << '\n';
        } else {
            out << (entry.is_null() ? "-" : entry.dump()) << '\n';
        }
    }
}

struct Console::State {
    std::mutex mutex;
    bool terminal = isatty(STDERR_FILENO) == 1;
    bool silent = false;
    bool line_open = false;  // a rewritten line is on the screen
    struct Doing {
        Clock::time_point since = Clock::now();
        std::int64_t from = 0;  // how much of it was done when it appeared
        Clock::time_point drawn{};
    };
    std::map<std::string, Doing> doings;  // by what is being done; several runs may report in turn
    Clock::time_point drawn{};
    std::string status_key;
    std::map<std::string, double> metrics;
    std::stop_source stop;
    std::atomic<bool> saves = false;  // the verb looks at the stop token
    std::atomic<bool> stop_asked = false;
    std::jthread signals;  // the last member: it ends before what it uses

    void clear_line() {
        if (!line_open) return;
        std::cerr << "\r\033[K" << std::flush;
        line_open = false;
    }

    void write_line(const std::string& line) {
        clear_line();
        std::cerr << line << '\n' << std::flush;
    }

    void show(const Progress& event) {
        if (doings.size() > 100) doings.clear();
        auto [found, is_new] = doings.try_emplace(event.doing);
        Doing& doing = found->second;
        if (is_new || event.done < doing.from) doing = {Clock::now(), event.done, {}};
        const bool last = event.total > 0 && event.done >= event.total;
        const auto now = Clock::now();
        if (terminal && !last && now - drawn < kRedrawEvery) return;
        // In a log many short jobs in a row are one job, and the end of one is only told when its beginning was.
        if (!terminal && (last ? doing.drawn == Clock::time_point() : now - doing.drawn < kPlainEvery || now - drawn < kPlainEvery / 5))
            return;
        drawn = doing.drawn = now;

        std::ostringstream line;
        line << event.doing;
        if (event.total > 0) {
            line << "  " << shown_count(event.done) << " of " << shown_count(event.total) << "  "
                 << shown_number(100.0 * static_cast<double>(event.done) / static_cast<double>(event.total), 0) << " %";
        } else if (event.done > 0) {
            line << "  " << shown_count(event.done);
        }
        for (const auto& [name, value] : metrics) line << "  " << name << " " << shown_number(value, value >= 100 ? 0 : 3);
        double remains = event.eta_seconds;
        const double worked = seconds_since(doing.since);
        if (remains < 0 && event.total > 0 && event.done > doing.from && worked > 1)
            remains = worked * static_cast<double>(event.total - event.done) / static_cast<double>(event.done - doing.from);
        if (remains >= 0 && !last) line << "  ETA " << shown_duration(remains);

        draw(line.str());
    }

    void show_status(const std::string& key, const std::string& line) {
        if (silent) return;
        const std::lock_guard lock(mutex);
        if (!terminal && key == status_key && Clock::now() - drawn < kPlainEvery) return;
        status_key = key;
        drawn = Clock::now();
        draw(line);
    }

    void draw(const std::string& line) {
        if (!terminal) {
            write_line(line);
            return;
        }
        winsize size{};
        const std::size_t width = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
        std::cerr << '\r' << first_columns(line, width - 1) << "\033[K" << std::flush;
        line_open = true;
    }

    void take(const Event& event) {
        if (silent) return;
        const std::lock_guard lock(mutex);
        if (const auto* line = std::get_if<LogLine>(&event)) write_line(line->text);
        if (const auto* progress = std::get_if<Progress>(&event)) show(*progress);
        if (const auto* metric = std::get_if<StepMetric>(&event)) {
            // The rates are of use in the window's curves; a line of text has room for the losses and scores.
            const bool shown = metric->figure == StepFigure::train_loss || metric->figure == StepFigure::contrast_loss ||
                               metric->figure == StepFigure::valid_loss || metric->figure == StepFigure::valid_bleu;
            if (shown) metrics[std::string(to_string(metric->figure))] = metric->value;
        }
    }

    void watch(const std::stop_token& end) {
        const sigset_t set = watched_signals();
        for (int number = 0; sigwait(&set, &number) == 0 && !end.stop_requested();) {
            if (number == kWake) continue;
            if (!saves || stop_asked.exchange(true)) _exit(130);
            {
                const std::lock_guard lock(mutex);
                if (!silent) write_line("stopping: saving what is done (press Ctrl-C again to end at once)");
            }
            stop.request_stop();
        }
    }
};

Console::Console(bool json, bool quiet) : state_(std::make_unique<State>()), json_(json) {
    state_->silent = json || quiet;
    // Before any other thread is made, so that all of them inherit it and only the watching thread takes the signals.
    const sigset_t set = watched_signals();
    pthread_sigmask(SIG_BLOCK, &set, nullptr);
    state_->signals = std::jthread([state = state_.get()](const std::stop_token& end) { state->watch(end); });
}

Console::~Console() {
    end_progress();
    state_->signals.request_stop();
    pthread_kill(state_->signals.native_handle(), kWake);
}

std::ostream& Console::out() {
    end_progress();
    return std::cout;
}

void Console::print(const Json& document) { out() << document.dump(2, ' ', false, Json::error_handler_t::replace) << std::endl; }

void Console::print_table(const std::vector<std::vector<std::string>>& rows) {
    std::vector<std::size_t> widths;
    std::vector<bool> numeric;
    for (std::size_t r = 0; r < rows.size(); ++r) {
        widths.resize(std::max(widths.size(), rows[r].size()), 0);
        numeric.resize(widths.size(), true);
        for (std::size_t c = 0; c < rows[r].size(); ++c) {
            widths[c] = std::max(widths[c], columns(rows[r][c]));
            if (r > 0 && !rows[r][c].empty() && !looks_like_number(rows[r][c])) numeric[c] = false;
        }
    }
    std::ostream& stream = out();
    for (const auto& row : rows) {
        std::string line;
        for (std::size_t c = 0; c < row.size(); ++c) {
            const std::string gap(widths[c] - columns(row[c]), ' ');
            line += (c ? "  " : "") + (numeric[c] ? gap + row[c] : row[c] + gap);
        }
        line.erase(line.find_last_not_of(' ') + 1);
        stream << line << '\n';
    }
    stream << std::flush;
}

void Console::say(const std::string& line) {
    if (state_->silent) return;
    const std::lock_guard lock(state_->mutex);
    state_->write_line(line);
}

void Console::complain(const std::string& line) {
    if (json_) return;
    const std::lock_guard lock(state_->mutex);
    state_->write_line(line);
}

EventSink Console::sink() {
    return [state = state_.get()](const Event& event) { state->take(event); };
}

void Console::show_status(const std::string& key, const std::string& line) { state_->show_status(key, line); }

void Console::end_progress() {
    const std::lock_guard lock(state_->mutex);
    state_->clear_line();
}

std::stop_token Console::stop_token() {
    state_->saves = true;
    return state_->stop.get_token();
}

bool Console::stopped() const { return state_->stop.stop_requested(); }

std::vector<std::string> Console::read_lines() {
    std::vector<std::string> lines;
    std::string line;
    while (std::getline(std::cin, line)) {
        if (!line.empty() && line.back() == '\r') line.pop_back();
        lines.push_back(line);
    }
    return lines;
}

}  // namespace permille::cli
