#include "core/text/piece_ids.h"

#include <algorithm>

#include "core/base/error.h"
#include "core/base/json.h"
#include "core/text/tokenizer_files.h"

namespace permille {

PieceIds::PieceIds(const std::filesystem::path& file) : where_(file.string()) {
    const Json json = read_json(file);
    if (!json.is_object() || json.empty())
        throw Error(ErrorKind::file, where_, "expected a JSON object of pieces and their ids", "copy or download the file again");
    for (const auto& [token, value] : json.items()) {
        const std::int64_t id = value.is_number_integer() ? value.get<std::int64_t>() : -1;
        if (id < 0 || id >= kMostTokens)
            throw Error(ErrorKind::file, where_ + ", '" + token + "'", "expected an id from 0 to " + std::to_string(kMostTokens - 1),
                        "copy or download the file again");
        id_of_.emplace(token, id);
        token_of_.insert_or_assign(id, token);
        size_ = std::max(size_, id + 1);
    }
}

std::int64_t PieceIds::id(const std::string& token) const {
    const auto found = id_of_.find(token);
    return found == id_of_.end() ? -1 : found->second;
}

const std::string* PieceIds::token(std::int64_t id) const {
    const auto found = token_of_.find(id);
    return found == token_of_.end() ? nullptr : &found->second;
}

std::int64_t PieceIds::required(const std::string& name, const std::string& token) const {
    const std::int64_t found = id(token);
    if (found < 0) throw Error(ErrorKind::file, where_, "has no " + name + " '" + token + "'", "copy or download the file again");
    return found;
}

}  // namespace permille
