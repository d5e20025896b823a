// Precompiled for the sources of the window.
#pragma once
#include <QtWidgets>
#include <nlohmann/json.hpp>
