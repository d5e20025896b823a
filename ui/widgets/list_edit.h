// A line that holds a list: "0.5%, 2%" or "1, 2, 3". Tells at once which item is wrong.
#pragma once

#include <QLineEdit>
#include <functional>
#include <string>
#include <vector>

namespace permille::ui {

class ListEdit : public QLineEdit {
    Q_OBJECT
public:
    // Checks one item; throws Error(config) that says what is wrong with it.
    using CheckItem = std::function<void(const std::string& item)>;
    explicit ListEdit(CheckItem check, QWidget* parent = nullptr);

    // Trimmed items, empty ones left out; throws what the check throws.
    std::vector<std::string> items() const;
    // Empty when every item is right.
    QString problem() const;

private:
    void judge();
    CheckItem check_;
    QString tip_;
};

}  // namespace permille::ui
