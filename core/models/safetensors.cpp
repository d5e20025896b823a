#include "core/models/safetensors.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <optional>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/json.h"
#include "core/base/stopped.h"
#include "core/models/mapped_tensor.h"

namespace permille {

namespace {

struct TypeName {
    const char* name;
    at::ScalarType type;
};
constexpr TypeName kTypes[] = {{"F64", at::kDouble}, {"F32", at::kFloat}, {"F16", at::kHalf}, {"BF16", at::kBFloat16}, {"I64", at::kLong},
                               {"I32", at::kInt},    {"I16", at::kShort}, {"I8", at::kChar},  {"U8", at::kByte},       {"BOOL", at::kBool}};

std::optional<at::ScalarType> type_of(const std::string& name) {
    for (const auto& entry : kTypes)
        if (name == entry.name) return entry.type;
    return std::nullopt;
}

const char* name_of(at::ScalarType type) {
    for (const auto& entry : kTypes)
        if (type == entry.type) return entry.name;
    throw Error(ErrorKind::internal, "safetensors", std::string("a tensor of type ") + at::toString(type) + " cannot be written");
}

// Some 150,000 tensors: a hostile header must not cost gigabytes once it is parsed.
constexpr std::uint64_t kMaxHeader = std::uint64_t{16} << 20;
constexpr std::uint64_t kMaxElements = std::uint64_t{1} << 50;

[[noreturn]] void damaged(const std::filesystem::path& file, const std::string& what) {
    throw Error(ErrorKind::file, file.string(), what, "the file is damaged or incomplete; fetch it again");
}

}  // namespace

TensorMap read_safetensors(const std::filesystem::path& file, std::map<std::string, std::string>* metadata) {
    const auto map = std::make_shared<const MappedFile>(file);
    const auto bytes = map->bytes();
    if (bytes.size() < 8) damaged(file, "has " + std::to_string(bytes.size()) + " bytes, too few for a safetensors header");
    std::uint64_t header_length = 0;
    std::memcpy(&header_length, bytes.data(), 8);
    if (header_length > kMaxHeader || header_length > bytes.size() - 8)
        damaged(file,
                "says that its header has " + std::to_string(header_length) + " bytes, but the file has " + std::to_string(bytes.size()));
    const std::string text(reinterpret_cast<const char*>(bytes.data()) + 8, header_length);
    const Json header = parse_json(text, file.string() + " (header)");
    if (!header.is_object()) damaged(file, "the header is not a JSON object");
    const std::uint64_t data_start = 8 + header_length, data_length = bytes.size() - data_start;

    TensorMap tensors;
    std::vector<std::pair<std::uint64_t, std::uint64_t>> places;
    for (const auto& [name, entry] : header.items()) {
        if (name == "__metadata__") {
            if (metadata && entry.is_object())
                for (const auto& [key, value] : entry.items())
                    if (value.is_string()) (*metadata)[key] = value.get<std::string>();
            continue;
        }
        const auto bad = [&file, &name = name](const std::string& what) { damaged(file, "tensor " + name + ": " + what); };
        if (!entry.is_object() || !entry.contains("dtype") || !entry.contains("shape") || !entry.contains("data_offsets") ||
            !entry["dtype"].is_string() || !entry["shape"].is_array() || !entry["data_offsets"].is_array() ||
            entry["data_offsets"].size() != 2)
            bad("its entry lacks dtype, shape or data_offsets");
        const auto type = type_of(entry["dtype"].get<std::string>());
        if (!type) bad("type " + entry["dtype"].get<std::string>() + " is not supported");
        std::vector<std::int64_t> shape;
        std::uint64_t length = c10::elementSize(*type), span = 1;
        for (const auto& size : entry["shape"]) {
            if (!size.is_number_unsigned()) bad("its shape holds something that is not a size");
            const auto value = size.get<std::uint64_t>();
            if (value > kMaxElements / span) bad("its shape is absurd");  // also beside a zero, where no bytes are missing
            span *= std::max<std::uint64_t>(value, 1);
            length *= value;
            shape.push_back(static_cast<std::int64_t>(value));
        }
        if (length > data_length) bad("its shape asks for more bytes than the file has");
        if (!entry["data_offsets"][0].is_number_unsigned() || !entry["data_offsets"][1].is_number_unsigned())
            bad("its data_offsets are not sizes");
        const auto begin = entry["data_offsets"][0].get<std::uint64_t>(), end = entry["data_offsets"][1].get<std::uint64_t>();
        if (begin > end || end > data_length) bad("lies outside the file");
        if (end - begin != length) bad("has " + std::to_string(end - begin) + " bytes, but its shape needs " + std::to_string(length));
        if (length > 0) places.emplace_back(begin, end);
        tensors[name] = mapped_tensor(map, data_start + begin, shape, *type);
    }
    std::sort(places.begin(), places.end());
    for (std::size_t i = 1; i < places.size(); ++i)
        if (places[i].first < places[i - 1].second) damaged(file, "two tensors overlap");
    return tensors;
}

namespace {

struct Header {
    std::string text;  // padded to a multiple of 8
    std::uint64_t data = 0;
};

Header make_header(const std::vector<TensorShape>& tensors, const std::map<std::string, std::string>& metadata) {
    nlohmann::ordered_json json = nlohmann::ordered_json::object();
    if (!metadata.empty()) json["__metadata__"] = metadata;
    Header header;
    for (const auto& [name, shape, type] : tensors) {
        std::uint64_t length = c10::elementSize(type);
        for (const auto size : shape) length *= static_cast<std::uint64_t>(size);
        json[name] = {{"dtype", name_of(type)}, {"shape", shape}, {"data_offsets", {header.data, header.data + length}}};
        header.data += length;
    }
    header.text = json.dump();
    header.text.append((8 - header.text.size() % 8) % 8, ' ');
    return header;
}

}  // namespace

std::int64_t safetensors_size(const std::vector<TensorShape>& tensors, const std::map<std::string, std::string>& metadata) {
    const Header header = make_header(tensors, metadata);
    return static_cast<std::int64_t>(8 + header.text.size() + header.data);
}

void write_safetensors(const std::filesystem::path& file, const std::vector<std::pair<std::string, at::Tensor>>& tensors,
                       const std::map<std::string, std::string>& metadata, const std::stop_token& stop) {
    std::vector<TensorShape> shapes;
    for (const auto& [name, tensor] : tensors) shapes.push_back({name, tensor.sizes().vec(), tensor.scalar_type()});
    const std::string text = make_header(shapes, metadata).text;
    write_atomically(file, [&](std::ostream& out) {
        const std::uint64_t length = text.size();
        out.write(reinterpret_cast<const char*>(&length), 8);
        out.write(text.data(), static_cast<std::streamsize>(text.size()));
        for (const auto& [name, tensor] : tensors) {
            throw_if_stopped(stop);
            const at::Tensor plain = tensor.detach().to(at::kCPU).contiguous();
            out.write(static_cast<const char*>(plain.const_data_ptr()), static_cast<std::streamsize>(plain.numel() * plain.element_size()));
        }
    });
}

}  // namespace permille
