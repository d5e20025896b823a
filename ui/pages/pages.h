// The table of pages: the shell makes its stack, menu, shortcuts and navigation from it.
#pragma once

#include <string>
#include <vector>

#include "ui/pages/page.h"

namespace permille::ui {

// In the order of the navigation. The shortcuts are Ctrl+1, Ctrl+2 and so on; the first page is shown at the start.
const std::vector<PageEntry>& page_table();
std::vector<std::string> page_ids();
// Throws Error(usage) with the known ones.
const PageEntry& find_page(const std::string& id, const std::string& where);

}  // namespace permille::ui
