/* SPDX-License-Identifier: MIT
 *
 * Metrics are few and stand in a list; series may be many and stand in one hash table for all metrics, and in a list of
 * their metric's. */
#include "metrics/registry.h"

#include "core/hash_table.h"
#include "core/text.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct series {
  struct series *next; /* of the metric */
  struct hash_node node;
  const struct registry_metric *metric;
  double number;
  uint64_t count;
  uint64_t *counts; /* within the same block, like the values */
  const char *values[];
};

struct registry_metric {
  struct registry_metric *next;
  struct registry_definition definition; /* copies */
  struct series *first, **last;
};

struct registry {
  pthread_mutex_t lock;
  struct registry_metric *first, **last;
  struct hash_table table; /* of the series */
  unsigned metrics, series, most;
  uint64_t dropped;
};

struct registry *registry_new(void) {
  struct registry *registry = calloc(1, sizeof *registry);
  if (!registry)
    return NULL;
  pthread_mutex_init(&registry->lock, NULL);
  registry->last = &registry->first;
  registry->most = REGISTRY_SERIES;
  return registry;
}

static void metric_free(struct registry_metric *metric) {
  struct registry_definition *definition = &metric->definition;
  while (metric->first) {
    struct series *series = metric->first;
    metric->first = series->next;
    free(series);
  }
  for (size_t i = 0; definition->labels && i < definition->label_count; i++)
    free((char *)(uintptr_t)definition->labels[i]);
  free((void *)(uintptr_t)definition->labels);
  free((double *)(uintptr_t)definition->buckets);
  free((char *)(uintptr_t)definition->name);
  free((char *)(uintptr_t)definition->help);
  free(metric);
}

void registry_free(struct registry *registry) {
  if (!registry)
    return;
  while (registry->first) {
    struct registry_metric *metric = registry->first;
    registry->first = metric->next;
    metric_free(metric);
  }
  hash_table_deinit(&registry->table);
  pthread_mutex_destroy(&registry->lock);
  free(registry);
}

void registry_limit(struct registry *registry, unsigned series) {
  pthread_mutex_lock(&registry->lock);
  registry->most = series;
  pthread_mutex_unlock(&registry->lock);
}

/* NULL without memory. */
static struct registry_metric *metric_new(const struct registry_definition *wanted) {
  struct registry_metric *metric = calloc(1, sizeof *metric);
  if (!metric)
    return NULL;
  metric->last = &metric->first;
  char **labels = calloc(wanted->label_count + 1, sizeof *labels);
  double *buckets = calloc(wanted->bucket_count + 1, sizeof *buckets);
  metric->definition = (struct registry_definition){
      .kind = wanted->kind,
      .name = strdup(wanted->name),
      .help = strdup(wanted->help),
      .labels = (const char *const *)labels,
      .label_count = wanted->label_count,
      .buckets = buckets,
      .bucket_count = wanted->bucket_count,
  };
  bool whole = metric->definition.name && metric->definition.help && labels && buckets;
  for (size_t i = 0; whole && i < wanted->label_count; i++)
    whole = (labels[i] = strdup(wanted->labels[i])) != NULL;
  if (!whole) {
    metric_free(metric);
    return NULL;
  }
  if (wanted->bucket_count > 0)
    memcpy(buckets, wanted->buckets, wanted->bucket_count * sizeof *buckets);
  return metric;
}

static bool is_same(const struct registry_definition *a, const struct registry_definition *b) {
  bool same = a->kind == b->kind && a->label_count == b->label_count && a->bucket_count == b->bucket_count;
  for (size_t i = 0; same && i < a->label_count; i++)
    same = strcmp(a->labels[i], b->labels[i]) == 0;
  for (size_t i = 0; same && i < a->bucket_count; i++)
    same = !(a->buckets[i] < b->buckets[i]) && !(a->buckets[i] > b->buckets[i]);
  return same;
}

static struct registry_metric *series_find_or_make(struct registry *registry, const struct registry_definition *wanted,
                                                   int *status) {
  for (struct registry_metric *metric = registry->first; metric; metric = metric->next) {
    if (strcmp(metric->definition.name, wanted->name) != 0)
      continue;
    *status = -EEXIST;
    return is_same(&metric->definition, wanted) ? metric : NULL;
  }
  *status = -ENOSPC;
  if (registry->metrics >= registry->most)
    return NULL;
  struct registry_metric *metric = metric_new(wanted);
  *status = -ENOMEM;
  if (!metric)
    return NULL;
  *registry->last = metric;
  registry->last = &metric->next;
  registry->metrics++;
  return metric;
}

struct registry_metric *registry_define(struct registry *registry, const struct registry_definition *definition,
                                        int *status) {
  pthread_mutex_lock(&registry->lock);
  struct registry_metric *metric = series_find_or_make(registry, definition, status);
  pthread_mutex_unlock(&registry->lock);
  return metric;
}

const struct registry_definition *registry_definition_of(const struct registry_metric *metric) {
  return &metric->definition;
}

static size_t label_length(const char *value) { return strnlen(value, REGISTRY_VALUE_MOST); }

static uint64_t series_hash(const struct registry_metric *metric, const char *const *values) {
  uint64_t hash = text_hash(&metric, sizeof metric, 0);
  for (size_t i = 0; i < metric->definition.label_count; i++)
    hash = text_hash(values[i], label_length(values[i]), hash);
  return hash;
}

static bool has_values(const struct series *series, const char *const *values) {
  for (size_t i = 0; i < series->metric->definition.label_count; i++)
    if (strncmp(series->values[i], values[i], REGISTRY_VALUE_MOST) != 0)
      return false;
  return true;
}

static struct series *family_find(const struct registry *registry, const struct registry_metric *metric, uint64_t hash,
                                  const char *const *values) {
  for (struct hash_node *node = hash_table_first(&registry->table, hash); node; node = hash_table_next(node)) {
    struct series *series = HASH_OWNER(node, struct series, node);
    if (series->metric == metric && has_values(series, values))
      return series;
  }
  return NULL;
}

/* One block: the record, the pointers to the values, the counts, the values. */
static struct series *series_new(const struct registry_metric *metric, const char *const *values) {
  const struct registry_definition *definition = &metric->definition;
  size_t fixed = sizeof(struct series) + definition->label_count * sizeof(char *), size = fixed;
  size += definition->bucket_count * sizeof(uint64_t);
  for (size_t i = 0; i < definition->label_count; i++)
    size += label_length(values[i]) + 1;
  struct series *series = calloc(1, size);
  if (!series)
    return NULL;
  series->metric = metric;
  series->counts = (uint64_t *)(void *)((char *)series + fixed);
  char *text = (char *)(series->counts + definition->bucket_count);
  for (size_t i = 0; i < definition->label_count; i++) {
    size_t length = label_length(values[i]);
    memcpy(text, values[i], length);
    series->values[i] = text;
    text += length + 1;
  }
  return series;
}

static struct series *family_make(struct registry *registry, struct registry_metric *metric, uint64_t hash,
                                  const char *const *values, int *status) {
  const struct registry_definition *definition = &metric->definition;
  unsigned cost = definition->kind == REGISTRY_HISTOGRAM ? (unsigned)definition->bucket_count + 2 : 1;
  *status = -ENOSPC;
  if (registry->series + cost > registry->most)
    return NULL;
  struct series *series = series_new(metric, values);
  *status = -ENOMEM;
  if (!series || hash_table_enter(&registry->table, &series->node, hash) < 0) {
    free(series);
    return NULL;
  }
  *metric->last = series;
  metric->last = &series->next;
  registry->series += cost;
  return series;
}

static void series_step(struct series *series, enum registry_step step, double number) {
  const struct registry_definition *definition = &series->metric->definition;
  if (step == REGISTRY_SET) {
    series->number = number;
    return;
  }
  series->number += number;
  if (step == REGISTRY_ADD)
    return;
  series->count++;
  for (size_t i = 0; i < definition->bucket_count; i++) {
    if (number <= definition->buckets[i]) {
      series->counts[i]++;
      return;
    }
  }
}

int registry_change(struct registry *registry, struct registry_metric *metric, const char *const *values,
                    enum registry_step step, double number) {
  uint64_t hash = series_hash(metric, values);
  int status = 0;
  pthread_mutex_lock(&registry->lock);
  struct series *series = family_find(registry, metric, hash, values);
  if (!series)
    series = family_make(registry, metric, hash, values, &status);
  if (series)
    series_step(series, step, number);
  else
    registry->dropped++;
  pthread_mutex_unlock(&registry->lock);
  return series ? 0 : status;
}

void registry_read(struct registry *registry, registry_metric_fn *on_metric, registry_series_fn *on_series,
                   void *context) {
  pthread_mutex_lock(&registry->lock);
  for (const struct registry_metric *metric = registry->first; metric; metric = metric->next) {
    on_metric(context, &metric->definition);
    for (const struct series *series = metric->first; series; series = series->next) {
      const struct registry_series read = {series->values, series->number, series->count, series->counts};
      on_series(context, &metric->definition, &read);
    }
  }
  pthread_mutex_unlock(&registry->lock);
}

uint64_t registry_dropped(struct registry *registry) {
  pthread_mutex_lock(&registry->lock);
  uint64_t dropped = registry->dropped;
  pthread_mutex_unlock(&registry->lock);
  return dropped;
}
