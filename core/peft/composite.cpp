// Several methods trained together on one base, "lora+layernorm": their tensors side by side, their settings under "lora.rank",
// "layernorm.variant". Each part keeps its own learning rate in relation to the first one's. Refused where two parts train the same
// parameter, where one of them must have a projection for itself, or where one changes what another replaces. A named combination ("mam")
// is the same with settings of its own.
#include "core/peft/composite.h"

#include <algorithm>
#include <map>
#include <mutex>

#include "core/base/error.h"
#include "core/peft/catalog.h"
#include "core/peft/method_data.h"

namespace permille {

namespace {

class Composite : public Method {
public:
    Composite(const std::string& id, std::vector<const Method*> parts) : parts_(std::move(parts)) {
        std::vector<MethodInfo> infos;
        for (const Method* part : parts_) infos.push_back(part->info());
        info_ = combined(id, infos);
    }

    // A named one, which owns its parts.
    Composite(MethodInfo named, std::vector<std::unique_ptr<Method>> parts, Json presets) : Composite(named.id, borrowed(parts)) {
        owned_ = std::move(parts);
        presets_ = std::move(presets);
        one_rate_ = true;
        for (Field& knob : info_.knobs)
            if (presets_.contains(knob.name)) knob.default_value = presets_[knob.name];
        named.sites = info_.sites;
        named.knobs = info_.knobs;
        named.size_knob = info_.size_knob;
        named.mergeable = info_.mergeable;
        named.identity_at_start = info_.identity_at_start;
        named.default_optimiser = info_.default_optimiser;
        info_ = std::move(named);
    }

    const MethodInfo& info() const override { return info_; }

    Json complete(const Json& settings) const override {
        if (!settings.is_null() && !settings.is_object())
            throw Error(ErrorKind::config, info_.id, "expected a list of 'name: value' settings");
        for (const auto& [key, value] : settings.items()) {
            std::vector<std::string> known;
            for (const Field& knob : info_.knobs) known.push_back(knob.name);
            if (std::find(known.begin(), known.end(), key) != known.end()) continue;
            const std::string near = nearest(key, known);
            throw Error(ErrorKind::config, info_.id + "/" + key, "unknown setting",
                        near.empty() ? "of several methods each setting has its method before it: " + known.front()
                                     : "did you mean '" + near + "'?");
        }
        Json given = presets_;
        for (const auto& [key, value] : settings.items()) given[key] = value;
        return joined_settings(given, [](const Method& part, const Json& own) { return part.complete(own); });
    }

    std::vector<TensorSpec> tensors(const Layout& layout, const Json& settings) const override {
        std::vector<TensorSpec> all;
        std::map<int, std::string> replaced;
        std::map<std::string, std::string> names;
        for (const Method* part : parts_) {
            const double rate = one_rate_ ? 1 : part->info().default_learning_rate / info_.default_learning_rate;
            for (TensorSpec spec : tensors_of(*part, layout, settings)) {
                if (spec.base >= 0 && !replaced.emplace(spec.base, part->info().id).second)
                    throw Error(ErrorKind::config, info_.id,
                                replaced[spec.base] + " and " + part->info().id + " both train " +
                                    layout.parameters[static_cast<std::size_t>(spec.base)].name,
                                "combine methods that train different things");
                if (!names.emplace(spec.name, part->info().id).second) spec.name = part->info().id + "." + spec.name;
                spec.rate *= rate;
                all.push_back(std::move(spec));
            }
        }
        return all;
    }

    void attach(Attachment& attachment, const Layout& layout, const Json& settings, const std::vector<at::Tensor>& values) const override {
        for_parts(layout, settings, values, [&](const Method& part, const Json& own, const std::vector<at::Tensor>& mine) {
            part.attach(attachment, layout, own, mine);
        });
        for (std::size_t i = 0; i < layout.sites.size(); ++i) {
            const int site = static_cast<int>(i);
            bool alone = false;
            for (const auto& delta : attachment.linears.at(site)) alone = alone || delta->alone();
            if ((alone && attachment.linears.at(site).size() > 1) || attachment.prefixes.at(site).size() > 1 ||
                attachment.prompts.at(site).size() > 1 || attachment.feed_forwards.at(site).size() > 1)
                throw Error(ErrorKind::config, info_.id, "the methods need " + layout.sites[i].name + " for themselves",
                            "combine methods that go to different places");
            if (attachment.feed_forwards.at(site).empty()) continue;
            // Nothing is left of the block for others to change.
            for (const char* name : {".fc1", ".fc2"}) {
                const int inner = layout.site(layout.sites[i].name + name);
                const Site& projection = layout.sites[static_cast<std::size_t>(inner)];
                const auto trained = [&](int index) { return attachment.parameters[static_cast<std::size_t>(index)].defined(); };
                if (attachment.linears.at(inner).empty() && !trained(projection.weight) && !trained(projection.bias)) continue;
                throw Error(ErrorKind::config, info_.id,
                            "one method changes " + projection.name + ", another puts something in the place of the whole block",
                            "combine methods that go to different places");
            }
        }
    }

    std::int64_t largest_size(const Layout& layout, const Json& settings) const override {
        for (const Method* part : parts_)
            if (!part->info().size_knob.empty()) return part->largest_size(layout, of(*part, settings));
        return 0;
    }

    Json stored_settings(const Json& settings) const override {
        return joined_settings(settings, [](const Method& part, const Json& own) { return part.stored_settings(own); });
    }
    Json trained_settings(const Layout& layout, const Json& settings, const std::vector<at::Tensor>& values) const override {
        std::size_t first = 0;
        return joined_settings(settings, [&](const Method& part, const Json& own) {
            const std::size_t count = part.tensors(layout, own).size();
            first += count;
            return part.trained_settings(layout, own, slice(values, first - count, count));
        });
    }
    std::vector<at::Tensor> stored_values(const Layout& layout, const Json& settings,
                                          const std::vector<at::Tensor>& values) const override {
        std::vector<at::Tensor> all;
        for_parts(layout, settings, values, [&](const Method& part, const Json& own, const std::vector<at::Tensor>& mine) {
            for (auto& value : part.stored_values(layout, own, mine)) all.push_back(std::move(value));
        });
        return all;
    }

    at::Tensor penalty(const Layout& layout, const Json& settings, const std::vector<at::Tensor>& values) const override {
        at::Tensor sum;
        for_parts(layout, settings, values, [&](const Method& part, const Json& own, const std::vector<at::Tensor>& mine) {
            const at::Tensor term = part.penalty(layout, own, mine);
            if (term.defined()) sum = sum.defined() ? sum + term : term;
        });
        return sum;
    }
    bool after_update(const Layout& layout, const Json& settings, const std::vector<at::Tensor>& weights,
                      const std::vector<at::Tensor>& values, std::int64_t update, std::int64_t total) const override {
        bool again = false;
        for_parts(layout, settings, values, [&](const Method& part, const Json& own, const std::vector<at::Tensor>& mine) {
            again = part.after_update(layout, own, weights, mine, update, total) || again;
        });
        return again;
    }
    std::int64_t first_choice(const Json& settings, std::int64_t total) const override {
        std::int64_t last = 0;
        for (const Method* part : parts_) last = std::max(last, part->first_choice(of(*part, settings), total));
        return last;
    }
    void attach_copies(Attachment& attachment, const Layout& layout, const Json& settings, const std::vector<at::Tensor>& values,
                       const std::vector<at::Tensor>& weights) const override {
        for_parts(layout, settings, values, [&](const Method& part, const Json& own, const std::vector<at::Tensor>& mine) {
            part.attach_copies(attachment, layout, own, mine, weights);
        });
    }
    std::int64_t pruned(const Layout& layout, const Json& settings) const override {
        std::int64_t total = 0;
        for (const Method* part : parts_) total += part->pruned(layout, of(*part, settings));
        return total;
    }

private:
    static std::vector<const Method*> borrowed(const std::vector<std::unique_ptr<Method>>& parts) {
        std::vector<const Method*> list;
        for (const auto& part : parts) list.push_back(part.get());
        return list;
    }
    static std::vector<at::Tensor> slice(const std::vector<at::Tensor>& values, std::size_t first, std::size_t count) {
        return {values.begin() + static_cast<std::ptrdiff_t>(first), values.begin() + static_cast<std::ptrdiff_t>(first + count)};
    }
    // Of one part, whose errors name the combination too.
    std::vector<TensorSpec> tensors_of(const Method& part, const Layout& layout, const Json& settings) const {
        try {
            return part.tensors(layout, of(part, settings));
        } catch (const Error& error) {
            throw Error(error.kind(), info_.id + "/" + error.where(), error.found(), error.fix());
        }
    }
    // Each part with its settings and values.
    template <class Visit>
    void for_parts(const Layout& layout, const Json& settings, const std::vector<at::Tensor>& values, Visit&& visit) const {
        std::size_t first = 0;
        for (const Method* part : parts_) {
            const Json own = of(*part, settings);
            const std::size_t count = part->tensors(layout, own).size();
            visit(*part, own, slice(values, first, count));
            first += count;
        }
    }
    // The settings of one part, without its id before them.
    static Json of(const Method& part, const Json& settings) {
        Json own = Json::object();
        const std::string start = part.info().id + ".";
        for (const auto& [key, value] : settings.items())
            if (key.rfind(start, 0) == 0) own[key.substr(start.size())] = value;
        return own;
    }
    template <class Change>
    Json joined_settings(const Json& settings, Change&& change) const {
        Json all = Json::object();
        for (const Method* part : parts_) {
            const Json changed = change(*part, of(*part, settings));
            for (const auto& [key, value] : changed.items()) all[part->info().id + "." + key] = value;
        }
        return all;
    }

    std::vector<const Method*> parts_;
    std::vector<std::unique_ptr<Method>> owned_;
    Json presets_ = Json::object();
    bool one_rate_ = false;
    MethodInfo info_;
};

}  // namespace

std::unique_ptr<Method> named_combination(MethodInfo info, std::vector<std::unique_ptr<Method>> parts, const Json& settings) {
    return std::make_unique<Composite>(std::move(info), std::move(parts), settings);
}

const Method& find_method_by_id(const std::string& id, const std::string& where) {
    const auto places = methods_named(id, method_catalog(), where);
    if (places.size() == 1) return *methods()[places.front()];
    static std::mutex mutex;
    static std::map<std::string, std::unique_ptr<Composite>> known;
    const std::lock_guard lock(mutex);
    if (const auto found = known.find(id); found != known.end()) return *found->second;
    std::vector<const Method*> parts;
    for (const std::size_t place : places) parts.push_back(methods()[place].get());
    return *known.emplace(id, std::make_unique<Composite>(id, std::move(parts))).first->second;
}

}  // namespace permille
