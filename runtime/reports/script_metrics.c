/* SPDX-License-Identifier: MIT
 *
 * What scripts have made, in the shape of native.metrics(): their metrics with their series, and their dictionaries. */

#include "instance/instance.h"
#include "instance/runtime.h"
#include "reports/reports.h"
#include "script/shared.h"

struct report {
  struct value *metrics; /* a list */
  struct value *series;  /* of the metric that is being read */
};

static void write_list(struct value *table, const char *key, const char *const *texts, size_t count) {
  struct value *list = value_set_table(table, key);
  for (size_t i = 0; i < count; i++)
    value_set_string(list, NULL, texts[i]);
}

static void on_metric(void *context, const struct registry_definition *definition) {
  static const char *const kinds[] = {
      [REGISTRY_COUNTER] = "counter", [REGISTRY_GAUGE] = "gauge", [REGISTRY_HISTOGRAM] = "histogram"};
  _Static_assert(sizeof kinds / sizeof kinds[0] == REGISTRY_HISTOGRAM + 1, "a word for each kind");
  struct report *report = context;
  struct value *metric = value_set_table(report->metrics, NULL);
  value_set_string(metric, "name", definition->name);
  value_set_string(metric, "help", definition->help);
  value_set_string(metric, "type", kinds[definition->kind]);
  write_list(metric, "labels", definition->labels, definition->label_count);
  struct value *buckets = value_set_table(metric, "buckets");
  for (size_t i = 0; i < definition->bucket_count; i++)
    value_set_number(buckets, NULL, definition->buckets[i]);
  report->series = value_set_table(metric, "series");
}

static void on_series(void *context, const struct registry_definition *definition,
                      const struct registry_series *series) {
  struct report *report = context;
  struct value *written = value_set_table(report->series, NULL);
  write_list(written, "values", series->values, definition->label_count);
  value_set_number(written, "number", series->number);
  if (definition->kind != REGISTRY_HISTOGRAM)
    return;
  value_set_number(written, "count", (double)series->count);
  struct value *counts = value_set_table(written, "counts");
  for (size_t i = 0; i < definition->bucket_count; i++)
    value_set_number(counts, NULL, (double)series->counts[i]);
}

static void on_dictionary(void *context, const char *name, const struct dictionary_size *size) {
  struct value *dictionary = value_set_table(context, NULL);
  value_set_string(dictionary, "name", name);
  value_set_number(dictionary, "entries", (double)size->entries);
  value_set_number(dictionary, "bytes", (double)size->bytes);
  value_set_number(dictionary, "bytes_most", (double)size->bytes_most);
  value_set_number(dictionary, "evictions", (double)size->evictions);
}

struct value *script_metrics_report(const struct runtime *runtime) {
  struct value *root = value_table();
  struct report report = {.metrics = value_set_table(root, "metrics")};
  struct value *dictionaries = value_set_table(root, "dictionaries");
  if (!runtime->instance || !runtime->instance->loader)
    return root;
  struct value *lost = value_set_table(root, "lost");
  value_set_number(lost, "log", (double)atomic_load(&runtime->log.printer.lost));
  value_set_number(lost, "stdout", (double)atomic_load(&runtime->printers[0].lost));
  value_set_number(lost, "stderr", (double)atomic_load(&runtime->printers[1].lost));
  struct script_shared *shared = loader_shared(runtime->instance->loader);
  registry_read(script_shared_metrics(shared), on_metric, on_series, &report);
  script_shared_each_dictionary(shared, on_dictionary, dictionaries);
  value_set_number(root, "dropped", (double)registry_dropped(script_shared_metrics(shared)));
  return root;
}
