#include "ui/pages/study/study_form.h"

#include <QCheckBox>
#include <QComboBox>
#include <QFormLayout>
#include <QHBoxLayout>
#include <QHeaderView>
#include <QLabel>
#include <QLineEdit>
#include <QListWidget>
#include <QPushButton>
#include <QSpinBox>
#include <QTreeWidget>
#include <QVBoxLayout>
#include <algorithm>

#include "core/metrics/evaluation.h"
#include "core/run/executors/executor.h"
#include "ui/bridge/text.h"
#include "ui/pages/study/method_list.h"
#include "ui/widgets/field_form.h"
#include "ui/widgets/list_edit.h"
#include "ui/widgets/section.h"

namespace permille::ui {

using namespace Qt::StringLiterals;

namespace {

constexpr int kNameRole = Qt::UserRole, kSourceRole = Qt::UserRole + 1, kTargetRole = Qt::UserRole + 2;

std::int64_t parse_whole(const std::string& item, std::int64_t least, const std::string& where) {
    bool right = false;
    const qlonglong value = text(item).toLongLong(&right);
    if (!right || value < least)
        throw Error(ErrorKind::config, where, "'" + item + "' is not a whole number of " + std::to_string(least) + " or more",
                    "write numbers such as 1, 2, 3");
    return value;
}

std::int64_t parse_data_size(const std::string& item) { return item == "all" ? 0 : parse_whole(item, 1, "data_sizes"); }

std::int64_t parse_seed(const std::string& item) { return parse_whole(item, 0, "seeds"); }

template <class Values, class Write>
QString joined(const Values& values, Write&& write) {
    QStringList parts;
    for (const auto& value : values) parts << write(value);
    return parts.join(u", "_s);
}

// The fields of a settings struct that differ from their defaults.
template <class Settings>
Json differing(const Settings& settings) {
    const Json now = Settings::fields().to_json(settings), usual = Settings::fields().to_json(Settings{});
    Json object = Json::object();
    for (const auto& [key, value] : now.items())
        if (value != usual.at(key)) object[key] = value;
    return object;
}

QString arrow(const std::string& source, const std::string& target) { return text(source) + u" → "_s + text(target); }

}  // namespace

StudyForm::StudyForm(QWidget* parent)
    : QWidget(parent),
      name_(new QLineEdit),
      bases_(new QListWidget),
      pairs_(new QTreeWidget),
      methods_(new MethodList),
      budgets_(new ListEdit([](const std::string& item) { parse_budget(item, "budgets"); })),
      data_sizes_(new ListEdit([](const std::string& item) { parse_data_size(item); })),
      seeds_(new ListEdit([](const std::string& item) { parse_seed(item); })),
      untouched_(new QCheckBox(tr("Also score the untouched base"))),
      jobs_(new QSpinBox),
      executor_(new QComboBox),
      training_(new FieldForm(TrainingSettings::fields().list())),
      decoding_(new FieldForm(DecodingSettings::fields().list())),
      evaluation_(new FieldForm(evaluation_fields())),
      device_(new FieldForm(DeviceSettings::fields().list())) {
    auto* layout = new QVBoxLayout(this);
    layout->setContentsMargins(0, 0, 8, 0);
    layout->setSpacing(10);

    auto* head = new QWidget;
    auto* head_form = new QFormLayout(head);
    head_form->setContentsMargins(0, 0, 0, 0);
    head_form->setLabelAlignment(Qt::AlignLeft | Qt::AlignVCenter);
    name_->setPlaceholderText(tr("a name for the study, for example first-look"));
    head_form->addRow(tr("&Name"), name_);
    layout->addWidget(new Section(tr("Study"), head));
    layout->addWidget(new Section(tr("Base models"), makeBases()));
    layout->addWidget(new Section(tr("Language pairs"), makePairs()));
    layout->addWidget(new Section(tr("Methods"), methods_));
    layout->addWidget(new Section(tr("Budgets, data and repetitions"), makeGrid()));
    Section* section = nullptr;
    addSettings(tr("Training"), training_, section);
    addSettings(tr("Decoding"), decoding_, section);
    addSettings(tr("Evaluation"), evaluation_, section);
    addSettings(tr("Device"), device_, section);
    layout->addStretch(1);

    setStudy(Study{});
    connect(name_, &QLineEdit::textChanged, this, [this] { tell(); });
    connect(bases_, &QListWidget::itemChanged, this, [this] { tell(); });
    connect(pairs_, &QTreeWidget::itemChanged, this, [this] { tell(); });
    connect(methods_, &MethodList::changed, this, [this] { tell(); });
    for (ListEdit* edit : {budgets_, data_sizes_, seeds_}) connect(edit, &QLineEdit::textChanged, this, [this] { tell(); });
    connect(untouched_, &QCheckBox::toggled, this, [this] { tell(); });
    connect(jobs_, &QSpinBox::valueChanged, this, [this] { tell(); });
    connect(executor_, &QComboBox::currentIndexChanged, this, [this] { tell(); });
}

QWidget* StudyForm::makeBases() {
    auto* widget = new QWidget;
    auto* layout = new QVBoxLayout(widget);
    layout->setContentsMargins(0, 0, 0, 0);
    bases_->setAccessibleName(tr("Base models"));
    bases_->setSizeAdjustPolicy(QAbstractScrollArea::AdjustToContents);
    bases_->setMaximumHeight(120);
    bases_->setMinimumHeight(36);
    layout->addWidget(bases_);
    auto* add = new QPushButton(tr("Add folder…"));
    add->setToolTip(tr("A model folder in Hugging Face layout: config.json, weights and tokenizer files"));
    connect(add, &QPushButton::clicked, this, &StudyForm::addFolderRequested);
    auto* row = new QHBoxLayout;
    row->addStretch(1);
    row->addWidget(add);
    layout->addLayout(row);
    return widget;
}

QWidget* StudyForm::makePairs() {
    pairs_->setColumnCount(4);
    pairs_->setHeaderLabels({tr("Corpus"), tr("Direction"), tr("Reverse"), tr("Sentences")});
    pairs_->setRootIsDecorated(false);
    pairs_->setUniformRowHeights(true);
    pairs_->setAccessibleName(tr("Language pairs"));
    pairs_->setSizeAdjustPolicy(QAbstractScrollArea::AdjustToContents);
    pairs_->setMinimumHeight(64);
    pairs_->setMaximumHeight(260);
    pairs_->header()->setStretchLastSection(false);
    pairs_->header()->setSectionResizeMode(0, QHeaderView::Stretch);
    for (const int column : {1, 2, 3}) pairs_->header()->setSectionResizeMode(column, QHeaderView::ResizeToContents);
    return pairs_;
}

QWidget* StudyForm::makeGrid() {
    auto* widget = new QWidget;
    auto* form = new QFormLayout(widget);
    form->setContentsMargins(0, 0, 0, 0);
    form->setLabelAlignment(Qt::AlignLeft | Qt::AlignVCenter);
    budgets_->setPlaceholderText(tr("0.5%, 5‰, 300k, at most 2MB"));
    budgets_->setToolTip(
        tr("For every method whose size can be chosen: trainable parameters as a share of the base's (2%, 5‰) or as a number (300k, 1.2M), "
           "or the size of the adapter file (2MB, 500kB)"));
    data_sizes_->setToolTip(tr("Training sentences; “all” takes the whole training split"));
    seeds_->setToolTip(tr("Every combination is repeated with each seed"));
    jobs_->setRange(1, 256);
    jobs_->setToolTip(tr("How many runs go on at the same time"));
    form->addRow(tr("&Budgets"), budgets_);
    form->addRow(tr("&Data sizes"), data_sizes_);
    form->addRow(tr("&Seeds"), seeds_);
    for (const Executor& executor : executors()) {
        executor_->addItem(text(executor.name), text(executor.id));
        executor_->setItemData(executor_->count() - 1, text(executor.help), Qt::ToolTipRole);
    }
    executor_->setToolTip(tr("Where the runs are done"));
    form->addRow(tr("Runs &at a time"), jobs_);
    form->addRow(tr("Done o&n"), executor_);
    form->addRow(QString(), untouched_);
    return widget;
}

void StudyForm::addSettings(const QString& title, FieldForm* form, Section*& section) {
    section = new Section(title, form);
    section->setFoldable(false);
    this->layout()->addWidget(section);
    folded_.emplace_back(section, form);
    connect(form, &FieldForm::changed, this, [this, section, form] {
        const int count = form->changedCount();
        section->setNote(count == 0 ? QString() : tr("%1 changed").arg(count));
        tell();
    });
}

void StudyForm::setBases(const std::vector<std::string>& names) {
    const auto chosen = chosenBases();
    std::vector<std::string> all = names;
    for (const auto& name : chosen)
        if (std::find(all.begin(), all.end(), name) == all.end()) all.push_back(name);
    bool same = static_cast<int>(all.size()) == bases_->count();
    for (int i = 0; same && i < bases_->count(); ++i)
        same = plain(bases_->item(i)->data(kNameRole).toString()) == all[static_cast<std::size_t>(i)];
    if (same) return;
    const bool was_setting = std::exchange(setting_, true);
    bases_->clear();
    for (const auto& name : all) {
        auto* item = new QListWidgetItem(text(name), bases_);
        item->setData(kNameRole, text(name));
        item->setCheckState(std::find(chosen.begin(), chosen.end(), name) != chosen.end() ? Qt::Checked : Qt::Unchecked);
    }
    setting_ = was_setting;
    tell();
}

void StudyForm::addBase(const std::string& folder) {
    for (int i = 0; i < bases_->count(); ++i)
        if (plain(bases_->item(i)->data(kNameRole).toString()) == folder) return bases_->item(i)->setCheckState(Qt::Checked);
    auto* item = new QListWidgetItem(text(folder));
    item->setData(kNameRole, text(folder));
    item->setCheckState(Qt::Checked);
    bases_->addItem(item);
    tell();
}

std::vector<std::string> StudyForm::chosenBases() const {
    std::vector<std::string> names;
    for (int i = 0; i < bases_->count(); ++i)
        if (bases_->item(i)->checkState() == Qt::Checked) names.push_back(plain(bases_->item(i)->data(kNameRole).toString()));
    return names;
}

void StudyForm::setCorpora(const std::vector<CorpusRow>& corpora) {
    const auto same = [](const CorpusRow& a, const CorpusRow& b) {
        return a.name == b.name && a.fingerprint == b.fingerprint && a.source_language == b.source_language &&
               a.target_language == b.target_language && a.train_sentences == b.train_sentences;
    };
    if (std::equal(corpora.begin(), corpora.end(), corpora_.begin(), corpora_.end(), same) && pairs_->topLevelItemCount() > 0) return;
    const auto chosen = chosenPairs();
    corpora_ = corpora;
    choosePairs(chosen);
    tell();
}

std::vector<StudyPair> StudyForm::chosenPairs() const {
    std::vector<StudyPair> pairs;
    for (int i = 0; i < pairs_->topLevelItemCount(); ++i) {
        const auto* item = pairs_->topLevelItem(i);
        StudyPair pair{plain(item->data(0, kNameRole).toString()), plain(item->data(0, kSourceRole).toString()),
                       plain(item->data(0, kTargetRole).toString())};
        const auto corpus = std::find_if(corpora_.begin(), corpora_.end(), [&](const CorpusRow& row) { return row.name == pair.corpus; });
        if (item->checkState(1) == Qt::Checked) pairs.push_back(pair);
        if (corpus != corpora_.end() && !item->data(2, Qt::CheckStateRole).isNull() && item->checkState(2) == Qt::Checked)
            pairs.push_back({pair.corpus, corpus->target_language, corpus->source_language});
    }
    return pairs;
}

void StudyForm::choosePairs(const std::vector<StudyPair>& pairs) {
    const bool was_setting = std::exchange(setting_, true);
    pairs_->clear();
    std::vector<StudyPair> left = pairs;
    const auto take = [&](const StudyPair& wanted) {
        const auto found = std::find(left.begin(), left.end(), wanted);
        if (found == left.end()) return false;
        left.erase(found);
        return true;
    };
    for (const auto& corpus : corpora_) {
        auto* item = new QTreeWidgetItem(pairs_);
        item->setText(0, text(corpus.name));
        item->setToolTip(0, tr("%1 and %2; %3 validation and %4 test sentences")
                                .arg(shown_language(corpus.source_language), shown_language(corpus.target_language),
                                     shown_count(corpus.valid_sentences), shown_count(corpus.test_sentences)));
        item->setData(0, kNameRole, text(corpus.name));
        const bool forward = take({corpus.name}), named = take({corpus.name, corpus.source_language, corpus.target_language});
        const bool backward = take({corpus.name, corpus.target_language, corpus.source_language});
        item->setText(1, arrow(corpus.source_language, corpus.target_language));
        item->setCheckState(1, forward || named ? Qt::Checked : Qt::Unchecked);
        item->setText(2, arrow(corpus.target_language, corpus.source_language));
        item->setCheckState(2, backward ? Qt::Checked : Qt::Unchecked);
        item->setText(3, shown_count(corpus.train_sentences));
        item->setTextAlignment(3, Qt::AlignRight | Qt::AlignVCenter);
    }
    // What the study names and the database does not have, and languages spelt differently: kept as they are.
    for (const auto& pair : left) {
        const bool known = std::any_of(corpora_.begin(), corpora_.end(), [&](const CorpusRow& row) { return row.name == pair.corpus; });
        auto* item = new QTreeWidgetItem(pairs_);
        item->setText(0, text(pair.corpus));
        item->setData(0, kNameRole, text(pair.corpus));
        item->setData(0, kSourceRole, text(pair.source_language));
        item->setData(0, kTargetRole, text(pair.target_language));
        item->setText(1, pair.source_language.empty() ? tr("as imported") : arrow(pair.source_language, pair.target_language));
        item->setCheckState(1, Qt::Checked);
        item->setText(3, known ? QString() : tr("not here"));
        if (!known) item->setToolTip(0, tr("This database has no corpus of this name"));
    }
    setting_ = was_setting;
}

Study StudyForm::study() const {
    Study study;
    study.name = plain(name_->text().trimmed());
    study.bases = chosenBases();
    study.pairs = chosenPairs();
    study.methods = methods_->methods();
    study.budgets.clear();
    for (const auto& item : budgets_->items()) study.budgets.push_back(parse_budget(item, "budgets"));
    study.data_sizes.clear();
    for (const auto& item : data_sizes_->items()) study.data_sizes.push_back(parse_data_size(item));
    study.seeds.clear();
    for (const auto& item : seeds_->items()) study.seeds.push_back(parse_seed(item));
    study.include_untouched = untouched_->isChecked();
    study.jobs = jobs_->value();
    study.executor = executor_->currentData().toString().toStdString();
    study.training = TrainingSettings::fields().parse(training_->values("training"), "training");
    study.decoding = DecodingSettings::fields().parse(decoding_->values("decoding"), "decoding");
    study.evaluation = EvaluationSettings::fields().parse(evaluation_->values("evaluation"), "evaluation");
    study.device = DeviceSettings::fields().parse(device_->values("device"), "device");
    return study;
}

void StudyForm::setStudy(const Study& study) {
    setting_ = true;
    name_->setText(text(study.name));
    for (int i = 0; i < bases_->count(); ++i) bases_->item(i)->setCheckState(Qt::Unchecked);
    for (const auto& base : study.bases) addBase(base);
    choosePairs(study.pairs);
    methods_->setMethods(study.methods);
    budgets_->setText(joined(study.budgets, [](const Budget& budget) { return text(format_budget(budget)); }));
    data_sizes_->setText(joined(study.data_sizes, [](std::int64_t size) { return size == 0 ? u"all"_s : QString::number(size); }));
    seeds_->setText(joined(study.seeds, [](std::int64_t seed) { return QString::number(seed); }));
    untouched_->setChecked(study.include_untouched);
    jobs_->setValue(static_cast<int>(std::clamp<std::int64_t>(study.jobs, 1, 256)));
    // One of a newer program stays what it is: starting it will say that it is not known here.
    if (executor_->findData(text(study.executor)) < 0) executor_->addItem(text(study.executor), text(study.executor));
    executor_->setCurrentIndex(executor_->findData(text(study.executor)));
    training_->setValues(differing(study.training));
    decoding_->setValues(differing(study.decoding));
    evaluation_->setValues(differing(study.evaluation));
    device_->setValues(differing(study.device));
    setting_ = false;
    tell();
}

void StudyForm::tell() {
    if (!setting_) Q_EMIT changed();
}

}  // namespace permille::ui
