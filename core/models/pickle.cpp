#include "core/models/pickle.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <utility>

#include "core/base/error.h"
#include "core/text/utf8.h"

namespace permille {

namespace {

using Kind = PickleValue::Kind;

// A checkpoint of 50,000 tensors stays below these; the worst that a hostile one can cost is some hundred megabytes.
constexpr std::size_t kMostBytes = std::size_t{32} << 20;
constexpr std::size_t kMostValues = std::size_t{1} << 21;
constexpr std::size_t kMostReferences = std::size_t{1} << 24;

constexpr std::string_view kOrderedDict = "collections.OrderedDict", kRebuildParameter = "torch._utils._rebuild_parameter";
constexpr std::string_view kRebuildTensor[] = {"torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2"};
constexpr std::string_view kStorages[] = {"torch.FloatStorage", "torch.HalfStorage", "torch.BFloat16Storage", "torch.DoubleStorage",
                                          "torch.LongStorage",  "torch.IntStorage",  "torch.ShortStorage",    "torch.CharStorage",
                                          "torch.ByteStorage",  "torch.BoolStorage"};

template <class List>
bool contains(const List& list, std::string_view name) {
    return std::find(std::begin(list), std::end(list), name) != std::end(list);
}

// The name as it lives in the tables above, or empty.
std::string_view known_global(std::string_view name) {
    if (name == kOrderedDict) return kOrderedDict;
    if (name == kRebuildParameter) return kRebuildParameter;
    for (const auto known : kRebuildTensor)
        if (name == known) return known;
    for (const auto known : kStorages)
        if (name == known) return known;
    return {};
}

class Machine {
public:
    Machine(std::span<const std::byte> bytes, std::size_t begin, const std::string& where) : bytes_(bytes), place_(begin), where_(where) {
        end_ = bytes.size() - begin > kMostBytes ? begin + kMostBytes : bytes.size();
    }

    Pickle run() {
        while (step()) {
        }
        pickle_.end = place_;
        return std::move(pickle_);
    }

private:
    [[noreturn]] void damaged(const std::string& what) const {
        throw Error(ErrorKind::file, where_ + ", pickle at byte " + std::to_string(operation_), what,
                    "the file is damaged or incomplete; fetch it again");
    }
    [[noreturn]] void refuse(const std::string& what) const {
        throw Error(ErrorKind::unsupported, where_ + ", pickle at byte " + std::to_string(operation_), what,
                    "only tensors are read from a pickle, because anything else in it could run code; ask for the model as safetensors");
    }

    std::string_view take(std::uint64_t count) {
        if (count > end_ - place_) damaged(end_ == bytes_.size() ? "it ends too early" : "it is longer than any checkpoint's");
        const std::string_view taken(reinterpret_cast<const char*>(bytes_.data()) + place_, count);
        place_ += count;
        return taken;
    }
    template <class Number>
    Number number() {
        Number value;
        std::memcpy(&value, take(sizeof value).data(), sizeof value);
        return value;
    }
    std::string_view line() {
        const std::string_view rest(reinterpret_cast<const char*>(bytes_.data()) + place_, std::min<std::size_t>(end_ - place_, 1000));
        const auto length = rest.find('\n');
        if (length == std::string_view::npos) damaged("a name in it has no end");
        place_ += length + 1;
        return rest.substr(0, length);
    }

    std::uint32_t push(PickleValue value) {
        if (pickle_.values.size() >= kMostValues) damaged("it holds more values than any checkpoint");
        pickle_.values.push_back(std::move(value));
        const auto place = static_cast<std::uint32_t>(pickle_.values.size() - 1);
        push_place(place);
        return place;
    }
    void push_place(std::uint32_t place) {
        // Every reference in a list or dictionary was once pushed, so this bounds those as well.
        if (++references_ > kMostReferences) damaged("it holds more values than any checkpoint");
        stack_.push_back(place);
    }
    std::size_t floor() const { return marks_.empty() ? 0 : marks_.back(); }
    std::uint32_t top() const {
        if (stack_.size() <= floor()) damaged("it takes a value that is not there");
        return stack_.back();
    }
    std::uint32_t pop() {
        const std::uint32_t place = top();
        stack_.pop_back();
        return place;
    }
    std::vector<std::uint32_t> pop_to_mark() {
        if (marks_.empty()) damaged("it lacks a mark");
        const auto from = stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back());
        std::vector<std::uint32_t> items(from, stack_.end());
        stack_.erase(from, stack_.end());
        marks_.pop_back();
        return items;
    }
    std::vector<std::uint32_t> pop_some(std::size_t count) {
        std::vector<std::uint32_t> items(count);
        for (std::size_t i = count; i-- > 0;) items[i] = pop();
        return items;
    }
    PickleValue& value(std::uint32_t place) { return pickle_.values[place]; }

    void push_integer(std::int64_t integer, Kind kind = Kind::integer) { push({kind, integer, {}, {}}); }
    void push_items(Kind kind, std::vector<std::uint32_t> items = {}) { push({kind, 0, {}, std::move(items)}); }
    void push_unicode(std::uint64_t length) {
        const std::string_view text = take(length);
        try {
            require_utf8(text);
        } catch (const Error&) {
            damaged("a text in it is not UTF-8");
        }
        push({Kind::text, 0, text, {}});
    }
    // Strings of Python 2: text where they are ASCII.
    void push_string(std::uint64_t length) {
        const std::string_view text = take(length);
        const bool ascii = std::all_of(text.begin(), text.end(), [](unsigned char letter) { return letter < 128; });
        push({ascii ? Kind::text : Kind::bytes, 0, text, {}});
    }
    void push_long(std::uint64_t length) {
        const std::string_view raw = take(length);
        if (length > 8) {
            push({Kind::bytes, 0, raw, {}});
            return;
        }
        std::uint64_t bits = !raw.empty() && static_cast<signed char>(raw.back()) < 0 ? ~std::uint64_t{0} : 0;
        std::memcpy(&bits, raw.data(), raw.size());
        push_integer(static_cast<std::int64_t>(bits));
    }

    void remember(std::uint32_t index) {
        if (index >= kMostValues) damaged("it remembers a value under the number " + std::to_string(index));
        if (memo_.size() <= index) memo_.resize(index + 1);
        memo_[index] = top();
        memo_count_ = std::max<std::size_t>(memo_count_, index + 1);
    }
    void recall(std::uint32_t index) {
        if (index >= memo_.size() || !memo_[index]) damaged("it recalls a value that it never kept, number " + std::to_string(index));
        push_place(*memo_[index]);
    }

    void push_global(std::string_view module, std::string_view name) {
        std::string full = std::string(module.substr(0, 200)) + "." + std::string(name.substr(0, 200));
        for (char& letter : full)
            if (letter < ' ' || letter > '~') letter = '?';
        const std::string_view known = known_global(full);
        if (known.empty()) refuse("wants the global " + full);
        push({Kind::global, 0, known, {}});
    }
    void push_storage(std::uint32_t id) {
        const PickleValue& given = value(id);
        if (given.kind != Kind::tuple || given.items.size() < 5 || given.items.size() > 6 || value(given.items[0]).kind != Kind::text ||
            value(given.items[0]).text != "storage")
            refuse("refers to an object outside of it that is not a storage");
        if (value(given.items[1]).kind != Kind::global || !contains(kStorages, value(given.items[1]).text))
            damaged("a storage in it has no type");
        push_items(Kind::storage, given.items);
    }
    void call() {
        const std::uint32_t arguments = pop(), callee = pop();
        if (value(callee).kind != Kind::global) refuse("calls something that is not a function");
        if (value(arguments).kind != Kind::tuple) damaged("a call in it has no arguments");
        const std::string_view name = value(callee).text;
        const std::vector<std::uint32_t>& given = value(arguments).items;
        if (name == kOrderedDict) {
            std::vector<std::uint32_t> items;
            if (given.size() > 1) damaged("a call of OrderedDict in it has " + std::to_string(given.size()) + " arguments");
            if (given.size() == 1) {
                if (value(given[0]).kind != Kind::list) damaged("an OrderedDict in it is not made of a list");
                for (const auto pair : value(given[0]).items) {
                    if ((value(pair).kind != Kind::list && value(pair).kind != Kind::tuple) || value(pair).items.size() != 2)
                        damaged("an OrderedDict in it is not made of pairs");
                    references_ += 2;
                    if (references_ > kMostReferences) damaged("it holds more values than any checkpoint");
                    items.insert(items.end(), value(pair).items.begin(), value(pair).items.end());
                }
            }
            push_items(Kind::dictionary, std::move(items));
        } else if (contains(kRebuildTensor, name)) {
            if (given.size() < 4 || given.size() > 8 || value(given[0]).kind != Kind::storage) damaged("a tensor in it has no storage");
            push_items(Kind::tensor, given);
        } else if (name == kRebuildParameter) {
            if (given.empty() || value(given[0]).kind != Kind::tensor) damaged("a parameter in it is not made of a tensor");
            push_place(given[0]);
        } else {
            refuse("calls " + std::string(name));
        }
    }
    void append(std::uint32_t list, const std::vector<std::uint32_t>& items, Kind kind, const char* what) {
        if (value(list).kind != kind) refuse(what);
        auto& own = value(list).items;
        own.insert(own.end(), items.begin(), items.end());
    }
    void set_items(const std::vector<std::uint32_t>& items) {
        if (items.size() % 2 != 0) damaged("a key in it has no value");
        append(top(), items, Kind::dictionary, "sets items of something that is not a dictionary");
    }

    bool step();

    std::span<const std::byte> bytes_;
    std::size_t place_, end_, operation_ = 0, references_ = 0, memo_count_ = 0;
    const std::string& where_;
    Pickle pickle_;
    std::vector<std::uint32_t> stack_;
    std::vector<std::size_t> marks_;
    std::vector<std::optional<std::uint32_t>> memo_;
};

// One operation; false at the end. Their numbers are those of Python's pickletools.
bool Machine::step() {
    operation_ = place_;
    const auto code = number<std::uint8_t>();
    switch (code) {
        case 0x80:  // PROTO
            if (const auto protocol = number<std::uint8_t>(); protocol > 5) refuse("is of protocol " + std::to_string(protocol));
            break;
        case 0x95: number<std::uint64_t>(); break;  // FRAME: how much to read ahead
        case '.': pickle_.root = pop(); return false;
        case '(':
            if (marks_.size() >= kMostValues) damaged("it holds more marks than any checkpoint");
            marks_.push_back(stack_.size());
            break;
        case '0':
            if (!marks_.empty() && stack_.size() == marks_.back()) marks_.pop_back();
            else pop();
            break;
        case '1': pop_to_mark(); break;
        case '2': push_place(top()); break;
        case 'N': push({}); break;
        case 0x88: push_integer(1, Kind::boolean); break;
        case 0x89: push_integer(0, Kind::boolean); break;
        case 'J': push_integer(number<std::int32_t>()); break;
        case 'K': push_integer(number<std::uint8_t>()); break;
        case 'M': push_integer(number<std::uint16_t>()); break;
        case 0x8a: push_long(number<std::uint8_t>()); break;
        case 0x8b: push_long(number<std::uint32_t>()); break;
        case 'G':
            take(8);
            push_integer(0, Kind::real);
            break;
        case 'U': push_string(number<std::uint8_t>()); break;
        case 'T': push_string(number<std::uint32_t>()); break;
        case 'C': push({Kind::bytes, 0, take(number<std::uint8_t>()), {}}); break;
        case 'B': push({Kind::bytes, 0, take(number<std::uint32_t>()), {}}); break;
        case 0x8e: push({Kind::bytes, 0, take(number<std::uint64_t>()), {}}); break;
        case 0x8c: push_unicode(number<std::uint8_t>()); break;
        case 'X': push_unicode(number<std::uint32_t>()); break;
        case 0x8d: push_unicode(number<std::uint64_t>()); break;
        case ']': push_items(Kind::list); break;
        case ')': push_items(Kind::tuple); break;
        case '}': push_items(Kind::dictionary); break;
        case 'l': push_items(Kind::list, pop_to_mark()); break;
        case 't': push_items(Kind::tuple, pop_to_mark()); break;
        case 0x85: push_items(Kind::tuple, pop_some(1)); break;
        case 0x86: push_items(Kind::tuple, pop_some(2)); break;
        case 0x87: push_items(Kind::tuple, pop_some(3)); break;
        case 'd': {
            const auto items = pop_to_mark();
            push_items(Kind::dictionary);
            set_items(items);
            break;
        }
        case 'a': {
            const auto item = pop_some(1);
            append(top(), item, Kind::list, "appends to something that is not a list");
            break;
        }
        case 'e': {
            const auto items = pop_to_mark();
            append(top(), items, Kind::list, "appends to something that is not a list");
            break;
        }
        case 's': set_items(pop_some(2)); break;
        case 'u': set_items(pop_to_mark()); break;
        case 'q': remember(number<std::uint8_t>()); break;
        case 'r': remember(number<std::uint32_t>()); break;
        case 0x94: remember(static_cast<std::uint32_t>(std::min(memo_count_, kMostValues))); break;
        case 'h': recall(number<std::uint8_t>()); break;
        case 'j': recall(number<std::uint32_t>()); break;
        case 'c': {
            const std::string_view module = line(), name = line();
            push_global(module, name);
            break;
        }
        case 0x93: {
            const std::uint32_t name = pop(), module = pop();
            if (value(name).kind != Kind::text || value(module).kind != Kind::text) damaged("a global in it has no name");
            push_global(value(module).text, value(name).text);
            break;
        }
        case 'i': {  // INST: a global and its call in one
            const std::string_view module = line(), name = line();
            push_global(module, name);
            refuse("makes an instance of " + std::string(module) + "." + std::string(name));
        }
        case 'Q': push_storage(pop()); break;
        case 'R': call(); break;
        case 'b': {  // BUILD: attributes, such as the _metadata of a state dict
            pop();
            if (value(top()).kind != Kind::dictionary) refuse("sets attributes of something that is not a dictionary");
            break;
        }
        default: {
            static constexpr char kDigits[] = "0123456789abcdef";
            refuse(std::string("has the operation 0x") + kDigits[code >> 4] + kDigits[code & 15]);
        }
    }
    return true;
}

}  // namespace

Pickle read_pickle(std::span<const std::byte> bytes, std::size_t begin, const std::string& where) {
    if (begin > bytes.size()) begin = bytes.size();
    return Machine(bytes, begin, where).run();
}

}  // namespace permille
