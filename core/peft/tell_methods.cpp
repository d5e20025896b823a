// Run by the build: writes what all methods say about themselves into a source file, so that the programs without libtorch know it too
// (told_catalog.cpp).
#include <exception>
#include <iostream>

#include "core/base/files.h"
#include "core/peft/catalog.h"
#include "core/peft/method_data.h"

int main(int argc, char** argv) {
    using namespace permille;
    try {
        if (argc != 2) throw Error(ErrorKind::usage, "tell_methods", "needs the file to write");
        Json table = Json::array();
        for (const MethodInfo& method : method_catalog()) table.push_back(to_json(method));
        const std::string source =
            "// Made by the build; see core/peft/tell_methods.h.\n#include \"core/peft/tell_methods.h\"\n\nnamespace permille {\n\n"
            "const char* const kToldMethods = R\"told(" +
            table.dump() + ")told\";\n\n}  // namespace permille\n";
        // Left as it is when nothing has changed: then nothing is compiled or linked again.
        std::error_code none;
        if (!std::filesystem::exists(argv[1], none) || read_text(argv[1]) != source) write_text(argv[1], source);
    } catch (const std::exception& error) {
        std::cerr << error.what() << '\n';
        return 1;
    }
    return 0;
}
