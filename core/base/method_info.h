// What a method says about itself, as data: read by the command line, the window, the study file and the budget solver. No torch.
#pragma once

#include <string>
#include <vector>

#include "core/base/fields.h"

namespace permille {

struct MethodInfo {
    std::string id;                  // "lora"
    std::string name;                // "LoRA"
    std::string paper;               // "Hu et al. 2021, arXiv 2106.09685"
    std::string summary;             // one line for people
    std::vector<std::string> sites;  // the kinds of places where it can go
    std::vector<Field> knobs;
    std::string size_knob;  // the knob that a budget solves; "" when the size is fixed
    bool mergeable = false;
    bool identity_at_start = false;
    bool trains_whole_base = false;  // every parameter of the base and nothing else: the line that the others are measured by
    double default_learning_rate = 0;
    std::string default_optimiser = "adamw";  // adafactor where the paper's recipe has it
    std::string equation;                     // what it computes, in plain text, with the shapes of what is trained
    std::string advice;                       // when to use it
};

}  // namespace permille
