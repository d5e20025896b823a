// A new page is its own folder, and one declaration and one line here.
#include "ui/pages/pages.h"

#include "core/base/error.h"

namespace permille::ui {

PageEntry study_page();
PageEntry runs_page();
PageEntry chart_page();
PageEntry results_page();
PageEntry bases_page();

const std::vector<PageEntry>& page_table() {
    static const std::vector<PageEntry> table{study_page(), runs_page(), chart_page(), results_page(), bases_page()};
    return table;
}

std::vector<std::string> page_ids() {
    std::vector<std::string> ids;
    for (const auto& page : page_table()) ids.push_back(page.id);
    return ids;
}

const PageEntry& find_page(const std::string& id, const std::string& where) {
    for (const auto& page : page_table())
        if (page.id == id) return page;
    throw Error(ErrorKind::usage, where, "there is no page '" + id + "'", "known are " + list_some(page_ids()));
}

}  // namespace permille::ui
