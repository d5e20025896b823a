#include "core/peft/context.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <set>
#include <sstream>

#include "core/base/error.h"

namespace permille {

std::vector<Contexts::Domain> Contexts::parsed(const std::string& method) const {
    const auto wrong = [&](const std::string& text) {
        throw Error(ErrorKind::config, method + "/domains", "'" + text + "' is no domain of token ids",
                    "write a name, '=', ids and ranges: 'tags=0-3,128004-128103; names=57'");
    };
    const auto number = [&](const std::string& digits, const std::string& text) {
        if (digits.empty() || digits.size() > 9 || digits.find_first_not_of("0123456789") != std::string::npos) wrong(text);
        return std::stoll(digits);
    };
    std::vector<Domain> list;
    std::set<std::string> names = {"source", "target"};
    std::string text = domains;
    text.erase(std::remove(text.begin(), text.end(), ' '), text.end());
    std::istringstream stream(text);
    std::string one;
    while (std::getline(stream, one, ';')) {
        const auto equals = one.find('=');
        if (equals == std::string::npos || equals == 0) wrong(one);
        Domain domain{one.substr(0, equals), {}};
        if (domain.name.find('.') != std::string::npos || !names.insert(domain.name).second) wrong(one);
        std::istringstream ids(one.substr(equals + 1));
        std::string range;
        while (std::getline(ids, range, ',')) {
            const auto dash = range.find('-');
            const std::int64_t low = number(range.substr(0, dash), one);
            const std::int64_t high = dash == std::string::npos ? low : number(range.substr(dash + 1), one);
            if (high < low) wrong(one);
            domain.ranges.emplace_back(low, high);
        }
        if (domain.ranges.empty()) wrong(one);
        list.push_back(std::move(domain));
    }
    return list;
}

std::vector<std::string> Contexts::groups(const Site& site, const std::string& method) const {
    std::vector<std::string> names = {reads_source(site) ? "source" : "target"};
    for (const Domain& domain : parsed(method)) names.push_back(domain.name);
    return names;
}

Membership::Membership(const Site& site, std::vector<Contexts::Domain> domains)
    : source_(reads_source(site)), domains_(std::move(domains)) {}

at::Tensor Membership::operator()(const Forward& forward, at::ScalarType type) const {
    const at::Tensor& ids = source_ ? forward.source_ids : forward.target_ids;
    std::vector<at::Tensor> groups(1);
    at::Tensor text = ids.ge(0);
    for (const Contexts::Domain& domain : domains_) {
        at::Tensor inside = at::zeros_like(text);
        for (const auto& [low, high] : domain.ranges) inside = inside.logical_or(ids.ge(low).logical_and(ids.le(high)));
        text = text.logical_and(inside.logical_not());
        groups.push_back(inside);
    }
    groups.front() = text;
    return at::stack(groups, 1).to(type);
}

}  // namespace permille
