#include "core/base/files.h"
#include "core/data/catalogs.h"
#include "tests/support/test.h"

namespace permille {
namespace {

std::vector<std::pair<std::string, std::string>> texts(const std::vector<Message>& messages) {
    std::vector<std::pair<std::string, std::string>> result;
    for (const auto& message : messages) result.emplace_back(message.english, message.translation);
    return result;
}

using Texts = std::vector<std::pair<std::string, std::string>>;

}  // namespace

TEST_CASE("help pages of the same structure meet by place", "[data]") {
    const test::TemporaryFolder folder;
    write_text(folder / "en/guide/a.html",
               "<html><head><title>skip</title></head><body><header><p>skip</p></header><h1 id=\"h\"><a name=\"x\"></a>Forms</h1>"
               "<p id=\"p1\" class=\"x\">Press <span hidden=\"true\" id=\"MACx\" class=\"MAC\"><span>Command</span></span>"
               "<span hidden=\"true\" id=\"defaultx\">Ctrl</span> &amp; <b>wait</b>.</p><pre><p>code</p></pre><p>A note</p>"
               "<!-- <p>no</p> --><footer><p>skip</p></footer></body></html>");
    write_text(folder / "it/guide/a.html",
               "<body><h1 id=\"h\">Formulari</h1><p id=\"p1\">Premete Ctrl e <b>aspettate</b>.</p><p>Una nota</p></body>");
    CHECK(texts(read_help_pages(folder / "en", folder / "it", ".html")) ==
          Texts{{"Forms", "Formulari"}, {"Press Ctrl & wait.", "Premete Ctrl e aspettate."}, {"A note", "Una nota"}});
}

TEST_CASE("help pages that differ meet by the ids of their paragraphs", "[data]") {
    const test::TemporaryFolder folder;
    write_text(folder / "en/a.html", "<p id=\"p1\">One</p><p id=\"p2\">Two</p><p>Loose</p><p id=\"p1\">Again</p>");
    write_text(folder / "it/a.html", "<p id=\"p2\">Due</p><p id=\"p1\">Uno</p>");
    write_text(folder / "en/only-english.html", "<p id=\"p\">x</p>");
    CHECK(texts(read_help_pages(folder / "en", folder / "it", ".html")) == Texts{{"One", "Uno"}, {"Two", "Due"}});
}

TEST_CASE("GNOME's pages are read without their credits and code", "[data]") {
    const test::TemporaryFolder folder;
    for (const auto& [language, title, text] :
         {std::tuple("C", "Wake", "Click <gui>Menu</gui> now."), std::tuple("it", "Sveglia", "Fai clic su <gui>Menu</gui>.")}) {
        write_text(folder / (std::string(language) + "/a.page"),
                   std::string("<?xml version=\"1.0\"?>\n<page><info><title>no</title><link/></info><title>") + title + "</title><p>" +
                       text + "</p><screen><p>ls</p></screen></page>");
    }
    CHECK(texts(read_help_pages(folder / "C", folder / "it", ".page")) ==
          Texts{{"Wake", "Sveglia"}, {"Click Menu now.", "Fai clic su Menu."}});
}

TEST_CASE("broken help pages end without harm", "[data]") {
    const test::TemporaryFolder folder;
    write_text(folder / "it/a.html", "<p>Uno</p>");
    for (const std::string page : {"", "<", "<p", "<p>x", "<!--", "<pre><pre>", "</p></p>", "<p><p><p>"}) {
        write_text(folder / "en/a.html", page);
        CHECK_NOTHROW(read_help_pages(folder / "en", folder / "it", ".html"));
    }
    write_text(folder / "en/a.html", "<p>\xFF</p>");
    test::require_error([&folder] { read_help_pages(folder / "en", folder / "it", ".html"); }, ErrorKind::file, {"a.html", "UTF-8"});
}

}  // namespace permille
