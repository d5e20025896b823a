// By what runs are told apart and against what they are drawn, and how these are called. What a method is comes from its own data, which
// the caller hands over (core/peft/catalog.h): this room knows no method.
#pragma once

#include <string>
#include <vector>

#include "core/base/method_info.h"
#include "core/store/store.h"

namespace permille {

// The axis of a chart.
enum class Against { trainable_percent, trainable, train_sentences, seconds };
enum class Property { none, method, pair, base, train_sentences };

// "trainable_percent", ...; they throw Error(usage) with the known ones.
Against against_named(const std::string& name, const std::string& where);
Property property_named(const std::string& name, const std::string& where);
std::vector<std::string> against_names();
std::vector<std::string> property_names();

bool is_size(Against x);
double value_of(const RunRow& run, Against x);
// As used, where that is known, else as asked for; 0: all.
std::int64_t sentences_of(const RunRow& run);
// The run's value of a property as people read it: "LoRA", "it → en", "1,000 sentences".
std::string name_of(const RunRow& run, Property property, const std::vector<MethodInfo>& methods);

// The method's name for people; the id itself when the table does not know it, and "Untouched base" for RunSpec::kUntouched.
std::string method_name(const std::string& id, const std::vector<MethodInfo>& methods);
// "it → en"
std::string pair_name(const RunSpec& spec);
// "1,234,567"
std::string grouped(std::int64_t count);

// Whether the run trained every parameter of the base and nothing else: the method says that it does, and no knob was moved that could
// leave some out. A percentage cannot tell: added parameters count in it too.
bool trains_whole_base(const RunRow& run, const std::vector<MethodInfo>& methods);

}  // namespace permille
