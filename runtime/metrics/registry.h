/* SPDX-License-Identifier: MIT
 *
 * Metrics that scripts make: counters, gauges and histograms by name, each with its series by the values of its labels.
 * All threads share one set, under one lock that is held for one step; it knows nothing of Lua, nor of how metrics are
 * written. What is made stays, so that counters go on over changes of the files. */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum registry_kind { REGISTRY_COUNTER, REGISTRY_GAUGE, REGISTRY_HISTOGRAM };

enum {
  REGISTRY_SERIES = 10000, /* default of registry_limit() */
  REGISTRY_LABELS_MOST = 8,
  REGISTRY_BUCKETS_MOST = 64,
  REGISTRY_VALUE_MOST = 256, /* bytes of a label's value; longer ones are cut */
};

struct registry;
struct registry_metric;

struct registry_definition {
  enum registry_kind kind;
  const char *name;
  const char *help;
  const char *const *labels;
  size_t label_count;
  const double *buckets; /* ascending upper bounds, without the infinite one; of a histogram */
  size_t bucket_count;
};

/* NULL without memory. */
struct registry *registry_new(void);
void registry_free(struct registry *registry); /* NULL is nothing */

/* How many series there may be in all; a histogram's count one for each bucket and two more. */
void registry_limit(struct registry *registry, unsigned series);

/* The metric of that name, made when it is not there; its help is the first one's. NULL and *status: -EEXIST (it is
 * there with another kind, other labels or buckets), -ENOSPC (as many metrics as there may be series), -ENOMEM. */
struct registry_metric *registry_define(struct registry *registry, const struct registry_definition *definition,
                                        int *status);

/* What it was defined with. */
const struct registry_definition *registry_definition_of(const struct registry_metric *metric);

enum registry_step { REGISTRY_ADD, REGISTRY_SET, REGISTRY_OBSERVE };

/* Changes the series with these values of its labels (label_count strings), made when it is not there. 0, -ENOSPC (too
 * many series; counted), -ENOMEM. */
int registry_change(struct registry *registry, struct registry_metric *metric, const char *const *values,
                    enum registry_step step, double number);

/* A series as it is read; valid during the call only. */
struct registry_series {
  const char *const *values;
  double number;          /* of a counter or gauge; the sum of a histogram */
  uint64_t count;         /* of a histogram: all that was observed */
  const uint64_t *counts; /* of a histogram: in each bucket, without those below it */
};

typedef void registry_metric_fn(void *context, const struct registry_definition *definition);
typedef void registry_series_fn(void *context, const struct registry_definition *definition,
                                const struct registry_series *series);

/* Calls on_metric for each, followed by on_series for each of its series, in the order of making. Under the lock. */
void registry_read(struct registry *registry, registry_metric_fn *on_metric, registry_series_fn *on_series,
                   void *context);

/* How many changes were lost because there were too many series. */
uint64_t registry_dropped(struct registry *registry);
