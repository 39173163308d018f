/* SPDX-License-Identifier: MIT
 *
 * The table of failures, for people: those that are known, and whether a route's target is one of them. */
#include "reports/failures_report.h"

#include "instance/instance.h"
#include "instance/runtime.h"
#include "routing/balance.h"

#include <stdio.h>
#include <string.h>

enum { TOLD_MOST = 32 };

struct failure_told {
  char name[ENDPOINT_TEXT_SIZE];
  struct failure_report report; /* its name is nothing here */
};

/* The latest, in their order. */
struct failures_told {
  struct failure_told list[TOLD_MOST];
  size_t count, all;
};

static void keep_latest(void *context, const struct failure_report *report) {
  struct failures_told *told = context;
  size_t at = told->count;
  told->all++;
  while (at > 0 && report->ago_ms < told->list[at - 1].report.ago_ms)
    at--;
  if (at == TOLD_MOST)
    return;
  told->count += told->count < TOLD_MOST;
  memmove(&told->list[at + 1], &told->list[at], (told->count - at - 1) * sizeof told->list[0]);
  told->list[at].report = *report;
  snprintf(told->list[at].name, sizeof told->list[at].name, "%s", report->name);
}

static void write_failure(void *context, const struct failure_report *report) {
  struct value *row = context;
  value_set_string(row, "error", failures_describe(report->status));
  value_set_number(row, "failures", report->failures);
  value_set_number(row, "seconds", (double)report->ago_ms / 1000);
  value_set_number(row, "left", (double)report->paused_ms / 1000);
}

void failures_report(struct instance *instance, struct value *table) {
  struct failures_told told = {.count = 0};
  if (!instance->threads.failures)
    return;
  failures_each(instance->threads.failures, clock_coarse(&instance->runtime->clock), keep_latest, &told);
  value_set_number(table, "count", (double)told.all);
  struct value *list = value_set_table(table, "list");
  for (size_t i = 0; i < told.count; i++) {
    struct value *row = value_set_table(list, NULL);
    value_set_string(row, "target", told.list[i].name);
    write_failure(row, &told.list[i].report);
  }
}

static void write_failed(void *context, const struct failure_report *report) {
  write_failure(value_set_table(context, "failed"), report);
}

void failures_report_target(const struct instance *instance, const struct route_target *target, struct value *row) {
  const struct target_choice choice = {.failures = instance->threads.failures};
  struct failure_key key;
  if (failures_count(choice.failures) > 0 && target_failure_key(&choice, target, &key))
    failures_find(choice.failures, &key, clock_coarse(&instance->runtime->clock), write_failed, row);
}
